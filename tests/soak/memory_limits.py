"""Rings of sizes around what there is: a /dev/shm of 64 MB, and a memory cgroup of 100 MB.

    python tests/soak/memory_limits.py [COUNT] [SEED]

COUNT sizes for each of three: `--segment shm` in the small /dev/shm works or refuses with need, have and remedy; `--segment auto` works
always, and says that it took a memfd where it did; under the cgroup the ring is served, or refused before it is touched.  Never SIGBUS,
never the out-of-memory killer.  Needs root, for a mount namespace and for a cgroup.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cropring
from fault_rig import (
    PHOTOS,
    RecordedPopen,
    Skip,
    Violation,
    become_worker,
    check_exit,
    environment,
    main,
    nothing_left_over,
    storm,
    watchdog,
)

MIB = 1 << 20
SHM_BYTES, GROUP_BYTES = 64 * MIB, 100 * MIB
UNTOUCHED_BYTES = 16 * MIB  # more than a worker without a ring uses, less than any ring here
SIDE_PX, SLOTS = 256, 4
ROW_BYTES = SIDE_PX * SIDE_PX * 3


def serve(need_bytes: int, segment: str) -> dict[str, int]:
    """Reads every slot of a ring of about that size to the end; returns the counters, `shared_bytes` among them."""
    rows = need_bytes // SLOTS // ROW_BYTES
    flags = {"batch_size": rows, "size": SIDE_PX, "slots": SLOTS, "segment": segment, "threads": 2, "tail": "pad", "epochs": SLOTS + 1}
    with cropring.Loader(PHOTOS, **flags) as loader:
        shared_bytes = loader._worker.ring.mapping[1]  # type: ignore[union-attr]
        for _ in range(SLOTS + 1):
            for batch in loader:
                if (batch.status & cropring.Status.REASON_MASK).any() or not batch.images.any():
                    raise Violation("bad rows")
            del batch
        return loader.stats() | {"shared_bytes": shared_bytes}


def expect_sentence(error: cropring.CropringError, *parts: str) -> None:
    if missing := [part for part in parts if not re.search(part, str(error))]:
        raise Violation(f"no {' and no '.join(missing)} in {str(error)!r}")


@contextmanager
def closely_watched(changes: dict[str, str]) -> Iterator[None]:
    with nothing_left_over(), environment(changes), watchdog():
        yield
        for process in RecordedPopen.started:
            check_exit(process, "the worker")


def in_small_shm(scratch: Path, need_bytes: int, segment: str) -> str:
    script = become_worker(scratch, prefix=f"unshare -m sh -c 'mount -t tmpfs -o size={SHM_BYTES} tmpfs /dev/shm && exec \"$0\" \"$@\"'")
    with closely_watched(script):
        try:
            counters = serve(need_bytes, segment)
        except cropring.CropringError as error:
            if segment != "shm" or need_bytes < 0.9 * SHM_BYTES:
                raise Violation(f"refused: {error}") from None
            expect_sentence(error, r"needs \d+ MB", r"has 64 MB free of 64 MB", "--segment memfd", "--shm-size")
            return "refused"
        fits = counters["shared_bytes"] <= SHM_BYTES
        if bool(counters["memfd"]) == fits or (segment == "shm" and not fits):
            raise Violation(f"{counters['shared_bytes']} bytes in {'a memfd' if counters['memfd'] else '/dev/shm'}")
    return "served from a memfd" if counters["memfd"] else "served from /dev/shm"


# ---------------------------------------------------------------- the cgroup


class Group:
    """A memory cgroup of GROUP_BYTES of its own, by whichever version this machine has."""

    def __init__(self, name: str) -> None:
        v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
        self.is_v1 = (v1 / "memory.limit_in_bytes").exists()
        self.folder = (v1 if self.is_v1 else v2) / name

    def __enter__(self) -> Group:
        try:
            self.folder.mkdir()
            (self.folder / ("memory.limit_in_bytes" if self.is_v1 else "memory.max")).write_text(str(GROUP_BYTES))
        except OSError as error:
            raise Skip(f"no memory cgroup can be made here: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder.exists():
            self.folder.rmdir()

    def peak_bytes(self) -> int:
        return int((self.folder / ("memory.max_usage_in_bytes" if self.is_v1 else "memory.peak")).read_text())

    def kills(self) -> int:
        found = re.search(r"^oom_kill (\d+)", (self.folder / ("memory.oom_control" if self.is_v1 else "memory.events")).read_text(), re.MULTILINE)
        return int(found[1]) if found else 0


def in_small_group(scratch: Path, need_bytes: int) -> str:
    with Group(f"cropring-soak-{os.getpid()}") as group:
        script = become_worker(scratch, f"echo $$ >{shlex.quote(str(group.folder / 'cgroup.procs'))} || exit 9")
        try:
            with closely_watched(script):
                try:
                    serve(need_bytes, "auto")
                except cropring.CropringError as error:
                    expect_sentence(error, r"[\d.]+ MB of memory are needed", r"over 80 % of the [\d.]+ MB", "lower --slots")
                    if group.peak_bytes() > UNTOUCHED_BYTES:
                        raise Violation(f"refused only after {group.peak_bytes()} bytes were used") from None
                    return "refused"
        finally:
            if group.kills():
                raise Violation(f"{group.kills()} processes were killed for want of memory")
    return "served"


def spread(count: int, limit_bytes: int) -> list[int]:
    """Sizes from half the limit to one and a half times."""
    return [limit_bytes * (count + 2 * number) // (2 * count) for number in range(count)]


def storms(count: int, seed: int, scratch: Path) -> bool:
    if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode:
        raise Skip("no mount namespace can be made here (root is needed)")
    with Group(f"cropring-probe-{os.getpid()}"):
        pass
    sound = True
    for segment in ("shm", "auto"):
        cases = [(f"{need / 1e6:.0f} MB", need) for need in spread(count, SHM_BYTES)]
        sound &= storm(f"/dev/shm of 64 MB, --segment {segment}", cases, lambda need: in_small_shm(scratch, need, segment))
    cases = [(f"{need / 1e6:.0f} MB", need) for need in spread(count, GROUP_BYTES)]
    return storm("cgroup of 100 MB", cases, lambda need: in_small_group(scratch, need)) and sound


if __name__ == "__main__":
    main(storms, 20)
