"""Windows cut by a Cropper, beside the written rule in float32 and Pillow's crop().resize() of the box that it gives.

    tests/exactness/crops.py [CASES]

A case is one item of a call: a file of any kind, x, y and scale, max_img_percent, window size, filter (nearest or bilinear) and channels.
Prints how many boxes and how many bytes differ.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import sweep
from numpy.typing import NDArray
from PIL import Image

import cropring

CASES_OF_A_CROPPER = 250
FILTERS = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR}


@dataclass
class Outcome:
    cases: Counter[str] = field(default_factory=Counter)  # by filter
    capped: int = 0  # cases in which max_img_percent was less than the scale
    differing_boxes: int = 0
    differing_bytes: int = 0
    failures: list[str] = field(default_factory=list)


def side(place: np.float32, share: np.float32, side_px: int) -> tuple[int, int]:
    """Begin and extent: the rule of the crate parallel_image_crop, each product in float32; one pixel is all of a side of one."""
    extent = min(max(2, int(np.floor(np.float32(side_px) * share))), side_px)
    return min(int(np.floor(place * np.float32(side_px))), side_px - extent), extent


def window(size: tuple[int, int], x: np.float32, y: np.float32, scale: np.float32, most: float) -> list[int]:
    share = min(scale, np.float32(most))
    (left, width), (top, height) = side(x, share, size[0]), side(y, share, size[1])
    return [left, top, width, height]


def pick_share(rng: random.Random, side_px: int) -> np.float32:
    """Anywhere, at an end, or where a product comes out whole or just beside that."""
    share = np.float32(rng.choice((rng.random(), rng.random(), rng.random() ** 3, 0, 1, rng.randint(0, side_px) / side_px)))
    return np.clip(np.nextafter(share, np.float32(rng.choice((-1, 2)))) if rng.random() < 0.3 else share, np.float32(0), np.float32(1))


def compare(paths: list[Path], kind_of: dict[Path, str], references: dict[tuple[Path, int], Image.Image], seed: int, outcome: Outcome) -> None:
    """The cases of one Cropper, which are picked by `seed` alone."""
    rng = random.Random(seed)
    name, channels = rng.choice(tuple(FILTERS)), rng.choice((3, 3, 1))
    most = rng.choice((1.0, 0.25, rng.random()))
    height, width = rng.randint(1, 40), rng.randint(1, rng.choice((40, 200)))
    left = CASES_OF_A_CROPPER
    with cropring.Cropper((height, width), channels=channels, max_img_percent=most, resample=name, threads=1, errors="status") as crop:
        while left > 0:
            asked = [rng.choice(paths) for _ in range(min(left, rng.randint(1, 60)))]
            left -= len(asked)
            for path in asked:
                if (path, channels) not in references:
                    references[path, channels] = sweep.reference(path, kind_of[path], channels, "raw")
            images = [references[path, channels] for path in asked]
            x, y, scale = np.array([[pick_share(rng, image.width), pick_share(rng, image.height), pick_share(rng, image.width)] for image in images], np.float32).T
            batch = crop(asked, x, y, scale)
            for row, image in enumerate(images):
                expected = window(image.size, x[row], y[row], scale[row], most)
                check(outcome, batch, row, image, expected, (width, height), name, f"{asked[row].name} {image.size} x {x[row]} y {y[row]} scale {scale[row]} most {most}")
                outcome.capped += int(scale[row] > np.float32(most))


def check(
    outcome: Outcome, batch: cropring.Batch, row: int, image: Image.Image, expected: list[int], size: tuple[int, int], name: str, what: str
) -> None:
    outcome.cases[name] += 1
    box = batch.box[row].tolist()
    pixels: NDArray[np.uint8] = np.asarray(image.crop((expected[0], expected[1], expected[0] + expected[2], expected[1] + expected[3])).resize(size, FILTERS[name]))
    differing = int(np.count_nonzero(batch.images[row].reshape(-1) != pixels.reshape(-1)))
    outcome.differing_boxes += box != expected
    outcome.differing_bytes += differing
    if box != expected or differing or batch.status[row]:
        outcome.failures.append(f"{what} {name} {size}: status {batch.status[row]}, box {box}, expected {expected}, {differing} bytes differ")


def run(kind_of: dict[Path, str], seed: int, case_count: int) -> Outcome:
    warnings.filterwarnings("ignore", "Palette images with Transparency")  # Pillow's advice, not for us to take
    outcome = Outcome()
    references: dict[tuple[Path, int], Image.Image] = {}
    for number in range(-(-case_count // CASES_OF_A_CROPPER)):
        compare(sorted(kind_of), kind_of, references, seed + number, outcome)
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=int, nargs="?", default=10000)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CROPRING_TEST_SEED", "20240229")))
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        kind_of = sweep.write_files(Path(temporary), options.seed, 3)
        outcome = run(kind_of, options.seed, options.cases)
    for failure in outcome.failures[:20]:
        print(failure, file=sys.stderr)
    print(
        f"seed {options.seed}: {outcome.cases.total()} windows ({outcome.cases['nearest']} nearest, {outcome.cases['bilinear']} bilinear, "
        f"{outcome.capped} capped) of {len(kind_of)} files of {len(set(kind_of.values()))} kinds in {time.monotonic() - begin:.0f} s: "
        f"{outcome.differing_boxes} boxes differ from the rule, {outcome.differing_bytes} bytes from Pillow {Image.__version__}"
    )
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
