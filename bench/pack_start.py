#!/usr/bin/env python3
"""How long cropring.Loader(...) takes to know a pack of a million images and to be ready, and its memory.

The images are holes in the file: a first row that is no picture tells that the worker is at work.  Beside it a pack of one image.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import cropring

import common

BLANK_PACK = common.PROGRAMS / "blank_pack"
SIZES = {"1 image": (1, 0), "1,000,000 images": (1_000_000, 0), "1,000,000 images in 200 shards": (1_000_000, 200)}


def loader(pack: Path) -> cropring.Loader:
    """So little work that it does not count."""
    return cropring.Loader(pack, batch_size=1, slots=3, size=8, on_error="zero", quiet=True)


def measure(pack: Path, samples: int, until: str) -> common.Measurement:
    """One item: a start.  cropring is imported already; a program pays for that once."""
    cpu_before_s, wall_before_s = common.tree_cpu_seconds(), time.monotonic()
    with loader(pack) as opened:
        assert len(opened.dataset) == samples and opened.paths[-1].endswith(".JPEG")
        if until == "ready":
            assert next(iter(opened)).status.all()
        wall_s, cpu_s = time.monotonic() - wall_before_s, common.tree_cpu_seconds() - cpu_before_s
    return common.Measurement(1, wall_s, cpu_s)


def memory_kb(pack: Path) -> dict[str, int]:
    """Of the worker once it is at work: what is resident, of that its own and the index, and at most so far."""
    with loader(pack) as opened:
        next(iter(opened))
        assert opened._worker
        status = Path(f"/proc/{opened._worker.process.pid}/status").read_text()
    fields = dict(line.split(":\t") for line in status.splitlines() if " kB" in line)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon", "RssShmem", "VmHWM")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    options = parser.parse_args()

    common.build(BLANK_PACK)
    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        sides, memory = [], {}
        for number, (title, (samples, shards)) in enumerate(SIZES.items()):
            pack = Path(temporary) / f"{number}.pack"
            subprocess.run([BLANK_PACK, str(samples), str(shards), pack], check=True)
            memory[title] = memory_kb(pack)
            sides += [common.Side(f"{title}, {until}", measure, {"pack": pack, "samples": samples, "until": until}) for until in ("length", "ready")]
        rows = common.alternate("pack_start", sides, options.repetitions)
    print("| side | start, ms | CPU ms |\n|---|---|---|")
    for name, (per_s, cpu_ms) in common.medians(rows).items():
        print(f"| {name} | {1e3 / per_s:.0f} | {cpu_ms:.0f} |")
    print("\n| worker's memory, MB | resident | of that, its own | the index, shared with readers | at most |\n|---|---|---|---|---|")
    for name, kb in memory.items():
        print(f"| {name} | {' | '.join(f'{kb[field] / 1e3:.1f}' for field in kb)} |")
    common.write_csv("pack_start", rows, common.machine_facts(("cropring", "numpy")))


if __name__ == "__main__":
    main()
