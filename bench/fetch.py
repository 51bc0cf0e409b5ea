#!/usr/bin/env python3
"""What reading files costs: our fetch beside plain loops, over 1,000 files of the set, warm and cold, parts of large files, and runs of
images in a pack.

The loops are in C (fetch_loop.c): all sides in one process, in turn, over the same files. Cold drops the page cache of the whole
machine before each round, which takes root and disturbs whoever else works there; it is skipped otherwise.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import common

LOOP = common.PROGRAMS / "fetch_loop"
DATA = common.HERE / "data"
FILES, FOLDERS, BMPS, BMP_BYTES = 1000, 50, 12, 16_001_078  # a gray BMP of 4000x4000
WARM = ("plain", "uring", "pread")
COLD = ("plain", "ahead64", "threads16", "uring", "pread")
PARTS = ("plain", "uring", "pread", "uring-part", "pread-part")
PACK_BYTES = 600_000_000
RUNS = ("15,1000,6700", "30,300,2800", "125,3000,5000", "30,1000,50000", "1,110000,0")  # how many, of how many bytes, how far apart


@dataclass(frozen=True)
class Round:
    part: str  # warm, cold, bmp warm, bmp cold, runs 15,1000,6700 warm, ...
    side: str
    round: int
    files: int
    bytes: int  # that reached the caller
    wall_s: float
    cpu_s: float


def make_files() -> list[str]:
    """Copies of the set's pictures, each with blocks of its own on the disk, in an order that is not theirs there."""
    pictures = sorted((DATA / "imagenet_like").rglob("*.jpg")) or sorted((DATA / "imagenet_like").rglob("*.JPEG"))
    folder = DATA / "fetch"
    names = [f"{number % FOLDERS:02}/{number:04}.jpg" for number in range(FILES)]
    for number, name in enumerate(names):
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pictures[number % len(pictures)].read_bytes())
    random.Random(1).shuffle(names)
    return [f"fetch/{name}" for name in names]


def make_bmps() -> list[str]:
    folder = DATA / "fetch_bmp"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.bmp" for number in range(BMPS)]
    for number, path in enumerate(paths):
        if not path.exists() or path.stat().st_size != BMP_BYTES:
            path.write_bytes(random.Random(number).randbytes(BMP_BYTES))
    return [str(path.relative_to(DATA)) for path in paths]


def make_pack() -> str:
    path = DATA / "fetch_pack"
    if not path.exists() or path.stat().st_size != PACK_BYTES:
        with path.open("wb") as file:
            for number in range(PACK_BYTES // 1_000_000):
                file.write(random.Random(number).randbytes(1_000_000))
    return path.name


def run(part: str, sides: Sequence[str], paths: Iterable[str], rounds: int) -> list[Round]:
    kind = "cold" if part.endswith("cold") else "warm"
    runs = ("--runs", part.split()[1]) if part.startswith("runs") else ()
    output = subprocess.run(
        [LOOP, kind, str(rounds), *runs, *sides],
        input="".join(f"{path}\n" for path in paths),
        cwd=DATA,  # our fetch takes paths that are relative to a folder
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    rows = []
    for line in output.splitlines():
        side, number, files, byte_count, wall_s, cpu_s = line.split(",")
        rows.append(Round(part, side, int(number), int(files), int(byte_count), float(wall_s), float(cpu_s)))
    return rows


def print_rounds(rows: Sequence[Round]) -> None:
    """Medians; the ratios are medians over the rounds, each side to the first in the same round."""
    first = rows[0].side
    print(f"\n{rows[0].part}:\n\n| side | CPU µs per file | wall µs per file | KB per file | CPU, {first} = 1 | wall, {first} = 1 |\n|---|---|---|---|---|---|")
    base = {row.round: row for row in rows if row.side == first}
    for side in dict.fromkeys(row.side for row in rows):
        mine = [row for row in rows if row.side == side]
        cpu, wall = (statistics.median(getattr(row, name) / row.files * 1e6 for row in mine) for name in ("cpu_s", "wall_s"))
        cpu_ratio = statistics.median(row.cpu_s / base[row.round].cpu_s for row in mine)
        wall_ratio = statistics.median(row.wall_s / base[row.round].wall_s for row in mine)
        print(f"| {side} | {cpu:.1f} | {wall:.1f} | {mine[0].bytes / mine[0].files / 1000:.0f} | {cpu_ratio:.2f} | {wall_ratio:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31, help="with a warm cache")
    parser.add_argument("--cold-rounds", type=int, default=7, help="0: none")
    options = parser.parse_args()

    common.build(LOOP)
    files, bmps, pack = make_files(), make_bmps(), make_pack()
    facts = common.machine_facts(())
    measured = [run("warm", WARM, files, options.rounds), run("bmp warm", PARTS, bmps, options.rounds)]
    measured += [run(f"runs {runs} warm", WARM, [pack], options.rounds) for runs in RUNS]
    if os.geteuid() != 0:
        print("cold: skipped, because only root may drop the page cache", file=sys.stderr)
    elif options.cold_rounds > 0:
        measured += [run("cold", COLD, files, options.cold_rounds), run("bmp cold", PARTS, bmps, options.cold_rounds)]
        measured += [run(f"runs {runs} cold", WARM, [pack], options.cold_rounds) for runs in RUNS]
    for rows in measured:
        print_rounds(rows)
    common.write_csv("fetch", [row for rows in measured for row in rows], facts)


if __name__ == "__main__":
    main()
