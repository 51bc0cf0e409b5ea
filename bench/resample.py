#!/usr/bin/env python3
"""What a resize costs, beside Pillow's: CPU time per picture at each level of vector instructions. No byte may differ."""

from __future__ import annotations

import argparse
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cropring
import numpy as np
from PIL import Image

import common
import ours
from make_set import DEFAULT_FOLDER, SOURCES, cut, open_source

TIMER = common.PROGRAMS / "resample_timer"
PILLOW = "Pillow"
LEVELS = ("plain C", "AVX2", "AVX-512")  # enum simd_level
DTYPES = ("uint8", "float32", "float16")  # enum convert_dtype
FILTERS = {  # in the order of enum resample_filter
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
SLICE_NS = 100_000_000  # each measurement takes about that long


@dataclass(frozen=True)
class Case:
    name: str
    filter: str
    size: tuple[int, int]  # width, height
    pictures: list[Image.Image]


@dataclass(frozen=True)
class Timing:
    case: str
    filter: str
    side: str
    repetition: int
    cpu_us: float  # per picture


class Timer:
    """resample_timer with a case's pictures."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.folder = tempfile.TemporaryDirectory(prefix="resample-")
        self.out = Path(self.folder.name, "out")
        pixels = Path(self.folder.name, "pixels")
        pixels.write_bytes(b"".join(picture.tobytes() for picture in case.pictures))
        self.process = subprocess.Popen([TIMER, pixels, self.out], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.levels = 1 + int(self.process.stdout.readline())  # that this processor has

    def __enter__(self) -> Timer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.communicate()
        self.folder.cleanup()

    def run(self, level: int, filter_: str, rounds: int, dtype: str = "uint8", mirrored: bool = False) -> float:
        """CPU nanoseconds per picture."""
        assert self.process.stdin and self.process.stdout
        channels = len(self.case.pictures[0].getbands())
        head = (level, list(FILTERS).index(filter_), channels, *self.case.size, DTYPES.index(dtype), int(mirrored), rounds)
        sizes = (side for picture in self.case.pictures for side in picture.size)
        print(*head, len(self.case.pictures), *sizes, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def results(self) -> np.ndarray:
        width, height = self.case.size
        return np.fromfile(self.out, np.uint8).reshape(len(self.case.pictures), height, width, -1)


# ---------------------------------------------------------------- pictures


def photographs(width: int, height: int, mode: str, count: int) -> list[Image.Image]:
    """Parts of different photographs, at half their size or less where they are large enough."""
    rng = random.Random(width * height)
    found: list[Image.Image] = []
    for key in rng.sample(sorted(SOURCES), len(SOURCES)):
        part = cut(rng, open_source(key).convert("RGB"), (width, height))
        if part is not None and len(found) < count:
            found.append(part.convert(mode))
    assert found, f"no photograph is as large as {width}x{height}"
    return found


def random_crops(folder: Path, count: int) -> list[Image.Image]:
    """What RandomResizedCrop(224) hands to the resize."""
    crops: list[Image.Image] = []
    with cropring.Loader(folder, batch_size=64, size=224, seed=1) as loader:
        for batch in ours.batches(loader):
            for index, (x, y, width, height) in zip(batch.index, batch.box.tolist()):
                if len(crops) < count:
                    crops.append(Image.open(loader.paths[index]).convert("RGB").crop((x, y, x + width, y + height)))
    return crops


def make_cases(folder: Path) -> Iterator[Case]:
    crops = random_crops(folder, 100)
    yield Case("350x300 to 224x224, RGB", "bilinear", (224, 224), photographs(350, 300, "RGB", 8))
    yield Case("1000x1000 to 224x224, RGB", "bilinear", (224, 224), photographs(1000, 1000, "RGB", 4))
    yield Case("RandomResizedCrop of ImageNet-like pictures to 224x224, RGB", "bilinear", (224, 224), crops)
    yield Case("the same", "bicubic", (224, 224), crops)
    yield Case("the same", "lanczos", (224, 224), crops)
    yield Case("150x130 to 224x224, RGB", "bilinear", (224, 224), photographs(150, 130, "RGB", 8))
    yield Case("880x880 to 32x32, gray", "bilinear", (32, 32), photographs(880, 880, "L", 4))
    yield Case("256x256 to 32x32, RGB", "bilinear", (32, 32), photographs(256, 256, "RGB", 8))


# ---------------------------------------------------------------- sides


def check(case: Case, timer: Timer) -> int:
    """Compares every level, filter and direction with Pillow; returns how many bytes that were."""
    compared = 0
    for filter_, pillows in FILTERS.items():
        expected = [np.asarray(picture.resize(case.size, pillows)) for picture in case.pictures]
        whole = np.stack(expected).reshape(len(expected), case.size[1], case.size[0], -1)
        for level in range(timer.levels):
            for mirrored in (False, True):
                timer.run(level, filter_, 1, mirrored=mirrored)
                different = np.count_nonzero(timer.results() != (whole[:, :, ::-1] if mirrored else whole))
                if different:
                    sys.exit(f"{case.name}, {filter_}, {LEVELS[level]}: {different} bytes differ from Pillow's")
                compared += whole.size
    return compared


def run_pillow(case: Case, rounds: int) -> float:
    """CPU nanoseconds per picture. Each is copied before the clock runs: a decoder leaves its pixels in the caches too."""
    pillows, cpu_ns = FILTERS[case.filter], 0
    for _ in range(rounds):
        for picture in case.pictures:
            decoded = picture.copy()
            begin_ns = time.thread_time_ns()
            decoded.resize(case.size, pillows)
            cpu_ns += time.thread_time_ns() - begin_ns
    return cpu_ns / rounds / len(case.pictures)


def measure(case: Case, timer: Timer, repetitions: int) -> list[Timing]:
    """The sides take turns, and their order turns round every time."""
    sides = {PILLOW: lambda rounds: run_pillow(case, rounds)}
    for level in range(timer.levels):
        sides[LEVELS[level]] = lambda rounds, level=level: timer.run(level, case.filter, rounds)
    if "Random" in case.name:
        for dtype in DTYPES[1:]:
            sides[f"{LEVELS[timer.levels - 1]}, then {dtype}"] = lambda rounds, dtype=dtype: timer.run(
                timer.levels - 1, case.filter, rounds, dtype
            )
    rounds = {name: max(1, math.ceil(SLICE_NS / side(1) / len(case.pictures))) for name, side in sides.items()}
    rows = []
    for repetition in range(repetitions):
        for name in sides if repetition % 2 == 0 else reversed(sides):
            rows.append(Timing(case.name, case.filter, name, repetition, round(sides[name](rounds[name]) / 1e3, 2)))
    return rows


def print_table(rows: Sequence[Timing]) -> None:
    by_case: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        by_case.setdefault((row.case, row.filter), {}).setdefault(row.side, []).append(row.cpu_us)
    print(f"| pictures | filter | {PILLOW} | {' | '.join(f'{level} | ratio' for level in LEVELS)} |")
    print(f"|---|---|---{'|---|---' * len(LEVELS)}|")
    for (case, filter_), sides in by_case.items():
        us = {side: statistics.median(times) for side, times in sides.items()}
        cells = [f"{us[level]:.0f} | {us[PILLOW] / us[level]:.1f}" if level in us else "| " for level in LEVELS]
        print(f"| {case} | {filter_} | {us[PILLOW]:.0f} | {' | '.join(cells)} |")
    for (case, _), sides in by_case.items():
        for side, times in sides.items():
            if "then" in side:
                print(f"\n{case}, {side} normalised, planes: {statistics.median(times):.0f}", end="")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="class folders of JPEGs for RandomResizedCrop (default: our own set)")
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()

    common.build(TIMER)
    compared = 0
    rows: list[Timing] = []
    for case in make_cases(options.folder):
        with Timer(case) as timer:
            compared += check(case, timer)
            rows += measure(case, timer, options.repetitions)
    print(f"0 of {compared} bytes differ from Pillow's: every filter, {', '.join(LEVELS[: timer.levels])}, mirrored and not\n")
    print("CPU µs per picture, and Pillow's time by ours:\n")
    print_table(rows)
    common.write_csv("resample", rows, common.machine_facts(("cropring", "Pillow", "numpy")))


if __name__ == "__main__":
    main()
