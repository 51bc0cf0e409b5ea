"""A device whose work is late, and which sees when a slot's bytes changed before its copy happened: for tests without a GPU."""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch


@dataclass
class LateEvent:
    """Reached after so many looks at it, or when someone waits for it: then all work before it is done, not earlier."""

    device: LateDevice
    stream: list[Job]
    looks_left: int
    is_reached: bool = False

    def query(self) -> bool:
        self.looks_left -= 1
        if self.looks_left < 0:
            self.synchronize()
        return self.is_reached

    def synchronize(self) -> None:
        assert os.getpid() == self.device.pid, "a device is used in a fork of the process that opened it"
        while not self.is_reached:
            job = self.stream.pop(0)
            if job.after is not None:
                job.after.synchronize()
            job.work()
            job.event.is_reached = True


@dataclass
class Job:
    work: Callable[[], None]
    after: LateEvent | None
    event: LateEvent


@dataclass
class LateDevice:
    """Two streams on the CPU; `carrier.Device` says what the methods do."""

    looks: int = 3  # until an event is reached
    failure: str = ""  # of register()
    torn: list[str] = field(default_factory=list)  # what went wrong, in words
    registered: dict[int, int] = field(default_factory=dict)
    registrations: int = 0
    copies: int = 0

    def __post_init__(self) -> None:
        self._copying: list[Job] = []
        self._consuming: list[Job] = []
        self.pid = os.getpid()
        self._in_copy: Counter[int] = Counter()  # addresses

    def empty_like(self, tensor: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(tensor)

    def copy(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], after: LateEvent | None) -> LateEvent:
        assert torch.is_inference_mode_enabled() or not any(room.is_inference() for _, room in pairs), "PyTorch refuses to write to them"
        # Addresses, because a tensor would keep its slot.
        copies = [(source.data_ptr(), bytes_at(source), room) for source, room in pairs]
        self._in_copy.update(address for address, _, _ in copies)
        self.copies += 1

        def work() -> None:
            for address, before, room in copies:
                self._in_copy[address] -= 1
                now = ctypes.string_at(address, len(before))
                if now != before:
                    self.torn.append(f"copy {self.copies}: the slot at {address:#x} changed before it was copied")
                ctypes.memmove(room.data_ptr(), now, len(now))

        return self._queue(self._copying, work, after)

    def consume(self, work: Callable[[], None], reads: Iterable[torch.Tensor], after: LateEvent) -> LateEvent:
        return self._queue(self._consuming, work, after)

    def register(self, address: int, byte_count: int) -> str:
        self.registrations += 1
        if not self.failure:
            assert address not in self.registered
            self.registered[address] = byte_count
        return self.failure

    def unregister(self, address: int) -> None:
        byte_count = self.registered.pop(address)
        if any(address <= begin < address + byte_count for begin in self._in_copy.elements()):
            self.torn.append("memory was unregistered while it was copied from")
        if f"{address:x}-" not in Path("/proc/self/maps").read_text():
            self.torn.append("memory was unmapped before it was unregistered")

    def finish(self) -> None:
        for stream in (self._consuming, self._copying):
            while stream:
                stream[-1].event.synchronize()

    def _queue(self, stream: list[Job], work: Callable[[], None], after: LateEvent | None) -> LateEvent:
        event = LateEvent(self, stream, self.looks)
        stream.append(Job(work, after, event))
        return event


def bytes_at(tensor: torch.Tensor) -> bytes:
    """The memory of a tensor without gaps, in the order in which it lies there."""
    return ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.element_size())
