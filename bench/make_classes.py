#!/usr/bin/env python3
"""Makes a small set to train on: parts of real photographs in four classes, for training and for validation.

    python bench/make_classes.py [--per-class 200] [--validation 75] [--seed 1] [--folder bench/data/classes]

A class is a theme of several photographs (tests/data/photo_sources.py).  Each is cut in two along its longer side: parts for training come
from the first 65 %, parts for validation from the last 30 %, and none from the strip between them, so no pixel of one is in the other.
The parts are JPEGs of 240 to 420 pixels, at their native scale or reduced, mirrored or not.  The same seed and Pillow version give the
same files.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path

from make_set import SOURCES, cut, encoded, open_source, require_sources
from PIL import Image

DEFAULT_FOLDER = Path(__file__).resolve().parent / "data" / "classes"
DONE_NAME = "set.json"  # written last
THEMES = ("flowers", "landscapes", "objects", "plants")
SIDE_RANGE_PX = (240, 420)
TRAINING_END, VALIDATION_BEGIN = 0.65, 0.70  # of the longer side


def region(picture: Image.Image, validation: bool) -> Image.Image:
    begin, end = (VALIDATION_BEGIN, 1.0) if validation else (0.0, TRAINING_END)
    width, height = picture.size
    if width >= height:
        return picture.crop((round(begin * width), 0, round(end * width), height))
    return picture.crop((0, round(begin * height), width, round(end * height)))


def make_one(rng: random.Random, regions: list[Image.Image]) -> bytes:
    while True:
        part = cut(rng, rng.choice(regions), (rng.randint(*SIDE_RANGE_PX), rng.randint(*SIDE_RANGE_PX)))
        if part is not None:  # the photograph was large enough
            return encoded(part.convert("RGB"), "4:2:0", rng.randint(85, 95))


def make_classes(folder: Path, per_class: int, validation_per_class: int, seed: int) -> None:
    rng = random.Random(seed)
    require_sources([key for key, source in SOURCES.items() if source.theme in THEMES])
    byte_count = 0
    for theme in THEMES:
        pictures = [open_source(key) for key, source in SOURCES.items() if source.theme == theme]
        for split, count in (("train", per_class), ("validation", validation_per_class)):
            regions = [region(picture, split == "validation") for picture in pictures]
            place = folder / split / theme
            place.mkdir(parents=True)
            for number in range(count):
                file = make_one(rng, regions)
                (place / f"{number:04}.jpg").write_bytes(file)
                byte_count += len(file)
    facts = {"classes": len(THEMES), "training": per_class * len(THEMES), "validation": validation_per_class * len(THEMES), "seed": seed, "bytes": byte_count}
    (folder / DONE_NAME).write_text(json.dumps(facts) + "\n")
    print(json.dumps(facts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="replaced if it is an older set")
    parser.add_argument("--per-class", type=int, default=200)
    parser.add_argument("--validation", type=int, default=75)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if (options.folder / DONE_NAME).exists() or options.folder == DEFAULT_FOLDER:
        shutil.rmtree(options.folder, ignore_errors=True)
    elif options.folder.exists():
        raise SystemExit(f"{options.folder} exists and is no set made by this script; name another folder")
    make_classes(options.folder, options.per_class, options.validation, options.seed)


if __name__ == "__main__":
    main()
