#!/usr/bin/env python3
"""Two trainings share one loader: every picture is read, decoded and cropped once, and both see the same batches.

    python examples/two_jobs.py [FOLDER]

Two processes train the same small classifier at different learning rates.  First one of them makes a loader that shares its batches by
`broadcast`, and the other attaches to it; then each has a loader of its own.  The CPU time of the workers is counted both times.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cropring
import numpy as np

LEARNING_RATES = (0.3, 0.03)
BATCH_SIZE, SIZE_PX, SEED = 8, 64, 7


@dataclass(frozen=True)
class Report:
    learning_rate: float
    images: int
    right: float  # share of the images of the last quarter of the training, before they were learnt from
    digest: str  # of every byte that it was shown
    worker_cpu_s: float


def train(batches: Iterable[cropring.Batch], class_count: int, learning_rate: float) -> tuple[int, float, str]:
    """Softmax regression on thumbnails of 8x8 pixels, batch by batch: the number of images, the share that was right, and a digest."""
    weights = np.zeros((8 * 8 * 3 + 1, class_count))
    digest = hashlib.sha256()
    right = []
    for images, labels in batches:
        digest.update(images)
        digest.update(labels)
        part_px = SIZE_PX // 8
        thumbnails = images.reshape(len(images), 8, part_px, 8, part_px, 3).mean(axis=(2, 4)) / 255 - 0.5
        inputs = np.hstack([thumbnails.reshape(len(images), -1), np.ones((len(images), 1))])
        scores = np.exp(inputs @ weights)
        shares = scores / scores.sum(axis=1, keepdims=True)
        right += (shares.argmax(axis=1) == labels).tolist()
        weights -= learning_rate * inputs.T @ (shares - np.eye(class_count)[labels]) / len(images)
    return len(right), float(np.mean(right[-len(right) // 4 :])), digest.hexdigest()[:12]


def with_loader(folder: str, epochs: int, learning_rate: float, **sharing: Any) -> Report:
    """A job whose loader may be shared."""
    loader = cropring.Loader(folder, batch_size=BATCH_SIZE, size=SIZE_PX, seed=SEED, epochs=epochs, **sharing)
    result = train((batch for _ in range(epochs) for batch in loader), len(loader.classes), learning_rate)
    loader.close()  # after which the counters stand still
    return Report(learning_rate, *result, loader.stats()["cpu_ns"] / 1e9)


def attached(ring: str, learning_rate: float) -> Report:
    """A job that reads along: it makes no batches, so it counts no CPU time of a worker."""
    with cropring.attach(ring, wait=10) as reader:
        return Report(learning_rate, *train(reader, len(reader.dataset.classes), learning_rate), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=str(Path(__file__).parents[1] / "tests/data/photos"))
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()

    job = partial(with_loader, arguments.folder, arguments.epochs)
    with ProcessPoolExecutor(len(LEARNING_RATES), mp_context=get_context("spawn")) as jobs:
        ring = f"two-jobs-{os.getpid()}"
        first, *others = LEARNING_RATES
        owner = jobs.submit(job, first, ring=ring, share="broadcast", readers=len(LEARNING_RATES))
        readers = [jobs.submit(attached, ring, rate) for rate in others]
        together = [future.result() for future in (owner, *readers)]
        apart = list(jobs.map(job, LEARNING_RATES))

    for report in together:
        print(f"learning rate {report.learning_rate}: {report.right:.0%} right of the last of {report.images} images, shown {report.digest}")
    print(f"the same batches for both, with one loader or two: {len({report.digest for report in together + apart}) == 1}")
    once, twice = (sum(report.worker_cpu_s for report in reports) for reports in (together, apart))
    print(f"one loader for both: {once:.2f} s of CPU; a loader for each: {twice:.2f} s")


if __name__ == "__main__":
    main()
