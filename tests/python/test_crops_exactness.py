"""The short version of tests/exactness/crops.py: some hundred windows of files of every kind, beside the rule and Pillow."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/exactness"))
import crops  # noqa: E402
import sweep  # noqa: E402


def test_windows_of_every_kind_of_file_follow_the_rule_and_are_pillows(tmp_path: Path) -> None:
    kind_of = sweep.write_files(tmp_path, seed=20240229, of_each_kind=1)
    outcome = crops.run(kind_of, seed=20240229, case_count=750)
    assert outcome.failures == []
    assert outcome.cases.total() == 750 and outcome.differing_boxes == outcome.differing_bytes == 0
