"""RandomResizedCrop by libraries that only decode and resize, for bench/peers.py: a plain loop in one process, with no loader's costs.

Imports stand inside: a library that is not there says so when it is asked for.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from plan import Plan
from work import Work

Make = Callable[[str, Sequence[int], bool, int], np.ndarray]  # path, box, mirrored, side of the output -> (side, side, 3)


def jobs(plan: Plan) -> list[tuple[str, list[int], bool]]:
    """Path, box, mirrored: all of the plan."""
    paths = plan.paths[plan.index.ravel()].tolist()
    return list(zip(paths, plan.box.reshape(-1, 4).tolist(), plan.flipped.ravel().astype(bool).tolist()))


def pillow(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    """What the others are compared with."""
    from PIL import Image

    with open(path, "rb") as file:
        picture = Image.open(file).convert("RGB")
    x, y, width, height = box
    picture = picture.crop((x, y, x + width, y + height)).resize((size, size), Image.Resampling.BILINEAR)
    if flipped:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(picture)


def in_a_loop(make: Make, work: Work) -> Iterator[np.ndarray]:
    endless = itertools.cycle(jobs(work.plan()))
    while True:
        batch = np.empty((work.batch_size, work.size, work.size, 3), np.uint8)
        for row, (path, box, flipped) in zip(batch, endless):
            row[:] = make(path, box, flipped, work.size)
        yield batch


# ---------------------------------------------------------------- OpenCV, and decoders that take its resize


def opencv_finish(picture: np.ndarray, box: Sequence[int], flipped: bool, size: int, interpolation: str = "INTER_LINEAR") -> np.ndarray:
    import cv2

    cv2.setNumThreads(1)
    x, y, width, height = box
    picture = cv2.resize(picture[y : y + height, x : x + width], (size, size), interpolation=getattr(cv2, interpolation))
    return cv2.flip(picture, 1) if flipped else picture


def opencv(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    import cv2

    return opencv_finish(cv2.imread(path, cv2.IMREAD_COLOR_RGB), box, flipped, size)


def opencv_area(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    """INTER_AREA, which OpenCV recommends for shrinking; INTER_LINEAR takes two pixels of however many there are."""
    import cv2

    shrinks = min(box[2:]) > size
    picture = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
    return opencv_finish(picture, box, flipped, size, "INTER_AREA" if shrinks else "INTER_LINEAR")


def simplejpeg(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    import simplejpeg

    with open(path, "rb") as file:
        return opencv_finish(simplejpeg.decode_jpeg(file.read()), box, flipped, size)


@cache
def turbojpeg_codec() -> Any:
    from turbojpeg import TurboJPEG

    return TurboJPEG()


def pyturbojpeg(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    """Its crop() makes another JPEG, so it is no help here."""
    from turbojpeg import TJPF_RGB

    with open(path, "rb") as file:
        return opencv_finish(turbojpeg_codec().decode(file.read(), pixel_format=TJPF_RGB), box, flipped, size)


# ---------------------------------------------------------------- libvips


def pyvips(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    """Read from top to bottom, so that nothing below the box is decoded."""
    os.environ["VIPS_CONCURRENCY"] = "1"
    import pyvips

    picture = pyvips.Image.new_from_file(path, access="sequential").crop(*box)
    if picture.bands == 1:
        picture = picture.colourspace("srgb")
    picture = picture.resize(size / box[2], vscale=size / box[3], kernel="linear")
    return (picture.fliphor() if flipped else picture).numpy()
