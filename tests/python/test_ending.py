"""However a side ends, the other learns it at once, and nothing stays behind (conftest looks after every test)."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cropring
from conftest import WATCHDOG_S, Server, eventually, is_running, kill_if_running

Load = Callable[..., cropring.Loader]
Serve = Callable[..., Server]


def pid_of(loader: cropring.Loader) -> int:
    return loader._worker.process.pid


# ---------------------------------------------------------------- the worker ends


def test_a_killed_worker_is_an_error_after_what_was_ready(load: Load) -> None:
    loader = load(slots=5, respawn=0)
    loop = iter(loader)
    eventually(lambda: loader.stats()["slots_ready"] == 5, "a full ring")
    os.kill(pid_of(loader), signal.SIGKILL)
    assert [next(loop).seq for _ in range(5)] == list(range(5))
    with pytest.raises(cropring.WorkerDied, match="killed by SIGKILL") as caught:
        next(loop)
    assert caught.value.exit_status == -signal.SIGKILL


def test_a_reader_that_waits_learns_of_the_workers_death(load: Load) -> None:
    loader = load(respawn=0)
    loop = iter(loader)
    pid = pid_of(loader)
    os.kill(pid, signal.SIGSTOP)
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.4; kill -KILL {pid}"])
    with pytest.raises(cropring.WorkerDied):
        for _ in loop:
            pass
    killer.wait()


def test_the_last_lines_of_a_dead_worker_are_in_the_error(load: Load) -> None:
    loader = load(verbose=True, respawn=0)
    eventually(lambda: loader.stats()["slots_ready"] == 3, "a full ring")
    os.kill(pid_of(loader), signal.SIGKILL)
    with pytest.raises(cropring.WorkerDied) as caught:
        for _ in loader:
            pass
    assert "decode threads" in caught.value.last_lines and "decode threads" in str(caught.value)


def test_a_terminated_worker_says_who_did_it(load: Load) -> None:
    loader = load()
    os.kill(pid_of(loader), signal.SIGTERM)
    with pytest.raises(cropring.WorkerDied, match="SIGTERM"):
        for _ in loader:
            pass


def test_a_worker_ignores_the_ctrl_c_that_is_meant_for_the_trainer(load: Load) -> None:
    loader = load()
    os.kill(pid_of(loader), signal.SIGINT)
    assert sum(1 for _ in loader) == len(loader)
    assert os.getsid(pid_of(loader)) != os.getsid(0)


def test_after_a_death_the_next_loop_starts_a_new_worker_at_the_next_epoch(load: Load) -> None:
    loader = load(respawn=0)
    loop = iter(loader)
    next(loop)
    os.kill(pid_of(loader), signal.SIGKILL)
    with pytest.raises(cropring.WorkerDied):
        for _ in loop:
            pass
    assert {batch.epoch for batch in loader} == {1}


def test_views_of_a_dead_worker_stay_valid(load: Load) -> None:
    loader = load()
    batch = next(iter(loader))
    before = batch.images.tobytes()
    os.kill(pid_of(loader), signal.SIGKILL)
    eventually(lambda: not is_running(pid_of(loader)), "the worker dead")
    loader.close()
    assert batch.images.tobytes() == before


def test_closing_a_worker_that_was_stopped_ends_it(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cropring.worker._GRACE_S", 0.2)
    loader = load()
    pid = pid_of(loader)
    os.kill(pid, signal.SIGSTOP)
    loader.close()
    assert not is_running(pid)


# ---------------------------------------------------------------- the reader ends

SCRIPT = """
import os, signal, sys, time, cropring
loader = cropring.Loader(sys.argv[1], batch_size=4, size=32, slots=3)
loop = iter(loader)
batch = next(loop)
images = batch.images
before = images.tobytes()
print(loader._worker.process.pid, flush=True)
"""


@pytest.fixture
def run_script(photos: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], int]]]:
    """Runs SCRIPT and what is given; returns the child and its worker's process id."""
    children: list[tuple[subprocess.Popen[str], int]] = []

    def run(rest: str) -> tuple[subprocess.Popen[str], int]:
        child = subprocess.Popen(
            [sys.executable, "-c", SCRIPT + rest, photos], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        children.append((child, int(child.stdout.readline())))
        return children[-1]

    yield run
    for child, worker_pid in children:
        child.kill()
        child.communicate()
        kill_if_running(worker_pid)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_worker_ends_with_a_parent_that_is_killed(run_script: Callable[..., tuple[subprocess.Popen[str], int]], how: signal.Signals) -> None:
    child, worker_pid = run_script("time.sleep(1000)")
    assert is_running(worker_pid)
    child.send_signal(how)
    child.wait(WATCHDOG_S)
    eventually(lambda: not is_running(worker_pid), "the worker gone")


def test_the_worker_ends_with_its_parent_even_if_a_fork_of_it_lives(run_script: Callable[..., tuple[subprocess.Popen[str], int]]) -> None:
    child, worker_pid = run_script("pid = os.fork()\nif pid: print(pid, flush=True)\ntime.sleep(1000)")
    fork_pid = int(child.stdout.readline())
    try:
        child.kill()
        child.wait(WATCHDOG_S)
        eventually(lambda: not is_running(worker_pid), "the worker gone")
        assert is_running(fork_pid)
    finally:
        kill_if_running(fork_pid)


@pytest.mark.parametrize(
    "rest",
    ["", "del loader, batch", "sys.exit(0)", "keep = [loader, batch]; keep.append(keep)", "cropring.keep = batch, images, loader", "loader.close()"],
)
def test_leaving_without_close_is_clean(run_script: Callable[..., tuple[subprocess.Popen[str], int]], rest: str) -> None:
    child, worker_pid = run_script(rest)
    out, err = child.communicate(timeout=WATCHDOG_S)
    assert (child.returncode, out, err) == (0, "", "")
    eventually(lambda: not is_running(worker_pid), "the worker gone")


def test_an_error_in_the_loop_leaves_no_worker(run_script: Callable[..., tuple[subprocess.Popen[str], int]]) -> None:
    child, worker_pid = run_script("raise SystemExit(len(images) + 3)")
    assert child.wait(WATCHDOG_S) == 7
    eventually(lambda: not is_running(worker_pid), "the worker gone")


def test_a_fork_that_ends_takes_neither_worker_nor_batches_along(run_script: Callable[..., tuple[subprocess.Popen[str], int]]) -> None:
    child, worker_pid = run_script(
        "if os.fork() == 0: sys.exit(0)  # runs every finalizer\n"
        "os.wait()\n"
        "time.sleep(0.3)\n"
        "print(loader.stats()['slots_held'], images.tobytes() == before, sum(1 for _ in loop) == len(loader) - 1, flush=True)"
    )
    assert child.stdout.readline() == "1 True True\n"


def test_a_killed_reader_of_a_named_ring_ends_the_worker(serve: Serve) -> None:
    server = serve("--epochs=0")
    script = f"import cropring; r = cropring.attach({server.name!r}, wait={WATCHDOG_S}); print(next(r).seq, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "0\n"
        reader.kill()
    assert server.wait() == 1
    assert "died before the end" in server.process.stderr.read()


def test_a_loader_that_is_dropped_ends_its_worker_at_once(photos: Path) -> None:
    gc.disable()
    try:
        for leave in (lambda loader: None, lambda loader: next(iter(loader)), lambda loader: list(map(len, loader))):
            loader = cropring.Loader(photos, batch_size=4, size=32, slots=3)
            leave(loader)
            pid = pid_of(loader)
            del loader
            eventually(lambda: not is_running(pid), "the worker gone without the garbage collector")
    finally:
        gc.enable()


def test_many_starts_and_stops_leave_no_descriptor_behind(load: Load, photos: Path) -> None:
    load().close()
    before = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for _ in range(10):
        with cropring.Loader(photos, batch_size=4, size=32, slots=3) as loader:
            next(iter(loader))
        del loader  # its dataset is a mapping, which has a descriptor
    deadline = time.monotonic() + WATCHDOG_S
    while (after := (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")))) != before:
        assert time.monotonic() < deadline, f"descriptors and threads {before} before, {after} after"
        time.sleep(0.01)


def test_killing_the_whole_group_leaves_nothing(photos: Path) -> None:
    """What Jupyter does on a restart."""
    child = subprocess.Popen([sys.executable, "-c", SCRIPT + "time.sleep(1000)", photos], stdout=subprocess.PIPE, text=True, start_new_session=True)
    worker_pid = int(child.stdout.readline())
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate(timeout=WATCHDOG_S)
    eventually(lambda: not is_running(worker_pid), "the worker gone")
