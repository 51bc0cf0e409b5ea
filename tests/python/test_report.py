"""loader.report() and reader.report(): the verdict of real runs, the numbers behind it, and the time that they are about."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cropring
from conftest import WATCHDOG_S, Server
from cropring.report import Report, report_between

Load = Callable[..., cropring.Loader]


def train(loader: cropring.Loader, step_s: float, is_enough: Callable[[Report], bool]) -> Report:
    """Epoch after epoch until the report is as expected, or all the time has passed that a busy machine can need."""
    deadline = time.monotonic() + WATCHDOG_S
    while True:
        for _ in loader:
            time.sleep(step_s)
        report = loader.report(since="start")
        if report.kind != "too-short" and (is_enough(report) or time.monotonic() > deadline):
            return report


def test_a_slow_trainer_has_nothing_to_gain(load: Load) -> None:
    report = train(load(threads=1), 0.05, lambda report: report.kind == "trainer-bound")
    assert report.kind == "trainer-bound" and report.cause == "" and report.headroom > 1.1
    assert report.sentence.startswith("loader waits for trainer: nothing to gain here")
    assert report.trainer_waits < 0.05 < report.loader_waits <= 1
    assert report.trainer_waits == pytest.approx(report.reader_waits[0], abs=0.05)


def test_a_fast_trainer_waits_for_one_thread_that_decodes(load: Load) -> None:
    report = train(load(threads=1, size=224, batch_size=16, tail="pad"), 0.0, lambda report: report.kind == "loader-bound")
    assert report.kind == "loader-bound" and report.cause in ("decode", "cpu") and report.headroom == 1
    assert report.sentence.startswith("trainer waits for loader: decode") and report.trainer_waits > 0.2 and report.threads == 1
    assert report.stages["decode"] + report.stages["shape"] > 2 * (report.stages["fetch"] + report.stages["plan"]) and report.cpus >= 1


def test_its_numbers_are_those_of_the_counters(load: Load) -> None:
    with load(epochs=3) as loader:
        for _ in range(3):
            for _ in loader:
                pass
    report, stats = loader.report(since="start"), loader.stats()
    seconds = stats["elapsed_ns"] / 1e9
    assert report.seconds == pytest.approx(seconds) and report.since == "start"
    assert report.images_per_s * seconds == pytest.approx(stats["images"])
    assert report.batches_per_s * seconds == pytest.approx(stats["batches"])
    assert report.megabytes_per_s * seconds == pytest.approx(stats["bytes_read"] / 1e6)
    assert report.stages["decode"] * stats["images"] == pytest.approx(stats["decode_ns"] / 1e6)
    assert report.cpu_ms_per_image == pytest.approx(stats["cpu_ns"] / 1e6 / stats["images"]) and report.bad_samples == 0


def test_the_time_of_stages_is_cpu_time_also_where_threads_wait_for_a_cpu(load: Load) -> None:
    with load(epochs=3, threads=8, cpus=str(min(os.sched_getaffinity(0)))) as loader:
        for _ in range(3):
            for _ in loader:
                pass
    report, stats = loader.report(since="start"), loader.stats()
    assert stats["decode_busy_ns"] > stats["decode_ns"] + stats["shape_ns"] > 0  # they had to wait for it
    assert sum(report.stages.values()) <= report.cpu_ms_per_image


def test_each_report_is_about_the_time_since_the_last_one(load: Load) -> None:
    loader = load()
    for _ in loader:
        pass
    first = loader.report()
    time.sleep(0.3)
    second = loader.report()
    assert (first.since, second.since) == ("start", "report") and 0.3 <= second.seconds
    assert loader.report(since="start").since == "start"
    for _ in loader:
        break
    for _ in loader:  # the loop before was left: this is another worker, which knows nothing of before
        break
    assert loader.report().since == "start"
    with pytest.raises(ValueError, match="since='ever'"):
        loader.report(since="ever")  # type: ignore[arg-type]


def test_bad_files_are_counted_by_reason_since_the_last_report(folder: Callable[..., Path], load: Load) -> None:
    source = folder({"a": 8})
    (source / "a/001.jpg").write_bytes(b"")
    loader = load(source, batch_size=8, epochs=1)
    for _ in loader:
        pass
    report = loader.report()
    assert report.bad_samples == 1 and report.reasons == {"empty": 1} and "bad: 1 sample (1 empty)" in str(report)
    assert loader.report().bad_samples == 0 and loader.report().reasons == {} and "bad" not in str(loader.report())


def test_another_worker_counts_from_nothing() -> None:
    dead: dict[str, Any] = {"pid": 1, "time_ns": 10**9, "counters": {"batches": 100, "elapsed_ns": 9 * 10**9}, "readers": []}
    alive = {"pid": 2, "time_ns": 9 * 10**9, "counters": {"batches": 10, "elapsed_ns": 2 * 10**9}, "readers": []}
    assert report_between(dead, alive).batches_per_s == 5 and report_between(dead, alive).seconds == 2
    assert report_between(dead, alive | {"pid": 1}).batches_per_s == 0 and report_between(dead, alive | {"pid": 1}).seconds == 8


def test_it_prints_as_a_few_lines(load: Load) -> None:
    loader = load()
    for _ in loader:
        pass
    report = loader.report()
    first, *lines = str(report).splitlines()
    assert first == report.sentence
    assert [line.partition(":")[0] for line in lines] == ["waiting", "speed", "work"] and all(len(line) < 160 for line in lines)
    assert " s since the last report" in str(loader.report())


def test_a_reader_sees_all_readers(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=0", "--share=lanes", "--readers=2", "--slots=4")
    with cropring.attach(server.name, wait=WATCHDOG_S) as one, cropring.attach(server.name, wait=WATCHDOG_S) as other:
        deadline = time.monotonic() + WATCHDOG_S
        report = one.report()
        while report.kind == "too-short" and time.monotonic() < deadline:
            for reader in (one, other):
                next(reader)
            report = one.report(since="start")
        assert report.kind != "too-short" and set(report.reader_waits) == {0, 1}
        assert other.report().since == "start" and other.report().since == "report"


def test_a_fork_has_no_report(load: Load) -> None:
    loader = load()
    next(iter(loader))
    pid = os.fork()
    if pid == 0:
        try:
            loader.report()
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_closed_loader_tells_of_its_end_and_one_without_a_worker_of_nothing(load: Load) -> None:
    loader = load(epochs=1)
    batches = sum(1 for _ in loader)
    loader.close()
    report = loader.report()
    assert report.batches_per_s * report.seconds == pytest.approx(batches) and loader.report().batches_per_s == 0
    nothing: dict[str, Any] = {}
    assert report_between(nothing, nothing).kind == "too-short" and report_between(nothing, nothing).images_per_s == 0


def test_the_share_of_a_reader_leaves_out_its_first_batch_and_one_that_left_has_none() -> None:
    times = {"present_ns": 10_000, "wait_ns": 4_000, "start_wait_ns": 2_000}
    readers = [{"number": number, "pid": 7, "there": number == 3} | times for number in (3, 5)]
    assert report_between({}, {"pid": 1, "counters": {}, "readers": readers}).reader_waits == {3: 0.25}
