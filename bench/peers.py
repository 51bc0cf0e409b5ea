#!/usr/bin/env python3
"""RandomResizedCrop(224) by every loader and decoder that pip installs, uint8 pixels out on all sides: CPU time per image, images/s,
memory, time to the first batch, lines to install.

Loaders with parallelism 1 and 2 (threads that decode, or worker processes), decoders in a loop of one thread. A side that cannot run is
listed with what it says.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import ours
import pack_sets
import whole
from make_set import DEFAULT_FOLDER
from peers_list import PEERS, Peer
from work import Work

OURS, BASE = "cropring", "torch DataLoader, Pillow"
EPOCHS = 2  # one that is not counted, one that is
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


def prepare(peers: Sequence[Peer], work: Work) -> tuple[dict[str, float], dict[str, str]]:
    """Side -> mean difference from Pillow, and for those that cannot run what they say."""
    differences, errors = {}, {}
    for peer in peers:
        try:
            if peer.convert:
                run_one(peer, "convert", work)
            differences[peer.name] = run_one(peer, "compare", work)
        except PeerError as error:
            errors[peer.name] = common.in_a_line(error, Path(work.converted), Path(work.folder))
        print(f"  {peer.name}: {differences.get(peer.name, errors.get(peer.name))}", file=sys.stderr)
    return differences, errors


def measure(peers: Sequence[Peer], work: Work, repetitions: int) -> list[PeerRow]:
    differences, errors = prepare(peers, work)
    rows = []
    sides = [(peer, parallel) for peer in peers if peer.name not in errors for parallel in peer.parallel]
    for repetition, (peer, parallel) in common.in_turns(sides, repetitions):
        try:
            taken = run_one(peer, "measure", Work(**work.as_dict() | {"parallel": parallel}))
        except PeerError as error:
            errors[peer.name] = common.in_a_line(error, Path(work.converted), Path(work.folder))
            continue
        taken = {name: round(value, 5) for name, value in taken.items()}
        rows.append(
            PeerRow(
                "peers", peer.name, repetition, parallel=parallel, install_lines=len(peer.install), boxes=peer.boxes or "same",
                mean_difference=round(differences[peer.name], 3), **taken,
            )
        )  # fmt: skip
        print(f"  {peer.name}, {parallel}: {taken}", file=sys.stderr)
    for peer in peers:
        if peer.name in errors:
            rows.append(PeerRow("peers", peer.name, 0, 0, 0.0, 0.0, install_lines=len(peer.install), error=errors[peer.name]))
    return rows


def medians(rows: Sequence[PeerRow]) -> dict[tuple[str, int], dict[str, float]]:
    """Side and parallelism -> its medians; those that could not run are left out."""
    measured: dict[tuple[str, int], list[PeerRow]] = defaultdict(list)
    for row in rows:
        if not row.error:
            measured[row.side, row.parallel].append(row)
    return {
        key: {
            "images_per_s": statistics.median(row.items / max(row.wall_s, 1e-6) for row in same),
            "cpu_ms": statistics.median(row.cpu_s * 1e3 / row.items for row in same),
            "memory_mb": statistics.median(row.memory_mb for row in same),
            "first_s": statistics.median(row.first_s for row in same),
            "import_s": statistics.median(row.import_s for row in same),
        }
        for key, same in measured.items()
    }


def print_table(rows: Sequence[PeerRow]) -> None:
    result = medians(rows)
    facts = {row.side: row for row in rows}
    for parallel in sorted({parallel for _, parallel in result}):
        base_ms = result.get((BASE, parallel), {"cpu_ms": float("nan")})["cpu_ms"]
        print(f"\nparallelism {parallel}\n")
        print(
            f"| side | CPU ms per image | CPU, {BASE} = 1 | images/s | memory, MB | first batch after, s | imports, s | lines to install "
            "| mean difference from Pillow's pixels |\n|---|---|---|---|---|---|---|---|---|"
        )
        for (name, at), it in sorted(result.items(), key=lambda item: item[1]["cpu_ms"]):
            if at == parallel:
                row = facts[name]
                difference = row.boxes if row.boxes != "same" else f"{row.mean_difference:.2f}"
                print(
                    f"| {name} | {it['cpu_ms']:.2f} | {it['cpu_ms'] / base_ms:.2f} | {it['images_per_s']:.0f} | {it['memory_mb']:.0f} "
                    f"| {it['first_s']:.2f} | {it['import_s']:.2f} | {row.install_lines or '–'} | {difference} |"
                )
    for row in rows:
        if row.error:
            print(f"| {row.side} | cannot run: {row.error} | | | | | | | |")


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
    peers = [peer for peer in PEERS if peer.name in (OURS, BASE) or any(words in peer.name for words in wanted)]
    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        plan_path = Path(temporary) / "plan.npz"
        arguments = whole.loader_arguments(seed, threads=2)
        common.in_fresh_process(ours.record_plan, plan_path, folder, epochs=EPOCHS, **arguments)
        compared = common.in_fresh_process(whole.compare_pixels, plan_path, folder, seed)
        print(f"ours and Pillow, same pixels: yes, {compared} images compared", file=sys.stderr)
        pack_sets.pack(folder, Path(temporary) / "set.pack", "--verify", "none")
        work = Work(str(plan_path), str(folder), temporary, whole.BATCH_SIZE, whole.SIZE_PX, seed)
        rows = measure(peers, work, 1 if options.quick else options.repetitions)
    print_table(rows)
    if options.only is None and not options.quick:
        common.write_csv("peers", rows, common.machine_facts(PACKAGES) | install_facts())


if __name__ == "__main__":
    main()
