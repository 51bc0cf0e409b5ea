#!/usr/bin/env python3
"""How late a thread is that must act every millisecond, alone and beside loaders that all give the same images/s.

The thread stands for one that launches kernels: a GPU that waits for a late launch does nothing. All loaders decode on 2 threads or in 2
worker processes, on one of each where they are kept off all CPUs but one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import chart
import common
import ours
import tables
import whole
from make_set import DEFAULT_FOLDER
from neighbour_one import Lateness, Pace
from work import Work

TICKER = common.PROGRAMS / "ticker"
LOWEST = 19
LAST_CPU = max(os.sched_getaffinity(0))
ASIDE: dict[str, Any] = {"parallel": 1, "cpus": (LAST_CPU,), "nice": LOWEST}
# Name -> the stream in peers_loaders.py, and what its work is beside the common part.
SIDES: dict[str, tuple[str, dict[str, Any]]] = {
    "alone": ("blank", {}),
    "cropring": ("cropring_numpy", {}),
    "cropring, --nice 19": ("cropring_numpy", {"nice": LOWEST}),
    "cropring, --cpus with one CPU": ("cropring_numpy", {"parallel": 1, "cpus": (LAST_CPU,)}),
    "cropring, both": ("cropring_numpy", ASIDE),
    "torch DataLoader, Pillow": ("data_loader_pillow", {}),
    "torch DataLoader, Pillow, both in worker_init_fn": ("data_loader_pillow", ASIDE),
    "SPDL": ("spdl", {}),
    "SPDL, subprocess": ("spdl_subprocess", {}),
    "SPDL, subprocess, both in its initializer": ("spdl_subprocess", ASIDE),
}
PACKAGES = ("cropring", "torch", "pillow", "spdl-io", "spdl-core", "numpy")


@dataclass(frozen=True)
class NeighbourRow(Lateness):
    side: str
    place: int  # of the side in the table
    repetition: int


def measure(side: str, work: Work, pace: Pace) -> list[Lateness]:
    stream, more = SIDES[side]
    place = json.dumps(work.as_dict() | more)
    words = [sys.executable, str(common.HERE / "neighbour_one.py"), stream, json.dumps(asdict(pace)), place, f"{TICKER}.so"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side}: {done.stderr.strip()}")
    return [Lateness(**one) for one in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="class folders of JPEGs (default: our own set)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--images-per-s", type=float, default=200, help="what the training loop takes (default: what every side can give)")
    parser.add_argument("--ticks", type=int, default=4800, help="of each thread, one every millisecond")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="sides whose name has this in it; writes no CSV")
    parser.add_argument("--quick", action="store_true", help="one repetition of two seconds, to see that everything works; writes no CSV")
    options = parser.parse_args()

    common.build(TICKER)
    pace = Pace(options.images_per_s, warm_s=1 if options.quick else 3, ticks=2000 if options.quick else options.ticks)
    sides = [side for side in SIDES if options.only is None or options.only in side]
    rows = []
    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        plan_path, arguments = Path(temporary) / "plan.npz", whole.loader_arguments(options.seed, threads=2)
        common.in_fresh_process(ours.record_plan, plan_path, options.folder, epochs=1, **arguments)
        work = Work(str(plan_path), str(options.folder), temporary, whole.BATCH_SIZE, whole.SIZE_PX, options.seed, parallel=2)
        for repetition, side in common.in_turns(sides, 1 if options.quick else options.repetitions):
            for late in measure(side, work, pace):
                rows.append(NeighbourRow(**asdict(late), side=side, place=list(SIDES).index(side), repetition=repetition))
                print(f"  {side}: {asdict(late)}", file=sys.stderr)
    print("\n".join(tables.neighbour([vars(row) for row in rows])))
    if options.only is None and not options.quick:
        common.write_csv("neighbour", rows, common.machine_facts(PACKAGES) | {"pace": json.dumps(asdict(pace))})
        tables.main()
        chart.main()


if __name__ == "__main__":
    main()
