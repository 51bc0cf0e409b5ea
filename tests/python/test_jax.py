"""cropring.jax: batches as JAX arrays, in the slot's memory or sent to devices."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import cropring
from conftest import PHOTOS, WATCHDOG_S, Server

jax = pytest.importorskip("jax", reason="JAX is not installed")
import cropring.jax  # noqa: E402

NAMES = ["images", "labels", "index", "box", "source_size", "flipped", "status"]
Load = Callable[..., cropring.jax.Loader]


@pytest.fixture
def jload() -> Iterator[Load]:
    """`jload(source=PHOTOS, **flags)`: a Loader of small batches that is closed after the test."""
    loaders = []

    def make(source: os.PathLike[str] | str = PHOTOS, **flags: object) -> cropring.jax.Loader:
        small: dict[str, object] = {"batch_size": 4, "size": 32, "slots": 3, "threads": 2}
        loaders.append(cropring.jax.Loader(source, **(small | flags)))
        return loaders[-1]

    yield make
    for loader in loaders:
        loader.close()


def held(loader: cropring.Loader) -> int:
    gc.collect()
    return loader.stats()["slots_held"]


def test_its_batches_are_those_of_the_loader(jload: Load, load: Callable[..., cropring.Loader]) -> None:
    ours, plain = jload(seed=3), load(seed=3)
    count = 0
    for batch, expected in zip(ours, plain, strict=True):
        for name in NAMES:
            assert isinstance(batch[name], jax.Array) and np.array_equal(batch[name], expected[name])
            assert batch[name] is getattr(batch, name)
        images, labels = batch
        assert images is batch.images and labels is batch.labels and images.dtype == np.uint8 and labels.dtype == np.int32
        assert (batch.seq, batch.epoch, len(batch), batch.redelivered) == (expected.seq, expected.epoch, 4, False)
        count += 1
    assert count == len(ours) == len(plain)


def test_on_the_cpu_an_array_is_the_slot_s_memory(jload: Load) -> None:
    loader = jload()
    assert loader._worker is not None
    begin, byte_count = loader._worker.ring.mapping
    for images, labels in loader:
        assert begin <= images.unsafe_buffer_pointer() < begin + byte_count
        assert not begin <= labels.unsafe_buffer_pointer() < begin + byte_count


def test_the_slot_comes_back_with_the_last_array(jload: Load) -> None:
    loader = jload()
    loop = iter(loader)
    images, labels = next(loop)
    assert held(loader) == 1
    del images
    assert held(loader) == 0 and labels.sum() >= 0
    batch = next(loop)
    box = batch.box
    del batch
    assert held(loader) == 1
    del box
    assert held(loader) == 0


def test_python_may_run_ahead_of_its_computations(jload: Load) -> None:
    """With three slots and steps that take longer than batches, the loop waits; no slot is filled again before it was read."""
    loader = jload(batch_size=4, size=64)

    @jax.jit
    def step(images: jax.Array) -> jax.Array:
        table = jax.numpy.arange(300.0).reshape(300, 1) @ jax.numpy.ones((1, 300))
        delay = jax.lax.fori_loop(0, 20, lambda i, square: (square @ table) % 7, table)
        return images.astype("int32").sum() + (delay[0, 0] < 0)

    totals, expected = [], []
    for batch in loader:
        expected.append(int(batch._host.images.sum()))
        totals.append(step(batch.images))
    assert [int(total) for total in totals] == expected and len(expected) == len(loader)


@pytest.mark.parametrize("keep", [lambda batch: batch, lambda batch: batch.images], ids=["batches", "arrays"])
def test_kept_arrays_are_no_computations_to_wait_for(jload: Load, keep: Callable[[cropring.jax.Batch], object]) -> None:
    loader = jload()
    kept = []
    with pytest.raises(cropring.SlotsExhausted, match="drop them"):
        for batch in loader:
            kept.append(keep(batch))
            del batch
    assert len(kept) == 3


def test_waiting_for_computations_has_an_end(jload: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps the slots here is NumPy's, which looks like a computation that goes on for ever."""
    monkeypatch.setattr(cropring.jax, "_PATIENCE_S", 0.1)
    loader = jload()
    kept = []
    with pytest.raises(cropring.SlotsExhausted):
        for batch in loader:
            kept.append(batch._host.images)
            del batch
    assert len(kept) == 3


def test_state_epochs_and_length_are_the_loader_s(jload: Load) -> None:
    loader = jload(seed=5)
    whole = [np.asarray(batch.index).tolist() for batch in loader]
    loader.set_epoch(0)
    loop = iter(loader)
    for _ in range(3):
        next(loop)
    state = json.loads(json.dumps(loader.state_dict()))
    assert (state["epoch"], state["samples_consumed"]) == (0, 12)
    other = jload(seed=9)
    other.load_state_dict(state)
    assert [np.asarray(batch.index).tolist() for batch in other] == whole[3:]


def test_a_dead_worker_is_replaced(jload: Load) -> None:
    loader = jload(seed=5)
    whole = [np.asarray(batch.index).tolist() for batch in loader]
    loader.set_epoch(0)
    seen = []
    for batch in loader:
        seen.append(np.asarray(batch.index).tolist())
        if len(seen) == 2:
            assert loader._worker is not None
            loader._worker.process.kill()
    assert seen == whole


def test_64_bits_stay_where_jax_has_them(jload: Load) -> None:
    with jax.enable_x64(True):
        batch = next(iter(jload()))
        assert batch.labels.dtype == batch.index.dtype == np.int64
        assert np.array_equal(batch.index, batch._host.index)


def test_an_attached_ring_s_batches(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=2", "--seed=4")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        rows = [np.asarray(index).tolist() for index in (batch.index for batch in cropring.jax.batches(reader))]
    plain = cropring.Loader(PHOTOS, batch_size=4, size=32, seed=4)
    assert rows == [batch.index.tolist() for _ in range(2) for batch in plain]
    plain.close()


def test_a_broadcast_ring_s_images_are_copies(jload: Load) -> None:
    loader = jload(share="broadcast")
    batch = next(iter(loader))
    images, expected = batch.images, batch._host.images.copy()
    del batch
    assert held(loader) == 0 and np.array_equal(images, expected)


def test_donated_images_are_the_program_s(jload: Load) -> None:
    """XLA may put a result into the slot's memory: it is this reader's alone until it goes back."""
    loader = jload()
    turn = jax.jit(lambda images: 255 - images, donate_argnums=0)
    for batch in loader:
        expected = 255 - batch._host.images
        assert np.array_equal(turn(batch.images), expected)


def test_targets_are_there_if_the_samples_have_them(jload: Load) -> None:
    with pytest.raises(AttributeError, match="targets"):
        _ = next(iter(jload())).targets
    with pytest.raises(KeyError):
        next(iter(jload()))["masks"]


def test_a_short_last_batch_cannot_be_divided() -> None:
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with pytest.raises(ValueError, match='tail="partial" with a sharding'):
        cropring.jax.Loader(PHOTOS, sharding=sharding, tail="partial")


def test_what_was_sent_keeps_its_slot_until_it_arrived(jload: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is waited for when the next one is on its way, and the last at the loop's end."""
    arrived: list[int] = []
    wait = cropring.jax.Batch._arrived
    monkeypatch.setattr(cropring.jax.Batch, "_arrived", lambda batch: (arrived.append(batch.seq), wait(batch)))
    loader = jload(sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]))
    loop = iter(loader)
    for number in range(len(loader)):
        images, _ = next(loop)
        assert arrived == list(range(number)) and held(loader) == 1
    assert list(loop) == [] and arrived == list(range(len(loader))) and held(loader) == 0
    assert not images.is_deleted()


# ---------------------------------------------------------------- other devices, in a process that has four

BEGIN = """
import gc, os, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import jax, numpy as np, cropring.jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding
FLAGS = dict(batch_size=4, size=32, slots=3, threads=2, seed=2)
plain = [{name: array.copy() for name, array in ((n, b[n]) for n in ("images", "labels", "box"))} for b in cropring.Loader(sys.argv[1], **FLAGS)]
def outside(loader, array):
    begin, count = loader._worker.ring.mapping
    return all(not begin <= part.data.unsafe_buffer_pointer() < begin + count for part in array.addressable_shards)
def check(look, **keywords):
    loader = cropring.jax.Loader(sys.argv[1], **FLAGS, **keywords)
    kept = []
    for turn in range(2):
        loader.set_epoch(0)
        for batch, expected in zip(loader, plain, strict=True):
            images, labels = batch
            assert np.array_equal(images, expected["images"]) and np.array_equal(labels, expected["labels"]) and labels.dtype == np.int32
            assert np.array_equal(batch.box, expected["box"])
            assert outside(loader, images) and outside(loader, batch.box)
            kept.append(images)
            gc.collect()
            assert loader.stats()["slots_held"] <= 2, loader.stats()
            look(batch)
            del batch
    gc.collect()
    assert loader.stats()["slots_held"] == 0
    for images, expected in zip(kept, plain * 2, strict=True):  # which stay as they are, however often their slots were filled
        assert np.array_equal(images, expected["images"])
"""

SHARDED = """
mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("data", "model"))
sharding = NamedSharding(mesh, PartitionSpec("data", None, None, None))
def is_sharded(batch):
    assert batch.images.sharding.is_equivalent_to(sharding, 4)
    assert batch.labels.sharding.is_equivalent_to(NamedSharding(mesh, PartitionSpec("data")), 1)
    assert {part.data.shape for part in batch.images.addressable_shards} == {(2, 32, 32, 3)}
check(is_sharded, sharding=sharding)
def is_there(batch):
    assert batch.images.devices() == {jax.devices()[3]}
check(is_there, sharding=SingleDeviceSharding(jax.devices()[3]))
"""

DEFAULT_DEVICE = """
def is_there(batch):
    assert batch.images.devices() == {jax.devices()[1]}
with jax.default_device(jax.devices()[1]):
    check(is_there)
"""

DONATED = """
turn = jax.jit(lambda images: 255 - images, donate_argnums=0)
sharding = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
for (images, labels), expected in zip(cropring.jax.Loader(sys.argv[1], sharding=sharding, **FLAGS), plain, strict=True):
    assert np.array_equal(turn(images), 255 - expected["images"])
"""


def test_arrays_are_sent_where_they_are_wanted() -> None:
    """In one process, which imports JAX once."""
    script = BEGIN + SHARDED + DEFAULT_DEVICE + DONATED
    done = subprocess.run([sys.executable, "-c", script, os.fspath(PHOTOS)], capture_output=True, text=True, timeout=3 * WATCHDOG_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr


PROCESSES = """
import sys, jax
number = int(sys.argv[2])
jax.distributed.initialize(sys.argv[3], 2, number)
import numpy as np, cropring.jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
sharding = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
loader = cropring.jax.Loader(sys.argv[1], batch_size=4, size=32, slots=3, threads=1, seed=2, sharding=sharding)
assert (loader.rank, loader.world_size) == (number, 2)
total = jax.jit(lambda images: images.astype("int32").sum())
rows = [[batch.images.shape[0], len(batch), int(total(batch.images)), np.asarray(batch.index.addressable_data(0)).tolist()] for batch in loader]
print(rows)
"""


def test_each_process_brings_its_rows(free_port: int) -> None:
    address = f"127.0.0.1:{free_port}"
    both = [
        subprocess.Popen([sys.executable, "-c", PROCESSES, os.fspath(PHOTOS), str(number), address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    outputs = [process.communicate(timeout=2 * WATCHDOG_S) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    rows = [json.loads(next(line for line in output.splitlines() if line.startswith("[["))) for output, _ in outputs]
    plain = cropring.Loader(PHOTOS, batch_size=8, size=32, seed=2)
    for first, second, whole in zip(*rows, plain, strict=True):
        assert first[:3] == second[:3] == [8, 4, int(whole.images.sum())]
        assert sorted(first[3] + second[3]) == sorted(whole.index.tolist())
    plain.close()
