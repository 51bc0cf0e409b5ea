#!/usr/bin/env python3
"""How long one request takes, beside the same rows decoded and resized on the spot: latency.c, a reader in C."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from dataclasses import astuple, dataclass
from pathlib import Path

import common

PROGRAM, WORKER = common.PROGRAMS / "latency", common.PROGRAMS / "cropring"
PHOTO = common.HERE.parent / "tests" / "data" / "photos" / "people" / "astronaut.jpg"  # 512x512
CASES = ((1, 1.0), (1, 0.125), (32, 0.125))  # rows, and their windows' share of each side


@dataclass(frozen=True)
class Latency:
    rows: int
    window: float
    repetition: int
    here_us: float
    here_cpu_us: float
    request_us: float
    request_99_us: float
    worker_cpu_us: float
    reader_cpu_us: float


def measure(file: Path, calls: int, rows: int, window: float, repetition: int) -> Latency:
    words = [PROGRAM, WORKER, file, str(max(1, calls // rows)), str(rows), str(window)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return Latency(rows, window, repetition, *map(float, done.stdout.split()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=PHOTO)
    parser.add_argument("--calls", type=int, default=2000, help="for one row; as many fewer for more rows")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()

    common.build(PROGRAM)
    common.build(WORKER)
    measured = []
    for repetition in range(options.repetitions):
        for rows, window in CASES:
            measured.append(measure(options.file, options.calls, rows, window, repetition))
            print(f"  {astuple(measured[-1])}", file=sys.stderr)
    print("| rows | window | here, us | by request, us | 99 % below | more wall, us | more CPU, us |\n|---|---|---|---|---|---|---|")
    for rows, window in CASES:
        same = [one for one in measured if (one.rows, one.window) == (rows, window)]
        here, request, most = (statistics.median(getattr(one, name) for one in same) for name in ("here_us", "request_us", "request_99_us"))
        more_wall = statistics.median(one.request_us - one.here_us for one in same)
        more_cpu = statistics.median(one.worker_cpu_us + one.reader_cpu_us - one.here_cpu_us for one in same)
        print(f"| {rows} | {window:g} of each side | {here:.0f} | {request:.0f} | {most:.0f} | {more_wall:+.0f} | {more_cpu:+.0f} |")
    common.write_csv("latency", measured, common.machine_facts(("cropring",)))


if __name__ == "__main__":
    main()
