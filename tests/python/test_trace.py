"""--trace: what slots and threads did when, as a file that can be read whatever became of its worker."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cropring
from conftest import WATCHDOG_S, Server, eventually

Serve = Callable[..., Server]
Load = Callable[..., cropring.Loader]
Event = dict[str, Any]


def whole_lines(path: Path) -> list[Event]:
    """The events of a file that may have been cut off."""
    return [json.loads(line.rstrip(",")) for line in path.read_text().splitlines() if line.endswith(("},", "}"))]


def spans(events: list[Event], name: str) -> list[Event]:
    return [event for event in events if event["ph"] == "X" and event["name"] == name]


def seconds(events: list[Event]) -> float:
    return float(sum(event["dur"] for event in events) / 1e6)


@pytest.fixture
def run(serve: Serve, tmp_path: Path) -> Callable[..., tuple[list[Event], dict[str, int]]]:
    """`run(pause_s, *flags)`: the trace of a worker that served to its end, and its counters."""

    def serve_all(pause_s: float, *flags: str) -> tuple[list[Event], dict[str, int]]:
        server = serve(f"--trace={tmp_path / 'trace.json'}", f"--stats={tmp_path / 'stats.json'}", *flags)
        with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
            for _ in reader:
                time.sleep(pause_s)
        assert server.wait() == 0, server.process.stderr.read()
        return json.loads((tmp_path / "trace.json").read_text()), json.loads((tmp_path / "stats.json").read_text())

    return serve_all


def test_each_batch_goes_through_its_slot_step_by_step(run: Callable[..., tuple[list[Event], dict[str, int]]]) -> None:
    events, stats = run(0.0, "--epochs=3")
    assert all({"ph", "name", "pid"} <= event.keys() for event in events)
    of_batch: defaultdict[int, dict[str, Event]] = defaultdict(dict)
    for name in ("filling", "ready", "held"):
        for event in spans(events, name):
            assert 1000 <= event["tid"] < 1003
            of_batch[event["args"]["seq"]][name] = event
    assert sorted(of_batch) == list(range(stats["batches"]))
    for seq, steps in of_batch.items():
        assert len({event["tid"] for event in steps.values()}) == 1 and {event["args"]["epoch"] for event in steps.values()} == {seq // 8}
        for earlier, later in (("filling", "ready"), ("ready", "held")):
            assert steps[later]["ts"] == pytest.approx(steps[earlier]["ts"] + steps[earlier]["dur"], abs=0.01)
        assert steps["held"]["args"]["reader"] == 0
    for slot in range(1000, 1003):  # one batch at a time
        lane = sorted((event["ts"], event["ts"] + event["dur"]) for event in events if event["ph"] == "X" and event.get("tid") == slot)
        assert all(end <= begin + 0.01 for (_, end), (begin, _) in zip(lane, lane[1:]))


def test_the_spans_add_up_to_the_counters(run: Callable[..., tuple[list[Event], dict[str, int]]]) -> None:
    events, stats = run(0.05, "--epochs=2")
    busy_s = seconds(spans(events, "decode")) + seconds(spans(events, "shape"))
    assert busy_s == pytest.approx(stats["decode_busy_ns"] / 1e9, rel=0.01)
    assert seconds(spans(events, "loader waits")) == pytest.approx(stats["loader_wait_ns"] / 1e9, rel=0.05)
    assert seconds(spans(events, "trainer waits")) == pytest.approx(stats["reader_wait_ns"] / 1e9, rel=0.05, abs=0.001)
    assert len(spans(events, "decode")) == stats["images"] == sum(event["ph"] == "b" for event in events)
    assert events[-1]["args"] == {"dropped": 0}


def test_every_track_has_a_name(run: Callable[..., tuple[list[Event], dict[str, int]]]) -> None:
    events, _ = run(0.0, "--epochs=1")
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {event["tid"] for event in events if event["ph"] in "Xbe"} <= names.keys()
    assert (names[1000], names[2000], names[3001]) == ("slot 0", "reader 0", "decode 1")


def test_a_killed_workers_trace_can_be_read_up_to_its_last_whole_line(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    server = serve("--epochs=0", f"--trace={path}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        stream = iter(reader)

        def has_many() -> bool:
            next(stream)
            return path.exists() and path.stat().st_size > 100_000

        eventually(has_many, "a hundred kilobytes of trace")
        server.process.kill()
        server.wait()
    assert path.read_text().startswith("[\n{")
    assert len(spans(whole_lines(path), "held")) > 10


def test_the_workers_of_a_loader_make_one_trace(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("of an earlier run")
    loader = load(trace=path)
    killed = loader._worker.process.pid
    pids = {killed}
    for number, _ in enumerate(loader):
        pids.add(loader._worker.process.pid)
        if number == 3:
            os.kill(killed, signal.SIGKILL)
    for _ in loader:
        break  # an early end: a fresh worker begins the next epoch
    for _ in loader:
        pids.add(loader._worker.process.pid)
    loader.close()
    events = json.loads(path.read_text())
    assert len(pids) == 3 and {event["pid"] for event in events} == pids
    assert {event["pid"] for event in spans(events, "held")} >= pids - {killed}  # whose last moments may not be in it


def test_another_loader_begins_another_trace(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    for _ in range(2):
        loader = load(trace=path)
        sum(1 for _ in loader)
        loader.close()
    assert len({event["pid"] for event in json.loads(path.read_text())}) == 1


def test_a_full_disk_ends_the_trace_and_nothing_else(serve: Serve) -> None:
    server = serve("--epochs=4", "--trace=/dev/full")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        assert sum(1 for _ in reader) == 32
    assert server.wait() == 0
    (warning,) = [line for line in server.process.stderr.read().splitlines() if "--trace" in line]
    assert "No space left on device" in warning


def test_bad_samples_are_named_by_what_became_of_them(serve: Serve, folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder(8)
    (source / "003.jpg").write_bytes(b"no image at all")
    server = serve("--epochs=1", f"--trace={tmp_path / 'trace.json'}", source=source)
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        sum(1 for _ in reader)
    server.wait()
    events = json.loads((tmp_path / "trace.json").read_text())
    assert [event["args"]["sample"] for event in events if event["name"] == "decode: not_an_image"] == [3]
