"""From a slot to a device: the copy is begun, the batch handed out, the slot given back, and none of it too early.

    slot ──copying stream──► staging ──consumer's stream──► the loop's own tensors
     ▲                        ▲
     └ free once the event    └ filled again once the event behind
       behind the copy is       what read it is reached
       reached

Only our own staging memory is touched by two streams.  What the loop gets was made on its stream, like any other tensor.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

import torch

from .conversion import Conversion
from .pinned import HostMemory, Owner, PinnedRing
from .tensors import TensorBatch


class Event(Protocol):
    """A place in a stream's work."""

    def query(self) -> bool:
        """The work before it is done."""

    def synchronize(self) -> None:
        """Waits until it is."""


class Device(HostMemory, Protocol):
    """Memory and two streams: one of our own, which copies, and the consumer's, whichever is current when it is used.

    cuda.py has the real one; tests have one whose copies are late.
    """

    def empty_like(self, tensor: torch.Tensor) -> torch.Tensor:
        """Room on the device, of the same shape, dtype and strides, for the copying stream."""

    def copy(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], after: Any) -> Any:
        """Begins to copy each source to its room once the event `after` is reached (None: now); returns the event behind that."""

    def consume(self, work: Callable[[], None], reads: Iterable[torch.Tensor], after: Any) -> Any:
        """Queues work on the consumer's stream once `after` is reached; returns the event behind it.

        `reads` is what it reads: the rooms, and what else was made for another stream perhaps.
        """


class SlotsInCopy:
    """Batches whose slots are being copied from.  Each is given back when its copy is done: nobody else has a view of it.

    In a fork of this process there are no copies, and nothing happens.
    """

    def __init__(self) -> None:
        self._owner_pid = os.getpid()
        self._copies: deque[tuple[Event, TensorBatch]] = deque()
        self._lock = threading.RLock()  # a Loader may be closed by another thread, or by a signal's handler in the middle of this one
        self._owner: weakref.ref[Owner] | None = None
        self.pinned: PinnedRing | None = None  # the ring's, which stays so while copies from it may go on

    def add(self, done: Event, batch: TensorBatch) -> None:
        with self._lock:
            self._copies.append((done, batch))

    def give_back(self) -> None:
        """Those whose copy is done."""
        self._drop_while(lambda event: event.query())

    def wait(self) -> None:
        """Gives all of them back, each after its copy."""

        def reached(event: Event) -> bool:
            event.synchronize()
            return True

        self._drop_while(reached)

    def _drop_while(self, is_done: Callable[[Event], bool]) -> None:
        with self._lock, suppress(IndexError):  # a handler left nothing to drop
            while self._is_here() and self._copies and is_done(self._copies[0][0]):
                self._copies.popleft()

    def _is_here(self) -> bool:
        return os.getpid() == self._owner_pid

    def belongs_to(self, owner: Owner) -> bool:
        return self._owner is not None and self._owner() is owner

    def come_from(self, owner: Owner, pinned: PinnedRing | None) -> None:
        """From now on; `owner` waits for the copies before it leaves the ring."""
        self.end()
        self._owner, self.pinned = weakref.ref(owner), pinned
        owner.before_leaving.append(self.wait)

    def end(self) -> None:
        """There will be no more copies from that ring."""
        self.wait()
        owner = None if self._owner is None else self._owner()
        if owner is not None and self.wait in owner.before_leaving:
            owner.before_leaving.remove(self.wait)
        self._owner = self.pinned = None


@dataclass
class _Staging:
    """Memory of the device for one batch."""

    rooms: dict[str, torch.Tensor] = field(default_factory=dict)
    read: Any = None  # the event behind what read it last


@dataclass(frozen=True)
class Copy:
    """A batch on its way."""

    batch: TensorBatch  # without the slot, and without what the device gets,
    parts: Mapping[str, torch.Tensor]  # which is here
    staging: _Staging
    done: Any


class Carrier:
    """Carries batches to a device, each in two steps: `begin` and, at most `ahead` batches later, `deliver`.

    Parameters
    ----------
    device : Device
    conversion : Conversion
    ahead : int
        How many copies may be begun and not delivered.
    pin : bool or "require"
        Whether rings are page-locked.
    """

    def __init__(self, device: Device, conversion: Conversion, ahead: int, pin: Literal["require"] | bool) -> None:
        self._device = device
        self._conversion = conversion
        self._stagings = deque(_Staging() for _ in range(ahead))
        self._pin = pin
        self.slots = SlotsInCopy()
        self._finalizer = weakref.finalize(self, self.slots.end)

    @property
    def is_pinned(self) -> bool:
        """Copies come from page-locked memory now."""
        return self.slots.pinned is not None and self.slots.pinned.is_pinned

    def attend(self, owner: Owner) -> None:
        """Batches come from the ring of `owner` now."""
        if not self.slots.belongs_to(owner):
            self.slots.come_from(owner, PinnedRing.of(owner, self._device) if self._pin else None)
            if self.slots.pinned is not None and self._pin == "require":
                self.slots.pinned.require()
        if self.slots.pinned is not None:
            self.slots.pinned.warn_of_failure()

    def begin(self, batch: TensorBatch) -> Copy:
        """Begins to copy what the device gets.  The slot is given back some time later."""
        staging = self._stagings[0]
        self._stagings.rotate(-1)
        described, sources = batch.without_slot(), batch.carried()
        parts = {name: self._room(staging, name, source) for name, source in sources.items()}
        done = self._device.copy([(source, parts[name]) for name, source in sources.items()], staging.read)
        self.slots.add(done, batch)
        return Copy(described, parts, staging, done)

    def deliver(self, copy: Copy) -> TensorBatch:
        """The batch on the device, for whatever is queued on the consumer's current stream from now on."""
        rooms = {name: self._conversion.made_for(part) if name == "images" else torch.empty_like(part) for name, part in copy.parts.items()}
        reads = [*copy.parts.values(), *self._conversion.constants_on(rooms["images"].device)]
        copy.staging.read = self._device.consume(partial(_fill, self._conversion, copy.parts, rooms), reads, copy.done)
        return copy.batch.carrying(rooms)

    def _room(self, staging: _Staging, name: str, source: torch.Tensor) -> torch.Tensor:
        room = staging.rooms.get(name)
        if room is None or room.shape[0] < source.shape[0]:
            with torch.inference_mode(False):  # or it could be filled in that mode alone
                room = staging.rooms[name] = self._device.empty_like(source)
        return room[: source.shape[0]]


def _fill(conversion: Conversion, parts: Mapping[str, torch.Tensor], rooms: Mapping[str, torch.Tensor]) -> None:
    for name, part in parts.items():
        if name == "images":
            conversion.write(part, rooms[name])
        else:
            rooms[name].copy_(part)
