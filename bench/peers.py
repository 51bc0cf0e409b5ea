#!/usr/bin/env python3
"""RandomResizedCrop(224) by every loader and decoder that pip installs, uint8 pixels out on all sides: CPU time per image, images/s,
memory, time to the first batch, lines to install.

Loaders with parallelism 1 and 2 (threads that decode, or worker processes), decoders in a loop of one thread. A side that cannot run is
listed with what it says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chart
import common
import ours
import pack_sets
import tables
import whole
from make_set import DEFAULT_FOLDER
from peers_list import PEERS, Peer
from work import Work

OURS = "cropring"
EPOCHS = 2  # of the plan
PACKAGES = (
    "cropring", "torch", "torchvision", "pillow", "webdataset", "spdl-io", "spdl-core", "nvidia-dali-cuda120", "tensorflow-cpu", "ffcv",
    "numba", "opencv-python-headless", "simplejpeg", "PyTurboJPEG", "pyvips", "pyvips-binary", "numpy",
)  # fmt: skip
LONGEST_S = 120  # for one side in one process


class PeerError(Exception):
    """What a peer said that could not run."""


@dataclass(frozen=True)
class PeerRow(common.Row):
    """The columns of every bench, and those of peers_one.Measured."""

    parallel: int = 0
    import_s: float = 0.0
    first_s: float = 0.0
    memory_mb: float = 0.0
    install_lines: int = 0
    boxes: str = ""
    mean_difference: float = 0.0
    error: str = ""


def run_one(peer: Peer, step: str, work: Work) -> Any:
    words = [sys.executable, str(common.HERE / "peers_one.py"), peer.name, step, json.dumps(work.as_dict())]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"not done after {LONGEST_S} s") from error
    if done.returncode:
        raise PeerError(done.stderr.strip() or f"exit code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(peers: Sequence[Peer], work: Work, repetitions: int) -> list[PeerRow]:
    rows, errors = [], {}

    def run(peer: Peer, step: str, work: Work) -> Any:
        """None for a side that cannot run; its error is kept then, and it is not asked again."""
        try:
            return None if peer.name in errors else run_one(peer, step, work)
        except PeerError as error:
            errors[peer.name] = common.in_a_line(error, Path(work.converted), Path(work.folder))
            print(f"  {peer.name}: {errors[peer.name]}", file=sys.stderr)
            return None

    for peer in peers:
        if peer.convert:
            run(peer, "convert", work)
    sides = [(peer, parallel) for peer in peers for parallel in peer.parallel]
    for repetition, (peer, parallel) in common.in_turns(sides, repetitions):
        if taken := run(peer, "measure", Work(**work.as_dict() | {"parallel": parallel})):
            taken = {name: round(value, 5) for name, value in taken.items()}
            lines = len(peer.install)
            rows.append(PeerRow("peers", peer.name, repetition, **taken, parallel=parallel, install_lines=lines, boxes=peer.boxes))
            print(f"  {peer.name}, {parallel}: {taken}", file=sys.stderr)
    rows = [row for row in rows if row.side not in errors]
    rows += [PeerRow("peers", name, 0, 0, 0.0, 0.0, error=error) for name, error in errors.items()]
    return rows


def install_facts() -> dict[str, str]:
    return {f"to install {peer.name}": "; ".join(peer.install) for peer in PEERS if peer.install}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="class folders of JPEGs (default: our own set)")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", help="sides whose name has this in it, beside ours and torch's; writes no CSV")
    parser.add_argument("--quick", action="store_true", help="one repetition, to see that everything works; writes no CSV")
    options = parser.parse_args()

    folder, seed = options.folder, options.seed
    wanted = options.only or [""]
    peers = [peer for peer in PEERS if peer.name in (OURS, tables.BASE) or any(words in peer.name for words in wanted)]
    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        plan_path = Path(temporary) / "plan.npz"
        arguments = whole.loader_arguments(seed, threads=2)
        common.in_fresh_process(ours.record_plan, plan_path, folder, epochs=EPOCHS, **arguments)
        compared = common.in_fresh_process(whole.compare_pixels, plan_path, folder, seed)
        print(f"ours and Pillow, same pixels: yes, {compared} images compared", file=sys.stderr)
        pack_sets.pack(folder, Path(temporary) / "set.pack", "--verify", "none")
        work = Work(str(plan_path), str(folder), temporary, whole.BATCH_SIZE, whole.SIZE_PX, seed)
        rows = measure(peers, work, 1 if options.quick else options.repetitions)
    print("\n".join(tables.peers([vars(row) for row in rows])))
    if options.only is None and not options.quick:
        common.write_csv("peers", rows, common.machine_facts(PACKAGES) | install_facts())
        tables.main()
        chart.main()


if __name__ == "__main__":
    main()
