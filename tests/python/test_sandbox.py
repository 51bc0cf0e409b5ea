"""What the worker may still do once it runs, seen from outside; tests/test_sandbox.c tries it from inside."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cropring
from conftest import WATCHDOG_S, Server, eventually, is_running
from cropring._cli import executable

Load = Callable[..., cropring.Loader]
Serve = Callable[..., Server]
LAYERS = ("sandbox_landlock", "sandbox_roots", "sandbox_seccomp", "sandbox_uring")
SECRET = (250, 10, 240)  # far from the colours of the `folder` fixture


@pytest.fixture
def sandbox(photos: Path) -> None:
    """For tests that need all layers.  Sanitizer builds have none, and say so."""
    try:
        cropring.Loader(photos, batch_size=4, size=32, slots=3, sandbox="require").close()
    except cropring.CropringError as error:
        pytest.skip(str(error))


def layers(loader: cropring.Loader) -> list[int]:
    return [loader.stats()[name] for name in LAYERS]


def threads(pid: int) -> list[dict[str, str]]:
    """/proc/PID/task/*/status, without the kernel's own threads for io_uring."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        if not status["Name"].startswith("iou-"):
            found.append(status)
    return found


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def refuse(*numbers: int) -> None:
    """These system calls fail with EPERM in this process and those that it becomes: what a container's seccomp profile does."""
    instructions = [(0x20, 0, 0, 0)]  # load the number
    instructions += [(0x15, 0, 1, number) if step == 0 else (0x06, 0, 0, 0x00050001) for number in numbers for step in (0, 1)]
    instructions += [(0x06, 0, 0, 0x7FFF0000)]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None).prctl
    assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, program) == 0


LANDLOCK_CREATE_RULESET, IO_URING_SETUP = 444, 425  # the same numbers on every architecture


def test_every_thread_is_in_the_sandbox(sandbox: None, load: Load) -> None:
    loader = load()
    next(iter(loader))
    landlock, roots, seccomp, uring = layers(loader)
    assert landlock >= 1 and roots == 1 and seccomp == 1 and uring == loader.stats()["uring"]
    found = threads(loader._worker.process.pid)
    assert {(status["NoNewPrivs"], status["Seccomp"]) for status in found} == {("1", "2")}
    assert {"cropring", "plan", "fetch", "decode 0", "decode 1"} <= {status["Name"] for status in found}
    limits = Path(f"/proc/{loader._worker.process.pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if line.startswith("Max core")).split()[4:6] == ["0", "0"]


def test_threads_that_read_files_are_in_it_too(sandbox: None, load: Load) -> None:
    loader = load(io="pread")
    next(iter(loader))
    assert layers(loader)[2:] == [1, 0]
    assert {status["Seccomp"] for status in threads(loader._worker.process.pid)} == {"2"}


def test_off_is_off(load: Load) -> None:
    loader = load(sandbox="off")
    next(iter(loader))
    assert layers(loader) == [0, 0, 0, 0]
    assert {(status["NoNewPrivs"], status["Seccomp"]) for status in threads(loader._worker.process.pid)} == {
        (status["NoNewPrivs"], status["Seccomp"]) for status in threads(os.getpid())
    }


def replace_by_link(file: Path, target: Path) -> None:
    link = file.with_name("new-link")
    link.symlink_to(target)
    link.rename(file)


@pytest.mark.parametrize("io", ["auto", "pread"])
def test_a_file_that_becomes_a_link_to_the_outside_is_a_bad_sample(
    sandbox: None, io: str, load: Load, folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder(4)
    secret = tmp_path / "secret" / "key.bmp"
    secret.parent.mkdir()
    Image.new("RGB", (40, 40), SECRET).save(secret)

    def statuses(mode: str) -> set[int]:
        """Of sample 1, from the epoch before it is replaced to the one where that shows."""
        file = source / "001.jpg"
        kept = file.read_bytes()
        loader = load(source, shuffle=False, on_error="zero", sandbox=mode, io=io)
        replaced, seen = False, set()
        for _ in range(100):
            for batch in loader:
                if not replaced:
                    replace_by_link(file, secret)
                    replaced = True
                seen.add(int(batch.status[1]))
                if np.abs(batch.images[1].astype(int) - SECRET).max() < 30:
                    seen.add(-1)
            if len(seen) > 1:
                break
        file.unlink()
        file.write_bytes(kept)
        loader.close()
        return seen

    # No link led out of the source at the start: whoever opens files insists on it, with or without a sandbox.
    assert statuses("require") == {cropring.Status.OK, cropring.Status.UNREADABLE}
    assert statuses("off") == {cropring.Status.OK, cropring.Status.UNREADABLE}
    # An absolute link cannot be followed that way, so that only the sandbox is left.
    (source / "absolute.jpg").symlink_to(source / "000.jpg")
    assert statuses("require") == {cropring.Status.OK, cropring.Status.UNREADABLE}
    assert statuses("off") == {cropring.Status.OK, -1}  # else the test above could not fail


def test_trees_of_links_go_on_working(sandbox: None, load: Load, folder: Callable[..., Path], tmp_path: Path) -> None:
    store = folder({"a": 4, "b": 4, "c": 4})
    source = tmp_path / "source"
    source.mkdir()
    (source / "folder").symlink_to(store / "a")
    (source / "files").mkdir()
    for file in (store / "b").iterdir():
        (source / "files" / file.name).symlink_to(file)
    (source / "plain").mkdir()
    (store / "c" / "000.jpg").rename(source / "plain" / "000.jpg")
    (source / "plain" / "dangling.jpg").symlink_to("nowhere")
    link = tmp_path / "link"
    link.symlink_to(source)
    for io in ("auto", "pread"):
        loader = load(link, sandbox="require", on_error="zero", tail="partial", shuffle=False, io=io)
        statuses = {os.path.relpath(loader.paths[index], link): status for batch in loader for index, status in zip(batch.index, batch.status)}
        assert len(statuses) == 10
        assert {path: status for path, status in statuses.items() if status} == {"plain/dangling.jpg": cropring.Status.MISSING}
        assert loader.stats()["sandbox_roots"] == 3


def test_require_names_what_is_missing_and_auto_does_without(sandbox: None, photos: Path, tmp_path: Path) -> None:
    def run(mode: str, *numbers: int) -> subprocess.CompletedProcess[str]:
        """A worker that has no batch to make, and so ends at once."""
        return subprocess.run(
            [executable(), "serve", photos, f"--sandbox={mode}", "-v", f"--stats={tmp_path / 'stats'}", "--size=32", "--batch-size=34",
             "--slots=3", "--start-sample=33"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WATCHDOG_S, preexec_fn=lambda: refuse(*numbers),
        )  # fmt: skip

    refused = run("require", LANDLOCK_CREATE_RULESET)
    assert refused.returncode == 1
    assert "--sandbox require: Landlock is missing (Operation not permitted" in refused.stderr and "--sandbox auto" in refused.stderr
    done = run("auto", LANDLOCK_CREATE_RULESET)
    assert done.returncode == 0 and "sandbox: no Landlock (Operation not permitted" in done.stderr and "), seccomp" in done.stderr
    stats = json.loads((tmp_path / "stats").read_text())
    assert (stats["sandbox_landlock"], stats["sandbox_seccomp"]) == (0, 1)
    done = run("require", IO_URING_SETUP)
    assert done.returncode == 0 and done.stderr.count("seccomp\n") == 1  # without a ring there is none to restrict


def test_the_process_that_writes_stats_ends_with_the_worker(serve: Serve, tmp_path: Path) -> None:
    server = serve("--epochs=0", f"--stats={tmp_path / 'stats'}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        next(reader)
        (writer,) = children_of(server.process.pid)
        assert os.listdir(f"/proc/{writer}/fd") == ["0", "1", "2"]  # above all, no socket of the worker's
        server.process.send_signal(signal.SIGKILL)
        server.wait()
        eventually(lambda: not is_running(writer), "the writer gone")
    assert list(tmp_path.iterdir()) == []


def test_stats_go_into_a_descriptor_as_the_shell_names_them(photos: Path) -> None:
    ours, theirs = os.pipe()
    done = subprocess.run(
        [executable(), "serve", photos, f"--stats=/dev/fd/{theirs}", "--size=32", "--batch-size=34", "--slots=3", "--start-sample=33"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WATCHDOG_S, pass_fds=[theirs],
    )  # fmt: skip
    os.close(theirs)
    with open(ours) as text:
        assert (done.returncode, json.load(text)["batches"]) == (0, 0), done.stderr


def test_stats_go_through_a_link_that_dangles(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "stats").symlink_to("elsewhere/stats")
    server = serve("--epochs=1", f"--stats={tmp_path / 'stats'}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        batches = sum(1 for _ in reader)
    assert server.wait() == 0
    assert json.loads((tmp_path / "elsewhere" / "stats").read_text())["batches"] == batches
    assert (tmp_path / "stats").is_symlink()
