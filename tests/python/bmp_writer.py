"""Writes the BMP kinds that Pillow only reads: 4 bits, 32 bits without alpha, rows stored from the top.

File format: Microsoft's "Bitmap Storage", BITMAPFILEHEADER and BITMAPINFOHEADER, no compression (BI_RGB).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILE_HEADER_BYTES = 14
INFO_HEADER_BYTES = 40
PIXELS_PER_METRE_AT_72_DPI = 2835


def write_bmp(path: Path, picture: Image.Image, *, bits: int, top_down: bool = False) -> None:
    """Write `picture` with 1, 4 or 8 (mode P, at most 2**bits colours used) or 24 or 32 bits (mode RGB) per pixel."""
    palette = b""
    if bits <= 8:
        if picture.mode != "P" or np.asarray(picture).max() >= 1 << bits:
            raise ValueError(f"{path}: a {bits}-bit BMP needs a palette picture of at most {1 << bits} colours")
        colours = np.array(picture.getpalette("RGB"), np.uint8)
        palette = _palette_entries(colours.reshape(-1, 3)[: 1 << bits])
    elif picture.mode != "RGB":
        raise ValueError(f"{path}: a {bits}-bit BMP is made from an RGB picture, not {picture.mode}")

    rows = _packed_rows(np.asarray(picture), bits)
    padding_bytes = -rows.shape[1] % 4
    rows = np.pad(rows, ((0, 0), (0, padding_bytes)))
    pixels = (rows if top_down else rows[::-1]).tobytes()

    pixel_offset = FILE_HEADER_BYTES + INFO_HEADER_BYTES + len(palette)
    file_header = struct.pack("<2sIHHI", b"BM", pixel_offset + len(pixels), 0, 0, pixel_offset)
    info_header = struct.pack(
        "<IiiHHIIiiII",
        INFO_HEADER_BYTES,
        picture.width,
        -picture.height if top_down else picture.height,
        1,  # planes
        bits,
        0,  # BI_RGB
        len(pixels),
        PIXELS_PER_METRE_AT_72_DPI,
        PIXELS_PER_METRE_AT_72_DPI,
        len(palette) // 4,
        0,  # all colours are important
    )
    path.write_bytes(file_header + info_header + palette + pixels)


def _palette_entries(colours: NDArray[np.uint8]) -> bytes:
    entries = np.zeros((len(colours), 4), np.uint8)
    entries[:, :3] = colours[:, ::-1]  # blue, green, red, reserved
    return entries.tobytes()


def _packed_rows(pixels: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pixels (H, W) or (H, W, 3) -> bytes (H, row bytes), before padding."""
    height = len(pixels)
    if bits == 1:
        return np.packbits(pixels, axis=1)
    if bits == 4:
        pixels = np.pad(pixels, ((0, 0), (0, pixels.shape[1] % 2)))
        return (pixels[:, 0::2] << 4 | pixels[:, 1::2]).astype(np.uint8)
    if bits == 8:
        return pixels
    if bits == 24:
        return pixels[:, :, ::-1].reshape(height, -1)
    if bits == 32:
        return np.dstack((pixels[:, :, ::-1], np.zeros(pixels.shape[:2], np.uint8))).reshape(height, -1)
    raise ValueError(f"BMPs of {bits} bits per pixel are not written here")
