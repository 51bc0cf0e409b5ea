#!/usr/bin/env python3
"""The whole loader beside its floor: a C program (floor.c) that decodes the same boxes from memory and resamples them, nothing else.

Loader and floor take turns, epoch by epoch: whatever else the machine does disturbs both alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cropring
import numpy as np

import common
import ours
from make_set import DEFAULT_FOLDER
from plan import Plan

FLOOR = common.PROGRAMS / "floor"
BATCH_SIZE = 64
SIZE_PX = 224
MOST_SLOTS = 16
BUDGET = 1.10


@dataclass(frozen=True)
class Pair:
    """CPU milliseconds per image of both sides, which took turns over the same boxes."""

    repetition: int
    images: int
    loader: float  # worker and reading process
    floor: float
    loader_decode: float  # the decode thread's time, divided as its decode_ns and shape_ns are
    loader_shape: float
    loader_fetch: float
    loader_plan: float  # and the worker's main thread
    loader_reader: float
    floor_decode: float
    floor_shape: float

    @property
    def ratio(self) -> float:
        return self.loader / self.floor


class Floor:
    """floor.c, told what to do next."""

    def __init__(self, plan_text: Path) -> None:
        self.process = subprocess.Popen([FLOOR, plan_text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def tell(self, command: str) -> None:
        self.stdin.write(f"{command}\n".encode())
        self.stdin.flush()

    def time(self, epoch: int) -> np.ndarray:
        """Nanoseconds: all CPU time, and what of it was decoding and shaping."""
        self.tell(f"time {epoch}")
        return np.array(self.stdout.readline().split(), np.int64)

    def pixels(self, epoch: int, batches: int, batch_size: int) -> Iterator[np.ndarray]:
        self.tell(f"pixels {epoch}")
        for _ in range(batches):
            yield np.frombuffer(self.stdout.read(batch_size * SIZE_PX * SIZE_PX * 3), np.uint8)

    def close(self) -> None:
        self.stdin.close()
        if self.process.wait(60) != 0:
            raise RuntimeError("floor failed; its message is above")


@contextmanager
def started_floor(plan_text: Path) -> Iterator[Floor]:
    floor = Floor(plan_text)
    yield floor
    floor.close()


def write_plan_text(plan: Plan, path: Path) -> None:
    epochs, images = plan.index.shape
    rows = np.concatenate([plan.index[..., None], plan.box, plan.flipped[..., None]], axis=2).reshape(-1, 6)
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{len(plan.paths)} {epochs} {images} {BATCH_SIZE} {SIZE_PX}\n")
        file.writelines(f"{Path(name).resolve()}\n" for name in plan.paths)
        np.savetxt(file, rows, fmt="%d")


def wait_until_full(loader: cropring.Loader, slots: int) -> None:
    """Then the worker sleeps, and what it used is what the batches taken so far have made it do."""
    deadline_s = time.monotonic() + 60
    while loader.stats()["slots_ready"] < slots:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"the worker does not fill its {slots} slots: {loader.stats()}")
        time.sleep(0.002)


def compare_pixels(folder: Path, plan_text: Path, epochs: int, **loader_arguments: Any) -> int:
    """Every pixel of every planned epoch; returns how many images are equal, or raises."""
    images = 0
    with cropring.Loader(folder, **loader_arguments) as loader, started_floor(plan_text) as floor:
        batches = len(loader)
        for epoch in range(epochs):
            for batch, pixels in zip(ours.batches(loader), floor.pixels(epoch, batches, BATCH_SIZE), strict=True):
                differing = np.count_nonzero(batch.images.reshape(-1) != pixels)
                if differing:
                    raise RuntimeError(f"epoch {epoch}, batch {batch.seq}: {differing} bytes differ")
                images += len(batch)
    return images


@dataclass
class Used:
    """Seconds of a Loader with one thread so far, and its worker's own clocks."""

    reader_s: float
    worker_s: float  # all its threads, those that the kernel runs for io_uring included
    decode_s: float  # the decode thread
    plan_s: float
    decode_ns: int
    shape_ns: int

    def __sub__(self, other: Used) -> Used:
        return Used(*(getattr(self, field.name) - getattr(other, field.name) for field in fields(Used)))

    def __add__(self, other: Used) -> Used:
        return Used(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Used)))


def used(loader: cropring.Loader) -> Used:
    worker = loader._worker.process.pid  # type: ignore[union-attr]
    threads = dict.fromkeys(("decode 0", "plan", "cropring"), 0.0)
    for task in Path(f"/proc/{worker}/task").iterdir():
        name = (task / "comm").read_text().strip()
        if name in threads:
            threads[name] += int((task / "schedstat").read_text().split()[0]) / 1e9
    stats = loader.stats()
    return Used(
        time.process_time(), common.process_cpu_seconds(worker), threads["decode 0"], threads["plan"] + threads["cropring"],
        stats["decode_ns"], stats["shape_ns"],
    )  # fmt: skip


def take_epoch(loader: cropring.Loader, slots: int) -> tuple[int, Used]:
    """Images, and what they took.  While one epoch is taken the worker makes the next, or as much of it as the ring holds."""
    images, before = 0, used(loader)
    for batch in ours.batches(loader):
        int(batch.images[:, 0, 0, 0].sum())  # touch every picture
        images += len(batch)
        del batch  # its slot is to be filled
    reader_s = time.process_time()
    wait_until_full(loader, slots)
    after = used(loader)
    after.reader_s = reader_s
    return images, after - before


def measure_pair(folder: Path, plan_text: Path, repetition: int, epochs: int, **loader_arguments: Any) -> Pair:
    slots = loader_arguments["slots"]
    with cropring.Loader(folder, **loader_arguments) as loader, started_floor(plan_text) as floor:
        wait_until_full(loader, slots)
        take_epoch(loader, slots)
        floor.time(1)
        images, ours_used, floor_ns = 0, Used(0, 0, 0, 0, 0, 0), np.zeros(3, np.int64)
        for epoch in range(2, 2 + epochs):
            for side in ("loader", "floor") if (repetition + epoch) % 2 == 0 else ("floor", "loader"):
                if side == "loader":
                    more_images, more_used = take_epoch(loader, slots)
                    images, ours_used = images + more_images, ours_used + more_used
                else:
                    floor_ns += floor.time(epoch)

    def per_image_ms(seconds: float) -> float:
        return round(seconds * 1e3 / images, 4)

    decode_share = ours_used.decode_ns / (ours_used.decode_ns + ours_used.shape_ns)
    floor_s, floor_decode_s, floor_shape_s = (int(ns) / 1e9 for ns in floor_ns)
    return Pair(
        repetition,
        images,
        loader=per_image_ms(ours_used.worker_s + ours_used.reader_s),
        floor=per_image_ms(floor_s),
        loader_decode=per_image_ms(ours_used.decode_s * decode_share),
        loader_shape=per_image_ms(ours_used.decode_s * (1 - decode_share)),
        loader_fetch=per_image_ms(ours_used.worker_s - ours_used.decode_s - ours_used.plan_s),
        loader_plan=per_image_ms(ours_used.plan_s),
        loader_reader=per_image_ms(ours_used.reader_s),
        floor_decode=per_image_ms(floor_decode_s),
        floor_shape=per_image_ms(floor_shape_s),
    )


def print_tables(pairs: Sequence[Pair]) -> None:
    stages = ("decode", "shape", "fetch", "plan", "reader")
    print("| side | CPU ms per image | decoding | shaping | fetching | planning, main thread | reading process |\n|---|---|---|---|---|---|---|")
    for side, name in (("cropring, threads=1", "loader"), ("floor", "floor")):
        columns = [name, *(f"{name}_{stage}" for stage in stages)]
        known = [column for column in columns if hasattr(pairs[0], column)]
        medians = [f"{statistics.median(getattr(pair, column) for pair in pairs):.3f}" for column in known]
        print(" | ".join(["", side, *medians, *["–"] * (len(columns) - len(known)), ""]).strip())
    ratios = sorted(pair.ratio for pair in pairs)
    print(f"\nloader / floor in {len(pairs)} pairs: median {statistics.median(ratios):.3f}, from {ratios[0]:.3f} to {ratios[-1]:.3f}; ", end="")
    print(f"allowed: {BUDGET:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="class folders of JPEGs (default: our own set)")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=4, help="counted epochs per repetition, after one that is not counted")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    common.build(FLOOR)
    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        plan_path, plan_text = Path(temporary, "plan.npz"), Path(temporary, "plan.txt")
        arguments = {"batch_size": BATCH_SIZE, "size": SIZE_PX, "seed": options.seed}
        epochs = options.epochs + 2
        common.in_fresh_process(ours.record_plan, plan_path, options.folder, epochs=epochs, **arguments)
        plan = Plan.load(plan_path)
        write_plan_text(plan, plan_text)
        # As many slots as an epoch has batches: then the worker makes exactly the next epoch while one is taken.
        arguments |= {"threads": 1, "slots": min(plan.index.shape[1] // BATCH_SIZE, MOST_SLOTS)}
        compared = common.in_fresh_process(compare_pixels, options.folder, plan_text, epochs, **arguments)
        print(f"same pixels: yes, {compared} images compared", file=sys.stderr)
        pairs = []
        for repetition in range(options.repetitions):
            pairs.append(
                common.in_fresh_process(measure_pair, options.folder, plan_text, repetition, options.epochs, **arguments)
            )
            print(f"  {pairs[-1]}", file=sys.stderr)
    print_tables(pairs)
    common.write_csv("floor", pairs, common.machine_facts(("cropring", "numpy")))


if __name__ == "__main__":
    main()
