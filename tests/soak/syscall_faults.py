"""Every system call of a worker, and of a reader, fails once, with each errno that it may have.

    python tests/soak/syscall_faults.py [COUNT] [SEED]

First strace writes down how often each call occurs in an undisturbed run; then each (call, occurrence, errno) is a run in which strace
lets that call fail.  strace counts per thread: the N-th call of every thread that gets so far fails.  COUNT runs are drawn from all.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from fault_rig import (
    BUILT,
    Rows,
    Skip,
    become_worker,
    load,
    main,
    must_have,
    read_with_ring_sum,
    reference_rows,
    sample,
    storm,
)

# What the manual pages list and the kernel can return for arguments that are right.  Left out: calls that cannot fail, and futex,
# whose waits and wake-ups strace does not tell apart: glibc ends the process when a wake-up fails as only a wait can.
ERRNOS = {
    "access": "EACCES",
    "bind": "EADDRINUSE ENOMEM",
    "clone": "EAGAIN ENOMEM",
    "clone3": "EAGAIN ENOMEM ENOSYS",
    "close": "EINTR EIO",
    "connect": "EAGAIN ECONNREFUSED EINTR ENOMEM",
    "epoll_create1": "EMFILE ENOMEM",
    "epoll_ctl": "ENOMEM ENOSPC",
    "epoll_wait": "EINTR",
    "eventfd2": "EMFILE ENFILE ENOMEM",
    "fallocate": "EINTR ENOSPC ENOMEM",
    "fchmod": "EPERM",
    "fcntl": "EPERM ENOMEM",
    "fstat": "EIO ENOMEM",
    "fstatfs": "EINTR EIO ENOSYS",
    "ftruncate": "EINTR ENOSPC",
    "getdents64": "EIO ENOENT ENOMEM",
    "getrandom": "EAGAIN EINTR ENOSYS",
    "getsockopt": "ENOBUFS",
    "io_uring_enter": "EAGAIN EBUSY EINTR ENOMEM EPERM",
    "io_uring_register": "EINVAL ENOMEM EPERM",
    "io_uring_setup": "EMFILE ENOMEM ENOSYS EPERM",
    "ioctl": "EINTR ENOTTY",
    "listen": "EADDRINUSE",
    "lseek": "EIO",
    "madvise": "EAGAIN ENOMEM",
    "memfd_create": "EMFILE ENOMEM ENOSYS",
    "mmap": "EAGAIN ENOMEM EPERM",
    "mprotect": "EACCES ENOMEM",
    "munmap": "ENOMEM",
    "newfstatat": "EACCES EIO ENOENT ENOMEM",
    "openat": "EACCES EINTR EIO ELOOP EMFILE ENFILE ENOENT ENOMEM",
    "openat2": "EAGAIN EINTR EMFILE ENOENT ENOMEM ENOSYS",
    "pidfd_open": "EMFILE ENOMEM ENOSYS ESRCH",
    "poll": "EINTR ENOMEM",
    "ppoll": "EINTR ENOMEM",
    "pread64": "EINTR EIO",
    "prlimit64": "EPERM",
    "read": "EAGAIN EINTR EIO EISDIR",
    "recvmsg": "ECONNRESET EINTR ENOMEM",
    "sched_getaffinity": "EPERM",
    "sendmsg": "EAGAIN EINTR ENOBUFS ETOOMANYREFS",
    "signalfd4": "EMFILE ENOMEM",
    "socket": "EACCES EMFILE ENOBUFS",
    "statx": "EACCES EIO ENOMEM",
    "unlink": "EIO ENOMEM EROFS",
    "write": "EAGAIN EINTR EIO ENOSPC EPIPE",
}
VARIANTS: dict[str, dict[str, Any]] = {"io_uring": {}, "threads": {"io": "pread"}, "memfd": {"segment": "memfd", "io": "pread"}}
CALL = re.compile(r"^(\d+) +([a-z_0-9]+)\(", re.MULTILINE)
FIRST, STRIDE = 6, 7  # of many occurrences: the first few, and then every so many-th


def occurrences(log: Path) -> dict[str, range]:
    """Which occurrences of each call are to fail: those after the dynamic linker's, up to the last of the busiest thread."""
    text = log.read_text(errors="replace")
    linked = re.search(r"ld\.so\.cache(?s:.*?)mmap\(.*= (0x\w+)(?s:.*?)munmap\(\1.*\n", text)
    begin = linked.end() if linked else 0
    before: Counter[str] = Counter(call for _, call in CALL.findall(text[:begin]))
    found: dict[str, range] = {}
    for (_, call), count in Counter(CALL.findall(text[begin:])).items():
        found[call] = range(before[call] + 1, max(count, len(found.get(call, ()))) + before[call] + 1)
    return found


def faults(log: Path) -> list[str]:
    """Arguments for strace, one for each fault."""
    found = []
    for call, numbers in sorted(occurrences(log).items()):
        for nth, number in enumerate(numbers):
            if nth < FIRST or nth % STRIDE == 0:
                found += [f"-e trace={call} -e inject={call}:error={errno}:when={number}" for errno in ERRNOS.get(call, "").split()]
    return found


def short(fault: str) -> str:
    return fault.rpartition("inject=")[2]


def worker_storm(count: int, seed: int, scratch: Path, reference: Rows) -> bool:
    # -D: strace is a child of the worker, not the worker one of strace.
    environment = become_worker(scratch, prefix='strace -D -f -qq -o "$FAULT_LOG" -e signal=none $FAULT_STRACE')
    cases = []
    for name, flags in VARIANTS.items():
        load(flags, environment | {"FAULT_LOG": str(scratch / "log"), "FAULT_STRACE": ""}, reference)
        cases += [(f"{name} {short(fault)}", (flags, fault)) for fault in faults(scratch / "log")]

    def run(case: tuple[dict[str, Any], str]) -> str:
        flags, fault = case
        return load(flags, environment | {"FAULT_LOG": os.devnull, "FAULT_STRACE": fault}, reference)

    return storm(f"syscall faults, worker ({len(cases)} possible)", sample(cases, count, seed), run)


def reader_storm(count: int, seed: int, scratch: Path) -> bool:
    log = scratch / "log"
    strace = ["strace", "-f", "-qq", "-o", str(log), "-e", "signal=none"]
    _, expected = read_with_ring_sum(strace, {}, None)
    cases = [(short(fault), fault) for fault in faults(log)]

    def run(fault: str) -> str:
        return read_with_ring_sum([*strace[:-3], os.devnull, *strace[-2:], *fault.split()], {}, expected)[0]

    return storm(f"syscall faults, reader ({len(cases)} possible)", sample(cases, count, seed), run)


def storms(count: int, seed: int, scratch: Path) -> bool:
    must_have(BUILT / "ring_sum")
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    sound = worker_storm(count * 4 // 5, seed, scratch, reference_rows())
    return reader_storm(count - count * 4 // 5, seed, scratch) and sound


if __name__ == "__main__":
    main(storms, 1500)
