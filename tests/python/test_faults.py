"""The storms of tests/soak, in their short versions: each draws a few dozen of its cases, with a seed that it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[1] / "soak"
SKIPPED = 77


@pytest.mark.timeout(300)  # a run that hangs has 20 s of its own
@pytest.mark.parametrize(
    ("program", "count"),
    [("syscall_faults", 30), ("allocation_faults", 50), ("start_stop", 40), ("memory_limits", 4), ("group_signals", 3)],
)
def test_a_short_storm_breaks_no_promise(program: str, count: int) -> None:
    storm = subprocess.run([sys.executable, SOAK / f"{program}.py", str(count)], capture_output=True, text=True)
    if storm.returncode == SKIPPED:
        pytest.skip(storm.stdout.splitlines()[-1].removeprefix("skipped: "))
    assert storm.returncode == 0, storm.stdout + storm.stderr
    assert "; 0 violations" in storm.stdout
