"""The stream of batches that a Loader hands out: where it stands, and the workers that make it, one after the other."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ._ring import Lease
from .dataset import Dataset
from .errors import CropringError, WorkerDied
from .report import Reading
from .sampling import Sampling
from .state import LAST_EPOCH, Progress, epoch_batches
from .supervisor import Supervisor
from .worker import Feed


class Stream:
    """Batch after batch, epoch after epoch.

    It ends where a loop was left, or where another epoch is to come next: then a fresh one begins there, with a worker of its own.  A
    worker that dies is replaced where it stood.

    Parameters
    ----------
    source : str
        What the samples are of, for people.
    flags : dict
        The Loader's keywords, all of them.
    start : callable
        `start(flags)` starts a worker.
    sampling : Sampling, optional
        Asks for the batches; without one the worker makes them in an order of its own.
    respawn : int
        Deaths of workers in a row, without one batch between them, that are made good.
    turn : (int, int)
        The worker's batches are for so many ranks in turn, the second number, and this is the first of each round to come here.

    Attributes
    ----------
    dataset : Dataset
        What the worker reads.
    epoch : int
        Of the batch that the worker hands out next.
    next_epoch : int
        Of the next loop.
    progress : Progress
        What is consumed, the batch that a loop has now included.
    seed : int
        Fixes order, crops and flips.
    worker : Feed or None
        None: there will be another when the next loop begins.
    shares_batches : bool
        Other readers get some of them, so that no count tells an epoch's end.
    """

    dataset: Dataset

    def __init__(
        self,
        source: str,
        flags: Mapping[str, Any],
        start: Callable[[Mapping[str, object]], Feed],
        sampling: Sampling | None,
        respawn: int,
        turn: tuple[int, int] = (0, 1),
    ) -> None:
        self._source = source
        self._flags = dict(flags)
        self._start = start
        self._sampling = sampling
        self._turn = turn
        self._is_only_reader = flags["readers"] == 1
        self.shares_batches = not self._is_only_reader and flags["share"] != "broadcast"
        self._supervisor = Supervisor(respawn if self._is_only_reader else 0)
        self._owner_pid = os.getpid()
        self._closed_stats: dict[str, int] | None = None
        self._reading: Reading = {}
        self._has_begun = False  # a worker of this stream, whose trace the next one continues

        self.seed: int = flags["seed"]
        self.epoch = self.next_epoch = self._resumed_epoch = flags["start_epoch"]
        self._batch = 0  # the number of the batch that comes next within its epoch,
        self._seq = 0  # since the stream began,
        self._start_sample = 0  # and the samples of that epoch that are passed over
        self._epoch_seq = 0  # the number since the stream began of that epoch's first batch
        self._kept: Lease | None = None  # sharing: the batch that told an epoch's end, for the next loop
        self._loops_begun = 0  # only the newest may take batches
        self._is_taking = False  # still True after it: an exception came out, perhaps after the ring's batch did
        self.progress = Progress(self.epoch, flags["start_sample"])
        self.worker: Feed | None = None
        self._begin_at(self.epoch)

    # ---------------------------------------------------------------- an epoch in numbers

    def batch_count(self, passed_over: int) -> int:
        """Batches of an epoch without its first samples."""
        return epoch_batches(self.epoch_samples(), passed_over, self._step(), self._flags["tail"])

    def epoch_samples(self) -> int:
        """Positions of an epoch's order."""
        limit, count = self._flags["limit"], len(self.dataset)
        return limit if limit and (limit < count or self._flags["weights"] is not None) else count

    def passed_over(self, epoch: int) -> int:
        """Samples at the begin of `epoch` that were consumed before this Loader."""
        passed_over: int = self._flags["start_sample"] if epoch == self._resumed_epoch else 0
        return passed_over

    def _step(self) -> int:
        """Samples that all ranks together take in one batch each."""
        step: int = self._flags["batch_size"] * self._flags["world_size"]
        return step

    # ---------------------------------------------------------------- workers

    def _begin_at(self, epoch: int) -> None:
        """A fresh stream, from the beginning of `epoch`."""
        self._stop_worker()
        self._supervisor.stream_begins()
        if self._sampling is not None:
            self._sampling.forget()
        self.epoch, self._batch, self._seq, self._epoch_seq = epoch, 0, 0, 0
        self._start_sample = self.passed_over(epoch)
        worker = self._adopt(self._make_worker())
        self._take_dataset(Dataset(worker.ring.catalog_fd))

    def _make_worker(self) -> Feed:
        """A worker that begins where the stream stands."""
        flags = dict(self._flags)
        if flags["epochs"]:
            flags["epochs"] -= self.epoch - flags["start_epoch"]
        flags["start_epoch"], flags["seed"] = self.epoch, self.seed
        flags["start_sample"] = self._start_sample + self._batch * self._step()
        if self._sampling is not None:
            flags |= {"requests": "samples", "start_sample": 0}
        if self._seq:
            flags["first_batch"] = self._seq
        if self._supervisor.crashed:
            flags["crashed"] = self._supervisor.crashed
        if self._has_begun and flags["trace"] is not None:
            flags["goes_on"] = 1
        worker = self._start(flags)
        self._has_begun = True
        return worker

    def _adopt(self, worker: Feed) -> Feed:
        self.worker = worker
        self._finalizer = weakref.finalize(self, worker.stop)  # also runs at the interpreter's exit
        return worker

    def _replace(self, dead: Feed, error: WorkerDied) -> Feed:
        """Another worker goes on where this one died, or `error` is raised, with what is known of its end."""
        self.worker = None
        place = f"batch {self._batch} of epoch {self.epoch}"
        try:
            successor = self._supervisor.replace(dead, error, self._make_worker, self.dataset, place)
        finally:
            self._finalizer()
        self._adopt(successor)
        if self._sampling is not None:
            self._sampling.send_again(successor)
        if self.is_closed:  # asked afterwards: whoever closes now finds it
            self._stop_worker()
            raise CropringError("the loader was closed by another thread")
        return successor

    def _stop_worker(self) -> None:
        if self.worker is not None:
            self._finalizer()
        self.worker = self._kept = None

    def _take_dataset(self, dataset: Dataset) -> None:
        before = getattr(self, "dataset", dataset)
        self.dataset = dataset
        if len(before) != len(dataset):
            warnings.warn(f"{self._source} changed: {len(before)} samples before, {len(dataset)} now", stacklevel=5)
        if not dataset.is_same(before) and self._supervisor.forget_samples():
            self._begin_at(self.epoch)

    # ---------------------------------------------------------------- loops

    def begin_loop(self) -> tuple[int, int]:
        """Brings the worker to the epoch that comes next; returns the loop's number and that epoch."""
        self._check_usable()
        epoch, last = self.next_epoch, self._flags["start_epoch"] + self._flags["epochs"] - 1
        if self._flags["epochs"] and epoch > last:
            raise CropringError(f"epochs={self._flags['epochs']} was asked for, and epoch {last} was the last (0 is without end)")
        is_there = self.epoch == epoch if self._sampling is None else not self._sampling.has_unanswered
        if self.worker is None or not is_there or self._batch > 0 or (self._is_taking and self._is_only_reader):
            self._begin_at(epoch)
            self._is_taking = False
        self.epoch, self._start_sample = epoch, self.passed_over(epoch)  # where one that makes what it is asked for may not be
        self._loops_begun += 1
        return self._loops_begun, epoch

    def worker_of(self, loop: int) -> Feed:
        if loop != self._loops_begun or self.worker is None:
            raise CropringError("this loop is over: the loader was closed, or another loop over it began")
        return self.worker

    def take(self, loop: int) -> Lease | None:
        """The next batch of the epoch; None, where other readers share its batches, when there is no more of them for this one."""
        worker = self.worker_of(loop)
        self._is_taking = True
        lease, self._kept = self._kept or self._acquire(worker), None
        if self.shares_batches and (lease is None or lease.epoch > self.epoch):
            self._kept, self._is_taking = lease, False
            self.end_epoch()
            return None
        if lease is None:
            raise CropringError(f"the worker's stream ended in the middle of epoch {self.epoch}")
        if self._is_only_reader and lease.sequence != (due := self._due()):
            raise CropringError(
                f"the worker handed out batch {lease.sequence} where {due} was due: an exception from outside, such as that of "
                "Ctrl-C, came between; begin another loop, or a Loader with this one's state"
            )
        self._supervisor.batch_arrived()
        if lease.epoch < self.epoch:
            self._is_taking = False
            return lease  # late: a reader that died had it, while we went on to the next epoch
        progress = self._progress_after(lease)
        # No calls from here on: between them signals are handled, and the handler's exception would leave half of this done.
        if self._batch == 0:  # from now on this epoch is begun, and the next loop's is the following
            self.next_epoch = self.epoch + 1
            self._flags["start_sample"] = 0
        self._batch += 1
        self._seq += 1
        self.progress = progress
        self._is_taking = False
        return lease

    def _due(self) -> int:
        """The number in the ring of the batch that comes next."""
        first, ranks = self._turn
        return (first + self._seq * ranks) % 2**32

    def _acquire(self, worker: Feed) -> Lease | None:
        """The worker's next batch, or its successor's if it died."""
        while True:
            try:
                return worker.acquire()
            except WorkerDied as error:
                worker = self._replace(worker, error)

    def _progress_after(self, lease: Lease) -> Progress:
        """What is consumed once this batch is, the one after the first `_batch` that this reader has had of its epoch."""
        if self._sampling is not None:
            return Progress(self.epoch, self._sampling.next_position)
        batches, epoch, passed_over = self._batch + 1, self.epoch, self._start_sample
        if not self._is_only_reader:  # those in step with this one have had the other batches of the same round,
            lanes = self._flags["readers"] if self.shares_batches else 1
            seq = self._epoch_seq + (lease.sequence - self._epoch_seq) % 2**32
            batches = (seq // lanes + 1) * lanes - self._epoch_seq
            while batches > (count := self.batch_count(passed_over)):  # perhaps of the next epoch
                batches, epoch, passed_over = batches - count, epoch + 1, 0
        progress = Progress(epoch, min(self.epoch_samples(), passed_over + batches * self._step()))
        return max(progress, self.progress) if lease.redelivered else progress  # which may be one of those before

    def end_epoch(self) -> None:
        """All its batches are handed out; or there were none, and it is over all the same."""
        if self._batch == 0:
            self.next_epoch = self.epoch + 1
            self._flags["start_sample"] = 0
        self._epoch_seq += self.batch_count(self._start_sample)
        self.epoch, self._batch, self._start_sample = self.epoch + 1, 0, 0

    def loop_ended(self, loop: int) -> None:
        """It is over, not left: a state is of the next epoch's begin."""
        if loop == self._loops_begun and self.progress.epoch == self.epoch - 1:
            self.progress = Progress(self.next_epoch, self.passed_over(self.next_epoch))

    # ---------------------------------------------------------------- elsewhere

    def set_epoch(self, epoch: int) -> None:
        """The next loop runs over `epoch`."""
        first, count = self._flags["start_epoch"], self._flags["epochs"]
        first, last = (first, min(first + count - 1, LAST_EPOCH)) if count else (0, LAST_EPOCH)
        if not first <= epoch <= last:
            raise ValueError(f"epoch {epoch}: {first} to {last} " + ("were asked for" if count else "are there"))
        self.next_epoch, before = epoch, self.progress
        self.progress = Progress(epoch, self.passed_over(epoch))
        if self._sampling is not None and self.progress != before:
            self._sampling.set_state(None)

    def check_no_loop_began(self) -> None:
        """A state can be loaded."""
        self._check_usable()
        if self._loops_begun:
            raise RuntimeError("load_state_dict() comes before the first loop: make a new Loader for it")

    def go_on(self, progress: Progress, seed: int) -> None:
        """The first loop begins after what another Loader consumed."""
        first, count = self._flags["start_epoch"], self._flags["epochs"]
        self.seed, self.next_epoch, self.progress = seed, progress.epoch, progress
        self._resumed_epoch, self._flags["start_sample"] = progress.epoch, progress.samples
        if count and progress.epoch >= first + count:
            self._stop_worker()  # that run was complete: the next loop says so
            return
        if progress.epoch < first:
            self._flags["start_epoch"], self._flags["epochs"] = progress.epoch, count and first + count - progress.epoch
        self._begin_at(progress.epoch)

    def _check_usable(self) -> None:
        if self.is_closed:
            raise ValueError("the loader is closed")
        if os.getpid() != self._owner_pid:
            raise RuntimeError(f"this loader belongs to process {self._owner_pid}, of which this one is a fork: make another here")

    # ---------------------------------------------------------------- the end

    @property
    def is_closed(self) -> bool:
        return self._closed_stats is not None

    def stats(self) -> dict[str, int]:
        """Of the workers since the stream began, or the last ones."""
        if self._closed_stats is not None:
            return dict(self._closed_stats)
        return self._supervisor.stats(self.worker.ring if self.worker is not None else None)

    def reading(self) -> Reading:
        """How the ring of the worker that is there looks, or of the last one that was looked at; {}: there was none."""
        if self.worker is not None:
            self._reading = self.worker.ring.snapshot()
        return self._reading

    def close(self) -> None:
        """Ends the worker.  Nothing happens the second time."""
        if self._closed_stats is None:
            if os.getpid() == self._owner_pid:
                if self.worker is not None:
                    self.worker.end()
                    self.reading()
                self._closed_stats = self.stats()
            else:
                self._closed_stats = {}
            self._stop_worker()
