#!/usr/bin/env python3
"""What asking a Cropper costs beyond the work itself: batches of 32 crops of six pictures, and single pictures of 512x512 pixels.

The work itself is crops.c, which fetches, decodes and resizes the same crops in one process with one thread, and for single pictures
latency.c, which decodes and resizes the whole picture from memory.  All sides take turns, batch by batch.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cropring
import numpy as np

import common
import crops
import latency
import make_crops

IN_FLIGHT = 4
SHARE, CONSTANT_US = 0.05, 200  # what a call may cost beyond the work
LATENCY_SHARE, LATENCY_US = 0.2, 150
LATENCY_CALLS = 300  # of a round


@dataclass(frozen=True)
class Row:
    picture: str
    fidelity: str
    side: str
    repetition: int
    cpu_us: float  # of a batch, all processes
    wall_us: float


def draw_windows(batches: int, seed: int) -> np.ndarray:
    """(3, batches, 32) x, y, scale in float32: those from which crops.draw_boxes() makes its boxes."""
    return np.random.default_rng(seed).random((3, batches, crops.CROPS_PER_BATCH), dtype=np.float32)


class Clock:
    """CPU time of this process and of a Cropper's worker, and wall time."""

    def __init__(self, crop: cropring.Cropper) -> None:
        self.worker_pid = crop._exchange._worker.process.pid

    def cost_us(self, work: Callable[[], object]) -> tuple[float, float]:
        cpu_s, wall_s = time.process_time() + common.process_cpu_seconds(self.worker_pid), time.perf_counter()
        work()
        wall_s = time.perf_counter() - wall_s
        return (time.process_time() + common.process_cpu_seconds(self.worker_pid) - cpu_s) * 1e6, wall_s * 1e6


def measure(path: Path, picture: crops.Picture, fidelity: str, repetition: int, batches: int, boxes_text: Path, seed: int) -> list[Row]:
    """Fresh processes; the first batch is not counted."""
    windows, rows = draw_windows(batches, seed), []
    program = crops.Ours(path, picture, fidelity, boxes_text)
    paths = [path] * crops.CROPS_PER_BATCH
    with cropring.Cropper(crops.SIZE_PX, channels=picture.channels, max_img_percent=crops.MOST_SCALE, fidelity=fidelity, threads=1, batch_size=32, slots=8) as crop:
        clock = Clock(crop)
        for batch in range(batches):
            window = windows[:, batch]
            answer = crop(paths, *window)
            if answer.images.tobytes() != program.pixels(batch).tobytes():
                raise SystemExit(f"{picture.file}: the Cropper's pixels are not those of crops.c")
            answer.release()
        for batch in range(batches):
            window = windows[:, batch]

            def call() -> None:
                crop(paths, *window)

            def calls_in_flight() -> None:
                for future in [crop.submit(paths, *window) for _ in range(IN_FLIGHT)]:
                    future.result()

            program.tell(f"time {batch}")
            raw_us = [int(word) / 1e3 for word in program.stdout.readline().split()]
            called_us = clock.cost_us(call)
            flown_us = [time_us / IN_FLIGHT for time_us in clock.cost_us(calls_in_flight)]
            for side, (cpu_us, wall_us) in (("crops.c", raw_us), ("a call", called_us), (f"{IN_FLIGHT} in flight", flown_us)):
                rows.append(Row(picture.file, fidelity, side, repetition, round(cpu_us, 1), round(wall_us, 1)))
    program.close()
    return rows


def measure_latency(path: Path, repetitions: int) -> list[Row]:
    """One item a call, the whole picture: medians of each round."""
    rows = []
    with cropring.Cropper(224, threads=1, batch_size=1) as crop:
        for repetition in range(repetitions):
            in_c = latency.measure(path, LATENCY_CALLS, 1, 1.0, repetition)
            clock = Clock(crop)
            costs = [clock.cost_us(lambda: crop(path, 0, 0, 1)) for _ in range(LATENCY_CALLS)]
            cpu_us, wall_us = (statistics.median(column) for column in zip(*costs))
            rows.append(Row(path.name, "exact", "latency.c, here", repetition, in_c.here_cpu_us, in_c.here_us))
            cpu_us = in_c.worker_cpu_us + in_c.reader_cpu_us
            rows.append(Row(path.name, "exact", "latency.c, by request", repetition, round(cpu_us, 1), in_c.request_us))
            rows.append(Row(path.name, "exact", "Cropper", repetition, round(cpu_us, 1), round(wall_us, 1)))
    return rows


def medians(rows: list[Row], picture: str, fidelity: str, side: str) -> tuple[float, float]:
    chosen = [row for row in rows if (row.picture, row.fidelity, row.side) == (picture, fidelity, side)]
    return statistics.median(row.cpu_us for row in chosen), statistics.median(row.wall_us for row in chosen)


def overhead_us(rows: list[Row], picture: str, fidelity: str, side: str) -> float:
    """CPU time of a batch beyond crops.c's of the same batch: the median over all batches."""
    of_side, raw = ([row.cpu_us for row in rows if (row.picture, row.fidelity, row.side) == (picture, fidelity, name)] for name in (side, "crops.c"))
    return statistics.median(np.subtract(of_side, raw))


def print_tables(rows: list[Row], single: list[Row]) -> None:
    print("| picture | fidelity | crops.c, CPU µs | a call, more | in flight, more | may be more | wall µs: crops.c | a call | in flight |")
    print("|---|---|---|---|---|---|---|---|---|")
    for picture, fidelity in dict.fromkeys((row.picture, row.fidelity) for row in rows):
        flown = f"{IN_FLIGHT} in flight"
        (raw_us, raw_wall_us), (_, call_wall_us), (_, flown_wall_us) = (medians(rows, picture, fidelity, side) for side in ("crops.c", "a call", flown))
        more = (overhead_us(rows, picture, fidelity, side) for side in ("a call", flown))
        words = [picture, fidelity, f"{raw_us:.0f}", *(f"{us:+.0f}" for us in more), f"{raw_us * SHARE + CONSTANT_US:.0f}"]
        print("|", " | ".join(words + [f"{us:.0f}" for us in (raw_wall_us, call_wall_us, flown_wall_us)]), "|")
    here_us, c_us, own_us = (medians(single, single[0].picture, "exact", side)[1] for side in ("latency.c, here", "latency.c, by request", "Cropper"))
    print(f"\none {single[0].picture} to 224x224, wall: decode and resize alone {here_us:.0f} µs, asked for in C {c_us:.0f} µs, by a Cropper {own_us:.0f} µs;")
    print(f"may be {here_us * (1 + LATENCY_SHARE) + LATENCY_US:.0f} µs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=make_crops.DEFAULT_FOLDER)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--batches", type=int, default=4, help="of a repetition")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="FILE", help="leave the other pictures out, and the CSV as it is")
    options = parser.parse_args()

    common.build(crops.CROPS)
    common.build(latency.PROGRAM)
    common.build(latency.WORKER)
    if not all((options.folder / picture.file).exists() for picture in crops.PICTURES):
        subprocess.run([sys.executable, make_crops.__file__, "--folder", options.folder], check=True)
    rows: list[Row] = []
    for picture in crops.PICTURES:
        if options.only and picture.file not in options.only:
            continue
        side_px = make_crops.PART_PX if picture.channels == 3 else make_crops.MOSAIC_PX
        with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
            boxes_text = crops.write_boxes(Path(temporary), crops.draw_boxes(options.batches, side_px, side_px, options.seed))
            for fidelity in picture.fidelities:
                for repetition in range(options.repetitions):
                    rows += measure(options.folder / picture.file, picture, fidelity, repetition, options.batches, boxes_text, options.seed)
        print(f"  {picture.file}: done", file=sys.stderr)
    single = measure_latency(options.folder / "color512.jpg", options.repetitions)
    print_tables(rows, single)
    if options.only is None:
        common.write_csv("cropper", rows + single, common.machine_facts(("cropring", "numpy")))


if __name__ == "__main__":
    main()
