#!/usr/bin/env python3
"""How long a manifest takes to read: tables of a million samples in each format, with labels, without and with boxes."""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cropring._cli import executable

import common

COLUMNS = {"labels": ("path", "label"), "boxes": ("path", "label", "x", "y", "width", "height")}


def rows(samples: int, columns: tuple[str, ...]) -> Iterator[dict[str, str | int]]:
    """Names as long as ImageNet's, in no order, with 1,000 classes."""
    rng = random.Random(1)
    for number in range(samples):
        name = f"n{rng.randrange(1000):08}"
        box = {side: rng.randrange(1, 400) for side in columns[2:]}
        yield {"path": f"{name}/{name}_{number:07}.JPEG", "label": name, **box}


def write_table(path: Path, samples: int, columns: tuple[str, ...]) -> None:
    with open(path, "w", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows(samples, columns))
        else:
            writer = csv.DictWriter(file, columns, delimiter="\t" if path.suffix == ".tsv" else ",", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows(samples, columns))


def measure_worker(path: Path, samples: int) -> common.Measurement:
    """One item: a million samples.  Asked to begin behind the last of them, the worker ends as soon as its index is complete."""
    cpu_before_s, wall_before_s = children_cpu_seconds(), time.monotonic()
    done = subprocess.run([executable(), "serve", path, "--start-sample", str(samples)], capture_output=True, text=True, check=False)
    assert f"has only {samples} samples" in done.stderr, done.stderr
    return common.Measurement(1, time.monotonic() - wall_before_s, children_cpu_seconds() - cpu_before_s)


def measure_python(path: Path, samples: int) -> common.Measurement:
    """The same file through Python's own parsers, which keep nothing."""
    cpu_before_s, wall_before_s = time.process_time(), time.monotonic()
    with open(path, newline="") as file:
        parsed = map(json.loads, file) if path.suffix == ".jsonl" else csv.DictReader(file)
        assert sum(1 for _ in parsed) == samples
    return common.Measurement(1, time.monotonic() - wall_before_s, time.process_time() - cpu_before_s)


def children_cpu_seconds() -> float:
    """User + system time of the child processes that have ended, without the ticks of /proc."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        sides = []
        for kind, columns in COLUMNS.items():
            for ending, peer in ((".csv", "csv.DictReader"), (".tsv", None), (".jsonl", "json.loads")):
                path = Path(temporary) / f"{kind}{ending}"
                write_table(path, options.samples, columns)
                arguments = {"path": path, "samples": options.samples}
                sides.append(common.Side(f"cropring, {kind}{ending}", measure_worker, arguments))
                if peer:
                    sides.append(common.Side(f"{peer}, {kind}{ending}", measure_python, arguments))
        rows = common.alternate("manifest", sides, options.repetitions)
    print("| side | seconds | CPU seconds |\n|---|---|---|")
    for name, (per_s, cpu_ms) in common.medians(rows).items():
        print(f"| {name} | {1 / per_s:.2f} | {cpu_ms / 1e3:.2f} |")
    common.write_csv("manifest", rows, common.machine_facts(("cropring",)) | {"samples": str(options.samples)})


if __name__ == "__main__":
    main()
