"""Real workers, each slowed down in one way: the verdict over a window of their lives names it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import cropring
from conftest import WATCHDOG_S, Server, eventually, ring_names
from cropring._cli import executable
from cropring._ring import Observer, verdict
from cropring.snapshot import Snapshot, Verdict

Serve = Callable[..., Server]


@contextmanager
def reading(server: Server, pause_s: float = 0.0, **how: Any) -> Iterator[None]:
    """A reader in a thread of its own that takes a batch, pauses, and takes the next, until the end of the block and of the worker."""

    def read() -> None:
        with suppress(cropring.WorkerDied), cropring.attach(server.name, wait=WATCHDOG_S, timeout=WATCHDOG_S, **how) as reader:
            for _ in reader:
                time.sleep(pause_s)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        server.process.terminate()
        thread.join(WATCHDOG_S)


def judged(server: Server, is_expected: Callable[[Verdict], bool]) -> Verdict:
    """The verdict over a window that grows until it is the expected one, or all the time has passed that a busy machine can need."""
    eventually(lambda: server.name in ring_names(), "the ring is there")
    with Observer.attach(server.name) as observer:
        eventually(lambda: observer.snapshot()["readers"], "a reader is there")
        time.sleep(0.3)
        before: Snapshot = observer.snapshot()
        result = verdict(before, before)

        def is_there() -> bool:
            result.update(verdict(before, observer.snapshot()))
            return result["kind"] != "too-short" and is_expected(result)

        eventually(is_there, "the expected verdict")
        return result


def test_a_trainer_that_pauses_is_what_the_loader_waits_for(serve: Serve) -> None:
    server = serve("--epochs=0")
    with reading(server, pause_s=0.1):
        result = judged(server, lambda verdict: verdict["kind"] == "trainer-bound")
    assert result["sentence"].startswith("loader waits for trainer: nothing to gain here")
    assert result["headroom"] > 1.1 and result["reader_share"] < 0.05 and result["cause"] == ""


def test_a_trainer_that_never_pauses_waits_for_decoding(serve: Serve) -> None:
    server = serve("--epochs=0", "--threads=1", "--batch-size=16", "--size=224")
    with reading(server):
        result = judged(server, lambda verdict: verdict["kind"] == "loader-bound")
    assert result["cause"] in ("decode", "cpu")  # as many CPUs as there are here, and as much of them as others leave
    assert result["sentence"].startswith("trainer waits for loader: decode")


def test_a_disk_that_is_slow_is_what_the_trainer_waits_for(serve: Serve, slow_disk: Callable[[int], dict[str, str]]) -> None:
    server = serve("--epochs=0", "--io=pread", "--io-depth=2", "--sandbox=off", env=slow_disk(20))
    with reading(server):
        result = judged(server, lambda verdict: verdict["cause"] == "read")
    assert "disk or network" in result["sentence"]


@pytest.mark.parametrize("share", ["lanes", "broadcast"])
def test_a_reader_that_holds_up_the_other_is_named(serve: Serve, share: str) -> None:
    server = serve("--epochs=0", f"--share={share}", "--readers=2", "--slots=4")
    with reading(server, lane=0), reading(server, pause_s=0.4, lane=1):
        result = judged(server, lambda verdict: verdict["cause"] == "slow-reader")
    assert result["reader"] == 1 and "reader 1 (process" in result["sentence"]


def test_requests_that_are_sent_one_at_a_time_are_to_be_sent_ahead(cropper: Callable[..., cropring.Cropper], photos: Path) -> None:
    paths = sorted(photos.rglob("*.jpg"))[:4]
    crop = cropper()
    crop(paths, [0.0] * 4, [0.0] * 4, [0.5] * 4)
    deadline = time.monotonic() + WATCHDOG_S
    while (result := verdict({}, {"counters": crop.stats()}))["cause"] != "requests" and time.monotonic() < deadline:
        crop(paths, [0.0] * 4, [0.0] * 4, [0.5] * 4)
    assert "ask ahead" in result["sentence"]


def test_the_run_says_at_its_end_who_waited(serve: Serve) -> None:
    server = serve("--epochs=8")
    with reading(server, pause_s=0.02):
        _, stderr = server.process.communicate(timeout=WATCHDOG_S)
    assert "waits for" in stderr or "keep pace" in stderr or "too short" in stderr


def test_nothing_but_dicts_of_numbers_is_judged() -> None:
    assert verdict({}, {})["kind"] == "too-short"
    with pytest.raises(TypeError, match="snapshots"):
        verdict({}, [])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        verdict({}, {"counters": {"batches": "many"}})
    with pytest.raises(OverflowError):
        verdict({}, {"counters": {"batches": -1}})
    with pytest.raises(TypeError, match="no dict"):
        verdict({}, {"counters": 7})


def test_a_terminal_shows_meanwhile_who_waits(photos: Path) -> None:
    name = f"test-terminal-{os.getpid()}"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [executable(), "serve", photos, "--ring", name, "--epochs=0", "--batch-size=4", "--size=32", "--slots=3"],
        stdin=subprocess.DEVNULL, stderr=theirs, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = ""
    try:
        with suppress(cropring.WorkerDied), cropring.attach(name, wait=WATCHDOG_S, timeout=WATCHDOG_S) as reader:
            deadline = time.monotonic() + WATCHDOG_S
            for _ in reader:
                time.sleep(0.1)
                while select.select([ours], [], [], 0)[0]:
                    shown += os.read(ours, 65536).decode(errors="replace")
                if "loader waits" in shown or time.monotonic() > deadline:
                    break
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "images/s  loader waits  " in shown
