"""A set of JPEGs for a machine without one: parts of real photographs, with Pillow alone."""

from __future__ import annotations

import argparse
import os
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH_PX, HEIGHT_PX, QUALITY, GRAIN = 488, 417, 90, 6  # about ImageNet's mean size, and its bytes per file


def make_set(photos: Path, folder: Path, count: int) -> Path:
    """`count` JPEGs in a sub-folder per folder of `photos`; those that are there stay.  Returns the folder."""
    sources = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".png", ".bmp"))
    if not sources:
        raise SystemExit(f"{photos}: no photographs; --photos names a folder of them, such as tests/data/photos")
    missing = [number for number in range(count) if not _path(folder, sources, number).exists()]
    for name in {source.parent.name for source in sources}:
        (folder / name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(_make, missing, [sources] * len(missing), [folder] * len(missing), chunksize=32))
    return folder


def _path(folder: Path, sources: list[Path], number: int) -> Path:
    return folder / sources[number % len(sources)].parent.name / f"{number:05}.jpg"


def _make(number: int, sources: list[Path], folder: Path) -> None:
    """A part of one photograph."""
    random.seed(number)
    with Image.open(sources[number % len(sources)]) as opened:
        image = opened.convert("RGB")
    part = random.uniform(0.6, 1.0)
    width, height = int(image.width * part), int(image.height * part)
    left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
    size = (round(WIDTH_PX * random.uniform(0.7, 1.3)), round(HEIGHT_PX * random.uniform(0.7, 1.3)))
    made = image.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    grain = np.random.default_rng(number).normal(0, GRAIN, (made.height, made.width, 1))  # enlarged photographs are too smooth
    made = Image.fromarray(np.clip(np.asarray(made) + grain, 0, 255).astype(np.uint8))
    target = _path(folder, sources, number)
    made.save(target.with_suffix(".part"), "JPEG", quality=QUALITY, subsampling=2)
    target.with_suffix(".part").rename(target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    made = parser.parse_args()
    make_set(made.photos, made.folder, made.count)
