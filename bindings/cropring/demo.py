"""`python -m cropring.demo FOLDER`: one epoch over a folder of images, what it took, and a picture of the first batch."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import cropring
from cropring import Batch, Loader, Status

try:
    from PIL import Image, ImageDraw, ImageFont
    from tqdm import tqdm
except ImportError as error:
    sys.exit(f"the demo draws with Pillow and tqdm, but {error.name} is missing: pip install 'cropring[demo]'")

BATCH_SIZE, SIZE_PX = 32, 224
MARGIN_PX, GAP_PX, CAPTION_PX, TITLE_PX = 40, 20, 52, 88
INK, GREY, FAINT, ACCENT, WARNING = "#1a1c20", "#70757f", "#d4d7dd", "#2f6fde", "#c8321f"


# ---------------------------------------------------------------- the picture


def font(text: str, size_px: int) -> Any:
    """The one that comes with Pillow and looks the same everywhere; but it knows no letters beyond ASCII."""
    try:
        return ImageFont.load_default(size_px) if text.isascii() else ImageFont.truetype("DejaVuSans.ttf", size_px)
    except OSError:  # not installed here
        return ImageFont.load_default(size_px)


def write(draw: ImageDraw.ImageDraw, x: int, y: int, width_px: int, text: str, size_px: int, ink: str) -> None:
    """One line of text, cut with an ellipsis where it would be wider."""
    face = font(text, size_px)
    if face.getlength(text) > width_px:
        while text and face.getlength(text + "...") > width_px:
            text = text[:-1]
        text = text.rstrip() + "..."
    draw.text((x, y), text, ink, face)


def draw_outline(draw: ImageDraw.ImageDraw, x: int, y: int, box: Any, source_size: Any) -> None:
    """The source image as a small frame whose upper right corner is (x, y), and in it the part that was cut out."""
    height, width = int(source_size[0]), int(source_size[1])
    scale = 34 / max(height, width)
    left, top = x - round(width * scale), y
    draw.rectangle((left, top, x, top + round(height * scale)), fill="#eceef2", outline=FAINT)
    part = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    draw.rectangle(tuple(round(int(edge) * scale) + (left, top)[number % 2] for number, edge in enumerate(part)), fill=ACCENT)


def draw_tile(sheet: Image.Image, x: int, y: int, batch: Batch, row: int, classes: list[str]) -> None:
    """One image of the batch with its label, and below that the size of the box that it was made from."""
    draw = ImageDraw.Draw(sheet)
    rounded = Image.new("L", (SIZE_PX * 2, SIZE_PX * 2))
    ImageDraw.Draw(rounded).rounded_rectangle((0, 0, SIZE_PX * 2 - 1, SIZE_PX * 2 - 1), 16, fill=255)
    sheet.paste(Image.fromarray(batch.images[row]), (x, y), rounded.resize((SIZE_PX, SIZE_PX)))

    label, status = int(batch.labels[row]), int(batch.status[row])
    _, _, width, height = batch.box[row]
    source_height, source_width = batch.source_size[row]
    name = classes[label] if label >= 0 else f"sample {batch.index[row]}"
    detail = f"{width}x{height} of {source_width}x{source_height}{', mirrored' if batch.flipped[row] else ''}"
    if status & Status.REASON_MASK:
        reason = Status(status & Status.REASON_MASK).name.lower().replace("_", " ")
        detail = f"{reason}{', so another sample' if status & Status.SUBSTITUTED else ''}"
    below = y + SIZE_PX + 10
    write(draw, x, below, SIZE_PX - 40, name, 17, INK)
    write(draw, x, below + 23, SIZE_PX - 40, detail, 13, WARNING if status & Status.REASON_MASK else GREY)
    if width and source_width:
        draw_outline(draw, x + SIZE_PX - 1, below + 3, batch.box[row], batch.source_size[row])


def contact_sheet(batch: Batch, loader: Loader) -> Image.Image:
    """The batch as one picture."""
    count = len(batch)
    columns = min(count, math.ceil(math.sqrt(2 * count)))  # twice as wide as high
    rows = -(-count // columns)
    width = max(2 * MARGIN_PX + columns * (SIZE_PX + GAP_PX) - GAP_PX, 760)
    height = 2 * MARGIN_PX + TITLE_PX + rows * (SIZE_PX + CAPTION_PX + GAP_PX) - GAP_PX
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    root = os.path.basename(os.path.abspath(loader.dataset.root))
    write(draw, MARGIN_PX, MARGIN_PX - 8, width - 2 * MARGIN_PX, f"The first batch of {root}", 32, INK)
    facts = f"{count} of {len(loader.dataset):,} images, cropped at random and scaled to {SIZE_PX}x{SIZE_PX}; blue: what was cut out"
    write(draw, MARGIN_PX, MARGIN_PX + 36, width - 2 * MARGIN_PX, facts, 17, GREY)
    for row in range(count):
        x = MARGIN_PX + row % columns * (SIZE_PX + GAP_PX)
        y = MARGIN_PX + TITLE_PX + row // columns * (SIZE_PX + CAPTION_PX + GAP_PX)
        draw_tile(sheet, x, y, batch, row, loader.classes)
    return sheet


# ---------------------------------------------------------------- the run


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
    io = "io_uring" if stats["uring"] else "threads"
    lines = [
        ("images", f"{images:,} in {counted(batches, 'batch', 'batches')}{classes}"),
        ("speed", f"{images / elapsed_s:,.0f} images/s, {stats['bytes_read'] / 1e6 / elapsed_s:,.1f} MB/s read, in {elapsed_s:.2f} s"),
        ("work", f"{stats['cpu_ns'] / 1e6 / images:.2f} ms of CPU per image; {stats['threads']} decode threads, files read by {io}"),
        ("waiting", f"this loop, which only takes batches, {reader_share:.0%} of the time; the loader {loader_share:.0%}"),
    ]
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
        sheet = contact_sheet(first, loader)
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
