"""Crops from packs beside crops from the files that they were made of, and what `cropring unpack` gives back beside those files.

    tests/exactness/run pack [CASES]

A case is one row of a batch, cut from the pack and from the folder: pixels, box, status and all other fields must be the same.  The files
are those of tests/exactness/sweep.py, larger ones of the same kinds, and damaged ones; each pack has segments of another size.
Unpacked files must have the pixels that they had for Pillow, and be flawless for djpeg and for libpng (read_png.c).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import sweep
from PIL import Image

import cropring
from cropring._cli import executable

kinds = sweep.kinds
FIELDS = ("index", "labels", "status", "box", "source_size", "flipped", "images")


@dataclass(frozen=True)
class Variant:
    """How a pack is made."""

    segment_px: str = "auto"
    png_rows: str = "auto"
    more: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        return ["--segment-px", self.segment_px, "--png-rows", self.png_rows, *self.more]

    @property
    def name(self) -> str:
        return "_".join((self.segment_px, self.png_rows, *(flag.strip("-") for flag in self.more)))


# MCUs are 8, 16 or 32 pixels wide: 1 to 20 of them, prime numbers of them, rows of them.
VARIANTS = (
    Variant(),
    Variant("8", "1"),
    Variant("40", "7", ("--keep-metadata",)),
    Variant("160", "32"),
    Variant("65535", "65535"),
    Variant("56", "auto", ("--bmp-to-png",)),
    Variant("104", "13", ("--bmp-to-png", "--keep-metadata")),
    Variant("272", "2", ("--shard-bytes", "1000000")),
)


@dataclass
class Outcome:
    """Sums over cases and files."""

    cases: Counter[str] = field(default_factory=Counter)  # by variant
    bad_samples: int = 0  # cases of files that cannot be decoded, which are the same on both sides
    differing_cases: int = 0
    differing_bytes: int = 0
    unpacked: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.cases.update(other.cases)
        self.failures += other.failures
        for name in ("bad_samples", "differing_cases", "differing_bytes", "unpacked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


# ---------------------------------------------------------------- files


def write_files(folder: Path, seed: int, of_each_kind: int, large: int) -> dict[Path, str]:
    """Files of every kind, `large` ones of random kinds of 500 to 1600 pixels, and wrecks of a tenth of all."""
    kind_of = sweep.write_files(folder, seed, of_each_kind)
    rng = random.Random(seed)
    photos = sorted(sweep.PHOTOS.glob("*/*"))
    makers = [(name, make) for name, make in kinds.all_kinds().items() if name != kinds.UNFINISHED]
    for number in range(large):
        name, make = rng.choice(makers)
        photo = Image.open(rng.choice(photos)).convert("RGB").resize((rng.randint(500, 1600), rng.randint(500, 1600)))
        path = folder / name[:4].strip().lower() / f"large{number:03}.{name[:4].strip().lower()}"
        path.write_bytes(make(photo, rng))
        kind_of[path] = name
    for path, kind in rng.sample(sorted(kind_of.items()), len(kind_of) // 10):
        file = bytearray(path.read_bytes())
        if rng.random() < 0.5:
            del file[rng.randint(1, len(file) - 1) :]
        else:
            for _ in range(rng.randint(1, 20)):
                file[rng.randrange(len(file))] = rng.randrange(256)
        wreck = path.with_stem(f"{path.stem}_wreck")
        wreck.write_bytes(file)
        kind_of[wreck] = f"{kind}, damaged"
    return kind_of


def run_command(*words: object) -> None:
    done = subprocess.run([executable(), *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cropring {' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def make_pack(folder: Path, packs: Path, variant: Variant) -> Path:
    pack = packs / f"{variant.name}.pack"
    run_command("pack", folder, pack, "--verify", "none", "--quiet", *variant.flags)
    return pack


# ---------------------------------------------------------------- crops


def batches(loader: cropring.Loader) -> Iterator[cropring.Batch]:
    """Without end."""
    while True:
        yield from loader


def compare(folder: Path, pack: Path, settings: sweep.Settings, fidelity: str, case_count: int) -> Outcome:
    """The same epochs from both, byte for byte."""
    outcome = Outcome()
    with settings.loader(folder, fidelity=fidelity) as loose_loader, settings.loader(pack, fidelity=fidelity) as pack_loader:
        for loose, packed in zip(batches(loose_loader), batches(pack_loader), strict=True):
            outcome.cases[pack.stem] += len(loose)
            outcome.bad_samples += int(np.count_nonzero(loose.status))
            for name in FIELDS:
                unlike = (loose[name] != packed[name]).reshape(len(loose), -1)
                outcome.differing_bytes += int(unlike.sum()) if name == "images" else 0
                for row in np.flatnonzero(unlike.any(axis=1)):
                    outcome.differing_cases += 1
                    path = Path(loose_loader.paths[loose.index[row]]).name
                    values = "" if name == "images" else f" {loose[name][row]}, from the pack {packed[name][row]}"
                    what = f"{np.count_nonzero(unlike[row])} of {unlike.shape[1]} values of {name} differ{values}"
                    outcome.failures.append(f"{pack.name}: {path} box {loose.box[row].tolist()}: {what}; {fidelity}, {settings}")
            if outcome.cases.total() >= case_count:
                return outcome
    raise AssertionError("epochs end only with the loop")


def run_chunk(chunk: tuple[int, Path, Path, int]) -> Outcome:
    seed, folder, pack, case_count = chunk
    settings = sweep.Settings.pick(seed)
    if seed % 2:  # pixels as they are: boxes of the output's size anywhere
        settings = dataclasses.replace(settings, crop="random")
    return compare(folder, pack, settings, "fast" if seed % 5 == 0 else "exact", case_count)


# ---------------------------------------------------------------- unpacked files


@functools.cache
def png_reader() -> Path:
    """read_png.c, built when it is older than its source."""
    source, program = Path(__file__).with_name("read_png.c"), sweep.ROOT / "build/kinds/read_png"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        mine = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-std=gnu11", "-O2", "-o", mine, source, "-lpng"], check=True)
        mine.rename(program)
    return program


def complaint(path: Path) -> str:
    """What djpeg or libpng says of a file; "": it is flawless for them."""
    if path.suffix in (".jpeg", ".jpg"):
        words: list[object] = ["djpeg", "-outfile", os.devnull, path]
    elif path.suffix == ".png":
        words = [png_reader(), path]
    else:
        return ""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    return done.stderr.strip() or ("" if done.returncode == 0 else f"exit code {done.returncode}")


def pixels(path: Path, was_bmp: bool) -> tuple[object, ...] | None:
    """What Pillow makes of a file; None: it cannot read it."""
    try:
        with Image.open(path) as image:
            image.load()
            if was_bmp:  # which may have become a PNG of another mode
                return image.size, image.convert("RGB").tobytes()
            return image.size, image.mode, (image.convert("RGBA") if image.mode == "P" else image).tobytes()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError):  # whatever Pillow raises for wrecks
        return None


def look_at_unpacked(task: tuple[Path, Path, str]) -> str:
    source, unpacked, pack = task
    if not unpacked.exists():
        return f"{pack}: {source.name} was not unpacked"
    if unpacked.read_bytes() == source.read_bytes():
        return ""
    before, after = (pixels(path, source.suffix == ".bmp") for path in (source, unpacked))
    if before is None or before != after:
        return f"{pack}: {source.name}, unpacked, has other pixels for Pillow, or only one of them can be read"
    said = complaint(unpacked)
    return f"{pack}: {unpacked.name}, unpacked: {said}" if said and not complaint(source) else ""


def unpacked_tasks(folder: Path, pack: Path, sources: Sequence[Path]) -> list[tuple[Path, Path, str]]:
    out = pack.with_suffix("")
    run_command("unpack", pack, out, "--quiet")
    tasks = []
    for source in sources:
        unpacked = out / source.relative_to(folder)
        if source.suffix == ".bmp" and not unpacked.exists():
            unpacked = unpacked.with_suffix(".png")
        tasks.append((source, unpacked, pack.name))
    return tasks


# ---------------------------------------------------------------- all of it


def run(folder: Path, kind_of: dict[Path, str], variants: Sequence[Variant], seed: int, case_count: int, processes: int, cases_of_a_worker: int = 400) -> Outcome:
    packs = folder.with_name("packs")
    packs.mkdir()
    made = [make_pack(folder, packs, variant) for variant in variants]
    chunks = []
    for begin, pack in zip(range(0, case_count, cases_of_a_worker), itertools.cycle(made)):
        chunks.append((seed + len(chunks), folder, pack, min(cases_of_a_worker, case_count - begin)))
    tasks = [task for pack in made for task in unpacked_tasks(folder, pack, sorted(kind_of))]
    png_reader()
    total = Outcome(unpacked=len(tasks))
    if processes == 1:
        for chunk in chunks:
            total.add(run_chunk(chunk))
        total.failures += filter(None, map(look_at_unpacked, tasks))
        return total
    with get_context("spawn").Pool(processes, warnings.filterwarnings, ("ignore",)) as pool:
        for outcome in pool.imap_unordered(run_chunk, chunks):
            total.add(outcome)
        total.failures += filter(None, pool.imap_unordered(look_at_unpacked, tasks, 16))
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=int, nargs="?", default=20000)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CROPRING_TEST_SEED", "20240229")))
    parser.add_argument("--files", type=int, default=2, help="of each kind")
    parser.add_argument("--large", type=int, default=40, help="larger files")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave files and packs there")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()

    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)) / "files"
        folder.mkdir(parents=True)
        kind_of = write_files(folder, options.seed, options.files, options.large)
        total = run(folder, kind_of, VARIANTS, options.seed, options.cases, options.processes)
    for failure in total.failures[:20]:
        print(failure, file=sys.stderr)
    print("| pack | cases |\n|---|---|")
    for name, cases in total.cases.items():
        print(f"| {name} | {cases} |")
    print(
        f"seed {options.seed}: {total.cases.total()} crops of {len(kind_of)} files of {len(set(kind_of.values()))} kinds, {total.bad_samples} of files "
        f"that cannot be decoded, from {len(VARIANTS)} packs in {time.monotonic() - begin:.0f} s: {total.differing_bytes} bytes differ, "
        f"{total.differing_cases} cases; {total.unpacked} files unpacked; {len(total.failures)} failures"
    )
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
