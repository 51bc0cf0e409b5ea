"""The batch that a running ring hands out next, made once more: from its worker's own words, so that the ring notices nothing.

A batch is a pure function of the source, the flags and its place in the stream.  To borrow it would take it away from the training.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._ring import Observer
from .command import Refusal
from .report import Reading
from .state import epoch_batches


@dataclass(frozen=True, slots=True)
class Told:
    """What `cropring serve` was told: SOURCE, its flags that decide about batches, and the folder that relative paths begin at."""

    source: str
    flags: dict[str, Any]
    folder: str
    start_epoch: int
    start_sample: int
    first_batch: int


def _parser(flags: Sequence[Mapping[str, Any]]) -> ArgumentParser:
    """Reads a command line that `cropring serve` has accepted, so that nothing needs to be refused here."""
    parser = ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("source", nargs="?")
    for flag in flags:
        words = [f"-{flag['letter']}"] * bool(flag["letter"]) + [f"--{flag['name']}"]
        if flag["kind"] == "switch":
            parser.add_argument(*words, dest=flag["keyword"], action=BooleanOptionalAction)
        elif flag["kind"] == "level":
            parser.add_argument(*words, dest=flag["keyword"], action="count")
        else:
            parser.add_argument(*words, dest=flag["keyword"])
    for hidden in ("reader-fd", "first-batch", "requests", "crashed"):
        parser.add_argument(f"--{hidden}")
    return parser


def told(pid: int, flags: Sequence[Mapping[str, Any]], groups: Sequence[str]) -> Told:
    """What the worker with that process number was told; `flags` as `cropring flags --json` has them."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = [os.fsdecode(word) for word in file.read().split(b"\0")[2:-1]]  # after `cropring serve`
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = dict(os.fsdecode(entry).partition("=")[::2] for entry in file.read().split(b"\0"))
        folder = os.readlink(f"/proc/{pid}/cwd")
    except OSError as error:
        why = f"what worker {pid} was told cannot be read ({error.strerror})"
        raise Refusal(f"{why}: name its SOURCE and flags instead of --ring") from None
    given: Namespace = _parser(flags).parse_known_args(words)[0]
    if given.requests not in (None, "none"):
        raise Refusal(f"worker {pid} makes what its program asks for, in no order of its own: there is no next batch to draw")
    for flag in flags:  # as the command reads its variables
        value = environment.get(flag["variable"])
        if value and getattr(given, flag["keyword"]) is None:
            setattr(given, flag["keyword"], value.lower() in ("1", "on", "yes", "true") if flag["kind"] == "switch" else value)
    if given.weights and given.weights.startswith("/proc/self/fd/"):
        given.weights = f"/proc/{pid}/fd/{given.weights.rpartition('/')[2]}"
    kept = {flag["keyword"]: getattr(given, flag["keyword"]) for flag in flags if flag["group"] in groups}
    kept |= {"index": None, "crashed": given.crashed}
    for name in ("epochs", "start_epoch", "start_sample"):
        del kept[name]
    return Told(given.source, kept, folder, *(int(value or 0) for value in (given.start_epoch, given.start_sample, given.first_batch)))


def next_batch(name: str) -> tuple[Reading, int, int]:
    """What the ring looks like, and sequence number and epoch of the batch that comes next: the oldest that is ready, or that is held."""
    with Observer.attach(name) as observer:
        reading = observer.snapshot()
    for state in ("ready", "held"):
        slots = [slot for slot in reading["slots"] if slot["state"] == state]
        if slots:  # their numbers lie close together, and begin anew after 2**32
            oldest = min(slots, key=lambda slot: (slot["seq"] - slots[0]["seq"] + 2**31) % 2**32)
            return reading, oldest["seq"], oldest["epoch"]
    raise Refusal(f"{reading['name']} has no batch ready yet; try again in a moment")


def consumed_before(told: Told, seq: int, epoch: int, sample_count: int) -> int:
    """Samples of the epoch, of all ranks together, that come before the batch with that sequence number."""
    step = int(told.flags["batch_size"] or 256) * int(told.flags["world_size"] or 1)
    tail = told.flags["tail"] or "drop"
    limit = int(told.flags["limit"] or 0)
    count = limit if limit and (limit < sample_count or told.flags["weights"]) else sample_count
    number = (seq - told.first_batch) % 2**32
    if epoch == told.start_epoch:
        return told.start_sample + number * step
    return (number - epoch_batches(count, told.start_sample, step, tail)) % epoch_batches(count, 0, step, tail) * step
