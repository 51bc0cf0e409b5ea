"""The command `cropring`: finds the executable in the package and becomes it, or runs the commands that are written in Python."""

import os
import sys
from importlib import import_module
from typing import NoReturn

PYTHON_COMMANDS = ("top", "plot", "sheet")  # modules of this package; the executable comes back here with them (python_command.c)


def executable() -> str:
    """Path of the worker's executable: in the package, or what CROPRING_EXECUTABLE names."""
    named = os.environ.get("CROPRING_EXECUTABLE")
    if named:
        return named
    # An editable install has two package folders: the sources, and what was built from them.
    package = sys.modules[__package__ or "cropring"]
    candidates = [os.path.join(folder, "_bin", "cropring") for folder in package.__path__]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(f"cropring's executable is not at {' or '.join(candidates)}: install the package again")


def main() -> NoReturn:
    """Replaces this process, so that process id, signals, terminal and exit status are the executable's own."""
    words = sys.argv[1:]
    if words and words[0] in PYTHON_COMMANDS:
        from .command import run

        sys.exit(run(import_module(f".{words[0]}", __package__).main, words[1:]))
    path = executable()
    os.execv(path, [path, *words])
