"""A Loader whose order a sampler tells: the samples it names become requests to the worker, some batches ahead of the loop."""

from __future__ import annotations

import copy
import hashlib
import operator
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch import Batch, Status
from .requests import packed, rows_of_samples
from .worker import Feed

_OCCURRENCE = 40  # the bit of a key from which on it tells how often the sample was there before, in this epoch


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request without its answer."""

    request: bytes
    end_position: int  # of the sampler's samples in the epoch, after this batch
    padding_count: int  # rows at its end
    sampler_state: dict[str, Any]  # once it has named this batch


_Batch = tuple[NDArray[np.int64], int, bool]  # its samples; how many at its end are padding; whether the sampler said it is through


class Sampling:
    """Asks a worker for the batches of a sampler.

    Parameters
    ----------
    sampler : iterable
        Sample numbers, which are cut into batches, or batches of them.  Iterated over anew in each epoch, in the loop's thread.
    flags : dict
        The Loader's keywords.  `batch_size` is the most where the sampler makes the batches; `tail` is for numbers that fill no batch.

    Attributes
    ----------
    state : dict or None
        Once the last batch handed over was named, however far the sampler is by now; None before that.  Of a sampler that has
        `state_dict()` and `load_state_dict()` what the first told ("state"), and whether it had said that there is no more ("is_through").
        Of another a hash of all that it named in the epoch ("named"), since it has to name the same again.
    """

    def __init__(self, sampler: Iterable[Any], flags: Mapping[str, Any]) -> None:
        if not hasattr(sampler, "__iter__") and not hasattr(sampler, "__getitem__"):
            raise TypeError(f"sampler={sampler!r}: an iterable of sample numbers, or of batches of them, is expected")
        if flags["readers"] != 1:
            raise ValueError(f"readers={flags['readers']}: a sampler has one reader, this process")
        if flags["weights"] is not None or flags["limit"]:
            raise ValueError("weights and limit are for the Loader's own order: a sampler draws its samples itself, and as many as it likes")
        self._sampler = sampler
        self._batch_size: int = flags["batch_size"]
        self._tail: str = flags["tail"]
        self._makes_batches: bool | None = None  # not known before the first epoch begins
        self._has_state = callable(getattr(sampler, "state_dict", None)) and callable(getattr(sampler, "load_state_dict", None))
        self._may_repeat_its_end = False  # when it is iterated over next: the state that it was given last says that it was through
        self.set_state(None)
        self.forget()

    def forget(self) -> None:
        """Nothing is asked for any more: the worker is gone, or another epoch begins."""
        self._unanswered: deque[_Asked] = deque()
        self._requests: Iterator[_Asked] = iter(())
        self._is_through = False  # the sampler names no more,
        self._failure: BaseException | None = None  # because it raised this

    def set_state(self, state: dict[str, Any] | None) -> None:
        """The next loop begins where the sampler was then; None: it iterates over the sampler as it is."""
        if state is not None and not (isinstance(state, dict) and state.keys() in ({"named"}, {"state", "is_through"})):
            raise ValueError(f"state: sampler_state is {state!r}; what Loader.state_dict() returned is expected")
        if state is not None and "state" in state and not self._has_state:
            raise ValueError("state: it has the sampler's own state, and this Loader's sampler has no load_state_dict(): give one like it")
        self.state = self._loaded = state

    @property
    def has_unanswered(self) -> bool:
        return bool(self._unanswered)

    @property
    def next_position(self) -> int:
        """How many of the sampler's samples of the epoch are consumed once the next answer is."""
        return self._unanswered[0].end_position

    @property
    def is_over(self) -> bool:
        """All that the sampler named is answered."""
        return self._is_through and not self._unanswered

    def batch_count(self) -> int:
        """Batches of an epoch, by what the sampler says; `TypeError` if it does not say."""
        count = len(self._sampler)  # type: ignore[arg-type]
        if self._makes_batches or (self._makes_batches is None and _looks_like_batches(self._sampler)):
            return count
        return count // self._batch_size if self._tail == "drop" else -(-count // self._batch_size)

    # ---------------------------------------------------------------- the worker

    def begin(self, epoch: int, passed_over: int, sample_count: int) -> None:
        """The next requests are those of `epoch`, without its first samples."""
        self.forget()
        sampler: Any = self._sampler
        state, self._loaded = self._loaded or {}, None
        loaded = state if "state" in state else None
        may_repeat_its_end, self._may_repeat_its_end = self._may_repeat_its_end, False
        if loaded is not None and passed_over == 0:  # the state is of the epoch before, to its end
            may_repeat_its_end = True
            sampler.load_state_dict(loaded["state"])
            if not loaded["is_through"]:
                deque(sampler, maxlen=0)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        if loaded is not None and passed_over > 0:
            sampler.load_state_dict(loaded["state"])
            if loaded["is_through"]:
                self._may_repeat_its_end = True
                return
        batches = self._batches(0 if loaded else passed_over, sample_count, may_repeat_its_end)
        self._requests = self._make_requests(epoch, batches, passed_over, 0 if loaded else passed_over, sample_count, state.get("named"))

    def send(self, worker: Feed) -> None:
        """As many as there are slots for.  What the sampler raises is kept for its place in the stream."""
        while not self._is_through and worker.ring.held_count + len(self._unanswered) < worker.ring.slot_count:
            try:
                asked = next(self._requests, None)
            except BaseException as error:
                asked, self._failure, self._is_through = None, error, True
                if not isinstance(error, Exception):
                    raise
            if asked is None:
                self._is_through = True
                return
            self._unanswered.append(asked)
            worker.request(asked.request)

    def send_again(self, worker: Feed) -> None:
        """What is not answered, to another worker."""
        for asked in self._unanswered:
            worker.request(asked.request)

    def answered(self, batch: Batch) -> Batch:
        """The batch is the answer to the oldest request."""
        asked = self._unanswered.popleft()
        self.state = asked.sampler_state
        if asked.padding_count:
            batch.status[-asked.padding_count :] |= np.uint8(Status.PADDING)
        return batch

    def end(self) -> None:
        """There are no more answers: raises what the sampler raised instead of going on."""
        failure = self._failure
        self.forget()
        if failure is not None:
            raise failure

    # ---------------------------------------------------------------- from numbers to requests

    def _make_requests(
        self, epoch: int, batches: Iterator[_Batch], passed_over: int, named_again: int, sample_count: int, expected: str | None
    ) -> Iterator[_Asked]:
        """Those of the epoch after the first `passed_over` samples, of which `batches` have the last `named_again` again.

        `ValueError` when those are not the ones whose hash is `expected`.
        """
        seen = np.zeros(sample_count, np.uint32)  # how often, in this epoch
        named = hashlib.blake2b(digest_size=16)
        position = passed_over - named_again
        for samples, padding_count, is_through in batches:
            own_count = len(samples) - padding_count
            keys = samples.astype(np.uint64)
            keys[:own_count] |= self._turns(samples[:own_count], position, seen) << np.uint64(_OCCURRENCE)
            first = min(max(0, passed_over - position), own_count)
            named.update(samples[:first].astype("<i8").tobytes())
            if position < passed_over == position + first and expected not in (None, named.hexdigest()):
                break
            named.update(samples[first:own_count].astype("<i8").tobytes())
            if position >= passed_over or position + own_count > passed_over:
                request = packed(rows_of_samples(samples[first:], keys[first:]), epoch=epoch, first_position=position + first)
                state: dict[str, Any] = {"named": named.hexdigest()}
                if self._has_state:
                    state = {"state": copy.deepcopy(self._sampler.state_dict()), "is_through": is_through}  # type: ignore[attr-defined]
                yield _Asked(request, position + own_count, padding_count, state)
            position += own_count
        if expected is not None and position < passed_over:
            raise ValueError(
                f"state: the sampler had named {passed_over} other samples in epoch {epoch}: it must name the same ones in the same epoch "
                "of each run, as those with set_epoch() do, or have state_dict() and load_state_dict() itself"
            )

    def _turns(self, samples: NDArray[np.int64], position: int, seen: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """What tells a sample that comes again from itself: how often it was there; or, where a resumed run cannot know, its position."""
        if self._has_state:
            return np.arange(position, position + len(samples), dtype=np.uint64) % np.uint64(2 ** (64 - _OCCURRENCE))
        return _occurrences(samples, seen)

    def _batches(self, passed_over: int, sample_count: int, may_repeat_its_end: bool) -> Iterator[_Batch]:
        """All that the sampler names, with what is passed over."""
        items = iter(self._sampler)
        first = list(islice(items, 1))
        if not first and may_repeat_its_end:  # as samplers do that count; others begin the next epoch
            items = iter(self._sampler)
            first = list(islice(items, 1))
        if first:
            self._makes_batches = not _is_number(first[0])
            items = chain(first, items)
            yield from self._given(items, sample_count) if self._makes_batches else self._cut(items, passed_over, sample_count)

    def _given(self, batches: Iterator[Any], sample_count: int) -> Iterator[_Batch]:
        position = 0
        for number, batch in enumerate(batches):
            if not hasattr(batch, "__iter__"):
                raise TypeError(f"batch {number} of the sampler: {batch!r}: sample numbers are expected")
            samples = _checked(batch, position, sample_count)
            if len(samples) > self._batch_size:
                raise ValueError(f"batch {number} of the sampler: {len(samples)} samples, over batch_size={self._batch_size}")
            yield samples, 0, False
            position += len(samples)

    def _cut(self, items: Iterator[Any], passed_over: int, sample_count: int) -> Iterator[_Batch]:
        start = _checked(list(islice(items, passed_over)), 0, sample_count)  # of the epoch: what padding repeats
        position = len(start)
        if passed_over:
            yield start, 0, False
        start = start[: self._batch_size]
        while chunk := list(islice(items, self._batch_size)):
            samples = _checked(chunk, position, sample_count)
            start = np.concatenate((start, samples))[: self._batch_size]
            missing = self._batch_size - len(samples)
            if missing == 0 or self._tail == "partial":
                yield samples, 0, missing > 0
            elif self._tail == "pad":
                yield np.concatenate((samples, np.resize(start, missing))), missing, True
            position += len(samples)


def _is_number(item: Any) -> bool:
    try:
        operator.index(item)
    except TypeError:
        return False
    return getattr(item, "ndim", 0) == 0  # an array or a tensor of one number is a batch


def _looks_like_batches(sampler: Any) -> bool:
    """Before it is iterated over: as PyTorch's BatchSampler, or a list of lists, does."""
    if isinstance(sampler, Sequence) and len(sampler) > 0:
        return not _is_number(sampler[0])
    return hasattr(sampler, "batch_size") or getattr(sampler, "ndim", 1) == 2


def _checked(items: Any, position: int, sample_count: int) -> NDArray[np.int64]:
    try:
        samples = np.asarray(items)
    except ValueError:  # of unlike lengths
        samples = np.asarray(())
    if samples.ndim != 1 or samples.dtype.kind not in "iu":
        samples = np.array([_number(item, position + place) for place, item in enumerate(items)], np.int64)
    bad = np.flatnonzero((samples < 0) | (samples >= sample_count))
    if bad.size:
        place = int(bad[0])
        raise IndexError(f"position {position + place} of the sampler: sample {samples[place]}: 0 to {sample_count - 1} are there")
    return samples.astype(np.int64)


def _number(item: Any, position: int) -> int:
    try:
        return operator.index(item)
    except TypeError:
        raise TypeError(f"position {position} of the sampler: {item!r}: a sample number is expected") from None


def _occurrences(samples: NDArray[np.int64], seen: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """How often each of them was there before, in earlier batches (`seen`, which is brought up to date) and in this one."""
    order = np.argsort(samples, kind="stable")
    ordered = samples[order]
    is_first = np.ones(len(samples), bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    begins = np.flatnonzero(is_first)
    lengths = np.diff(begins, append=len(samples))
    before = np.empty(len(samples), np.uint64)
    before[order] = seen[ordered] + np.arange(len(samples)) - np.repeat(begins, lengths)
    seen[ordered[begins]] += lengths.astype(np.uint32)
    return before
