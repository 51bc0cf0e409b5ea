#!/usr/bin/env python3
"""What the hand-over of a batch costs: CPU time of the Python reader per batch, and of the doorbells with 1, 4 and 24 readers.

The producer (blank_producer.c) claims and commits without filling anything, so that nothing but the hand-over is measured.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cropring

import common

PRODUCER = common.PROGRAMS / "blank_producer"
KIB, MIB = 1024, 1024 * 1024
BUDGET_US = 20.0


@dataclass(frozen=True)
class Bell:
    """One run with reader processes in C."""

    share: str
    readers: int
    pace: str
    repetition: int
    commits: int
    commit_us: float  # CPU time of the publishing thread in one commit, bells included
    delivery_us: float  # CPU time of the readers per batch that one of them was handed, superfluous wakings included


@contextmanager
def served(batch_bytes: int, slots: int, pause_us: int) -> Iterator[cropring.Reader]:
    """A reader of a blank ring; leaving it ends the producer."""
    name = f"handover-{os.getpid()}"
    with subprocess.Popen([PRODUCER, name, str(batch_bytes), str(slots), str(pause_us)]) as producer:
        with cropring.attach(name, wait=10) as reader:
            yield reader
        assert producer.wait(10) == 0


# ---------------------------------------------------------------- the loops: each takes `batches` batches


def take_images(reader: cropring.Reader, batches: int) -> None:
    for _, batch in zip(range(batches), reader):
        batch.images


def unpack(reader: cropring.Reader, batches: int) -> None:
    for _, (images, labels) in zip(range(batches), reader):
        pass


def borrow(reader: cropring.Reader, batches: int) -> None:
    """What the loops above do below their arrays."""
    ring = reader._ring
    for _ in range(batches):
        ring.acquire().release()


LOOPS: dict[str, Callable[[cropring.Reader, int], None]] = {
    "for batch in reader: batch.images": take_images,
    "for images, labels in reader": unpack,
    "acquire and release alone": borrow,
}


def check_that_nothing_is_copied(reader: cropring.Reader, batch_bytes: int) -> None:
    """Every array lies inside the mapping, at one of as many addresses as there are slots."""
    begin, byte_count = reader._ring.mapping
    addresses = set()
    for _, batch in zip(range(100), reader):
        address, images = batch.images.ctypes.data, batch.images
        assert images.nbytes == batch_bytes and begin <= address and address + images.nbytes <= begin + byte_count
        addresses.add(address)
        del batch, images
    assert len(addresses) <= reader.stats()["slots"]


def measure(*, loop: str, batch_bytes: int, slots: int, pause_us: int, batches: int) -> common.Measurement:
    """The reader's thread alone: the producer is another process."""
    with served(batch_bytes, slots, pause_us) as reader:
        check_that_nothing_is_copied(reader, batch_bytes)
        LOOPS[loop](reader, batches // 10)
        faults_before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        wall_before_s, cpu_before_s = time.monotonic(), time.thread_time()
        LOOPS[loop](reader, batches)
        measured = common.Measurement(batches, time.monotonic() - wall_before_s, time.thread_time() - cpu_before_s)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults_before
        assert faults < batches // 10, f"{faults} page faults: memory is touched or allocated for each batch"
    return measured


def measure_sleep(*, batches: int) -> common.Measurement:
    """What a Python thread pays for being woken every millisecond, without a ring."""
    wall_before_s, cpu_before_s = time.monotonic(), time.thread_time()
    for _ in range(batches):
        time.sleep(0.001)
    return common.Measurement(batches, time.monotonic() - wall_before_s, time.thread_time() - cpu_before_s)


def python_sides() -> list[common.Side]:
    sides = []
    for size, batch_bytes, slots in (("64 KB", 64 * KIB, 16), ("64 MB", 64 * MIB, 4)):
        ring = {"batch_bytes": batch_bytes, "slots": slots}
        for loop in LOOPS:
            sides.append(common.Side(f"{size}: {loop}", measure, {"loop": loop, **ring, "pause_us": 0, "batches": 20000}))
        slow = {"loop": next(iter(LOOPS)), **ring, "pause_us": 1000, "batches": 2000}
        sides.append(common.Side(f"{size}, one every ms: {slow['loop']}", measure, slow))
    return [*sides, common.Side("no ring, every ms: time.sleep(0.001)", measure_sleep, {"batches": 2000})]


def print_python(rows: Sequence[common.Row]) -> None:
    print(
        f"bytes copied: 0 (every array lies inside the mapping)\n\n| batch and loop | CPU µs per batch, {BUDGET_US:.0f} allowed |\n|---|---|"
    )
    for name, (_, cpu_ms) in common.medians(rows).items():
        print(f"| {name} | {cpu_ms * 1e3:.1f} |")


# ---------------------------------------------------------------- doorbells: everything in C


def measure_bell(share: str, readers: int, pace: str, repetition: int) -> Bell:
    batches, pause_us = (20000, 0) if pace == "full speed" else (1000, 1000)
    words = [f"handover-{os.getpid()}", 64 * KIB, 32, pause_us, share, readers, batches]
    done = subprocess.run([PRODUCER, *map(str, words)], check=True, capture_output=True, text=True)
    told = done.stdout.split()
    commits, commit_ns, deliveries, reader_ns = map(int, told[1::2])
    return Bell(
        share, readers, pace, repetition, commits, round(commit_ns / commits / 1e3, 2), round(reader_ns / deliveries / 1e3, 2)
    )


def measure_bells(repetitions: int) -> list[Bell]:
    kinds = [
        (share, readers, pace) for pace in ("full speed", "1 per ms") for share in ("split", "broadcast") for readers in (1, 4, 24)
    ]
    rows = []
    for repetition in range(repetitions):
        for kind in kinds if repetition % 2 == 0 else reversed(kinds):
            rows.append(measure_bell(*kind, repetition))
            print(f"  {rows[-1]}", file=sys.stderr)
    return rows


def print_bells(rows: Sequence[Bell]) -> None:
    print("| pace | share | readers | producer, CPU µs per commit | readers, CPU µs per batch each |\n|---|---|---|---|---|")
    for pace, share, readers in dict.fromkeys((row.pace, row.share, row.readers) for row in rows):
        alike = [row for row in rows if (row.pace, row.share, row.readers) == (pace, share, readers)]
        commit_us = statistics.median(row.commit_us for row in alike)
        delivery_us = statistics.median(row.delivery_us for row in alike)
        print(f"| {pace} | {share} | {readers} | {commit_us:.1f} | {delivery_us:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=("python", "bells"))
    options = parser.parse_args()

    common.build(PRODUCER)
    facts = common.machine_facts(("cropring", "numpy"))
    if options.only != "bells":
        rows = common.alternate("handover", python_sides(), options.repetitions)
        print_python(rows)
        common.write_csv("handover", rows, facts)
    if options.only != "python":
        bells = measure_bells(options.repetitions)
        print_bells(bells)
        common.write_csv("doorbells", bells, facts)


if __name__ == "__main__":
    main()
