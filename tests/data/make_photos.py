#!/usr/bin/env python3
"""Cuts the sample photographs in photos/ and writes the list of their origins, PHOTOS.md. Run by hand; the results are committed.

    python tests/data/make_photos.py

Needs Pillow, NumPy and the packages named in photo_sources.py. Pixels depend on Pillow's version, sizes and formats do not.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))

from bmp_writer import write_bmp  # noqa: E402
from photo_sources import SOURCES, open_source, require_sources  # noqa: E402

PHOTOS = HERE / "photos"
SIZE_LIMIT_BYTES = 3_000_000


@dataclass(frozen=True)
class Cut:
    name: str  # below photos/
    source: str
    box: tuple[int, int, int, int] | None = None  # x, y, width, height in source pixels; None: all of it
    size: tuple[int, int] | None = None  # of the sample; None: as cut
    mode: str = "RGB"  # RGB, L, P or RGBA (a disc, transparent outside)
    save: dict[str, Any] = field(default_factory=dict)


def jpeg(quality: int, subsampling: str = "4:4:4", *, progressive: bool = False) -> dict[str, Any]:
    return {"quality": quality, "subsampling": subsampling, "progressive": progressive, "optimize": True}


CUTS = (
    Cut("animals/cat.jpg", "chelsea", save=jpeg(92)),
    Cut("animals/cat_eyes.png", "chelsea", (118, 50, 246, 120)),
    Cut("animals/cat_nose.bmp", "chelsea", (160, 150, 220, 150), mode="P"),
    Cut("animals/ladybird.jpg", "ladybird", (1400, 480, 900, 675), (480, 360), save=jpeg(88, "4:2:0")),
    Cut("buildings/brick_wall.jpg", "brick", (0, 0, 512, 400), (333, 260), "L", jpeg(85)),
    Cut("buildings/facade.bmp", "grey", (900, 150, 1400, 1050), (240, 180), "L"),
    Cut("buildings/pagoda.jpg", "china", (60, 10, 340, 410), save=jpeg(90, "4:2:0")),
    Cut("buildings/pagoda_roofs.png", "china", (80, 20, 261, 160), mode="P"),
    Cut("flowers/dahlia.jpg", "flower", save=jpeg(90, "4:2:0", progressive=True)),
    Cut("flowers/dandelion_seeds.jpg", "two_wings", (800, 300, 1760, 1300), (352, 260), save=jpeg(90, "4:2:2")),
    Cut("flowers/forget_me_not.jpg", "ladybird", (0, 150, 800, 600), (320, 240), save=jpeg(80, "4:2:0")),
    Cut("flowers/marigold.jpg", "garden", (1100, 200, 1120, 1400), (360, 450), save=jpeg(90)),
    Cut("flowers/yellow_petals.bmp", "yellow_flower", (1600, 850, 960, 750), (208, 163)),
    Cut("flowers/zinnia.png", "fresh_flower", (0, 300, 1000, 900), (300, 270), "P"),
    Cut("landscapes/beach_grass.jpg", "dune", size=(500, 313), save=jpeg(90)),
    Cut("landscapes/forest_path.jpg", "path", (200, 0, 1400, 1600), (375, 429), save=jpeg(85, "4:2:0", progressive=True)),
    Cut("landscapes/jetty.bmp", "by_the_water", (400, 500, 1664, 1008), (208, 126), save={"bits": 32, "top_down": True}),
    Cut("landscapes/pier.jpg", "cold_ripple", (300, 500, 1900, 1100), (401, 232), "L", jpeg(92)),
    Cut("landscapes/rowing_boats.jpg", "evening_glow", (0, 220, 2560, 1340), (640, 335), save=jpeg(88, "4:2:0")),
    Cut("landscapes/storm_road.jpg", "storm", size=(500, 333), save=jpeg(90, "4:2:2")),
    Cut("landscapes/sunset.png", "evening_glow", (500, 0, 1400, 700), (280, 140)),
    Cut("objects/cups.jpg", "colorful_cups", (400, 300, 1600, 1200), (480, 360), save=jpeg(85, "4:2:0")),
    Cut("objects/espresso.jpg", "coffee", save=jpeg(88)),
    Cut("objects/helmet.png", "astronaut", (270, 330, 230, 182), mode="P"),
    Cut("objects/maple_leaf.jpg", "fallen_leaf", (1200, 300, 1300, 1100), (390, 330), save=jpeg(90)),
    Cut("objects/spoon.bmp", "coffee", (290, 150, 202, 160), save={"bits": 24, "top_down": True}),
    Cut("objects/water_crown.png", "aqua", (1300, 500, 950, 900), (285, 270), "L"),
    Cut("people/astronaut.jpg", "astronaut", save=jpeg(90)),
    Cut("people/photographer.png", "camera", (0, 40, 430, 420), (301, 294), "L"),
    Cut("people/portrait.png", "astronaut", (117, 0, 220, 220), mode="RGBA"),
    Cut("space/galaxies.png", "hubble", (560, 380, 250, 220)),
    Cut("space/hubble_field.jpg", "hubble", size=(500, 436), save=jpeg(85)),
    Cut("space/launch_lights.jpg", "rocket", (0, 300, 480, 127), (480, 127), save=jpeg(90, "4:2:0")),
    Cut("space/rocket.jpg", "rocket", (180, 40, 300, 387), save=jpeg(90, "4:2:0", progressive=True)),
)


def cut_picture(cut: Cut) -> Image.Image:
    picture = open_source(cut.source)
    if cut.box is not None:
        x, y, width, height = cut.box
        picture = picture.crop((x, y, x + width, y + height))
    if cut.size is not None:
        picture = picture.resize(cut.size, Image.Resampling.LANCZOS)
    if cut.mode == "P":
        return picture.quantize(256)
    if cut.mode == "RGBA":
        return with_transparent_corners(picture)
    return picture.convert(cut.mode)


def with_transparent_corners(picture: Image.Image) -> Image.Image:
    """Keep the colours under the transparent pixels: a reader that drops alpha must find them there."""
    y, x = np.mgrid[-1 : 1 : picture.height * 1j, -1 : 1 : picture.width * 1j]
    alpha = np.clip((1 - np.hypot(x, y)) * picture.width / 8, 0, 1) * 255
    picture = picture.convert("RGB")
    picture.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return picture


def write_sample(cut: Cut) -> Path:
    path = PHOTOS / cut.name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = cut_picture(cut)
    if "bits" in cut.save:
        write_bmp(path, picture, **cut.save)
    elif path.suffix == ".png":
        picture.save(path, optimize=True)
    else:
        picture.save(path, **cut.save)
    return path


def described(cut: Cut, path: Path) -> str:
    with Image.open(path) as sample:
        kind = f"{sample.format} {sample.mode}, {sample.width}x{sample.height}"
    details = [cut.save[key] for key in ("subsampling",) if cut.mode == "RGB" and key in cut.save]
    if cut.save.get("progressive"):
        details.append("progressive")
    if "bits" in cut.save:
        details.append(f"{cut.save['bits']} bits, top-down")
    return ", ".join([kind, *details])


PHOTOS_HEADER = """\
# The sample photographs

Written by `make_photos.py`. Every picture is a part of the one named in its row, cut, reduced and saved again.
They keep the licence of that picture: the project's own licence does not cover them.
Licences: [CC0-1.0](https://creativecommons.org/publicdomain/zero/1.0/), [CC-BY-2.0](https://creativecommons.org/licenses/by/2.0/),
[GPL-2.0-or-later](licences/GPL-2.txt), [LGPL-3.0](licences/LGPL-3.txt) (permissions on top of the [GPL-3.0](licences/GPL-3.txt)).
The whole pictures are in the Debian packages mate-backgrounds and plasma-workspace-wallpapers and in the Python packages
scikit-image and scikit-learn.

| file | what | cut from | author | licence |
|---|---|---|---|---|
"""


def origin_row(cut: Cut, path: Path) -> str:
    source = SOURCES[cut.source]
    title = f"[{source.title}]({source.url})" if source.url else source.title
    return f"| {cut.name} | {described(cut, path)} | {title} ({source.package}) | {source.author} | {source.licence} |\n"


def main() -> None:
    require_sources({cut.source for cut in CUTS})
    assert len({(cut.source, cut.box) for cut in CUTS}) == len(CUTS), "two samples are the same crop"
    shutil.rmtree(PHOTOS, ignore_errors=True)
    paths = [write_sample(cut) for cut in CUTS]
    (HERE / "PHOTOS.md").write_text(PHOTOS_HEADER + "".join(map(origin_row, CUTS, paths)), encoding="utf-8")
    total_bytes = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} pictures, {total_bytes} bytes in {PHOTOS.relative_to(HERE.parent.parent)}")
    if total_bytes > SIZE_LIMIT_BYTES:
        raise SystemExit(f"more than {SIZE_LIMIT_BYTES} bytes: cut smaller, or compress harder")


if __name__ == "__main__":
    main()
