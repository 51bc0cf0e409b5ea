"""Real images in every file kind that the loader reads, made from the sample photographs into a folder of the caller.

The classes are the formats: jpeg/, png/ and bmp/ below the folder, so that it can be read as any other folder of classes.
Names tell what a file is: `444_progressive_97x61.jpg`.  The same photographs and the same Pillow give the same files.

    python tests/python/variants.py FOLDER        # to look at them
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from bmp_writer import write_bmp

PHOTOS = Path(__file__).resolve().parent.parent / "data" / "photos"

# Whole MCUs and not, one row or column more or less than one, narrower or lower than one, and a single pixel.
JPEG_SIZES = ((160, 112), (97, 61), (129, 81), (15, 33), (47, 7), (1, 1))
# Not a multiple of 2, 4 or 8 pixels; the padding of BMP rows is 0 to 3 bytes.
SIZES = ((96, 64), (97, 61), (98, 43), (99, 37), (5, 90))

# Those that Pillow reads: red, green, blue and, in headers that have room for it, alpha.
BMP_MASKS = (
    (0x7C00, 0x3E0, 0x1F),
    (0xF800, 0x7E0, 0x1F),
    (0xFF0000, 0xFF00, 0xFF),
    (0xFF000000, 0xFF0000, 0xFF00),
    (0xFF000000, 0xFF00, 0xFF),
    (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
)

EXIF_ORIENTATION_TAG = 0x0112
Put = Callable[[str], Path]


def write_variants(folder: Path) -> list[Path]:
    """Write all variants below `folder` and return their paths, sorted as the loader sorts them."""
    photos = _photos()

    def put(name: str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(path)
        return path

    paths: list[Path] = []
    for write in (_write_jpegs, _write_pngs, _write_bmps):
        write(photos, put)
    assert len(set(paths)) == len(paths), "two variants have the same name"
    return sorted(paths)


def _photos() -> Iterator[Image.Image]:
    """The colour photographs in turn, for ever, so that every variant shows another one."""
    pictures = [Image.open(path) for path in sorted(PHOTOS.glob("*/*"))]
    yield from itertools.cycle([picture.convert("RGB") for picture in pictures if picture.mode != "L"])


def _cut(photos: Iterator[Image.Image], size: tuple[int, int]) -> Image.Image:
    """The middle of the next photograph, at its own scale."""
    picture = next(photos)
    left, top = (picture.width - size[0]) // 2, (picture.height - size[1]) // 2
    return picture.crop((left, top, left + size[0], top + size[1]))


def _tag(picture: Image.Image) -> str:
    return f"{picture.width}x{picture.height}"


def _write_jpegs(photos: Iterator[Image.Image], put: Put) -> None:
    def write(kind: str, picture: Image.Image, **options: Any) -> None:
        picture.save(put(f"jpeg/{kind}_{_tag(picture)}.jpg"), **options)

    for size in JPEG_SIZES:
        for sampling in ("4:4:4", "4:2:2", "4:2:0"):
            kind = sampling.replace(":", "")
            write(kind, _cut(photos, size), quality=90, subsampling=sampling)
            write(f"{kind}_progressive", _cut(photos, size), quality=85, subsampling=sampling, progressive=True)
        write("gray", _cut(photos, size).convert("L"), quality=90)
    write("gray_progressive", _cut(photos, (129, 81)).convert("L"), quality=90, progressive=True)

    size = (150, 107)
    write("444_quality100", _cut(photos, size), quality=100, subsampling="4:4:4")
    write("420_quality5", _cut(photos, size), quality=5, subsampling="4:2:0")
    write("420_optimized", _cut(photos, size), quality=75, subsampling="4:2:0", optimize=True)
    write("444_restart_each_mcu", _cut(photos, size), quality=90, subsampling="4:4:4", restart_marker_blocks=1)
    write("420_restart_each_7_mcus", _cut(photos, size), quality=90, subsampling="4:2:0", restart_marker_blocks=7)
    write("420_restart_each_row", _cut(photos, size), quality=90, subsampling="4:2:0", restart_marker_rows=1)
    write("420_progressive_restart", _cut(photos, size), quality=90, subsampling="4:2:0", progressive=True, restart_marker_rows=1)
    write("rgb_not_ycc", _cut(photos, size), quality=90, keep_rgb=True)
    write("420_long_comment", _cut(photos, size), quality=90, subsampling="4:2:0", comment=b"cropring " * 5000)
    for orientation in (3, 6):
        exif = Image.Exif()
        exif[EXIF_ORIENTATION_TAG] = orientation
        write(f"420_orientation{orientation}", _cut(photos, size), quality=90, subsampling="4:2:0", exif=exif)


def _write_pngs(photos: Iterator[Image.Image], put: Put) -> None:
    def write(kind: str, picture: Image.Image, **options: Any) -> None:
        picture.save(put(f"png/{kind}_{_tag(picture)}.png"), **options)

    for size in SIZES:
        write("gray", _cut(photos, size).convert("L"))
        write("gray_alpha", _with_alpha(_cut(photos, size).convert("L")))
        write("rgb", _cut(photos, size))
        write("rgba", _with_alpha(_cut(photos, size)))
        write("palette", _cut(photos, size).quantize(256))

    size = (150, 107)
    for bits in (1, 2, 4):
        write(f"palette_{bits}bit", _cut(photos, size).quantize(1 << bits), bits=bits)
    write("gray_1bit", _cut(photos, size).convert("1"))
    write("palette_transparent_entries", _cut(photos, size).quantize(64), transparency=bytes(range(0, 256, 4)))
    write("gray_transparent_value", _cut(photos, size).convert("L"), transparency=128)
    rgb = _cut(photos, size)
    write("rgb_transparent_value", rgb, transparency=rgb.getpixel((75, 53)))
    write("rgb_stored", _cut(photos, size), compress_level=0)
    write("rgb_fastest", _cut(photos, size), compress_level=1)
    write("rgb_smallest", _cut(photos, size), optimize=True)
    write("rgb_several_idat_chunks", _cut(photos, (250, 220)), compress_level=0)  # Pillow's chunks are at most 64 KiB


def _with_alpha(picture: Image.Image) -> Image.Image:
    """From transparent at the left to opaque at the right: colours must not be multiplied with it."""
    picture.putalpha(Image.linear_gradient("L").rotate(90).resize(picture.size))
    return picture


def _write_bmps(photos: Iterator[Image.Image], put: Put) -> None:
    for bits in (1, 4, 8, 24, 32):
        for size in SIZES:
            for direction in ("bottom_up", "top_down"):
                picture = _cut(photos, size)
                if bits <= 8:
                    picture = picture.quantize(1 << bits)
                path = put(f"bmp/{bits}bit_{direction}_{_tag(picture)}.bmp")
                write_bmp(path, picture, bits=bits, top_down=direction == "top_down")
    for size in SIZES:
        picture = _cut(photos, size)
        for direction in ("bottom_up", "top_down"):
            for bits in (4, 8):
                path = put(f"bmp/{bits}bit_runs_{direction}_{_tag(picture)}.bmp")
                write_bmp(path, picture.quantize(1 << bits, dither=Image.Dither.NONE), bits=bits, runs=True, top_down=direction == "top_down")
    for header_bytes, size in zip((12, 52, 56, 64, 108, 124), itertools.cycle(SIZES)):
        picture = _cut(photos, size)
        for bits in (1, 4, 8, 16, 24, 32):
            path = put(f"bmp/{bits}bit_header{header_bytes}_{_tag(picture)}.bmp")
            write_bmp(path, picture.quantize(1 << bits) if bits <= 8 else picture, bits=bits, header_bytes=header_bytes)
    for header_bytes in (40, 52, 56, 108, 124):
        for masks in BMP_MASKS:
            if len(masks) == 3 or header_bytes >= 56:
                picture = _cut(photos, (99, 61))
                bits = 16 if masks[0] | masks[1] | masks[2] < 1 << 16 else 24 if max(masks) < 1 << 24 and header_bytes == 52 else 32
                path = put(f"bmp/{bits}bit_masks_{'_'.join(f'{mask:x}' for mask in masks)}_header{header_bytes}.bmp")
                write_bmp(path, picture, bits=bits, header_bytes=header_bytes, masks=masks)
    gray = _cut(photos, (99, 61)).convert("L")
    gray.save(put(f"bmp/gray_{_tag(gray)}.bmp"))
    few = _cut(photos, (99, 61)).quantize(40)
    few.save(put(f"bmp/palette_of_40_{_tag(few)}.bmp"))


if __name__ == "__main__":
    print(len(write_variants(Path(sys.argv[1]))), "files")
