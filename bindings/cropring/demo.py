"""`python -m cropring.demo FOLDER`: one epoch over a folder of images, what it took, and a picture of the first batch."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator

import cropring
from cropring import Batch, Loader
from cropring.report import percent

try:
    from tqdm import tqdm

    from cropring.contact_sheet import Sheet, seen
except ImportError as error:
    sys.exit(f"the demo draws with Pillow and tqdm, but {error.name} is missing: pip install 'cropring[demo]'")

BATCH_SIZE, SIZE_PX = 32, 224


def contact_sheet(batch: Batch, loader: Loader) -> Sheet:
    root = os.path.basename(os.path.abspath(loader.dataset.root))
    facts = f"{len(batch)} of {len(loader.dataset):,} images, cropped at random and scaled to {SIZE_PX}x{SIZE_PX}; blue: what was cut out"
    return Sheet(f"The first batch of {root}", facts, loader.dataset)


def with_progress(loader: Loader, quiet: bool, begin: float) -> Iterator[Batch]:
    """The batches of one epoch, with a line that tells how far it is; rates count from `begin`."""
    style = "{percentage:3.0f} % |{bar:5}| {n:,} images{postfix}"  # 80 columns at a hundred thousand
    with tqdm(total=len(loader.dataset), bar_format=style, disable=quiet, mininterval=0.05, dynamic_ncols=True) as line:
        for batch in loader:
            yield batch
            stats = loader.stats()
            elapsed_s = time.perf_counter() - begin
            rates = f"{(line.n + len(batch)) / elapsed_s:,.0f} images/s, {stats['bytes_read'] / 1e6 / elapsed_s:,.0f} MB/s read"
            line.set_postfix_str(f"{rates}, {stats['slots_ready']}/{stats['slots']} batches ready", refresh=False)
            line.update(len(batch))


def counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def summary(loader: Loader, stats: dict[str, int], batches: int, elapsed_s: float) -> list[tuple[str, str]]:
    """What there is to tell about the epoch, as (heading, text)."""
    images = len(loader.dataset)
    reader_share, loader_share = (min(1.0, stats[name] / 1e9 / elapsed_s) for name in ("reader_wait_ns", "loader_wait_ns"))
    classes = f", {counted(len(loader.classes), 'class', 'classes')}" if loader.classes else ""
    report = loader.report(since="start")
    io = "io_uring" if stats["uring"] else "threads"
    lines = [
        ("images", f"{images:,} in {counted(batches, 'batch', 'batches')}{classes}"),
        ("speed", f"{images / elapsed_s:,.0f} images/s, {stats['bytes_read'] / 1e6 / elapsed_s:,.1f} MB/s read, in {elapsed_s:.2f} s"),
        ("work", f"{stats['cpu_ns'] / 1e6 / images:.2f} ms of CPU per image; {stats['threads']} decode threads, files read by {io}"),
        ("waiting", f"this loop, which only takes batches, {percent(reader_share)} of the time; the loader {percent(loader_share)}"),
    ]
    if report.kind != "too-short":  # a hundred images tell nothing
        lines.append(("verdict", report.sentence))
    if stats["bad_samples"]:
        failed = {name.removeprefix("status_"): count for name, count in stats.items() if name.startswith("status_") and count}
        reasons = ", ".join(f"{count} {name}" for name, count in failed.items() if name != "ok").replace("_", " ")
        lines.append(("bad", f"{stats['bad_samples']:,} of {images:,} samples, others took their places (files that failed: {reasons})"))
    return lines


CODE = """
The same in your program:

    import cropring

    loader = cropring.Loader({folder!r}, batch_size={batch_size}, size={size})
    for images, labels in loader:  # one epoch; the next loop is the next epoch
        ...  # ({batch_size}, {size}, {size}, 3) uint8 and ({batch_size},) int64, views into shared memory
"""


def run() -> None:
    parser = argparse.ArgumentParser(prog="python -m cropring.demo", description=__doc__)
    parser.add_argument("folder", help="images, in one sub-folder per class or all in one")
    parser.add_argument("-o", "--output", default="demo.png", help="picture of the first batch [%(default)s]")
    parser.add_argument("-q", "--quiet", action="store_true", help="write the picture and say nothing")
    arguments = parser.parse_args()

    begin = time.perf_counter()  # the worker's start and the scan of the folder are part of it
    with Loader(arguments.folder, batch_size=BATCH_SIZE, size=SIZE_PX, epochs=1, tail="partial", quiet=arguments.quiet) as loader:
        batches = 0
        for batch in with_progress(loader, arguments.quiet, begin):
            batches += 1
            if batches == 1:
                first = batch  # keeps its slot; the ring has others
        elapsed_s = time.perf_counter() - begin
        sheet = contact_sheet(first, loader).draw(first, seen(first.images))
    sheet.save(arguments.output)
    if arguments.quiet:
        return
    for heading, text in [*summary(loader, loader.stats(), batches, elapsed_s), ("picture", arguments.output)]:
        print(f"{heading:>8}  {text}")
    print(CODE.format(folder=arguments.folder, batch_size=min(BATCH_SIZE, len(loader.dataset)), size=SIZE_PX), end="")


def main() -> None:
    try:
        run()
    except cropring.CropringError as error:
        sys.exit(f"cropring.demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell counts it


if __name__ == "__main__":
    main()
