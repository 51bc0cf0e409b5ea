#!/usr/bin/env python3
"""Looks closer wherever a picture surprises: a model that asks for its own crops, and a Cropper that makes them.

    python examples/crops_on_request.py [FOLDER] [-o looks.png]

The model is the plainest one that can be wrong: it expects a quarter of what it sees to look, from nearer, like the same pixels
enlarged.  It asks for the four quarters of its window in every picture at once, sees how wrong it was about each, and goes on into the
worst.  Only the first look decodes whole pictures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cropring
import numpy as np
from numpy.typing import NDArray
from PIL import Image

VIEW_PX = 96
LOOKS = 4
QUARTERS = np.array([(0, 0), (1, 0), (0, 1), (1, 1)], np.float32)  # x, y: left before right, top before bottom

Windows = NDArray[np.float32]  # (N, 3): x, y and scale, in shares of the picture


def quarters(windows: Windows) -> Windows:
    """(N, 4, 3): the four quarters of each window."""
    half = windows[:, None, 2:] / 2
    return np.concatenate([windows[:, None, :2] + QUARTERS * half, np.broadcast_to(half, (len(windows), 4, 1))], axis=2)


def expectation(views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 4, VIEW_PX, VIEW_PX, 3): the quarters of what was seen, enlarged."""
    large = views.repeat(2, axis=1).repeat(2, axis=2)
    return np.stack([large[:, y * VIEW_PX :, x * VIEW_PX :][:, :VIEW_PX, :VIEW_PX] for x, y in QUARTERS.astype(int)], axis=1)


def look(paths: list[str], crop: cropring.Cropper) -> NDArray[np.uint8]:
    """(LOOKS, N, VIEW_PX, VIEW_PX, 3): what the model saw of each picture, from farther to nearer."""
    everywhere = np.arange(len(paths))
    windows = np.tile(np.array([0, 0, 1], np.float32), (len(paths), 1))
    views = [crop(paths, *windows.T).images]
    for step in range(1, LOOKS):
        begin = time.perf_counter()
        wanted = quarters(windows)
        seen = crop(np.repeat(paths, 4).tolist(), *wanted.reshape(-1, 3).T).images.reshape(len(paths), 4, VIEW_PX, VIEW_PX, 3)
        elapsed_ms = (time.perf_counter() - begin) * 1000

        surprise = np.abs(seen.astype(np.int16) - expectation(views[-1])).mean(axis=(2, 3, 4))  # (N, 4)
        worst = surprise.argmax(axis=1)
        windows = wanted[everywhere, worst]
        views.append(seen[everywhere, worst])
        print(f"look {step}: {4 * len(paths)} crops of 1/{2**step} of each side in {elapsed_ms:.0f} ms, surprise {surprise.max(axis=1).mean():.1f} of 255")
    return np.stack(views)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "tests/data/photos")
    parser.add_argument("-o", "--output", default="looks.png", help="contact sheet: a picture in each row, looks from left to right [%(default)s]")
    arguments = parser.parse_args()

    paths = sorted(str(path) for path in arguments.folder.glob("**/*") if path.suffix in (".jpg", ".png", ".bmp"))
    with cropring.Cropper(VIEW_PX, batch_size=4 * len(paths)) as crop:
        views = look(paths, crop)
    sheet = views.transpose(1, 2, 0, 3, 4).reshape(len(paths) * VIEW_PX, LOOKS * VIEW_PX, 3)
    Image.fromarray(sheet).save(arguments.output)
    print(f"{arguments.output}: {len(paths)} pictures, {LOOKS} looks at each")


if __name__ == "__main__":
    main()
