"""Reading what `cropring serve --trace FILE` wrote: Chrome's trace events in, spans of time for each slot and reader out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .command import Refusal

SLOT_STATES = ("filling", "ready", "held")
_FIRST_SLOT, _SLOT_LIMIT = 1000, 64  # track numbers (tid) of slots, and how many slots a ring can have
_FIRST_READER, _READER_LIMIT = 2000, 24
_LONGEST_US = 1e15  # thirty years: anything beyond is no time of ours
_LARGEST_BYTES = 1 << 28  # of a file whose events do not stand on lines of their own

Spans = NDArray[np.float64]  # (N, 2): begin and end in seconds, by begin


@dataclass(slots=True)
class Trace:
    """What happened in a ring, in seconds since the trace's first event.

    Attributes
    ----------
    slots : dict of int to dict of str to Spans
        By slot and state; a slot is free where it has no span.
    readers : dict of int to Spans
        When each reader waited for a batch; under broadcast, of those that waited for the same one, the first to get it.
    loader_waits : Spans
        When the loader waited for a free slot.
    duration : float
        Until the last event's end.
    """

    path: str
    slots: dict[int, dict[str, Spans]] = field(default_factory=dict)
    readers: dict[int, Spans] = field(default_factory=dict)
    loader_waits: Spans = field(default_factory=lambda: np.empty((0, 2)))
    duration: float = 0.0


def _events_on_lines(path: str) -> Iterator[tuple[int, Any]]:
    """Line numbers and events; what a killed worker left unfinished at the end is passed over."""
    broken = 0
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            text = line.strip().rstrip(",")
            if not text or text.endswith("[") or text.startswith("]"):
                continue  # what stands around the events
            try:
                event = json.loads(text)
            except (ValueError, RecursionError):
                if not broken:
                    broken = number
                continue
            if broken:
                raise Refusal(f"{path}:{broken}: not an event; a file that `cropring serve --trace FILE` wrote is expected")
            for part in _events_in(event):
                yield number, part


def _events_in(found: Any) -> list[Any]:
    """The events of a file or line that holds several, or the one that it is."""
    events = found.get("traceEvents", [found]) if isinstance(found, dict) else found
    return events if isinstance(events, list) else [events]


def _events(path: str) -> Iterator[tuple[int, Any]]:
    """Those of a file of any layout."""
    found = False
    try:
        for number, event in _events_on_lines(path):
            found = True
            yield number, event
    except Refusal:
        if found:
            raise
    if found:
        return
    # other tools write one event on several lines
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read(_LARGEST_BYTES + 1)
    try:
        whole = json.loads(text) if len(text) <= _LARGEST_BYTES else None
    except (ValueError, RecursionError):
        whole = None
    for event in _events_in(whole) if whole is not None else []:
        yield 0, event


def _number(event: dict[str, Any], key: str, place: str) -> float:
    value = event.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_US:
        raise Refusal(f"{place}: {key} is {str(value)[:40]}, where a time in microseconds is expected")
    return float(value)


def read_trace(path: str) -> Trace:
    """The trace in that file; `Refusal` if it is none."""
    spans: dict[tuple[str, int], list[tuple[float, float]]] = {}
    readers = set()  # that have a track, on which nothing stands if they never waited
    for number, event in _events(path):
        place = f"{path}:{number}" if number else path
        if not isinstance(event, dict) or not isinstance(event.get("ph"), str):
            raise Refusal(f"{place}: not an event; a file that `cropring serve --trace FILE` wrote is expected")
        name, track = event.get("name"), event.get("tid")
        if not isinstance(name, str) or not isinstance(track, int):
            continue
        slot, reader = track - _FIRST_SLOT, track - _FIRST_READER
        if event["ph"] == "M" and name == "thread_name" and 0 <= reader < _READER_LIMIT:
            readers.add(reader)
        if event["ph"] != "X":
            continue
        if name in SLOT_STATES and 0 <= slot < _SLOT_LIMIT:
            key = (name, slot)
        elif name == "trainer waits" and 0 <= reader < _READER_LIMIT:
            key = (name, reader)
        elif name == "loader waits":
            key = (name, 0)
        else:
            continue
        begin_us, duration_us = _number(event, "ts", place), _number(event, "dur", place)
        spans.setdefault(key, []).append((begin_us / 1e6, (begin_us + duration_us) / 1e6))
    if not any(name in SLOT_STATES for name, _ in spans):
        raise Refusal(f"{path}: no slot of a ring in it; a file that `cropring serve --trace FILE` wrote is expected")
    return _trace(path, {key: np.array(sorted(times), np.float64) for key, times in spans.items()}, readers)


def _trace(path: str, spans: dict[tuple[str, int], Spans], readers: set[int]) -> Trace:
    begin = min(times[0, 0] for times in spans.values())
    trace = Trace(path, readers={reader: np.empty((0, 2)) for reader in sorted(readers)})
    for times in spans.values():
        times -= begin
    for (name, number), times in sorted(spans.items()):
        if name in SLOT_STATES:
            trace.slots.setdefault(number, {})[name] = times
        elif name == "trainer waits":
            trace.readers[number] = times
        else:
            trace.loader_waits = times
    trace.duration = max(float(times[:, 1].max()) for times in spans.values())
    return trace


# ---------------------------------------------------------------- over time


def filled_before(spans: Spans, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds of the spans before each of the times; spans that overlap each other count each for itself."""

    def since(begins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds from each of `begins` to each time, summed over those that have come."""
        count = np.searchsorted(begins, times)
        passed: NDArray[np.float64] = times * count - np.concatenate([[0.0], np.cumsum(begins)])[count]
        return passed

    return since(np.sort(spans[:, 0])) - since(np.sort(spans[:, 1]))
