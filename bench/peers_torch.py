"""The peer that most people use: torch's DataLoader over Pillow, doing what torchvision's ImageFolder and RandomResizedCrop do.

torchvision itself is not needed: what stands here is its algorithm with less Python around it. The boxes come from a plan instead
of from random numbers, which spares this side some time and makes both sides' pictures equal, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from common import Measurement, measure_epochs
from peers_decoders import pillow
from plan import Plan

Make = Callable[[str, Sequence[int], bool, int], Any]  # path, box, mirrored, side of the output -> (side, side, 3) uint8, array or tensor


class PlannedCrops(Dataset[tuple[Any, int]]):
    """Item = place in the plan, all epochs one after the other -> pixels (size, size, 3) uint8, and the class number."""

    def __init__(self, plan: Plan, size: int, make: Make = pillow) -> None:
        self.paths: list[str] = plan.paths.tolist()
        self.labels: list[int] = plan.labels.tolist()
        self.index: list[int] = plan.index.ravel().tolist()
        self.box: list[list[int]] = plan.box.reshape(-1, 4).tolist()
        self.flipped: list[bool] = plan.flipped.ravel().astype(bool).tolist()
        self.size = size
        self.make = make

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, place: int) -> tuple[Any, int]:
        sample = self.index[place]
        return self.make(self.paths[sample], self.box[place], self.flipped[place], self.size), self.labels[sample]


class PlannedOrder(Sampler[int]):
    """The places of one epoch, or of its beginning; `epoch` is set before each loop, as with torch's DistributedSampler."""

    def __init__(self, images_per_epoch: int, images_per_loop: int) -> None:
        self.epoch = 0
        self.images_per_epoch = images_per_epoch
        self.images_per_loop = images_per_loop

    def __len__(self) -> int:
        return self.images_per_loop

    def __iter__(self) -> Iterator[int]:
        begin = self.epoch * self.images_per_epoch
        return iter(range(begin, begin + self.images_per_loop))


class PlannedLoader:
    """A DataLoader that goes through a plan; `images_per_loop` takes only the beginning of each epoch."""

    def __init__(
        self,
        plan: Plan,
        *,
        workers: int,
        batch_size: int,
        size: int,
        images_per_loop: int | None = None,
        make: Make = pillow,
        worker_init_fn: Callable[[int], None] | None = None,
    ) -> None:
        images_per_epoch = plan.index.shape[1]
        self.order = PlannedOrder(images_per_epoch, images_per_loop or images_per_epoch)
        # The default collation writes a batch straight into shared memory. "fork" is what a Linux user gets with Python 3.11.
        self.loader = DataLoader(
            PlannedCrops(plan, size, make),
            batch_size=batch_size,
            sampler=self.order,
            num_workers=workers,
            persistent_workers=True,
            multiprocessing_context="fork",
            worker_init_fn=worker_init_fn,
        )

    def batches(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        self.order.epoch = epoch
        yield from self.loader


def measure(plan_path: Path, *, workers: int, batch_size: int, size: int, epochs: int) -> Measurement:
    loader = PlannedLoader(Plan.load(plan_path), workers=workers, batch_size=batch_size, size=size)
    epoch_numbers = iter(range(1 + epochs))

    def run_epoch() -> int:
        items = 0
        for images, labels in loader.batches(next(epoch_numbers)):
            assert images.dtype == torch.uint8 and images.shape[1:] == (size, size, 3)
            images[:, 0, 0, 0].sum().item()  # touch every picture, as the other side does
            items += len(labels)
        return items

    return measure_epochs(run_epoch, epochs)
