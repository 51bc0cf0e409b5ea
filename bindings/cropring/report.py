"""Who waits for whom: two readings of a ring's counters in, one sentence and the numbers behind it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from . import _ring

STAGES = ("fetch", "decode", "shape", "plan")  # in the order in which they are told; decode is the longest of almost every run

Reading = Mapping[str, Any]  # `_ring.Observer.snapshot()`, or what of it a process can know; {}: the start of the run


def failures_by_reason(counters: Mapping[str, int]) -> dict[str, int]:
    """Files that failed, by why."""
    named = {name.removeprefix("status_").replace("_", " "): count for name, count in counters.items() if name.startswith("status_")}
    return {name: count for name, count in named.items() if count and name != "ok"}


def percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Report:
    """What the loader and its readers did over some time; `print(report)` tells it in a few lines.

    Attributes
    ----------
    kind : {"too-short", "loader-bound", "trainer-bound", "balanced"}
        The verdict.
    cause : str
        Of "loader-bound": "decode", "cpu", "read", "slow-reader", "slots", "start" or "requests"; else empty.
    sentence : str
        The verdict in words, with what to do.
    headroom : float
        Of "trainer-bound": how many times as many batches the loader could make; else 1.
    since : {"start", "report"}
        Where the time begins: when the stream did, or at the last report.
    seconds : float
        How long it is.
    trainer_waits : float
        Share of the time, 0 to 1, that readers waited for a batch, all of them together, but for their first ones.
    start_waits : float
        The same for their first ones.
    loader_waits : float
        Share of the time in which the loader waited for a free slot.
    reader_waits : dict of int to float
        `trainer_waits` of each reader that is there, by its number.
    images_per_s, batches_per_s, megabytes_per_s : float
        Delivered, and read from files (1 MB = 1,000,000 bytes).
    cpu_ms_per_image : float
        User and system time of the worker.
    stages : dict of str to float
        Milliseconds of CPU time per image in "fetch", "decode", "shape" and "plan".
    threads, cpus : int
        Decode threads, and CPUs that the worker may use.
    bad_samples : int
    reasons : dict of str to int
        Files that failed, by why.
    """

    kind: str
    cause: str
    sentence: str
    headroom: float
    since: Literal["start", "report"]
    seconds: float
    trainer_waits: float
    start_waits: float
    loader_waits: float
    reader_waits: dict[int, float]
    images_per_s: float
    batches_per_s: float
    megabytes_per_s: float
    cpu_ms_per_image: float
    stages: dict[str, float]
    threads: int
    cpus: int
    bad_samples: int
    reasons: dict[str, int]

    def __str__(self) -> str:
        span = f"{self.seconds:,.1f} s{' since the last report' if self.since == 'report' else ''}"
        stages = ", ".join(f"{name} {self.stages[name]:.2f}" for name in STAGES)
        crew = f"{_counted(self.threads, 'decode thread')} on {_counted(self.cpus, 'CPU')}"
        lines = [
            self.sentence,
            f"waiting: trainer {percent(self.trainer_waits)}, loader {percent(self.loader_waits)} of {span}",
            f"speed: {self.images_per_s:,.0f} images/s in {self.batches_per_s:,.1f} batches/s, {self.megabytes_per_s:,.1f} MB/s read",
            f"work: {self.cpu_ms_per_image:.2f} ms of CPU per image ({stages}); {crew}",
        ]
        if self.bad_samples:
            why = ", ".join(f"{count:,} {name}" for name, count in self.reasons.items())
            lines.append(f"bad: {_counted(self.bad_samples, 'sample')} ({why})")
        return "\n".join(lines)


def _waiting_shares(before: Reading, after: Reading) -> dict[int, float]:
    """How much of its time after its first batch each reader that is there waited, by its number."""
    earlier = {reader["number"]: reader for reader in before.get("readers", ())}
    shares = {}
    for reader in after.get("readers", ()):
        then = earlier.get(reader["number"], dict.fromkeys(("present_ns", "wait_ns", "start_wait_ns"), 0))
        present_ns, wait_ns, start_wait_ns = (reader[name] - then[name] for name in ("present_ns", "wait_ns", "start_wait_ns"))
        if reader["there"] and present_ns > start_wait_ns:
            shares[reader["number"]] = min(1.0, max(0.0, (wait_ns - start_wait_ns) / (present_ns - start_wait_ns)))
    return shares


def report_between(before: Reading, after: Reading, since: Literal["start", "report"] = "report") -> Report:
    """What happened from one reading to the other; `before` may be {}."""
    if before and before["pid"] != after.get("pid"):
        before = {}  # another worker, which counts from 0
    now, then = after.get("counters", {}), before.get("counters", {})

    def grown(name: str) -> int:
        return max(0, int(now.get(name, 0)) - int(then.get(name, 0)))

    # `elapsed_ns` leaves out what the full ring waited for its first reader, and moves on only as often as the worker counts.
    span_ns = after["time_ns"] - before["time_ns"] if before else grown("elapsed_ns")
    images = grown("images")

    def per_second(amount: float) -> float:
        return amount * 1e9 / span_ns if span_ns else 0.0

    def ms_per_image(name: str) -> float:
        return grown(name) / 1e6 / images if images else 0.0

    verdict = _ring.verdict(dict(before), dict(after))
    earlier_failures = failures_by_reason(then)
    failures = {name: count - earlier_failures.get(name, 0) for name, count in failures_by_reason(now).items()}
    return Report(
        kind=verdict["kind"],
        cause=verdict["cause"],
        sentence=verdict["sentence"],
        headroom=verdict["headroom"],
        since=since,
        seconds=span_ns / 1e9,
        trainer_waits=verdict["reader_share"],
        start_waits=verdict["start_share"],
        loader_waits=min(1.0, per_second(grown("loader_wait_ns") / 1e9)),
        reader_waits=_waiting_shares(before, after),
        images_per_s=per_second(images),
        batches_per_s=per_second(grown("batches")),
        megabytes_per_s=per_second(grown("bytes_read") / 1e6),
        cpu_ms_per_image=ms_per_image("cpu_ns"),
        stages={name: ms_per_image(f"{name}_ns") for name in STAGES},
        threads=int(now.get("threads", 0)),
        cpus=int(now.get("cpus", 0)),
        bad_samples=grown("bad_samples"),
        reasons={name: count for name, count in failures.items() if count > 0},
    )


class Reports:
    """Makes one report after the other."""

    def __init__(self) -> None:
        self._before: Reading = {}

    def make(self, reading: Reading, since: str) -> Report:
        """About the time since the last one, or since the start."""
        if since not in ("report", "start"):
            raise ValueError(f"since={since!r}: \"report\" (the last one) or \"start\" is expected")
        before, self._before = self._before if since == "report" else {}, reading
        is_of_same = bool(before) and before["pid"] == reading.get("pid")
        return report_between(before, reading, "report" if is_of_same else "start")
