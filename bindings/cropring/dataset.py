"""The list of samples that the worker scanned, mapped from its index (layout: loader/plan/index/index_layout.h)."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .errors import LayoutMismatch

_HEADER = struct.Struct("<8sII5Q16s56x")  # magic, columns, 0, samples, classes, bytes of text, root's place in it, of stamps; fingerprint
_IMAGE = np.dtype(  # struct index_image
    [
        ("width_px", "<u4"),
        ("height_px", "<u4"),
        ("format", "u1"),
        ("orientation", "u1"),
        ("channels", "u1"),
        ("sample_bits", "u1"),
        ("segments_bytes", "<u4"),
        ("checksum", "<u8"),
    ]
)
_COLUMNS = (  # enum index_column
    ("path", np.dtype("<u8")),
    ("label", np.dtype("<i8")),
    ("offset", np.dtype("<u8")),
    ("length", np.dtype("<u8")),
    ("box", np.dtype("<4i4")),
    ("window", np.dtype("<3f4")),
    ("target", np.dtype("<u8")),
    ("target_offset", np.dtype("<u8")),
    ("target_length", np.dtype("<u8")),
    ("weight", np.dtype("<f8")),
    ("image", _IMAGE),
    ("target_image", _IMAGE),
    ("shard", np.dtype("<u8")),
)

_OTHER_LAYOUT = "the worker's list of samples has another layout: update the worker or this package"
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE


def _map_sealed(index_fd: int) -> mmap.mmap:
    """Memory that nobody can change any more: to read from what somebody makes shorter kills the reader."""
    try:
        seals = fcntl.fcntl(index_fd, fcntl.F_GET_SEALS)
    except OSError:  # no such memory
        seals = 0
    if seals & _SEALS != _SEALS:
        raise LayoutMismatch("the worker's list of samples is not sealed against changes: update the worker")
    if os.fstat(index_fd).st_size < _HEADER.size:
        raise LayoutMismatch(_OTHER_LAYOUT)
    return mmap.mmap(index_fd, 0, prot=mmap.PROT_READ)


def _padded(byte_count: int) -> int:
    return -(-byte_count // 8) * 8


class Dataset:
    """Samples, labels and classes, as torchvision's ImageFolder has them.

    Attributes
    ----------
    root : str
        The folder, or the pack.
    classes : list of str
        Class names in order of their numbers; empty for a folder without sub-folders.
    class_to_idx : dict of str to int
        Class numbers by name.
    paths : sequence of str
        Path of each sample, with the folder in front; decoded when asked for. Of a pack it is the name in its source, with the pack in
        front: train.pack/cat/1.jpg, which is no file.
    samples : sequence of (str, int)
        Path and label of each sample.
    targets : ndarray of int64, read-only
        Label of each sample; -1 for a folder without sub-folders.
    fingerprint : str
        32 hexadecimal digits: the same for the same samples in the same order, wherever they lie.
    """

    def __init__(self, index_fd: int) -> None:
        mapping = _map_sealed(index_fd)
        magic, columns, _, samples, classes, text_bytes, root_at, stamp_bytes, fingerprint = _HEADER.unpack_from(mapping)
        column_bytes = sum(_padded(dtype.itemsize * samples) for bit, (_, dtype) in enumerate(_COLUMNS) if columns >> bit & 1)
        if (
            magic != b"cropidx1"
            or columns & 3 != 3
            or columns >> len(_COLUMNS)
            or len(mapping) != _HEADER.size + column_bytes + 8 * classes + text_bytes + stamp_bytes
            or root_at >= text_bytes
            or mapping[len(mapping) - stamp_bytes - 1] != 0
        ):
            raise LayoutMismatch(_OTHER_LAYOUT)
        self.fingerprint = fingerprint.hex()
        self._columns: dict[str, NDArray[Any]] = {}
        at = _HEADER.size
        for number, (name, dtype) in enumerate(_COLUMNS):
            if columns >> number & 1:
                self._columns[name] = np.frombuffer(mapping, dtype, samples, at)
                at += _padded(dtype.itemsize * samples)
        class_offsets = np.frombuffer(mapping, np.uint64, classes, at)
        text = _Text(mapping, at + 8 * classes)
        self.targets: NDArray[np.int64] = self._columns["label"]
        self.root = text[root_at]
        self.classes = [text[int(offset)] for offset in class_offsets]
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.paths: Sequence[str] = _Paths(self.root, text, self._columns["path"])
        self.samples: Sequence[tuple[str, int]] = _Samples(self.paths, self.targets)

    def __len__(self) -> int:
        return len(self.targets)

    def place(self, sample: int) -> tuple[str, int, int] | None:
        """File, offset and length of a sample's bytes, length -1 for all of a file; None for one of a pack, which a `Pack` reads."""
        if "image" in self._columns:
            return None
        if "offset" not in self._columns:
            return self.paths[sample], 0, -1
        return self.paths[sample], int(self._columns["offset"][sample]), int(self._columns["length"][sample])

    def read_again(self, index_fd: int) -> Dataset:
        """The data set as another worker has scanned it."""
        return Dataset(index_fd)

    def is_same(self, other: Dataset) -> bool:
        """The same folder, classes and files, in the same order: by name and fingerprint, for they may be many."""
        return (self.root, self.fingerprint) == (other.root, other.fingerprint)

    def __repr__(self) -> str:
        return f"<cropring.Dataset {self.root!r}: {len(self)} samples, {len(self.classes)} classes>"


class _Text:
    """NUL-terminated strings by offset."""

    def __init__(self, mapping: mmap.mmap | bytes, begin: int) -> None:
        self._mapping = mapping
        self._begin = begin

    def __getitem__(self, offset: int) -> str:
        begin = self._begin + offset
        return os.fsdecode(self._mapping[begin : self._mapping.find(b"\0", begin)])


class _Paths(Sequence[str]):
    def __init__(self, root: str, text: _Text, offsets: NDArray[np.uint64]) -> None:
        self._root = root
        self._text = text
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: Any) -> str | Sequence[str]:
        if isinstance(index, slice):
            return _Paths(self._root, self._text, self._offsets[index])
        return os.path.join(self._root, self._text[int(self._offsets[index])])


class _Samples(Sequence[tuple[str, int]]):
    def __init__(self, paths: Sequence[str], targets: NDArray[np.int64]) -> None:
        self._paths = paths
        self._targets = targets

    def __len__(self) -> int:
        return len(self._targets)

    @overload
    def __getitem__(self, index: int) -> tuple[str, int]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[str, int]]: ...
    def __getitem__(self, index: Any) -> tuple[str, int] | Sequence[tuple[str, int]]:
        if isinstance(index, slice):
            return _Samples(self._paths[index], self._targets[index])
        return self._paths[index], int(self._targets[index])
