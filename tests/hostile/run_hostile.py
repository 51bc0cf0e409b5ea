"""Every hostile file alone in a fresh process, then all of them among good photographs through a Loader.

    tests/hostile/run [--keep FOLDER] [NAME...]

Alone: the right status, at most 300 ms of CPU time and 256 MB of memory.  Together: the same statuses, and every good picture
as it is without bad neighbours.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import cropring
from hostile_files import PHOTO, Case, write_all

ROOT = Path(__file__).resolve().parents[2]
MOST_CPU_MS = 300.0
MOST_MB = 256.0
TIMEOUT_S = 120
# The whole picture, so that nothing of a file can be left out.
FLAGS = {"crop": "resize", "size": 64, "hflip": 0, "orientation": "exif", "max_file_bytes": 64 << 20}
PHOTOS_AMONG_THEM = 20


@dataclass(frozen=True)
class Answer:
    status: str
    cpu_ms: float
    peak_mb: float
    reason: str


def render_alone(program: Path, path: Path, extra: list[str]) -> Answer:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in FLAGS.items()]
    try:
        done = subprocess.run([program, *flags, *extra, path], capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return Answer("hung", TIMEOUT_S * 1e3, 0, "")
    if done.returncode != 0:
        return Answer("died", 0, 0, f"exit code {done.returncode}: {done.stderr[-2000:]}")
    status, cpu_ms, peak_kb, reason = done.stdout.rstrip("\n").split("\t")
    return Answer(status, float(cpu_ms), float(peak_kb) / 1024, reason)


def faults(case: Case, answer: Answer) -> list[str]:
    found = []
    if answer.status not in case.allowed:
        found.append(f"{answer.status} instead of {' or '.join(sorted(case.allowed))}")
    if answer.cpu_ms > MOST_CPU_MS:
        found.append(f"{answer.cpu_ms:.0f} ms of CPU time")
    if answer.peak_mb > MOST_MB:
        found.append(f"{answer.peak_mb:.0f} MB")
    return found


def load_together(folder: Path, cases: list[Case], **flags: object) -> list[str]:
    """All cases and some good photographs in one stream.  `folder` holds the cases; returns what went wrong."""
    for number in range(PHOTOS_AMONG_THEM):
        shutil.copy(PHOTO, folder / f"{'0abcdefghijklmnopqrstuvwxyz'[number]}_good.jpg")
    chosen = {"batch_size": 16, "shuffle": False, "tail": "partial", "on_error": "zero", "quiet": True, "epochs": 1} | FLAGS | flags
    allowed = {case.name: case.allowed for case in cases}
    wrong, seen = [], 0
    expected = None
    with cropring.Loader(folder, **chosen) as loader:
        worker = loader._worker.process.pid
        for batch in loader:
            for row, index in enumerate(batch.index):
                name, status = Path(loader.paths[index]).name, cropring.Status(int(batch.status[row])).name.lower()
                seen += 1
                if name.endswith("_good.jpg"):
                    expected = batch.images[row].copy() if expected is None else expected
                    if status != "ok" or not np.array_equal(batch.images[row], expected):
                        wrong.append(f"{name}: a good photograph came out otherwise, {status}")
                elif status not in allowed[name]:
                    wrong.append(f"{name}: {status} instead of {' or '.join(sorted(allowed[name]))}")
                elif status != "ok" and batch.images[row].any():
                    wrong.append(f"{name}: {status}, but the row is not blank")
        if loader._worker.process.pid != worker or loader.stats().get("crashed_samples", 0):
            wrong.append("the worker died")
    if seen != len(cases) + PHOTOS_AMONG_THEM:
        wrong.append(f"{seen} rows of {len(cases) + PHOTOS_AMONG_THEM}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only cases whose name has one of these in it")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the files there")
    parser.add_argument("--wrecks", type=int, default=64, help="truncations, and as many with flipped bits, of each of five files")
    parser.add_argument("--program", type=Path, default=ROOT / "build/default/render_one")
    parser.add_argument("--flag", action="append", default=[], help="one more flag of `cropring serve`, such as --flag=--fidelity=fast")
    options = parser.parse_args()

    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        cases = write_all(folder, options.wrecks)
        chosen = [case for case in cases if not options.names or any(name in case.name for name in options.names)]
        answers = [render_alone(options.program, folder / case.name, options.flag) for case in chosen]
        for case, answer in zip(chosen, answers, strict=True):
            if found := faults(case, answer):
                wrong += 1
                print(f"{case.name}: {', '.join(found)}  [{answer.status}: {answer.reason}]")
            elif options.names:
                print(f"{case.name}: {answer.status}, {answer.cpu_ms:.1f} ms, {answer.peak_mb:.0f} MB  [{answer.reason}]")
        stream = "not tried"
        if not options.names:
            together = load_together(folder, cases)
            print(*together, sep="\n", end="\n" if together else "")
            wrong += len(together)
            stream = "broken" if together else "whole"
    slowest = max(zip(answers, chosen), key=lambda pair: pair[0].cpu_ms)
    largest = max(zip(answers, chosen), key=lambda pair: pair[0].peak_mb)
    print(
        f"hostile: {len(chosen)} files, {wrong} faults; slowest {slowest[0].cpu_ms:.0f} ms ({slowest[1].name}), "
        f"largest {largest[0].peak_mb:.0f} MB ({largest[1].name}); the stream among {PHOTOS_AMONG_THEM} good ones: {stream}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
