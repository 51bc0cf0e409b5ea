#!/usr/bin/env python3
"""One side of bench/neighbour.py, in a process of its own, which stands for a training loop; prints a line of JSON.

    python bench/neighbour_one.py STREAM PACE WORK TICKER.SO        PACE and WORK are JSON

The main thread takes batches at a fixed pace. Beside it one thread acts every millisecond: first in C, which needs no interpreter, then
in Python, which must have the interpreter's lock (GIL) each time, as a program has that launches kernels from Python.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

import common
import peers_loaders
from work import Work

PR_SET_TIMERSLACK = 29


@dataclass(frozen=True)
class Pace:
    images_per_s: float
    warm_s: float  # batches are taken for so long before anything counts: rings and queues are full then
    ticks: int
    period_us: int = 1000
    work_us: int = 50  # CPU time of each act


@dataclass(frozen=True)
class Lateness:
    ticker: str
    ticks: int
    p50_us: float
    p99_us: float
    max_us: float
    missed: int  # acts that began later than the next one should have
    images_per_s: float
    waited_ms: float  # the main thread for batches, in all
    cpus: float  # CPU time of this process and all its descendants, the ticker's included, per second


def tick_in_c(library: ctypes.CDLL, pace: Pace, late_ns: NDArray[np.uint64]) -> None:
    pointer = late_ns.ctypes.data_as(ctypes.POINTER(ctypes.c_uint64))
    period_ns, work_ns = (ctypes.c_uint64(us * 1000) for us in (pace.period_us, pace.work_us))
    if error := library.ticker_run(period_ns, work_ns, ctypes.c_uint32(len(late_ns)), pointer):
        raise OSError(error, "ticker_run")


def tick_in_python(_: ctypes.CDLL, pace: Pace, late_ns: NDArray[np.uint64]) -> None:
    """The same as ticker.c."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    period_ns, work_ns = pace.period_us * 1000, pace.work_us * 1000
    due_ns = time.monotonic_ns()
    for place in range(len(late_ns)):
        due_ns += period_ns
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)
        late_ns[place] = time.monotonic_ns() - due_ns
        number = end_ns = time.thread_time_ns() + work_ns
        while time.thread_time_ns() < end_ns:
            number = number * 5 % 1000003


class Trainer:
    """Takes a batch whenever one is due, and touches each of its pictures."""

    def __init__(self, stream: Iterator[np.ndarray], batch_size: int, images_per_s: float) -> None:
        self.stream = stream
        self.interval_s = batch_size / images_per_s
        self.due_s = time.monotonic()
        self.taken_s: list[float] = []  # when
        self.waited_s = 0.0

    def train(self, goes_on: Callable[[], bool]) -> None:
        while goes_on():
            begin_s = time.monotonic()
            batch = next(self.stream)
            self.taken_s.append(time.monotonic())
            self.waited_s += self.taken_s[-1] - begin_s
            int(batch[:, 0, 0, 0].sum())
            self.due_s += self.interval_s
            while (left_s := self.due_s - time.monotonic()) > 0 and goes_on():
                time.sleep(min(left_s, 0.05))


def measure(tick: Callable[..., None], library: ctypes.CDLL, trainer: Trainer, pace: Pace, batch_size: int) -> Lateness:
    late_ns = np.zeros(pace.ticks, np.uint64)
    thread = threading.Thread(target=tick, args=(library, pace, late_ns), daemon=True)
    trainer.taken_s, trainer.waited_s = [], 0.0
    cpu_before_s, before_s = common.tree_cpu_seconds(), time.monotonic()
    thread.start()
    trainer.train(thread.is_alive)
    wall_s, cpu_s = time.monotonic() - before_s, common.tree_cpu_seconds() - cpu_before_s
    taken_s = trainer.taken_s
    images_per_s = batch_size * (len(taken_s) - 1) / (taken_s[-1] - taken_s[0]) if len(taken_s) > 1 else 0.0
    p50, p99, most = np.quantile(late_ns / 1e3, (0.5, 0.99, 1.0)).tolist()
    return Lateness(
        tick.__name__.removeprefix("tick_in_"), pace.ticks, p50, p99, most, int(np.count_nonzero(late_ns > pace.period_us * 1000)),
        images_per_s, 1e3 * trainer.waited_s, cpu_s / wall_s,
    )  # fmt: skip


def main() -> None:
    name, pace_words, work_words, library_path = sys.argv[1:]
    pace, work = Pace(**json.loads(pace_words)), Work(**json.loads(work_words))
    library = ctypes.CDLL(library_path)
    trainer = Trainer(getattr(peers_loaders, name)(work), work.batch_size, pace.images_per_s)
    next(trainer.stream)  # the loader's start is not paced
    trainer.due_s = time.monotonic()
    warm_until_s = trainer.due_s + pace.warm_s
    trainer.train(lambda: time.monotonic() < warm_until_s)
    print(json.dumps([asdict(measure(tick, library, trainer, pace, work.batch_size)) for tick in (tick_in_c, tick_in_python)]))


if __name__ == "__main__":
    main()
