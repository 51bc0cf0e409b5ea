"""Reading from a ring that a worker of its own serves, from any process of the same user."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from functools import cached_property
from types import TracebackType
from typing import Literal

from ._ring import Ring
from .batch import Batch
from .dataset import Dataset
from .errors import CropringError
from .report import Report, Reports


def ring_stats(ring: Ring) -> dict[str, int]:
    """The worker's counters, and what this reader knows itself."""
    return {
        **ring.counters(),
        "slots": ring.slot_count,
        "slots_held": ring.held_count,
        "slots_ready": ring.ready_count,
        "reader_wait_ns": ring.wait_ns,
    }


class Reader(Iterator[Batch]):
    """The batches of a ring, one after the other to the end of the stream.  Made by `attach`; also a context manager."""

    def __init__(self, ring: Ring, timeout: float | None) -> None:
        self._ring = ring
        self._reports = Reports()
        self._timeout_ms = -1 if timeout is None else max(0, round(timeout * 1000))

    def __next__(self) -> Batch:
        lease = self._ring.acquire(self._timeout_ms)
        if lease is None:
            raise StopIteration
        return Batch(lease)

    @property
    def name(self) -> str:
        """The ring's name."""
        return self._ring.name

    @property
    def number(self) -> int:
        """This reader's number in the ring, from 0; under `share="lanes"` its lane: batch k is for reader k mod `readers`."""
        return self._ring.number

    @property
    def share(self) -> str:
        """Who gets a batch: "split" (whoever asks first), "lanes" (the readers in turn) or "broadcast" (every reader)."""
        return self._ring.share

    @cached_property
    def dataset(self) -> Dataset:
        """The samples that the worker reads from, with `classes`, `class_to_idx` and `paths`."""
        return Dataset(self._ring.catalog_fd)

    def stats(self) -> dict[str, int]:
        """Counters of the worker and of this reader; see `Loader.stats`."""
        return ring_stats(self._ring)

    def report(self, *, since: Literal["report", "start"] = "report") -> Report:
        """Who waits for whom, of all readers of the ring; see `Loader.report`.  "start" is the worker's, before this reader came, too."""
        return self._reports.make(self._ring.snapshot(), since)

    def close(self) -> None:
        """Leaves the ring.  Arrays that are alive stay valid."""
        self._ring.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def attach(
    name: str | os.PathLike[str], *, timeout: float | None = None, wait: float = 0.0, lane: int | None = None, hold: int | None = None
) -> Reader:
    """Joins the ring `name`, which `cropring serve --ring NAME` runs.

    Parameters
    ----------
    name : str or path-like
        The ring's name, or the path given as `--socket`, which holds a '/'.
    timeout : float, optional
        Seconds to wait for each batch before `TimeoutError`; None waits as long as the worker lives.
    wait : float
        Seconds to wait for the ring itself, or for the Loader whose ring it is, for when both are started side by side.
    lane : int, optional
        The number in the ring to take, 0 to `readers` - 1, such as the local rank; None takes the first that is free.
    hold : int, optional
        Batches that the arrays of this process may keep while it asks for another; 1 is what a plain loop needs.  None takes this
        reader's share of the slots.  Asking while keeping more raises `SlotsExhausted`.

    Raises
    ------
    CropringError
        There is no such ring, or its places, the lane or the slots that `hold` needs are taken.
    LayoutMismatch
        The worker is of an incompatible version.
    TimeoutError
        Not here, but from the loop: no batch came within `timeout`.
    """
    return Reader(join(name, wait, lane, hold), timeout)


def join(name: str | os.PathLike[str], wait: float, lane: int | None, hold: int | None) -> Ring:
    """A seat in the ring, for what `attach` was told."""
    if not os.fspath(name):
        raise ValueError("name: the name of a ring is expected, as `cropring list` shows them, not an empty one")
    if hold is not None and not 1 <= hold <= 63:
        raise ValueError(f"hold={hold}: 1 to 63 batches")
    if lane is not None and not 0 <= lane <= 23:
        raise ValueError(f"lane={lane}: 0 to 23")
    deadline = time.monotonic() + wait
    while True:
        try:
            return Ring.attach(name, hold or 0, -1 if lane is None else lane)
        except CropringError as error:
            if error.errno not in (errno.ENOENT, errno.EAGAIN) or time.monotonic() >= deadline:
                raise
        time.sleep(0.02)
