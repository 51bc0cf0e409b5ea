"""What other libraries do for bench/crops.py: open a picture by its path, cut a box out, resize it to a square of uint8 pixels.

Each function does as its library's documentation recommends for this, with one thread. Imports stand inside: a library that is not
there, or cannot do it, says so when it is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Box = Sequence[int]  # x, y, width, height
Peer = Callable[[Path, int, Box, int], np.ndarray]  # path, channels, box, size in pixels -> (size, size) or (size, size, 3)


def pillow(path: Path, channels: int, box: Box, size_px: int) -> np.ndarray:
    from PIL import Image

    x, y, width, height = box
    with Image.open(path) as picture:
        return np.asarray(picture.crop((x, y, x + width, y + height)).resize((size_px, size_px), Image.Resampling.BILINEAR))


def pillow_reduced(path: Path, channels: int, box: Box, size_px: int) -> np.ndarray:
    """draft() lets a JPEG be decoded at 1/2, 1/4 or 1/8 of its size; reducing_gap=2 is what Pillow's own thumbnail() resizes with."""
    from PIL import Image

    x, y, width, height = box
    with Image.open(path) as picture:
        full_width = picture.width
        picture.draft(picture.mode, (-(-picture.width * size_px // width), -(-picture.height * size_px // height)))
        scale = picture.width / full_width
        if scale == 1:
            part, inside = picture.crop((x, y, x + width, y + height)), None
        else:
            part, inside = picture, (x * scale, y * scale, (x + width) * scale, (y + height) * scale)
        return np.asarray(part.resize((size_px, size_px), Image.Resampling.BILINEAR, box=inside, reducing_gap=2.0))


def reduction(box: Box, size_px: int) -> int:
    """The largest of 1/1, 1/2, 1/4 and 1/8 that leaves the box at least as large as the output."""
    return next(by for by in (8, 4, 2, 1) if min(box[2:]) >= by * size_px or by == 1)


def opencv_resized(flag: str, path: Path, box: Box, by: int, size_px: int) -> np.ndarray:
    import cv2

    cv2.setNumThreads(1)
    x, y, width, height = (value // by for value in box)
    picture = cv2.imread(str(path), getattr(cv2, flag))
    return cv2.resize(picture[y : y + height, x : x + width], (size_px, size_px), interpolation=cv2.INTER_LINEAR)


def opencv(path: Path, channels: int, box: Box, size_px: int) -> np.ndarray:
    return opencv_resized("IMREAD_GRAYSCALE" if channels == 1 else "IMREAD_COLOR_RGB", path, box, 1, size_px)


def opencv_reduced(path: Path, channels: int, box: Box, size_px: int) -> np.ndarray:
    by = reduction(box, size_px)
    if by == 1:
        return opencv(path, channels, box, size_px)
    return opencv_resized(f"IMREAD_REDUCED_{'GRAYSCALE' if channels == 1 else 'COLOR'}_{by}", path, box, by, size_px)


def pyvips_resized(path: Path, box: Box, by: int, size_px: int) -> np.ndarray:
    """Read from top to bottom, so that nothing below the box is decoded."""
    os.environ["VIPS_CONCURRENCY"] = "1"
    import pyvips

    pyvips.cache_set_max(0)  # else it would keep the opened picture, which no loader can do for a data set
    x, y, width, height = (value // by for value in box)
    shrink = {"shrink": by} if by > 1 else {}
    picture = pyvips.Image.new_from_file(str(path), access="sequential", **shrink)
    return picture.crop(x, y, width, height).resize(size_px / width, vscale=size_px / height, kernel="linear").numpy()


def pyvips_sequential(path: Path, channels: int, box: Box, size_px: int) -> np.ndarray:
    return pyvips_resized(path, box, 1, size_px)


def pyvips_shrunk(path: Path, channels: int, box: Box, size_px: int) -> np.ndarray:
    return pyvips_resized(path, box, reduction(box, size_px), size_px)


# Name -> (function, the formats for which it is another way than the one before).
PEERS: dict[str, tuple[Peer, tuple[str, ...]]] = {
    "Pillow": (pillow, ("jpg", "png", "bmp")),
    "Pillow, reduced": (pillow_reduced, ("jpg", "bmp")),
    "OpenCV": (opencv, ("jpg", "png", "bmp")),
    "OpenCV, reduced": (opencv_reduced, ("jpg",)),
    "pyvips": (pyvips_sequential, ("jpg", "png", "bmp")),
    "pyvips, shrink on load": (pyvips_shrunk, ("jpg",)),
}

# Those that decode every pixel of the crop, as our "exact" does.
FULL_SIZE_PEERS = ("Pillow", "OpenCV", "pyvips")
