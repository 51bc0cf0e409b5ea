#!/usr/bin/env python3
"""What an epoch's order costs: time until the first sample, time per sample and memory, from 1,000 to 10^9 samples."""

from __future__ import annotations

import argparse
import statistics
import subprocess
from dataclasses import dataclass

import common

TIMER = common.PROGRAMS / "order_timer"
CASES = {"shuffle": (1_000, 1_000_000, 1_000_000_000), "weights": (1_000, 1_000_000, 30_000_000)}


@dataclass(frozen=True)
class Timing:
    order: str
    samples: int
    repetition: int
    first_us: float  # CPU time, as the next
    per_sample_ns: float
    memory_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()

    common.build(TIMER)
    rows = []
    for repetition in range(options.repetitions):
        for order, sizes in CASES.items():
            for samples in sizes:
                said = subprocess.run([TIMER, order, str(samples)], capture_output=True, text=True, check=True).stdout.split()
                rows.append(Timing(order, samples, repetition, int(said[0]) / 1e3, float(said[1]), int(said[2])))
    print("| order | samples | first sample after, µs | ns per sample | bytes |\n|---|---|---|---|---|")
    for order, sizes in CASES.items():
        for samples in sizes:
            mine = [row for row in rows if (row.order, row.samples) == (order, samples)]
            first, each = (statistics.median(values) for values in ([row.first_us for row in mine], [row.per_sample_ns for row in mine]))
            print(f"| {order} | {samples:,} | {first:,.1f} | {each:.0f} | {mine[0].memory_bytes:,} |")
    common.write_csv("order", rows, common.machine_facts(("cropring",)))


if __name__ == "__main__":
    main()
