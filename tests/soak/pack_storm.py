"""Packings that are killed at any moment, or met by errors of the system, end in the same bytes.

    python tests/soak/pack_storm.py [KILLS] [SEED]

Three storms, each against a pack that nothing disturbed: SIGKILL at random moments; SIGKILL at each system call by which the writing
thread changes a file or a name; and an error of each of these calls.  After each end there is nothing at OUT, or all of it, and what
--resume makes of it is the same to the byte.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from cropring._cli import executable
from fault_rig import PHOTOS, Skip, Violation, main

WATCHDOG_S = 60
FLAGS = ["--shard-bytes=150K", "--resume", "-j2"]
SHARDS = 6  # or more: else there would be little to interrupt
CHANGES = ("mkdir", "openat", "flock", "ftruncate", "pwrite64", "fdatasync", "fsync", "renameat2", "unlinkat", "rmdir")
ERRORS = {"flock": ("EIO",), "unlinkat": ("EIO", "EACCES"), "rmdir": ("EIO",), "renameat2": ("EIO", "EACCES", "ENOSPC")}
MOST_CALLS = 400


def make_source(folder: Path, count: int, rng: random.Random) -> Path:
    """Images of all formats, small and large, and some that are none."""
    photos = sorted(path for path in PHOTOS.rglob("*") if path.is_file())
    folder.mkdir()
    for number in range(count):
        photo = rng.choice(photos)
        place = folder / f"{number:03}{photo.suffix}"
        if number % 20 == 13:
            place.write_bytes(rng.randbytes(rng.randrange(2) * 500))
        elif number % 3:
            shutil.copyfile(photo, place)
        else:
            Image.open(photo).convert("RGB").resize((rng.randrange(1, 300), rng.randrange(1, 300))).save(place)
    return folder


class Packing:
    """One source, and a folder in which a pack of it is made again and again."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.folder, self.out = source, folder, folder / "storm.pack"
        folder.mkdir()
        if self.resume() != 0:
            raise Violation("an undisturbed packing failed")
        self.expected = self.files()
        if len(self.expected) < SHARDS:
            raise Violation(f"only {len(self.expected)} files")
        self.clear()

    def words(self) -> list[str]:
        return [executable(), "pack", str(self.source), str(self.out), *FLAGS]

    def resume(self) -> int:
        return subprocess.run(self.words(), stdin=subprocess.DEVNULL, capture_output=True, timeout=WATCHDOG_S).returncode

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}

    def clear(self) -> None:
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def is_there(self) -> bool:
        """Whether there is something at OUT, which then must be the whole."""
        if self.out.exists() and self.files() != self.expected:
            raise Violation("what lies at OUT is not whole")
        return self.out.exists()

    def end(self) -> None:
        """Goes on to the end, undisturbed."""
        whole = self.is_there()
        if self.resume() != 0 and not whole:
            raise Violation("--resume failed")
        if self.files() != self.expected:
            raise Violation("--resume made other bytes")
        if any(path.is_dir() for path in self.folder.iterdir()):
            raise Violation("a folder is left")
        self.clear()


def kill_at_random(packing: Packing, kills: int, rng: random.Random) -> str:
    begin = time.monotonic()
    packing.resume()
    whole_s = time.monotonic() - begin
    packing.clear()
    killed = packs = 0
    while killed < kills:
        process = subprocess.Popen(packing.words(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, whole_s) ** 2 / whole_s)  # early ends more often, so that one packing has several
        process.kill()
        killed += process.wait(WATCHDOG_S) == -signal.SIGKILL
        if packing.is_there() or killed == kills:
            packing.end()
            packs += 1
    return f"{killed} kills at random in {packs} packings"


def at_each_call(packing: Packing, name: str, injection: str, trace: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """The packing once for each call of that name that the writing thread makes; then it goes on from there, undisturbed."""
    for number in range(1, MOST_CALLS):
        words = ["strace", "-qq", "-o", str(trace), f"--inject={name}:{injection}:when={number}", "-e", f"trace={name}", *packing.words()]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WATCHDOG_S)
        was_met = done.returncode == -signal.SIGKILL or "(INJECTED)" in trace.read_text()
        if was_met:
            yield done
        packing.end()
        if not was_met:
            return
    raise Violation(f"{name}: more than {MOST_CALLS} calls")


def kill_at_each_change(packing: Packing, trace: Path) -> str:
    killed = {name: sum(done.returncode == -signal.SIGKILL for done in at_each_call(packing, name, "signal=KILL", trace)) for name in CHANGES}
    if not all(killed.values()):
        raise Violation(f"some calls were never met: {killed}")
    return f"killed at {', '.join(f'{count} {name}' for name, count in killed.items())}"


def fail_each_change(packing: Packing, trace: Path) -> str:
    ends: Counter[bool] = Counter()
    for name in CHANGES:
        for error in ERRORS.get(name, ("EIO", "ENOSPC")):
            for done in at_each_call(packing, name, f"error={error}", trace):
                # The first files are the dynamic linker's, which has words of its own.
                if done.returncode not in (0, 1, 2, 3) and not (name == "openat" and "shared libraries" in done.stderr):
                    raise Violation(f"{name} {error}: exit code {done.returncode}: {done.stderr}")
                if done.returncode in (1, 2, 3) and "cropring: error: " not in done.stderr:
                    raise Violation(f"{name} {error}: no words: {done.stderr}")
                ends[done.returncode == 0] += 1
    return f"errors of calls: {ends[False]} ended it, {ends[True]} did not matter"


def storms(kills: int, seed: int, scratch: Path) -> bool:
    if not shutil.which("strace"):
        raise Skip("there is no strace")
    rng = random.Random(seed)
    begin = time.monotonic()
    lines = []
    violations = 0
    few = make_source(scratch / "few", 25, rng)
    many = make_source(scratch / "many", 200, rng)
    runs: list[Callable[[], str]] = [
        lambda: kill_at_random(Packing(many, scratch / "a"), kills, rng),
        lambda: kill_at_each_change(Packing(few, scratch / "b"), scratch / "trace"),
        lambda: fail_each_change(Packing(few, scratch / "c"), scratch / "trace"),
    ]
    for run in runs:
        try:
            lines.append(run())
        except Violation as why:
            violations += 1
            print(f"violation: {why}")
    print(f"pack: {'; '.join(lines)}: the same bytes each time; {violations} violations, {time.monotonic() - begin:.0f} s")
    return violations == 0


if __name__ == "__main__":
    main(storms, 50)
