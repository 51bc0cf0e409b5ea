"""Starting and stopping a Loader leaves the Python process as it was.

    python tests/soak/start_stop.py [CYCLES]

Every cycle is a Loader that reads two batches and is closed, dropped or left to the end of its stream, in turn.  After a warm-up the
process's descriptors, threads, maps and children are counted, and again after the last cycle.  The machine's shared memory, which others
use too, may grow by less than half of what all those rings had.
"""

from __future__ import annotations

import gc
import os
import re
import time
from pathlib import Path

import cropring
from fault_rig import FLAGS, PHOTOS, WATCHDOG_S, children, main, shared_memory

WARM_UP = 20
RING = {"slots": 30, "size": 128}
RING_BYTES = 30 * 4 * 128 * 128 * 3
ALLOCATOR_MAPS = 8  # by which malloc's and Python's own mappings may grow, split or merge: not with the number of cycles


def maps() -> tuple[int, int]:
    """How many mappings have a file or are shared, and how many are the allocators' own."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    anonymous = sum(len(fields) == 5 and fields[1].endswith("p") for fields in lines)
    return len(lines) - anonymous, anonymous


def state() -> dict[str, int]:
    """What is the same after any number of cycles."""
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "maps of files and shared memory": maps()[0],
        "children": len(children()),
        "/dev/shm entries": len(shared_memory()),
    }


def shared_bytes() -> int:
    found = re.search(r"Shmem: +(\d+) kB", Path("/proc/meminfo").read_text())
    return int(found[1]) * 1024 if found else 0


def cycle(number: int) -> None:
    loader = cropring.Loader(PHOTOS, **(FLAGS | RING))
    loop = iter(loader)
    next(loop), next(loop)
    if number % 3 == 1:
        loader.close()
    elif number % 3 == 2:
        for _ in loop:
            pass


def settled(expected: dict[str, int], shared_limit_bytes: int) -> tuple[dict[str, int], int]:
    """The state and the shared memory now, or as soon as what is on its way out is gone."""
    deadline = time.monotonic() + WATCHDOG_S
    while True:
        gc.collect()
        now, now_bytes = state(), shared_bytes()
        if (now == expected and now_bytes < shared_limit_bytes) or time.monotonic() > deadline:
            return now, now_bytes
        time.sleep(0.01)


def storms(cycles: int, seed: int, scratch: Path) -> bool:
    begin = time.monotonic()
    for number in range(WARM_UP):
        cycle(number)
    gc.collect()
    before, before_bytes, before_anonymous = state(), shared_bytes(), maps()[1]
    for number in range(cycles):
        cycle(number)
    limit_bytes = before_bytes + cycles * RING_BYTES // 2
    after, after_bytes = settled(before, limit_bytes)
    grown_bytes = after_bytes - before_bytes
    shown = ", ".join(f"{after[what]} {what} ({after[what] - before[what]:+})" for what in before)
    grown_maps = maps()[1] - before_anonymous
    sound = after == before and after_bytes < limit_bytes and grown_maps <= ALLOCATOR_MAPS
    print(f"start and stop: {cycles} cycles in {time.monotonic() - begin:.0f} s: {shown}, {grown_maps:+} maps of the allocators, "
          f"Shmem {grown_bytes / 1e6:+.1f} MB; {0 if sound else 1} violations")
    return sound


if __name__ == "__main__":
    main(storms, 2000)
