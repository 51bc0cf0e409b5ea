"""bench/run pack imagenet: RandomResizedCrop(224) of small JPEGs as ImageNet has them, from the folder and from a pack of it, one thread."""

from __future__ import annotations

import os
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import common
import pack_cold
import pack_sets
from pack_sides import Cutter

PICTURES = common.HERE / "data" / "imagenet_like"
WORK = {"size": 224, "crop": "random-resized", "batch_size": 64, "slots": 0}  # 0: the default


@dataclass(frozen=True)
class Pair:
    """Two turns, one of each side, over all pictures; per picture."""

    repetition: int
    folder_cpu_ms: float
    pack_cpu_ms: float
    folder_wall_ms: float
    pack_wall_ms: float


def measure(folder: Path, pack: Path, repetitions: int) -> list[Pair]:
    """The sides take turns, the order turns round every time."""
    cutters = {"folder": Cutter(folder, **WORK), "pack": Cutter(pack, **WORK)}
    order = random.Random(1).sample(range(len(cutters["folder"].loader.dataset)), len(cutters["folder"].loader.dataset))
    made = [cutter.pixels(order) for cutter in cutters.values()]
    if not all(np.array_equal(*columns) for columns in zip(*made)):
        raise RuntimeError("crops from the pack differ from those of the folder")
    pairs = []
    for repetition in range(repetitions):
        costs = {side: cutters[side].cost(order)[0] for side in (cutters if repetition % 2 == 0 else reversed(cutters))}
        pairs.append(Pair(repetition, *(round(getattr(costs[side], name), 4) for name in ("cpu_ms", "wall_ms") for side in ("folder", "pack"))))
    for cutter in cutters.values():
        cutter.close()
    return pairs


def print_table(pairs: Sequence[Pair]) -> None:
    print("| warm | folder | pack | ratio, pair by pair: median | least | most |\n|---|---|---|---|---|---|")
    for name, title in (("cpu_ms", "CPU ms per picture"), ("wall_ms", "wall ms per picture")):
        both = [(getattr(pair, f"folder_{name}"), getattr(pair, f"pack_{name}")) for pair in pairs]
        folder_ms, pack_ms = (statistics.median(column) for column in zip(*both))
        ratios = [pack / folder for folder, pack in both]
        print(f"| {title} | {folder_ms:.3f} | {pack_ms:.3f} | {statistics.median(ratios):.3f} | {min(ratios):.3f} | {max(ratios):.3f} |")


def run(repetitions: int) -> None:
    pack = pack_sets.packed(PICTURES)
    print(f"  the pack has {pack.stat().st_size / pack_sets.file_bytes(PICTURES) - 1:+.2%} bytes", file=sys.stderr)
    pairs = common.in_fresh_process(measure, PICTURES, pack, 4 * repetitions + 1)
    print_table(pairs)
    common.write_csv("pack_imagenet", pairs, pack_sets.build_facts())
    if os.geteuid() != 0:
        print("\ncold: skipped, because only root may drop the page cache")
        return
    count = sum(1 for path in PICTURES.rglob("*.jpg"))
    rows = common.in_fresh_process(pack_cold.measure, (PICTURES, pack), "ImageNet-like", count, repetitions, **WORK)
    print()
    pack_cold.print_table(rows, "picture")
    common.write_csv("pack_imagenet_cold", rows, pack_sets.build_facts())
