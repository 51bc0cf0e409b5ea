"""One batch: NumPy views into a slot of the ring, without a copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._ring import Lease, View


class Status(IntEnum):
    """What became of a sample: `batch.status & Status.REASON_MASK` is one of the first thirteen, the flags stand above.

    `OK` alone means that the row is the planned sample.  Under `on_error="substitute"` a row whose planned sample failed has the
    reason of that failure and `SUBSTITUTED`; `batch.index` then tells which sample the pixels show.
    """

    OK = 0
    MISSING = 1
    UNREADABLE = 2
    EMPTY = 3
    TOO_LARGE = 4
    NOT_AN_IMAGE = 5
    TRUNCATED = 6
    CORRUPT = 7
    UNSUPPORTED = 8
    TIMEOUT = 9
    CRASHED = 10
    BAD_BOX = 11
    MISMATCH = 12
    REASON_MASK = 0x3F
    PADDING = 0x40
    SUBSTITUTED = 0x80


class Batch:
    """A borrowed batch of B samples, B = len(batch).

    The arrays are views into shared memory.  As long as one of them, or a slice of one, is alive, so is its memory: the slot goes
    back to the worker when the last is gone.  In a loop that happens by itself; keep `batch.images.copy()`, not `batch.images`.
    The arrays may be written to (in place augmentation), except in a ring that several readers see.

    `images, labels = batch` unpacks the two that training needs; `batch["box"]` is any array by name.
    """

    __slots__ = ("_arrays", "_lease")

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._arrays: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The array of that name, first axis B; `KeyError` if the ring has none."""
        if not isinstance(name, str):
            raise TypeError(f"a batch is indexed by the names of its arrays, such as batch['images'], not by {name!r}")
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = np.asarray(self._lease.view(name))
        return array

    def view(self, name: str) -> View | NDArray[Any]:
        """The memory of the array of that name, for other array libraries; `KeyError` if the ring has none.

        It is a buffer and speaks DLPack: `torch.from_dlpack(batch.view("images"))` and `jax.dlpack.from_dlpack(batch.view("images"))` copy
        nothing, and their tensors keep the slot as the batch's own arrays do.  In a ring of `share="broadcast"` nobody may write to it:
        NumPy and JAX do not, JAX's array is a copy, and PyTorch, which has no read-only tensors, crashes where it is tried.
        """
        return self._arrays[name] if self._lease.released and name in self._arrays else self._lease.view(name)

    @property
    def images(self) -> NDArray[Any]:
        """(B, height, width, channels), or (B, channels, height, width) under `layout="nchw"`; of the `dtype` asked for."""
        return self["images"]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(B,) class numbers, -1 where the folder has no classes."""
        return self["labels"]

    @property
    def index(self) -> NDArray[np.int64]:
        """(B,) numbers of the samples in `loader.paths`."""
        return self["index"]

    @property
    def box(self) -> NDArray[np.int32]:
        """(B, 4): x, y, width and height of the crop, in pixels of the source image."""
        return self["box"]

    @property
    def source_size(self) -> NDArray[np.int32]:
        """(B, 2): height and width of the source image in pixels."""
        return self["source_size"]

    @property
    def flipped(self) -> NDArray[np.uint8]:
        """(B,) 1 where the image was mirrored left to right."""
        return self["flipped"]

    @property
    def targets(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """(B, height, width) values of the second picture of each sample, cut as its image is; zeros in a blank row.

        `AttributeError` if the samples have none: see `Loader(targets=...)`.
        """
        try:
            return self["targets"]
        except KeyError:
            raise AttributeError("these samples have no targets: Loader(targets=DIR) or a manifest's column `target` names them") from None

    @property
    def status(self) -> NDArray[np.uint8]:
        """(B,) see `Status`; 0 where all is well."""
        return self["status"]

    @property
    def seq(self) -> int:
        """Number of the batch in the worker's stream, from 0, modulo 2**32."""
        return self._lease.sequence

    @property
    def epoch(self) -> int:
        """Epoch that the batch belongs to."""
        return self._lease.epoch

    @property
    def redelivered(self) -> bool:
        """True when the batch was for a reader that is gone, which may have used it if it died; it may come after its successors."""
        return self._lease.redelivered

    def __len__(self) -> int:
        return self._lease.row_count

    def __iter__(self) -> Iterator[NDArray[Any]]:
        yield self["images"]
        yield self["labels"]

    def release(self) -> None:
        """Gives the slot back now.  `BufferError` while arrays of this batch are alive elsewhere; nothing the second time."""
        self._arrays.clear()
        self._lease.release()

    def _move_out(self, names: Iterable[str]) -> None:
        """Copies all arrays into memory of their own and gives the slot back; nobody has an array of this batch yet."""
        for name in names:
            self._arrays[name] = self[name].copy()
        self._lease.release()

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.release()
        except BufferError:
            if error is None:  # else the traceback holds the arrays, and matters more
                raise

    def __repr__(self) -> str:
        state = ", released" if self._lease.released else ""
        return f"<cropring.Batch seq={self.seq} epoch={self.epoch} rows={len(self)}{state}>"
