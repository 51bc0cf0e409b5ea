"""COCO's instances JSON in, a manifest out: each annotated box a sample (format: https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from .errors import shown
from .manifest_file import PathLike, Summary, replaced, write_rows

_CROWD, _EMPTY, _OUTSIDE, _SMALL = "boxes around crowds", "boxes without area", "boxes outside of their images", "boxes under min_size"


_FAR = 1e15  # pixels: up to here a float still tells whole ones apart


def from_coco(
    annotations_json: PathLike,
    out: PathLike,
    *,
    images: PathLike,
    labels: Literal["names", "ids"] = "names",
    crowd: bool = False,
    min_size: int = 1,
) -> Summary:
    """Writes a manifest with one sample for each box of a COCO instances file: `Loader(out, crop="box")`.

    Parameters
    ----------
    annotations_json : path
        An instances file, such as `instances_train2017.json`.
    out : path
        The manifest, `.csv` or `.jsonl`.  It appears when it is complete, in place of an earlier one.
    images : path
        The folder that the file names of the JSON begin at.  If it does not lie below the manifest's folder, paths are absolute and
        `Summary.root` says what to load the manifest with.
    labels : "names" or "ids"
        Categories by their names, which become classes 0 to N - 1 in sorted order; or by their numbers as COCO has them (1 to 90).
    crowd : bool
        Whether boxes around crowds (`iscrowd`) are samples too.
    min_size : int
        Boxes of which a side is shorter than so many pixels are left out.

    Returns
    -------
    Summary
        With what was left out: crowds, boxes of no width or height, those outside of their image, those under `min_size`.

    Raises
    ------
    ValueError
        The file is no such JSON; names the annotation by its `id`.

    Notes
    -----
    A box becomes whole pixels outwards: its left and top edge are rounded down, its right and bottom edge up; then it is cut off at
    the borders of the image, whose size the JSON tells.  An edge counts as whole if it is within half a thousandth of a pixel of a
    whole number, because x + width of decimal fractions is hardly ever exact.  Segmentations are dropped while the file is read.
    """
    if labels not in ("names", "ids"):
        raise ValueError(f"labels is {labels!r}; 'names' or 'ids' is expected")
    if min_size < 1:
        raise ValueError(f"min_size is {min_size}; a whole number of pixels from 1 on is expected")
    left_out = Counter({_CROWD: 0, _EMPTY: 0, _OUTSIDE: 0, _SMALL: 0})
    with replaced(out) as file:
        samples = _samples(os.fspath(annotations_json), labels == "ids", crowd, min_size, left_out)
        written = write_rows(file, samples, out, images)
    return Summary(written.path, written.samples, dict(left_out), written.root)


def _samples(path: str, ids: bool, crowd: bool, min_size: int, left_out: Counter[str]) -> Iterator[tuple[str, dict[str, object]]]:
    content = _read(path)
    images = _by_id(content["images"], f"{path}: images")
    categories = _by_id(content["categories"], f"{path}: categories")
    for number, annotation in enumerate(content["annotations"]):
        where = f"{path}: annotation {_id(annotation, 'id', f'{path}: annotations[{number}]')}"
        image_id, category_id = (_id(annotation, key, where) for key in ("image_id", "category_id"))
        if image_id not in images:
            raise ValueError(f"{where}: image_id {image_id} is none of the file's images")
        if category_id not in categories:
            raise ValueError(f"{where}: category_id {category_id} is none of the file's categories")
        image = images[image_id]
        if annotation.get("iscrowd") and not crowd:
            left_out[_CROWD] += 1
            continue
        box = _whole_box(where, annotation.get("bbox"), image)
        if isinstance(box, str):
            left_out[box] += 1
        elif min(box[2:]) < min_size:
            left_out[_SMALL] += 1
        else:
            label: object = category_id if ids else _text(categories[category_id], "name", f"{path}: category {category_id}")
            sample = {"path": _text(image, "file_name", f"{path}: image {image_id}"), "label": label}
            yield where, sample | dict(zip(("x", "y", "width", "height"), box))
    if content["annotations"] and sum(left_out.values()) == len(content["annotations"]):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
        raise ValueError(f"{path}: all its boxes are left out: {reasons}")


def _read(path: str) -> dict[str, list[dict[str, Any]]]:
    def slim(item: dict[str, Any]) -> dict[str, Any]:
        item.pop("segmentation", None)  # nine tenths of the file: 298 MB instead of 672 for 150,000 annotations
        return item

    with open(path, "rb") as file:
        try:
            content = json.load(file, object_hook=slim)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: no JSON: {error}") from None
    for part in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(part), list) or not all(isinstance(item, dict) for item in content[part]):
            raise ValueError(f"{path}: there is no list of objects '{part}'; a COCO instances file is expected")
    return {part: content[part] for part in ("images", "annotations", "categories")}


def _by_id(items: list[dict[str, Any]], where: str) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for number, item in enumerate(items):
        item_id = _id(item, "id", f"{where}[{number}]")
        if found.setdefault(item_id, item) != item:
            raise ValueError(f"{where}[{number}]: id {item_id} belongs to another one before it")
    return found


def _text(item: dict[str, Any], key: str, where: str) -> str:
    text = item.get(key)
    if not isinstance(text, str) or not text:
        raise ValueError(f"{where}: {key} is {shown(text)}; text is expected")
    return text


def _id(item: dict[str, Any], key: str, where: str) -> int:
    number = item.get(key)
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"{where}: {key} is {shown(number)}; a whole number is expected")
    return number


def _whole_box(where: str, bbox: object, image: dict[str, Any]) -> tuple[int, int, int, int] | str:
    """x, y, width and height in whole pixels within the image, or why the box is left out."""
    size = image.get("width"), image.get("height")
    if not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f"{where}: image {image['id']} is {size[0]!r} x {size[1]!r} pixels large; two whole numbers from 1 on are expected")
    if (
        not isinstance(bbox, list)
        or len(bbox) != 4
        or not all(isinstance(number, int | float) and -_FAR < number < _FAR for number in bbox)  # False for NaN
        or min(bbox[2:]) < 0
    ):
        raise ValueError(f"{where}: bbox is {shown(bbox)}; four numbers are expected: x, y, width and height, these from 0 on")
    if min(bbox[2:]) == 0:
        return _EMPTY
    begin = [max(0, math.floor(round(bbox[axis], 3))) for axis in (0, 1)]
    end = [min(side, math.ceil(round(bbox[axis] + bbox[axis + 2], 3))) for axis, side in enumerate(size) if isinstance(side, int)]
    width, height = end[0] - begin[0], end[1] - begin[1]
    return (begin[0], begin[1], width, height) if width > 0 and height > 0 else _OUTSIDE
