"""When a Loader's worker dies: whether another takes its place, and which samples that one leaves alone."""

from __future__ import annotations

import logging
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from ._ring import Ring
from .errors import CropringError, WorkerDied
from .reader import ring_stats
from .worker import Feed, in_words

_CRASH_SIGNALS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGSYS}
_CULPRIT = 1 << 63  # in a thread's note (loader/run/crash.h); the rest of it is the sample + 1, 0 for none
_MOST_NOTES = 1024
_CRASHES_UNTIL_LEFT_OUT = 2  # one may be the machine's fault
_LEFT_OUT_LIMIT = 5000  # a worker is told on its command line, where one word has room for 128 KiB
_SUMS = {"images", "batches", "bytes_read", "bad_samples", "substitutes"}  # and `status_...` and `..._ns`: of all workers together
_log = logging.getLogger("cropring")
AFeed = TypeVar("AFeed", bound=Feed)


class Paths(Protocol):
    def __getitem__(self, sample: int, /) -> str: ...


class Samples(Protocol):
    """What a worker's numbers stand for: a `Dataset`, or rows that were asked for."""

    @property
    def root(self) -> str: ...
    @property
    def paths(self) -> Paths: ...
    def __len__(self) -> int: ...
    def read_again(self, index_fd: int) -> Samples: ...
    def is_same(self, other: Any) -> bool: ...


def blamed_samples(notes: Sequence[int]) -> list[int]:
    """The samples that may have killed the worker whose threads left these notes: the one that did, else all that were in work."""
    marked = [note & ~_CULPRIT for note in notes if note & _CULPRIT]
    return sorted({note - 1 for note in marked or notes if note})


class Supervisor:
    """Counts a Loader's dead workers, and the samples that they died on.

    Parameters
    ----------
    limit : int
        How many deaths in a row, without one batch between them, are made good; 0: none.

    Attributes
    ----------
    crashed : list of int
        Samples that no worker reads any more, because they killed one twice.
    """

    def __init__(self, limit: int) -> None:
        self.crashed: list[int] = []
        self._limit = limit
        self._respawns = 0
        self._deaths_in_a_row = 0
        self._crashes: Counter[int] = Counter()  # by sample
        self._past: dict[str, int] = {}  # counters of the workers that died in this stream

    def stream_begins(self) -> None:
        """A fresh worker counts from 0."""
        self._past = {}

    def forget_samples(self) -> bool:
        """The folder changed, and their numbers are other files' now.  True if the worker that is there leaves any out."""
        leaves_out = bool(self.crashed)
        self.crashed = []
        self._crashes.clear()
        return leaves_out

    def batch_arrived(self) -> None:
        """The worker that is there now does its work."""
        self._deaths_in_a_row = 0

    def stats(self, ring: Ring | None) -> dict[str, int]:
        """Counters of the stream's workers together, the living one's ring last; None: there is none now."""
        counts = self._past
        if ring is not None:
            counts = ring_stats(ring)
            for name, before in self._past.items():
                if name in _SUMS or name.startswith("status_") or name.endswith("_ns"):
                    counts[name] += before
        return counts | {"respawns": self._respawns, "crashed_samples": len(self.crashed)}

    def replace(self, dead: Feed, error: WorkerDied, start: Callable[[], AFeed], dataset: Samples, place: str) -> AFeed:
        """A worker made by `start`, if `dead`, from whose ring `error` came, ended without a word; else raises what there is to say.

        `dataset` is what the dead one read, and `place` tells people where the new one goes on.
        """
        self._past = self.stats(dead.ring)
        died = dead.explain(error)
        if dead.ring.ended or not isinstance(died, WorkerDied) or self._limit == 0:
            raise died from None
        cause = f"worker {dead.ring.producer_pid} ended without a word ({in_words(died.exit_status)})" + self._blame(dead.ring, died, dataset)
        dead.stop()  # the next one needs the memory
        changed = f"{dataset.root} changed: {len(dataset)} samples when the epoch began, "
        if len(self.crashed) > _LEFT_OUT_LIMIT:
            text = f"{len(self.crashed)} samples crashed the decoder twice each, over {_LEFT_OUT_LIMIT}: that is not the files' fault alone"
            raise WorkerDied(f"{text}; of the last: {died}", died.errno, died.last_lines, died.exit_status) from None
        sequel = f". {cause}, and without the same samples no other can go on with its epoch; begin the next one"
        try:
            worker = self._start(start, died)
        except ValueError as refusal:  # the same flags were right for the dead one: there are too few samples for them now
            raise CropringError(f"{changed}and now {refusal}{sequel}") from None
        if not dataset.is_same(now := dataset.read_again(worker.ring.catalog_fd)):
            worker.stop()
            raise CropringError(f"{changed}{len(now)} or others now{sequel}")
        self._respawns += 1
        _log.warning("%s; worker %d goes on with %s", cause, worker.ring.producer_pid, place)
        return worker

    def _start(self, start: Callable[[], AFeed], died: WorkerDied) -> AFeed:
        """Starts a worker, and another one if that dies as well before it is up."""
        while True:
            self._deaths_in_a_row += 1
            if self._deaths_in_a_row > self._limit:
                text = f"{self._deaths_in_a_row} workers died in a row, without one batch between them; of the last: {died}"
                raise WorkerDied(text, died.errno, died.last_lines, died.exit_status) from None
            try:
                return start()
            except WorkerDied as stillborn:
                # A copy, because the frames of its traceback would keep the batches of whoever called us.
                died = WorkerDied(str(stillborn), stillborn.errno, stillborn.last_lines, stillborn.exit_status)

    def _blame(self, ring: Ring, died: WorkerDied, dataset: Samples) -> str:
        """Counts the crash against the samples that may have caused it; returns the words for that, to stand in a sentence."""
        if died.exit_status is None or -died.exit_status not in _CRASH_SIGNALS:
            return ""
        notes = ring.notes(min(ring.counters()["threads"] + 1, _MOST_NOTES))  # those of the decode threads, and of the fetch thread
        blamed = [sample for sample in blamed_samples(notes) if sample < len(dataset)]
        self._crashes.update(blamed)
        left_out = [sample for sample in blamed if self._crashes[sample] == _CRASHES_UNTIL_LEFT_OUT]
        self.crashed = sorted({*self.crashed, *left_out})
        if left_out:
            self._deaths_in_a_row = 0  # the next one has one obstacle less
        words = f" while it decoded {_named(blamed, dataset, ' or ')}" if blamed else ""
        if left_out:
            verb = "is" if len(left_out) == 1 else "are"
            words += f", the second death there, so that {_named(left_out, dataset, ' and ')} {verb} left out from now on"
        return words


def _named(samples: Sequence[int], dataset: Samples, joint: str) -> str:
    """Samples as people know them; the first few of many."""
    names = [f"sample {sample} ({dataset.paths[sample]})" for sample in samples[:4]]
    return joint.join(names + [f"{len(samples) - 4} others"] * (len(samples) > 4))
