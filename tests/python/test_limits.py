"""Limits that others set: descriptors, locked memory, io_uring, CPU quota.  The batches are the same, byte for byte."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import cropring
from cropring._cli import executable

Load = Callable[..., cropring.Loader]
Under = Callable[..., None]


@pytest.fixture
def under(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Under:
    """`under(prefix)`: from now on, workers run under that command; `before` is a line that the shell runs first."""
    worker = executable()

    def wrap(prefix: str, before: str = "") -> None:
        script = tmp_path / "worker"
        script.write_text(f'#!/bin/sh\n{before}\nexec {prefix} {worker} "$@"\n')
        script.chmod(0o755)
        monkeypatch.setenv("CROPRING_EXECUTABLE", str(script))

    return wrap


def digest(loader: cropring.Loader) -> str:
    """Of two epochs, every array."""
    sum_ = hashlib.blake2b()
    for _ in range(2):
        for batch in loader:
            assert not batch.status.any()
            for name in ("images", "labels", "index", "box", "source_size", "flipped"):
                sum_.update(batch[name].tobytes())
    return sum_.hexdigest()


LIMITED = {
    "32 descriptors": ("prlimit --nofile=32:32", {}),
    "32 descriptors and threads that read": ("prlimit --nofile=32:32", {"io": "pread"}),
    # Root is not limited by memory that is locked, unless it gives up this right.
    "64 KB of locked memory": ("prlimit --memlock=65536:65536 setpriv --bounding-set=-ipc_lock", {}),
}


@pytest.mark.parametrize(("prefix", "flags"), LIMITED.values(), ids=LIMITED)
def test_limits_change_no_byte(load: Load, under: Under, prefix: str, flags: dict[str, object]) -> None:
    expected = digest(load())
    if os.geteuid() != 0:
        prefix = prefix.partition(" setpriv")[0]
    under(prefix)
    assert digest(load(**flags)) == expected


DENIED = [
    "io_uring_setup:error=EPERM",
    "io_uring_setup:error=ENOSYS",
    "io_uring_setup:error=ENOMEM",
    "io_uring_enter:error=EPERM",
    "io_uring_register:error=EPERM",
]


@pytest.mark.parametrize("fault", DENIED)
def test_an_io_uring_that_is_denied_changes_no_byte(load: Load, under: Under, fault: str) -> None:
    if b"__asan_init" in Path(executable()).read_bytes():
        pytest.skip("LeakSanitizer does not work under strace")
    assert shutil.which("strace"), "strace is not installed"
    expected = digest(load())
    under(f"strace -D -f -qq -o /dev/null -e trace={fault.partition(':')[0]} -e inject={fault}", before="exec 2>/dev/null")
    loader = load()
    assert digest(loader) == expected
    assert loader.stats()["uring"] == 0


# ---------------------------------------------------------------- CPU quota


@pytest.fixture
def quota(under: Under) -> Callable[[float], None]:
    """`quota(0.5)`: from now on, workers run in a cgroup that has half a CPU."""
    v1, v2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    is_v1 = (v1 / "cpu.cfs_quota_us").exists()
    group = (v1 if is_v1 else v2) / f"cropring-test-{os.getpid()}"

    def limit(cpus: float) -> None:
        try:
            group.mkdir()
            if is_v1:
                (group / "cpu.cfs_quota_us").write_text(str(round(cpus * 100000)))
            else:
                (group / "cpu.max").write_text(f"{round(cpus * 100000)} 100000")
        except OSError as error:
            pytest.skip(f"no CPU cgroup can be made here: {error}")
        under("", before=f"echo $$ >{group}/cgroup.procs || exit 9")

    yield limit
    if group.exists():
        group.rmdir()


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, 1), (1.5, 2)])
def test_a_quota_decides_how_many_threads_decode(photos: Path, quota: Callable[[float], None], cpus: float, threads: int) -> None:
    quota(cpus)
    with cropring.Loader(photos, batch_size=4, size=32) as loader:
        assert next(iter(loader)).images.any()
        assert loader.stats()["threads"] == min(threads, len(os.sched_getaffinity(0)))


# ---------------------------------------------------------------- memory


def oom_score(pid: int | str) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_a_loaders_worker_goes_before_the_trainer_when_memory_runs_out(load: Load) -> None:
    loader = load()
    assert oom_score(loader._worker.process.pid) == min(oom_score("self") + 300, 1000)


def test_a_worker_that_nobody_started_from_python_is_an_ordinary_process(serve: Callable[..., object]) -> None:
    server = serve("--epochs=0")
    with cropring.attach(server.name, wait=20) as reader:
        assert next(reader).images.any()
        assert oom_score(server.process.pid) == oom_score("self")
