"""share/: the man pages and the shells' scripts are those of the commands as they are, and are installed."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARE = ROOT / "share"
PAGES = sorted((SHARE / "man/man1").iterdir())


def tool() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("update_share", str(ROOT / "tools/update_share"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def test_share_is_what_the_commands_say(programs: Path) -> None:
    made = tool().files([str(programs / "cropring")])
    there = {str(path.relative_to(SHARE)): path.read_text() for path in SHARE.rglob("*") if path.is_file()}
    assert sorted(there) == sorted(made)
    for path, text in made.items():
        assert there[path] == text, f"share/{path} is not what the command says: run tools/update_share"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_man_page_is_whole(page: Path) -> None:
    """Known requests alone, no escape but those that are meant, and the sections that people look for."""
    text = page.read_text()
    assert set(re.findall(r"(?m)^([.']\S*)", text)) <= {'.\\"', ".TH", ".SH", ".SS", ".TP", ".PP", ".br", ".nf", ".fi"}
    assert set(re.findall(r"\\(.)", text)) <= {"f", "e", "&", "-", '"'}
    headings = re.findall(r"(?m)^\.SH (.*)", text)
    assert headings[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"] and headings[-1] == "SEE ALSO" and "OPTIONS" in headings
    for other in re.findall(r"\\fB(\S+)\\fR\(1\)", text):
        assert SHARE / f"man/man1/{other.replace(chr(92), '')}.1" in PAGES


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_man_has_nothing_to_say_against_a_page(page: Path) -> None:
    done = subprocess.run(["man", "--warnings", "--local-file", page], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "100"})
    assert (done.returncode, done.stderr) == (0, "") and "SYNOPSIS" in done.stdout


@pytest.mark.parametrize("shell, script", [("bash", "bash-completion/completions/cropring"), ("zsh", "zsh/site-functions/_cropring"), ("fish", "fish/vendor_completions.d/cropring.fish")])
def test_a_script_is_right_by_its_shell_s_grammar(shell: str, script: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", SHARE / script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_pip_installed_them() -> None:
    installed = {str(path).replace("../", "") for path in importlib.metadata.files("cropring") or [] if "share/" in str(path)}
    assert installed == {f"share/{path.relative_to(SHARE)}" for path in SHARE.rglob("*") if path.is_file()}
