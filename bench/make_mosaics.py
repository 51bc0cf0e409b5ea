#!/usr/bin/env python3
"""Makes the large pictures of bench/pack.py out of real photographs (tests/data/photo_sources.py).

    python bench/make_mosaics.py [--folder bench/data/pack]

mosaics: one picture of 4000x4000 pixels, in colour as JPEG 4:2:0 of quality 90 and 4:4:4 of quality 95, in gray as JPEG of quality 90 and as PNG.
growth: colour pictures of 256x256 to 16384x16384 pixels as JPEG 4:2:0 of quality 90, and in gray as PNG.
All are made of parts of photographs, 500x500 pixels each at their native scale; of two random ones the one with less detail, which gives
files of about the size of photographs that a camera's 16 megapixels were needed for.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from pathlib import Path

from PIL import Image

import make_crops
from make_crops import HERE, SOURCES, TILE_PX, open_source, require_sources

DEFAULT_FOLDER = HERE / "data" / "pack"
MOSAIC_PX = 4000
GROWTH_PX = (256, 512, 1024, 2048, 4096, 8192, 16384)
MOSAICS = {
    "420.jpg": {"quality": 90, "subsampling": "4:2:0"},
    "444.jpg": {"quality": 95, "subsampling": "4:4:4"},
    "gray.jpg": {"quality": 90},
    "gray.png": {},
}


def detail(part: Image.Image) -> int:
    file = io.BytesIO()
    part.save(file, "JPEG", quality=90)
    return file.tell()


def mosaic(rng: random.Random, side_px: int) -> Image.Image:
    large = [key for key in SOURCES if open_source(key).mode == "RGB" and min(open_source(key).size) >= 2 * TILE_PX]
    whole = Image.new("RGB", (side_px, side_px))
    for y in range(0, side_px, TILE_PX):
        for x in range(0, side_px, TILE_PX):
            whole.paste(min((make_crops.part(rng, rng.choice(large), TILE_PX) for _ in range(2)), key=detail), (x, y))
    return whole


def write(picture: Image.Image, path: Path, options: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture.convert("L") if "gray" in path.name else picture).save(path, **options)
    print(f"{path.parent.name}/{path.name}: {path.stat().st_size} bytes", file=sys.stderr)


def make_mosaics(folder: Path, seed: int) -> None:
    if all((folder / "mosaics" / name).exists() for name in MOSAICS):
        return
    require_sources()
    picture = mosaic(random.Random(seed), MOSAIC_PX)
    for name, options in MOSAICS.items():
        write(picture, folder / "mosaics" / name, options)


def make_growth(folder: Path, seed: int) -> None:
    """Names sort by size: a flat folder's samples are numbered by them."""
    for side_px in GROWTH_PX:
        jpeg, png = folder / "growth_jpg" / f"{side_px:05}.jpg", folder / "growth_png" / f"{side_px:05}gray.png"
        if not (jpeg.exists() and png.exists()):
            require_sources()
            picture = mosaic(random.Random(seed), side_px)
            write(picture, jpeg, MOSAICS["420.jpg"])
            write(picture, png, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="what is there already is left")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()

    make_mosaics(options.folder, options.seed)
    make_growth(options.folder, options.seed)


if __name__ == "__main__":
    main()
