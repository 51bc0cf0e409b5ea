"""BMPs of the kinds that bmp_writer.py has no use for: run lengths, bit fields, 16 bits, OS/2 headers.

File format: Microsoft, "Bitmap Storage", "Bitmap Compression" (RLE4, RLE8) and BITMAPINFOHEADER; OS/2 1.x BITMAPCOREHEADER.
"""

from __future__ import annotations

import random
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGB, RLE8, RLE4, BITFIELDS = 0, 1, 2, 3
MASKS_555, MASKS_565 = (0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)
MASKS_BGRX, MASKS_XBGR, MASKS_RGBA = (0xFF0000, 0xFF00, 0xFF), (0xFF000000, 0xFF0000, 0xFF00), (0xFF, 0xFF00, 0xFF0000, 0xFF000000)


def assemble(
    width: int,
    height: int,
    bits: int,
    pixels: bytes,
    *,
    compression: int = RGB,
    palette: bytes = b"",
    masks: tuple[int, ...] = (),
    header_bytes: int = 40,
    pixels_at: int | None = None,
    colours: int | None = None,
) -> bytes:
    """The file of these parts; a negative height is stored from the top.  What is given for it is believed, true or not."""
    if header_bytes == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header_bytes, width, height, 1, bits, compression, len(pixels) & 0xFFFFFFFF, 2835, 2835, 0, 0)
        if colours is not None:
            info = info[:32] + struct.pack("<I", colours) + info[36:]
        fields = b"".join(struct.pack("<I", mask) for mask in masks)
        info += fields if header_bytes == 40 else fields.ljust(header_bytes - 40, b"\0")
    begin = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", (begin + len(pixels)) & 0xFFFFFFFF, 0, 0, begin if pixels_at is None else pixels_at) + info + palette + pixels


def palette_of(picture: Image.Image, *, entry_bytes: int = 4, entries: int = 256) -> bytes:
    colours = np.zeros((entries, entry_bytes), np.uint8)
    given = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)[:entries]
    colours[: len(given), :3] = given[:, ::-1]  # blue, green, red
    return colours.tobytes()


def padded(rows: NDArray[np.uint8]) -> bytes:
    """Rows of bytes (height, n) from the bottom, each to a multiple of four bytes."""
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))[::-1].tobytes()


def fields_of(picture: Image.Image, bits: int, masks: tuple[int, ...]) -> bytes:
    """Pixels whose channels are shifted to where the first three masks are, the low bits of a channel cut off."""
    values = np.zeros((picture.height, picture.width), np.uint32)
    for channel, mask in zip(np.moveaxis(np.asarray(picture), 2, 0), masks[:3], strict=True):
        shift = (mask & -mask).bit_length() - 1
        values |= (channel.astype(np.uint32) >> (8 - (mask >> shift).bit_length())) << shift
    stored = values.astype(f"<u{bits // 8}").reshape(picture.height, -1).view(np.uint8)
    return padded(stored)


def run_lengths(indexes: NDArray[np.uint8], bits: int, rng: random.Random) -> bytes:
    """RLE8 or RLE4 with what both allow, at random: runs, literal pixels, ends of lines."""
    out = bytearray()
    for row in indexes[::-1].tolist():
        x = 0
        while x < len(row):
            run = 1
            while x + run < len(row) and run < 255 and row[x + run] == row[x]:
                run += 1
            if bits == 4 and rng.random() < 0.3:  # two colours in turn
                run = rng.randint(1, min(255, len(row) - x))
                second = row[x + 1] if run > 1 else 0
                run = next((i for i in range(run) if row[x + i] != (row[x], second)[i % 2]), run)
                out += bytes([run, row[x] << 4 | second])
            elif run > 2 or len(row) - x < 3:
                out += bytes([run, row[x] if bits == 8 else row[x] * 17])
            else:
                run = rng.randint(3, min(255, len(row) - x))
                literal = row[x : x + run]
                if bits == 4:
                    literal = [high << 4 | low for high, low in zip(literal[::2], [*literal[1::2], 0])]
                out += bytes([0, run, *literal]) + bytes(len(literal) % 2)
            x += run
        out += b"\0\0"
    out[-2:] = b"\0\1"  # the end of the picture
    return bytes(out)
