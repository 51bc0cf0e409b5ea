"""One loop over a Loader, whose order is the worker's own or a sampler's."""

from __future__ import annotations

from collections.abc import Iterator

from .batch import Batch
from .sampling import Sampling
from .stream import Stream

_NOT_BEGUN, _OVER = -1, -2  # in the place of a number of batches, or of a loop's number


class Epoch(Iterator[Batch]):
    """One loop over a loader.  It begins when its first batch is asked for."""

    __slots__ = ("_batches_left", "_number", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._batches_left = _NOT_BEGUN

    def __next__(self) -> Batch:
        stream = self._stream
        if self._batches_left == _NOT_BEGUN:
            self._begin()
        lease = stream.take(self._number) if self._batches_left > 0 else None
        if lease is None:
            self._batches_left = 0
            stream.loop_ended(self._number)
            raise StopIteration
        if lease.epoch == stream.epoch:  # else it is late, and one of another epoch's
            self._batches_left -= 1
        if self._batches_left == 0:
            stream.end_epoch()
        return Batch(lease)

    def _begin(self) -> None:
        number, epoch = self._stream.begin_loop()
        count = self._stream.batch_count(self._stream.passed_over(epoch))
        if count == 0:  # the worker passes over such an epoch without a word
            self._stream.end_epoch()
        self._number, self._batches_left = number, count


class SampledEpoch(Iterator[Batch]):
    """One loop over a loader with a sampler.  It begins when its first batch is asked for."""

    __slots__ = ("_loop", "_sampling", "_stream")

    def __init__(self, stream: Stream, sampling: Sampling) -> None:
        self._stream = stream
        self._sampling = sampling
        self._loop = _NOT_BEGUN

    def __next__(self) -> Batch:
        stream, sampling = self._stream, self._sampling
        if self._loop == _NOT_BEGUN:
            self._loop, epoch = stream.begin_loop()
            sampling.begin(epoch, stream.passed_over(epoch), len(stream.dataset))
        if self._loop != _OVER:
            sampling.send(stream.worker_of(self._loop))
            if not sampling.is_over:
                lease = stream.take(self._loop)
                assert lease is not None  # no other reader has a part of the stream
                return sampling.answered(Batch(lease))
            self._end()
        raise StopIteration

    def _end(self) -> None:
        loop, self._loop = self._loop, _OVER
        self._stream.end_epoch()
        self._stream.loop_ended(loop)
        self._sampling.end()
