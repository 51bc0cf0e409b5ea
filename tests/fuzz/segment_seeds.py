"""Seeds of fuzz_segments.c: choices, a segment table's header and lengths, and the image that they are about."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

from PIL import Image

PHOTO = Path(__file__).resolve().parents[2] / "tests/data/photos/animals/cat.jpg"
JPEG, PNG = 1, 2
MCU_PX = {0: (8, 8), 1: (16, 8), 2: (16, 16)}  # by Pillow's subsampling


def seed(  # one image, in the order of fuzz_segments.c
    image: bytes,
    lengths: list[int],
    kind: int,
    unit: int,
    mcu_px: tuple[int, int],
    heads: tuple[int, int, int],
    size: tuple[int, int],
    channels: int,
    bits: int = 0,
    damage: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    data_at = len(image) - sum(lengths)
    if kind == PNG:
        data_at -= 12  # IEND
    choices = struct.pack("<10B2H", 100, 120, 30, 20, bits, channels, 8, *damage, size[0] - 1, size[1] - 1)
    header = b"segt" + struct.pack("<4B5I2H2I", 1, kind, 2, 0, *heads, data_at, unit, *mcu_px, len(lengths), 0)
    return choices + header + struct.pack(f"<B{len(lengths)}H", len(lengths) - 1, *lengths) + image


def jpeg(  # one of the photograph
    mode: str,
    size: tuple[int, int],
    subsampling: int,
    unit: int,
    comment: bytes = b"",
    bits: int = 0,
    damage: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    photo = Image.open(PHOTO).resize(size).convert(mode)
    out = io.BytesIO()
    photo.save(out, "JPEG", quality=50, subsampling=subsampling, restart_marker_blocks=unit, optimize=True, comment=comment)
    image = out.getvalue()
    scan = image.index(b"\xff\xda")
    data_at = scan + 2 + int.from_bytes(image[scan + 2 : scan + 4], "big")
    ends = [data_at + marker.end() for marker in re.finditer(rb"\xff[\xd0-\xd9]", image[data_at:])]
    lengths = [end - begin for begin, end in zip([data_at, *ends], ends)]
    heads = (data_at, data_at, 0)
    if comment:
        at = image.index(b"\xff\xfe")
        second = at + 4 + len(comment)
        heads = (at, second, data_at - second)
    channels = len(photo.getbands())
    mcu_px = MCU_PX[subsampling] if channels == 3 else (8, 8)
    return seed(image, lengths, JPEG, unit, mcu_px, heads, size, channels, bits, damage)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(mode: str, size: tuple[int, int], unit: int, bits: int = 0) -> bytes:
    photo = Image.open(PHOTO).resize(size).convert(mode)
    width, height = size
    channels = len(photo.getbands())
    stride = width * channels
    pixels = photo.tobytes()
    deflater = zlib.compressobj(6)
    image = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0))
    lengths = []
    for row in range(0, height, unit):
        rows = [pixels[y * stride : (y + 1) * stride] for y in range(row, min(height, row + unit))]
        filtered = b"\0" + rows[0]
        for above, here in zip(rows, rows[1:]):
            filtered += b"\2" + bytes((b - a) & 255 for a, b in zip(above, here))
        is_last = row + unit >= height
        data = deflater.compress(filtered) + deflater.flush(zlib.Z_FINISH if is_last else zlib.Z_FULL_FLUSH)
        image += chunk(b"IDAT", data)
        lengths.append(len(data) + 12)
    image += chunk(b"IEND", b"")
    return seed(image, lengths, PNG, unit, (0, 0), (33, 33, 0), size, channels, bits)


def all_seeds() -> dict[str, bytes]:
    return {
        "segments/jpeg_420_cut": jpeg("RGB", (160, 96), 2, 7),
        "segments/jpeg_420_copied": jpeg("RGB", (160, 96), 2, 5, bits=1),
        "segments/jpeg_422_reduced": jpeg("RGB", (120, 64), 1, 3, comment=b"between two heads", bits=2 | 3 << 2),
        "segments/jpeg_another_table": jpeg("RGB", (96, 96), 2, 2, damage=(192, 4, 1)),
        "segments/jpeg_that_goes_back": jpeg("L", (96, 64), 0, 1, damage=(64, 70, 3)),
        "segments/jpeg_444_rows": jpeg("RGB", (64, 120), 0, 16),
        "segments/jpeg_gray": jpeg("L", (120, 80), 0, 4),
        "segments/jpeg_cmyk": jpeg("CMYK", (72, 64), 0, 10),
        "segments/png_rgb": png("RGB", (40, 48), 8),
        "segments/png_gray": png("L", (60, 64), 16, bits=32),
    }
