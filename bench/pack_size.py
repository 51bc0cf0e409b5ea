"""bench/run pack size: what a crop of 224x224 pixels costs of ever larger pictures, and the plot of it (docs/crop-cost.png)."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import common
import make_mosaics
import pack_plot
import pack_sets
from pack_crops import LOOSE, PACK, SIDES, Row
from pack_sides import Cutter, check_pixels, peer_cost
from peers_crops import FULL_SIZE_PEERS

CROP_PX = 224
PACK_CROPS = 64
SIDES_PX = make_mosaics.GROWTH_PX


def crop_count(side: str, side_px: int) -> int:
    """Of a turn: fewer where they take long."""
    if side == PACK:
        return PACK_CROPS
    return max(4, min(32, 2**15 // side_px)) if side == LOOSE else max(1, min(8, 2**13 // side_px))


def measure(folder: Path, pack: Path, sample: int, path: Path, repetitions: int) -> list[Row]:
    channels = 1 if "gray" in path.name else 3
    side_px = SIDES_PX[sample]
    loose, packed = (Cutter(source, size=CROP_PX, channels=channels) for source in (folder, pack))
    check_pixels(loose, packed, [sample] * crop_count(LOOSE, side_px), path, channels)
    rows = []
    for repetition in range(repetitions):
        boxes = None
        for side in (PACK, LOOSE, *(FULL_SIZE_PEERS if repetition % 2 == 0 else FULL_SIZE_PEERS[::-1])):
            count = crop_count(side, side_px)
            if side in FULL_SIZE_PEERS:
                assert boxes is not None
                cost = peer_cost(side, path, channels, boxes[:count].tolist())
            else:
                cost, boxes = (packed if side == PACK else loose).cost([sample] * count)
            rows.append(Row(path.name, CROP_PX, side, repetition, count, round(cost.cpu_ms, 4), round(cost.wall_ms, 4), round(cost.read_kb, 2)))
    loose.close()
    packed.close()
    return rows


def print_table(rows: Sequence[Row]) -> None:
    """CPU ms, and the KB that the pack reads."""
    print("| picture | " + " | ".join(SIDES) + " | KB read from the pack |\n|---|" + "---|" * (len(SIDES) + 1))
    for picture in dict.fromkeys(row.picture for row in rows):
        mine = [row for row in rows if row.picture == picture]
        cells = [f"{statistics.median(row.cpu_ms for row in mine if row.side == side):.2f}" for side in SIDES]
        cells.append(f"{statistics.median(row.read_kb for row in mine if row.side == PACK):.0f}")
        print(f"| {picture} | " + " | ".join(cells) + " |")


def run(repetitions: int) -> None:
    rows: list[Row] = []
    for suffix in ("jpg", "png"):
        folder = pack_sets.growth(suffix)
        pack = pack_sets.packed(folder)
        for sample, path in enumerate(sorted(folder.iterdir())):
            rows += common.in_fresh_process(measure, folder, pack, sample, path, repetitions)
            print(f"  {path.name}: done", file=sys.stderr)
    print_table(rows)
    common.write_csv("pack_size", rows, pack_sets.build_facts())
    pack_plot.draw(common.RESULTS / "pack_size.csv", common.HERE.parent / "docs" / "crop-cost.png")
