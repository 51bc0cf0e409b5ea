#!/usr/bin/env python3
"""One side of bench/peers.py, in a process that has nothing else in it; prints a line of JSON.

    python bench/peers_one.py PEER STEP WORK        WORK is JSON, see work.py

convert     makes the form of the pictures that the side reads
compare     the first batch's mean difference from Pillow's pixels
measure     imports, first batch, an epoch that is not counted, one that is, and then the memory
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np

import common
from peers_list import BY_NAME, Peer
from work import Work

MEMORY_BATCHES = 6  # after the counted ones: memory is looked at while each is in hand


@dataclass(frozen=True)
class Measured:
    items: int
    wall_s: float
    cpu_s: float  # of this process and all its descendants, as in common.Measurement
    import_s: float
    first_s: float  # from making the loader to the first batch in hand, everything being imported
    memory_mb: float  # 10^6 bytes, the most that was seen: this process and all its descendants, what they share once


def measure(peer: Peer, work: Work, epochs: int = 1) -> Measured:
    images_per_epoch = work.plan().index.shape[1]
    begin_s = time.monotonic()
    for name in peer.imports:
        importlib.import_module(name)
    imported_s = time.monotonic()
    stream = peer.stream(work)
    batch = next(stream)
    first_s = time.monotonic() - imported_s

    def take() -> int:
        nonlocal batch
        batch = next(stream)
        assert batch.dtype == np.uint8 and batch.shape == (work.batch_size, work.size, work.size, 3), batch.shape
        int(batch[:, 0, 0, 0].sum())  # touch every picture
        return len(batch)

    def run_epoch() -> int:
        return sum(take() for _ in range(images_per_epoch // work.batch_size))

    counted = common.measure_epochs(run_epoch, epochs)
    memory_bytes = []
    for _ in range(MEMORY_BATCHES):
        take()
        memory_bytes.append(common.tree_memory_bytes())
    return Measured(counted.items, counted.wall_s, counted.cpu_s, imported_s - begin_s, first_s, max(memory_bytes) / 1e6)


def mean_difference(peer: Peer, work: Work) -> float:
    """Of the first batch, from Pillow's pixels: other filters differ by one or two, other boxes by much more."""
    images = next(peer.stream(work)).astype(np.int16)
    import peers_torch  # after the side's own imports: some of them mind what came before

    crops = peers_torch.PlannedCrops(work.plan(), work.size)
    return float(np.mean(np.abs(images - np.stack([crops[place][0] for place in range(work.batch_size)]))))


def main() -> None:
    name, step, words = sys.argv[1:]
    peer, work = BY_NAME[name], Work(**json.loads(words))
    if step == "convert" and peer.convert:
        peer.convert(work)
        print(json.dumps(None))
    elif step == "compare":
        print(json.dumps(mean_difference(peer, work)))
    else:
        print(json.dumps(asdict(measure(peer, work))))


if __name__ == "__main__":
    main()
