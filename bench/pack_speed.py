"""bench/run pack speed: how long packing takes, its memory, and how much larger packs are than what they were made of."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pack_sets
import common
from pack_imagenet import PICTURES

WAYS = (("all", 1), ("all", 0), ("none", 1))  # --verify, --threads (0: one for each processor)


@dataclass(frozen=True)
class Row:
    source: str
    verify: str
    threads: int
    repetition: int
    files: int
    source_bytes: int
    pack_bytes: int
    wall_s: float
    cpu_s: float
    most_memory_bytes: int


def measure(source: Path, verify: str, threads: int, repetition: int) -> Row:
    out = pack_sets.FOLDER / "speed.pack"
    packing = pack_sets.pack(source, out, "--verify", verify, "--threads", str(threads))
    out.unlink()
    files = sum(1 for path in source.rglob("*") if path.suffix in (".jpg", ".png"))
    wall_s, cpu_s = round(packing.wall_s, 3), round(packing.cpu_s, 3)
    return Row(source.name, verify, threads, repetition, files, pack_sets.file_bytes(source), packing.pack_bytes, wall_s, cpu_s, packing.most_memory_bytes)


def print_table(rows: Sequence[Row]) -> None:
    print("| pictures | --verify | threads | pictures/s | MB/s | CPU ms per picture | CPU ms per MB | most memory, MB | larger by |\n|---|" + "---|" * 8)
    for source, verify, threads in dict.fromkeys((row.source, row.verify, row.threads) for row in rows):
        mine = [row for row in rows if (row.source, row.verify, row.threads) == (source, verify, threads)]
        wall_s, cpu_s = statistics.median(row.wall_s for row in mine), statistics.median(row.cpu_s for row in mine)
        first, megabytes = mine[0], mine[0].source_bytes / 1e6
        speeds = f"{first.files / wall_s:.3g} | {megabytes / wall_s:.1f} | {cpu_s * 1e3 / first.files:.1f} | {cpu_s * 1e3 / megabytes:.0f}"
        memory_mb = max(row.most_memory_bytes for row in mine) / 1e6
        words = f"{speeds} | {memory_mb:.0f} | {first.pack_bytes / first.source_bytes - 1:+.2%}"
        print(f"| {source}, {first.files} files of {megabytes:.0f} MB | {verify} | {threads or len(os.sched_getaffinity(0))} | {words} |")


def run(repetitions: int) -> None:
    rows = []
    for source, rounds in ((PICTURES, repetitions), (pack_sets.mosaics(), max(1, repetitions // 2))):
        for repetition in range(rounds):
            for verify, threads in WAYS:
                rows.append(measure(source, verify, threads, repetition))
                print(f"  {source.name}, --verify {verify}, {threads} threads: {rows[-1].wall_s:.2f} s", file=sys.stderr)
    print_table(rows)
    common.write_csv("pack_speed", rows, pack_sets.build_facts())
