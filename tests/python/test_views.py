"""Whatever is derived from a batch's arrays keeps its slot: no live view ever changes while the ring goes on, and the slot comes back.

The ring is reused with poison: every other batch is filled with 0xAA before it is given back, and the worker fills its slot again.  A slot
that two batches share would show.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import gc
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import cropring
from conftest import PHOTOS, WATCHDOG_S, Server

Load = Callable[..., cropring.Loader]
SLOTS, POISON, TURNS = 3, 0xAA, 2  # TURNS: how often each of the other slots is filled again


class Keeper:
    """An object with attributes, for cycles and tracebacks."""


def raised_with(array: np.ndarray) -> BaseException:
    """An exception whose traceback holds the array."""

    def step(images: np.ndarray) -> None:
        raise RuntimeError(f"loss is nan in a batch of {len(images)}")

    try:
        step(array)
    except RuntimeError as error:
        kept = error
    return kept


def in_a_cycle(array: np.ndarray) -> Keeper:
    keeper = Keeper()
    keeper.itself, keeper.array = keeper, array  # type: ignore[attr-defined]
    return keeper


def generator_over(array: np.ndarray) -> Iterator[np.ndarray]:
    def rows() -> Iterator[np.ndarray]:
        yield from array

    begun = rows()
    next(begun)
    return begun


def in_a_thread(array: np.ndarray) -> Callable[[], None]:
    """A thread whose stack holds the array until what is returned is called."""
    done, begun = threading.Event(), threading.Event()

    def hold(images: np.ndarray) -> None:
        begun.set()
        done.wait()

    thread = threading.Thread(target=hold, args=(array,))
    thread.start()
    begun.wait()

    class Holder:
        def __del__(self) -> None:
            done.set()
            thread.join()

    return Holder()  # type: ignore[return-value]


DERIVED: dict[str, Callable[[np.ndarray], object]] = {
    "the array itself": lambda a: a,
    "a slice": lambda a: a[1:3, ::2],
    "one row": lambda a: a[2],
    "one pixel": lambda a: a[2, 3:4, 5:6, 1:2],
    "backwards": lambda a: a[::-1, ::-1],
    "transpose": lambda a: a.T,
    "swapaxes": lambda a: a.swapaxes(1, 3),
    "reshape": lambda a: a.reshape(a.shape[0], -1),
    "ravel": lambda a: a.ravel(),
    "another dtype": lambda a: a.view(np.int8),
    "a new axis": lambda a: a[np.newaxis],
    "broadcast_to": lambda a: np.broadcast_to(a, (2, *a.shape)),
    "as_strided": lambda a: as_strided(a, (2, 2), (1, 1)),
    "sliding windows": lambda a: sliding_window_view(a[0, 0, :, 0], 3),
    "the last of a split": lambda a: np.split(a, 2)[-1],
    "a memoryview": lambda a: memoryview(a),
    "a part of a memoryview": lambda a: memoryview(a).cast("B")[7:9],
    "a flat iterator": lambda a: a.flat,
    "frombuffer": lambda a: np.frombuffer(memoryview(a).cast("B"), np.uint8),
    "a subclass": lambda a: a.view(np.recarray),
    "a masked array": lambda a: np.ma.array(a, copy=False),
    "a ctypes array": lambda a: np.ctypeslib.as_ctypes(a[0]),
    "ctypes from_buffer": lambda a: (ctypes.c_uint8 * a.nbytes).from_buffer(memoryview(a).cast("B")),
    "a ctypes pointer": lambda a: a.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
    "DLPack": lambda a: np.from_dlpack(a),
    "an nditer": lambda a: np.nditer(a),
    "an object array's element": lambda a: np.array([a[0], None], dtype=object),
    "a partial call": lambda a: functools.partial(np.add, a),
    "a closure": lambda a: lambda: a,
    "a generator": generator_over,
    "a thread": in_a_thread,
    "a reference cycle": in_a_cycle,
    "a saved traceback": raised_with,
    "torch.from_numpy": lambda a: pytest.importorskip("torch").from_numpy(a).permute(0, 3, 1, 2)[1:],
}


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def held(loader: cropring.Loader) -> int:
    return loader.stats()["slots_held"]


def batches(loader: cropring.Loader) -> Iterator[cropring.Batch]:
    while True:
        yield from loader


def poison(loop: Iterator[cropring.Batch], count: int) -> set[int]:
    """Takes so many batches, fills all their arrays with POISON and gives them back; returns where their images were."""
    places = set()
    for _ in range(count):
        batch = next(loop)
        assert not (batch.images == POISON).all(), "a batch came with poison in it"
        for name in ("images", "labels", "index", "box", "source_size", "flipped", "status"):
            batch[name].view(np.uint8)[...] = POISON
        places.add(address(batch.images))
        batch.release()
    return places


@pytest.fixture(scope="module")
def endless() -> Iterator[tuple[cropring.Loader, Iterator[cropring.Batch]]]:
    """One worker for all kinds: a slot that one of them left behind would be missed by the next."""
    with cropring.Loader(PHOTOS, batch_size=4, size=32, slots=SLOTS, threads=2) as loader:
        yield loader, batches(loader)


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_a_derived_view_keeps_its_slot(endless: tuple[cropring.Loader, Iterator[cropring.Batch]], derive: Callable[[np.ndarray], object]) -> None:
    loader, loop = endless
    batch = next(loop)
    view = derive(batch.images)
    begin, before = address(batch.images), batch.images.tobytes()
    del batch
    gc.collect()
    assert held(loader) == 1
    others = poison(loop, TURNS * SLOTS)
    assert begin not in others and len(others) == SLOTS - 1
    assert ctypes.string_at(begin, len(before)) == before
    assert held(loader) == 1

    del view
    gc.collect()
    assert held(loader) == 0
    assert begin in poison(loop, TURNS * SLOTS)


def test_views_of_many_batches_stay_as_they_are_side_by_side(load: Load) -> None:
    """Every kind at once, each from a batch of its own; they die in another order than they were born."""
    kinds = [derive for name, derive in DERIVED.items() if name != "torch.from_numpy"]
    loader = load(slots=len(kinds) + 2, size=16)
    loop = batches(loader)
    kept: dict[int, tuple[object, int, bytes]] = {}
    for number, derive in enumerate(kinds):
        batch = next(loop)
        kept[number] = derive(batch.images), address(batch.images), batch.images.tobytes()
        del batch
        poison(loop, 2)
    for number in sorted(kept, key=lambda number: number * 17 % len(kinds)):
        gc.collect()
        assert held(loader) == len(kept)
        for begin, before in [entry[1:] for entry in kept.values()]:  # no name may hold a view itself
            assert ctypes.string_at(begin, len(before)) == before
        del kept[number]
        poison(loop, 3)
    gc.collect()
    assert held(loader) == 0


def test_a_copy_keeps_no_slot(load: Load) -> None:
    loader = load(slots=SLOTS)
    loop = batches(loader)
    copies = []
    for duplicate in (lambda a: pickle.loads(pickle.dumps(a)), np.copy, copy.deepcopy, lambda a: a[[0, 1]], lambda a: a + 0, np.ascontiguousarray):
        batch = next(loop)
        is_copy = duplicate is not np.ascontiguousarray  # which has nothing to do
        copies.append((duplicate(batch.images) if is_copy else duplicate(batch.images[:, ::2]), batch.images.tobytes()))
        del batch
    assert held(loader) == 0
    before = [duplicate.tobytes() for duplicate, _ in copies]
    assert before[0] == copies[0][1] and before[1] == copies[1][1] and before[2] == copies[2][1]
    poison(loop, TURNS * SLOTS)
    assert [duplicate.tobytes() for duplicate, _ in copies] == before


def test_a_view_in_a_cycle_waits_for_the_collector(load: Load) -> None:
    loader = load()
    gc.disable()
    try:
        cycle = in_a_cycle(next(iter(loader)).images)
        del cycle
        assert held(loader) == 1
    finally:
        gc.enable()
    gc.collect()
    assert held(loader) == 0


def test_a_kept_exception_keeps_the_batch_until_its_traceback_goes(load: Load) -> None:
    loader = load()
    kept = raised_with(next(iter(loader)).images)
    gc.collect()
    assert held(loader) == 1
    kept.__traceback__ = None
    gc.collect()
    assert held(loader) == 0


@pytest.mark.parametrize("derive", [DERIVED[name] for name in ("a slice", "a memoryview", "a ctypes array", "broadcast_to", "a generator")])
def test_release_refuses_while_a_derived_view_is_alive(load: Load, derive: Callable[[np.ndarray], object]) -> None:
    loader = load(slots=SLOTS)
    loop = batches(loader)
    batch = next(loop)
    begin, before = address(batch.images), batch.images.tobytes()
    view = derive(batch.images)
    for _ in range(2):
        with pytest.raises(BufferError, match=r"still alive"):
            batch.release()
        poison(loop, SLOTS)
    assert held(loader) == 1 and ctypes.string_at(begin, len(before)) == before
    del view
    batch.release()
    assert held(loader) == 0


# ---------------------------------------------------------------- forked children

FORKS = """
import gc, os, sys, cropring
reader = cropring.attach(sys.argv[1], wait=float(sys.argv[2]))
kept = [next(reader), next(reader)]
images = kept[0].images
before = images.tobytes()
for round in range(int(sys.argv[3])):
    pids = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            for use in (lambda: next(reader), lambda: kept[1].images, kept[1].release, reader.stats):
                try:
                    use()
                except RuntimeError as error:
                    assert "fork" in str(error), error
                else:
                    os._exit(9)
            if number == 0:
                os._exit(0)
            if number == 1:
                reader.close()
            if number == 2:
                del kept, images, reader
                gc.collect()
            sys.exit(0)  # runs every finalizer
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    assert reader.stats()["slots_held"] == 2, reader.stats()
    for _ in range(3):
        batch = next(reader)
        batch.images[...] = 0xAA
        batch.release()
    assert images.tobytes() == before
print("sound")
"""


def test_forked_children_can_neither_use_nor_release(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=0")
    script = subprocess.run(
        [sys.executable, "-c", FORKS, server.name, str(WATCHDOG_S), "25"], capture_output=True, text=True, timeout=2 * WATCHDOG_S
    )
    assert (script.returncode, script.stdout, script.stderr) == (0, "sound\n", "")
