#!/usr/bin/env python3
"""A Cropper that many threads ask at once while its workers are killed and stopped, and Ctrl-C is pressed: who gets a wrong answer, or none?

    tests/soak/request_storm.py [KILLS] [--trainers N] [--seed N] [--hang-s SECONDS]

Threads call, submit, await, cancel, and keep what they got; each answer is held against Pillow's pixels of the files and windows that were
asked for.  Then `trainers` processes like this one are killed themselves.  Prints one line; exits 1 if anything in it is wrong:

    torn       answers with other pixels, labels, boxes or sizes than those of their requests
    turned     answers of one thread that are numbered in another order than they were asked for
    lost       futures that never came to an end, or ended with an error that nobody caused
    hangs      more than --hang-s seconds without an answer for a thread that waits for one
    leftovers  processes, sockets, files in /dev/shm, mappings and descriptors of dead rings
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import logging
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path

import cropring
import numpy as np
from cropring.exchange import CropFuture
from PIL import Image

from respawn_storm import PHOTOS, Killer, children, left_over, segments_here, shm_files, sockets

SIDE_PX = 24
WINDOWS_PER_PHOTO = 6
MOST_ROWS = 12
THREADS = 6
STUCK_S = 20.0
KEPT = 6  # batches, by each thread


@dataclass
class Window:
    """One crop, and what must come of it."""

    path: Path
    place: tuple[float, float, float]
    box: list[int]
    pixels: np.ndarray


def windows_of(path: Path, chance: random.Random) -> list[Window]:
    image = Image.open(path).convert("RGB")
    windows = []
    for _ in range(WINDOWS_PER_PHOTO):
        place = tuple(np.float32(chance.random()) for _ in range(3))
        sides = [max(2, int(np.float32(side) * place[2])) for side in image.size]
        x, y = (min(int(at * np.float32(side)), side - cut) for at, side, cut in zip(place, image.size, sides))
        crop = image.crop((x, y, x + sides[0], y + sides[1])).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
        windows.append(Window(path, place, [x, y, *sides], np.asarray(crop)))  # type: ignore[arg-type]
    return windows


@dataclass
class Ledger:
    answers: int = 0
    cancelled: int = 0
    torn: int = 0
    turned: int = 0
    lost: int = 0
    longest_wait_s: float = 0.0
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Asker:
    """One thread: asks in all the ways there are, and holds each answer against what it must be."""

    def __init__(self, crop: cropring.Cropper, windows: list[Window], ledger: Ledger, seed: int) -> None:
        self._crop = crop
        self._windows = windows
        self._ledger = ledger
        self._chance = random.Random(seed)
        self._last_index = -1
        self._kept: deque[tuple[cropring.Batch, list[Window], int]] = deque()

    def ask(self) -> None:
        """One call, or some futures."""
        way = self._chance.choice((self.call, self.call, self._submit, self._submit, self._await, self._cancel, self._ask_in_callback))
        begin_s = time.monotonic()
        way()
        with self._ledger.lock:
            self._ledger.longest_wait_s = max(self._ledger.longest_wait_s, time.monotonic() - begin_s)

    def _draw(self) -> tuple[list[Window], int]:
        return [self._chance.choice(self._windows) for _ in range(self._chance.randint(1, MOST_ROWS))], self._chance.getrandbits(40)

    @staticmethod
    def _arguments(wanted: list[Window]) -> tuple[object, ...]:
        return ([window.path for window in wanted], *zip(*(window.place for window in wanted)))

    def call(self) -> None:
        wanted, label = self._draw()
        self._check(self._crop(*self._arguments(wanted), labels=label), wanted, label)  # type: ignore[arg-type]

    def _submitted(self) -> tuple[CropFuture, list[Window], int]:
        wanted, label = self._draw()
        return self._crop.submit(*self._arguments(wanted), labels=label), wanted, label  # type: ignore[arg-type]

    def _submit(self) -> None:
        for future, wanted, label in [self._submitted() for _ in range(self._chance.randint(1, 12))]:
            self._check(self._result(future), wanted, label)

    def _await(self) -> None:
        asked = [self._submitted() for _ in range(4)]

        async def answers() -> list[cropring.Batch]:
            return [await asyncio.wait_for(future, STUCK_S) for future, _, _ in asked]

        for batch, (_, wanted, label) in zip(asyncio.run(answers()), asked):
            self._check(batch, wanted, label)

    def _cancel(self) -> None:
        asked = [self._submitted() for _ in range(12)]
        for future, wanted, label in reversed(asked):
            if future.cancel():
                with self._ledger.lock:
                    self._ledger.cancelled += 1
        for future, wanted, label in asked:
            if not future.cancelled():
                self._check(self._result(future), wanted, label)

    def _ask_in_callback(self) -> None:
        """A future whose callback calls, and waits for another future."""
        inner: Future[list[tuple[cropring.Batch, list[Window], int]]] = Future()

        def ask(_: object) -> None:
            try:
                wanted, label = self._draw()
                future, more_wanted, more_label = self._submitted()
                batch = self._result(future)
                called = self._crop(*self._arguments(wanted), labels=label)  # type: ignore[arg-type]
                inner.set_result([(batch, more_wanted, more_label), (called, wanted, label)])
            except BaseException as error:
                inner.set_exception(error)

        future, wanted, label = self._submitted()
        future.add_done_callback(ask)
        self._check(self._result(future), wanted, label)
        for answer in inner.result(STUCK_S):
            self._check(*answer)

    def _result(self, future: Future[cropring.Batch]) -> cropring.Batch:
        return future.result(STUCK_S)

    def _check(self, batch: cropring.Batch, wanted: list[Window], label: int) -> None:
        first = int(batch.index[0])
        self._ledger.turned += first <= self._last_index
        self._last_index = first
        self._kept.append((batch, wanted, label))
        if len(self._kept) > self._chance.randint(1, KEPT):
            self._compare(*self._kept.popleft())

    def _compare(self, batch: cropring.Batch, wanted: list[Window], label: int) -> None:
        """As late as possible: what a batch that is kept shows must not change."""
        is_right = (
            len(batch) == len(wanted)
            and not batch.status.any()
            and set(batch.labels.tolist()) == {label}
            and batch.box.tolist() == [window.box for window in wanted]
            and all(np.array_equal(image, window.pixels) for image, window in zip(batch.images, wanted))
        )
        with self._ledger.lock:
            self._ledger.answers += 1
            self._ledger.torn += not is_right

    def compare_kept(self) -> None:
        while self._kept:
            self._compare(*self._kept.popleft())


def ask_until(is_over: Callable[[], bool], ask: Callable[[], None], asker: Asker, ledger: Ledger) -> None:
    while not is_over() and len(ledger.errors) < 20:
        try:
            ask()
        except BaseException as error:
            with ledger.lock:
                ledger.lost += 1
                ledger.errors.append(f"{type(error).__name__}: {error}")
    asker.compare_kept()


class Interrupts:
    """Ctrl-C, pressed now and then, for what the main thread does meanwhile."""

    def __init__(self, chance: random.Random) -> None:
        self.count = 0
        self._is_armed = False
        self._chance = chance
        self._is_over = threading.Event()
        signal.signal(signal.SIGINT, self._interrupt)
        self._thread = threading.Thread(target=self._press)
        self._thread.start()

    def during(self, work: Callable[[], None]) -> None:
        try:
            self._is_armed = True
            work()
            self._is_armed = False
        except KeyboardInterrupt:
            self.count += 1

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, *_: object) -> None:
        if self._is_armed:
            self._is_armed = False
            raise KeyboardInterrupt

    def _press(self) -> None:
        while not self._is_over.wait(self._chance.uniform(0, 0.6)):
            os.kill(os.getpid(), signal.SIGINT)


def stop_now_and_then(crop: cropring.Cropper, chance: random.Random, is_over: Callable[[], bool]) -> None:
    """SIGSTOP to the worker, and a moment later SIGCONT."""
    while not is_over():
        time.sleep(chance.uniform(0.05, 0.3))
        worker = crop._exchange._worker
        if worker is not None and worker.process.returncode is None:
            for what, pause_s in ((signal.SIGSTOP, chance.uniform(0, 0.15)), (signal.SIGCONT, 0)):
                worker.process.send_signal(what)
                time.sleep(pause_s)


# ---------------------------------------------------------------- trainers that are killed


def be_a_trainer() -> None:
    """Asks until it is killed."""
    crop = cropring.Cropper(SIDE_PX, threads=2, slots=5, quiet=True)
    paths = sorted(PHOTOS.rglob("*.*"))
    kept: deque[cropring.Batch] = deque(maxlen=8)
    print("asking", flush=True)
    while True:
        kept += [future.result() for future in [crop.submit(paths, rule="center") for _ in range(10)]]


def kill_trainer(chance: random.Random) -> int:
    """How many of its workers outlive it; some are stopped while it dies."""
    trainer = subprocess.Popen([sys.executable, __file__, "--be-a-trainer"], stdout=subprocess.PIPE)
    try:
        if chance.random() < 0.7:
            trainer.stdout.readline()  # type: ignore[union-attr]
        time.sleep(chance.uniform(0, 0.2))
        workers = [os.pidfd_open(worker) for worker in children(trainer.pid)]
        if is_stopped := chance.random() < 0.3:
            for worker in workers:
                signal.pidfd_send_signal(worker, signal.SIGSTOP)
    finally:
        trainer.kill()
        trainer.wait()
        trainer.stdout.close()  # type: ignore[union-attr]
    count = 0
    for worker in workers:
        if is_stopped:
            signal.pidfd_send_signal(worker, signal.SIGCONT)
        if not select.select([worker], [], [], STUCK_S)[0]:
            count += 1
            signal.pidfd_send_signal(worker, signal.SIGKILL)
        os.close(worker)
    return count


# ---------------------------------------------------------------- the storm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", type=int, nargs="?", default=300)
    parser.add_argument("--trainers", type=int, default=20)
    parser.add_argument("--hang-s", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--be-a-trainer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_a_trainer:
        be_a_trainer()
    logging.getLogger("cropring").setLevel(logging.ERROR)
    faulthandler.enable()

    chance = random.Random(options.seed)
    windows = [window for path in sorted(PHOTOS.rglob("*.*")) for window in windows_of(path, chance)]
    before = children(), shm_files()
    killer, ledger = Killer(options.kills, random.Random(options.seed), longest_life_s=0.4), Ledger()
    descriptors = segments_here()
    begin_s = time.monotonic()
    with cropring.Cropper(SIDE_PX, threads=2, slots=5, quiet=True, respawn=options.kills) as crop:
        killer.watch()
        killer.strike(crop._exchange._worker.process)
        askers = [Asker(crop, windows, ledger, chance.getrandbits(32)) for _ in range(THREADS + 1)]
        threads = [threading.Thread(target=ask_until, args=(killer.is_done, asker.ask, asker, ledger)) for asker in askers[1:]]
        threads.append(threading.Thread(target=stop_now_and_then, args=(crop, random.Random(chance.random()), killer.is_done)))
        faulthandler.dump_traceback_later(STUCK_S + options.kills, exit=True)
        interrupts = Interrupts(random.Random(chance.random()))
        for thread in threads:
            thread.start()
        ask_until(killer.is_done, lambda: interrupts.during(askers[0].call), askers[0], ledger)
        interrupts.stop()
        for thread in threads:
            thread.join()
        faulthandler.cancel_dump_traceback_later()
        killer.stop()
        stats = crop.stats()
    took_s = time.monotonic() - begin_s
    outlived = sum(kill_trainer(chance) for _ in range(options.trainers))
    hangs = int(ledger.longest_wait_s > options.hang_s)
    leftovers = left_over({
        "processes": lambda: len(children() - before[0]) + outlived,
        "sockets": lambda: sockets(killer.pids),
        "files in /dev/shm": lambda: len(shm_files() - before[1]),
        "mappings and descriptors": lambda: segments_here() - descriptors,
    })  # fmt: skip
    for error in ledger.errors[:5]:
        print(f"request_storm: {error}", file=sys.stderr)
    print(
        f"request_storm: {killer.kills} kills of {len(killer.pids)} workers, {interrupts.count} times Ctrl-C, {options.trainers} trainers, "
        f"{ledger.answers} answers ({stats['moved_batches']} moved), {ledger.cancelled} cancelled, {took_s:.0f} s: "
        f"torn {ledger.torn}, turned {ledger.turned}, lost {ledger.lost}, hangs {hangs} (longest wait {ledger.longest_wait_s:.2f} s), "
        f"leftovers {sum(leftovers.values())}{f' {leftovers}' if leftovers else ''} (seed {options.seed})"
    )
    return int(any([killer.kills < options.kills, ledger.torn, ledger.turned, ledger.lost, hangs, leftovers]))


if __name__ == "__main__":
    sys.exit(main())
