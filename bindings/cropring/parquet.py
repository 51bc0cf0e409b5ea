"""Parquet in, a manifest out: of paths, or of the images that the file itself holds, which then lie in one file beside the manifest."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import IO, Any, Literal

from .errors import shown
from .manifest_file import BOX, COLUMNS, WINDOW, PathLike, Summary, check_name, replaced, write_rows

_BATCH_ROWS = 64  # of which the images are in memory as Python's, beside the row group that they come from


def from_parquet(
    parquet: PathLike | Sequence[PathLike],
    out: PathLike,
    *,
    columns: Mapping[str, str] | None = None,
    labels: Literal["names", "ids"] = "names",
    images: PathLike | None = None,
) -> Summary:
    """Writes a manifest of Parquet files, which name images or hold them.  Needs pyarrow: `pip install pyarrow`.

    Parameters
    ----------
    parquet : path or sequence of paths
        One file, or several of the same schema, in the order of their samples.
    out : path
        The manifest, `.csv` or `.jsonl`.  It appears when it is complete, in place of an earlier one.
    columns : dict of str to str, optional
        Which of the file's columns is which of the manifest's (`path`, `label`, `x`, `y`, `width`, `height`, `scale`, `offset`,
        `length`, `target`, `weight`), and which one holds the images themselves (`image`: binary, or Hugging Face's struct of
        `bytes` and `path`), such as `{"image": "img", "label": "fine_label"}`.  Those that are not named are taken where the file has
        columns of these very names: a box, a window or a place only as a whole, `path` only if the file holds no images, and an
        `image` that is text as the path.
    labels : "names" or "ids"
        Whether numbers for which Hugging Face's metadata has names (ClassLabel) are written as names, which become classes in sorted
        order, or as they are.  Rows without a label, or with Hugging Face's -1 for it, have none.
    images : path, optional
        The folder that relative paths begin at, by default the manifest's own.  Not for images that the file holds.

    Returns
    -------
    Summary
        `data` is the file with the images, `NAME.data` for `NAME.csv`, if the Parquet holds them.

    Raises
    ------
    ImportError
        Without pyarrow; says how to install it.
    ValueError
        Names the file and the column or row.

    Notes
    -----
    Images are copied as they are, row group by row group, so memory does not grow with the file.
    """
    if labels not in ("names", "ids"):
        raise ValueError(f"labels is {labels!r}; 'names' or 'ids' is expected")
    check_name(out)
    files = [os.fspath(parquet)] if isinstance(parquet, str | os.PathLike) else [os.fspath(path) for path in parquet]
    if not files:
        raise ValueError("from_parquet() needs one file at least")
    table = _Table(files, columns or {}, labels == "ids")
    if not table.image:
        with replaced(out) as file:
            return write_rows(file, _rows(files, table, None, ""), out, images)
    if images is not None:
        raise ValueError(f"{files[0]}: its column '{table.image}' holds the images; `images` is for paths")
    data_path = os.path.splitext(os.fspath(out))[0] + ".data"
    with replaced(out) as file, replaced(data_path, "wb") as data:  # of which the data takes its name first
        written = write_rows(file, _rows(files, table, data, os.path.basename(data_path)), out, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(out)  # an earlier manifest would name places in the new data
    return Summary(written.path, written.samples, data=data_path)


def _pyarrow_parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"reading Parquet needs pyarrow ({error}): pip install pyarrow") from None
    return pyarrow.parquet


class _Table:
    """Which columns of the files are wanted, and as what."""

    def __init__(self, files: list[str], columns: Mapping[str, str], ids: bool) -> None:
        path = files[0]
        schema = _schema(path)
        unknown = sorted(columns.keys() - {*COLUMNS, "image"})
        absent = sorted(set(columns.values()) - set(schema.names))
        if unknown:
            raise ValueError(f"columns: '{unknown[0]}' is not a column of a manifest; there are image, {', '.join(COLUMNS)}")
        if absent:
            raise ValueError(f"{path}: it has no column '{absent[0]}'; there are {', '.join(schema.names)}")
        wanted = {key: columns.get(key, key) for key in ("image", *COLUMNS)}
        found = {key: name for key, name in wanted.items() if name in schema.names}
        twice = [name for name in found.values() if schema.names.count(name) > 1]
        if twice:
            raise ValueError(f"{path}: several of its columns are called '{twice[0]}'; rename all but one")
        if "image" in found and "path" in columns:
            del found["image"]
        elif "image" in found and _is_text(schema.field(found["image"]).type):
            found["path"] = found.pop("image")
        self.image = found.pop("image", None)
        if not self.image and "path" not in found:
            raise ValueError(f"{path}: it has neither a column 'path' nor one 'image', and `columns` tells none; there are {', '.join(schema.names)}")
        unused = _incomplete(found.keys()) - columns.keys()  # such as the width and height of the whole image
        self.source = {key: name for key, name in found.items() if key not in unused}
        self.names: list[str] = [] if ids or "label" not in self.source else _class_names(schema, self.source["label"])
        self.wanted = [*self.source.values(), *([self.image] if self.image else [])]
        for other in files[1:]:
            its = _schema(other)
            if any(name not in its.names or its.field(name).type != schema.field(name).type for name in self.wanted):
                raise ValueError(f"{other}: its columns {', '.join(self.wanted)} are not those of {path}")


def _is_text(column_type: Any) -> bool:
    return str(getattr(column_type, "value_type", column_type)) in ("string", "large_string", "string_view")  # of a dictionary, its values


def _incomplete(keys: Set[str]) -> set[str]:
    """Those that tell no whole box, window or place."""
    box = BOX if keys >= BOX else WINDOW if keys >= WINDOW else set()
    place = {"offset", "length"}
    return (BOX | WINDOW) - box | (set() if keys >= place else place)


def _schema(path: str) -> Any:
    parquet = _pyarrow_parquet()
    try:
        return parquet.read_schema(path)
    except ValueError as error:  # pyarrow's ArrowInvalid, which names no file
        raise ValueError(f"{path}: {error}") from None


def _class_names(schema: Any, column: str) -> list[str]:
    """The names of a Hugging Face ClassLabel; none if the column is something else."""
    try:
        feature = json.loads(schema.metadata[b"huggingface"])["info"]["features"][column]
        names = feature["names"] if feature["_type"] == "ClassLabel" else []
    except (TypeError, KeyError, ValueError):
        return []
    return [str(name) for name in names]


def _rows(files: list[str], table: _Table, data: IO[bytes] | None, data_name: str) -> Iterator[tuple[str, dict[str, object]]]:
    """One sample for each row of the files; images go to `data` on the way."""
    offset = 0
    for path in files:
        for number, row in enumerate(_read(path, table.wanted)):
            where = f"{path}: row {number}"
            sample = {key: row[name] for key, name in table.source.items()}
            if table.names:
                sample["label"] = _name_of(table.names, sample["label"], where)
            if data and table.image:
                image = _image_bytes(row[table.image], where, table.image)
                data.write(image)
                sample |= {"path": data_name, "offset": offset, "length": len(image)}
                offset += len(image)
            yield where, sample


def _read(path: str, wanted: list[str]) -> Iterator[dict[str, Any]]:
    with _pyarrow_parquet().ParquetFile(path) as file:
        for group in range(file.num_row_groups):  # iter_batches() over all of them keeps what it has read (pyarrow 26)
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=wanted):
                yield from batch.to_pylist()


def _name_of(names: list[str], label: object, where: str) -> str | None:
    if label is None or label == -1:  # Hugging Face's "no label"
        return None
    if not isinstance(label, int) or not 0 <= label < len(names):
        raise ValueError(f"{where}: label {label!r} is none of the {len(names)} that have names; labels='ids' takes numbers as they are")
    return names[label]


def _image_bytes(value: object, where: str, column: str) -> bytes:
    image = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(image, bytes) or not image:
        raise ValueError(f"{where}: '{column}' holds no image but {shown(value)}")
    return image
