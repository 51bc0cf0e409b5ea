#!/usr/bin/env python3
"""The whole loader beside torch's DataLoader: RandomResizedCrop(224) of ImageNet-like JPEGs, uint8 batches on both sides."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import cropring
import numpy as np

import common
import ours
import peers_torch
from make_set import DEFAULT_FOLDER
from plan import Plan

BATCH_SIZE = 64
SIZE_PX = 224
PARALLEL = (1, 2)  # our threads, their worker processes
COMPARED_BATCHES = 2  # of each epoch


def loader_arguments(seed: int, threads: int) -> dict[str, Any]:
    return {"batch_size": BATCH_SIZE, "size": SIZE_PX, "seed": seed, "crop": "random-resized", "threads": threads}


def compare_pixels(plan_path: Path, folder: Path, seed: int) -> int:
    """Compare the first batches of each planned epoch, byte by byte; returns how many images are equal, or raises."""
    plan = Plan.load(plan_path)
    epochs, images_per_epoch = map(int, plan.index.shape)
    compared = min(COMPARED_BATCHES * BATCH_SIZE, images_per_epoch)
    peer = peers_torch.PlannedLoader(plan, workers=2, batch_size=BATCH_SIZE, size=SIZE_PX, images_per_loop=compared)
    with cropring.Loader(folder, **loader_arguments(seed, threads=2)) as loader:
        for epoch in range(epochs):
            their_batches = peer.batches(epoch)
            for number, batch in enumerate(ours.batches(loader)):
                if number >= COMPARED_BATCHES:
                    continue
                their_images, their_labels = next(their_batches)
                differing_bytes = np.count_nonzero(batch.images != their_images.numpy())
                differing_labels = np.count_nonzero(batch.labels != their_labels.numpy())
                if differing_bytes or differing_labels:
                    where = f"epoch {epoch}, batch {number}"
                    raise RuntimeError(f"{where}: {differing_bytes} bytes and {differing_labels} labels differ")
    return epochs * compared


def sides(folder: Path, plan_path: Path, seed: int, epochs: int, only: str | None) -> list[common.Side]:
    all_sides = []
    for count in PARALLEL:
        our_arguments = {"folder": folder, "epochs": epochs, **loader_arguments(seed, count)}
        all_sides.append(common.Side(f"cropring, threads={count}", ours.measure, our_arguments))
        their_arguments = {"plan_path": plan_path, "epochs": epochs, "batch_size": BATCH_SIZE, "size": SIZE_PX, "workers": count}
        all_sides.append(common.Side(f"torch DataLoader, num_workers={count}", peers_torch.measure, their_arguments))
    return [side for side in all_sides if only is None or side.name.startswith(only)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="class folders of pictures (default: our own set)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="counted epochs per repetition, after one that is not counted")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("cropring", "torch"), help="measure one side; writes no CSV")
    options = parser.parse_args()

    folder, seed, epochs = options.folder, options.seed, options.epochs
    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        plan_path = Path(temporary) / "plan.npz"
        common.in_fresh_process(ours.record_plan, plan_path, folder, epochs=1 + epochs, **loader_arguments(seed, threads=2))
        compared = common.in_fresh_process(compare_pixels, plan_path, folder, seed)
        print(f"same pixels: yes, {compared} images compared", file=sys.stderr)
        rows = common.alternate("whole", sides(folder, plan_path, seed, epochs, options.only), options.repetitions)
    common.print_table(rows, item="image", base=next(row.side for row in rows if options.only or row.side.startswith("torch")))
    if options.only is None:
        common.write_csv("whole", rows, common.machine_facts(("cropring", "torch", "pillow", "numpy")))


if __name__ == "__main__":
    main()
