"""to_device(), on a device whose copies are late: what the loop gets, and that no slot is given back before its copy happened."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="cropring.torch needs PyTorch")

import cropring  # noqa: E402
import cropring.torch  # noqa: E402
from conftest import WATCHDOG_S, Server, eventually  # noqa: E402
from cropring.torch.carrier import SlotsInCopy  # noqa: E402
from cropring.torch.conversion import Conversion  # noqa: E402
from cropring.torch.device import DeviceLoader, DeviceReader  # noqa: E402
from cropring.torch.pinned import PinnedRing  # noqa: E402
from late_device import LateDevice, LateEvent  # noqa: E402

Batch = tuple[bytes, ...]
Make = Callable[..., DeviceLoader]
EPOCHS, LATE = 3, 10**6  # so many looks: an event is reached only when someone waits for it


@pytest.fixture
def make(photos: Path) -> Iterator[Make]:
    """`make(device, prefetch=2, pin=True, **flags)`: a loader with three slots, on that device."""
    loaders = []

    def make(device: LateDevice, prefetch: int = 2, pin: Any = True, conversion: Conversion | None = None, **flags: Any) -> DeviceLoader:
        loader = cropring.torch.Loader(photos, **({"batch_size": 4, "size": 32, "slots": 3, "threads": 2, "seed": 5} | flags))
        loaders.append(loader)
        return DeviceLoader(loader, device, conversion or Conversion(), prefetch, pin)

    yield make
    for loader in loaders:
        loader.close()


def content(batch: Any) -> Batch:
    """Of a batch of arrays, or of one of tensors once its device has finished."""
    images = batch.images if isinstance(batch.images, np.ndarray) else batch.images.permute(0, 2, 3, 1).contiguous()
    others = (batch[name] for name in ("labels", "index", "box", "source_size", "flipped", "status"))
    return tuple(np.asarray(part).tobytes() for part in (images, *others))


@pytest.fixture(scope="module")
def expected() -> list[list[Batch]]:
    """What each epoch has."""
    from conftest import PHOTOS

    with cropring.Loader(PHOTOS, batch_size=4, size=32, threads=2, seed=5) as loader:
        return [[content(batch) for batch in loader] for _ in range(EPOCHS)]


@pytest.mark.parametrize("looks", [0, 2, LATE])
@pytest.mark.parametrize("prefetch", [0, 1, 2, 4])
def test_every_batch_arrives_whole_in_few_slots(make: Make, expected: list[list[Batch]], prefetch: int, looks: int) -> None:
    device = LateDevice(looks)
    loader = make(device, prefetch)
    epochs = [list(loader) for _ in range(EPOCHS)]  # the loop runs far ahead of the device
    device.finish()
    assert [[content(batch) for batch in epoch] for epoch in epochs] == expected
    assert device.torn == []


def test_a_slot_that_is_given_back_before_its_copy_is_seen(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail."""
    monkeypatch.setattr(SlotsInCopy, "add", lambda self, done, batch: None)
    device = LateDevice(LATE)
    loader = make(device)
    for batch in loader:
        eventually(lambda: loader.stats()["slots_ready"] + loader.stats()["slots_held"] == 3, "the worker has filled what was free")
    device.finish()
    assert device.torn and "changed before it was copied" in device.torn[0]


def test_staging_memory_that_is_filled_before_it_was_read_is_seen(make: Make, expected: list[list[Batch]], monkeypatch: pytest.MonkeyPatch) -> None:
    copy = LateDevice.copy
    monkeypatch.setattr(LateDevice, "copy", lambda self, pairs, after: copy(self, pairs, None))
    device = LateDevice(LATE)
    batches = list(make(device))
    device.finish()
    assert [content(batch) for batch in batches] != expected[0]


# ---------------------------------------------------------------- what there is besides batches


def states(loader: Any) -> list[dict[str, Any]]:
    return [loader.state_dict() for _ in loader] + [loader.state_dict()]


@pytest.mark.parametrize("prefetch", [0, 3])
def test_a_state_counts_what_was_handed_out_and_nothing_beyond(make: Make, load: Callable[..., cropring.Loader], prefetch: int) -> None:
    plain = load(seed=5)
    loader = make(LateDevice(), prefetch, slots=8)
    assert loader.state_dict() == plain.state_dict()
    for _ in range(2):
        assert states(loader) == states(plain)


def test_a_run_goes_on_after_the_batch_that_was_handed_out_last(make: Make, expected: list[list[Batch]]) -> None:
    loader = make(LateDevice(), 3, slots=8)
    eventually(lambda: loader.stats()["slots_ready"] == 8, "the ring is full")
    for place, _ in enumerate(loader):
        if place == 2:
            break
    assert loader.loader.state_dict() != loader.state_dict()  # it is ahead
    device = LateDevice()
    resumed = make(device, 3, slots=8)
    resumed.load_state_dict(loader.state_dict())
    assert resumed.state_dict() == loader.state_dict()
    rest, following = list(resumed), list(resumed)
    device.finish()
    assert [content(batch) for batch in rest] == expected[0][3:]
    assert [content(batch) for batch in following] == expected[1]


def test_set_epoch_goes_where_it_says(make: Make, expected: list[list[Batch]]) -> None:
    device = LateDevice(LATE)
    loader = make(device)
    batches = []
    for epoch in (2, 0, 1):
        loader.sampler.set_epoch(epoch)
        assert loader.state_dict()["epoch"] == epoch
        batches.append([content_later(device, batch) for batch in loader])
    assert batches == [expected[2], expected[0], expected[1]]
    assert device.torn == []


def test_set_epoch_after_a_loop_that_was_left_counts_from_there(make: Make) -> None:
    loader = make(LateDevice())
    next(iter(loader))
    loader.set_epoch(7)
    state = loader.state_dict()
    assert (state["epoch"], state["samples_consumed"]) == (7, 0)
    assert next(iter(loader)).epoch == 7


def content_later(device: LateDevice, batch: Any) -> Batch:
    device.finish()
    return content(batch)


def test_a_loop_that_is_left_early_disturbs_no_other(make: Make, expected: list[list[Batch]]) -> None:
    device = LateDevice(LATE)
    loader = make(device, 3, slots=6)
    eventually(lambda: loader.stats()["slots_ready"] == 6, "the ring is full")
    for place, batch in enumerate(loader):
        if place == 1:
            break
    assert loader.loader.stats()["slots_held"] > 1  # which are still copied from
    following = list(loader)
    device.finish()
    assert [content(batch) for batch in following] == expected[1]
    assert device.torn == [] and content(batch) == expected[0][1]


def test_only_the_newest_loop_hands_out_batches(make: Make) -> None:
    loader = make(LateDevice(), 3, slots=8)
    old = iter(loader)
    next(old)
    next(iter(loader))
    with pytest.raises(cropring.CropringError, match="this loop is over: "):
        next(old)
    assert loader.state_dict()["epoch"] == 1


def test_a_loop_in_inference_mode_disturbs_no_later_one(make: Make, expected: list[list[Batch]]) -> None:
    device = LateDevice()
    loader = make(device)
    with torch.inference_mode():
        validated = list(loader)
        device.finish()
    trained = list(loader)
    device.finish()
    assert [[content(batch) for batch in epoch] for epoch in (validated, trained)] == expected[:2]
    assert validated[0].images.is_inference() and not trained[0].images.is_inference()


def test_all_that_the_loop_s_work_reads_is_told_to_the_device(make: Make) -> None:
    class Listening(LateDevice):
        def consume(self, work: Any, reads: Any, after: Any) -> Any:
            reads = list(reads)
            told.append({tensor.data_ptr() for tensor in reads})
            counts.append(len(reads))
            return super().consume(work, reads, after)

    told: list[set[int]] = []
    counts: list[int] = []
    conversion = Conversion(mean=[0.5, 0.25, 0.125], std=0.5)
    list(make(Listening(), conversion=conversion))
    assert {constant.data_ptr() for constant in conversion.constants_on(torch.device("cpu"))} <= set.intersection(*told)
    assert set(counts) == {5}  # and the images and labels


class Broken:
    """A sampler that names so many samples and then fails."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        yield from range(self.count)
        raise OSError("the list of samples is gone")


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_what_the_loader_raises_comes_after_the_batches_before_it(make: Make, prefetch: int) -> None:
    device = LateDevice()
    batches = []
    with pytest.raises(OSError, match="the list of samples is gone"):
        for batch in make(device, prefetch, slots=8, sampler=Broken(12)):
            batches.append(batch)
    device.finish()
    assert [batch.index.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_batch_lost_to_an_exception_is_not_passed_over_in_silence(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = make(LateDevice(), 0)
    loop = iter(loader)
    next(loop)
    state = loader.state_dict()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LateDevice, "copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(loop)
    with pytest.raises(cropring.CropringError, match="begin another loop"):
        next(loop)
    assert loader.state_dict() == state


def test_batches_of_other_sizes_come_and_go(make: Make, load: Callable[..., cropring.Loader]) -> None:
    sizes = [[0, 1], [2, 3, 4, 5], [6], [7, 8, 9], [10, 11, 12, 13]]
    device = LateDevice(LATE)
    batches = list(make(device, 1, sampler=sizes))
    device.finish()
    assert [batch.index.tolist() for batch in batches] == sizes
    assert [content(batch) for batch in batches] == [content(batch) for batch in load(seed=5, sampler=sizes)]


def test_targets_are_carried_too(make: Make, photos: Path) -> None:
    device = LateDevice()
    loader = make(device, targets=photos)
    batch = next(iter(loader))
    device.finish()
    assert batch.targets.shape == (4, 32, 32) and batch.targets.dtype == torch.uint8


def test_fewer_slots_than_prefetch_are_no_error(make: Make, expected: list[list[Batch]]) -> None:
    device = LateDevice(LATE)
    loader = make(device, 20)
    held = []
    batches = []
    for batch in loader:
        batches.append(batch)
        held.append(loader.loader.stats()["slots_held"])
    device.finish()
    assert [content(batch) for batch in batches] == expected[0]
    assert max(held) <= 3 and device.torn == []


def test_a_batch_is_waited_for_only_when_none_is_on_its_way(make: Make) -> None:
    loader = make(LateDevice(0), 3, slots=5)
    eventually(lambda: loader.stats()["slots_ready"] == 5, "the ring is full")
    process = loader.loader._worker.process
    loop = iter(loader)
    seqs: list[int] = []
    thread = threading.Thread(target=lambda: seqs.extend(next(loop).seq for _ in range(5)))
    os.kill(process.pid, signal.SIGSTOP)
    try:
        thread.start()
        thread.join(WATCHDOG_S)
        assert seqs == list(range(5))
    finally:
        os.kill(process.pid, signal.SIGCONT)
        thread.join()


def test_a_slot_is_given_back_with_the_next_batch_once_its_copy_is_done(make: Make) -> None:
    loader = make(LateDevice(0), 0, slots=8)
    eventually(lambda: loader.stats()["slots_ready"] == 8, "the ring is full")
    held = [loader.stats()["slots_held"] for _ in zip(range(4), loader)]
    assert held == [1, 1, 1, 1]


# ---------------------------------------------------------------- page-locked memory


def test_each_ring_is_registered_once_and_as_long_as_it_is_there(make: Make, expected: list[list[Batch]]) -> None:
    device = LateDevice(LATE)
    loader = make(device, slots=4)
    eventually(lambda: loader.stats()["pinned"] == 1, "the ring is pinned before the first batch")
    worker = loader.loader._worker
    assert device.registered == dict([worker.ring.mapping])
    batches = []
    for epoch in range(EPOCHS):
        for place, batch in enumerate(loader):
            batches.append(batch)
            if (epoch, place) == (1, 2):
                os.kill(loader.loader._worker.process.pid, signal.SIGKILL)
    eventually(lambda: device.registrations == 2 and len(device.registered) == 1, "the second ring is registered and the first is not")
    others = [loader.loader.to_device("cpu"), DeviceLoader(loader.loader, device, Conversion(), 1, True)]
    assert device.registrations == 2 and others
    loader.close()
    assert device.registered == {} and device.torn == []
    device.finish()
    assert [content(batch) for batch in batches] == [batch for epoch in expected for batch in epoch]


def test_loaders_made_for_each_epoch_leave_nothing_behind(make: Make, expected: list[list[Batch]]) -> None:
    device = LateDevice(LATE)
    first = make(device)
    worker = first.loader._worker
    for epoch in range(EPOCHS):
        batches = list(DeviceLoader(first.loader, device, Conversion(), 2, True))
        device.finish()
        assert [content(batch) for batch in batches] == expected[epoch]
    gc.collect()
    assert device.registrations == 1 and device.torn == []
    assert first.loader._worker is worker and len(worker.before_leaving) == 2  # the ring's pin, and what `first` has in copy


def test_the_worker_ends_with_its_last_loader(photos: Path) -> None:
    """And need not wait for the garbage collector."""
    device = LateDevice(LATE)
    gc.collect()
    gc.disable()
    try:
        for way in (lambda plain: plain.to_device("cpu", mean=0.5), lambda plain: DeviceLoader(plain, device, Conversion(), 2, True)):
            plain = cropring.torch.Loader(photos, batch_size=4, size=32, slots=6, threads=2)
            process = plain._worker.process
            loader: Any = way(plain)
            for _ in loader:
                break
            del loader, plain
            assert process.poll() is not None
    finally:
        gc.enable()
    assert device.registered == {} and device.torn == []


@pytest.mark.parametrize("order", ["the loader first", "the device loader first", "a batch lives on"])
def test_whatever_dies_first_copies_come_to_an_end_before_the_memory_goes(photos: Path, order: str) -> None:
    device = LateDevice(LATE)
    plain = cropring.torch.Loader(photos, batch_size=4, size=32, slots=6, threads=2)
    loader: Any = DeviceLoader(plain, device, Conversion(), 2, True)
    loop: Any = iter(loader)
    batch: Any = next(loop)
    eventually(lambda: device.registered, "the ring is pinned")
    assert device.copies > 0
    if order == "the loader first":
        plain.close()
    elif order == "a batch lives on":
        del plain
    del loader, loop
    plain = None
    gc.collect()
    assert device.registered == {} and device.torn == []
    device.finish()
    assert batch.images.shape == (4, 3, 32, 32)


def test_a_ring_that_cannot_be_pinned_is_told_once_and_used_all_the_same(
    make: Make, expected: list[list[Batch]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PinnedRing, "_has_warned", False)
    device = LateDevice(failure="cudaHostRegister: operation not supported")
    with pytest.warns(RuntimeWarning, match="cannot be page-locked: cudaHostRegister: operation not supported; copies to the device are slower"):
        loader = make(device)
        PinnedRing.of(loader.loader._worker, device)._registration.decided.wait()
        batches = list(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches += list(loader) + list(make(LateDevice(failure="no")))
    device.finish()
    assert [content(batch) for batch in batches[: len(expected[0])]] == expected[0]
    assert loader.stats()["pinned"] == 0


def test_a_pin_that_is_required_raises(make: Make) -> None:
    with pytest.raises(cropring.CropringError, match='pin="require": the ring\'s 0 MB cannot be page-locked: no such luck'):
        make(LateDevice(failure="no such luck"), pin="require")
    assert make(LateDevice(), pin="require").stats()["pinned"] == 1


def test_without_a_pin_nothing_is_registered(make: Make) -> None:
    device = LateDevice()
    loader = make(device, pin=False)
    list(loader)
    assert device.registrations == 0 and loader.stats()["pinned"] == 0
    assert sum(1 for _ in loader.loader) == len(loader)  # so its own batches may be had as well


def test_copies_from_before_the_ring_was_pinned_end_before_it_is_not_any_more(make: Make) -> None:
    device = LateDevice(LATE)
    unpinned = make(device, slots=6, pin=False)
    eventually(lambda: unpinned.stats()["slots_ready"] == 6, "the ring is full")
    next(iter(unpinned))
    pinned = DeviceLoader(unpinned.loader, device, Conversion(), 2, "require")
    assert unpinned.loader.stats()["slots_held"] > 0
    unpinned.close()
    assert device.torn == [] and device.registered == {} and pinned.stats()["pinned"] == 0


def test_a_fork_leaves_the_device_alone(make: Make, expected: list[list[Batch]]) -> None:
    device = LateDevice(LATE)
    loader = make(device, slots=6)
    eventually(lambda: loader.stats()["slots_ready"] == 6 and loader.stats()["pinned"], "the ring is full and pinned")
    loop = iter(loader)
    batches = [next(loop)]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(RuntimeError, match="of which this one is a fork"):
                list(loop)
            loader.close()
            loader._way.carrier.slots.end()  # as its finalizer does
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    batches += list(loop)
    device.finish()
    assert [content(batch) for batch in batches] == expected[0] and device.torn == []


def test_batches_in_pinned_memory_are_not_handed_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PinnedRing, "_has_warned", True)
    loader = make(LateDevice())
    for other in (loader.loader, loader.loader.to_device("cpu")):
        with pytest.raises(RuntimeError, match="iterate over what to_device"):
            iter(other)
    failed = make(LateDevice(failure="no"))
    eventually(lambda: failed.loader._worker and PinnedRing.of(failed.loader._worker, LateDevice())._registration.decided.is_set(), "the failure")
    assert sum(1 for _ in failed.loader) == len(failed)


def test_batches_of_a_pinned_reader_are_not_handed_out(serve: Callable[..., Server]) -> None:
    with cropring.torch.attach(serve("--epochs=0").name, wait=5) as reader:
        next(reader)
        on_device = DeviceReader(reader, LateDevice(), Conversion(), 1, True)
        for other in (reader, reader.to_device("cpu")):
            with pytest.raises(RuntimeError, match="iterate over what to_device"):
                next(other)
        assert [next(on_device).seq for _ in range(3)] == [1, 2, 3]


def test_a_loader_that_another_thread_closes_waits_for_its_copies(make: Make) -> None:
    device = LateDevice(LATE)
    loader = make(device, 2, slots=6)
    loop = iter(loader)
    next(loop)
    thread = threading.Thread(target=loader.close)
    thread.start()
    thread.join()
    assert device.torn == [] and device.registered == {}
    with pytest.raises((cropring.CropringError, ValueError)):
        list(loop)


def test_a_signal_s_handler_may_close_the_loader_whenever_it_comes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while copies are looked at."""
    device = LateDevice(LATE)
    before = signal.signal(signal.SIGUSR1, lambda *_: loader.close())
    try:
        for look in ("query", "synchronize"):
            plain = getattr(LateEvent, look)

            def look_and_be_interrupted(event: LateEvent, plain: Callable[[LateEvent], Any] = plain) -> Any:
                found = plain(event)
                monkeypatch.undo()
                signal.raise_signal(signal.SIGUSR1)
                return found

            loader = make(device, 1, slots=6)
            eventually(lambda: loader.stats()["slots_ready"] == 6, "the ring is full")
            loop = iter(loader)
            next(loop)
            monkeypatch.setattr(LateEvent, look, look_and_be_interrupted)
            with pytest.raises((cropring.CropringError, ValueError)):
                list(loop)
            assert loader.loader._worker is None
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert device.torn == [] and device.registered == {}


AT_EXIT = """
import atexit, sys
atexit.register(lambda: print(device.copies > 0, device.torn, device.registered))  # the first to be registered is the last to be called
import cropring.torch
from cropring.torch.conversion import Conversion
from cropring.torch.device import DeviceLoader
from late_device import LateDevice
device = LateDevice(10**6)
plain = cropring.torch.Loader(sys.argv[1], batch_size=4, size=32, threads=2)
loader = DeviceLoader(plain, device, Conversion(), 2, "require")
next(iter(loader))
"""


def test_at_the_program_s_end_copies_come_to_an_end_before_the_memory_is_not_pinned_any_more(photos: Path) -> None:
    here = os.fspath(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, photos], env=os.environ | {"PYTHONPATH": here}, capture_output=True, text=True, timeout=3 * WATCHDOG_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True [] {}\n", "")


# ---------------------------------------------------------------- readers


@pytest.mark.parametrize("share", ["lanes", "broadcast"])
def test_a_reader_of_a_shared_ring_carries_its_batches(serve: Callable[..., Server], share: str) -> None:
    server = serve("--share", share, "--readers=2", "--slots=6", "--epochs=2", "--seed=5")
    device = LateDevice(2)
    with cropring.torch.attach(server.name, wait=5, lane=0) as first, cropring.attach(server.name, lane=1) as second:
        carried: dict[int, Any] = {}
        plain: dict[int, Batch] = {}
        reader = DeviceReader(first, device, Conversion(), 2, True)

        def read() -> None:
            plain.update({batch.seq: content(batch) for batch in second})

        thread = threading.Thread(target=read)
        thread.start()
        carried = {batch.seq: batch for batch in reader}
        thread.join()
        device.finish()
        if share == "broadcast":
            assert {seq: content(batch) for seq, batch in carried.items()} == plain
        else:
            assert sorted([*carried, *plain]) == list(range(len(carried) + len(plain)))
        assert device.torn == [] and reader.stats()["slots_held"] == 0
    assert device.registered == {} and server.wait() == 0


def test_a_wait_for_a_batch_that_takes_too_long_can_be_repeated(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=0")
    device = LateDevice()
    with DeviceReader(cropring.torch.attach(server.name, wait=5, timeout=0.05), device, Conversion(), 1, True) as reader:
        eventually(lambda: reader.stats()["slots_ready"] == 3, "the ring is full")
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            seen = []
            with pytest.raises(TimeoutError):
                seen.extend(batch.seq for batch in reader)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        eventually(lambda: reader.stats()["slots_ready"] > 0, "the worker goes on")
        assert [*seen, next(reader).seq] == list(range(len(seen) + 1))
    assert device.torn == []


def test_looks_are_counted() -> None:
    """The late device is late."""
    device = LateDevice(2)
    source, room = torch.arange(4), torch.zeros(4, dtype=torch.int64)
    event = device.copy([(source, room)], None)
    assert isinstance(event, LateEvent)
    assert [event.query(), event.query(), room.sum().item(), event.query(), room.tolist()] == [False, False, 0, True, [0, 1, 2, 3]]
