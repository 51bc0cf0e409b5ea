"""What a terminal's Ctrl-C and a notebook's restart do: a signal to the whole process group of a script that waits for a batch.

    python tests/soak/group_signals.py [COUNT] [SEED]

COUNT times SIGINT: the script gets KeyboardInterrupt, the worker lives until the script is done with it.  COUNT times SIGKILL at a random
moment.  Afterwards neither a process nor a ring nor anything in /dev/shm is there.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fault_rig import PHOTOS, WATCHDOG_S, Violation, main, nothing_left_over, storm

# "stuck": the worker is stopped, so that the loop waits; it goes on before the script ends, as it would have to be killed else.
SCRIPT = """
import os, signal, sys, cropring
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born deaf to it
print("begun", flush=True)
loader = cropring.Loader(sys.argv[1], batch_size=4, size=32, slots=3, threads=2)
pid = loader._worker.process.pid
print(pid, flush=True)
if sys.argv[2] == "stuck":
    os.kill(pid, signal.SIGSTOP)
try:
    for batch in iter(lambda: [len(batch) for batch in loader], None):
        pass
except KeyboardInterrupt:
    os.kill(pid, signal.SIGCONT)
    print("alive" if loader._worker.process.poll() is None else "dead", flush=True)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pid: int) -> None:
    deadline = time.monotonic() + WATCHDOG_S
    while alive(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            raise Violation("the worker is still there")
        time.sleep(0.002)


def start(mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(PHOTOS), mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline().strip()


def interrupt(case: tuple[str, float]) -> str:
    mode, delay_s = case
    child = start(mode)
    with nothing_left_over("none"):
        line(child)
        worker = int(line(child))
        time.sleep(0.15 + delay_s)  # by now it waits, if the worker is stopped
        os.killpg(child.pid, signal.SIGINT)
        try:
            out, err = child.communicate(timeout=WATCHDOG_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            os.kill(worker, signal.SIGCONT)
            raise Violation("hang: the interrupt does not get through") from None
        gone(worker)
    if (child.returncode, out.strip(), err) != (0, "alive", ""):
        raise Violation(f"exit status {child.returncode}, {out.strip()!r}, {err!r}")
    return "interrupted"


def kill(delay_s: float) -> str:
    child = start("running")
    with nothing_left_over("none"):
        line(child)
        time.sleep(delay_s)  # in the start, or in the loop
        os.killpg(child.pid, signal.SIGKILL)
        for worker in own_workers():  # also one that the script had no time to tell of
            gone(worker)
        child.communicate(timeout=WATCHDOG_S)
    return "killed"


def own_workers() -> list[int]:
    """Workers that a script of ours started, and that are not zombies, which have no environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended while we looked, or is not ours
            continue
        if b"serve" in command and f"FAULT_OWNER={os.getpid()}".encode() in variables:
            found.append(int(entry.name))
    return found


def storms(count: int, seed: int, scratch: Path) -> bool:
    os.environ["FAULT_OWNER"] = str(os.getpid())
    draw = random.Random(seed)
    cases: list[tuple[str, Any]] = []
    for number in range(count):
        mode, delay_s = ("stuck", "running")[number % 2], draw.uniform(0, 0.1)
        cases.append((f"{mode}, after {delay_s:.3f} s", (mode, delay_s)))
    sound = storm("SIGINT to the group", cases, interrupt)
    delays_s = [draw.uniform(0, 0.4) for _ in range(count)]
    return storm("SIGKILL to the group", [(f"after {delay_s:.3f} s", delay_s) for delay_s in delays_s], kill) and sound


if __name__ == "__main__":
    main(storms, 50)
