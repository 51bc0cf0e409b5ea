"""Completion: what `cropring completion words` offers, and what real shells make of it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import WATCHDOG_S, Server, eventually
from cropring._cli import PYTHON_COMMANDS

Command = Callable[..., subprocess.CompletedProcess[str]]
Offers = Callable[..., list[str]]


@pytest.fixture
def offers(command: Command, programs: Path) -> Offers:
    """`offers("serve", "--ta")`: what the last word may become."""

    def ask(*words: str) -> list[str]:
        done = command("completion", "words", "--", *words, env={"PATH": f"{programs}:{os.environ['PATH']}"})
        assert (done.returncode, done.stderr) == (0, "")
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    return ask


def commands(command: Command) -> list[str]:
    table = command("--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    return re.findall(r"(?m)^  ([a-z]+)", table)


def test_every_command_is_offered(offers: Offers, command: Command) -> None:
    assert offers("") == offers() == commands(command)
    assert offers("pa") == ["pack"] and offers("packs") == []
    assert offers("-") == ["--help", "--version"]
    assert set(PYTHON_COMMANDS) <= set(offers(""))


def test_every_flag_of_serve_is_offered_once(offers: Offers, command: Command) -> None:
    flags = json.loads(command("flags", "--json").stdout)
    expected = [f"--{flag['name']}" for flag in flags]
    given = offers("serve", "--")
    assert [word for word in given if not word.startswith("--no-")] == [*expected, "--help", "--version"]
    assert [word for word in given if word.startswith("--no-")] == [f"--no-{flag['name']}" for flag in flags if flag["kind"] == "switch"]


@pytest.mark.parametrize("name", ["crop", "pack", "unpack", "info", "list", "flags", "top", "plot", "sheet"])
def test_every_flag_of_a_help_is_offered(offers: Offers, programs: Path, name: str) -> None:
    text = subprocess.run([programs / "cropring", name, "--help"], capture_output=True, text=True, timeout=WATCHDOG_S).stdout
    flags = set()
    for negatable, flag in re.findall(r"(?m)^ {2,6}(?:-., )?--(\[no-\])?([a-z-]+)", text):
        flags |= {f"--{flag}", f"--no-{flag}"} if negatable else {f"--{flag}"}
    assert len(flags) > 2 and set(offers(name, "-")) == flags


def test_the_values_of_a_flag_are_offered(offers: Offers, command: Command) -> None:
    for flag in json.loads(command("flags", "--json").stdout):
        if flag["choices"]:
            assert offers("serve", f"--{flag['name']}", "") == flag["choices"]
    assert offers("serve", "--tail", "pa") == ["pad", "partial"]
    assert offers("serve", "photos", "--shuffle", "--tail", "d") == ["drop"]
    assert offers("crop", "--on-error", "") == ["zero", "stop"]
    assert offers("pack", "--verify", "s") == ["sample"]
    assert offers("sheet", "--crop", "ra") == ["random-resized", "random"]
    assert offers("serve", "--batch-size", "") == offers("serve", "-b", "1") == []


def test_a_value_may_stand_in_its_flag_s_word_or_behind_a_word_that_is_an_equals_sign(offers: Offers) -> None:
    assert offers("serve", "--tail=pa") == ["--tail=pad", "--tail=partial"]
    assert offers("serve", "--tail", "=") == offers("serve", "--tail", "=", "") == ["drop", "pad", "partial"]
    assert offers("serve", "--tail", "=", "pa") == ["pad", "partial"]
    assert offers("serve", "--shuffle=") == offers("serve", "--nonsense=x") == []


def test_names_of_files_go_where_a_path_is_expected(offers: Offers) -> None:
    for words in (["serve"], ["crop"], ["pack", "photos"], ["unpack"], ["info"], ["plot"], ["sheet"], ["serve", "--"], ["crop", "--", "-x"]):
        assert offers(*words, "") == [":files"] or words[-1] == "-x"
    for words in (["serve", "--index"], ["serve", "--root"], ["serve", "--stats"], ["serve", "--socket"], ["crop", "-o"], ["crop", "-vo"], ["plot", "-o"], ["top", "--svg"]):
        assert offers(*words, "a") == [":files"]
    assert offers("crop", "--", "-x") == [":files"]
    assert offers("serve", "--weights", "") == [":files"] and offers("serve", "--weights", "c") == ["column", ":files"]
    assert offers("list", "") == offers("flags", "") == []


def test_running_rings_are_offered(offers: Offers, serve: Callable[..., Server]) -> None:
    server = serve("--epochs=0")
    eventually(lambda: server.name in offers("top", "te"), "the ring is offered")
    for words in (["serve", "--ring"], ["sheet", "--ring"]):
        assert server.name in offers(*words, server.name[:4])
    assert f"--ring={server.name}" in offers("serve", "--ring=")
    assert offers("top", "no such ring") == []


def test_what_is_no_command_line_of_ours_is_offered_nothing(offers: Offers) -> None:
    for words in (["nothing", ""], ["nothing", "--"], ["serve", "x" * 5000], ["", ""], ["serve", "=", "="], ["serve", "="], ["--help", ""]):
        assert [word for word in offers(*words) if word != ":files"] == []


def test_the_command_prints_a_script_or_says_which(command: Command) -> None:
    assert offers_of_shells(command) == ["bash", "zsh", "fish"]
    for words in (["completion"], ["completion", "tcsh"], ["completion", "bash", "zsh"]):
        done = command(*words)
        assert (done.returncode, done.stdout) == (2, "") and "say bash, zsh or fish" in done.stderr


def offers_of_shells(command: Command) -> list[str]:
    return command("completion", "words", "--", "completion", "").stdout.split()


# ---------------------------------------------------------------- real shells

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(cropring completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D; source <(cropring completion zsh)"),
    "fish": (["fish", "--no-config", "-i"], "cropring completion fish | source"),
}
ESCAPES = re.compile(rb"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b[()=>][0B]?|\x1b\][^\x07]*\x07|[\r\x07\x08]")


class Terminal:
    """A shell at a terminal of its own, to which words are typed."""

    def __init__(self, words: list[str], environment: dict[str, str], folder: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(words[0], words, environment)
        self.seen = b""

    def type(self, text: str) -> None:
        self.seen = b""
        os.write(self.fd, text.encode())

    def wait_for(self, what: str) -> None:
        deadline = time.monotonic() + WATCHDOG_S
        while what.encode() not in ESCAPES.sub(b"", self.seen):
            readable, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"{what!r} did not come, but {self.seen!r}"
            self.seen += os.read(self.fd, 65536)

    def close(self) -> None:
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_in(shell: str, tmp_path: Path, programs: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "where").mkdir()
    (tmp_path / "where" / "a picture.png").touch()
    (tmp_path / "where" / "manifest.csv").touch()
    words, set_up = SHELLS[shell]
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "TERM": "xterm", "PS1": "$ ", "HOME": str(tmp_path), "COLUMNS": "200", "LINES": "50"}
    terminal = Terminal(words, environment, tmp_path / "where")
    try:
        terminal.type(f"{set_up}; echo set''up\n")
        terminal.wait_for("setup")
        for typed, completed in [
            ("cropring unp", "unpack "),
            ("cropring serve --batch", "--batch-size "),
            ("cropring serve --tail dr", "--tail drop "),
            ("cropring serve --tail=dr", "--tail=drop "),
            ("cropring serve mani", "serve manifest.csv "),
            ("cropring serve --index man", "--index manifest.csv "),
            ("cropring serve --index=man", "--index=manifest.csv "),
            ("cropring completion f", "completion fish "),
            ("cropring crop a", r"a\ picture.png "),
        ]:
            terminal.type(f"{typed}\t")
            terminal.wait_for(completed)
            terminal.type("\x15")  # Ctrl-U: an empty line
    finally:
        terminal.close()


def test_bash_s_script_needs_nothing_but_bash(command: Command, programs: Path) -> None:
    """Without a terminal, as bash itself calls it."""
    script = command("completion", "bash").stdout
    ask = 'COMP_WORDS=(cropring serve --tail = pa); COMP_CWORD=4; _cropring cropring; printf "%s\\n" "${COMPREPLY[@]}"; complete -p cropring'
    done = subprocess.run(
        ["bash", "--norc", "-c", script + ask], capture_output=True, text=True, env={"PATH": f"{programs}:{os.environ['PATH']}"}, timeout=WATCHDOG_S
    )
    assert (done.stdout, done.stderr) == ("pad\npartial\ncomplete -F _cropring cropring\n", "")
