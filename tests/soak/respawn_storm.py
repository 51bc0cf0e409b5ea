#!/usr/bin/env python3
"""A Loader whose workers are killed at random microseconds, while they start as well as while they work: does anybody notice?

    tests/soak/respawn_storm.py [KILLS] [--seed N] [--hang-s SECONDS]

Every epoch must have the bytes that it has without kills, in the same order.  Prints one line; exits 1 if anything in it is wrong:

    torn       batches with other bytes than they should have
    lost       batches that did not come
    repeated   batches that came again, or out of turn
    hangs      more than 2 s without a batch, counted from the last kill
    leftovers  processes, sockets, files in /dev/shm, mappings and descriptors of dead rings, shared memory of the system
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import hashlib
import logging
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cropring
import cropring.worker

PHOTOS = Path(__file__).resolve().parents[1] / "data/photos"
FLAGS: dict[str, object] = {"batch_size": 4, "size": 64, "slots": 3, "threads": 2, "tail": "partial", "seed": 3}
FIELDS = ("images", "labels", "index", "box", "source_size", "flipped", "status")
STUCK_S = 60.0  # then the stacks are printed, and it is over
SHMEM_SLACK_MB = 32  # other programs use shared memory too; a ring that is lost 500 times is 90 MB


class Killer:
    """Kills each worker of the storm, at a moment of its life that chance chooses."""

    def __init__(self, count: int, chance: random.Random, longest_life_s: float = 0.15) -> None:
        self.pids: list[int] = []  # of all workers
        self.kills = 0
        self.last_kill_s = time.monotonic()
        self._count = count
        self._chance = chance
        self._longest_life_s = longest_life_s
        self._born: queue.SimpleQueue[subprocess.Popen[bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def watch(self) -> None:
        """From now on every worker that is started is one to be killed: from the moment on that it has a process id."""
        popen, strike = subprocess.Popen, self.strike

        class Watched(popen):  # type: ignore[misc, valid-type]
            def __init__(self, *words: object, **more: object) -> None:
                super().__init__(*words, **more)
                strike(self)

        cropring.worker.subprocess.Popen = Watched  # type: ignore[misc]

    def strike(self, process: subprocess.Popen[bytes]) -> None:
        """It will be killed, sooner or later."""
        self.pids.append(process.pid)
        self._born.put(process)

    def is_done(self) -> bool:
        return self.kills >= self._count

    def stop(self) -> None:
        self._born.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self.is_done() and (process := self._born.get()) is not None:
            # A third of them while they start; the others may work for a while.
            time.sleep(self._chance.uniform(0, 0.02 if self._chance.random() < 1 / 3 else self._longest_life_s))
            try:
                pidfd = os.pidfd_open(process.pid)
            except ProcessLookupError:
                continue
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                self.kills += 1
                self.last_kill_s = time.monotonic()
            except ProcessLookupError:
                pass
            finally:
                os.close(pidfd)


def contents(batch: cropring.Batch) -> tuple[int, bytes]:
    digest = hashlib.blake2b(repr((batch.seq, batch.epoch, len(batch))).encode())
    for name in FIELDS:
        digest.update(batch[name].tobytes())
    return batch.seq, digest.digest()


class Ledger:
    """What came, beside what should have come."""

    def __init__(self, hang_s: float) -> None:
        self._hang_s = hang_s
        self.batches = self.torn = self.lost = self.repeated = self.hangs = 0
        self.longest_wait_s = 0.0

    def enter(self, came: list[tuple[int, bytes]], expected: list[tuple[int, bytes]]) -> None:
        self.batches += len(came)
        wanted = dict(expected)
        seen: set[int] = set()
        for place, (seq, digest) in enumerate(came):
            if seq in seen or seq not in wanted or (place and seq < came[place - 1][0]):
                self.repeated += 1
            elif wanted[seq] != digest:
                self.torn += 1
            seen.add(seq)
        self.lost += len(wanted.keys() - seen)

    def timed(self, loop: Iterator[cropring.Batch], killer: Killer) -> Iterator[cropring.Batch]:
        while True:
            faulthandler.dump_traceback_later(STUCK_S, exit=True)
            begin_s = time.monotonic()
            try:
                batch = next(loop)
            except StopIteration:
                return
            finally:
                faulthandler.cancel_dump_traceback_later()
                wait_s = time.monotonic() - max(begin_s, min(killer.last_kill_s, time.monotonic()))
                self.longest_wait_s = max(self.longest_wait_s, wait_s)
                self.hangs += wait_s > self._hang_s
            yield batch


# ---------------------------------------------------------------- leftovers


def children(parent: int | None = None) -> set[int]:
    """Processes whose parent is this one, or the one that is named; zombies included."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if int(fields[1]) == (parent or os.getpid()):
            found.add(int(status.parent.name))
    return found


def sockets(pids: list[int]) -> int:
    """Listening sockets of these workers: a ring without a name of its own has its worker's process id in it."""
    listening = set(re.findall(rf"@cropring/{os.geteuid()}/cropring-(\d+)", Path("/proc/net/unix").read_text()))
    return len(listening & {str(pid) for pid in pids})


def segments_here() -> int:
    """Rings that this process still has mapped or open."""
    mapped = len(re.findall(r"cropring", "".join(line for line in Path("/proc/self/maps").read_text().splitlines() if "(deleted)" in line)))
    return mapped + len(os.listdir("/proc/self/fd"))


def shmem_mb() -> int:
    return int(re.findall(r"Shmem: +(\d+) kB", Path("/proc/meminfo").read_text())[0]) // 1024


def shm_files() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith("cropring")}


def left_over(looks: dict[str, Callable[[], int]]) -> dict[str, int]:
    """What is still there after a while: the kernel takes its time with a killed process."""
    deadline_s = time.monotonic() + 20
    while True:
        gc.collect()
        found = {name: count for name, look in looks.items() if (count := look()) > 0}
        if not found or time.monotonic() > deadline_s:
            return found
        time.sleep(0.1)


# ---------------------------------------------------------------- the storm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", type=int, nargs="?", default=500)
    parser.add_argument("--hang-s", type=float, default=2.0, help="seconds that count as a hang; more for a busy machine")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    options = parser.parse_args()
    logging.getLogger("cropring").setLevel(logging.ERROR)  # a warning for each kill is what is wanted, and too much here

    reference = cropring.Loader(PHOTOS, **FLAGS)  # type: ignore[arg-type]
    before = children(), shm_files(), shmem_mb()
    killer, ledger = Killer(options.kills, random.Random(options.seed)), Ledger(options.hang_s)
    killer.watch()
    descriptors = segments_here()
    begin_s, epochs = time.monotonic(), 0
    with cropring.Loader(PHOTOS, **FLAGS, respawn=options.kills) as loader:  # type: ignore[arg-type]
        while not killer.is_done() or epochs == 0:
            ledger.enter([contents(batch) for batch in ledger.timed(iter(loader), killer)], [contents(batch) for batch in reference])
            epochs += 1
        killer.stop()
        respawns = loader.stats()["respawns"]
    took_s = time.monotonic() - begin_s
    del loader

    leftovers = left_over({
        "processes": lambda: len(children() - before[0]),
        "sockets": lambda: sockets(killer.pids),
        "files in /dev/shm": lambda: len(shm_files() - before[1]),
        "mappings and descriptors": lambda: segments_here() - descriptors,
        f"MB of shared memory over {SHMEM_SLACK_MB}": lambda: shmem_mb() - before[2] - SHMEM_SLACK_MB,
    })  # fmt: skip
    reference.close()
    print(
        f"respawn_storm: {killer.kills} kills of {len(killer.pids)} workers, {respawns} respawns, {epochs} epochs, {ledger.batches} batches, "
        f"{took_s:.0f} s: torn {ledger.torn}, lost {ledger.lost}, repeated {ledger.repeated}, hangs {ledger.hangs} "
        f"(longest wait {ledger.longest_wait_s:.2f} s), leftovers {sum(leftovers.values())}{f' {leftovers}' if leftovers else ''} "
        f"(seed {options.seed})"
    )
    return int(any([killer.kills < options.kills, ledger.torn, ledger.lost, ledger.repeated, ledger.hangs, leftovers]))


if __name__ == "__main__":
    sys.exit(main())
