"""The short version of tests/exactness/run: some hundred random cuts of files of every kind, beside Pillow's."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/exactness"))
import sweep  # noqa: E402


def test_random_cuts_of_every_kind_are_those_of_pillow(tmp_path: Path) -> None:
    kind_of = sweep.write_files(tmp_path, seed=20240229, of_each_kind=1)
    total = sweep.sweep(tmp_path, kind_of, seed=20240229, case_count=6 * 80, processes=1, cases_of_a_worker=80)
    assert total.failures == []
    assert total.cases.total() == 480 and len(total.cases) > 100
