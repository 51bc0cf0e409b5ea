"""Every allocation of a worker, and of a reader, fails once.

    python tests/soak/allocation_faults.py [COUNT] [SEED]

An undisturbed run tells how many there are; then each is a run in which that one returns NULL.  COUNT runs are drawn from all.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from fault_rig import BUILT, Rows, become_worker, load, main, must_have
from fault_rig import read_with_ring_sum, reference_rows, sample, storm

LIBRARY = BUILT / "libfail_allocation.so"
VARIANTS: dict[str, dict[str, Any]] = {"io_uring": {}, "threads": {"io": "pread", "segment": "memfd"}}
FIRST = 100  # of the reader, which makes few
TRIES = 50


def count_allocations(flags: dict[str, Any], environment: dict[str, str], told: Path, reference: Rows) -> int:
    """Of a whole run.  A worker that is told to end before it ended by itself tells nothing."""
    for _ in range(TRIES):
        load(flags, environment | {"FAIL_ALLOCATION_COUNT": str(told)}, reference)
        if text := told.read_text():
            return int(text)
    raise RuntimeError(f"in {TRIES} runs no worker ended by itself")


def worker_storm(count: int, seed: int, scratch: Path, reference: Rows) -> bool:
    told = scratch / "allocations"
    environment = become_worker(scratch, f"export LD_PRELOAD={shlex.quote(str(LIBRARY))}")
    cases = []
    for name, flags in VARIANTS.items():
        allocations = count_allocations(flags, environment, told, reference)
        cases += [(f"{name} allocation {number}", (flags, number)) for number in range(1, allocations + 1)]

    def run(case: tuple[dict[str, Any], int]) -> str:
        flags, number = case
        return load(flags, environment | {"FAIL_ALLOCATION": str(number)}, reference)

    return storm(f"allocation faults, worker ({len(cases)} possible)", sample(cases, count, seed), run)


def reader_storm(count: int, seed: int, scratch: Path) -> bool:
    told = scratch / "allocations"
    preload = {"LD_PRELOAD": str(LIBRARY)}
    _, expected = read_with_ring_sum([], preload | {"FAIL_ALLOCATION_COUNT": str(told)}, None)
    cases = [(f"allocation {number}", number) for number in range(1, min(FIRST, int(told.read_text())) + 1)]

    def run(number: int) -> str:
        return read_with_ring_sum([], preload | {"FAIL_ALLOCATION": str(number)}, expected)[0]

    return storm(f"allocation faults, reader ({len(cases)} possible)", sample(cases, count, seed), run)


def storms(count: int, seed: int, scratch: Path) -> bool:
    must_have(LIBRARY)
    must_have(BUILT / "ring_sum")
    sound = worker_storm(count, seed, scratch, reference_rows())
    return reader_storm(count, seed, scratch) and sound


if __name__ == "__main__":
    main(storms, 5000)
