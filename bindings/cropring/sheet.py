"""`cropring sheet SOURCE`: any batch as one picture, made with the flags that `cropring serve` would get."""

from __future__ import annotations

import json
import os
import subprocess
from argparse import SUPPRESS, BooleanOptionalAction
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ._cli import executable
from .batch import Batch
from .command import DONE, USAGE, Parser, Refusal, missing_extra
from .dataset import Dataset
from .errors import WorkerDied
from .reader import Reader
from .worker import Worker

# Groups of `cropring flags` that decide which samples a batch has, and what becomes of their pixels.
_GROUPS = ("Source", "Batches", "Crop", "Output", "Faults")
_OURS = {"epochs", "start-epoch", "start-sample"}  # --epoch and --batch say it
_SUFFIXES = (".png", ".jpg", ".webp")
_DEFAULTS = {"batch-size": 32, "tail": "partial"}  # a page of pictures, also of a source that has fewer


def _flags_of_serve() -> list[dict[str, Any]]:
    listed = subprocess.run([executable(), "flags", "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    flags: list[dict[str, Any]] = json.loads(listed.stdout)
    return [flag for flag in flags if flag["group"] in _GROUPS and flag["name"] not in _OURS]


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
        "[FLAG]... SOURCE -o PNG",
        "Draws a contact sheet of one batch: each image as the trainer will get it, with its class, the box that it\n"
        "was cut out of, and a mark where it is padding or stands for a bad sample; targets beside, if there are any.\n"
        "With the flags of a `cropring serve` the batch is, to the pixel, the one that this run will deliver.",
        [
            "cropring sheet photos/train -o sheet.png",
            "cropring sheet photos/train --boxes --epoch 3 --batch 17 --batch-size 64 --seed 7 -o sheet.png",
            "cropring sheet train.csv --crop box --hflip 0 -o sheet.png",
        ],
        "The CROPRING_ variables of `cropring serve` mean nothing here.",
    )
    command.add_argument("source", nargs="?", metavar="SOURCE", help=SUPPRESS)
    output = command.add_argument_group("Sheet")
    output.add_argument("-o", "--output", metavar="PNG", help="what to write")
    output.add_argument("--epoch", metavar="E", type=_whole("--epoch"), default=0, help="the epoch [%(default)s]")
    output.add_argument("--batch", metavar="K", type=_whole("--batch"), default=0, help="the batch of that epoch [%(default)s]")
    output.add_argument("--boxes", action="store_true", help="draw each source picture beside, with the box on it")
    output.add_argument("--count", metavar="N", type=_whole("--count"), default=64, help="images on the sheet, at most; 0: all [%(default)s]")
    output.add_argument("--columns", metavar="N", type=_whole("--columns"), default=0, help="images in a row; 0: as the sheet looks well [%(default)s]")
    tile = "longer side of each image on the sheet; 0: as it is, small ones enlarged [%(default)s]"
    output.add_argument("--tile", metavar="PX", type=_whole("--tile", 4096), default=0, help=tile)
    groups = {name: command.add_argument_group(name) for name in _GROUPS}
    for flag in flags:
        words = [f"-{flag['letter']}"] * bool(flag["letter"]) + [f"--{flag['name']}"]
        text = (_choices_text(flag) + flag["help"] + _default_text(flag)).replace("%", "%%")
        group, common = groups[flag["group"]], {"dest": flag["keyword"], "default": _DEFAULTS.get(flag["name"]), "help": text}
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


@contextmanager
def batch_of(source: str, flags: Mapping[str, Any], epoch: int, batch: int) -> Iterator[tuple[Batch, Dataset]]:
    """The batch of that number in that epoch, and the samples that it is from; a worker of its own begins with it."""
    consumed = batch * int(flags["batch_size"]) * int(flags.get("world_size") or 1)
    place = {"epochs": 1, "start_epoch": epoch, "start_sample": consumed, "slots": 3, "quiet": True}
    try:
        worker = Worker(source, dict(flags) | place)
    except ValueError as refusal:
        raise Refusal(str(refusal).replace(f"--start-sample {consumed}:", f"--batch {batch}:"), USAGE) from None
    try:
        reader = Reader(worker.ring, None)
        found = next(reader, None)
        if found is None:
            raise Refusal(f"--batch {batch}: epoch {epoch} has fewer batches", USAGE)
        yield found, reader.dataset
    except WorkerDied as error:
        raise worker.explain(error) from None
    finally:
        worker.stop()


def _numbers(text: str | None, otherwise: float) -> list[float]:
    return [float(part) for part in text.split(",")] if text else [otherwise]


def _rule(flags: Mapping[str, Any]) -> str:
    """What was done to the images, in words."""
    return f"{flags['crop'] or 'random-resized'} crop, seed {flags['seed'] or 0}"


def main(words: Sequence[str]) -> int:
    """The command, with the words after its name; returns the exit code."""
    serve_flags = _flags_of_serve()
    command = parser(serve_flags)
    wanted = command.parse(words)
    if wanted.source is None:
        command.error("SOURCE is missing: a folder, table, tar or pack of images")
    if wanted.output is None:
        command.error("-o is missing: the PNG to write")
    if not wanted.output.lower().endswith(_SUFFIXES):
        command.error(f"-o {wanted.output}: a name that ends in {', '.join(_SUFFIXES)} is expected")
    try:
        from .contact_sheet import Normalised, Sheet, seen
    except ImportError as error:
        raise missing_extra(error, "`cropring sheet`", "sheet") from None

    flags = {flag["keyword"]: getattr(wanted, flag["keyword"]) for flag in serve_flags}
    with batch_of(wanted.source, flags, wanted.epoch, wanted.batch) as (batch, dataset):
        normalised = Normalised(_numbers(wanted.mean, 0.0), _numbers(wanted.std, 1.0))
        images = seen(batch.images, normalised, wanted.layout or "nhwc")
        shown = min(wanted.count or len(batch), len(batch))
        of = f"{shown} of {len(batch)} images" if shown < len(batch) else f"{shown} images" if shown != 1 else "1 image"
        height, width = images.shape[1:3]
        root = os.path.basename(os.path.abspath(dataset.root))
        cut = "framed in its source: what was cut out" if wanted.boxes else "blue: what was cut out"
        sheet = Sheet(
            title=f"{root}: batch {wanted.batch} of epoch {wanted.epoch}",
            facts=f"{of}, {width}x{height}, {_rule(flags)}; {cut}",
            dataset=dataset,
            sources=wanted.boxes,
            orientation=wanted.orientation or "raw",
            count=wanted.count,
            columns=wanted.columns,
            tile_px=wanted.tile,
        )
        picture = sheet.draw(batch, images, getattr(batch, "targets", None))
        del images
    picture.save(wanted.output)
    return DONE
