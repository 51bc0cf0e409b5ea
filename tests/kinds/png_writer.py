"""Writes PNGs that Pillow does not: every colour type, bit depth and interlace, row filters and chunk layout as the caller says.

File format: W3C, "Portable Network Graphics (PNG) Specification (Third Edition)"; section numbers below are its.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
SAMPLES = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
DEPTHS = {GRAY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GRAY_ALPHA: (8, 16), RGBA: (8, 16)}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # x, y, step x, step y


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def header(width: int, height: int, depth: int, colour: int, *, interlaced: bool = False) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def write_png(
    samples: NDArray[np.uint16],
    depth: int,
    colour: int,
    *,
    interlaced: bool = False,
    filters: Iterable[int] = (0,),
    palette: bytes = b"",
    transparency: bytes = b"",
    idat_bytes: int = 1 << 30,
    level: int = 6,
    window_bits: int = 15,
    extra: bytes = b"",
) -> bytes:
    """`samples` (height, width, samples of a pixel); rows take the filters in turn; `extra`: whole chunks before PLTE."""
    height, width, _ = samples.shape
    filters = list(filters)
    rows = b""
    for x, y, step_x, step_y in ADAM7 if interlaced else ((0, 0, 1, 1),):
        rows += filtered(packed(samples[y::step_y, x::step_x], depth), max(1, depth * SAMPLES[colour] // 8), filters)
    deflate = zlib.compressobj(level, zlib.DEFLATED, window_bits)
    data = deflate.compress(rows) + deflate.flush()
    idats = [chunk(b"IDAT", data[at : at + idat_bytes]) for at in range(0, len(data), idat_bytes)]
    parts = [SIGNATURE, header(width, height, depth, colour, interlaced=interlaced), extra]
    parts += [chunk(b"PLTE", palette)] if palette else []
    parts += [chunk(b"tRNS", transparency)] if transparency else []
    return b"".join([*parts, *idats, chunk(b"IEND")])


def packed(samples: NDArray[np.uint16], depth: int) -> NDArray[np.uint8]:
    """(height, width, n) -> the bytes of each row (7.2): high bits first, each row from a byte of its own."""
    height = samples.shape[0]
    if samples.size == 0:
        return np.zeros((0, 0), np.uint8)
    if depth == 16:
        return samples.astype(">u2").reshape(height, -1).view(np.uint8)
    if depth == 8:
        return samples.astype(np.uint8).reshape(height, -1)
    bits = samples[..., np.newaxis] >> np.arange(depth - 1, -1, -1, dtype=np.uint16) & 1
    return np.packbits(bits.astype(np.uint8).reshape(height, -1), axis=1)


def filtered(rows: NDArray[np.uint8], pixel_bytes: int, filters: list[int]) -> bytes:
    """Each row with its filter type before it (9.2)."""
    out = []
    above = np.zeros(rows.shape[1], np.int16)
    for number, row in enumerate(rows.astype(np.int16)):
        kind = filters[number % len(filters)]
        left = np.concatenate((np.zeros(pixel_bytes, np.int16), row[:-pixel_bytes]))[: len(row)]
        corner = np.concatenate((np.zeros(pixel_bytes, np.int16), above[:-pixel_bytes]))[: len(row)]
        guess = (0, left, above, (left + above) // 2, paeth(left, above, corner))[kind]
        out.append(bytes([kind]) + (row - guess).astype(np.uint8).tobytes())
        above = row
    return b"".join(out)


def paeth(left: NDArray[np.int16], above: NDArray[np.int16], corner: NDArray[np.int16]) -> NDArray[np.int16]:
    """Whichever of the three is nearest to left + above - corner, in this order (9.4)."""
    by_left, by_above, by_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
    return np.where((by_left <= by_above) & (by_left <= by_corner), left, np.where(by_above <= by_corner, above, corner))
