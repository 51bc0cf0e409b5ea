"""Files of every kind that the loader reads, made from photographs: what the exactness sweep, the hostile corpus and the fuzzers' seeds share.

A kind is a name and a function: an RGB photograph of any size and a random source in, a file's bytes out.
"""

from __future__ import annotations

import functools
import io
import os
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bmp_kinds
import png_writer

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[[Image.Image, random.Random], bytes]

UNFINISHED = "JPEG 444, the first 60 of 2,090 scans"
SAMPLINGS = {
    "444": "1x1,1x1,1x1",
    "422": "2x1,1x1,1x1",
    "420": "2x2,1x1,1x1",
    "440": "1x2,1x1,1x1",
    "411": "4x1,1x1,1x1",
    "441": "1x4,1x1,1x1",
    "410": "4x2,1x1,1x1",
    "chroma finer than luma": "1x1,2x1,1x1",
    "chroma of two sizes": "2x2,2x1,1x2",
    "3x1": "3x1,1x1,1x1",
}


@functools.cache
def encoder() -> Path:
    """The program of encode_jpeg.c, built when it is older than its source."""
    source, program = Path(__file__).with_name("encode_jpeg.c"), ROOT / "build/kinds/encode_jpeg"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        mine = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-std=gnu11", "-O2", "-o", mine, source, "-ljpeg"], check=True)
        mine.rename(program)
    return program


def encode_jpeg(picture: Image.Image, stored: str, **options: Any) -> bytes:
    """See encode_jpeg.c; the picture's mode is L, RGB or CMYK (LA for two components), as `stored` needs it."""
    words = [f"{name}={value}" for name, value in options.items()]
    command = [encoder(), str(picture.width), str(picture.height), stored, *words]
    return subprocess.run(command, input=picture.tobytes(), capture_output=True, check=True).stdout


def cmyk_of(picture: Image.Image, rng: random.Random) -> Image.Image:
    """With black of its own; Pillow's conversion leaves it out."""
    inks = np.asarray(picture.convert("CMYK")).copy()
    inks[..., 3] = np.asarray(picture.convert("L").rotate(180)) // rng.randint(1, 4)
    return Image.fromarray(inks, "CMYK")


def jpeg(stored: str = "ycc", *, sampling: str = "", restart: str = "", **fixed: Any) -> Make:
    def make(picture: Image.Image, rng: random.Random) -> bytes:
        options = {"quality": rng.choice((5, 40, 75, 90, 95, 100))} | fixed
        if "scans" in fixed and picture.width < 17:
            picture = picture.resize((17, picture.height))  # unfinished ones of two blocks: libjpeg-turbo 2.1 and 3 smooth them differently
        if "arithmetic" in fixed:
            options["quality"] = min(75, options["quality"])  # Pillow hands over 64 KB at first, and libjpeg cannot wait for more here
        if sampling:
            options["sampling"] = sampling
        if restart == "row":
            options["restart_rows"] = rng.choice((1, 1, 1, 2, 3))
        elif restart == "mcus":
            options["restart"] = rng.choice((1, 2, 3, 5, 7, 10, 16, 33))
        if stored == "gray":
            picture = picture.convert("L")
        elif stored in ("cmyk", "ycck"):
            picture = cmyk_of(picture, rng)
        encoded = encode_jpeg(picture, stored, **options)
        return encoded[:2] + segment(0xE1, exif(rng.randint(0, 9))) + encoded[2:] if rng.random() < 0.3 else encoded

    return make


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def exif(orientation: int) -> bytes:
    """A block with nothing but the tag 0x0112; 0 and 9 are no orientations."""
    return b"Exif\0\0" + struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def jpeg_kinds() -> dict[str, Make]:
    kinds: dict[str, Make] = {}
    for name, sampling in SAMPLINGS.items():
        kinds[f"JPEG {name}"] = jpeg(sampling=sampling)
    for name in ("444", "422", "420", "440", "411"):
        sampling = SAMPLINGS[name]
        kinds[f"JPEG {name} progressive"] = jpeg(sampling=sampling, progressive=1)
        kinds[f"JPEG {name}, restarts at rows"] = jpeg(sampling=sampling, restart="row")
        kinds[f"JPEG {name}, restarts anywhere"] = jpeg(sampling=sampling, restart="mcus")
    for name in ("444", "420"):
        sampling = SAMPLINGS[name]
        kinds[f"JPEG {name} arithmetic"] = jpeg(sampling=sampling, arithmetic=1)
        kinds[f"JPEG {name} arithmetic progressive"] = jpeg(sampling=sampling, arithmetic=1, progressive=1)
        kinds[f"JPEG {name} arithmetic, restarts"] = jpeg(sampling=sampling, arithmetic=1, restart="row")
        kinds[f"JPEG {name} progressive, restarts"] = jpeg(sampling=sampling, progressive=1, restart="row")
        kinds[f"JPEG {name}, a scan for each component"] = jpeg(sampling=sampling, separate=1)
        kinds[f"JPEG {name} with tables of its own"] = jpeg(sampling=sampling, optimize=1)
    kinds[UNFINISHED] = jpeg(sampling=SAMPLINGS["444"], scans=60)
    kinds["JPEG of RGB"] = jpeg("rgb")
    kinds["JPEG gray"] = jpeg("gray")
    kinds["JPEG gray said to be 2x2"] = jpeg("gray", sampling="2x2")
    kinds["JPEG gray progressive"] = jpeg("gray", progressive=1)
    kinds["JPEG gray arithmetic"] = jpeg("gray", arithmetic=1)
    kinds["JPEG gray, restarts at rows"] = jpeg("gray", restart="row")
    kinds["JPEG gray, restarts anywhere"] = jpeg("gray", restart="mcus")
    for stored in ("cmyk", "ycck"):
        kinds[f"JPEG {stored.upper()}"] = jpeg(stored)
        kinds[f"JPEG {stored.upper()} progressive"] = jpeg(stored, progressive=1)
    kinds["JPEG YCCK 420"] = jpeg("ycck", sampling="2x2,1x1,1x1,2x2")
    kinds["JPEG CMYK, restarts at rows"] = jpeg("cmyk", restart="row")
    return kinds


def indexes_of(picture: Image.Image, colours: int) -> Image.Image:
    return picture.quantize(colours, dither=Image.Dither.NONE)


def png(colour: int, depth: int, *, interlaced: bool = False, transparent: bool = False, **fixed: Any) -> Make:
    def make(picture: Image.Image, rng: random.Random) -> bytes:
        options: dict[str, Any] = {
            "filters": rng.choice(([0], [1], [2], [3], [4], [rng.randint(0, 4) for _ in range(61)])),
            "idat_bytes": rng.choice((1 << 30, 1 << 13, rng.randint(100, 5000))),
            "level": rng.choice((0, 1, 6, 9)),
            "window_bits": rng.randint(9, 15),
            "extra": png_writer.chunk(b"eXIf", exif(rng.randint(0, 9))[6:]) if rng.random() < 0.3 else b"",
        }
        top = (1 << depth) - 1
        if colour == png_writer.PALETTE:
            reduced = indexes_of(picture, 1 << depth)
            samples = np.asarray(reduced)[..., np.newaxis]
            entries = int(samples.max()) + 1
            options["palette"] = bytes(reduced.getpalette("RGB")[: 3 * entries])
            if transparent:
                options["transparency"] = bytes(rng.randrange(256) for _ in range(rng.randint(1, entries)))
        else:
            wide = np.asarray(picture.convert("L" if png_writer.SAMPLES[colour] < 3 else "RGB"), np.uint32)
            wide = wide.reshape(picture.height, picture.width, -1)
            if png_writer.SAMPLES[colour] in (2, 4):  # alpha, with values of its own
                wide = np.concatenate((wide, wide[::-1, :, :1]), axis=2)
            low = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, wide.shape, np.uint32)
            samples = wide << 8 | low if depth == 16 else wide * top // 255
            if transparent:
                options["transparency"] = samples[0, 0].astype(">u2").tobytes()
        return png_writer.write_png(samples.astype(np.uint16), depth, colour, interlaced=interlaced, **(options | fixed))

    return make


def png_by_pillow(picture: Image.Image, rng: random.Random) -> bytes:
    """As most files are: Pillow's own choice of filters."""
    file = io.BytesIO()
    picture.convert(rng.choice(("L", "LA", "RGB", "RGBA"))).save(file, "PNG", compress_level=rng.choice((1, 6, 9)))
    return file.getvalue()


def png_kinds() -> dict[str, Make]:
    names = {
        png_writer.GRAY: "gray",
        png_writer.RGB: "RGB",
        png_writer.PALETTE: "palette",
        png_writer.GRAY_ALPHA: "gray and alpha",
        png_writer.RGBA: "RGBA",
    }
    kinds: dict[str, Make] = {"PNG by Pillow": png_by_pillow}
    for colour, name in names.items():
        for depth in png_writer.DEPTHS[colour]:
            for interlaced in (False, True):
                ending = ", interlaced" if interlaced else ""
                kinds[f"PNG {name} {depth} bit{ending}"] = png(colour, depth, interlaced=interlaced)
                if colour in (png_writer.GRAY, png_writer.RGB, png_writer.PALETTE):
                    kinds[f"PNG {name} {depth} bit, transparent{ending}"] = png(colour, depth, interlaced=interlaced, transparent=True)
    return kinds


def bmp_indexed(bits: int, *, run_length: bool = False, header_bytes: int = 40, top_down: bool = False, colours: int = 0) -> Make:
    def make(picture: Image.Image, rng: random.Random) -> bytes:
        entries = colours or 1 << bits
        reduced = indexes_of(picture, entries)
        indexes = np.asarray(reduced)
        palette = bmp_kinds.palette_of(reduced, entry_bytes=3 if header_bytes == 12 else 4, entries=entries)
        if run_length:
            pixels = bmp_kinds.run_lengths(indexes, bits, rng)
        else:
            pixels = bmp_kinds.padded(png_writer.packed((indexes[::-1] if top_down else indexes)[..., np.newaxis].astype(np.uint16), bits))
        return bmp_kinds.assemble(
            picture.width,
            -picture.height if top_down else picture.height,
            bits,
            pixels,
            compression={4: bmp_kinds.RLE4, 8: bmp_kinds.RLE8}[bits] if run_length else bmp_kinds.RGB,
            palette=palette,
            header_bytes=header_bytes,
            colours=colours or None,
        )

    return make


def bmp_fields(bits: int, masks: tuple[int, ...], *, said: bool, header_bytes: int = 40, top_down: bool = False) -> Make:
    def make(picture: Image.Image, rng: random.Random) -> bytes:
        upright = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if top_down else picture
        if bits == 24:
            pixels = bmp_kinds.padded(np.asarray(upright)[..., ::-1].reshape(picture.height, -1))
        else:
            pixels = bmp_kinds.fields_of(upright, bits, masks)
        return bmp_kinds.assemble(
            picture.width,
            -picture.height if top_down else picture.height,
            bits,
            pixels,
            compression=bmp_kinds.BITFIELDS if said else bmp_kinds.RGB,
            masks=masks if said else (),
            header_bytes=header_bytes,
        )

    return make


def bmp_gray(picture: Image.Image, rng: random.Random) -> bytes:
    file = io.BytesIO()
    picture.convert("L").save(file, "BMP")
    return file.getvalue()


def bmp_kinds_() -> dict[str, Make]:
    kinds: dict[str, Make] = {"BMP gray": bmp_gray, "BMP of 40 colours": bmp_indexed(8, colours=40)}
    for bits in (1, 4, 8):
        kinds[f"BMP {bits} bit"] = bmp_indexed(bits)
        kinds[f"BMP {bits} bit from the top"] = bmp_indexed(bits, top_down=True)
        kinds[f"BMP {bits} bit, OS/2"] = bmp_indexed(bits, header_bytes=12)
    for bits in (4, 8):
        kinds[f"BMP {bits} bit RLE"] = bmp_indexed(bits, run_length=True)
    fields = bmp_kinds.MASKS_BGRX
    for top_down in (False, True):
        ending = " from the top" if top_down else ""
        kinds[f"BMP 16 bit{ending}"] = bmp_fields(16, bmp_kinds.MASKS_555, said=False, top_down=top_down)
        kinds[f"BMP 24 bit{ending}"] = bmp_fields(24, fields, said=False, top_down=top_down)
        kinds[f"BMP 32 bit{ending}"] = bmp_fields(32, fields, said=False, top_down=top_down)
    kinds["BMP 24 bit, OS/2"] = bmp_fields(24, fields, said=False, header_bytes=12)
    kinds["BMP 16 bit, 5-5-5 fields"] = bmp_fields(16, bmp_kinds.MASKS_555, said=True)
    kinds["BMP 16 bit, 5-6-5 fields"] = bmp_fields(16, bmp_kinds.MASKS_565, said=True)
    kinds["BMP 32 bit, BGRX fields"] = bmp_fields(32, fields, said=True)
    kinds["BMP 32 bit, XBGR fields"] = bmp_fields(32, bmp_kinds.MASKS_XBGR, said=True)
    kinds["BMP 32 bit, RGBA fields, V4 header"] = bmp_fields(32, bmp_kinds.MASKS_RGBA, said=True, header_bytes=108)
    kinds["BMP 16 bit, 5-6-5 fields, V5 header"] = bmp_fields(16, bmp_kinds.MASKS_565, said=True, header_bytes=124)
    kinds["BMP 24 bit, V5 header"] = bmp_fields(24, fields, said=False, header_bytes=124)
    return kinds


def all_kinds() -> dict[str, Make]:
    return jpeg_kinds() | png_kinds() | bmp_kinds_()
