#!/usr/bin/env python3
"""Makes the benchmark's pictures: JPEGs with the sizes, samplings and bytes per pixel of ImageNet's training set.

    python bench/make_set.py [--count 640] [--seed 1] [--folder bench/data/imagenet_like]

Each is a part of a real photograph (tests/data/photo_sources.py), at its native scale or reduced, mirrored or not, never enlarged.
A file's bytes per pixel are drawn first, then parts until one has that much detail: sky and blur stay as rare as they are there.
The same seed and Pillow version give the same files.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "data"))

from photo_sources import SOURCES, open_source, require_sources  # noqa: E402

DEFAULT_FOLDER = HERE / "data" / "imagenet_like"
DONE_NAME = "set.json"  # beside the class folders; written last, so its presence means that the set is complete

# Weight in percent -> width and height. Mean about 480x410, as measured on a sample of ImageNet's training set.
SIZES: list[tuple[float, tuple[int, int]]] = [
    (42.0, (500, 375)), (14.0, (375, 500)), (13.0, (500, 333)), (4.0, (333, 500)), (3.0, (500, 400)), (3.0, (400, 500)),
    (3.0, (500, 500)), (3.0, (640, 480)), (2.0, (800, 600)), (1.0, (1024, 768)), (0.5, (768, 1024)), (0.5, (1000, 667)),
]  # fmt: skip
ODD_SIZES_WEIGHT = 12.0  # the rest: one side from a range
ODD_SIZE_RANGE_PX = (200, 520)

# Per cent of the files; None is gray.
SAMPLINGS: list[tuple[float, str | None]] = [(76.0, "4:4:4"), (21.0, "4:2:0"), (3.0, None)]
QUALITY_RANGE = (85, 95)
LARGEST_REDUCTION = 4.0
# How much detail: ImageNet's mean is 0.56 bytes per pixel. Log-normal, cut off where only blur, or only moss and gravel, would do.
BYTES_PER_PIXEL_MEDIAN = 0.55
BYTES_PER_PIXEL_SIGMA = 0.42
BYTES_PER_PIXEL_BOUNDS = (0.25, 1.3)
NEAR_ENOUGH = math.log(1.12)
MOST_TRIES = 24  # then the nearest of them


@dataclass(frozen=True)
class Draw:
    size: tuple[int, int]
    sampling: str | None
    bytes_per_pixel: float


def draw_size(rng: random.Random) -> tuple[int, int]:
    weights = [weight for weight, _ in SIZES]
    size = rng.choices([*(size for _, size in SIZES), None], [*weights, ODD_SIZES_WEIGHT])[0]
    if size is not None:
        return size
    short, long = sorted(rng.randint(*ODD_SIZE_RANGE_PX) for _ in range(2))
    return (long, short) if rng.random() < 0.7 else (short, long)


def draw(rng: random.Random) -> Draw:
    sampling = rng.choices([sampling for _, sampling in SAMPLINGS], [weight for weight, _ in SAMPLINGS])[0]
    least, most = BYTES_PER_PIXEL_BOUNDS
    detail = min(max(rng.lognormvariate(math.log(BYTES_PER_PIXEL_MEDIAN), BYTES_PER_PIXEL_SIGMA), least), most)
    return Draw(draw_size(rng), sampling, detail)


def cut(rng: random.Random, picture: Image.Image, size: tuple[int, int]) -> Image.Image | None:
    """A random part of the picture with this size after a random reduction; None if the picture is too small."""
    largest = min(picture.width / size[0], picture.height / size[1], LARGEST_REDUCTION)
    if largest < 1:
        return None
    reduction = rng.uniform(1, largest)
    width, height = min(picture.width, round(size[0] * reduction)), min(picture.height, round(size[1] * reduction))
    x, y = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    part = picture.crop((x, y, x + width, y + height))
    if rng.random() < 0.5:
        part = ImageOps.mirror(part)
    return part if part.size == size else part.resize(size, Image.Resampling.LANCZOS)


def encoded(part: Image.Image, sampling: str | None, quality: int) -> bytes:
    file = io.BytesIO()
    if sampling is None:
        part.convert("L").save(file, "JPEG", quality=quality)
    else:
        part.save(file, "JPEG", quality=quality, subsampling=sampling)
    return file.getvalue()


def encoded_near(part: Image.Image, sampling: str | None, wanted_bytes: float) -> bytes:
    """The JPEG file with the least quality that reaches `wanted_bytes`, or with the best quality if none does."""
    low, high = QUALITY_RANGE
    file = encoded(part, sampling, high)
    while low < high and len(file) > wanted_bytes:
        middle = (low + high) // 2
        smaller = encoded(part, sampling, middle)
        if len(smaller) >= wanted_bytes:
            high, file = middle, smaller
        else:
            low = middle + 1
    return file


def make_one(rng: random.Random) -> tuple[str, Draw, bytes]:
    """Theme, what was drawn, and the file."""
    how = draw(rng)
    wanted_bytes = how.bytes_per_pixel * math.prod(how.size)
    nearest = (math.inf, "", b"")
    tries = 0
    while tries < MOST_TRIES and nearest[0] > NEAR_ENOUGH:
        key = rng.choice(list(SOURCES))
        picture = open_source(key)
        if picture.mode == "L" and how.sampling is not None:
            continue  # a gray photograph saved with colour planes would decode faster than colour photographs do
        part = cut(rng, picture, how.size)
        if part is None:
            continue
        file = encoded_near(part, how.sampling, wanted_bytes)
        nearest = min(nearest, (abs(math.log(len(file) / wanted_bytes)), SOURCES[key].theme, file))
        tries += 1
    return nearest[1], how, nearest[2]


def make_set(folder: Path, count: int, seed: int) -> None:
    rng = random.Random(seed)
    samplings: Counter[str] = Counter()
    pixels = file_bytes = width_sum = height_sum = 0
    for number in range(count):
        theme, how, file = make_one(rng)
        path = folder / theme / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)
        samplings[how.sampling or "gray"] += 1
        file_bytes += len(file)
        pixels += math.prod(how.size)
        width_sum += how.size[0]
        height_sum += how.size[1]
    facts = {
        "pictures": count,
        "seed": seed,
        "mean_width_px": round(width_sum / count),
        "mean_height_px": round(height_sum / count),
        "mean_file_bytes": round(file_bytes / count),
        "bytes_per_pixel": round(file_bytes / pixels, 3),
        "samplings": dict(samplings),
    }
    (folder / DONE_NAME).write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="replaced if it is an older set")
    parser.add_argument("--count", type=int, default=640)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    require_sources()
    if (options.folder / DONE_NAME).exists() or options.folder == DEFAULT_FOLDER:
        shutil.rmtree(options.folder, ignore_errors=True)
    elif options.folder.exists():
        raise SystemExit(f"{options.folder} exists and is no set made by this script; name another folder")
    make_set(options.folder, options.count, options.seed)


if __name__ == "__main__":
    main()
