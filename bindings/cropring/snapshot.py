"""What `cropring._ring` tells of a ring, for type checkers: `Observer.snapshot()` and `verdict()`."""

from __future__ import annotations

from typing import Literal, TypedDict


class SlotState(TypedDict):
    """A slot; `epoch` of a batch that is ready or held.  `readers`: who holds it; of a ready one, whom it is for ([]: anyone)."""

    state: Literal["free", "filling", "ready", "held"]
    seq: int
    epoch: int
    readers: list[int]


class ReaderState(TypedDict):
    """A place of the ring; what is counted goes on from one reader with this number to the next.

    `pid` is 0 for a lane that nobody reads; `there` is False for that, and for one that left and still holds batches.  `held` batches
    it has, `ready` ones it could take now.  `wait_ns` of `present_ns` it waited for a batch, `start_wait_ns` of that for its first.
    """

    number: int
    pid: int
    there: bool
    waiting: bool
    held: int
    ready: int
    taken: int
    present_ns: int
    wait_ns: int
    start_wait_ns: int


class Snapshot(TypedDict):
    """A ring at one moment.  `ended`: its stream is over; `alive`: its worker runs; `time_ns`: CLOCK_MONOTONIC."""

    name: str
    pid: int
    subject: str
    share: Literal["split", "lanes", "broadcast"]
    ended: bool
    alive: bool
    slots: list[SlotState]
    readers: list[ReaderState]
    counters: dict[str, int]
    time_ns: int


class Verdict(TypedDict):
    """Who waited for whom between two snapshots; the rule is in base/verdict.c.

    `cause` is for "loader-bound", else "".  `headroom`: how many times as many batches the loader could make, when it is
    "trainer-bound".  `reader_share` of the time that readers were there they waited, first batches apart, and `start_share` for those;
    `idle_share` of the decode threads' time they had nothing to do.  `reader`: the number of the slow one, for "slow-reader".
    """

    kind: Literal["too-short", "loader-bound", "trainer-bound", "balanced"]
    cause: Literal["", "decode", "cpu", "read", "slow-reader", "slots", "start", "requests"]
    sentence: str
    headroom: float
    reader_share: float
    start_share: float
    idle_share: float
    reader: int | None
