#!/usr/bin/env python3
"""How long cropring.Loader(...) takes to know its samples, 1,000 and a million of them, with and without --index; and their memory.

The trees are of hard links to empty files with paths of 40 bytes; they are made once below --scratch, and kept there if it is named.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cropring

import common

LINKS_PER_FILE = 50_000  # ext4 allows 65,000
RACY_S = 2.1  # folders are trusted once they have rested for two seconds


def fill(folder: Path, numbers: list[int], name: Callable[[int], str]) -> None:
    """A link for each number, in random order."""
    folder.mkdir(parents=True)
    for place, number in enumerate(numbers):
        path = folder / name(number)
        if place % LINKS_PER_FILE == 0:
            first = path
            path.touch()
        else:
            os.link(first, path)


def noise(number: int, letters: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()[:letters]


def make_trees(scratch: Path) -> dict[str, Path]:
    trees = {"1,000 in 10 classes": (10, 100), "1,000,000 in 1,000 classes": (1000, 1000), "1,000,000 in one folder": (0, 1_000_000)}
    rng = random.Random(1)
    folders = {}
    for title, (classes, files) in trees.items():
        folders[title] = scratch / title.replace(" ", "_").replace(",", "")
        if folders[title].exists():
            continue
        making = folders[title].with_suffix(".making")
        for number in range(classes):
            each = list(range(number * files, (number + 1) * files))
            rng.shuffle(each)
            fill(making / f"class_{number:04}", each, lambda n: f"photo_{n:08}_{noise(n, 10)}.jpg")
        if classes == 0:
            each = list(range(files))
            rng.shuffle(each)
            fill(making, each, lambda n: f"photo_{n:010}_{noise(n, 18)}.jpeg")
        making.rename(folders[title])
    time.sleep(RACY_S)
    return folders


def flags(index: Path | None) -> dict[str, Any]:
    """So little work that it does not count; the files are empty."""
    return {"batch_size": 1, "slots": 3, "size": 8, "on_error": "zero", "quiet": True, "index": index}


def measure(folder: Path, index: Path | None, samples: int) -> common.Measurement:
    """One item: a Loader that knows its length, and its last path."""
    cpu_before_s, wall_before_s = common.tree_cpu_seconds(), time.monotonic()
    with cropring.Loader(folder, **flags(index)) as loader:
        assert len(loader.dataset) == samples and loader.dataset.paths[-1].startswith(str(folder))
        wall_s, cpu_s = time.monotonic() - wall_before_s, common.tree_cpu_seconds() - cpu_before_s
    return common.Measurement(1, wall_s, cpu_s)


def memory_kb(folder: Path, index: Path | None) -> tuple[int, int]:
    """Of the worker: now, and at most since it began."""
    with cropring.Loader(folder, **flags(index)) as loader:
        next(iter(loader))
        status = Path(f"/proc/{loader._worker.process.pid}/status").read_text()
    fields = dict(line.split(":\t") for line in status.splitlines())
    return int(fields["VmRSS"].split()[0]), int(fields["VmHWM"].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, help="keep the trees here (default: a temporary folder)")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        folders = make_trees(options.scratch or Path(temporary))
        sides, memory = [], {}
        for title, folder in folders.items():
            samples = int(title.split(" ")[0].replace(",", ""))
            kept = Path(temporary) / f"{folder.name}.cropidx"
            cropring.Loader(folder, **flags(kept)).close()
            for index in None, kept:
                side = f"{title}, {'with' if index else 'no'} index"
                memory[side] = samples, *memory_kb(folder, index)
                sides.append(common.Side(side, measure, {"folder": folder, "index": index, "samples": samples}))
        rows = common.alternate("scan", sides, options.repetitions)
    base_kb, base_peak_kb = next((now, peak) for samples, now, peak in memory.values() if samples == 1000)
    print("| side | start, ms | CPU ms | bytes per sample | at most meanwhile |\n|---|---|---|---|---|")
    for name, (per_s, cpu_ms) in common.medians(rows).items():
        samples, now_kb, peak_kb = memory[name]
        each = f"{(now_kb - base_kb) * 1024 / samples:.0f} | {(peak_kb - base_peak_kb) * 1024 / samples:.0f}" if samples > 1000 else "– | –"
        print(f"| {name} | {1e3 / per_s:.0f} | {cpu_ms:.0f} | {each} |")
    common.write_csv("scan", rows, common.machine_facts(("cropring", "numpy")))


if __name__ == "__main__":
    main()
