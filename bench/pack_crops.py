"""bench/run pack crops: crops of 4000x4000 pictures, not resized, from a pack, from loose files, and by other libraries.

All sides take turns over the same boxes.  What is wanted was measured before there were packs, for other pictures of about the same size,
together with whole decodes by libjpeg-turbo and libpng alone.  The same whole decodes are measured here, so that shares of them can be compared.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import common
import pack_sets
from pack_sides import Cutter, check_pixels, peer_cost, whole_decode_cost
from peers_crops import FULL_SIZE_PEERS

SIZES_PX = (224, 600, 1000)
LOOSE, PACK = "cropring, loose file", "cropring, pack"
WHOLE = "whole decode"
SIDES = (*FULL_SIZE_PEERS, LOOSE, PACK)
ALLOWED = 1.25  # times what was measured
CROPS_PER_TURN = {LOOSE: 64, PACK: 64}  # others: PEER_CROPS
PEER_CROPS = 4

# Picture and crop -> CPU ms of the best way that was measured, of a whole decode there, and KB read.
MEASURED = {
    ("420.jpg", 224): (0.26, 44.2, 13),
    ("420.jpg", 600): (1.31, 43.1, 59),
    ("420.jpg", 1000): (3.38, 42.8, 143),
    ("444.jpg", 224): (0.40, 75.4, 22),
    ("gray.jpg", 224): (0.14, 26.0, 8.6),
    ("gray.jpg", 600): (0.73, 25.7, 43),
    ("gray.png", 600): (5.3, 181, 1460),
}


@dataclass(frozen=True)
class Row:
    picture: str
    crop_px: int
    side: str
    repetition: int
    crops: int
    cpu_ms: float
    wall_ms: float
    read_kb: float


def measure(folder: Path, pack: Path, sample: int, picture: str, crop_px: int, repetitions: int) -> list[Row]:
    channels = 1 if "gray" in picture else 3
    loose, packed = (Cutter(source, size=crop_px, channels=channels) for source in (folder, pack))
    samples = [sample] * CROPS_PER_TURN[PACK]
    check_pixels(loose, packed, samples, folder / picture, channels)
    rows = []
    for repetition in range(repetitions):
        boxes = None
        for side in (PACK, LOOSE, *FULL_SIZE_PEERS, WHOLE) if repetition % 2 == 0 else (LOOSE, PACK, WHOLE, *FULL_SIZE_PEERS[::-1]):
            if side == WHOLE:
                cost, crops = whole_decode_cost(folder / picture, channels), 1
            elif side in FULL_SIZE_PEERS:
                assert boxes is not None
                cost, crops = peer_cost(side, folder / picture, channels, boxes[:PEER_CROPS].tolist()), PEER_CROPS
            else:
                cost, boxes = (packed if side == PACK else loose).cost(samples)
                crops = len(samples)
            rows.append(Row(picture, crop_px, side, repetition, crops, round(cost.cpu_ms, 4), round(cost.wall_ms, 4), round(cost.read_kb, 2)))
    loose.close()
    packed.close()
    return rows


def median(rows: Sequence[Row], picture: str, crop_px: int, side: str, name: str) -> float:
    return statistics.median(getattr(row, name) for row in rows if (row.picture, row.crop_px, row.side) == (picture, crop_px, side))


def print_tables(rows: Sequence[Row]) -> None:
    cases = dict.fromkeys((row.picture, row.crop_px) for row in rows)
    for name, title, digits in (("cpu_ms", "CPU ms per crop", 2), ("read_kb", "KB read per crop", 0)):
        print(f"| {title} | " + " | ".join(SIDES) + " | best peer / pack |\n|---|" + "---|" * (len(SIDES) + 1))
        for case in cases:
            values = {side: median(rows, *case, side, name) for side in SIDES}
            best = min(values[peer] for peer in FULL_SIZE_PEERS if values[peer] >= 1)
            cells = [f"{value:.{digits}f}" if value >= 1 or name == "cpu_ms" else "mapped" for value in values.values()]
            print(f"| {case[0]}, {case[1]} | " + " | ".join(cells) + f" | {best / values[PACK]:.0f} |")
        print()
    print("| picture, crop | pack, CPU ms | measured | ratio | whole decode | measured | ratio of shares | KB read | measured | ratio |\n|---|" + "---|" * 9)
    for case, (ms, whole_ms, kb) in MEASURED.items():
        if case not in cases:
            continue
        ours_ms, ours_kb = median(rows, *case, PACK, "cpu_ms"), median(rows, *case, PACK, "read_kb")
        here_ms = median(rows, *case, WHOLE, "cpu_ms")
        print(f"| {case[0]}, {case[1]} | {ours_ms:.3f} | {ms} | {ours_ms / ms:.2f} | {here_ms:.1f} | {whole_ms} | {ours_ms / here_ms / (ms / whole_ms):.2f} | ", end="")
        print(f"{ours_kb:.1f} | {kb} | {ours_kb / kb:.2f} |")
    print(f"\n{ALLOWED} is allowed")


def run(repetitions: int) -> None:
    folder = pack_sets.mosaics()
    pack = pack_sets.packed(folder)
    rows: list[Row] = []
    for sample, picture in enumerate(pack_sets.MOSAICS):
        for crop_px in SIZES_PX:
            rows += common.in_fresh_process(measure, folder, pack, sample, picture, crop_px, repetitions)
            print(f"  {picture}, {crop_px}: " + ", ".join(f"{side} {median(rows, picture, crop_px, side, 'cpu_ms'):.2f}" for side in SIDES), file=sys.stderr)
    print("pixels: those of the pack equal those of the files and Pillow's\n")
    print_tables(rows)
    common.write_csv("pack_crops", rows, pack_sets.build_facts())
