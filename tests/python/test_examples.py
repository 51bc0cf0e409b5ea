"""The programs of examples/ run as they are, and show what they say that they show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.timeout(120)


def run(name: str, *words: str | Path, folder: Path) -> str:
    done = subprocess.run([sys.executable, EXAMPLES / name, *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_crops_on_request_looks_at_every_picture(tmp_path: Path, photos: Path) -> None:
    said = run("crops_on_request.py", photos / "animals", "-o", "looks.png", folder=tmp_path)
    assert "look 3: 16 crops of 1/8 of each side" in said
    assert Image.open(tmp_path / "looks.png").size == (4 * 96, 4 * 96)


def test_two_jobs_see_the_same_and_decode_once(tmp_path: Path) -> None:
    said = run("two_jobs.py", "--epochs", "4", folder=tmp_path)
    assert "with one loader or two: True" in said
    once, twice = map(float, re.search(r"both: (.*) s of CPU; .*: (.*) s", said).groups())  # type: ignore[union-attr]
    assert once < twice


def test_a_run_that_is_killed_twice_ends_as_one_that_was_not(tmp_path: Path) -> None:
    lines = run("resume.py", "--kills", "2", folder=tmp_path).splitlines()
    what, models = zip(*(re.match(r"(.*?) *: (\w+)", line).groups() for line in lines))  # type: ignore[union-attr]
    assert list(what) == ["never stopped", "killed -9", "killed -9", "to the end"]
    assert models[0] == models[3] and models[0] not in models[1:3]


def test_every_example_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    for program in EXAMPLES.iterdir():
        assert program.name == "README.md" or f"({program.name})" in listed, program.name
