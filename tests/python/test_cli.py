"""The command: entry points, streams, exit codes, signals, listing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import cropring
from conftest import Server, WATCHDOG_S, eventually, ring_names
from cropring._cli import executable

Command = Callable[..., subprocess.CompletedProcess[str]]
Serve = Callable[..., Server]


def test_every_entry_point_becomes_the_executable() -> None:
    script = Path(sys.executable).with_name("cropring")
    for words in ([sys.executable, "-m", "cropring"], [str(script)]):
        done = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=WATCHDOG_S)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"cropring {cropring.__version__}\n", "")


def test_the_entry_point_keeps_pid_and_exit_status(photos: Path) -> None:
    words = [sys.executable, "-m", "cropring", "serve", str(photos), "--batch-size=4", f"--ring=test-pid-{os.getpid()}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            with cropring.attach(f"test-pid-{os.getpid()}", wait=WATCHDOG_S) as reader:
                assert reader._ring.producer_pid == child.pid
                child.send_signal(signal.SIGTERM)
                assert child.wait(WATCHDOG_S) == 128 + signal.SIGTERM  # its own exit, not the signal's default
        finally:
            child.kill()


def test_a_command_of_python_is_found_by_the_executable_too(tmp_path: Path) -> None:
    """Where `cropring` is not Python's own, it asks the python3 that is on PATH, and says what to do if that cannot help."""
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "python3").write_text(f"#!/bin/sh\nexec {sys.executable} -S -E \"$@\"\n")  # without installed packages
    (bare / "python3").chmod(0o755)
    for folder, exit_code, text in (
        (Path(sys.executable).parent, 0, "Usage: cropring sheet"),
        (bare, 1, "lacks the package that has it (No module named 'cropring'): pip install cropring"),
        (tmp_path, 1, "python3 does not start (No such file or directory)"),
    ):
        search = {"PATH": f"{folder}:/bin" if folder == bare else str(folder)}
        done = subprocess.run([executable(), "sheet", "--help"], capture_output=True, text=True, timeout=WATCHDOG_S, env=search)
        assert done.returncode == exit_code and text in done.stdout + done.stderr, (folder, done)
        assert bool(done.stdout) == (exit_code == 0)


def test_help_goes_to_stdout_and_misuse_to_stderr(command: Command) -> None:
    for words in (["--help"], ["serve", "--help"], ["crop", "--help"], ["crop", "-h"], ["pack", "--help"], ["list", "--help"]):
        done = command(*words)
        assert done.returncode == 0 and "Usage" in done.stdout and not done.stderr
    for words in ([], ["paint"], ["serve"], ["serve", ".", "--size=big"], ["serve", ".", "--sise=3"], ["serve", "a", "b"], ["flags"]):
        done = command(*words)
        assert done.returncode == 2 and not done.stdout and done.stderr


def test_an_unknown_flag_gets_a_suggestion(command: Command) -> None:
    assert "did you mean --batch-size" in command("serve", ".", "--batchsize=3").stderr
    assert "did you mean --window" in command("crop", ".", "--windows=3").stderr
    assert "did you mean --keep-metadata" in command("pack", ".", "a.pack", "--keep-metdata").stderr


def test_a_source_in_place_of_a_command_gets_a_suggestion(command: Command, tmp_path: Path) -> None:
    (tmp_path / "train.pack").write_text("anything")
    for source, kind in ((tmp_path, "folder"), (tmp_path / "train.pack", "file")):
        run = command(source)
        assert run.returncode == 2 and f"is a {kind}, not a command; did you mean: cropring serve " in run.stderr


def test_each_command_tells_its_version(command: Command) -> None:
    for words in (["-V"], ["serve", "-V"], ["crop", "-V"], ["crop", "--version"], ["pack", "--version"]):
        assert command(*words).stdout == f"cropring {cropring.__version__}\n"


@pytest.mark.parametrize(("what", "text"), [("nowhere", "nowhere"), ("empty", "empty"), ("file.txt", "file.txt")])
def test_a_source_without_images_fails_and_is_named(command: Command, tmp_path: Path, what: str, text: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("not a folder")
    done = command("serve", tmp_path / what)
    assert done.returncode in (1, 2) and text in done.stderr and not done.stdout and len(done.stderr.splitlines()) == 1


def test_a_variable_sets_a_flag_and_the_flag_wins(serve: Serve) -> None:
    environment = {"CROPRING_TAIL": "partial", "CROPRING_SIZE": "99"}
    with cropring.attach(serve(env=environment).name, wait=WATCHDOG_S) as reader:
        for batch in reader:
            assert batch.images.shape[1:] == (32, 32, 3)
        assert len(batch) == len(reader.dataset) % 4


def test_list_shows_what_runs(serve: Serve, command: Command, photos: Path) -> None:
    server = serve("--epochs=0")
    with cropring.attach(server.name, wait=WATCHDOG_S):
        rows = command("list").stdout.splitlines()
        mine = [row.split() for row in rows if row.split()[0] == server.name]
        assert len(mine) == 1 and mine[0][1] == str(server.process.pid) and str(photos) in mine[0][-1]
        cards = {card["name"]: card for card in json.loads(command("list", "--json").stdout)}
        card = cards[server.name]
        assert (card["pid"], card["slots"], card["readers"], card["source"]) == (server.process.pid, 3, 1, str(photos))
    server.wait()
    assert server.name not in command("list").stdout


def test_a_name_can_be_used_once(serve: Serve, command: Command, photos: Path) -> None:
    server = serve("--epochs=0")
    eventually(lambda: server.name in ring_names(), "the first ring up")
    done = command("serve", photos, f"--ring={server.name}", "--batch-size=4")
    assert done.returncode == 1 and "already running" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_the_reader_drain_what_is_ready(serve: Serve, number: signal.Signals) -> None:
    server = serve("--epochs=0", "--slots=8")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        eventually(lambda: reader.stats()["slots_ready"] == 8, "a full ring")
        server.process.send_signal(number)
        assert server.wait() == 128 + number
        for seq in range(8):
            assert next(reader).seq == seq
        with pytest.raises(cropring.WorkerDied, match=f"stopped by {number.name}"):
            next(reader)


def test_a_signal_ends_a_worker_that_nobody_reads(serve: Serve) -> None:
    server = serve()
    eventually(lambda: server.name in ring_names(), "the ring up")
    server.process.terminate()
    assert server.wait() == 143


def test_json_logs_are_one_object_per_line(serve: Serve) -> None:
    server = serve("--log=json", "-v")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        assert sum(1 for _ in reader)
    assert server.wait() == 0
    lines = server.process.stderr.read().splitlines()
    assert lines and all(isinstance(json.loads(line), dict) for line in lines)


def test_quiet_means_silence(serve: Serve) -> None:
    server = serve("-q")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        assert sum(1 for _ in reader)
    assert server.wait() == 0
    assert server.process.stderr.read() == "" and server.process.stdout.read() == ""


def test_the_stats_file_is_there_at_the_end_and_nothing_else(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    path.write_text("of an earlier run")
    server = serve("--epochs=3", f"--stats={path}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        for batch in reader:
            assert batch.seq == 23 or path.read_text() == "of an earlier run"  # with the last of 24 in hand, the worker may have ended
        batches = reader.stats()["batches"]
    assert server.wait() == 0 and batches == 24
    stats = json.loads(path.read_text())
    assert stats["batches"] == batches and stats["images"] == 4 * batches and stats["ring"] == server.name
    assert [entry.name for entry in tmp_path.iterdir()] == ["stats.json"]
