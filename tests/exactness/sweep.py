"""Random cuts of files of every kind by the worker, beside Pillow's: Image.open(f).convert(mode).crop(box).resize(size, filter).

    tests/exactness/run [CASES]

A case is one row of a batch: a file, and a box, filter, size, channels and mirroring, which `Settings` and the worker's own random
numbers choose.  Prints differing bytes for every kind of file, then the error of fidelity="fast" for every reduction.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import cropring

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/kinds"))
sys.path.insert(0, str(ROOT / "tests/python"))
import kinds  # noqa: E402  (lies in a folder of its own)

PHOTOS = ROOT / "tests/data/photos"
FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
CASES_OF_A_WORKER = 400


@dataclass(frozen=True)
class Settings:
    """What one worker does with all files; picked by `seed` alone."""

    seed: int
    filter: str
    channels: int
    size: tuple[int, int]  # height, width
    crop: str
    scale: tuple[float, float]
    ratio: tuple[float, float]
    orientation: str

    @staticmethod
    def pick(seed: int) -> Settings:
        rng = random.Random(seed)
        most = 2.0 ** -rng.uniform(0, 10)  # of the picture's area
        side_px = rng.choice((4, 40, 100, 300))
        return Settings(
            seed,
            rng.choice(FILTERS),
            rng.choice((3, 3, 1)),
            (rng.randint(1, side_px), rng.randint(1, side_px)),
            rng.choice(("random-resized", "random-resized", "random-resized", "random", "resize", "center")),
            (most * rng.choice((0.05, 0.5, 1)), most),
            rng.choice(((0.75, 1.3333), (0.1, 10), (1, 30))),
            rng.choice(("raw", "exif")),
        )

    def loader(self, folder: Path, **flags: object) -> cropring.Loader:
        chosen: dict[str, object] = {
            "seed": self.seed,
            "resample": self.filter,
            "channels": self.channels,
            "size": self.size,
            "crop": self.crop,
            "orientation": self.orientation,
        }
        if self.crop == "random-resized":
            chosen |= {"scale": self.scale, "ratio": self.ratio}
        return cropring.Loader(folder, batch_size=32, slots=3, threads=1, tail="partial", on_error="zero", epochs=0, quiet=True, **(chosen | flags))


@dataclass
class Outcome:
    """Sums over cases; those of several processes are added."""

    cases: Counter[str] = field(default_factory=Counter)
    differing_bytes: Counter[str] = field(default_factory=Counter)
    differing_cases: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    fast_cases: Counter[int] = field(default_factory=Counter)  # by eighths of the size
    fast_errors: NDArray[np.int64] = field(default_factory=lambda: np.zeros((9, 256), np.int64))  # eighths, absolute difference

    def add(self, other: Outcome) -> None:
        for name in ("cases", "differing_bytes", "differing_cases", "fast_cases"):
            getattr(self, name).update(getattr(other, name))
        self.failures += other.failures
        self.fast_errors += other.fast_errors


def picture_sizes(rng: random.Random) -> Iterator[tuple[int, int]]:
    """Tiny and odd ones, long ones, ordinary ones."""
    while True:
        yield rng.randint(1, 20), rng.randint(1, 20)
        yield rng.randint(20, 140), rng.randint(20, 140)
        yield rng.randint(1, 12), rng.randint(100, 400)
        yield rng.randint(200, 500), rng.randint(150, 400)
        yield rng.randint(100, 400), rng.randint(1, 12)
        yield 16 * rng.randint(1, 20), 16 * rng.randint(1, 20)


def write_files(folder: Path, seed: int, of_each_kind: int) -> dict[Path, str]:
    """So many files of each kind, and the kind of each.  Seeds give different sizes, photographs and options."""
    rng = random.Random(seed)
    photos = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*/*"))]
    sizes = picture_sizes(rng)
    written = {}
    for (name, make), number in itertools.product(kinds.all_kinds().items(), range(of_each_kind)):
        size = next(sizes)
        photo = rng.choice([photo for photo in photos if photo.width >= size[0] and photo.height >= size[1]] or photos)
        left, top = (rng.randint(0, max(0, whole - part)) for whole, part in zip(photo.size, size))
        kind = name[:4].strip().lower()
        (folder / kind).mkdir(exist_ok=True)
        path = folder / kind / f"{len(written):05}.{kind}"
        path.write_bytes(make(photo.crop((left, top, min(photo.width, left + size[0]), min(photo.height, top + size[1]))), rng))
        written[path] = name
    return written


def reference(path: Path, kind: str, channels: int, orientation: str) -> Image.Image:
    """The whole picture by Pillow.  Gray of a colour JPEG is its luma plane; 16-bit gray is its high byte (loader/decode/unpack.h)."""
    image: Image.Image = Image.open(path)
    if channels == 1:
        image.draft("L", image.size)
    if orientation == "exif":
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB" if channels == 3 else "L")


def cut(image: Image.Image, box: list[int], settings: Settings) -> Image.Image:
    height, width = settings.size
    filter_ = Image.Resampling[settings.filter.upper()]
    if settings.crop == "center":  # torchvision's Resize(short side) and CenterCrop
        short_side = round(max(height, width) * 256 / 224)
        short, long = sorted(image.size)
        scaled = tuple(short_side if side == short else short_side * long // short for side in image.size)
        left, top = round((scaled[0] - width) / 2.0), round((scaled[1] - height) / 2.0)
        return image.resize(scaled, filter_).crop((left, top, left + width, top + height))
    x, y, box_width, box_height = box
    return image.crop((x, y, x + box_width, y + box_height)).resize((width, height), filter_)


def rows(loader: cropring.Loader) -> Iterator[tuple[Path, int, list[int], int, NDArray[np.uint8]]]:
    """(file, status, box, flipped, pixels) without end."""
    while True:
        for batch in loader:
            for row, index in enumerate(batch.index):
                yield Path(loader.paths[index]), int(batch.status[row]), batch.box[row].tolist(), int(batch.flipped[row]), batch.images[row]


def compare(folder: Path, kind_of: dict[Path, str], settings: Settings, case_count: int) -> Outcome:
    outcome = Outcome()
    references: dict[Path, Image.Image] = {}
    with settings.loader(folder) as loader:
        for path, status, box, flipped, pixels in itertools.islice(rows(loader), case_count):
            kind = kind_of[path]
            outcome.cases[kind] += 1
            if path not in references:
                references[path] = reference(path, kind, settings.channels, settings.orientation)
            image = cut(references[path], box, settings) if status == 0 else Image.new("RGB", (1, 1))
            expected = np.asarray(ImageOps.mirror(image) if flipped else image).reshape(-1)
            if status != 0:
                outcome.differing_bytes[kind] += pixels.size
            elif differing := int(np.count_nonzero(pixels.reshape(-1) != expected)):
                outcome.differing_bytes[kind] += differing
            else:
                continue
            outcome.differing_cases[kind] += 1
            what = f"status {cropring.Status(status).name}" if status else f"{differing} of {pixels.size} bytes differ"
            outcome.failures.append(f"{kind}: {path.name} {references[path].size} box {box} flipped {flipped}: {what}; {settings}")
    return outcome


def reduction(box: list[int], size: tuple[int, int]) -> int:
    """Eighths of its size at which `fast` decodes a JPEG: the least halving that leaves the box as large as the output."""
    eighths = 8
    while eighths > 1 and box[2] * (eighths // 2) >= size[1] * 8 and box[3] * (eighths // 2) >= size[0] * 8:
        eighths //= 2
    return eighths


def compare_fast(folder: Path, kind_of: dict[Path, str], settings: Settings, case_count: int) -> Outcome:
    """`fast` beside `exact` for files that may be decoded smaller: JPEGs."""
    outcome = Outcome()
    with settings.loader(folder) as exact_loader, settings.loader(folder, fidelity="fast") as fast_loader:
        for exact, fast in itertools.islice(zip(rows(exact_loader), rows(fast_loader)), case_count):
            path, status, box, _, pixels = exact
            assert (path, status, box) == (fast[0], fast[1], fast[2])
            if status != 0 or kind_of[path] == kinds.UNFINISHED:
                continue
            eighths = reduction(box, settings.size)
            outcome.fast_cases[eighths] += 1
            outcome.fast_errors[eighths] += np.bincount(np.abs(pixels.astype(np.int16) - fast[4]).ravel(), minlength=256)
    return outcome


def run_chunk(chunk: tuple[int, Path, dict[Path, str], int]) -> Outcome:
    seed, folder, kind_of, case_count = chunk
    warnings.filterwarnings("ignore", "Palette images with Transparency")  # Pillow's advice, not for us to take
    settings = Settings.pick(seed)
    outcome = compare(folder, kind_of, settings, case_count)
    # The box of "center" is that of its window, not what is reduced; "nearest" picks pixels, and a smaller picture has others.
    if settings.crop != "center" and settings.filter != "nearest":
        outcome.add(compare_fast(folder / "jpeg", kind_of, settings, case_count // 4))
    return outcome


def sweep(
    folder: Path, kind_of: dict[Path, str], seed: int, case_count: int, processes: int, cases_of_a_worker: int = CASES_OF_A_WORKER
) -> Outcome:
    """Each worker sees the files in an order of its own, so any file may come after any other in its decoder."""
    chunks = []
    for begin in range(0, case_count, cases_of_a_worker):
        chunks.append((seed + len(chunks), folder, kind_of, min(cases_of_a_worker, case_count - begin)))
    total = Outcome()
    if processes == 1:
        for chunk in chunks:
            total.add(run_chunk(chunk))
        return total
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for outcome in pool.imap_unordered(run_chunk, chunks):
            total.add(outcome)
    return total


def print_tables(total: Outcome) -> None:
    print("| kind | cases | differing cases | differing bytes |\n|---|---|---|---|")
    for kind in kinds.all_kinds():
        if total.cases[kind]:
            print(f"| {kind} | {total.cases[kind]} | {total.differing_cases[kind]} | {total.differing_bytes[kind]} |")
    print(f"| all | {total.cases.total()} | {total.differing_cases.total()} | {total.differing_bytes.total()} |")
    print("\n| fast: decoded at | cases | largest error | 99 % within | mean error |\n|---|---|---|---|---|")
    for eighths in (8, 4, 2, 1):
        histogram = total.fast_errors[eighths]
        if not histogram.any():
            continue
        mean = histogram @ np.arange(256) / histogram.sum()
        within = int(np.searchsorted(histogram.cumsum(), 0.99 * histogram.sum()))
        print(f"| {eighths}/8 | {total.fast_cases[eighths]} | {histogram.nonzero()[0].max()} | {within} | {mean:.3f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=int, nargs="?", default=20000)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CROPRING_TEST_SEED", "20240229")))
    parser.add_argument("--files", type=int, default=6, help="of each kind")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the files there")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()

    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        kind_of = write_files(folder, options.seed, options.files)
        total = sweep(folder, kind_of, options.seed, options.cases, options.processes)
    for failure in total.failures[:20]:
        print(failure, file=sys.stderr)
    print_tables(total)
    print(
        f"seed {options.seed}: {total.cases.total()} cases of {len(kind_of)} files of {len(total.cases)} kinds in "
        f"{time.monotonic() - begin:.0f} s: {total.differing_bytes.total()} bytes differ from Pillow {Image.__version__}"
    )
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
