#!/usr/bin/env python3
"""One side of bench/peers.py, in a process that has nothing else in it; prints a line of JSON.

    python bench/peers_one.py PEER STEP WORK        WORK is JSON, see work.py

convert     makes the form of the pictures that the side reads
measure     imports, first batch, batches that are not counted, an epoch that is, and then the memory
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np

import common
from peers_decoders import jobs, pillow
from peers_list import BY_NAME, Peer
from work import Work

WARM_BATCHES = 5  # not counted
COMPARED = 16  # pictures of the first batch
MEMORY_BATCHES = 4  # after the counted ones: memory is looked at after each


@dataclass(frozen=True)
class Measured:
    items: int
    wall_s: float
    cpu_s: float  # of this process and all its descendants, as in common.Measurement
    import_s: float
    first_s: float  # from making the loader to the first batch in hand, everything being imported
    memory_mb: float  # 10^6 bytes, the most that was seen: this process and all its descendants, what they share once
    mean_difference: float  # of the first pictures from Pillow's: other filters differ by one or two, other boxes by much more


def measure(peer: Peer, work: Work) -> Measured:
    plan = work.plan()
    begin_s = time.monotonic()
    for name in peer.imports:
        importlib.import_module(name)
    imported_s = time.monotonic()
    stream = peer.stream(work)
    first = next(stream)
    first_s = time.monotonic() - imported_s
    first = first[:COMPARED].astype(np.int16)

    def take() -> int:
        batch = next(stream)
        assert batch.dtype == np.uint8 and batch.shape == (work.batch_size, work.size, work.size, 3), batch.shape
        int(batch[:, 0, 0, 0].sum())  # touch every picture
        return len(batch)

    for _ in range(WARM_BATCHES):
        take()
    cpu_before_s, before_s = common.tree_cpu_seconds(), time.monotonic()
    items = sum(take() for _ in range(plan.index.shape[1] // work.batch_size))
    wall_s, cpu_s = time.monotonic() - before_s, common.tree_cpu_seconds() - cpu_before_s
    memory_bytes = [common.tree_memory_bytes() for _ in range(MEMORY_BATCHES) if take()]
    expected = np.stack([pillow(*job, work.size) for job in jobs(plan)[:COMPARED]])
    difference = float(np.mean(np.abs(first - expected)))
    return Measured(items, wall_s, cpu_s, imported_s - begin_s, first_s, max(memory_bytes) / 1e6, difference)


def main() -> None:
    name, step, words = sys.argv[1:]
    peer, work = BY_NAME[name], Work(**json.loads(words))
    if step == "measure":
        print(json.dumps(asdict(measure(peer, work))))
    elif peer.convert:
        peer.convert(work)
        print(json.dumps(None))


if __name__ == "__main__":
    main()
