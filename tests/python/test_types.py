"""The type hints hold: `mypy --strict` over the package, and the extension's stub against the extension."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cropring

pytest.importorskip("mypy", reason="mypy is not installed")

ROOT = Path(__file__).resolve().parents[2]


def checked(*words: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=os.environ | {"MYPYPATH": "bindings"}, capture_output=True, text=True
    )


@pytest.mark.timeout(300)  # without its cache, on a busy machine
def test_mypy_finds_nothing() -> None:
    """pyproject.toml says what and how; without PyTorch, of whose types much is made there, all but `cropring.torch`."""
    has_torch = importlib.util.find_spec("torch") is not None
    done = checked("mypy", *([] if has_torch else ["bindings/cropring", "--exclude", "/torch/"]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_the_stub_is_the_extension_s(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.write_text(r"cropring\._ring\.View\.__buffer__  # which Python shows from 3.12 on" + "\n")
    done = checked("mypy.stubtest", "cropring._ring", "--allowlist", allowed, "--ignore-unused-allowlist")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_says_that_it_is_typed() -> None:
    assert any((Path(folder) / "py.typed").is_file() for folder in cropring.__path__)
