#!/usr/bin/env python3
"""How long the first batch takes: from the call of cropring.Loader(...) over 1,000 ImageNet-like JPEGs to a batch in hand."""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import tempfile
import time
from pathlib import Path

import cropring

import common
from make_set import DEFAULT_FOLDER

FILES = 1000
BATCH_SIZES = (32, 256)


def fill(folder: Path, pictures: Path) -> None:
    """FILES hard links, or copies, of the pictures in turn, in the same class folders."""
    sources = itertools.cycle(sorted(pictures.glob("*/*.jpg")))
    for number, source in zip(range(FILES), sources, strict=False):
        link = folder / source.parent.name / f"{number:05}.jpg"
        link.parent.mkdir(exist_ok=True)
        try:
            os.link(source, link)
        except OSError:  # on another file system
            shutil.copyfile(source, link)


def measure(folder: Path, *, batch_size: int, threads: int) -> common.Measurement:
    """One item: the first batch. cropring is imported already; a program pays for that once."""
    cpu_before_s, wall_before_s = common.tree_cpu_seconds(), time.monotonic()
    with cropring.Loader(folder, batch_size=batch_size, size=224, threads=threads) as loader:
        batch = next(iter(loader))
        wall_s, cpu_s = time.monotonic() - wall_before_s, common.tree_cpu_seconds() - cpu_before_s
        assert len(batch) == batch_size and not batch.status.any()
    return common.Measurement(1, wall_s, cpu_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="class folders of JPEGs (default: our own set)")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as there are processors")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        fill(Path(temporary), options.folder)
        sides = [
            common.Side(
                f"batch_size={batch_size}",
                measure,
                {"folder": Path(temporary), "batch_size": batch_size, "threads": options.threads},
            )
            for batch_size in BATCH_SIZES
        ]
        rows = common.alternate("start", sides, options.repetitions)
    print("| side | first batch after, ms | CPU ms until then |\n|---|---|---|")
    for name, (per_s, cpu_ms) in common.medians(rows).items():
        print(f"| {name} | {1e3 / per_s:.0f} | {cpu_ms:.0f} |")
    common.write_csv("start", rows, common.machine_facts(("cropring", "numpy")))


if __name__ == "__main__":
    main()
