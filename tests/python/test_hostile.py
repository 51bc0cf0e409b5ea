"""The short version of tests/hostile/run: bombs, lies and wrecks among good photographs, in one stream."""

import re
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/hostile"))
import hostile_files  # noqa: E402
import run_hostile  # noqa: E402

OVER_THE_LIMIT = re.compile("16000x16000|7000x7000")


def test_hostile_files_have_the_right_status_and_harm_no_other(tmp_path: Path) -> None:
    cases = hostile_files.write_all(tmp_path, wrecks=8)
    assert len(cases) >= 40
    # The limit keeps the sanitizers' time and memory small: what lies under it is as hostile.
    cases = [replace(case, allowed=case.allowed | {"too_large"}) if OVER_THE_LIMIT.search(case.name) else case for case in cases]
    assert run_hostile.load_together(tmp_path, cases, max_pixels=20_000_000, threads=2) == []
