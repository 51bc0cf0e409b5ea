"""bench/run pack rows: how many rows a PNG's segment has: what they add to the file, and what crops cost with them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import common
import pack_sets
from pack_sides import Cutter

PICTURE = "gray.png"
ROWS = ("8", "16", "32", "64", "128", "256", "auto")
SIZES_PX = (224, 600)
CROPS = 64
HEADER_BYTES = 4096  # of a pack, however much is in it


@dataclass(frozen=True)
class Row:
    picture: str
    segment_rows: str
    larger_by: float
    crop_px: int
    repetition: int
    cpu_ms: float
    read_kb: float


def make_packs(source: Path) -> tuple[list[Path], list[float]]:
    """And how much larger each is than its source, the header apart."""
    packs, larger_by = [], []
    for rows in ROWS:
        packs.append(pack_sets.FOLDER / f"rows_{rows}.pack")
        packing = pack_sets.pack(source, packs[-1], "--verify", "none", "--png-rows", rows)
        larger_by.append(round((packing.pack_bytes - HEADER_BYTES) / pack_sets.file_bytes(source) - 1, 5))
    return packs, larger_by


def measure(packs: Sequence[Path], larger_by: Sequence[float], crop_px: int, repetitions: int) -> list[Row]:
    """All take turns, the order turns round every time."""
    rows, samples = [], [0] * CROPS
    cutters = [Cutter(pack, size=crop_px, channels=1) for pack in packs]
    for cutter in cutters:
        cutter.cost(samples)
    for repetition in range(repetitions):
        for number in range(len(cutters)) if repetition % 2 == 0 else reversed(range(len(cutters))):
            cost, _ = cutters[number].cost(samples)
            rows.append(Row(PICTURE, ROWS[number], larger_by[number], crop_px, repetition, round(cost.cpu_ms, 4), round(cost.read_kb, 2)))
    for cutter in cutters:
        cutter.close()
    return rows


def print_table(rows: Sequence[Row]) -> None:
    print("| rows | bytes | " + " | ".join(f"crop of {crop_px}: CPU ms | KB read" for crop_px in SIZES_PX) + " |\n|---|---|" + "---|---|" * len(SIZES_PX))
    for segment_rows in ROWS:
        mine = [row for row in rows if row.segment_rows == segment_rows]
        cells = [segment_rows, f"{mine[0].larger_by:+.2%}"]
        for crop_px in SIZES_PX:
            cells.append(f"{statistics.median(row.cpu_ms for row in mine if row.crop_px == crop_px):.3f}")
            cells.append(f"{statistics.median(row.read_kb for row in mine if row.crop_px == crop_px):.0f}")
        print("|", " | ".join(cells), "|")


def run(repetitions: int) -> None:
    packs, larger_by = make_packs(pack_sets.alone(pack_sets.mosaics() / PICTURE))
    rows = [row for crop_px in SIZES_PX for row in common.in_fresh_process(measure, packs, larger_by, crop_px, repetitions)]
    print_table(rows)
    common.write_csv("pack_rows", rows, pack_sets.build_facts())
