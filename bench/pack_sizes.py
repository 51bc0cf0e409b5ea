#!/usr/bin/env python3
"""What a JPEG's segments cost in bytes and save in CPU time, by how long they are.

The figures behind loader/pack/image/jpeg_interval.c. Pictures are parts of photographs, and mosaics of such from 1920 pixels on.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

import common
from make_set import DEFAULT_FOLDER, SOURCES, cut, open_source

SIZES = ((256, 256), (320, 240), (500, 375), (488, 375), (640, 480), (1024, 768), (1920, 1080), (2008, 1600), (4000, 4000))
UNDIVIDED = ((488, 375), (2008, 1600))  # 61 and 251 MCUs of 8 pixels: primes
SAMPLINGS = {"4:2:0": (90, 2), "4:4:4": (95, 0), "gray": (90, None)}  # Pillow's quality and subsampling
SEGMENTS = ("none", "5m", "8m", "10m", "16m", "20m", "32m", "row", "auto")
AS_ASKED = {"row": "1000000", "auto": "0"}  # pack_sizes.c's words for these
MOSAIC_PX, TILE_PX, COPIES = 1500, 500, 3  # from which width on pictures are mosaics, of what tiles; how many of the smaller ones
PROGRAM = common.PROGRAMS / "pack_sizes"


@dataclass(frozen=True)
class Row:
    """One file in segments of one length."""

    pictures: str
    file: str
    segments: str
    mcus: int  # 0: none
    source_bytes: int
    file_bytes: int
    table_bytes: int
    crop_read_bytes: int | None  # per crop of 224x224; None: the picture is smaller
    crop_cpu_us: float | None
    resized_read_bytes: int  # per crop of RandomResizedCrop
    resized_cpu_us: float


def mosaic(rng: random.Random, size: tuple[int, int], keys: Sequence[str]) -> Image.Image:
    whole = Image.new("RGB", size)
    for y in range(0, size[1], TILE_PX):
        for x in range(0, size[0], TILE_PX):
            tile = open_source(rng.choice(keys))
            left, top = rng.randint(0, tile.width - TILE_PX), rng.randint(0, tile.height - TILE_PX)
            whole.paste(tile.crop((left, top, left + TILE_PX, top + TILE_PX)), (x, y))
    return whole


def photograph(rng: random.Random, size: tuple[int, int], keys: Sequence[str]) -> Image.Image:
    while True:
        part = cut(rng, open_source(rng.choice(keys)), size)
        if part is not None:
            return part


def make_pictures(folder: Path, seed: int) -> dict[str, list[Path]]:
    keys = [key for key in SOURCES if open_source(key).mode == "RGB" and min(open_source(key).size) >= 2 * TILE_PX]
    made: dict[str, list[Path]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        rng = random.Random(f"{seed} {size}")
        pictures = [(mosaic if size[0] >= MOSAIC_PX else photograph)(rng, size, keys) for _ in range(1 if size[0] >= MOSAIC_PX else COPIES)]
        for sampling, (quality, subsampling) in SAMPLINGS.items():
            name = f"{size[0]}x{size[1]} {sampling}"
            for number, picture in enumerate(pictures):
                path = folder / f"{name.replace(' ', '_').replace(':', '')}_{number}.jpg"
                if subsampling is None:
                    picture.convert("L").save(path, "JPEG", quality=quality)
                else:
                    picture.save(path, "JPEG", quality=quality, subsampling=subsampling)
                made.setdefault(name, []).append(path)
    return made


def measure(pictures: str, paths: Sequence[Path], segments: Sequence[str], rounds: int, crops: int) -> Iterator[Row]:
    words = {AS_ASKED.get(name, name): name for name in segments}
    command: list[str | Path] = [PROGRAM, str(rounds), str(crops), *words, "--", *paths]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        path, segment, *numbers = line.rsplit(maxsplit=9)
        mcus, source_bytes, file_bytes, table_bytes, crop_read, crop_ns, resized_read, resized_ns = numbers
        yield Row(
            pictures,
            Path(path).name,
            words.get(segment, segment),
            int(mcus),
            int(source_bytes),
            int(file_bytes),
            int(table_bytes),
            None if crop_read == "-" else int(crop_read),
            None if crop_ns == "-" else int(crop_ns) / 1e3,
            int(resized_read),
            int(resized_ns) / 1e3,
        )


def of(rows: Sequence[Row], pictures: str, segments: str) -> list[Row]:
    return [row for row in rows if (row.pictures, row.segments) == (pictures, segments)]


def print_sizes(rows: Sequence[Row]) -> None:
    """Per cent of the source's bytes that file and segment table are larger."""
    print("| bytes beside the source's, % | " + " | ".join(SEGMENTS) + " |\n|---" + "|---" * len(SEGMENTS) + "|")
    for pictures in dict.fromkeys(row.pictures for row in rows):
        cells = []
        for name in SEGMENTS:
            mine = of(rows, pictures, name)
            grown = sum(row.file_bytes + row.table_bytes for row in mine) / sum(row.source_bytes for row in mine) if mine else None
            cells.append("–" if grown is None else f"{100 * grown - 100:+.1f}")
        print(f"| {pictures} | " + " | ".join(cells) + " |")


def print_times(rows: Sequence[Row], what: str, field: str) -> None:
    """CPU time per crop, as a part of what the source itself takes; of the automatic length also in microseconds."""
    print(f"| CPU per {what}, source = 1 | source, µs | " + " | ".join(SEGMENTS) + " |\n|---|---" + "|---" * len(SEGMENTS) + "|")
    for pictures in dict.fromkeys(row.pictures for row in rows):
        base = of(rows, pictures, "plain")
        if any(getattr(row, field) is None for row in base):
            continue  # the set: some of its pictures are smaller than the crop
        whole = sum(getattr(row, field) for row in base)
        cells = []
        for name in SEGMENTS:
            mine = of(rows, pictures, name)
            cells.append(f"{sum(getattr(row, field) for row in mine) / whole:.3f}" if mine else "–")
        print(f"| {pictures} | {whole / len(base):,.0f} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each length takes its turn; the least time counts")
    parser.add_argument("--crops", type=int, default=24, help="of each picture and kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    common.build(PROGRAM)
    made = make_pictures(common.HERE / "data" / "pack_sizes", options.seed)
    set_paths = sorted(DEFAULT_FOLDER.rglob("*.jpg"))
    rows: list[Row] = []
    for pictures, paths in made.items():
        print(f"  {pictures}", file=sys.stderr)
        rows += measure(pictures, paths, SEGMENTS, options.rounds, options.crops)
    print("  the ImageNet-like set", file=sys.stderr)
    rows += measure("ImageNet-like", set_paths, ("none", "auto"), 2, 8)
    common.write_csv("pack_sizes", rows, common.machine_facts(("cropring", "Pillow")))
    print_sizes(rows)
    print()
    print_times(rows, "crop of 224x224", "crop_cpu_us")
    print()
    print_times(rows, "RandomResizedCrop", "resized_cpu_us")


if __name__ == "__main__":
    main()
