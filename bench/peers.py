#!/usr/bin/env python3
"""RandomResizedCrop(224) by every loader and decoder that pip installs: CPU time per image, uint8 pixels out on all sides.

Ours with one thread, torch's DataLoader with one worker process, the others with one thread. A side that cannot run is listed with
what it says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import common
import ours
import peers_torch
import whole
from make_set import DEFAULT_FOLDER
from peers_others import STREAMS
from plan import Plan

OURS = "cropring"
BASE = next(iter(STREAMS))
OWN_BOXES = ("DALI on the CPU",)
BUDGET = 0.40  # of BASE
PACKAGES = (
    "cropring", "torch", "torchvision", "pillow", "opencv-python-headless", "simplejpeg", "PyTurboJPEG", "pyvips", "pyvips-binary",
    "spdl-io", "spdl-core", "nvidia-dali-cuda120", "tensorflow-cpu", "numpy",
)  # fmt: skip


@dataclass(frozen=True)
class PeerRow(common.Row):
    error: str = ""


def measure_stream(plan_path: Path, *, name: str, epochs: int) -> common.Measurement:
    plan = Plan.load(plan_path)
    stream = STREAMS[name](plan, whole.BATCH_SIZE, whole.SIZE_PX)

    def run_epoch() -> int:
        items = 0
        while items < plan.index.shape[1]:
            images = next(stream)
            assert images.dtype == np.uint8 and images.shape == (whole.BATCH_SIZE, whole.SIZE_PX, whole.SIZE_PX, 3), images.shape
            int(images[:, 0, 0, 0].sum())  # touch every picture
            items += len(images)
        return items

    return common.measure_epochs(run_epoch, epochs)


def mean_difference(plan_path: Path, name: str) -> float:
    """Of the first batch, from Pillow's pixels: other filters differ by one or two, other boxes by much more."""
    plan = Plan.load(plan_path)
    crops = peers_torch.PlannedCrops(plan, whole.SIZE_PX)
    expected = np.stack([crops[place][0] for place in range(whole.BATCH_SIZE)])
    images = next(STREAMS[name](plan, whole.BATCH_SIZE, whole.SIZE_PX))
    return float(np.mean(np.abs(images.astype(np.int16) - expected)))


def runnable(plan_path: Path, names: Sequence[str]) -> tuple[dict[str, float], dict[str, str]]:
    """Side -> mean difference from Pillow, and for those that cannot run what they say."""
    differences, errors = {}, {}
    for name in names:
        try:
            differences[name] = common.in_fresh_process(mean_difference, plan_path, name)
        except Exception as error:  # whatever a library says that cannot do it, a crash of its process included
            errors[name] = common.in_a_line(error, plan_path)
        print(f"  {name}: {differences.get(name, errors.get(name))}", file=sys.stderr)
    return differences, errors


def print_tables(rows: Sequence[common.Row], differences: dict[str, float], errors: dict[str, str]) -> None:
    result = common.medians(rows)
    base_ms = result[BASE][1]
    print(f"| side | images/s | CPU ms per image | CPU, {BASE} = 1 | mean difference from Pillow's pixels |\n|---|---|---|---|---|")
    for name, (per_s, cpu_ms) in sorted(result.items(), key=lambda item: item[1][1]):
        difference = "own boxes" if name in OWN_BOXES else f"{differences.get(name, 0):.2f}"
        print(f"| {name} | {per_s:.0f} | {cpu_ms:.3f} | {cpu_ms / base_ms:.2f} | {difference} |")
    for name, error in errors.items():
        print(f"| {name} | cannot run: {error} | | | |")
    print(f"\nours / {BASE}: {result[OURS][1] / base_ms:.3f}; allowed: {BUDGET:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="class folders of JPEGs (default: our own set)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1, help="counted epochs per repetition, after one that is not counted")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="sides whose name has this in it, beside the two that the budget is about; writes no CSV")
    options = parser.parse_args()

    folder, seed, epochs = options.folder, options.seed, options.epochs
    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        plan_path = Path(temporary) / "plan.npz"
        common.in_fresh_process(ours.record_plan, plan_path, folder, epochs=1 + epochs, **whole.loader_arguments(seed, threads=2))
        compared = common.in_fresh_process(whole.compare_pixels, plan_path, folder, seed)
        print(f"ours and Pillow, same pixels: yes, {compared} images compared", file=sys.stderr)
        names = [name for name in STREAMS if name == BASE or options.only is None or options.only in name]
        differences, errors = runnable(plan_path, names)
        sides = [common.Side(OURS, ours.measure, {"folder": folder, "epochs": epochs, **whole.loader_arguments(seed, threads=1)})]
        sides += [
            common.Side(name, measure_stream, {"plan_path": plan_path, "name": name, "epochs": epochs}) for name in differences
        ]
        rows = common.alternate("peers", sides, options.repetitions)
    print_tables(rows, differences, errors)
    if options.only is None:
        table = [PeerRow(**vars(row)) for row in rows]
        table += [PeerRow("peers", name, 0, 0, 0.0, 0.0, error) for name, error in errors.items()]
        common.write_csv("peers", table, common.machine_facts(PACKAGES))


if __name__ == "__main__":
    main()
