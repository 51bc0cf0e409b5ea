"""The installed package: one version everywhere, nothing missing, nothing too much.  tests/wheel/run does the rest, on a bare machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

import cropring
from cropring import _ring
from cropring._cli import executable
from conftest import WATCHDOG_S

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(cropring.__file__).parent


def installed() -> list[str]:
    """What pip put there, below the folder of all packages; Python's own cache left out."""
    files = distribution("cropring").files
    assert files
    return sorted(str(file) for file in files if "__pycache__" not in file.parts)


def test_the_version_stands_once_and_is_the_same_everywhere() -> None:
    project = re.search(r"project\(cropring VERSION (\d+\.\d+\.\d+) ", (ROOT / "CMakeLists.txt").read_text())
    assert project
    version = project[1]
    printed = subprocess.run([executable(), "--version"], capture_output=True, text=True, timeout=WATCHDOG_S).stdout
    assert printed == f"cropring {version}\n"
    assert cropring.__version__ == distribution("cropring").version == version
    assert re.findall(r"(?m)^Version: (.*)$", (ROOT / "shmring/shmring.pc.in").read_text()) == ["@PROJECT_VERSION@"]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert settings["dynamic"] == ["version"] and "version" not in settings


def test_the_types_are_installed() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_ring.pyi").read_bytes() == (ROOT / "bindings/cropring/_ring.pyi").read_bytes()


def test_all_modules_are_installed_and_nothing_that_only_a_checkout_needs() -> None:
    files = installed()
    sources = ROOT / "bindings"
    modules = {str(path.relative_to(sources)) for path in sources.glob("cropring/**/*.py*") if "__pycache__" not in path.parts}
    assert {file for file in files if re.search(r"\.pyi?$", file)} == modules
    odd = [file for file in files if re.search(r"\.(c|h|a|o|cmake|pc|jpg|png|bmp)$|(^|/)(tests?|bench|examples|docs|include|lib)/", file)]
    assert odd == []
    assert "cropring/_bin/cropring" in files


def test_the_pages_of_the_manual_and_the_completion_are_installed() -> None:
    given = {str(path.relative_to(ROOT)) for path in (ROOT / "share").rglob("*") if path.is_file()}
    assert given and {file[file.index("share/") :] for file in installed() if "/share/" in file} == given


def test_the_extension_needs_the_c_library_alone() -> None:
    """No codec is in a training's process, and no path of the machine that built it."""
    if not shutil.which("readelf"):
        pytest.skip("readelf of binutils is not there")
    extension = _ring.__file__
    assert extension.endswith("_ring.abi3.so")  # one for CPython 3.11 and all that follow
    text = subprocess.run(["readelf", "-d", extension], capture_output=True, text=True, timeout=WATCHDOG_S, check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))
    assert "libc.so.6" in needed and needed <= {"libc.so.6", "libpthread.so.0", "ld-linux-aarch64.so.1"}
    assert "RUNPATH" not in text and "RPATH" not in text
