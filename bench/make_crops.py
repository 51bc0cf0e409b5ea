#!/usr/bin/env python3
"""Makes the pictures of bench/crops.py out of real photographs (tests/data/photo_sources.py), each as JPEG, PNG and BMP.

    python bench/make_crops.py [--folder bench/data/crops]

gray4000: 4000x4000 pixels, a mosaic of 8x8 parts of photographs, 500x500 pixels each at their native scale, in gray.
color512: one part of a photograph, 512x512 pixels at its native scale.
JPEG: Pillow's quality 90 and its other defaults (4:2:0); PNG: Pillow's defaults; BMP: 8 and 24 bits a pixel.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "data"))

from photo_sources import SOURCES, open_source, require_sources  # noqa: E402

DEFAULT_FOLDER = HERE / "data" / "crops"
SUFFIXES = ("jpg", "png", "bmp")
JPEG_QUALITY = 90
MOSAIC_PX, TILE_PX = 4000, 500
PART_SOURCE, PART_PX = "colorful_cups", 512


def part(rng: random.Random, key: str, side_px: int) -> Image.Image:
    picture = open_source(key)
    x, y = rng.randint(0, picture.width - side_px), rng.randint(0, picture.height - side_px)
    return picture.crop((x, y, x + side_px, y + side_px))


def mosaic(rng: random.Random) -> Image.Image:
    large = [key for key in SOURCES if min(open_source(key).size) >= 2 * TILE_PX]
    whole = Image.new("L", (MOSAIC_PX, MOSAIC_PX))
    for y in range(0, MOSAIC_PX, TILE_PX):
        for x in range(0, MOSAIC_PX, TILE_PX):
            whole.paste(part(rng, rng.choice(large), TILE_PX).convert("L"), (x, y))
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    require_sources()
    rng = random.Random(options.seed)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, picture in (("color512", part(rng, PART_SOURCE, PART_PX)), ("gray4000", mosaic(rng))):
        for suffix in SUFFIXES:
            path = options.folder / f"{name}.{suffix}"
            picture.save(path, quality=JPEG_QUALITY) if suffix == "jpg" else picture.save(path)
            print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
