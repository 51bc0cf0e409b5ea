"""What the fault storms share: one run over the sample photographs, held against an undisturbed one and sorted by how it ended.

A run may end in three ways: SAME, every byte as undisturbed; BAD_SAMPLES, rows whose status names the reason, all others the same;
ERROR, a documented exception (or a reader's exit code) with a sentence.  Anything else is a `Violation`: a process that dies by a
signal, no end within WATCHDOG_S, wrong bytes, another exception, or something left behind.
"""

from __future__ import annotations

import gc
import hashlib
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cropring
import cropring.worker
from cropring._cli import executable

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT / "tests/data/photos"
BUILT = Path(os.environ.get("FAULT_BUILD", ROOT / "build/default"))  # where CMake puts the helpers written in C
WATCHDOG_S = 20
SAME, BAD_SAMPLES, ERROR = "same bytes", "bad samples", "documented errors"
FLAGS: dict[str, Any] = {"batch_size": 4, "size": 32, "slots": 3, "threads": 2, "epochs": 1, "seed": 3}

NO_FAULT_OF_THE_FILE = {cropring.Status[name] for name in ("MISSING", "UNREADABLE", "TOO_LARGE", "TIMEOUT")}

Rows = dict[tuple[int, int, int], bytes]


class Violation(Exception):
    """A promise was broken; the text says how."""


class Skip(Exception):
    """This machine cannot do what the storm needs; the text says what."""


class Hang(BaseException):
    """Raised in the main thread by the watchdog."""


# ---------------------------------------------------------------- processes


class RecordedPopen(subprocess.Popen):  # type: ignore[type-arg]
    """Every worker that a Loader starts, so that its exit status can be looked at afterwards."""

    started: list[RecordedPopen] = []

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        RecordedPopen.started.append(self)


def check_exit(process: subprocess.Popen[Any], what: str) -> None:
    """The process has ended by itself, or by the SIGTERM that closes a Loader."""
    try:
        status = process.wait(WATCHDOG_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Violation(f"{what} does not end") from None
    if status == -signal.SIGKILL:
        raise Violation(f"{what} had to be killed")
    if status < 0 and status != -signal.SIGTERM:  # SIGTERM before it has a handler
        raise Violation(f"{what} crashed: {signal.Signals(-status).name}")


@contextmanager
def watchdog() -> Iterator[None]:
    """`Violation` instead of a wait without an end."""

    def bark(number: int, frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(WATCHDOG_S)
    try:
        yield
    except Hang:
        for process in RecordedPopen.started:
            process.kill()
        raise Violation(f"hang: no end within {WATCHDOG_S} s") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def environment(changes: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def become_worker(scratch: Path, *lines: str, prefix: str = "") -> dict[str, str]:
    """Environment in which a Loader starts a script that runs these lines and becomes the worker, under `prefix`."""
    script = scratch / "worker"
    script.write_text("\n".join(["#!/bin/sh", "exec 2>/dev/null", *lines, f'exec {prefix} {shlex.quote(executable())} "$@"', ""]))
    script.chmod(0o755)
    return {"CROPRING_EXECUTABLE": str(script)}


# ---------------------------------------------------------------- leftovers


def children() -> set[int]:
    """Processes whose parent this one is, zombies included."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= {int(pid) for pid in (task / "children").read_text().split()}
        except FileNotFoundError:  # a thread that ended while we looked
            pass
    return found


def shared_memory() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith("cropring")}


def ring_names() -> set[str]:
    return set(re.findall(rf"@cropring/{os.geteuid()}/(\S+)", Path("/proc/net/unix").read_text()))


@contextmanager
def nothing_left_over(ring: str | None = None) -> Iterator[None]:
    """No child process, descriptor or thread of ours, ring (of our workers, or `ring`), or file in /dev/shm outlives the block."""
    RecordedPopen.started.clear()
    before_fds, before_threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    before_shm, before_children = shared_memory(), children()
    yield
    rings = {ring} if ring else {f"cropring-{process.pid}" for process in RecordedPopen.started}
    RecordedPopen.started.clear()
    deadline = time.monotonic() + WATCHDOG_S

    def left() -> list[str]:
        gc.collect()
        found = [f"process {pid}" for pid in children() - before_children]
        found += [f"/dev/shm/{name}" for name in shared_memory() - before_shm]
        found += [f"ring {name}" for name in ring_names() & rings]
        fds, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        if fds > before_fds:
            found.append(f"{fds - before_fds} descriptors")
        if threads > before_threads:
            found.append(f"{threads - before_threads} threads")
        return found

    while found := left():
        if time.monotonic() >= deadline:
            for name in shared_memory() - before_shm:
                os.unlink(f"/dev/shm/{name}")
            raise Violation("left over: " + ", ".join(found))
        time.sleep(0.005)


# ---------------------------------------------------------------- one run


def read_rows(loader: cropring.Loader) -> tuple[Rows, int]:
    """Each row's digest by (epoch, batch, row), without those that have a status; and how many have one."""
    rows: Rows = {}
    bad = 0
    for batch in loader:
        fields = [batch[name] for name in ("images", "labels", "index", "box", "source_size", "flipped")]
        for row, status in enumerate(batch.status):
            if status:
                reason = cropring.Status(int(status) & cropring.Status.REASON_MASK)  # ValueError: none that is documented
                if reason not in NO_FAULT_OF_THE_FILE:
                    raise Violation(f"a good file is said to be {reason.name}")
                bad += 1
                continue
            digest = hashlib.blake2b(digest_size=16)
            for field in fields:
                digest.update(field[row].tobytes())
            rows[batch.epoch, batch.seq, row] = digest.digest()
    return rows, bad


def live(flags: dict[str, Any], reference: Rows | None) -> str:
    """A Loader from start to end, over the whole stream."""
    try:
        with cropring.Loader(PHOTOS, **(FLAGS | flags)) as loader:
            rows, bad = read_rows(loader)
    except Violation:
        raise
    except (cropring.CropringError, ValueError) as error:
        if " " not in str(error) or len(str(error)) < 10:
            raise Violation(f"an exception without a sentence: {error!r}") from None
        return ERROR
    except Exception as error:
        raise Violation(f"an exception that is not documented: {error!r}") from None
    if reference is not None:
        compare(rows, bad, reference)
    return BAD_SAMPLES if bad else SAME


def load(flags: dict[str, Any], changes: dict[str, str], reference: Rows | None) -> str:
    """One Loader's life with these variables in its worker's environment: how it ended, or `Violation`."""
    with nothing_left_over(), environment(changes), watchdog():
        outcome = live(flags, reference)
        for process in RecordedPopen.started:
            check_exit(process, "the worker")
    return outcome


def compare(rows: Rows, bad: int, reference: Rows) -> None:
    if len(rows) + bad != len(reference):
        raise Violation(f"{len(rows) + bad} rows were delivered, {len(reference)} undisturbed")
    wrong = [key for key, digest in rows.items() if reference.get(key) != digest]
    if wrong:
        raise Violation(f"{len(wrong)} rows have other bytes, such as (epoch, batch, row) {wrong[0]}")


def reference_rows() -> Rows:
    """The rows of an undisturbed run; the same for all ways to read files and all kinds of segment."""
    with cropring.Loader(PHOTOS, **FLAGS) as loader:
        rows, bad = read_rows(loader)
    assert rows and not bad
    return rows


def read_with_ring_sum(prefix: list[str], changes: dict[str, str], expected: str | None) -> tuple[str, str]:
    """A `cropring serve` and a reader in C, run with `prefix` before its command: how the reader ended, and what it said."""
    name = f"fault-{os.getpid()}"
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in FLAGS.items()]
    with nothing_left_over(name):
        server = subprocess.Popen([executable(), "serve", str(PHOTOS), f"--ring={name}", "--quiet", *flags], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + WATCHDOG_S
            while name not in ring_names():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise Violation("the server did not come up")
                time.sleep(0.002)
            command = [*prefix, str(BUILT / "ring_sum"), name]
            try:
                reader = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG_S, env=os.environ | changes)
            except subprocess.TimeoutExpired:
                raise Violation(f"hang: the reader does not end within {WATCHDOG_S} s") from None
        finally:
            if server.poll() is None:
                server.terminate()
            check_exit(server, "the server")
    said = reader.stdout.strip() or reader.stderr.strip()
    if reader.returncode < 0:
        raise Violation(f"the reader crashed: {signal.Signals(-reader.returncode).name}")
    if reader.returncode != 0 and " " not in said:
        raise Violation(f"the reader failed with {reader.returncode} and no sentence: {said!r}")
    if reader.returncode == 0 and expected is not None and said != expected:
        raise Violation(f"the reader saw {said!r}, undisturbed {expected!r}")
    return (SAME if reader.returncode == 0 else ERROR), said


# ---------------------------------------------------------------- a storm


def sample(cases: list[Any], count: int, seed: int) -> list[Any]:
    """`count` of the cases, in order; all of them where there are no more."""
    chosen = sorted(random.Random(seed).sample(range(len(cases)), min(count, len(cases))))
    return [cases[number] for number in chosen]


def storm(title: str, cases: Iterable[tuple[str, Any]], run: Any) -> bool:
    """Runs `run(case)` for each (name, case), prints violations as they come and one summary line.  True: no violation."""
    begin = time.monotonic()
    outcomes: Counter[str] = Counter()
    violations = 0
    for name, case in cases:
        try:
            outcomes[run(case)] += 1
        except Violation as violation:
            violations += 1
            print(f"{title}: {name}: {violation}", flush=True)
    parts = ", ".join(f"{outcomes[kind]} {kind}" for kind in sorted(outcomes))
    total = sum(outcomes.values()) + violations
    print(f"{title}: {total} runs in {time.monotonic() - begin:.0f} s: {parts}; {violations} violations", flush=True)
    return violations == 0


def must_be_plain_build() -> None:
    if b"__asan_init" in Path(executable()).read_bytes():
        raise Skip("the worker is a sanitizer build, whose own calls and memory would be what is tested")


def must_have(path: Path) -> None:
    if not path.exists():
        raise Skip(f"{path} is missing: build the tests first (cmake --preset default && cmake --build --preset default)")


def move_to_private_shm() -> None:
    """Starts the program again with a /dev/shm of its own, where it may: what other processes leave there is not ours to count."""
    mount = 'mount -t tmpfs tmpfs /dev/shm && exec env FAULT_PRIVATE_SHM=1 "$0" "$@"'
    if "FAULT_PRIVATE_SHM" not in os.environ and subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0:
        os.execvp("unshare", ["unshare", "-m", "sh", "-c", mount, sys.executable, *sys.argv])


def main(storms: Any, default_count: int) -> None:
    """`PROGRAM [COUNT] [SEED]`: exit status 0 no violation, 1 violations, 77 skipped."""
    move_to_private_shm()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else default_count
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    cropring.worker.subprocess.Popen = RecordedPopen  # type: ignore[misc]
    print(f"seed {seed}", flush=True)
    try:
        must_be_plain_build()
        with tempfile.TemporaryDirectory(prefix="cropring-soak-") as scratch:
            sound = storms(count, seed, Path(scratch))
    except Skip as why:
        print(f"skipped: {why}")
        sys.exit(77)
    sys.exit(0 if sound else 1)
