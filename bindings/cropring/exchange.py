"""Requests on their way to a worker, and its answers on their way back: in order, whoever asks, whoever waits, whichever worker dies."""

from __future__ import annotations

import asyncio
import copy
import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Any

from ._ring import Lease, Ring
from .batch import Batch
from .errors import CropringError, WorkerDied
from .requests import Rows, packed, path_of
from .supervisor import Supervisor
from .worker import Worker

_CLOSED = "the cropper was closed before it had the answer"


class CropFuture(Future[Batch]):
    """A `concurrent.futures.Future` that can also be awaited.  Cancelling it works until its request is sent."""

    def __await__(self) -> Generator[Any, None, Batch]:
        return asyncio.wrap_future(self).__await__()


class Pending:
    """A request that is not answered yet."""

    __slots__ = ("first_number", "future", "request", "rows", "text")

    def __init__(self, rows: Rows, text: bytes) -> None:
        self.rows = rows
        self.text = text
        self.future = CropFuture()

    def number_from(self, first_number: int, has_seed: bool, crashed: dict[bytes, int]) -> None:
        """Gives each row its number in the stream; one whose path crashed the decoder keeps the number that the worker leaves out."""
        self.first_number = first_number
        self.rows["sample"] += first_number
        if not has_seed:
            self.rows["key"] = self.rows["sample"]
        if crashed:
            for row in range(len(self.rows)):
                self.rows["sample"][row] = crashed.get(path_of(self.rows, self.text, row), first_number + row)
        self.request = packed(self.rows, self.text)

    def path(self, row: int) -> str:
        return os.fsdecode(path_of(self.rows, self.text, row))


class Exchange:
    """Sends requests to a worker of its own.

    Any thread may ask.  One at a time takes the answers: a caller that waits for one, if nobody is at it; else one in the background,
    which there is from the first request on that was left to it.

    No more requests are with the worker than it has slots that this process does not keep, so each is answered whatever the callers
    do; the others wait here.  A batch stays in its slot while at least half of the slots are left for others; beyond that it is moved
    to memory of its own, so that callers can keep as many as they like.

    Parameters
    ----------
    start : callable
        `start(flags)` starts a worker, with these flags besides its own.
    finish : callable
        `finish(pending, batch)` is what the answer is to raise, or None.
    respawn : int
        Deaths of workers in a row, without an answer between them, that are made good.
    """

    def __init__(self, start: Callable[[dict[str, Any]], Worker], finish: Callable[[Pending, Batch], Exception | None], respawn: int) -> None:
        self._start = start
        self._finish = finish
        self._owner_pid = os.getpid()
        self._supervisor = Supervisor(respawn)
        self._change = threading.Condition()  # guards what follows; reentrant, because a finalizer may close us at any moment
        self._waiting: deque[Pending] = deque()
        self._sent: deque[Pending] = deque()
        self._next_number = 0  # of the next row
        self._answered = 0  # requests; the number of the batch that comes next
        self._moved = 0  # batches that left their slots
        self._crashed_paths: dict[bytes, int] = {}  # with the number of the row that shall not be read
        self._taker: int | None = None  # the thread that takes answers
        self._is_closed = False
        self._last_stats: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        self._worker: Worker | None = self._make_worker()  # None: there will be another when an answer is to be taken

    # ---------------------------------------------------------------- asking

    def ask(self, pending: Pending, has_seed: bool) -> Batch:
        """The answer; this thread takes it, and those before it, unless another one is at it."""
        with self._change:
            self._enqueue(pending, has_seed)
            taker, this_thread = self._taker, threading.get_ident()
            is_ours = taker in (None, this_thread)  # this thread: we were called by a callback of a future
            if is_ours:
                self._taker = this_thread
            else:
                self._leave_to_background()
        try:
            while is_ours and not pending.future.done():
                self._take_one()
        finally:
            if is_ours:
                self._set_taker(taker)
        future = pending.future
        del pending  # or an error's traceback would hold this frame, and this frame the error, with a batch in it
        try:
            return future.result()
        except CancelledError:  # by close(); nobody else has this future
            raise CropringError(_CLOSED) from None
        finally:
            del future

    def submit(self, pending: Pending, has_seed: bool) -> CropFuture:
        """The answer to come."""
        with self._change:
            self._enqueue(pending, has_seed)
            self._leave_to_background()
        return pending.future

    def _leave_to_background(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._take_in_background, name="cropring-answers", daemon=True)
            self._thread.start()
        self._change.notify_all()

    def _enqueue(self, pending: Pending, has_seed: bool) -> None:
        if self._is_closed:
            raise ValueError("the cropper is closed")
        pending.number_from(self._next_number, has_seed, self._crashed_paths)
        self._next_number += len(pending.rows)
        self._waiting.append(pending)
        self._send_waiting()

    def _send_waiting(self) -> None:
        """As many as there are slots for."""
        if self._worker is None:
            return
        ring = self._worker.ring
        room = ring.slot_count - ring.held_count - len(self._sent)
        while self._waiting and room > 0:
            pending = self._waiting.popleft()
            if pending.future.set_running_or_notify_cancel():
                self._sent.append(pending)
                self._worker.request(pending.request)
                room -= 1

    # ---------------------------------------------------------------- taking

    def _take_in_background(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._is_closed or (self._taker is None and self._has_unanswered()))
                if self._is_closed:
                    return
                self._taker = threading.get_ident()
            try:
                self._take_one()
            finally:
                self._set_taker(None)

    def _has_unanswered(self) -> bool:
        return bool(self._sent or (self._waiting and self._worker is None))

    def _set_taker(self, taker: int | None) -> None:
        with self._change:
            self._taker = taker
            self._change.notify_all()

    def _take_one(self) -> None:
        """Waits for the next answer and hands it to whoever asked; without one to come, all who asked get the reason."""
        try:
            batch = self._next_batch()
        except Exception as error:
            self._give_up(error)
            return
        except BaseException:
            self._interrupt()
            raise
        with self._change:
            if batch is None or self._is_closed:
                return
            pending = self._sent.popleft()
            self._answered += 1
            self._supervisor.batch_arrived()
            self._send_waiting()
        try:
            failure = self._finish(pending, batch)
        except Exception as error:
            failure = error
        try:
            if failure is None:
                pending.future.set_result(batch)
            else:
                pending.future.set_exception(failure)
        except InvalidStateError:
            pass  # we were closed meanwhile

    def _next_batch(self) -> Batch | None:
        """None: all requests were cancelled."""
        while True:
            worker = self._worker
            if worker is None:
                self._install(self._make_worker())
                continue
            if not self._sent:
                return None
            try:
                lease = worker.ring.acquire()
            except WorkerDied as error:
                self._replace(worker, error)
                continue
            if lease is None or lease.sequence != self._answered % 2**32:
                came = "the end of its stream" if lease is None else f"batch {lease.sequence}"
                raise CropringError(f"the worker handed out {came} where batch {self._answered % 2**32} was due")
            return self._housed(lease, worker.ring)

    def _housed(self, lease: Lease, ring: Ring) -> Batch:
        batch = Batch(lease)
        if ring.held_count * 2 > ring.slot_count:
            batch._move_out(ring.field_names)
            self._moved += 1
        return batch

    def _give_up(self, error: Exception) -> None:
        with self._change:
            unanswered = [*self._sent, *self._waiting]
            self._sent.clear()
            self._waiting.clear()
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
        for pending in unanswered:
            if pending.future.running() or pending.future.set_running_or_notify_cancel():
                pending.future.set_exception(copy.copy(error))

    def _interrupt(self) -> None:
        """Ctrl-C, while nobody knows whether a batch was taken: what is not answered is sent again, to another worker."""
        with self._change:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.process.kill()
            worker.stop()

    # ---------------------------------------------------------------- workers

    def _make_worker(self) -> Worker:
        flags: dict[str, Any] = {"first_batch": self._answered} if self._answered else {}
        if self._supervisor.crashed:
            flags["crashed"] = self._supervisor.crashed
        return self._start(flags)

    def _replace(self, dead: Worker, error: WorkerDied) -> None:
        """Another worker takes the place of `dead`, or what there is to say about its end is raised."""
        with self._change:
            self._worker = None  # nobody sends meanwhile
            self._check_open()
        try:
            worker = self._supervisor.replace(dead, error, self._make_worker, _AskedFor(self._sent), f"request {self._answered}")
        finally:
            dead.stop()
        with self._change:
            for number in self._supervisor.crashed:
                self._note_crashed(number)
        self._install(worker)

    def _install(self, worker: Worker) -> None:
        """It gets all requests that were sent before and not answered, and those that wait."""
        with self._change:
            if not self._is_closed:
                self._worker = worker
                for pending in self._sent:
                    worker.request(pending.request)
                self._send_waiting()
                return
        worker.stop()
        self._check_open()

    def _check_open(self) -> None:
        if self._is_closed:
            raise CropringError(_CLOSED)

    def _note_crashed(self, number: int) -> None:
        for pending in self._sent:
            if 0 <= (row := number - pending.first_number) < len(pending.rows):
                self._crashed_paths[path_of(pending.rows, pending.text, row)] = number

    def stats(self) -> dict[str, int]:
        with self._change:
            if self._is_closed:
                return dict(self._last_stats)
            ring = self._worker.ring if self._worker is not None else None
            return self._supervisor.stats(ring) | {"moved_batches": self._moved}

    def check_process(self) -> None:
        if os.getpid() != self._owner_pid:
            raise RuntimeError(f"this cropper belongs to process {self._owner_pid}, of which this one is a fork: make another here")

    def close(self) -> None:
        """Ends the worker.  Requests that wait are cancelled, those that were sent fail.  Nothing happens the second time."""
        if os.getpid() != self._owner_pid:
            return
        with self._change:
            if self._is_closed:
                return
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.end()
                self._last_stats = self._supervisor.stats(worker.ring) | {"moved_batches": self._moved}
            self._is_closed = True
            sent, waiting = [*self._sent], [*self._waiting]
            self._sent.clear()
            self._waiting.clear()
            self._change.notify_all()
        for pending in waiting:
            pending.future.cancel()
            pending.future.set_running_or_notify_cancel()
        for pending in sent:
            pending.future.set_exception(CropringError(_CLOSED))
        if worker is not None:
            worker.stop()


class _AskedFor:
    """Rows that were asked for, as a data set by their numbers."""

    root = "the files"

    def __init__(self, sent: deque[Pending]) -> None:
        self._sent = list(sent)

    def __len__(self) -> int:
        return 2**63 - 1

    @property
    def paths(self) -> _AskedFor:
        return self

    def __getitem__(self, number: int) -> str:
        for pending in self._sent:
            if 0 <= number - pending.first_number < len(pending.rows):
                return pending.path(number - pending.first_number)
        return "of an earlier request"

    def read_again(self, catalog_fd: int) -> _AskedFor:
        return self

    def is_same(self, other: object) -> bool:
        return True
