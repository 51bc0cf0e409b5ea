"""The short version of tests/exactness/pack.py: some hundred crops from packs of files of every kind, beside crops from the files."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/exactness"))
import pack  # noqa: E402


def test_packs_of_every_kind_of_file_have_their_pixels_and_unpack_to_flawless_files(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    kind_of = pack.write_files(folder, seed=20240229, of_each_kind=1, large=2)
    variants = (pack.Variant("8", "1"), pack.Variant("40", "7", ("--bmp-to-png",)))
    outcome = pack.run(folder, kind_of, variants, seed=1, case_count=800, processes=1, cases_of_a_worker=25)
    assert outcome.failures == []
    assert outcome.cases.total() >= 800 and outcome.bad_samples > 0 and outcome.differing_bytes == 0
