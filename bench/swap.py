#!/usr/bin/env python3
"""The swap of one line, in a training on real photographs: the same accuracy, and what wall time and CPU time become.

A small CNN learns four classes (make_classes.py) from RandomResizedCrops of 64x64, with several seeds on each side, in turn, each in a
process of its own.  The sides differ in what `for images, labels in loader` runs over, and in nothing else: torch's DataLoader over
torchvision's ImageFolder with 1 and 2 workers, or cropring.torch.Loader with 1 and 2 threads.  "the training alone" goes over the pictures of
one epoch again and again, without a loader: what is above it is the loader's.

Before that: the bytes of epochs that were stopped and gone on with, beside those of a run that never stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import common
import cropring.torch
import make_classes
import torch
from torch.nn.functional import cross_entropy
from torchvision_cpu import torchvision

sys.path.insert(0, str(common.HERE.parent / "examples"))

from train import small_cnn  # noqa: E402

SIZE_PX, BATCH_SIZE = 64, 50
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
FOLDER = make_classes.DEFAULT_FOLDER


@dataclass(frozen=True)
class Outcome:
    accuracy: float  # of the validation pictures
    images: int  # that were learnt from
    wall_s: float  # from before the loader is made to the last step,
    cpu_s: float  # and the CPU time of the training process and the loader's


@dataclass(frozen=True)
class Row:
    side: str
    seed: int
    accuracy: float
    images: int
    wall_s: float
    cpu_s: float


# ---------------------------------------------------------------- the sides: a folder, a seed and what is wanted in, (images, labels) out


def of_cropring(threads: int, split: str, seed: int) -> Any:
    how = {} if split == "train" else {"crop": "center", "hflip": 0, "shuffle": False, "tail": "partial"}
    return cropring.torch.Loader(FOLDER / split, batch_size=BATCH_SIZE, size=SIZE_PX, seed=seed, num_workers=threads, **how)


def of_torch(workers: int, split: str, seed: int) -> Any:
    v2 = torchvision.transforms.v2
    training = split == "train"
    look = [v2.RandomResizedCrop(SIZE_PX), v2.RandomHorizontalFlip()] if training else [v2.Resize(SIZE_PX * 8 // 7), v2.CenterCrop(SIZE_PX)]
    dataset = torchvision.datasets.ImageFolder(FOLDER / split, v2.Compose([*look, v2.PILToTensor()]))
    order = torch.Generator().manual_seed(seed)
    how = {"shuffle": training, "drop_last": training, "generator": order, "persistent_workers": True}
    return torch.utils.data.DataLoader(dataset, BATCH_SIZE, num_workers=workers, multiprocessing_context="fork", **how)  # what Linux has with Python 3.11


def of_memory(split: str, seed: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    with of_cropring(2, split, seed) as loader:
        return [(images.clone(), labels.clone()) for images, labels in loader]


# ---------------------------------------------------------------- the training, the same for all


def inputs(images: torch.Tensor) -> torch.Tensor:
    return ((images.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def train(make: partial[Any], seed: int, epochs: int) -> Outcome:
    torch.set_num_threads(1)  # the rest is for the loaders
    torch.manual_seed(seed)
    model = small_cnn(len(make_classes.THEMES)).to(memory_format=torch.channels_last)
    steps = len(list((FOLDER / "train").glob("*/*"))) // BATCH_SIZE * epochs
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    in_memory = make("train", seed) if make.func is of_memory else None
    images_seen = 0
    wall_s, cpu_s = time.monotonic(), common.tree_cpu_seconds()
    loader = in_memory or make("train", seed)
    for _ in range(epochs):
        for images, labels in loader:
            loss = cross_entropy(model(inputs(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            images_seen += len(labels)
    wall_s, cpu_s = time.monotonic() - wall_s, common.tree_cpu_seconds() - cpu_s
    return Outcome(validated(model, make("validation", seed)), images_seen, wall_s, cpu_s)


def validated(model: torch.nn.Module, loader: Iterable[Any]) -> float:
    model.eval()
    with torch.no_grad():
        right = [(model(inputs(images)).argmax(1) == labels).double() for images, labels in loader]
    return torch.cat(right).mean().item()


# ---------------------------------------------------------------- resuming


def digests(state: dict[str, Any] | None, stop: int, threads: int) -> tuple[list[str], dict[str, Any]]:
    """What comes after `state`, batch by batch, until `stop` batches were there or epoch 1 is over; and the state then."""
    found: list[str] = []
    with cropring.torch.Loader(FOLDER / "train", batch_size=BATCH_SIZE, size=SIZE_PX, seed=3, epochs=2, threads=threads) as loader:
        loader.load_state_dict(state or {})
        for _ in range(loader.state_dict()["epoch"], 2):
            for images, labels in loader:
                found.append(hashlib.sha256(images.permute(0, 2, 3, 1).numpy().tobytes() + labels.numpy().tobytes()).hexdigest())
                if len(found) == stop:
                    return found, loader.state_dict()
        return found, loader.state_dict()


def check_resuming() -> None:
    whole, _ = common.in_fresh_process(digests, None, -1, 2)
    parts: list[str] = []
    state: dict[str, Any] | None = None
    for stop, threads in ((5, 1), (14, 2), (-1, 1)):  # within epoch 0, and within epoch 1
        part, state = common.in_fresh_process(digests, state, stop, threads)
        parts += part
    if parts != whole:
        raise SystemExit("epochs that were stopped and gone on with have other bytes")
    print(f"same bytes after two stops: yes, {len(whole)} batches of 2 epochs compared")


# ---------------------------------------------------------------- the bench


def measure(sides: dict[str, partial[Any]], seeds: Sequence[int], epochs: int) -> list[Row]:
    """All sides in turn for each seed; every second round runs backwards."""
    rows = []
    for seed in seeds:
        for name in sides if seed % 2 == 0 else reversed(sides):
            outcome = common.in_fresh_process(train, sides[name], seed, epochs)
            rows.append(Row(name, seed, round(outcome.accuracy, 4), outcome.images, round(outcome.wall_s, 3), round(outcome.cpu_s, 3)))
            print(f"  {name}: {outcome.accuracy:.1%}, {outcome.wall_s:.1f} s, {outcome.cpu_s:.1f} s of CPU", file=sys.stderr)
    return rows


def print_table(rows: Sequence[Row], alone: str) -> None:
    sides = list(dict.fromkeys(row.side for row in rows))
    of = {side: [row for row in rows if row.side == side] for side in sides}
    alone_cpu_s = statistics.median(row.cpu_s for row in of[alone])
    print("| side | validation accuracy | images/s | wall s | CPU s | of it the loader |\n|---|---|---|---|---|---|")
    for side in sides:
        accuracies = [row.accuracy for row in of[side]]
        accuracy = f"{statistics.mean(accuracies):.1%} ± {statistics.stdev(accuracies) if len(accuracies) > 1 else 0:.1%}"
        wall_s, cpu_s = (statistics.median(values) for values in zip(*((row.wall_s, row.cpu_s) for row in of[side])))
        shown = ("", "") if side == alone else (accuracy, f"{cpu_s - alone_cpu_s:.1f}")
        print(f"| {side} | {shown[0]} | {of[side][0].images / wall_s:.0f} | {wall_s:.1f} | {cpu_s:.1f} | {shown[1]} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each side [%(default)s]")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="one seed, 2 epochs, and no CSV: does it run?")
    options = parser.parse_args()
    if not (FOLDER / make_classes.DONE_NAME).exists():
        make_classes.make_classes(FOLDER, 200, 75, 1)
    os.environ["OMP_NUM_THREADS"] = "1"
    check_resuming()
    alone = "the training alone"
    sides = {f"DataLoader, {workers} worker{'s' * (workers > 1)}": partial(of_torch, workers) for workers in (1, 2)}
    sides |= {f"cropring, {threads} thread{'s' * (threads > 1)}": partial(of_cropring, threads) for threads in (1, 2)}
    sides[alone] = partial(of_memory)
    rows = measure(sides, range(1 if options.quick else options.seeds), 2 if options.quick else options.epochs)
    if not options.quick:
        common.write_csv("swap", rows, common.machine_facts(["cropring", "torch", "torchvision", "pillow", "numpy"]))
    print_table(rows, alone)


if __name__ == "__main__":
    main()
