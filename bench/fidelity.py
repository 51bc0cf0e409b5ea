#!/usr/bin/env python3
"""What fidelity="fast" costs in pixels and saves in CPU time, beside "exact": the same boxes of ImageNet-like JPEGs."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cropring
import numpy as np

import common
import ours
from make_set import DEFAULT_FOLDER

BATCH_SIZE = 64
SIZES_PX = (224, 64, 32)
CROPS = ("random-resized", "resize")
FIDELITIES = ("exact", "fast")


@dataclass(frozen=True)
class Error:
    """Absolute differences of fast's 8-bit values from exact's."""

    crop: str
    size_px: int
    images: int
    reduced_images: int  # decoded at a reduced size: that is to say, with any value that differs
    mean: float  # over all images
    reduced_mean: float  # over the reduced ones, as is the next
    within_99: int  # 99 % of the values differ by at most this
    largest: int


def loader_arguments(crop: str, size_px: int, fidelity: str, seed: int) -> dict[str, Any]:
    return {"batch_size": BATCH_SIZE, "size": size_px, "seed": seed, "crop": crop, "fidelity": fidelity, "tail": "partial"}


def measure_error(folder: Path, crop: str, size_px: int, seed: int, epochs: int) -> Error:
    images = reduced_images = 0
    count_by_difference = np.zeros(256, np.int64)  # in the reduced images
    with (
        cropring.Loader(folder, **loader_arguments(crop, size_px, "exact", seed)) as exact_loader,
        cropring.Loader(folder, **loader_arguments(crop, size_px, "fast", seed)) as fast_loader,
    ):
        for _ in range(epochs):
            for exact, fast in zip(ours.batches(exact_loader), ours.batches(fast_loader), strict=True):
                assert (exact.index == fast.index).all() and (exact.box == fast.box).all()
                difference = np.abs(exact.images.astype(np.int16) - fast.images).reshape(len(exact), -1)
                reduced = difference[difference.any(axis=1)]
                count_by_difference += np.bincount(reduced.ravel(), minlength=256)
                images += len(exact)
                reduced_images += len(reduced)
    values = max(1, count_by_difference.sum())
    reduced_mean = float(count_by_difference @ np.arange(256) / values)
    return Error(
        crop,
        size_px,
        images,
        reduced_images,
        mean=round(reduced_mean * reduced_images / images, 4),
        reduced_mean=round(reduced_mean, 4),
        within_99=int(np.searchsorted(count_by_difference.cumsum(), 0.99 * values)),
        largest=int(count_by_difference.nonzero()[0].max(initial=0)),
    )


def measure_worker(folder: Path, *, epochs: int, **arguments: Any) -> common.Measurement:
    """The worker's CPU time from its start to its end, and the wall time from the first batch to the last."""
    with cropring.Loader(folder, epochs=epochs, threads=1, **arguments) as loader:
        images = sum(len(batch) for _ in range(epochs) for batch in ours.batches(loader))
    stats = loader.stats()
    assert stats["images"] == images
    return common.Measurement(images, stats["elapsed_ns"] / 1e9, stats["cpu_ns"] / 1e9)


def side_name(crop: str, size_px: int, fidelity: str) -> str:
    return f"{crop} {size_px}, {fidelity}"


def print_table(errors: list[Error], cpu_ms: dict[str, tuple[float, float]]) -> None:
    print("| crop | size | decoded smaller | mean error | of those | 99 % within | largest | CPU ms exact | fast | fast / exact |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for error in errors:
        exact_ms, fast_ms = (cpu_ms[side_name(error.crop, error.size_px, fidelity)][1] for fidelity in FIDELITIES)
        print(
            f"| {error.crop} | {error.size_px} | {100 * error.reduced_images / error.images:.0f} % | {error.mean:.2f} "
            f"| {error.reduced_mean:.2f} | {error.within_99} | {error.largest} "
            f"| {exact_ms:.3f} | {fast_ms:.3f} | {fast_ms / exact_ms:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="class folders of JPEGs (default: our own set)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="per repetition, and of the comparison")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    folder, seed, epochs = options.folder, options.seed, options.epochs
    errors, sides = [], []
    for crop, size_px in itertools.product(CROPS, SIZES_PX):
        errors.append(common.in_fresh_process(measure_error, folder, crop, size_px, seed, epochs))
        for fidelity in FIDELITIES:
            arguments = {"folder": folder, "epochs": epochs, **loader_arguments(crop, size_px, fidelity, seed)}
            sides.append(common.Side(side_name(crop, size_px, fidelity), measure_worker, arguments))
    rows = common.alternate("fidelity", sides, options.repetitions)
    print_table(errors, common.medians(rows))
    facts = common.machine_facts(("cropring", "numpy"))
    common.write_csv("fidelity", rows, facts)
    common.write_csv("fidelity_error", errors, facts)


if __name__ == "__main__":
    main()
