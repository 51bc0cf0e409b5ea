#!/usr/bin/env python3
"""Batches of 32 crops of large and small pictures, resized to 32x32: crops.c beside Pillow, OpenCV and pyvips.

Every crop opens its file anew, by its path. All sides take turns batch by batch and get the same boxes; the CPU time of one
process each is counted. Ours must equal Pillow's crop().resize() byte for byte, in every batch.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import common
import make_crops
from peers_crops import FULL_SIZE_PEERS, PEERS

CROPS = common.PROGRAMS / "crops"
CROPS_PER_BATCH = 32
SIZE_PX = 32
MOST_SCALE = 0.25
STEADY_BATCHES = 3
OURS = "cropring"
PACK = "pack"


@dataclass(frozen=True)
class Picture:
    file: str
    channels: int
    fidelity: str  # which of ours the budget is for
    budget: float  # of the best peer's CPU time

    @property
    def fidelities(self) -> tuple[str, ...]:
        return ("exact", "fast") if self.file.endswith(".jpg") else ("exact",)


PICTURES = (
    Picture("color512.png", 3, "exact", 0.25),
    Picture("gray4000.png", 1, "exact", 0.25),
    Picture("color512.jpg", 3, "exact", 0.5),
    Picture("gray4000.jpg", 1, "fast", 0.3),
    Picture("color512.bmp", 3, "exact", 0.25),
    Picture("gray4000.bmp", 1, "exact", 0.2),
)


@dataclass(frozen=True)
class Batch:
    picture: str
    side: str
    repetition: int
    cpu_ms: float | None  # for 32 crops
    error: str = ""


def draw_boxes(batches: int, width: int, height: int, seed: int) -> np.ndarray:
    """(batches, 32, 4) x, y, width, height: position uniform in [0, 1], scale uniform in [0, 1] and capped, all in float32."""
    rng = np.random.default_rng(seed)
    x, y, scale = rng.random((3, batches, CROPS_PER_BATCH), dtype=np.float32)
    scale = np.minimum(scale, np.float32(MOST_SCALE))
    sides_px = [np.maximum(2, np.floor(np.float32(full) * scale)) for full in (width, height)]
    corners = [np.minimum(np.floor(at * np.float32(full)), full - side) for at, full, side in zip((x, y), (width, height), sides_px)]
    return np.stack([*corners, *sides_px], axis=-1).astype(np.int32)


def write_boxes(folder: Path, boxes: np.ndarray) -> Path:
    """As crops.c reads them."""
    path = folder / "boxes.txt"
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{len(boxes)} {CROPS_PER_BATCH} {SIZE_PX}\n")
        np.savetxt(file, boxes.reshape(-1, 4), fmt="%d")
    return path


class Ours:
    """crops.c, told what to do next."""

    def __init__(self, path: Path, picture: Picture, fidelity: str, boxes_text: Path) -> None:
        words = [CROPS, path, str(picture.channels), fidelity, boxes_text]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.batch_bytes = CROPS_PER_BATCH * SIZE_PX * SIZE_PX * picture.channels

    def tell(self, command: str) -> None:
        self.stdin.write(f"{command}\n".encode())
        self.stdin.flush()

    def cpu_ms(self, batch: int) -> float:
        self.tell(f"time {batch}")
        return int(self.stdout.readline().split()[0]) / 1e6

    def pixels(self, batch: int) -> np.ndarray:
        self.tell(f"pixels {batch}")
        return np.frombuffer(self.stdout.read(self.batch_bytes), np.uint8)

    def close(self) -> None:
        self.stdin.close()
        if self.process.wait(60) != 0:
            raise RuntimeError("crops failed; its message is above")


def measure_ours(path: Path, picture: Picture, repetition: int, boxes_text: Path, batches: int, name: str = OURS) -> tuple[list[Batch], np.ndarray]:
    """A fresh process each: its first batch, the steady state after it, and the pixels of batch number `repetition`."""
    rows, pixels = [], {}
    for fidelity in picture.fidelities:
        program = Ours(path, picture, fidelity, boxes_text)
        first = program.cpu_ms(repetition)
        steady = statistics.median(program.cpu_ms((repetition + 1 + i) % batches) for i in range(STEADY_BATCHES))
        pixels[fidelity] = program.pixels(repetition)
        program.close()
        rows.append(Batch(picture.file, f"{name} {fidelity}, first batch", repetition, round(first, 3)))
        rows.append(Batch(picture.file, f"{name} {fidelity}", repetition, round(steady, 3)))
    return rows, pixels["exact"]


def measure(folder: Path, picture: Picture, repetitions: int, seed: int, pack: Path | None = None) -> list[Batch]:
    """pack: of this picture, another side of ours."""
    path = folder / picture.file
    side_px = make_crops.PART_PX if picture.channels == 3 else make_crops.MOSAIC_PX
    boxes = draw_boxes(max(repetitions, 1 + STEADY_BATCHES), side_px, side_px, seed)
    peers = {name: function for name, (function, suffixes) in PEERS.items() if path.suffix[1:] in suffixes}
    rows = []
    for name, function in list(peers.items()):
        try:
            function(path, picture.channels, boxes[0, 0].tolist(), SIZE_PX)  # not counted: what a library does once
        except Exception as error:  # whatever a library says that cannot do it
            rows.append(Batch(picture.file, name, 0, None, common.in_a_line(error, path)))
            del peers[name]
    with tempfile.TemporaryDirectory(prefix="cropring-bench-") as temporary:
        boxes_text = write_boxes(Path(temporary), boxes)
        for repetition in range(repetitions):
            our_rows, our_pixels = measure_ours(path, picture, repetition, boxes_text, len(boxes))
            rows += our_rows
            if pack:
                pack_rows, pack_pixels = measure_ours(pack, picture, repetition, boxes_text, len(boxes), PACK)
                rows += pack_rows
                if not np.array_equal(pack_pixels, our_pixels):
                    raise RuntimeError(f"{picture.file}: the pack's pixels differ from the file's")
            names = list(peers) if repetition % 2 == 0 else list(reversed(peers))
            for name in names:
                begin_s = time.process_time()
                crops = [peers[name](path, picture.channels, box, SIZE_PX) for box in boxes[repetition].tolist()]
                rows.append(Batch(picture.file, name, repetition, round((time.process_time() - begin_s) * 1e3, 3)))
                if {crop.size for crop in crops} != {SIZE_PX * SIZE_PX * picture.channels}:
                    raise RuntimeError(f"{name}: a crop of another shape, {crops[0].shape}")
                if name == "Pillow" and not np.array_equal(np.stack(crops).reshape(-1), our_pixels):
                    raise RuntimeError(f"{picture.file}: our pixels differ from Pillow's")
    return rows


def median_ms(rows: Sequence[Batch], picture: Picture) -> dict[str, float]:
    mine = [row for row in rows if row.picture == picture.file and row.cpu_ms is not None]
    return {side: statistics.median(row.cpu_ms for row in mine if row.side == side) for side in sorted({row.side for row in mine})}  # type: ignore[type-var]


def print_tables(rows: Sequence[Batch]) -> None:
    measured = {picture: median_ms(rows, picture) for picture in PICTURES if any(row.picture == picture.file for row in rows)}
    sides = [f"{OURS} {fidelity}{when}" for fidelity in ("exact", "fast") for when in ("", ", first batch")] + list(PEERS)
    print("| CPU ms per batch | " + " | ".join(picture.file for picture in measured) + " |\n|---|" + "---|" * len(measured))
    for side in sides:
        cells = []
        for picture, medians in measured.items():
            error = any(row.error for row in rows if (row.picture, row.side) == (picture.file, side))
            cells.append(f"{medians[side]:.2f}" if side in medians else "error" if error else "–")
        print(f"| {side} | " + " | ".join(cells) + " |")
    for error in sorted({f"{row.side}, {row.picture}: {row.error}" for row in rows if row.error}):
        print(f"\n{error}")

    print("\n| picture | best peer | its ms | ours | ms | ratio | in the first batch | allowed | to the best at full size |")
    print("|---|---|---|---|---|---|---|---|---|")
    for picture, medians in measured.items():
        best = min((side for side in medians if side in PEERS), key=medians.__getitem__)
        full_size_ms = min(medians[side] for side in FULL_SIZE_PEERS if side in medians)
        for fidelity in picture.fidelities:
            ours, first = medians[f"{OURS} {fidelity}"], medians[f"{OURS} {fidelity}, first batch"]
            allowed = f"{picture.budget}" if fidelity == picture.fidelity else ""
            shares = f"{ours / medians[best]:.3f} | {first / medians[best]:.3f} | {allowed} | {ours / full_size_ms:.3f}"
            print(f"| {picture.file} | {best} | {medians[best]:.2f} | {fidelity} | {ours:.2f} | {shares} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=make_crops.DEFAULT_FOLDER, help="where make_crops.py has put them")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=[picture.file for picture in PICTURES], help="one picture; writes no CSV")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    common.build(CROPS)
    if not all((options.folder / picture.file).exists() for picture in PICTURES):
        subprocess.run([sys.executable, common.HERE / "make_crops.py", "--folder", options.folder], check=True, stdout=sys.stderr)
    rows = []
    for picture in PICTURES:
        if options.only in (None, picture.file):
            rows += common.in_fresh_process(measure, options.folder, picture, options.repetitions, options.seed)
            print(f"  {picture.file}: {median_ms(rows, picture)}", file=sys.stderr)
    print("pixels: ours, exact, equal Pillow's in every batch\n")
    print_tables(rows)
    if options.only is None:
        common.write_csv("crops", rows, common.machine_facts(("cropring", "pillow", "opencv-python-headless", "pyvips", "pyvips-binary", "numpy")))


if __name__ == "__main__":
    main()
