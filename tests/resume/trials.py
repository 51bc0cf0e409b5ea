"""Random resumes: a run stops anywhere, and goes on as another one would never have stopped.

    tests/resume/run [TRIALS] [--seed N]

A trial is an order (shuffled, by file, by weight; limited or not), a way to run it (tail, ranks, batch size, threads) and to go on with
it, both chosen by random.  One rank of the first run takes some batches and gives its state, perhaps with its worker killed just before;
all ranks of the second load it from JSON, one of them perhaps losing its worker too.  Their rows of that epoch and the next, put together
in the global order, are compared with those of one process that takes one sample at a time: pixels, labels, numbers, boxes, flips, statuses.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import cropring
from cropring import Batch, Status

FIELDS = ("images", "labels", "index", "box", "source_size", "flipped", "status")
SAMPLES = 29
Row = tuple[bytes, ...]


def write_files(folder: Path) -> None:
    """Pictures of noise, which no two crops of are alike."""
    noise = np.random.default_rng(1)
    for number in range(SAMPLES):
        pixels = noise.integers(0, 256, (12 + number % 4, 13, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")


@dataclass(frozen=True)
class Order:
    """What a run and its sequel have in common."""

    seed: int
    shuffle: bool
    weighted: bool
    limit: int

    @classmethod
    def drawn(cls, rng: random.Random) -> Order:
        weighted = rng.random() < 0.25
        limit = rng.choice((0, 0, 7, 16, 50 if weighted else 28))
        return cls(rng.randrange(3), weighted or rng.random() < 0.8, weighted, limit)

    @property
    def sample_count(self) -> int:
        return self.limit or SAMPLES

    def flags(self) -> dict[str, Any]:
        weights = np.arange(SAMPLES) % 5 if self.weighted else None
        return {"seed": self.seed, "shuffle": self.shuffle, "weights": weights, "limit": self.limit}


@dataclass(frozen=True)
class Way:
    """How a run is done."""

    world_size: int
    batch_size: int
    threads: int
    tail: str

    @classmethod
    def drawn(cls, rng: random.Random, sample_count: int) -> Way:
        world_size = rng.choice((1, 1, 2, 2, 3, 3, min(8, sample_count)))
        batch_size = rng.randint(1, min(6, sample_count // world_size))  # else --tail drop has no batch
        return cls(world_size, batch_size, rng.randint(1, 3), rng.choice(("drop", "pad", "partial")))

    @property
    def step(self) -> int:
        return self.world_size * self.batch_size

    def flags(self) -> dict[str, Any]:
        return {"world_size": self.world_size, "batch_size": self.batch_size, "threads": self.threads, "tail": self.tail}


def load(folder: Path, rank: int, **flags: Any) -> cropring.Loader:
    return cropring.Loader(folder, rank=rank, size=6, slots=3, sandbox="off", **flags)


def rows_of(batch: Batch) -> list[Row]:
    return [tuple(batch[name][row].tobytes() for name in FIELDS) for row in range(len(batch))]


@cache
def whole(folder: Path, order: Order, epochs: int = 4) -> list[list[Row]]:
    """The rows of each epoch, by one process that never stops."""
    with load(folder, 0, batch_size=1, world_size=1, threads=1, tail="partial", **order.flags()) as loader:
        return [[row for batch in loader for row in rows_of(batch)] for _ in range(epochs)]


def as_padding(row: Row) -> Row:
    """A field's bytes are a copy of another row's; only its status tells."""
    return (*row[:-1], bytes([row[-1][0] | Status.PADDING]))


def expected(epoch: list[Row], passed_over: int, way: Way) -> list[Row]:
    """What all ranks together hand out of an epoch, in global order."""
    left = epoch[passed_over:]
    whole_steps = len(left) // way.step * way.step
    if way.tail == "drop":
        return left[:whole_steps]
    if way.tail == "pad" and whole_steps < len(left):
        return left + [as_padding(row) for row in itertools.islice(itertools.cycle(epoch), whole_steps + way.step - len(left))]
    return left


def merged(ranks: list[list[list[Row]]]) -> list[Row]:
    """The batches of each rank, as the global order has their rows: row by row through the ranks."""
    assert len({len(batches) for batches in ranks}) == 1, "ranks have different numbers of batches"
    rows = []
    for step in zip(*ranks):
        for same_place in itertools.zip_longest(*step):
            rows += [row for row in same_place if row is not None]
    return rows


def kill_worker(loader: cropring.Loader) -> None:
    worker = loader._worker
    assert worker is not None
    worker.process.kill()  # nothing, if it is dead and was not missed yet
    worker.process.wait()


def stop_somewhere(folder: Path, order: Order, way: Way, rng: random.Random) -> tuple[str, int, int]:
    """A state as JSON, its epoch, and how much of it is consumed."""
    with load(folder, rng.randrange(way.world_size), **order.flags(), **way.flags()) as loader:
        epoch, taken = rng.randrange(2), rng.choice((rng.randint(0, len(loader)), len(loader)))
        for _ in range(epoch):
            for _batch in loader:
                pass
        loop = iter(loader)
        for _ in range(taken):
            next(loop).release()
        if rng.random() < 0.2:
            kill_worker(loader)
        state = json.dumps(loader.state_dict())
        if taken and taken == len(loader) and rng.random() < 0.3:  # the loop's end makes a difference
            assert next(loop, None) is None
            return json.dumps(loader.state_dict()), epoch + 1, 0
        return state, epoch, min(order.sample_count, taken * way.step)


def trial(folder: Path, rng: random.Random) -> str:
    """Empty, or what was wrong."""
    order = Order.drawn(rng)
    before, after = Way.drawn(rng, order.sample_count), Way.drawn(rng, order.sample_count)
    reference = whole(folder, order)
    text, epoch, consumed = stop_somewhere(folder, order, before, rng)
    unlucky = rng.randrange(10)  # the rank whose worker is killed as well, if there is such a rank
    state = json.loads(text)
    wrong = []
    if (state["epoch"], state["samples_consumed"]) != (epoch, consumed):
        wrong.append(f"the state says {state}")
    ranks: list[list[list[list[Row]]]] = [[], []]
    for rank in range(after.world_size):
        with load(folder, rank, **(order.flags() | {"seed": 99}), **after.flags()) as loader:
            loader.load_state_dict(state)
            if loader.state_dict() != state:
                wrong.append(f"loaded, it says {loader.state_dict()}")
            for nth in range(2):
                batches = []
                for number, batch in enumerate(loader):
                    batches.append(rows_of(batch))
                    assert batch.epoch == epoch + nth
                    if rank == unlucky and number == 0:
                        kill_worker(loader)
                    del batch
                ranks[nth].append(batches)
    for nth, passed_over in ((0, consumed), (1, 0)):
        got = merged(ranks[nth])
        due = expected(reference[epoch + nth], passed_over, after)
        if got != due:
            wrong.append(f"of epoch {epoch + nth}: {sum(a != b for a, b in zip(got, due))} of {len(due)} rows differ, {len(got)} came")
        if nth == 0 and after.tail == "partial" and not order.weighted:
            numbers = sorted(int.from_bytes(row[2], "little") for row in reference[epoch][:consumed] + got)
            if len(set(numbers)) != order.sample_count or len(numbers) != order.sample_count:
                wrong.append("not every sample came once")
    return f"{order}, {before}, {after}, state {state}: {'; '.join(wrong)}" if wrong else ""


def trials(folder: Path, seed: int, count: int) -> Iterator[str]:
    """The faults of so many trials; each has a seed of its own."""
    for number in range(count):
        fault = trial(folder, random.Random(f"{seed} {number}"))
        if fault:
            yield f"trial {number} of seed {seed}: {fault}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Random resumes, compared with runs that never stopped.")
    parser.add_argument("trials", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20240229)
    arguments = parser.parse_args()
    logging.getLogger("cropring").setLevel(logging.ERROR)  # workers are killed all the time
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        faults = list(trials(Path(folder), arguments.seed, arguments.trials))
    for fault in faults:
        print(fault)
    print(f"seed {arguments.seed}: {arguments.trials} resumes, {len(faults)} with a row that differs from the run that never stopped")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
