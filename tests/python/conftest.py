"""What the tests share: sample photos, loaders and servers that end with their test, and a look at what a test left behind."""

from __future__ import annotations

import gc
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import cropring
from cropring._cli import PYTHON_COMMANDS, executable

# A shell's background jobs ignore Ctrl-C, those of nohup a hangup, and what they start inherits that: children that wait for it would
# wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

WATCHDOG_S = 20.0
# In the environment of all that these tests start, to tell them from what other runs start beside them.
MARK = f"{os.getpid()}-{time.monotonic_ns()}".encode()
os.environb[b"TEST_PROCESS"] = MARK
PHOTOS = Path(os.environ.get("CROPRING_TEST_DATA", Path(__file__).parents[1] / "data")) / "photos"


def eventually(condition: Callable[[], object], what: str) -> None:
    """Polls until the condition holds; fails under a watchdog that is far beyond what any machine needs."""
    deadline = time.monotonic() + WATCHDOG_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WATCHDOG_S:.0f} s: {what}"
        time.sleep(0.005)


def _processes(file: str) -> Iterator[tuple[int, bytes]]:
    """What `/proc/PID/file` says of each process that lets us read it."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/{file}", "rb") as text:
                    yield int(name), text.read()
            except OSError:  # it ended while we looked, or is another user's
                continue


def children(parent: int | None = None) -> set[int]:
    """Processes whose parent is this one, or the one that is named; zombies included."""
    ours = str(parent or os.getpid()).encode()
    return {pid for pid, stat in _processes("stat") if stat.rpartition(b")")[2].split(None, 2)[1] == ours}


def offspring() -> set[int]:
    """Processes that these tests started: children, zombies included, and whatever has outlived its parent.

    A ring has a process that listens for it, so none is left over while no process is.
    """
    return children() | {pid for pid, environment in _processes("environ") if MARK in environment}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill_if_running(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def ring_names() -> set[str]:
    """Names of this user's rings that someone listens for, from the abstract sockets."""
    return set(re.findall(rf"@cropring/{os.geteuid()}/(\S+)", Path("/proc/net/unix").read_text()))


def shared_memory() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith("cropring")}


@pytest.fixture(autouse=True)
def nothing_is_left_over() -> Iterator[None]:
    """After every test: no process of its own, and with that no ring, and no file in /dev/shm that was not there before."""
    before = offspring(), shared_memory()
    gc.freeze()  # what is there already, such as all of PyTorch and JAX, need not be looked at a thousand times: 0.3 s each
    yield
    gc.collect()

    def left_over() -> list[set[int] | set[str]]:
        return [after - earlier for after, earlier in zip((offspring(), shared_memory()), before)]

    if any(left_over()):
        eventually(lambda: not any(left_over()), f"processes and shared memory gone, but {left_over()} are there")


@pytest.fixture
def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens at.

    The test is skipped where there is no such network, or nobody knows the machine's own name: PyTorch and JAX would wait for minutes.
    """
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        pytest.skip("this machine does not know its own name")
    with socket.socket() as free:
        try:
            free.bind(("127.0.0.1", 0))
            free.listen()
            socket.create_connection(free.getsockname()).close()
        except OSError:
            pytest.skip("no loopback network here")
        return int(free.getsockname()[1])


@pytest.fixture
def photos() -> Path:
    """The sample photos: class folders with JPEG, PNG and BMP files."""
    return PHOTOS


@pytest.fixture
def load(photos: Path) -> Iterator[Callable[..., cropring.Loader]]:
    """`load(source=photos, **flags)`: a Loader of small batches that is closed after the test."""
    loaders = []

    def make(source: os.PathLike[str] | str = photos, **flags: object) -> cropring.Loader:
        small: dict[str, object] = {"batch_size": 4, "size": 32, "slots": 3, "threads": 2}
        loaders.append(cropring.Loader(source, **(small | flags)))  # type: ignore[arg-type]
        return loaders[-1]

    yield make
    for loader in loaders:
        loader.close()


@pytest.fixture
def cropper() -> Iterator[Callable[..., cropring.Cropper]]:
    """`cropper(window_size=32, **keywords)`: a Cropper that is closed after the test."""
    croppers = []

    def make(window_size: int | tuple[int, int] = 32, **keywords: object) -> cropring.Cropper:
        croppers.append(cropring.Cropper(window_size, **({"threads": 2, "quiet": True} | keywords)))  # type: ignore[arg-type]
        return croppers[-1]

    yield make
    for crop in croppers:
        crop.close()


class Server:
    """A `cropring serve` of its own."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self.process = process

    def wait(self) -> int:
        return self.process.wait(WATCHDOG_S)


@pytest.fixture
def serve(photos: Path) -> Iterator[Callable[..., Server]]:
    """`serve(*flags, source=photos, env={})`: runs `cropring serve` under a name of its own until the end of the test."""
    servers: list[Server] = []

    def start(*flags: str, source: os.PathLike[str] | str = photos, env: dict[str, str] | None = None) -> Server:
        name = f"test-{os.getpid()}-{len(servers)}"
        small = ["--batch-size=4", "--size=32", "--slots=3", "--threads=2"]
        process = subprocess.Popen(
            [executable(), "serve", os.fspath(source), f"--ring={name}", *small, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | (env or {}),
        )
        servers.append(Server(name, process))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.communicate()


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`command(*words)`: runs `cropring` to its end."""

    def run(*words: str | os.PathLike[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [executable(), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WATCHDOG_S, env=os.environ | (env or {})
        )

    return run


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH with the command `cropring` of this Python, which starts Python for those commands alone that are Python's."""
    program = tmp_path_factory.mktemp("programs") / "cropring"
    of_python = f'{"|".join(PYTHON_COMMANDS)}) exec "{sys.executable}" -m cropring "$@" ;;'
    program.write_text(f'#!/bin/sh\ncase $1 in\n{of_python}\n*) exec "{executable()}" "$@" ;;\nesac\n')
    program.chmod(0o755)
    return program.parent


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """`folder({"a": 3, "b": 2})`: class folders with so many small JPEGs each; `folder(5)`: a flat folder."""

    def make(counts: dict[str, int] | int, side_px: int = 40) -> Path:
        root = tmp_path / "set"
        for name, count in counts.items() if isinstance(counts, dict) else [("", counts)]:
            (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                # a colour of its own for each, far from the others even after lossy compression
                colour = (number * 37 % 256, number * 91 % 256, len(name) * 53 % 256)
                Image.new("RGB", (side_px, side_px + number % 3), colour).save(root / name / f"{number:03}.jpg", quality=95)
        return root

    return make


@pytest.fixture(scope="session")
def crashing_codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("codec") / "crashing_codec.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-O1", "-o", library, Path(__file__).parents[1] / "crashing_codec.c", "-ldl"], check=True)
    return library


@pytest.fixture
def crash(crashing_codec: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`crash(how)`: from now on the decoders of new workers crash on the culprit (tests/crashing_codec.c)."""

    def arm(how: str, once: Path | None = None) -> None:
        monkeypatch.delenv("CROPRING_EXECUTABLE", raising=False)  # sanitizers take neither preloaded libraries nor crashes
        monkeypatch.setenv("LD_PRELOAD", str(crashing_codec))
        monkeypatch.setenv("CRASHING_CODEC", how)
        if once:
            monkeypatch.setenv("CRASHING_CODEC_ONCE", str(once))

    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))
    yield arm
    resource.setrlimit(resource.RLIMIT_CORE, limits)


@pytest.fixture
def slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], dict[str, str]]:
    """`slow_disk(ms)`: the environment of a worker with `--io=pread` whose reads take so much longer each (tests/slow_disk.c)."""
    library = tmp_path / "slow_disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-O1", "-o", library, Path(__file__).parents[1] / "slow_disk.c", "-ldl"], check=True)
    monkeypatch.delenv("CROPRING_EXECUTABLE", raising=False)  # sanitizers take no preloaded libraries
    return lambda ms: {"LD_PRELOAD": str(library), "SLOW_DISK_MS": str(ms)}
