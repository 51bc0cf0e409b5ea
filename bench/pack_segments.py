"""bench/run pack segments: what sizes of segments add to a file, and what crops cost with them: the reason for the defaults."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pack_sets
import common
from pack_imagenet import PICTURES, WORK
from pack_sides import Cutter

AUTO = "auto"
JPEG_PX = ("40", "80", "160", "320", "640", AUTO)
PNG_ROWS = ("8", "16", "32", "64", "128", "256", AUTO)
SIZES_PX = (224, 600)
CROPS = 64
HEADER_BYTES = 4096  # of a pack, however much is in it


@dataclass(frozen=True)
class Row:
    pictures: str
    segment: str  # pixels or rows
    larger_by: float
    work: str
    repetition: int
    cpu_ms: float
    read_kb: float


def measure_large(picture: str, segments: Sequence[str], packs: Sequence[Path], larger_by: Sequence[float], crop_px: int, repetitions: int) -> list[Row]:
    cutters = [Cutter(pack, size=crop_px, channels=1 if "gray" in picture else 3) for pack in packs]
    return turns(cutters, [0] * CROPS, picture, segments, larger_by, f"crop of {crop_px}", repetitions)


def measure_small(segments: Sequence[str], packs: Sequence[Path], larger_by: Sequence[float], repetitions: int) -> list[Row]:
    cutters = [Cutter(pack, **WORK) for pack in packs]
    return turns(cutters, range(len(cutters[0].loader.dataset)), PICTURES.name, segments, larger_by, "RandomResizedCrop(224)", repetitions)


def turns(
    cutters: Sequence[Cutter], samples: Sequence[int], pictures: str, segments: Sequence[str], larger_by: Sequence[float], work: str, repetitions: int
) -> list[Row]:
    rows = []
    for cutter in cutters:
        cutter.cost(samples)
    for repetition in range(repetitions):
        for number in range(len(cutters)) if repetition % 2 == 0 else reversed(range(len(cutters))):
            cost, _ = cutters[number].cost(samples)
            rows.append(Row(pictures, segments[number], larger_by[number], work, repetition, round(cost.cpu_ms, 4), round(cost.read_kb, 2)))
    for cutter in cutters:
        cutter.close()
    print(f"  {pictures}, {work}: done", file=sys.stderr)
    return rows


def make_packs(source: Path, flag: str, segments: Sequence[str]) -> tuple[list[Path], list[float]]:
    """And how much larger each is than its source, the header apart."""
    packs, larger_by = [], []
    for segment in segments:
        packs.append(pack_sets.FOLDER / f"{source.name}_{segment}.pack")
        packing = pack_sets.pack(source, packs[-1], "--verify", "none", f"--{flag}", segment)
        larger_by.append(round((packing.pack_bytes - HEADER_BYTES) / pack_sets.file_bytes(source) - 1, 5))
    return packs, larger_by


def print_table(rows: Sequence[Row]) -> None:
    print("| pictures | segment | bytes | work | CPU ms | KB read |\n|---|---|---|---|---|---|")
    for pictures, segment, work in dict.fromkeys((row.pictures, row.segment, row.work) for row in rows):
        mine = [row for row in rows if (row.pictures, row.segment, row.work) == (pictures, segment, work)]
        cpu_ms, read_kb = statistics.median(row.cpu_ms for row in mine), statistics.median(row.read_kb for row in mine)
        print(f"| {pictures} | {segment} | {mine[0].larger_by:+.2%} | {work} | {cpu_ms:.3f} | {read_kb:.1f} |")


def run(repetitions: int) -> None:
    rows: list[Row] = []
    for picture in pack_sets.MOSAICS:
        flag, segments = ("png-rows", PNG_ROWS) if picture.endswith(".png") else ("segment-px", JPEG_PX)
        packs, larger_by = make_packs(pack_sets.alone(pack_sets.mosaics() / picture), flag, segments)
        for crop_px in SIZES_PX:
            rows += common.in_fresh_process(measure_large, picture, segments, packs, larger_by, crop_px, repetitions)
    packs, larger_by = make_packs(PICTURES, "segment-px", JPEG_PX)
    rows += common.in_fresh_process(measure_small, JPEG_PX, packs, larger_by, repetitions)
    print_table(rows)
    common.write_csv("pack_segments", rows, pack_sets.build_facts())
