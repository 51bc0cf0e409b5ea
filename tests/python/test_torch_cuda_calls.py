"""What cuda.py asks PyTorch for, in which order: without a GPU, whose streams, events and runtime are played here."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="cropring.torch needs PyTorch")

from conftest import eventually  # noqa: E402
from cropring.torch.cuda import Cuda  # noqa: E402
from cropring.torch.pinned import PinnedRing  # noqa: E402

Calls = list[tuple[Any, ...]]
ADDRESS, BYTE_COUNT = 4096, 8192


class Tensor:
    """One that says what is done with it."""

    def __init__(self, name: str, calls: Calls) -> None:
        self.name, self.calls = name, calls

    def copy_(self, source: Tensor, non_blocking: bool = False) -> None:
        self.calls.append(("copy", source.name, self.name, non_blocking, CurrentStream.name))

    def record_stream(self, stream: Stream) -> None:
        self.calls.append(("keep", self.name, stream.name))


class Stream:
    def __init__(self, name: str, calls: Calls) -> None:
        self.name, self.calls = name, calls

    def wait_event(self, event: str) -> None:
        self.calls.append(("wait", self.name, event))

    def record_event(self) -> str:
        self.calls.append(("record", self.name))
        return f"event of {self.name}"


class CurrentStream:
    name = "consumer"


class Error:
    """As pybind11 makes enums: no int, but made into one."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __int__(self) -> int:
        return self.number


class Runtime:
    def __init__(self, calls: Calls, errors: list[int]) -> None:
        self.calls, self.errors = calls, errors

    def cudaHostRegister(self, address: int, byte_count: int, flags: int) -> Error:  # noqa: N802  # its name
        self.calls.append(("register", address, byte_count, flags, threading.current_thread().name))
        return Error(self.errors.pop(0))

    def cudaHostUnregister(self, address: int) -> Error:  # noqa: N802
        self.calls.append(("unregister", address, threading.current_thread().name))
        return Error(0)

    def cudaGetErrorString(self, error: Error) -> str:  # noqa: N802
        return f"error {error.number}"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Cuda, Calls]]:
    """`cuda(errors)`: device 1, what was asked for, and what its cudaHostRegister() returns."""

    def make(*errors: int) -> tuple[Cuda, Calls]:
        calls: Calls = []

        @contextlib.contextmanager
        def use(stream: Stream) -> Iterator[None]:
            CurrentStream.name = stream.name
            yield
            CurrentStream.name = "consumer"

        runtime = Runtime(calls, list(errors))
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(f"copying on {device}", calls))
        monkeypatch.setattr(torch.cuda, "stream", use)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(f"consumer on {device}", calls))
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: calls.append(("device", str(device), threading.current_thread().name)))
        monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
        return Cuda(torch.device("cuda")), calls

    return make


def test_a_copy_waits_for_its_room_and_is_behind_its_event(cuda: Callable[..., tuple[Cuda, Calls]]) -> None:
    device, calls = cuda()
    pairs: Any = [(Tensor(f"slot {name}", calls), Tensor(f"room {name}", calls)) for name in ("images", "labels")]
    copying = "copying on cuda:1"
    copies = [("copy", f"slot {name}", f"room {name}", True, copying) for name in ("images", "labels")]
    assert device.copy(pairs, None) == f"event of {copying}" and calls == [*copies, ("record", copying)]
    calls.clear()
    device.copy(pairs, "the room was read")
    assert calls == [("wait", copying, "the room was read"), *copies, ("record", copying)]
    assert CurrentStream.name == "consumer"


def test_the_loop_s_work_waits_for_the_copy_and_keeps_what_it_reads(cuda: Callable[..., tuple[Cuda, Calls]]) -> None:
    device, calls = cuda()
    consumer = "consumer on cuda:1"
    reads: Any = [Tensor("room", calls)]
    assert device.consume(lambda: calls.append(("work",)), reads, "the copy is done") == f"event of {consumer}"
    assert calls == [("wait", consumer, "the copy is done"), ("keep", "room", consumer), ("work",), ("record", consumer)]


class Owner:
    """A worker with a ring."""

    def __init__(self) -> None:
        self.ring: Any = type("Ring", (), {"mapping": (ADDRESS, BYTE_COUNT)})()
        self.before_leaving: list[Callable[[], None]] = []


def test_one_thread_on_the_right_device_registers_and_unregisters(cuda: Callable[..., tuple[Cuda, Calls]]) -> None:
    device, calls = cuda(0)
    owner = Owner()
    pinned = PinnedRing.of(owner, device)
    pinned.require()
    assert PinnedRing.of(owner, device) is pinned and pinned.is_pinned
    owner.before_leaving.pop()()
    pinned.close()
    thread = "cropring-pin"
    assert calls == [("device", "cuda:1", thread), ("register", ADDRESS, BYTE_COUNT, 1, thread), ("unregister", ADDRESS, thread)]
    assert not pinned.is_pinned


def test_memory_to_be_read_alone_is_registered_as_that(cuda: Callable[..., tuple[Cuda, Calls]]) -> None:
    device, calls = cuda(1, 0)
    assert device.register(ADDRESS, BYTE_COUNT) == ""
    assert [call[3] for call in calls if call[0] == "register"] == [1, 1 | 8]


def test_both_reasons_of_a_failure_are_told(cuda: Callable[..., tuple[Cuda, Calls]]) -> None:
    device, _ = cuda(2, 801)
    assert device.register(ADDRESS, BYTE_COUNT) == "cudaHostRegister: error 2; as memory to be read alone: error 801"
    owner = Owner()
    pinned = PinnedRing.of(owner, cuda(2, 801)[0])
    with pytest.raises(Exception, match="cannot be page-locked: cudaHostRegister: error 2"):
        pinned.require()
    PinnedRing.forbid(owner)
    owner.before_leaving.pop()()


def test_a_collected_ring_s_thread_does_not_wait_for_itself(cuda: Callable[..., tuple[Cuda, Calls]]) -> None:
    """The garbage collector may come by in any thread."""

    device, calls = cuda(0)
    started = threading.Event()
    pinned: list[PinnedRing] = []
    plain = device.register

    def register(address: int, byte_count: int) -> str:
        started.wait()
        pinned[0].close()
        return plain(address, byte_count)

    device.register = register  # type: ignore[method-assign]
    pinned.append(PinnedRing.of(Owner(), device))
    started.set()
    eventually(lambda: len(calls) == 3, "the thread's end")
    assert [call[0] for call in calls] == ["device", "register", "unregister"]
