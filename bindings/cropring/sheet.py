"""`cropring sheet SOURCE`: any batch as one picture, made with the flags that `cropring serve` would get."""

from __future__ import annotations

import json
import os
import subprocess
from argparse import SUPPRESS, BooleanOptionalAction, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ._cli import executable
from .batch import Batch
from .command import DONE, USAGE, Parser, Refusal, missing_extra
from .dataset import Dataset
from .errors import WorkerDied
from .reader import Reader
from .rerun import consumed_before, next_batch, told
from .worker import Worker

if TYPE_CHECKING:
    from PIL import Image

# Groups of `cropring flags` that decide which samples a batch has, and what becomes of their pixels.
_GROUPS = ("Source", "Batches", "Crop", "Output", "Faults")
_PLACE = {"epochs", "start-epoch", "start-sample"}  # --epoch and --batch say it
_SUFFIXES = (".png", ".jpg", ".webp")
_DEFAULTS = {"batch-size": 32, "tail": "partial"}  # a page of pictures, also of a source that has fewer


def _flags_of_serve() -> list[dict[str, Any]]:
    listed = subprocess.run([executable(), "flags", "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    flags: list[dict[str, Any]] = json.loads(listed.stdout)
    return flags


def _choices_text(flag: dict[str, Any]) -> str:
    *most, last = flag["choices"] or [""]
    return f"{', '.join(most)} or {last}: " if most else ""


def _default_text(flag: dict[str, Any]) -> str:
    default = _DEFAULTS.get(flag["name"], flag["default"])
    if default is None:
        return ""
    if isinstance(default, bool):
        return f" [{'on' if default else 'off'}]"
    return f" [{','.join(f'{part:g}' for part in default) if isinstance(default, list) else default}]"


def parser(flags: Sequence[dict[str, Any]]) -> Parser:
    command = Parser(
        "sheet",
        "[FLAG]... SOURCE|--ring NAME -o PNG",
        "Draws a contact sheet of one batch: each image as the trainer will get it, with its class, the box that it\n"
        "was cut out of, and a mark where it is padding or stands for a bad sample; targets beside, if there are any.\n"
        "With the flags of a `cropring serve` the batch is, to the pixel, the one that this run will deliver; with\n"
        "--ring it is the next one of a run that is there, made anew: none is taken away from it.",
        [
            "cropring sheet photos/train -o sheet.png",
            "cropring sheet photos/train --boxes --epoch 3 --batch 17 --batch-size 64 --seed 7 -o sheet.png",
            "cropring sheet train.csv --crop box --hflip 0 -o sheet.png",
            "cropring sheet --ring train -o next.png",
        ],
        "The CROPRING_ variables of `cropring serve` mean nothing here.",
    )
    command.add_argument("source", nargs="?", metavar="SOURCE", help=SUPPRESS)
    output = command.add_argument_group("Sheet")
    output.add_argument("-o", "--output", metavar="PNG", help="what to write")
    output.add_argument("--ring", metavar="NAME", help="draw the next batch of this ring, with the flags of its worker")
    output.add_argument("--epoch", metavar="E", type=_whole("--epoch"), default=0, help="the epoch [%(default)s]")
    output.add_argument("--batch", metavar="K", type=_whole("--batch"), default=0, help="the batch of that epoch [%(default)s]")
    output.add_argument("--boxes", action="store_true", help="draw each source picture beside, with the box on it")
    for name, default, value, most, text in (
        ("--count", 64, "N", 65536, "images on the sheet, at most; 0: all"),
        ("--columns", 0, "N", 65536, "images in a row; 0: as the sheet looks well"),
        ("--tile", 0, "PX", 4096, "longer side of each image on the sheet; 0: as it is, small ones enlarged"),
    ):
        output.add_argument(name, metavar=value, type=_whole(name, most), default=default, help=f"{text} [%(default)s]")
    groups = {name: command.add_argument_group(name) for name in _GROUPS}
    for flag in flags:
        words = [f"-{flag['letter']}"] * bool(flag["letter"]) + [f"--{flag['name']}"]
        text = (_choices_text(flag) + flag["help"] + _default_text(flag)).replace("%", "%%")
        group = groups[flag["group"]]
        common: dict[str, Any] = {"dest": flag["keyword"], "default": _DEFAULTS.get(flag["name"]), "help": text}
        if flag["kind"] == "switch":
            group.add_argument(*words, action=BooleanOptionalAction, **common)
        else:
            group.add_argument(*words, metavar=flag["value"], **common)
    return command


def _whole(flag: str, most: int = 2**62) -> Callable[[str], int]:
    def number(word: str) -> int:
        if not word.isdecimal() or int(word) > most:
            raise Refusal(f"{flag} {word}: a whole number from 0 to {most} is expected", USAGE)
        return int(word)

    return number


# ---------------------------------------------------------------- from flags to a picture


@dataclass(frozen=True, slots=True)
class Page:
    """Which batch is drawn, and how it is called."""

    source: str
    flags: Mapping[str, Any]
    epoch: int
    consumed: int  # samples of the epoch before it, of all ranks together
    title: str
    missing: str  # what to say if there is no such batch
    folder: str | None = None  # where relative paths begin; None: here


@contextmanager
def batch_of(page: Page) -> Iterator[tuple[Batch, Dataset]]:
    """The batch and the samples that it is from, from a worker of its own that begins with it."""
    place = {"epochs": 1, "start_epoch": page.epoch, "start_sample": page.consumed, "slots": 3, "quiet": True}
    try:
        worker = Worker(page.source, dict(page.flags) | place, page.folder)
    except ValueError as refusal:
        raise Refusal(str(refusal).replace(f"--start-sample {page.consumed}:", f"{page.missing}:"), USAGE) from None
    try:
        reader = Reader(worker.ring, None)
        found = next(reader, None)
        if found is None:
            raise Refusal(f"{page.missing}: epoch {page.epoch} has fewer batches", USAGE)
        yield found, reader.dataset
    except WorkerDied as error:
        raise worker.explain(error) from None
    finally:
        worker.stop()


def page_of_ring(name: str, serve_flags: Sequence[dict[str, Any]]) -> Page:
    """The batch that a running ring hands out next."""
    reading, seq, epoch = next_batch(name)
    worker = told(reading["pid"], serve_flags, _GROUPS)
    flags = {keyword: value for keyword, value in worker.flags.items() if value is not None}
    title = f"{reading['name']}: batch {seq} of its stream"
    page = Page(worker.source, {"batch_size": 256} | flags, epoch, 0, title, f"--ring {name}", worker.folder)
    sample_count = 0
    if epoch != worker.start_epoch:
        with batch_of(page) as (_, dataset):
            sample_count = len(dataset)
    return replace(page, consumed=consumed_before(worker, seq, epoch, sample_count))


def _numbers(text: str | None, otherwise: float) -> list[float]:
    return [float(part) for part in text.split(",")] if text else [otherwise]


def draw(page: Page, wanted: Namespace) -> Image.Image:
    from .contact_sheet import Normalised, Sheet, seen

    flags = page.flags
    with batch_of(page) as (batch, dataset):
        normalised = Normalised(_numbers(flags.get("mean"), 0.0), _numbers(flags.get("std"), 1.0))
        images = seen(batch.images, normalised, flags.get("layout") or "nhwc").copy()  # ours, whatever becomes of the slot
        shown = min(wanted.count or len(batch), len(batch))
        of = f"{shown} of {len(batch)} images" if shown < len(batch) else f"{shown} images" if shown != 1 else "1 image"
        rule = f"{flags.get('crop') or 'random-resized'} crop, seed {flags.get('seed') or 0}"
        cut = "framed in its source: what was cut out" if wanted.boxes else "blue: what was cut out"
        sheet = Sheet(
            title=page.title,
            facts=f"{of}, {images.shape[2]}x{images.shape[1]}, {rule}; {cut}",
            dataset=dataset,
            sources=wanted.boxes,
            orientation=flags.get("orientation") or "raw",
            folder=page.folder or "",
            count=wanted.count,
            columns=wanted.columns,
            tile_px=wanted.tile,
        )
        return sheet.draw(batch, images, getattr(batch, "targets", None))


def main(words: Sequence[str]) -> int:
    """The command, with the words after its name; returns the exit code."""
    serve_flags = _flags_of_serve()
    ours = [flag for flag in serve_flags if flag["group"] in _GROUPS and flag["name"] not in _PLACE]
    command = parser(ours)
    wanted = command.parse(words)
    if (wanted.source is None) == (wanted.ring is None):
        command.error("either SOURCE is expected, a folder, table, tar or pack of images, or --ring NAME, of a ring that runs")
    if wanted.output is None:
        command.error("-o is missing: the PNG to write")
    if not wanted.output.lower().endswith(_SUFFIXES):
        command.error(f"-o {wanted.output}: a name that ends in {', '.join(_SUFFIXES)} is expected")
    try:
        from . import contact_sheet  # noqa: F401: says what is missing before anything is started
    except ImportError as error:
        raise missing_extra(error, "`cropring sheet`", "sheet") from None

    flags = {flag["keyword"]: getattr(wanted, flag["keyword"]) for flag in ours}
    if wanted.ring is not None:
        said = [flag["name"] for flag in ours if flags[flag["keyword"]] != _DEFAULTS.get(flag["name"])]
        if said or wanted.epoch or wanted.batch:
            command.error(f"--{(said or ['epoch' if wanted.epoch else 'batch'])[0]}: with --ring all that is the worker's own")
        page = page_of_ring(wanted.ring, serve_flags)
    else:
        source = os.path.basename(os.path.abspath(wanted.source))
        try:
            consumed = wanted.batch * int(flags["batch_size"]) * int(flags["world_size"] or 1)
        except ValueError:
            consumed = 0  # the worker says what is wrong
        title = f"{source}: batch {wanted.batch} of epoch {wanted.epoch}"
        page = Page(wanted.source, flags, wanted.epoch, consumed, title, f"--batch {wanted.batch}")
    draw(page, wanted).save(wanted.output)
    return DONE
