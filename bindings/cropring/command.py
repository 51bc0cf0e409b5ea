"""What the commands that are written in Python share: their help, their words for what went wrong, their exit codes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NoReturn

from .errors import CropringError

DONE, FAILED, USAGE = 0, 1, 2  # enum exit_code of loader/run/serve.h
_HELP_COLUMNS = 100


class Refusal(Exception):
    """A sentence for the person at the shell; `exit_code` 2 where the words that were typed are wrong."""

    def __init__(self, sentence: str, exit_code: int = FAILED) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as the executable prints it: "Usage:", headings with capitals, short flags before long ones, values once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=31, width=_HELP_COLUMNS)

    def add_usage(self, usage: str | None, actions: object, groups: object, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, "Usage: ")  # type: ignore[arg-type]

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return str(action.metavar)
        value = "" if action.nargs == 0 else f" {action.metavar}"
        words = [word for word in action.option_strings if not word.startswith("--no-")]
        if len(words) < len(action.option_strings):
            words[-1] = "--[no-]" + words[-1][2:]
        return ("    " if len(words[0]) > 2 else "") + ", ".join(words) + value

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """Flags of `cropring NAME`; a wrong one ends the command with a sentence and exit code 2, as those of the executable do."""

    def __init__(self, name: str, words: str, description: str, examples: Sequence[str], note: str = "") -> None:
        epilog = "Exit codes:\n  0      done\n  1      failed\n  2      a flag or a word is missing or wrong\n  128+n  ended by signal n"
        if note:
            epilog = f"{note}\n\n{epilog}"
        super().__init__(
            prog=f"cropring {name}",
            usage=f"cropring {name} {words}",
            description="\n".join([description, "", "Examples:", *(f"  {line}" for line in examples), "", "Defaults are in [brackets]."]),
            epilog=epilog,
            formatter_class=_Formatter,
            add_help=False,
        )

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Adds what every command has, and reads the words."""
        group = self.add_argument_group()
        group.add_argument("-h", "--help", action="help", help="print this and exit")
        told = f"cropring {version('cropring')}"
        group.add_argument("-V", "--version", action="version", version=told, help="print the version and exit")
        return self.parse_args(words)

    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message}\nTry '{self.prog} --help'.", USAGE)


def printable(text: str) -> str:
    """Names of files may hold anything: what would move the terminal's cursor is shown as `\\n` or `\\x1b`."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _tell(error: object) -> None:
    """One sentence, or several lines of it."""
    print("\n".join(printable(line) for line in f"cropring: {error}".split("\n")), file=sys.stderr)


def missing_extra(error: ImportError, command: str, extra: str) -> Refusal:
    """What to say when a package that only this command needs is not there."""
    package = (error.name or "a package").partition(".")[0]
    return Refusal(f"{command} needs {package}, which is not installed: pip install 'cropring[{extra}]'")


def run(command: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    """The exit code of `command(words)`, whatever comes out of it."""
    try:
        exit_code = command(words)
        sys.stdout.flush()  # what was printed counts only when it arrived
        return exit_code
    except Refusal as refusal:
        _tell(refusal)
        return refusal.exit_code
    except (CropringError, ValueError) as error:
        _tell(error)
        return FAILED
    except BrokenPipeError:  # `| head` has seen enough; Python would complain once more as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        _tell(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error)
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
