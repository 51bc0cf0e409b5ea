#!/usr/bin/env python3
"""What the sandbox costs: CPU time of the worker per image, sandbox="off" and "require", over the sample photographs."""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

import cropring

import common

PHOTOS = common.HERE.parent / "tests" / "data" / "photos"
MODES = ("off", "require")


@dataclass(frozen=True)
class Pair:
    number: int
    off: float  # CPU ms per image
    require: float


def worker_cpu(loader: cropring.Loader) -> tuple[int, float]:
    """Images that it has delivered so far, and the CPU seconds that it has used."""
    return loader.stats()["images"], common.process_cpu_seconds(loader._worker.process.pid)  # type: ignore[union-attr]


def measure_pair(folder: Path, *, first: str, size: int, epochs: int) -> dict[str, float]:
    """CPU milliseconds per image of two fresh workers that take turns epoch by epoch: whatever else runs here disturbs both alike."""
    order = sorted(MODES, key=lambda mode: mode != first)
    loaders = {mode: cropring.Loader(folder, batch_size=34, size=size, seed=1, threads=1, slots=3, sandbox=mode) for mode in order}  # type: ignore[arg-type]
    for loader in loaders.values():
        assert sum(len(batch) for batch in loader)
    before = {mode: worker_cpu(loader) for mode, loader in loaders.items()}
    for _ in range(epochs):
        for loader in loaders.values():
            assert sum(len(batch) for batch in loader)
    after = {mode: worker_cpu(loader) for mode, loader in loaders.items()}
    in_force = {mode: (loader.stats()["sandbox_landlock"] > 0, loader.stats()["sandbox_seccomp"]) for mode, loader in loaders.items()}
    assert in_force == {"off": (False, 0), "require": (True, 1)}
    for loader in loaders.values():
        loader.close()
    return {mode: (after[mode][1] - before[mode][1]) * 1e3 / (after[mode][0] - before[mode][0]) for mode in MODES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=PHOTOS, help="a folder of images (default: the sample photographs)")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()

    pairs = []
    for number in range(options.pairs):
        cpu_ms = common.in_fresh_process(measure_pair, options.folder, first=MODES[number % 2], size=options.size, epochs=options.epochs)
        pairs.append(Pair(number, round(cpu_ms["off"], 4), round(cpu_ms["require"], 4)))
    print("| sandbox | CPU ms per image |\n|---|---|")
    for mode in MODES:
        print(f"| {mode} | {statistics.median(getattr(pair, mode) for pair in pairs):.3f} |")
    ratios = [pair.require / pair.off for pair in pairs]
    print(f"\nrequire / off in {len(pairs)} pairs: median {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")

    common.write_csv("sandbox", pairs, common.machine_facts(("cropring", "numpy")))


if __name__ == "__main__":
    main()
