"""The bytes of a request, one request for one batch (layout: loader/plan/request.h)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import shown

Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Rows: TypeAlias = NDArray[np.void]  # of dtype _ROW

_MAGIC = b"cropreq1"
_HEADER = np.dtype([("magic", "S8"), ("row_count", "<u4"), ("epoch", "<u4"), ("first_position", "<u8"), ("text_bytes", "<u8")])
_ROW = np.dtype(
    {
        "names": ["sample", "key", "label", "path_at", "rule", "box", "window"],
        "formats": ["<u8", "<u8", "<i8", "<u4", "<u4", "<4i4", "<3f4"],
        "offsets": [0, 8, 16, 24, 28, 32, 32],  # box and window share their place
        "itemsize": 48,
    }
)
_NO_PATH = _USUAL_RULE = 2**32 - 1
_RULES = {"random-resized": 0, "random": 1, "center": 2, "resize": 3}  # enum crop_rule
_BOX, _WINDOW = 4, 5
_INT32_MAX = 2**31 - 1
_MOST_BYTES = 16 << 20  # SHMRING_MAX_REQUEST_BYTES
_NO_LABEL = -1


def packed(rows: Rows, text: bytes = b"", *, epoch: int = 0, first_position: int = 0) -> bytes:
    """A request for these rows; `text` holds their paths."""
    header = np.array((_MAGIC, len(rows), epoch, first_position, len(text)), _HEADER)
    request = header.tobytes() + rows.tobytes() + text
    if len(request) > _MOST_BYTES:
        raise ValueError(f"{len(rows)} items with paths of {len(text)} bytes: {_MOST_BYTES} bytes are the most for both; call with fewer items")
    return request


def rows_of_samples(samples: NDArray[np.int64], keys: NDArray[np.uint64]) -> Rows:
    """A row for each sample number of a data set: cut by the worker's usual rule, with the random numbers of its key."""
    rows = np.zeros(len(samples), _ROW)
    rows["sample"] = samples
    rows["key"] = keys
    rows["path_at"] = _NO_PATH
    rows["rule"] = _USUAL_RULE
    return rows


class Wanted(NamedTuple):
    """What is to be made of each item, in the words of `Cropper.__call__`."""

    x: ArrayLike | None = None
    y: ArrayLike | None = None
    scale: ArrayLike | None = None
    box: ArrayLike | None = None
    rule: str | None = None
    seed: ArrayLike | None = None
    labels: ArrayLike | None = None


def rows_of_paths(paths: Path | Iterable[Path], wanted: Wanted, root: bytes) -> tuple[Rows, bytes]:
    """The rows, numbered from 0, and the text of their paths; `root` ends with a slash."""
    x, y, scale, box, rule, seed, labels = wanted
    given = (x is not None) + (y is not None) + (scale is not None)
    if given not in (0, 3):
        raise TypeError("a window takes all three of x, y and scale")
    if (given == 3) + (box is not None) + (rule is not None) > 1:
        raise TypeError("x, y and scale, box, and rule exclude each other")
    if given == 0 and box is None and rule is None and seed is None:
        raise TypeError("what is to be cut out?  x, y and scale, box, rule or seed is expected")
    text, begins = _text_of(paths, root)
    columns = {name: np.asarray(values) for name, values in (("x", x), ("y", y), ("scale", scale)) if values is not None}
    columns |= {name: _integers(values) for name, values in (("seed", seed), ("labels", labels)) if values is not None}
    boxes = None if box is None else np.asarray(box)
    rows = np.zeros(_row_count(paths, len(begins), columns, boxes), _ROW)
    rows["path_at"] = begins
    rows["sample"] = np.arange(len(rows))
    if seed is not None:
        rows["key"] = _keys(columns["seed"], len(rows))
    rows["label"] = _NO_LABEL if labels is None else _whole("labels", columns["labels"], np.iinfo(np.int64))
    if boxes is not None:
        rows["box"] = _checked_boxes(boxes)
        rows["rule"] = _BOX
    elif "x" in columns:
        for place, name in enumerate(("x", "y", "scale")):
            rows["window"][:, place] = _checked_shares(name, columns[name])
        rows["rule"] = _WINDOW
    else:
        rows["rule"] = _RULES[_checked_rule(rule)]
    return rows, text


def path_of(rows: Rows, text: bytes, row: int) -> bytes:
    """The path that the row asks for."""
    begin = int(rows["path_at"][row])
    return text[begin : text.index(b"\0", begin)]


# ---------------------------------------------------------------- how many, and of which files


def _is_one(paths: object) -> bool:
    return isinstance(paths, (str, bytes, os.PathLike))


def _row_count(paths: object, path_count: int, columns: dict[str, NDArray[Any]], boxes: NDArray[Any] | None) -> int:
    """One path, and one number for a column, stand for all rows; else as many of each are expected."""
    lengths = {} if _is_one(paths) else {"paths": path_count}
    for name, column in columns.items():
        if column.ndim > 1:
            raise ValueError(f"{name}: one number, or one for each item, is expected, not an array of shape {column.shape}")
        if column.ndim == 1:
            lengths[name] = len(column)
    if boxes is not None:
        if boxes.ndim not in (1, 2) or boxes.shape[-1] != 4:
            raise ValueError(f"box: (x, y, width, height), once or for each item, is expected, not an array of shape {boxes.shape}")
        if boxes.ndim == 2:
            lengths["box"] = len(boxes)
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{', '.join(f'{name}: {count}' for name, count in lengths.items())}: as many items of each are expected")
    if 0 in lengths.values():
        raise ValueError(f"{next(iter(lengths))} is empty: one item at least is expected")
    return next(iter(lengths.values()), 1)


def _names(paths: Path | Iterable[Path]) -> Any:
    if isinstance(paths, (list, tuple)):
        return paths
    if _is_one(paths):
        return [paths]
    try:
        names = iter(paths)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"paths={paths!r}: a path (str, bytes or os.PathLike), or a sequence of them, is expected") from None
    return list(names)


def _text_of(paths: Path | Iterable[Path], root: bytes) -> tuple[bytes, NDArray[np.int64]]:
    """NUL-terminated paths, and where each begins: absolute under the root "/", else from the root on."""
    names = _names(paths)
    try:
        text = os.fsencode("\0".join(map(os.fspath, names)) + "\0")
    except TypeError:  # there are bytes among them, or what is no path
        text = b""
    # The usual case, seen at a glance: as many absolute paths as names, and no NUL but those between them.
    if root != b"/" or text[:1] != b"/" or text.count(b"\0/") != len(names) - 1 or text.count(b"\0") != len(names):
        text = _text_of_any(names, root)
    begins = np.zeros(len(names), np.int64)
    begins[1:] = np.flatnonzero(np.frombuffer(text, np.uint8) == 0)[:-1] + 1
    return text, begins


def _text_of_any(names: Iterable[Any], root: bytes) -> bytes:
    folder = b""
    text = []
    for item, name in enumerate(names):
        try:
            path = os.fsencode(name)
        except TypeError:
            raise TypeError(f"item {item}: {shown(name)}: a path is expected (str, bytes or os.PathLike)") from None
        if b"\0" in path:
            raise ValueError(f"item {item}: {shown(name)}: a path without a NUL character is expected")
        if not path:
            raise ValueError(f"item {item}: the path is empty")
        if not path.startswith(b"/"):
            folder = folder or _working_folder(item, name)
            path = folder + path
        if root != b"/":
            path = path.removeprefix(root)  # one that lies elsewhere stays as it is, and fails alone
        text.append(path + b"\0")
    return b"".join(text)


def _working_folder(item: int, name: object) -> bytes:
    try:
        return os.getcwdb().rstrip(b"/") + b"/"
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, f"item {item}: {name!r}: the working folder, where relative paths begin, was removed") from None


# ---------------------------------------------------------------- what to cut out


def _first(bad: NDArray[np.bool_], values: NDArray[Any]) -> tuple[str, Any]:
    """Where the first bad value stands, in words, and what it is."""
    if values.ndim == 0:
        return "", values.item()
    item = int(np.flatnonzero(bad)[0])
    return f"item {item}: ", values.tolist()[item]


def _checked_shares(name: str, shares: NDArray[Any]) -> NDArray[Any]:
    if shares.dtype.kind not in "fiu":
        raise TypeError(f"{name}: numbers from 0 to 1 are expected, not {shares.dtype}")
    good = (shares >= 0) & (shares <= 1)  # which NaN is not
    if not good.all():
        where, value = _first(~good, shares)
        raise ValueError(f"{where}{name}={value}: a number from 0 to 1 is expected")
    return shares


def _checked_boxes(boxes: NDArray[Any]) -> NDArray[Any]:
    if boxes.dtype.kind not in "iu":
        raise TypeError(f"box: whole numbers of pixels are expected, not {boxes.dtype}")
    bad = ((boxes > _INT32_MAX) | (boxes < (0, 0, 1, 1))).any(axis=-1)
    if bad.any():
        item = int(np.flatnonzero(bad)[0])
        where, value = (f"item {item}: ", boxes[item]) if boxes.ndim == 2 else ("", boxes)
        raise ValueError(f"{where}box={value.tolist()}: x and y from 0 and width and height from 1 are expected, in pixels")
    return boxes


def _checked_rule(rule: str | None) -> str:
    rule = "random-resized" if rule is None else rule
    if not isinstance(rule, str) or rule not in _RULES:
        raise ValueError(f"rule={rule!r}: one of {', '.join(_RULES)} is expected")
    return rule


def _integers(values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind != "f" or isinstance(values, np.ndarray):
        return array
    return np.asarray(values, object)  # NumPy makes float64 of a list with numbers below and above 2**63


def _whole(name: str, values: NDArray[Any], limits: np.iinfo[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "iu" and not all(isinstance(value, int) for value in values.flat):
        raise TypeError(f"{name}: whole numbers from {limits.min} to {limits.max} are expected, not {values.flat[0]!r}")
    bad = (values < limits.min) | (values > limits.max)
    if bad.any():
        where, value = _first(bad, values)
        raise ValueError(f"{where}{name}={value}: a whole number from {limits.min} to {limits.max} is expected")
    return values.astype(limits.dtype)


def _keys(seeds: NDArray[Any], row_count: int) -> NDArray[np.uint64]:
    """A seed for each row: what is random about it depends on that alone.  One for all: each row gets another key."""
    keys: NDArray[np.uint64] = _mixed(np.atleast_1d(_whole("seed", seeds, np.iinfo(np.uint64))))
    if seeds.ndim == 0:
        keys = np.add(keys, np.arange(row_count, dtype=np.uint64), dtype=np.uint64)
    return keys


def _mixed(words: NDArray[Any]) -> NDArray[Any]:
    """Neighbours far apart, so that the rows of seed 1 are not those of seed 0, moved up by one.

    One to one: the finalizer of SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014).
    """
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        words = (words ^ words >> np.uint64(shift)) * np.uint64(factor)
    return words
