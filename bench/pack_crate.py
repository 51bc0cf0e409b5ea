"""bench/run pack crate: batches of 32 windows of a 4000x4000 picture to 32x32, as `bench/run crops` has them, from a pack beside all others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import common
import crops
import make_crops
import pack_sets
from peers_crops import PEERS

ALLOWED = {"gray4000.jpg": 0.03, "gray4000.png": 0.06}  # of the best peer's CPU time


def print_table(rows: Sequence[crops.Batch]) -> None:
    print("| picture | best peer | its ms | ours, loose file, ms | ours, pack, ms | ratio | in the first batch | allowed |\n|---|" + "---|" * 7)
    for picture in crops.PICTURES:
        if picture.file not in ALLOWED:
            continue
        medians = crops.median_ms(rows, picture)
        best = min((side for side in medians if side in PEERS), key=medians.__getitem__)
        for fidelity in picture.fidelities:
            loose, packed = medians[f"{crops.OURS} {fidelity}"], medians[f"{crops.PACK} {fidelity}"]
            first = medians[f"{crops.PACK} {fidelity}, first batch"]
            ratios = f"{packed / medians[best]:.4f} | {first / medians[best]:.4f} | {ALLOWED[picture.file]}"
            print(f"| {picture.file}, {fidelity} | {best} | {medians[best]:.1f} | {loose:.2f} | {packed:.2f} | {ratios} |")


def run(repetitions: int) -> None:
    common.build(crops.CROPS)
    folder = make_crops.DEFAULT_FOLDER
    if not all((folder / file).exists() for file in ALLOWED):
        subprocess.run([sys.executable, common.HERE / "make_crops.py", "--folder", folder], check=True, stdout=sys.stderr)
    rows: list[crops.Batch] = []
    for picture in crops.PICTURES:
        if picture.file in ALLOWED:
            pack = pack_sets.packed(pack_sets.alone(folder / picture.file))
            rows += common.in_fresh_process(crops.measure, folder, picture, repetitions, 1, pack)
            print(f"  {picture.file}: {crops.median_ms(rows, picture)}", file=sys.stderr)
    print("pixels: those of the pack equal those of the file, and under exact Pillow's\n")
    print_table(rows)
    common.write_csv("pack_crate", rows, pack_sets.build_facts())
