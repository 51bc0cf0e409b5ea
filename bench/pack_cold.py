"""bench/run pack cold: one crop of 224 pixels of each of many large pictures, when nothing of them is in the page cache."""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import common
import pack_sets
from pack_sides import Cutter

COPIES = {"420.jpg": 64, "gray.png": 16}
CROP_PX = 224
SIDES = ("loose files", "pack")


@dataclass(frozen=True)
class Row:
    picture: str
    side: str
    repetition: int
    wall_ms: float  # per crop, as the others
    cpu_ms: float
    read_kb: float  # by the worker
    disk_kb: float  # for the worker, read ahead of it included


def drop_page_cache() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def disk_bytes(pid: int) -> int:
    """What was read from the disk for this process, on its threads' behalf included (proc(5): read_bytes of /proc/PID/io)."""
    counters = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(counters["read_bytes"])


def measure(sources: Sequence[Path], picture: str, count: int, repetitions: int, **flags: object) -> list[Row]:
    """Each side's turn comes after the page cache was dropped; the workers, which wait meanwhile, keep what they know."""
    cutters = {side: Cutter(source, **flags) for side, source in zip(SIDES, sources)}
    order = random.Random(1).sample(range(count), count)
    for cutter in cutters.values():
        cutter.cost(order)
    rows = []
    for repetition in range(repetitions):
        for side in SIDES if repetition % 2 == 0 else SIDES[::-1]:
            drop_page_cache()
            cutter = cutters[side]
            before = disk_bytes(cutter.pid)
            cost, _ = cutter.cost(order)
            disk_kb = (disk_bytes(cutter.pid) - before) / 1e3 / count
            rows.append(Row(picture, side, repetition, round(cost.wall_ms, 4), round(cost.cpu_ms, 4), round(cost.read_kb, 2), round(disk_kb, 2)))
    for cutter in cutters.values():
        cutter.close()
    return rows


def print_table(rows: Sequence[Row], item: str) -> None:
    print(f"| pictures | side | wall ms per {item} | CPU ms | KB read | KB from the disk |\n|---|---|---|---|---|---|")
    for picture, side in dict.fromkeys((row.picture, row.side) for row in rows):
        mine = [row for row in rows if (row.picture, row.side) == (picture, side)]
        wall_ms, cpu_ms, read_kb, disk_kb = (statistics.median(getattr(row, name) for row in mine) for name in ("wall_ms", "cpu_ms", "read_kb", "disk_kb"))
        print(f"| {picture} | {side} | {wall_ms:.3f} | {cpu_ms:.3f} | {read_kb:.1f} | {disk_kb:.1f} |")


def run(repetitions: int) -> None:
    if os.geteuid() != 0:
        print("skipped, because only root may drop the page cache")
        return
    rows: list[Row] = []
    for picture, count in COPIES.items():
        folder = pack_sets.copies(pack_sets.mosaics() / picture, count)
        sources = folder, pack_sets.packed(folder)
        rows += common.in_fresh_process(measure, sources, picture, count, repetitions, size=CROP_PX, channels=1 if "gray" in picture else 3)
    print_table(rows, "crop")
    common.write_csv("pack_cold", rows, pack_sets.build_facts())
