"""Requests on their way to a worker, and its answers on their way back: in order, whoever asks, whoever waits, whichever worker dies."""

from __future__ import annotations

import copy
import os
import threading
import time
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
_LOOK_AGAIN_S = 1.0  # no thread sleeps longer without a look at what there is to do


class CropFuture(Future[Batch]):
    """A `concurrent.futures.Future` that can also be awaited.  Cancelling it works until its request is sent."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange

    def result(self, timeout: float | None = None) -> Batch:
        try:
            return super().result(self._exchange.time_left(self, timeout))
        finally:
            del self  # or an error's traceback would hold this frame, and this frame the error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        return super().exception(self._exchange.time_left(self, timeout))

    def __await__(self) -> Generator[Any, None, Batch]:
        import asyncio  # 15 ms, which a program that awaits has spent already

        return asyncio.wrap_future(self).__await__()


class Pending:
    """A request that is not answered yet."""

    __slots__ = ("first_number", "future", "request", "rows", "sequence", "text")
    future: CropFuture
    first_number: int  # of its rows
    request: bytes
    sequence: int  # of its answer, once it is sent

    def __init__(self, rows: Rows, text: bytes) -> None:
        self.rows = rows
        self.text = text

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

    Any thread may ask.  A caller takes its own answer where nobody else waits for one; all other answers are taken by a thread in the
    background, which there is from the first request on that was left to it.  So Ctrl-C, which may end the main thread's work between any
    two steps, costs nobody else an answer.

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
        self._lock = threading.RLock()  # guards what follows
        self._change = threading.Condition(self._lock)
        self._waiting: deque[Pending] = deque()
        self._sent: deque[Pending] = deque()
        self._next_number = 0  # of the next row
        self._answered = 0  # requests; the number of the batch that comes next
        self._moved = 0  # batches that left their slots
        self._crashed_paths: dict[bytes, int] = {}  # with the number of the row that shall not be read
        self._taker: int | None = None  # the thread that takes answers
        self._is_closed = self._is_dropped = False
        self._last_stats: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        self._worker: Worker | None = self._make_worker()  # None: there will be another when an answer is to be taken

    # ---------------------------------------------------------------- asking

    def ask(self, pending: Pending, has_seed: bool) -> Batch:
        """The answer; this thread takes it if nobody else waits for one."""
        this_thread, is_ours = threading.get_ident(), False
        try:
            with self._lock:
                self._check_not_in_a_call()
                is_ours = self._taker is None and not self._sent and not self._waiting
                if not is_ours:
                    self._call_background()
                self._enqueue(pending, has_seed)
                if is_ours:
                    self._taker = this_thread
            while is_ours and not pending.future.done():
                self._take_one()
        finally:
            if is_ours:
                self._taker = None  # before any call, which Ctrl-C could end
                self._notify()
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
        with self._lock:
            self._call_background()
            self._enqueue(pending, has_seed)
        return pending.future

    def time_left(self, future: CropFuture, timeout: float | None) -> float | None:
        """How long to wait for the future still.  A callback, which runs in the thread that takes the answers, takes this one first."""
        if future.done():
            return timeout
        self.check_process()
        self._check_not_in_a_call()
        if self._taker != threading.get_ident():
            return timeout
        deadline_s = None if timeout is None else time.monotonic() + timeout
        while not future.done():
            left_ms = -1 if deadline_s is None else int((deadline_s - time.monotonic()) * 1000)
            if deadline_s is not None and left_ms <= 0:
                return 0
            self._take_one(left_ms)
        return timeout

    def _check_not_in_a_call(self) -> None:
        if self._taker == threading.get_ident() and not self._is_background():
            raise RuntimeError("this thread is in the middle of a call of this cropper: a signal handler can submit() another request, not wait for it")

    def _is_background(self) -> bool:
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def _call_background(self) -> None:
        """Before anything is left to it: a thread that cannot be started leaves nothing behind."""
        if self._is_closed or self._thread is not None:
            return
        thread = threading.Thread(target=self._take_in_background, name="cropring-answers", daemon=True)
        thread.start()
        self._thread = thread

    def _enqueue(self, pending: Pending, has_seed: bool) -> None:
        if self._is_closed:
            raise ValueError("the cropper is closed")
        pending.number_from(self._next_number, has_seed, self._crashed_paths)
        pending.future = CropFuture(self)
        self._next_number += len(pending.rows)
        self._waiting.append(pending)
        self._send_waiting()
        self._notify()

    def _notify(self) -> None:
        """The background thread may have something to do."""
        if self._thread is not None:
            with self._lock:
                self._change.notify_all()

    def _send_waiting(self) -> None:
        """As many as there are slots for."""
        if (worker := self._worker) is None:
            return
        waiting, sent = self._waiting, self._sent
        if waiting and sent and waiting[0] is sent[-1]:  # Ctrl-C came when it stood in both
            waiting.popleft()
        room = worker.ring.slot_count - worker.ring.held_count - len(sent)
        while waiting and room > 0:
            pending = waiting[0]
            if not pending.future.running() and not pending.future.set_running_or_notify_cancel():
                waiting.popleft()
                continue
            pending.sequence = sent[-1].sequence + 1 if sent else self._answered
            try:
                sent.append(pending)
                waiting.popleft()
                worker.request(pending.request)
            except BaseException as error:
                _give_up_on(worker, error)
            room -= 1

    # ---------------------------------------------------------------- taking

    def _take_in_background(self) -> None:
        while True:
            with self._lock:
                while not (self._is_closed or self._is_dropped or (self._taker is None and self._has_unanswered())):
                    self._change.wait(_LOOK_AGAIN_S)
                if self._is_dropped:
                    self.close()
                if self._is_closed:
                    return
                self._taker = threading.get_ident()
            try:
                self._take_one()
            finally:
                self._taker = None

    def _has_unanswered(self) -> bool:
        return bool(self._sent or (self._waiting and self._worker is None))

    def _take_one(self, timeout_ms: int = -1) -> None:
        """Waits for the next answer and hands it to whoever asked; without one to come, all who asked get the reason."""
        try:
            answer = self._next_answer(timeout_ms)
        except Exception as error:
            self._give_up(error)
            return
        except BaseException:
            self._interrupt()
            raise
        if answer is None:
            return
        pending, batch = answer
        failure: Exception | None
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
            pass  # somebody else gave the future a result

    def _next_answer(self, timeout_ms: int) -> tuple[Pending, Batch] | None:
        """None: there is none yet, or no request any more."""
        worker = self._worker
        if worker is None:
            self._check_open()
            self._install(self._make_worker())
            return None
        if not self._sent:
            return None
        try:
            lease = worker.ring.acquire(timeout_ms)
        except WorkerDied as error:
            self._replace(worker, error)
            return None
        except TimeoutError:
            return None
        with self._lock:
            self._check_open()
            pending = self._sent[0]
            if lease is None or lease.sequence != pending.sequence % 2**32:
                came = "the end of its stream" if lease is None else f"batch {lease.sequence}"
                raise CropringError(f"the worker handed out {came} where batch {pending.sequence % 2**32} was due")
            batch = self._housed(lease, worker.ring)
            self._answered = pending.sequence + 1
            self._sent.popleft()
            self._supervisor.batch_arrived()
            self._send_waiting()
        return pending, batch

    def _housed(self, lease: Lease, ring: Ring) -> Batch:
        batch = Batch(lease)
        if ring.held_count * 2 > ring.slot_count:
            batch._move_out(ring.field_names)
            self._moved += 1
        return batch

    def _give_up(self, error: Exception) -> None:
        with self._lock:
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
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.process.kill()
            worker.stop()

    # ---------------------------------------------------------------- workers

    def _make_worker(self) -> Worker:
        with self._lock:
            first_batch = self._sent[0].sequence if self._sent else self._answered
        flags: dict[str, Any] = {"first_batch": first_batch} if first_batch else {}
        if self._supervisor.crashed:
            flags["crashed"] = self._supervisor.crashed
        return self._start(flags)

    def _replace(self, dead: Worker, error: WorkerDied) -> None:
        """Another worker takes the place of `dead`, or what there is to say about its end is raised."""
        with self._lock:
            self._worker = None  # nobody sends meanwhile
            self._check_open()
            asked = _AskedFor(self._sent)
        try:
            worker = self._supervisor.replace(dead, error, self._make_worker, asked, f"request {self._answered}")
        finally:
            dead.stop()
        with self._lock:
            for number in self._supervisor.crashed:
                self._note_crashed(number)
        self._install(worker)

    def _install(self, worker: Worker) -> None:
        """It gets all requests that were sent before and not answered, and those that wait."""
        with self._lock:
            if not self._is_closed:
                self._worker = worker
                try:
                    for pending in self._sent:
                        worker.request(pending.request)
                except BaseException as error:
                    _give_up_on(worker, error)
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
        self.check_process()
        with self._lock:
            if self._is_closed:
                return dict(self._last_stats)
            ring = self._worker.ring if self._worker is not None else None
            return self._supervisor.stats(ring) | {"moved_batches": self._moved}

    def check_process(self) -> None:
        if os.getpid() != self._owner_pid:
            raise RuntimeError(f"this cropper belongs to process {self._owner_pid}, of which this one is a fork: make another here")

    # ---------------------------------------------------------------- the end

    def drop(self) -> None:
        """The Cropper is gone.  The garbage collector may say so in our own thread, amid anything: that one closes a moment later."""
        if self._is_background():
            self._is_dropped = True
        else:
            self.close()

    def close(self) -> None:
        """Ends the worker.  Requests that wait are cancelled, those that were sent fail.  Nothing happens the second time."""
        if os.getpid() != self._owner_pid:
            return
        with self._lock:
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


def _give_up_on(worker: Worker, error: BaseException) -> None:
    """Nobody knows what it was asked for: whoever takes the answers finds it dead, and another gets all requests."""
    worker.process.kill()
    if not isinstance(error, Exception):
        raise error


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
