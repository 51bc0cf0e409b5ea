"""Every snippet of README.md and docs/*.md runs as it stands there, from the repository's root, with the sample photographs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from doc_blocks import Block, blocks, commands

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def is_run(page: Path) -> bool:
    return any(block.runs for block in blocks(page.read_text()))


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder that looks like the repository's root, into which the snippets may write."""
    for name in ("tests", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "photos").symlink_to(ROOT / "tests/data/photos")  # what pages call their pictures
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in (("cropring", "-m cropring"), ("python", ""), ("python3", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    return tmp_path


@pytest.mark.skipif("CROPRING_EXECUTABLE" in os.environ, reason="pages are read with the ordinary worker; the sanitizers' has the other tests")
@pytest.mark.timeout(240)  # on a busy machine torch alone takes long to import
@pytest.mark.parametrize("page", [page for page in PAGES if is_run(page)], ids=lambda page: page.stem)
def test_the_snippets_of_a_page_run(page: Path, workplace: Path) -> None:
    environment = os.environ | {"PATH": f"{workplace / 'bin'}:{os.environ['PATH']}"}
    runner = [sys.executable, Path(__file__).with_name("doc_blocks.py"), page]
    done = subprocess.run(runner, cwd=workplace, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{page.name}:\n{done.stdout}{done.stderr}"
    if left_out := [line for line in done.stdout.splitlines() if line.startswith("left out: ")]:
        pytest.skip("; ".join(left_out))


def test_blocks_are_found_with_what_is_said_about_them() -> None:
    page = "a\n```python\none\n```\n<!-- not run: why -->\n```python\ntwo\n```\n<!-- needs: torch jax -->\n<!-- also run:\nthree\n-->\n```sh\nfour\n```\n"
    assert list(blocks(page)) == [
        Block("python", 3, "one\n", True, ()),
        Block("python", 7, "two\n", False, ()),
        Block("python", 11, "three\n", True, ("torch", "jax")),
        Block("sh", 14, "four\n", False, ("torch", "jax")),
    ]


def test_commands_go_on_while_a_quote_is_open() -> None:
    assert commands("$ a | b   # don't\nits output\n$ python3 -c '\nx\n'\n$ c \\\n  d\n") == ["a | b   # don't", "python3 -c '\nx\n'", "c \\\n  d"]

