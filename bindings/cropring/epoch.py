"""One loop over a Loader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .batch import Batch

if TYPE_CHECKING:
    from .loader import Loader

_NOT_BEGUN, _OVER = -1, -2  # in the place of a number of batches


class Epoch(Iterator[Batch]):
    """One loop over a loader.  It begins when its first batch is asked for."""

    __slots__ = ("_batches_left", "_loader", "_number")

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._batches_left = _NOT_BEGUN

    def __next__(self) -> Batch:
        if self._batches_left == _NOT_BEGUN:
            self._number, self._batches_left = self._loader._begin()
        lease = self._loader._take(self._number) if self._batches_left > 0 else None
        if lease is None:
            if self._batches_left != _OVER:
                self._batches_left = _OVER
                self._loader._loop_ended(self._number)
            raise StopIteration
        if lease.epoch == self._loader._stream_epoch:  # else it is late, and one of another epoch's
            self._batches_left -= 1
        if self._batches_left == 0:
            self._loader._end()
        return Batch(lease)
