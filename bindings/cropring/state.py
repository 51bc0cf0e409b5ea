"""Where a Loader stands, as data that a checkpoint can keep: what `state_dict()` returns and `load_state_dict()` takes.

Nothing in it depends on world size, batch size or threads, and it is the same on all ranks: how many samples of an epoch's global order
were handed out, and what fixes that order.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import shown

VERSION = 1
LAST_EPOCH = 10**9  # that --start-epoch takes


@dataclass(frozen=True, slots=True, order=True)
class Progress:
    """The first `samples` positions of `epoch` were handed out, by all ranks together."""

    epoch: int
    samples: int


@dataclass(frozen=True, slots=True)
class Order:
    """What must be the same for positions to mean the same samples, beside the seed.

    Attributes
    ----------
    kind : str
        "shuffle", "sequential", "weighted:" with a hash of the weights, or "sampler".
    limit : int
        Of samples in an epoch; 0: none.
    fingerprint : str
        The data set's.
    """

    kind: str
    limit: int
    fingerprint: str


def epoch_batches(sample_count: int, passed_over: int, step: int, tail: str) -> int:
    """Batches that each rank gets of an epoch of which some samples are passed over; the rule of loader/plan/schedule.h.

    `step` is what all ranks together take in one batch each.
    """
    left = max(0, sample_count - passed_over)
    return left // step if tail == "drop" else -(-left // step)


def as_dict(progress: Progress, seed: int, order: Order, sampler_state: Any = None) -> dict[str, Any]:
    """Everything of our own is a number or a string, so that JSON keeps it."""
    state = {
        "version": VERSION,
        "seed": seed,
        "epoch": progress.epoch,
        "samples_consumed": progress.samples,
        "fingerprint": order.fingerprint,
        "order": order.kind,
        "limit": order.limit,
    }
    return state if sampler_state is None else state | {"sampler_state": sampler_state}


def from_dict(state: Mapping[str, Any], order: Order, sample_count: int | None, source: str) -> tuple[Progress, int]:
    """How far that run was, and its seed; `ValueError` when this one, with `sample_count` samples in an epoch, cannot go on with it."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state: what Loader.state_dict() returned is expected, not {shown(state)}")
    version = _whole(state, "version", 2**31)
    if version != VERSION:
        raise ValueError(f"state: version {version}, and this cropring reads version {VERSION}: use the one that wrote it")
    progress = Progress(_whole(state, "epoch", LAST_EPOCH), _whole(state, "samples_consumed", 2**63 - 1))
    seed = _whole(state, "seed", 2**64 - 1)
    if _found(state, "fingerprint") != order.fingerprint:
        raise ValueError(
            f"state: it was taken on samples with the fingerprint {state['fingerprint']}, those of {source} have {order.fingerprint}: "
            "there are other files or labels now, or another order of them; restore those, or begin without the state"
        )
    if _found(state, "order") != order.kind:
        raise ValueError(
            f"state: its order is {state['order']!r}, this Loader's is {order.kind!r}: give the same shuffle, weights and sampler as then"
        )
    if _whole(state, "limit", 2**63 - 1) != order.limit:
        raise ValueError(f"state: it was taken with limit={state['limit']}, this Loader has limit={order.limit}: give the same")
    if sample_count is not None and progress.samples > sample_count:
        raise ValueError(f"state: {progress.samples} samples consumed of an epoch that has {sample_count}: it is damaged")
    return progress, seed


def _found(state: Mapping[str, Any], key: str) -> Any:
    try:
        return state[key]
    except KeyError:
        raise ValueError(f"state: it has no {key!r}: what Loader.state_dict() returned is expected") from None


def _whole(state: Mapping[str, Any], key: str, most: int) -> int:
    value = _found(state, key)
    try:
        whole = -1 if isinstance(value, bool) else int(operator.index(value))  # NumPy's and PyTorch's numbers too
    except TypeError:
        whole = -1
    if not 0 <= whole <= most:
        raise ValueError(f"state: {key} is {value!r}; a whole number between 0 and {most} is expected")
    return whole
