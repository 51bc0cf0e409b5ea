"""The code that stands in README.md and docs/*.md, as a reader would try it: from the top of a page to its end, in one process.

Run as a program, it runs one page's `python` blocks, and the commands of its `console` blocks.  What a page says about a block stands in an
HTML comment, which its readers do not see:

    <!-- not run: why -->               the block that follows is only shown
    <!-- needs: torch torchvision -->   that block and all after it run where these packages are
    <!-- also run:                      code that the page needs, or that checks what it says, but that would be in its readers' way
    ... -->
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MARK = re.compile(
    r"<!-- not run: (?P<why>[^>]*?) -->"
    r"|<!-- needs: (?P<needs>[\w. ]+?) -->"
    r"|<!-- also run:\n(?P<hidden>.*?)-->"
    r"|^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_PAGE: dict[str, Any] = {"__name__": "__main__"}  # the names that the blocks of the page have made so far
_KEPT: list[Any] = []  # torch.library.Library: what it defines goes with it


@dataclass(frozen=True)
class Block:
    """A fenced block, or the code in a comment."""

    language: str
    line: int  # of its first line in the page, from 1
    text: str
    runs: bool
    needs: tuple[str, ...]  # packages


def blocks(page: str) -> Iterator[Block]:
    """All blocks of a page, in their order."""
    needs: tuple[str, ...] = ()
    runs = True
    for found in _MARK.finditer(page):
        if found["why"]:
            runs = False
        elif found["needs"]:
            needs = tuple(found["needs"].split())
        else:
            part = "text" if found["hidden"] is None else "hidden"
            language = found["language"] or ("" if part == "text" else "python")
            yield Block(language, page.count("\n", 0, found.start(part)) + 1, found[part], runs and language in ("python", "console"), needs)
            runs = True


def missing(block: Block) -> list[str]:
    return [package for package in block.needs if importlib.util.find_spec(package) is None]


def commands(text: str) -> list[str]:
    """What follows each `$ `, with the lines that an open quote or a backslash goes on to; the other lines are output."""
    found: list[str] = []
    is_open = False
    for line in text.splitlines():
        if is_open:
            found[-1] += "\n" + line
        elif line.startswith("$ "):
            found.append(line[2:])
        else:
            continue
        is_open = _goes_on(found[-1])
    return found


def _goes_on(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:  # an open quote, or a backslash at the end
        return True
    return False


def run_page(path: Path) -> list[str]:
    """Runs what is to be run of a page, and returns what could not be, for want of a package."""
    left_out = []
    for block in blocks(path.read_text()):
        if not block.runs:
            continue
        if absent := missing(block):
            left_out.append(f"{path.name}:{block.line}: needs {', '.join(absent)}")
            continue
        # Pages call their ring `train`, which someone may have running here.
        text = re.sub(r'''(--ring |attach\("|ring="|read_batches )train\b''', rf"\g<1>train-{os.getpid()}", block.text)
        if block.language == "console":
            _run_commands(commands(text), f"{path.name}:{block.line}")
        else:
            _run_python(text, path, block.line)
    return left_out


def _run_python(text: str, path: Path, line: int) -> None:
    code = compile("\n" * (line - 1) + text, path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, _PAGE)  # a coroutine if there is an `await` in it
    if inspect.iscoroutine(result):
        asyncio.run(result)


def _run_commands(lines: list[str], place: str) -> None:
    """By one shell; what still runs in the background when it ends is told to end as well."""
    shell = subprocess.Popen(["bash", "-e"], stdin=subprocess.PIPE, text=True, start_new_session=True)
    try:
        shell.communicate("\n".join(lines) + "\n")
    finally:
        try:
            os.killpg(shell.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
    if shell.returncode != 0:
        raise SystemExit(f"{place}: exit code {shell.returncode}")


def prepare_torchvision() -> None:
    """Package indexes have a torchvision for CUDA.  Beside a torch for the CPU its C++ part, which transforms do not need, does not load;
    but its import speaks of two operators of that part, which have to exist for that."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _KEPT:
        return
    import torch

    try:
        torch.ops.load_library(Path(spec.origin).with_name("_C.so"))
    except OSError:
        _KEPT.append(torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):
            _KEPT[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


if __name__ == "__main__":
    if any("torchvision" in block.needs for block in blocks(Path(sys.argv[1]).read_text())):
        prepare_torchvision()
    for place in run_page(Path(sys.argv[1])):
        print("left out:", place)
