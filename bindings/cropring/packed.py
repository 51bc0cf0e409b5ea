"""A pack as a sequence of image files, read without a worker (layout: loader/plan/pack/pack_layout.h, docs/pack-format.md)."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .dataset import _COLUMNS, _HEADER, _Text, _padded
from .errors import SourceError, shown

_PACK_HEADER = struct.Struct("<8s16sIIQQQQIIQ")  # struct pack_header
_PACK_HEADER_BYTES = 4096
_NO_SHARD = 0xFFFFFFFF
_FORMATS = {1: "JPEG", 2: "PNG", 3: "BMP"}


@dataclass(frozen=True)
class ImageInfo:
    """What a pack knows of an image before it is decoded.

    Attributes
    ----------
    format : str or None
        "JPEG", "PNG" or "BMP"; None for a file that cannot be decoded, of which the numbers below but `byte_count` are 0.
    width, height : int
        In pixels, as stored: before any EXIF rotation.
    orientation : int
        EXIF's, 1 to 8.
    channels, sample_bits : int
        As stored, alpha included; 1 channel is gray or a palette.
    byte_count : int
        Of its file.
    table_bytes : int
        Of the table that says where the loader can begin to decode it; 0: it has none, and crops read the file as it would lie in a folder.
    checksum : int
        XXH3-64 of its file.
    """

    format: str | None
    width: int
    height: int
    orientation: int
    channels: int
    sample_bits: int
    byte_count: int
    table_bytes: int
    checksum: int


class Pack(Sequence[bytes]):
    """The images of a pack, each as the bytes of an ordinary .jpg, .png or .bmp file.

    ``Image.open(io.BytesIO(pack[17]))`` is the picture of sample 17. To feed a training process, give the pack to a
    :class:`~cropring.Loader`, which reads only what a crop needs.

    That its parts fit together is looked at, checksums are not: ``cropring info --verify PACK`` compares all of them.
    Nothing is mapped: a file that is changed meanwhile costs an exception and not the process. Any number of threads may read at once,
    and processes may after a fork; a pickled Pack opens the file anew.

    Parameters
    ----------
    path : path-like
        NAME.pack; the shards of a pack lie beside it.

    Attributes
    ----------
    path : str
        As it was given, but for a ~.
    names : sequence of str
        The name that each image had in its source; decoded when asked for. It need not be that of its format.
    labels : ndarray of int64, (N,), read-only
        -1 where there is none.
    classes : list of str
        Class names in order of their numbers; empty for a source without any.
    class_to_idx : dict of str to int
        Class numbers by name.
    target_names : sequence of str or None
        The name of each sample's target; None for a pack without targets.
    boxes : ndarray of int32, (N, 4), read-only, or None
        x, y, width and height in pixels; None where the source told none.
    fingerprint : str
        32 hexadecimal digits, the same for the same pack.

    Raises
    ------
    SourceError
        It is no pack, or not a whole one.
    OSError
        It cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.expanduser(os.fspath(path))
        self._files: dict[int, _File] = {}
        head = _File(self.path)
        self._files[_NO_SHARD] = head
        try:
            if head.number != _NO_SHARD:
                raise SourceError(f"{self.path} is shard {head.number} of a pack: open the .pack beside it")
            self._read_index(head)
        except BaseException:
            self.close()
            raise

    def _read_index(self, head: _File) -> None:
        index = head.read(head.index_at, head.index_bytes)
        if len(index) < _HEADER.size:
            raise _damaged(self.path)
        magic, columns, _, samples, classes, text_bytes, root_at, stamp_bytes, fingerprint = _HEADER.unpack_from(index)
        sizes = [_padded(dtype.itemsize * samples) if columns >> bit & 1 else 0 for bit, (_, dtype) in enumerate(_COLUMNS)]
        text_at = _HEADER.size + sum(sizes) + 8 * classes
        if (
            magic != b"cropidx1"
            or columns >> len(_COLUMNS)
            or len(index) != text_at + text_bytes + stamp_bytes
            or root_at >= text_bytes
            or index[text_at + text_bytes - 1] != 0
        ):
            raise _damaged(self.path)
        self._columns: dict[str, NDArray[Any]] = {}
        at = _HEADER.size
        for (name, dtype), size in zip(_COLUMNS, sizes):
            if size:
                self._columns[name] = np.frombuffer(index, dtype, samples, at)
            at += size
        class_offsets = np.frombuffer(index, np.dtype("<u8"), classes, at)
        if samples == 0 or not {"path", "label", "offset", "length", "image"} <= self._columns.keys():
            raise _damaged(self.path)
        texts = [class_offsets, self._columns["path"], self._columns.get("target", class_offsets)]
        if any((offsets >= root_at).any() for offsets in texts):
            raise _damaged(self.path)
        text = _Text(index, text_at)
        self.fingerprint = fingerprint.hex()
        self.labels: NDArray[np.int64] = self._columns["label"]
        self.classes = [text[int(offset)] for offset in class_offsets]
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        self.names: Sequence[str] = _Names(text, self._columns["path"])
        self.target_names: Sequence[str] | None = _Names(text, self._columns["target"]) if "target_image" in self._columns else None
        self.boxes: NDArray[np.int32] | None = self._columns.get("box")
        if "shard" in self._columns and (self._columns["shard"] >= head.shard_count).any():
            raise _damaged(self.path)
        if ("shard" in self._columns) != (head.shard_count > 0):
            raise _damaged(self.path)

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: Any) -> bytes | Sequence[bytes]:
        """The file of sample `index`; of a slice, a list of them."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._read(index, "offset", "length")

    def target(self, index: int) -> bytes:
        """The file of a sample's target.

        Raises
        ------
        LookupError
            The pack has no targets (`target_names` is None), or no such sample.
        """
        self._check_targets()
        return self._read(index, "target_offset", "target_length")

    def image_info(self, index: int) -> ImageInfo:
        """What the pack knows of the image of sample `index`; nothing is read."""
        return self._info(index, "image", "length")

    def target_info(self, index: int) -> ImageInfo:
        """The same of its target."""
        self._check_targets()
        return self._info(index, "target_image", "target_length")

    def close(self) -> None:
        """Closes its files; names, labels and infos stay."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Pack], tuple[str]]:
        return Pack, (self.path,)

    def __repr__(self) -> str:
        return f"<cropring.Pack {self.path!r}: {len(self)} samples, {len(self.classes)} classes>"

    def _check_targets(self) -> None:
        if self.target_names is None:
            raise LookupError(f"{self.path}: a pack without targets")

    def _number(self, index: Any) -> int:
        try:
            number = range(len(self))[index]
        except IndexError:
            raise IndexError(f"sample {shown(index)} of {len(self)} in {self.path}") from None
        assert isinstance(number, int)
        return number

    def _info(self, index: int, image_column: str, length_column: str) -> ImageInfo:
        number = self._number(index)
        image = self._columns[image_column][number]
        return ImageInfo(
            format=_FORMATS.get(int(image["format"])),
            width=int(image["width_px"]),
            height=int(image["height_px"]),
            orientation=int(image["orientation"]),
            channels=int(image["channels"]),
            sample_bits=int(image["sample_bits"]),
            byte_count=int(self._columns[length_column][number]),
            table_bytes=int(image["segments_bytes"]),
            checksum=int(image["checksum"]),
        )

    def _read(self, index: int, offset_column: str, length_column: str) -> bytes:
        number = self._number(index)
        offset, length = int(self._columns[offset_column][number]), int(self._columns[length_column][number])
        file = self._file(int(self._columns["shard"][number]) if "shard" in self._columns else _NO_SHARD)
        if offset < _PACK_HEADER_BYTES or offset > file.images_end or length > file.images_end - offset:
            raise SourceError(f"{self.path}: sample {number} is said to lie beyond {file.path}: the pack is damaged")
        return file.read(offset, length)

    def _file(self, shard: int) -> _File:
        """The pack's own file, or that of a shard, which is opened when it is first asked for."""
        if _NO_SHARD not in self._files:
            raise ValueError(f"{self.path}: this Pack is closed")
        file = self._files.get(shard)
        if file is None:
            head = self._files[_NO_SHARD]
            file = _File(f"{self.path.removesuffix('.pack')}-{shard:05}.shard")
            if (file.id, file.number) != (head.id, shard):
                file.close()
                raise SourceError(f"{file.path} is not shard {shard} of {self.path}, but of another pack: put the right one beside it")
            file = self._files.setdefault(shard, file)  # that of another thread, if it was quicker
        return file


def _damaged(path: str) -> SourceError:
    return SourceError(f"{path}: its index is damaged; copy the pack again, or make it anew")


class _File:
    """One file of a pack, whose header is right as far as that can be told without its checksum."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        status = os.fstat(self._fd)
        head = os.pread(self._fd, _PACK_HEADER.size, 0) if stat.S_ISREG(status.st_mode) else b""
        if head[:7] != b"croppck":
            raise SourceError(f"{self.path} is no pack: it does not begin like one")
        if head[7:8] != b"1":
            raise SourceError(f"{self.path} is a pack of another version of the format than 1: update cropring")
        if len(head) < _PACK_HEADER.size:
            raise SourceError(f"{self.path} is shorter than any pack: copy it again")
        _, self.id, self.shard_count, self.number, file_bytes, self.index_at, self.index_bytes, *_ = _PACK_HEADER.unpack(head)
        if file_bytes != status.st_size:
            raise SourceError(f"{self.path} has {status.st_size} bytes and not the {file_bytes} that it was made with: copy it again")
        if self.number == _NO_SHARD and self.index_at + self.index_bytes != file_bytes:
            raise _damaged(self.path)
        self.images_end = file_bytes if self.number != _NO_SHARD else self.index_at

    def read(self, offset: int, byte_count: int) -> bytes:
        """So many bytes from there on, all of which lie in the file."""
        pieces: list[bytes] = []
        while byte_count > 0:
            piece = os.pread(self._fd, byte_count, offset)
            if not piece:
                raise SourceError(f"{self.path} became shorter while it was read")
            pieces.append(piece)
            offset += len(piece)
            byte_count -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self.close()


class _Names(Sequence[str]):
    def __init__(self, text: _Text, offsets: NDArray[np.uint64]) -> None:
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
            return _Names(self._text, self._offsets[index])
        return self._text[int(self._offsets[index])]
