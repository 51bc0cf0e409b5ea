"""Writes the BMP kinds that Pillow only reads: 4, 16 and 32 bits, bit masks, runs, every header, rows stored from the top.

File format: Microsoft's "Bitmap Storage", BITMAPFILEHEADER, BITMAPINFOHEADER to BITMAPV5HEADER, "Bitmap Compression"; OS/2 1.x
BITMAPCOREHEADER (12 bytes) and 2.x (64 bytes).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILE_HEADER_BYTES = 14
INFO_HEADER_BYTES = 40
CORE_HEADER_BYTES = 12
PIXELS_PER_METRE_AT_72_DPI = 2835
BI_RGB, BI_RLE8, BI_RLE4, BI_BITFIELDS = range(4)
USUAL_MASKS = {16: (0x7C00, 0x3E0, 0x1F), 24: (0xFF0000, 0xFF00, 0xFF), 32: (0xFF0000, 0xFF00, 0xFF)}

Masks = tuple[int, ...]


def write_bmp(
    path: Path,
    picture: Image.Image,
    *,
    bits: int,
    top_down: bool = False,
    header_bytes: int = INFO_HEADER_BYTES,
    masks: Masks | None = None,
    runs: bool = False,
) -> None:
    """Write `picture` with 1, 4 or 8 (mode P, at most 2**bits colours used) or 16, 24 or 32 bits (mode RGB) per pixel.

    masks: red, green, blue and perhaps alpha, which gets the blue values; runs: run-length encoded (4 and 8 bits).
    """
    palette = b""
    if bits <= 8:
        if picture.mode != "P" or np.asarray(picture).max() >= 1 << bits:
            raise ValueError(f"{path}: a {bits}-bit BMP needs a palette picture of at most {1 << bits} colours")
        colours = np.array(picture.getpalette("RGB"), np.uint8)
        palette = _palette_entries(colours.reshape(-1, 3)[: 1 << bits], 3 if header_bytes == CORE_HEADER_BYTES else 4)
        if header_bytes == CORE_HEADER_BYTES:
            palette = palette.ljust(3 << bits, b"\0")
    elif picture.mode != "RGB":
        raise ValueError(f"{path}: a {bits}-bit BMP is made from an RGB picture, not {picture.mode}")

    stored = np.asarray(picture) if top_down else np.asarray(picture)[::-1]
    if runs:
        compression = {4: BI_RLE4, 8: BI_RLE8}[bits]
        pixels = b"".join(_runs(row.tolist(), bits) + b"\0\0" for row in stored) + b"\0\1"
    else:
        compression = BI_RGB if masks is None else BI_BITFIELDS
        rows = _packed_rows(stored, bits, masks or USUAL_MASKS.get(bits, ()))
        pixels = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()

    if header_bytes == CORE_HEADER_BYTES:
        header = struct.pack("<IHHHH", header_bytes, picture.width, picture.height, 1, bits)
    else:
        header = struct.pack(
            "<IiiHHIIiiII",
            header_bytes,
            picture.width,
            -picture.height if top_down else picture.height,
            1,  # planes
            bits,
            compression,
            len(pixels),
            PIXELS_PER_METRE_AT_72_DPI,
            PIXELS_PER_METRE_AT_72_DPI,
            len(palette) // 4,
            0,  # all colours are important
        )
        if masks is not None:  # a short header's masks follow it
            header += struct.pack("<4I", *masks, *[0] * (4 - len(masks)))[: max(12, header_bytes - INFO_HEADER_BYTES)]
        header = header.ljust(header_bytes, b"\0")
    pixel_offset = FILE_HEADER_BYTES + len(header) + len(palette)
    file_header = struct.pack("<2sIHHI", b"BM", pixel_offset + len(pixels), 0, 0, pixel_offset)
    path.write_bytes(file_header + header + palette + pixels)


def _palette_entries(colours: NDArray[np.uint8], entry_bytes: int) -> bytes:
    entries = np.zeros((len(colours), entry_bytes), np.uint8)
    entries[:, :3] = colours[:, ::-1]  # blue, green, red, reserved
    return entries.tobytes()


def _packed_rows(pixels: NDArray[np.uint8], bits: int, masks: Masks) -> NDArray[np.uint8]:
    """Pixels (H, W) or (H, W, 3) -> bytes (H, row bytes), before padding."""
    if bits == 1:
        return np.packbits(pixels, axis=1)
    if bits == 4:
        pixels = np.pad(pixels, ((0, 0), (0, pixels.shape[1] % 2)))
        return (pixels[:, 0::2] << 4 | pixels[:, 1::2]).astype(np.uint8)
    if bits == 8:
        return pixels
    packed = np.zeros(pixels.shape[:2], np.uint32)
    for mask, channel in zip(masks, (0, 1, 2, 2)):
        lowest = mask & -mask
        packed |= (pixels[..., channel].astype(np.uint32) >> (8 - (mask // lowest).bit_length())) * lowest if mask else 0
    return packed[..., np.newaxis].view(np.uint8)[..., : bits // 8].reshape(len(pixels), -1)


def _runs(row: list[int], bits: int) -> bytes:
    """Equal pixels as a run, all others as they are, three or more at a time."""
    codes = bytearray()
    while row:
        count = 1
        while count < min(len(row), 255) and row[count] == row[0]:
            count += 1
        if count >= 3 or len(row) < 3:
            codes += bytes((count, row[0] << 4 | row[0] if bits == 4 else row[0]))
        else:
            count = 3
            while count < min(len(row), 255) and len(set(row[count : count + 3])) > 1:
                count += 1
            plain = bytes(row[:count])
            if bits == 4:
                plain = bytes(high << 4 | low for high, low in zip(plain[0::2], plain[1::2] + b"\0"))
            codes += bytes((0, count)) + plain + b"\0" * (len(plain) % 2)
        row = row[count:]
    return bytes(codes)
