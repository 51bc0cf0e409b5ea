"""Free photographs that Debian and Python packages carry: where they lie, who made them, under which licence.

`make_photos.py` cuts the sample pictures from them, `bench/make_set.py` the benchmark's set.
Drawings, renderings and pictures without a clear free licence in the same packages are left out.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageCms, ImageOps


@dataclass(frozen=True)
class Source:
    key: str
    package: str
    file: str  # below the package's picture folder
    theme: str
    title: str
    author: str
    licence: str
    url: str = ""


# Package -> (how to install it, where its pictures lie: a folder, or a folder inside a Python package).
PACKAGES = {
    "mate-backgrounds": ("apt-get install mate-backgrounds", "/usr/share/backgrounds/mate/nature"),
    "plasma-workspace-wallpapers": ("apt-get install plasma-workspace-wallpapers", "/usr/share/wallpapers"),
    "scikit-image": ("pip install --no-deps scikit-image", "skimage:data"),
    "scikit-learn": ("pip install --no-deps scikit-learn", "sklearn:datasets/images"),
}

CC0 = "CC0-1.0"
CC_BY_2 = "CC-BY-2.0"
PUBLIC_DOMAIN = "public domain"
GPL_2 = "GPL-2.0-or-later"
LGPL_3 = "LGPL-3.0"


def _mate(key: str, file: str, theme: str, title: str, author: str) -> Source:
    return Source(key, "mate-backgrounds", file, theme, title, author, GPL_2)


def _plasma(key: str, name: str, theme: str, title: str, author: str) -> Source:
    return Source(key, "plasma-workspace-wallpapers", f"{name}/contents/images/2560x1600.jpg", theme, title, author, LGPL_3)


def _skimage(key: str, file: str, theme: str, title: str, author: str, licence: str, url: str = "") -> Source:
    return Source(key, "scikit-image", file, theme, title, author, licence, url)


# Authors and licences as stated in debian/copyright, the wallpapers' metadata.json, the docstrings of skimage.data and the
# README.txt beside scikit-learn's pictures (by its addresses flower.jpg is vultilion's, though its prose names china.jpg's author).
# fmt: off
SOURCES: dict[str, Source] = {
    source.key: source
    for source in (
        _mate("aqua", "Aqua.jpg", "objects", "Aqua", "Charles Barbin"),
        _mate("blinds", "Blinds.jpg", "plants", "Blinds", "Lennart Poettering, Andrea Cimitan"),
        _mate("dune", "Dune.jpg", "landscapes", "Dune", "Marco Cogoni, Hylke Bons"),
        _mate("fresh_flower", "FreshFlower.jpg", "flowers", "Fresh Flower", "Jens Ansorg"),
        _mate("garden", "Garden.jpg", "flowers", "Garden", "Charles Barbin"),
        _mate("green_meadow", "GreenMeadow.jpg", "plants", "Green Meadow", "Timothy Schellhase, Lapo Calamandrei"),
        _mate("ladybird", "LadyBird.jpg", "animals", "Lady Bird", "Charles Barbin"),
        _mate("rain_drops", "RainDrops.jpg", "plants", "Rain Drops", "blackcombwhistler07"),
        _mate("storm", "Storm.jpg", "landscapes", "Storm", "Sergey Nazarov"),
        _mate("two_wings", "TwoWings.jpg", "flowers", "Two Wings", "Charles Barbin, Hylke Bons"),
        _mate("wood", "Wood.jpg", "objects", "Wood", "Jean-François Fortin Tam"),
        _mate("yellow_flower", "YellowFlower.jpg", "flowers", "Yellow Flower", "Charles Barbin"),
        _plasma("by_the_water", "BytheWater", "landscapes", "By the Water", "Maciej Wiklo"),
        _plasma("cold_ripple", "ColdRipple", "landscapes", "Cold Ripple", "Risto Saukonpää"),
        _plasma("colorful_cups", "ColorfulCups", "objects", "Colorful Cups", "Dmitri Popov"),
        _plasma("evening_glow", "EveningGlow", "landscapes", "Evening Glow", "Ian Hex"),
        _plasma("fallen_leaf", "FallenLeaf", "plants", "Fallen Leaf", "Martin Klapetek"),
        _plasma("grey", "Grey", "buildings", "Grey", "Sigi Sagi"),
        _plasma("one_stands_out", "OneStandsOut", "plants", "One Stands Out", "Risto Saukonpää"),
        _plasma("path", "Path", "landscapes", "Path", "Risto Saukonpää"),
        _skimage("astronaut", "astronaut.png", "people", "Eileen Collins", "NASA", PUBLIC_DOMAIN, "https://flic.kr/p/r9qvLn"),
        _skimage("brick", "brick.png", "buildings", "Bricks25", "CC0Textures", CC0),
        _skimage("camera", "camera.png", "people", "Photographer", "Lav Varshney", CC0),
        _skimage("chelsea", "chelsea.png", "animals", "Chelsea the cat", "Stefan van der Walt", CC0),
        _skimage("coffee", "coffee.png", "objects", "Coffee at Pikolo Espresso Bar", "Rachel Michetti", CC0),
        _skimage("grass", "grass.png", "plants", "Grass 01", "linolafett", CC0),
        _skimage("gravel", "gravel.png", "landscapes", "Gravel04", "CC0Textures", CC0),
        _skimage("hubble", "hubble_deep_field.jpg", "space", "Hubble eXtreme Deep Field", "NASA", PUBLIC_DOMAIN,
                 "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/"),
        _skimage("rocket", "rocket.jpg", "space", "DSCOVR on Falcon 9", "SpaceX", PUBLIC_DOMAIN,
                 "https://www.flickr.com/photos/spacexphotos/16511594820/"),
        Source("china", "scikit-learn", "china.jpg", "buildings", "china.jpg", "danielbuechele", CC_BY_2,
               "https://www.flickr.com/photos/danielbuechele/6061409035/"),
        Source("flower", "scikit-learn", "flower.jpg", "flowers", "flower.jpg", "vultilion", CC_BY_2,
               "https://www.flickr.com/photos/vultilion/6056698931/"),
    )
}
# fmt: on


def source_path(source: Source) -> Path | None:
    """Where the picture lies on this machine, or None if its package is not installed."""
    module_name, separator, folder = PACKAGES[source.package][1].partition(":")
    if not separator:
        path = Path(module_name, source.file)
    else:
        spec = importlib.util.find_spec(module_name)  # finds without importing: its dependencies need not be installed
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).parent / folder / source.file
    return path if path.is_file() else None


def require_sources(keys: Iterable[str] = tuple(SOURCES)) -> None:
    """Exit with the commands to run if a package is missing: fewer sources would silently make other pictures."""
    missing = {SOURCES[key].package for key in keys if source_path(SOURCES[key]) is None}
    if missing:
        commands = "\n".join(f"  {PACKAGES[package][0]}" for package in sorted(missing))
        raise SystemExit(f"pictures are missing; please run\n{commands}")


@cache
def open_source(key: str) -> Image.Image:
    """The picture upright, in sRGB or gray, without metadata."""
    path = source_path(SOURCES[key])
    assert path is not None, f"{key}: call require_sources() first"
    file = Image.open(path)
    profile = file.info.get("icc_profile")
    picture = ImageOps.exif_transpose(file)
    if picture.mode != "L":
        picture = picture.convert("RGB")
        if profile:
            ImageCms.profileToProfile(picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), inPlace=True)
    picture.info.clear()
    return picture
