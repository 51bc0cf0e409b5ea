"""Packs of the pictures of bench/pack.py, made by `cropring pack` as it is in this tree, and what making them took."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cropring._cli import executable

import common
import make_mosaics

FOLDER = make_mosaics.DEFAULT_FOLDER
MOSAICS = tuple(sorted(make_mosaics.MOSAICS))  # in the order of their sample numbers


@dataclass(frozen=True)
class Packing:
    wall_s: float
    cpu_s: float
    most_memory_bytes: int
    pack_bytes: int


def pack(source: Path, out: Path, *flags: str) -> Packing:
    """One run of the command, to its end; a pack that is there already is replaced."""
    out.unlink(missing_ok=True)
    shutil.rmtree(f"{out}.partial", ignore_errors=True)
    with tempfile.TemporaryFile() as said:
        begin_s = time.monotonic()
        process = subprocess.Popen([executable(), "pack", source, out, *flags], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - begin_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"cropring pack {source.name} {' '.join(flags)}: exit code {process.returncode}\n{said.read().decode()}")
    return Packing(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, out.stat().st_size)


def mosaics() -> Path:
    make_mosaics.make_mosaics(FOLDER, seed=5)
    return FOLDER / "mosaics"


def alone(picture: Path) -> Path:
    """A folder with this picture and nothing else."""
    folder = FOLDER / f"alone_{picture.name.replace('.', '_')}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(picture, folder / picture.name)
    return folder


def growth(suffix: str) -> Path:
    make_mosaics.make_growth(FOLDER, seed=5)
    return FOLDER / f"growth_{suffix}"


def copies(picture: Path, count: int) -> Path:
    """A folder of so many copies, each with blocks of its own on the disk."""
    folder = FOLDER / f"copies_{count}_{picture.name.replace('.', '_')}"
    for number in range(count):
        path = folder / f"{number:03}{picture.suffix}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture.read_bytes())
    return folder


def packed(source: Path, *flags: str) -> Path:
    """The pack of a folder: made anew, for the figures belong to the tree as it is."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    out = FOLDER / f"{source.name}.pack"
    packing = pack(source, out, "--verify", "none", *flags)
    print(f"  {out.name}: {packing.pack_bytes} bytes in {packing.wall_s:.1f} s", file=sys.stderr)
    return out


def file_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "set.json")


def build_facts() -> dict[str, str]:
    return common.machine_facts(("cropring", "pillow", "opencv-python-headless", "pyvips", "pyvips-binary", "numpy"))
