"""Our side of a bench: the whole cropring Loader, worker process included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cropring
import numpy as np

from common import Measurement, measure_epochs
from plan import Plan


def batches(loader: cropring.Loader) -> Iterator[cropring.Batch]:
    """One epoch."""
    for batch in loader:
        if batch.status.any():
            raise RuntimeError(f"the benchmark's pictures must all be readable, but batch {batch.seq} has bad samples")
        yield batch


def record_plan(path: Path, folder: Path, *, epochs: int, **loader_arguments: Any) -> None:
    """Write down what a Loader with these arguments delivers in its first epochs."""
    columns = ("index", "box", "flipped")
    with cropring.Loader(folder, **loader_arguments) as loader:
        seen = [[[batch[name].copy() for name in columns] for batch in batches(loader)] for _ in range(epochs)]
        arrays = {
            name: np.stack([np.concatenate([batch[column] for batch in epoch]) for epoch in seen])
            for column, name in enumerate(columns)
        }
        Plan(paths=np.array(list(loader.paths)), labels=loader.labels.astype(np.int64), **arrays).save(path)


def measure(folder: Path, *, epochs: int, **loader_arguments: Any) -> Measurement:
    # The worker is a child of this process, so its CPU time is counted. It works ahead into the next epoch: what it did before the
    # counted epochs began is missing, what it did before they ended is too much; in the steady state the two are alike.
    with cropring.Loader(folder, **loader_arguments) as loader:

        def run_epoch() -> int:
            items = 0
            for batch in batches(loader):
                int(batch.images[:, 0, 0, 0].sum())  # touch every picture, as the other side does
                items += len(batch.labels)
            return items

        return measure_epochs(run_epoch, epochs)
