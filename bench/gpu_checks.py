"""Is every batch on the device the one that the worker made?  Checksums there, against those of another worker's batches on the CPU."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cropring
import cropring.torch

BATCH, SIZE_PX, EPOCHS = 64, 96, 4
FLAGS: dict[str, Any] = {"batch_size": BATCH, "size": SIZE_PX, "seed": 11, "limit": 16 * BATCH, "quiet": True}
_MULTIPLIER = 0x9E3779B97F4A7C15  # odd, so that each byte's place counts


@dataclass(frozen=True)
class Case:
    """How a loop goes over the loader."""

    prefetch: int
    slots: int
    pin: bool
    consumer: str  # "fast": queues its work and goes on; "slow": the device lags behind; "waits": for each batch
    disturbance: str  # "none"; "kill": the worker, in the middle of an epoch; "break": leaves epochs early; "set_epoch": goes back

    def __str__(self) -> str:
        return f"prefetch {self.prefetch}, {self.slots} slots, {'pinned' if self.pin else 'not pinned'}, {self.consumer}, {self.disturbance}"


def cases(quick: bool) -> Iterator[Case]:
    for number, (disturbance, consumer, prefetch) in enumerate(
        itertools.product(("none", "kill", "break", "set_epoch"), ("fast", "slow", "waits"), (1, 2, 3, 4))
    ):
        if not quick or number % 3 == 0:
            yield Case(prefetch, 3 + number % 2, number % 5 != 0, consumer, disturbance)


def weights(byte_count: int) -> np.ndarray:
    """(byte_count,) int64, odd."""
    return ((np.arange(byte_count, dtype=np.uint64) * np.uint64(_MULTIPLIER)) | np.uint64(1)).view(np.int64)


def expected_sums(source: Path, threads: int) -> dict[tuple[int, int], int]:
    """By epoch and place in it: the sum of an untouched batch, modulo 2**64, by NumPy."""
    factors = weights(BATCH * SIZE_PX * SIZE_PX * 3)
    sums = {}
    with cropring.Loader(source, threads=threads, **FLAGS) as loader:
        for epoch in range(EPOCHS):
            for place, batch in enumerate(loader):
                images = batch.images.reshape(-1).astype(np.int64)
                with np.errstate(over="ignore"):
                    sums[epoch, place] = int((images * factors).sum() + batch.labels.sum() * 1000003 + batch.index.sum())
    return sums


def check(case: Case, source: Path, device: torch.device, sums: dict[tuple[int, int], int], threads: int, busy: Callable[[], None]) -> tuple[int, int]:
    """Batches that arrived, and how many of them were wrong."""
    factors = torch.from_numpy(weights(BATCH * SIZE_PX * SIZE_PX * 3)).to(device)
    seen: list[tuple[tuple[int, int], Any]] = []
    plan = [0, 1, 2, 3] if case.disturbance != "set_epoch" else [0, 2, 1, 3]
    with cropring.torch.Loader(source, threads=threads, slots=case.slots, **FLAGS) as plain:
        loader = plain.to_device(device, prefetch=case.prefetch, pin=case.pin)
        for epoch in plan:
            loader.set_epoch(epoch)
            for place, batch in enumerate(loader):
                if case.disturbance == "kill" and place == 2:
                    os.kill(plain._worker.process.pid, signal.SIGKILL)
                if case.consumer == "slow":
                    busy()
                flat = batch.images.permute(0, 2, 3, 1).reshape(-1).to(torch.int64)
                total = (flat * factors).sum() + batch.labels.sum() * 1000003 + int(batch.index.sum())
                seen.append(((epoch, place), total))
                if case.consumer == "waits":
                    total.item()
                    time.sleep(0.002)
                if case.disturbance == "break" and place == 3 + epoch:
                    break
    wrong = sum(int(total) != sums[place] for place, total in seen)
    whole = {place for place in sums if case.disturbance != "break" or place[1] <= 3 + place[0]}
    missing = len(whole - {place for place, _ in seen})
    return len(seen), wrong + missing
