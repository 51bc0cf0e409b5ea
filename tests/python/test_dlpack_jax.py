"""JAX's arrays over a batch's memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import cropring
from conftest import PHOTOS, WATCHDOG_S, eventually

jax = pytest.importorskip("jax", reason="JAX is not installed")

Load = Callable[..., cropring.Loader]


def held(loader: cropring.Loader) -> int:
    gc.collect()
    return loader.stats()["slots_held"]


@pytest.mark.parametrize("name", ["images", "box", "source_size", "flipped", "status"])
def test_an_array_is_the_slot_s_memory(load: Load, name: str) -> None:
    batch = next(iter(load()))
    array = jax.dlpack.from_dlpack(batch.view(name))
    assert array.unsafe_buffer_pointer() == batch[name].__array_interface__["data"][0]
    assert array.dtype == batch[name].dtype and np.array_equal(array, batch[name])


def test_int64_becomes_int32_in_memory_of_its_own(load: Load) -> None:
    """JAX has no int64 unless it is told to; what it converts keeps no slot."""
    loader = load()
    batch = next(iter(loader))
    expected = batch.labels.copy()
    labels = jax.dlpack.from_dlpack(batch.view("labels"))
    batch.release()
    assert labels.dtype == np.int32 and np.array_equal(labels, expected) and held(loader) == 0


def test_the_slot_comes_back_with_the_last_array(load: Load) -> None:
    loader = load()
    batch = next(iter(loader))
    array = jax.dlpack.from_dlpack(batch.view("images"))
    seen = np.asarray(array)
    with pytest.raises(BufferError, match="still alive"):
        batch.release()
    del batch
    assert held(loader) == 1
    del array
    assert held(loader) == 1 and seen.any()
    del seen
    assert held(loader) == 0


def test_a_computation_under_way_keeps_the_slot(load: Load) -> None:
    """Dispatch is asynchronous: the array is dropped long before it is read, and the slot is filled again with other images."""
    loader = load(slots=12, batch_size=8, size=64)

    @jax.jit
    def step(images: jax.Array) -> jax.Array:
        table = jax.numpy.arange(200.0).reshape(200, 1) @ jax.numpy.ones((1, 200))
        delay = jax.lax.fori_loop(0, 20, lambda i, square: (square @ table) % 7, table)  # until other batches have come
        return images.astype("int32").sum() + (delay[0, 0] < 0)

    totals, expected = [], []
    for _ in range(2):
        for batch in loader:
            expected.append(int(batch.images.sum()))
            totals.append(step(jax.dlpack.from_dlpack(batch.view("images"))))
            del batch
    assert [int(total) for total in totals] == expected
    del totals
    eventually(lambda: held(loader) == 0, "the last computation has let go of its slot")


def test_read_only_memory_comes_as_a_copy(load: Load) -> None:
    """JAX asks for a capsule without version, which cannot say read-only."""
    loader = load(share="broadcast")
    batch = next(iter(loader))
    expected = batch.images.copy()
    array = jax.dlpack.from_dlpack(batch.view("images"))
    batch.release()
    assert np.array_equal(array, expected) and held(loader) == 0


SCRIPT = """
import sys, jax, cropring
loader = cropring.Loader(sys.argv[1], batch_size=4, size=32, slots=3, threads=2)
batch = next(iter(loader))
jax.kept = jax.dlpack.from_dlpack(batch.view("images"))
capsule = batch.view("images").__dlpack__()
assert jax.kept.sum() > 0
"""


def test_the_interpreter_s_end_leaves_arrays_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, os.fspath(PHOTOS)], capture_output=True, text=True, timeout=2 * WATCHDOG_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
