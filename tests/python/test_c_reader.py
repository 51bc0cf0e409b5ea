"""The library for C programs: installed as anyone would, found by pkg-config, and used by examples/read_batches.c."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import cropring
from conftest import Server, WATCHDOG_S, eventually, ring_names

ROOT = Path(__file__).resolve().parents[2]
CMAKE = shutil.which("cmake", path=f"/usr/bin:{os.environ['PATH']}") or "cmake"
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2")

pytestmark = pytest.mark.timeout(300)  # the first test waits for the build

Serve = Callable[..., Server]


def run(*words: str | os.PathLike[str], **environment: str) -> str:
    """What the command printed; its complaints are in the failure of a test.  pytest's timeout is the watchdog."""
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, f"{words[0]}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Component `c`, built from these sources and installed below a folder of its own."""
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    run(CMAKE, "-S", ROOT, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug", "-DCROPRING_TESTS=OFF")
    run(CMAKE, "--build", build, "-j2")
    run(CMAKE, "--install", build, "--prefix", prefix, "--component", "c")
    return prefix


def pkg_config(prefix: Path, *words: str) -> list[str]:
    (folder,) = prefix.glob("lib*/**/pkgconfig")
    return run("pkg-config", *words, "shmring", PKG_CONFIG_PATH=str(folder)).split()


@pytest.fixture(scope="module")
def c_reader(prefix: Path) -> Path:
    """As C11, with the shared library beside it."""
    program = prefix / "read_batches"
    flags = pkg_config(prefix, "--cflags", "--libs")
    (library,) = prefix.glob("lib*/**/libshmring.so")
    run("cc", "-std=c11", *STRICT, ROOT / "examples/read_batches.c", "-o", program, *flags, f"-Wl,-rpath,{library.parent}")
    return program


@pytest.fixture(scope="module")
def cxx_reader(prefix: Path) -> Path:
    """The same file as C++17, with everything in it."""
    program = prefix / "read_batches_cxx"
    flags = pkg_config(prefix, "--static", "--cflags", "--libs")
    run("c++", "-std=c++17", *STRICT, "-x", "c++", ROOT / "examples/read_batches.c", "-o", program, "-x", "none", "-static", *flags)
    return program


def is_up(server: Server) -> Server:
    eventually(lambda: server.name in ring_names() or server.process.poll() is not None, "the ring is there to be joined")
    return server


def test_the_installed_parts_agree_on_the_version(prefix: Path) -> None:
    (version,) = pkg_config(prefix, "--modversion")
    assert run(prefix / "bin/cropring", "--version").split()[-1] == version
    assert [path.name for path in prefix.glob("lib*/**/libshmring.so.*.*.*")] == [f"libshmring.so.{version}"]


def test_the_shared_library_shows_the_functions_of_its_header_and_no_others(prefix: Path) -> None:
    (library,) = prefix.glob("lib*/**/libshmring.so")
    shown = {line.split()[-1] for line in run("nm", "-D", "--defined-only", library).splitlines()}
    header = re.sub(r"/\*.*?\*/", "", (prefix / "include/cropring/shmring/shmring.h").read_text(), flags=re.DOTALL)
    assert shown == set(re.findall(r"\b(shmring_\w+)\(", header))


@pytest.mark.parametrize("language", ["c_reader", "cxx_reader"])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_a_c_program_sees_what_python_sees(language: str, dtype: str, serve: Serve, request: pytest.FixtureRequest) -> None:
    program: Path = request.getfixturevalue(language)
    flags = (f"--dtype={dtype}", "--tail=partial", "--epochs=2", "--seed=3")
    with cropring.attach(serve(*flags).name, wait=WATCHDOG_S) as reader:
        expected = [(batch.seq, batch.epoch, len(batch), batch.images.mean(dtype="float64")) for batch in reader]

    server = is_up(serve(*flags))
    first, *lines, last = run(program, server.name).splitlines()
    assert first == f"ring {server.name}: 3 slots, worker {server.process.pid}"
    assert {f"images       {dtype:7} 4x32x32x3", "labels       int64   4", "box          int32   4x4"} <= set(lines)
    batches = [line.split() for line in lines if line.startswith("batch ")]
    assert [tuple(map(int, words[1:6:2])) for words in batches] == [what[:3] for what in expected]
    assert [float(words[-1]) for words in batches] == pytest.approx([what[3] for what in expected], abs=1e-6)
    assert last == f"{len(expected)} batches, {sum(what[2] for what in expected)} samples"
    assert server.wait() == 0


def test_a_c_program_learns_of_the_workers_death(c_reader: Path, serve: Serve) -> None:
    server = is_up(serve("--epochs=0"))
    reader = subprocess.Popen([c_reader, server.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    while not reader.stdout.readline().startswith("batch 3 "):
        assert reader.poll() is None
    os.kill(server.process.pid, signal.SIGKILL)
    out, complaint = reader.communicate(timeout=WATCHDOG_S)
    assert reader.returncode == 1 and "samples" in out.splitlines()[-1]
    assert complaint.startswith("the stream broke off (Broken pipe): the worker was killed\n")


def test_a_ring_that_does_not_run_is_told(c_reader: Path) -> None:
    done = subprocess.run([c_reader, "nobody"], capture_output=True, text=True, timeout=WATCHDOG_S)
    assert done.returncode == 1 and "no ring named 'nobody' is running" in done.stderr
