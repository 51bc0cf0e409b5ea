"""The ring's memory page-locked, so that a device reads it by itself."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from .._ring import Ring
from ..errors import CropringError


class Owner(Protocol):
    """A worker or a reader: what has a ring, and leaves it one day."""

    @property
    def ring(self) -> Ring: ...
    @property
    def before_leaving(self) -> list[Callable[[], None]]:
        """Called, the last first, before the ring's memory is unmapped."""


class HostMemory(Protocol):
    """What a device can do with the memory of this process."""

    def register(self, address: int, byte_count: int) -> str:
        """Page-locks it; "" or why that failed."""

    def unregister(self, address: int) -> None: ...


@dataclass
class _Registration:
    """What the thread and its PinnedRing say to each other."""

    failure: str | None = None  # None: not decided
    decided: threading.Event = field(default_factory=threading.Event)
    leave: threading.Event = field(default_factory=threading.Event)


class PinnedRing:
    """One ring, registered once in this process, from `of()` until its owner leaves it.

    A thread of its own does it, for it takes as long as a copy of the whole ring, or longer: until then copies go on without.  The same
    thread unregisters it: what fails in CUDA is remembered for the thread that asked, whose next kernel would raise it, and this one
    starts none.
    """

    _of_owner: ClassVar[weakref.WeakKeyDictionary[Owner, PinnedRing]] = weakref.WeakKeyDictionary()
    _has_warned: ClassVar[bool] = False

    @classmethod
    def of(cls, owner: Owner, memory: HostMemory) -> PinnedRing:
        """That of `owner`'s ring, made now if there is none."""
        pinned = cls._of_owner.get(owner)
        if pinned is None:
            pinned = cls._of_owner[owner] = cls(owner.ring, memory)
            owner.before_leaving.insert(0, pinned.close)  # the last of all: copies come to an end before
        return pinned

    @classmethod
    def forbid(cls, owner: Owner) -> None:
        """`RuntimeError` if the memory of `owner`'s ring is page-locked, or may yet be."""
        pinned = cls._of_owner.get(owner)
        if pinned is not None and not pinned._registration.failure:
            raise RuntimeError(
                "this memory is pinned for to_device(), and a copy from a tensor of it could go on after its slot was filled again: "
                "iterate over what to_device() returned, or give it pin=False"
            )

    def __init__(self, ring: Ring, memory: HostMemory) -> None:
        self.byte_count = ring.mapping[1]
        self._registration = _Registration()
        thread = threading.Thread(target=_register, args=(ring, memory, self._registration), name="cropring-pin", daemon=True)
        thread.start()
        self._finalizer = weakref.finalize(self, _unregister, self._registration, thread)
        self._finalizer.atexit = False  # at the interpreter's exit copies may be on their way, which the owner waits for before it leaves

    @property
    def is_pinned(self) -> bool:
        """It is by now, and still."""
        return self._registration.failure == "" and self._finalizer.alive

    def require(self) -> None:
        """Waits for it; `CropringError` if it failed."""
        self._registration.decided.wait()
        if self._registration.failure:
            raise CropringError(f'pin="require": {self._sentence()}')

    def warn_of_failure(self) -> None:
        """Says so, once in a process."""
        if self._registration.failure and not PinnedRing._has_warned:
            PinnedRing._has_warned = True
            text = f"{self._sentence()}; copies to the device are slower, and not beside its work (pin=False does without this try)"
            warnings.warn(text, RuntimeWarning, stacklevel=4)

    def close(self) -> None:
        """The memory is ordinary memory again.  Nothing happens the second time."""
        self._finalizer()

    def _sentence(self) -> str:
        return f"the ring's {self.byte_count / 1e6:.0f} MB cannot be page-locked: {self._registration.failure}"


def _register(ring: Ring, memory: HostMemory, registration: _Registration) -> None:
    """The thread, which keeps the ring as long as it is registered."""
    try:
        address, byte_count = ring.mapping
        registration.failure = memory.register(address, byte_count)
    except Exception as error:  # of a ring that was closed meanwhile, or of a driver
        registration.failure = str(error) or type(error).__name__
    registration.decided.set()
    registration.leave.wait()
    if registration.failure == "":
        memory.unregister(address)


def _unregister(registration: _Registration, thread: threading.Thread) -> None:
    registration.leave.set()
    if thread is not threading.current_thread():  # where the garbage collector came by
        thread.join()
