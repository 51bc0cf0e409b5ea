"""A Cropper whose worker dies: every request is answered once, in order and with its own pixels, whoever kills it and whenever."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from PIL import Image

import cropring
from conftest import WATCHDOG_S, eventually
from cropring import BadSample, Status
from cropring._cli import executable

Make = Callable[..., cropring.Cropper]
Folder = Callable[..., Path]
TESTS = Path(__file__).parents[1]


@pytest.fixture
def files(folder: Folder) -> list[Path]:
    return sorted(folder(20).iterdir())


def pid_of(crop: cropring.Cropper) -> int | None:
    worker = crop._exchange._worker
    return worker.process.pid if worker else None


def kill(crop: cropring.Cropper, how: int = signal.SIGKILL) -> None:
    if pid := pid_of(crop):
        os.kill(pid, how)


def kill_now_and_then(crop: cropring.Cropper, chance: random.Random, until: Callable[[], bool]) -> None:
    """Each worker at a moment of its own, but not before it has answered something: deaths without an answer in between are limited."""
    answered = -1
    while not until():
        threading.Event().wait(chance.uniform(0, 0.03))
        if crop._exchange._answered > answered:
            answered = crop._exchange._answered
            kill(crop)


def test_a_killed_worker_is_replaced_before_the_next_call(cropper: Make, files: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    crop = cropper()
    before = crop(files, 0, 0, 1)
    kill(crop)
    after = crop(files, 0, 0, 1)
    np.testing.assert_array_equal(before.images, after.images)
    assert (before.seq, after.seq, crop.stats()["respawns"]) == (0, 1, 1)
    (record,) = [record for record in caplog.records if record.name == "cropring"]
    assert record.message.endswith("goes on with request 1")


def test_kills_with_requests_in_flight_lose_repeat_and_tear_nothing(cropper: Make, files: list[Path]) -> None:
    """Each answer is held against what an undisturbed Cropper says; the order is that of the labels and numbers."""
    seed = int(os.environ.get("CROPRING_TEST_SEED", "20240229"))
    print(f"CROPRING_TEST_SEED={seed}")
    chance = random.Random(seed)
    requests = [([files[chance.randrange(20)] for _ in range(chance.randint(1, 40))], number) for number in range(150)]
    quiet = cropper(hflip=0.5)
    expected = [(batch.images.copy(), batch.box.copy()) for batch in (quiet(paths, rule="random-resized") for paths, _ in requests)]
    crop = cropper(hflip=0.5, slots=5)
    completed: list[int] = []
    futures = []
    stop = threading.Event()

    striker = threading.Thread(target=kill_now_and_then, args=(crop, chance, stop.is_set))
    striker.start()
    try:
        for paths, number in requests:
            futures.append(crop.submit(paths, rule="random-resized", labels=number))
            futures[-1].add_done_callback(lambda _, number=number: completed.append(number))
        for number, future in enumerate(futures):
            batch = future.result(WATCHDOG_S)
            assert batch.seq == number and set(batch.labels.tolist()) == {number} and not batch.status.any()
            np.testing.assert_array_equal(batch.images, expected[number][0])
            np.testing.assert_array_equal(batch.box, expected[number][1])
    finally:
        stop.set()
        striker.join()
    assert completed == list(range(150))
    assert crop.stats()["respawns"] > 0


def test_calls_of_many_threads_survive_kills(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3)
    failures: list[BaseException] = []
    expected = crop(files, 0, 0, 1).images.copy()

    def call() -> None:
        try:
            for _ in range(30):
                np.testing.assert_array_equal(crop(files, 0, 0, 1).images, expected)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
    kill_now_and_then(crop, random.Random(5), lambda: not any(thread.is_alive() for thread in threads))
    assert failures == [] and crop.stats()["respawns"] > 0


def test_a_storm_of_kills_stops_and_interrupts_goes_unnoticed() -> None:
    """The short version of the counted run: threads that call, submit, await, cancel and keep what they got; and trainers that are killed."""
    words = [sys.executable, TESTS / "soak/request_storm.py", "10", "--trainers=2", "--seed=5", f"--hang-s={WATCHDOG_S}"]
    storm = subprocess.run(words, capture_output=True, text=True)
    assert storm.returncode == 0, storm.stdout + storm.stderr


DYING_WORKER = """#!/bin/sh
echo $$ >>{log}
[ $(wc -l <{log}) -eq 1 ] || exit 7
exec {worker} "$@"
"""


def test_too_many_deaths_fail_all_who_wait_and_the_next_call_starts_anew(
    cropper: Make, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, script = tmp_path / "log", tmp_path / "worker"
    script.write_text(DYING_WORKER.format(log=log, worker=executable()))
    script.chmod(0o755)
    monkeypatch.setenv("CROPRING_EXECUTABLE", str(script))
    crop = cropper(respawn=2, slots=3)
    kill(crop)
    futures = [crop.submit(files, 0, 0, 1) for _ in range(10)]
    for future in futures:
        with pytest.raises(cropring.WorkerDied, match="3 workers died in a row.*exit status 7"):
            future.result(WATCHDOG_S)
    assert len(log.read_text().split()) == 3
    with pytest.raises(cropring.WorkerDied, match="exit status 7"):
        crop(files, 0, 0, 1)
    monkeypatch.undo()
    assert len(crop(files, 0, 0, 1)) == 20


def test_without_respawn_the_first_death_is_told(cropper: Make, files: list[Path]) -> None:
    crop = cropper(respawn=0)
    kill(crop)
    with pytest.raises(cropring.WorkerDied, match="killed by SIGKILL"):
        crop(files, 0, 0, 1)
    assert len(crop(files, 0, 0, 1)) == 20 and crop.stats()["respawns"] == 0


def test_a_worker_that_is_told_to_stop_says_so(cropper: Make, files: list[Path]) -> None:
    crop = cropper()
    worker = crop._exchange._worker
    kill(crop, signal.SIGTERM)
    eventually(lambda: worker.process.poll() is not None, "its end")
    with pytest.raises(cropring.WorkerDied, match="SIGTERM"):
        crop(files, 0, 0, 1)


# ---------------------------------------------------------------- files that kill the decoder


@pytest.fixture
def culprit(tmp_path: Path) -> Path:
    """A file of the size that crashes the decoders (tests/crashing_codec.c)."""
    path = tmp_path / "culprit.jpg"
    Image.new("RGB", (61, 67), (200, 30, 90)).save(path)
    return path


@pytest.mark.parametrize("how", ["segv", "abort"])
def test_a_file_that_kills_two_workers_is_a_bad_sample_from_then_on(
    cropper: Make, files: list[Path], culprit: Path, crash: Callable[..., None], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    crash(how)
    crop = cropper()
    futures = [crop.submit([*files[:3], culprit, files[4]] if number == 2 else files, 0, 0, 1) for number in range(5)]
    for number, future in enumerate(futures):
        if number == 2:
            with pytest.raises(BadSample, match=f"item 3: {culprit}: crashed"):
                future.result(WATCHDOG_S)
        else:
            assert len(future.result(WATCHDOG_S)) == 20
    respawns = crop.stats()["respawns"]
    assert 2 <= respawns <= 4 and crop.stats()["crashed_samples"] >= 1
    assert any(f"({culprit})" in record.message and "left out" in record.message for record in caplog.records)
    for _ in range(3):
        with pytest.raises(BadSample, match=f"item 1: {culprit}: crashed"):
            crop([files[0], culprit], rule="resize")
    kill(crop)
    with pytest.raises(BadSample, match=f"item 0: {culprit}: crashed"):
        crop(culprit, rule="resize")
    assert crop.stats()["respawns"] == respawns + 1


def test_as_a_status_the_other_rows_are_there(cropper: Make, files: list[Path], culprit: Path, crash: Callable[..., None]) -> None:
    crash("segv")
    batch = cropper(errors="status", threads=1)([files[1], culprit, files[2]], 0, 0, 1)
    assert batch.status.tolist() == [0, Status.CRASHED, 0]
    assert batch.images[0].any() and not batch.images[1].any() and batch.images[2].any()


def test_a_crash_that_does_not_come_again_is_not_held_against_the_file(
    cropper: Make, files: list[Path], crash: Callable[..., None], tmp_path: Path
) -> None:
    once = tmp_path / "once.jpg"
    Image.new("RGB", (61, 71), (200, 30, 90)).save(once)
    crash("segv", once=tmp_path / "happened")
    crop = cropper(sandbox="off")
    assert not crop([files[0], once], 0, 0, 1).status.any()
    assert (crop.stats()["respawns"], crop.stats()["crashed_samples"]) == (1, 0)


# ---------------------------------------------------------------- Ctrl-C


def test_ctrl_c_leaves_it_usable(cropper: Make, files: list[Path]) -> None:
    crop = cropper(threads=1)
    waiting = crop.submit(files * 10, 0, 0, 1)
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        while True:
            crop(files * 10, 0, 0, 1)
    assert len(waiting.result(WATCHDOG_S)) == 200
    for _ in range(3):
        np.testing.assert_array_equal(crop(files[:2], 0, 0, 1).images, crop(files[:2], 0, 0, 1).images)


def test_an_answer_that_is_lost_to_ctrl_c_is_asked_for_again(cropper: Make, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    crop = cropper(slots=3)
    crop(files, 0, 0, 1, labels=0)
    housed = crop._exchange._housed

    def interrupted(*arguments: object) -> object:
        monkeypatch.setattr(crop._exchange, "_housed", housed)
        raise KeyboardInterrupt

    monkeypatch.setattr(crop._exchange, "_housed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        crop(files, 0, 0, 1, labels=1)
    for number in range(2, 8):
        batch = crop(files[:number], 0, 0, 1, labels=number)
        assert (batch.seq, batch.labels.tolist()) == (number, [number] * number)


@pytest.mark.parametrize("company", [0, 1, 9])
def test_ctrl_c_at_any_step_costs_nobody_else_an_answer(cropper: Make, files: list[Path], company: int) -> None:
    """A call of the main thread is interrupted at its first step, its second, and so on, while others' requests are on their way.

    Steps are those between which Python lets signals in, as far as they are our own: when a function begins, and when one in C returns.
    """
    crop = cropper(slots=3, respawn=10**6)
    expected = crop(files[:3], 0, 0, 1).images.copy()
    count, was_interrupted = 0, True
    while was_interrupted:
        steps_left, was_interrupted = count, False
        others = [crop.submit(files[:3], 0, 0, 1) for _ in range(company)]

        def profile(frame: FrameType, event: str, _: object) -> None:
            nonlocal steps_left
            if event in ("call", "c_return") and frame.f_code.co_filename.endswith(("cropring/exchange.py", "cropring/worker.py")):
                steps_left -= 1
                if steps_left == -1:
                    raise KeyboardInterrupt

        sys.setprofile(profile)
        try:
            crop(files[:3], 0, 0, 1)
        except KeyboardInterrupt:
            was_interrupted = True
        finally:
            sys.setprofile(None)
        for future in [*others, crop.submit(files[:3], 0, 0, 1)]:
            np.testing.assert_array_equal(future.result(WATCHDOG_S).images, expected)
        count += 1
    assert count > 20
