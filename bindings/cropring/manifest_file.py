"""Samples in, one after the other, a manifest file out: what every builder of `cropring.manifest` ends in."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import math
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from .errors import shown

PathLike = str | os.PathLike[str]

COLUMNS = ("path", "label", "x", "y", "width", "height", "scale", "offset", "length", "target", "weight")
BOX = {"x", "y", "width", "height"}
WINDOW = {"x", "y", "scale"}
_MOST_PIXELS, _MOST_BYTES = 2**31 - 1, 2**63 - 1  # of a manifest's numbers


@dataclass(frozen=True)
class Summary:
    """What a builder wrote.

    Attributes
    ----------
    path : str
        The manifest.
    samples : int
        Its rows.
    left_out : dict of str to int
        How many were left out, by the reason in words.
    root : str or None
        The folder that `Loader(path, root=...)` or `--root` must name, because the images do not lie below the manifest's own.
    data : str or None
        The file beside the manifest that holds the images, if the builder wrote one.
    """

    path: str
    samples: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    root: str | None = None
    data: str | None = None

    def __str__(self) -> str:
        text = f"{self.path}: {self.samples:,} samples"
        text += f", images in {self.data}" if self.data else ""
        text += "".join(f"; left out: {count:,} {reason}" for reason, count in self.left_out.items() if count)
        return text + (f"; load it with --root {self.root}" if self.root else "")


def from_samples(samples: Iterable[Mapping[str, object]], out: PathLike, *, images: PathLike | None = None) -> Summary:
    """Writes a manifest of any samples.

    Parameters
    ----------
    samples : iterable of dict
        One for each sample: `path`, and if wanted `label` (a number, or a name, or None for -1), a box (`x, y, width, height` in
        pixels) or a window (`x, y, scale` in [0, 1]), `offset` and `length` in bytes within the file, `target` (the path of a second
        image), `weight`.  All have the same keys.  Names become classes in sorted order, unless all of them are whole numbers,
        which a Loader takes as they are.  Samples are taken one at a time and never kept.
    out : path
        The manifest, `.csv` or `.jsonl`.  It appears when it is complete, in place of an earlier one.
    images : path, optional
        The folder where relative paths begin; by default the manifest's own.  If it lies below the manifest's folder, paths are
        written relative to that, and the two can be moved together; else they are absolute, and `Summary.root` says what to load
        the manifest with.

    Returns
    -------
    Summary

    Raises
    ------
    ValueError
        Names the sample, counted from 0, what was found and what was expected.  No file is left behind.
    """
    with replaced(out) as file:
        return write_rows(file, ((f"sample {number}", sample) for number, sample in enumerate(samples)), out, images)


@contextlib.contextmanager
def replaced(path: PathLike, mode: str = "w") -> Iterator[IO[Any]]:
    """A file that takes its name when the block ends well, and disappears when it does not."""
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):  # the names in these two errors are those that the caller knows
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to write to", folder)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "a folder cannot be replaced by a manifest", os.fspath(path))
    part = os.path.join(folder, f".{name}.{os.getpid()}.part")
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}  # paths are bytes, as everywhere
    try:
        with open(part, mode, **text) as file:  # type: ignore[call-overload]
            yield file
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise


def check_name(out: PathLike) -> str:
    """The manifest's form, ".csv" or ".jsonl"."""
    form = os.path.splitext(os.fspath(out))[1].lower()
    if form not in (".csv", ".jsonl"):
        raise ValueError(f"{os.fspath(out)}: a manifest's name ends in .csv or .jsonl")
    return form


def write_rows(file: IO[str], samples: Iterable[tuple[str, Mapping[str, object]]], out: PathLike, images: PathLike | None) -> Summary:
    """Writes the rows of the manifest `out` to its file, checked and with their paths as the manifest needs them.

    With each sample comes what messages call it.
    """
    form = check_name(out)
    if images is not None and not os.path.isdir(images):
        raise ValueError(f"images: {os.fspath(images)} is no folder")
    folder = os.path.dirname(os.path.abspath(out))
    base = folder if images is None else os.path.abspath(images)
    root = folder if _is_below(base, folder) else base
    keys: list[str] = []
    count = 0
    for where, sample in samples:
        if not isinstance(sample, Mapping):
            raise ValueError(f"{where}: {shown(sample)}; a dict is expected, such as {{'path': 'a.jpg'}}")
        if count == 0:
            keys = _keys_of(sample, where)
            checks = _checks_of(keys, form, lambda path: _place(path, base, root, relative=root == folder))
            rows = csv.writer(file, lineterminator="\n")
            if form == ".csv":
                rows.writerow(keys)
        elif len(sample) != len(keys) or any(key not in sample for key in keys):
            odd = min(sample.keys() ^ set(keys))
            raise ValueError(f"{where}: '{odd}' is {'new' if odd in sample else 'missing'}; every sample has the keys of the first")
        try:
            row = [check(sample[key]) for key, check in checks.items()]
        except _Refused as refused:
            raise ValueError(f"{where}: {refused}") from None
        if form == ".csv":
            rows.writerow(row)
        else:
            line = {key: value for key, value in zip(keys, row) if value is not None}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        count += 1
    if count == 0:
        raise ValueError(f"{os.fspath(out)}: there is no sample to write")
    return Summary(os.fspath(out), count, root=None if root == folder else root)


class _Refused(ValueError):
    """What is wrong with one sample."""


def _keys_of(sample: Mapping[str, object], where: str) -> list[str]:
    unknown = sorted(sample.keys() - set(COLUMNS))
    if unknown:
        raise ValueError(f"{where}: '{unknown[0]}' is not a column of a manifest; there are {', '.join(COLUMNS)}")
    place = sample.keys() & (BOX | WINDOW)
    if "path" not in sample:
        raise ValueError(f"{where}: it has no 'path'")
    if place and place not in (BOX, WINDOW):
        raise ValueError(f"{where}: {', '.join(sorted(place))} are neither a box (x, y, width, height) nor a window (x, y, scale)")
    if ("offset" in sample) != ("length" in sample):
        raise ValueError(f"{where}: 'offset' and 'length' come together")
    return [column for column in COLUMNS if column in sample]


def _checks_of(keys: list[str], form: str, place: Callable[[str], str]) -> dict[str, Callable[[object], object]]:
    """For each key, what turns a sample's value into the manifest's, which a Loader takes."""

    def text(key: str, value: str) -> str:
        if "\0" in value:
            raise _Refused(f"'{key}' is {shown(value)}; text without a NUL character is expected")
        if form == ".jsonl" and not _is_unicode(value):
            raise _Refused(f"'{key}' is {shown(value)}, which is no UTF-8, as JSON has to be; write a .csv")
        return value

    def path(key: str) -> Callable[[object], object]:
        def check(value: object) -> str:
            if not isinstance(value, str | os.PathLike) or not isinstance(path := os.fspath(value), str) or not path:
                raise _Refused(f"'{key}' is {shown(value)}; a path is expected")
            return place(text(key, path))

        return check

    def label(value: object) -> object:
        if isinstance(value, str) and value:
            return text("label", value)
        return value if value is None else _whole("label", value, -_MOST_BYTES, _MOST_BYTES, "a name, a whole number of 64 bits or None")

    def whole(key: str, least: int, most: int) -> Callable[[object], object]:
        return lambda value: _whole(key, value, least, most, f"a whole number from {least} to {most}")

    def real(key: str, most: float, wanted: str) -> Callable[[object], object]:
        def check(value: object) -> float:
            try:
                number = float(value)  # type: ignore[arg-type]
            except (TypeError, ValueError):
                number = math.nan
            if isinstance(value, str | bool) or not 0 <= number <= most:
                raise _Refused(f"'{key}' is {shown(value)}; {wanted} is expected")
            return number

        return check

    share = "a number from 0 to 1"
    corner = {key: real(key, 1, share) if "scale" in keys else whole(key, 0, _MOST_PIXELS) for key in ("x", "y")}
    every = corner | {
        "path": path("path"),
        "label": label,
        "width": whole("width", 1, _MOST_PIXELS),
        "height": whole("height", 1, _MOST_PIXELS),
        "scale": real("scale", 1, share),
        "offset": whole("offset", 0, _MOST_BYTES),
        "length": whole("length", 1, _MOST_BYTES),
        "target": path("target"),
        "weight": real("weight", 1e300, "a number from 0 on"),
    }
    return {key: every[key] for key in keys}


def _whole(key: str, value: object, least: int, most: int, wanted: str) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number <= most:
        raise _Refused(f"'{key}' is {shown(value)}; {wanted} is expected")
    return number


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a byte of a path that is none
        return False
    return True


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _place(path: str, base: str, root: str, relative: bool) -> str:
    """A sample's path as the manifest has it."""
    whole = os.path.normpath(os.path.join(base, path))
    if not _is_below(whole, root):
        raise _Refused(f"{whole} does not lie below {root}; name a folder that holds all images as `images`")
    if whole == root:
        raise _Refused(f"{whole} is a folder; an image in it is expected")
    return whole[len(os.path.join(root, "")) :] if relative else whole
