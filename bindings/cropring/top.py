"""`cropring top [RING]`: who waits for whom, live in the terminal, as plain lines or as JSON.

It looks at the ring through an observer, which takes no seat, holds no slot and changes nothing.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from argparse import SUPPRESS
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from io import TextIOWrapper
from typing import Any, TextIO

from ._cli import executable
from ._ring import Observer
from .command import DONE, USAGE, Parser, Refusal, missing_extra, printable
from .report import Reading, Report, percent, report_between

STATES = ("free", "filling", "ready", "held")
_LOOK_S = 0.2  # between two looks at the ring: the screen's rate, and the steps of its history
_SCREEN_WINDOW_S = 5.0  # what the rates and the verdict on the screen are about
_PATIENCE_S = 60.0  # where that is too short to tell, because batches are large
_HISTORY_COUNT = 600
_SVG_FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


class Watch:
    """What was seen of one ring: its last reading, those of the last seconds, and how many batches were ready over time."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._readings: deque[Reading] = deque()
        self.ready_history: deque[int] = deque(maxlen=_HISTORY_COUNT)
        self.look()

    def look(self) -> None:
        reading = self._observer.snapshot()
        self._readings.append(reading)
        while len(self._readings) > 2 and reading["time_ns"] - self._readings[0]["time_ns"] > _PATIENCE_S * 1e9:
            self._readings.popleft()
        self.ready_history.append(slots_by_state(reading)["ready"])

    @property
    def last(self) -> Reading:
        return self._readings[-1]

    @property
    def is_over(self) -> bool:
        """The worker is gone: nothing will change any more."""
        return not self.last["alive"]

    def report(self, window_s: float) -> Report:
        """About the last seconds, or about all that was seen where that is less."""
        begin_ns = self.last["time_ns"] - round(window_s * 1e9)
        before = self._readings[0]
        for reading in self._readings:
            if reading["time_ns"] > begin_ns:
                break
            before = reading
        return report_between(before, self.last)

    def patient_report(self) -> Report:
        """About some seconds, or as many more as it takes to tell; about the whole run as long as we have not seen enough of it."""
        for window_s in (_SCREEN_WINDOW_S, _PATIENCE_S):
            report = self.report(window_s)
            if report.kind != "too-short":
                return report
        whole = report_between({}, self.last, "start")
        return replace(report, kind=whole.kind, cause=whole.cause, sentence=whole.sentence, headroom=whole.headroom)

    def last_words(self) -> str:
        """Of a ring whose worker is gone: what the whole run was like."""
        whole = report_between({}, self.last, "start")
        how = "has ended" if self.last["ended"] else "is gone: its worker died"
        return f"{self.last['name']} {how} after {self.last['counters']['batches']:,} batches, {whole.seconds:,.1f} s of work.\n{whole}"


def slots_by_state(reading: Reading) -> dict[str, int]:
    counts = dict.fromkeys(STATES, 0)
    for slot in reading["slots"]:
        counts[slot["state"]] += 1
    return counts


# ---------------------------------------------------------------- which ring


def running_rings() -> list[dict[str, Any]]:
    """Cards of the rings of this user, as `cropring list --json` shows them."""
    listed = subprocess.run([executable(), "list", "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if listed.returncode != 0:
        raise Refusal(listed.stderr.removeprefix("cropring: ").strip())
    cards: list[dict[str, Any]] = json.loads(listed.stdout)
    return cards


def choose_ring(cards: Sequence[dict[str, Any]], ask: Callable[[str], str] | None) -> str:
    """The only ring, or the one that the person chooses; `ask` is None where nobody can be asked."""
    if not cards:
        raise Refusal("no rings run now; start one: cropring serve SOURCE --ring NAME, or cropring.Loader(SOURCE, ring=NAME)")
    names = [str(card["name"]) for card in cards]
    if len(cards) == 1:
        return names[0]
    if ask is None:
        raise Refusal(f"{len(cards)} rings run; name one of them: {', '.join(names)}", USAGE)
    width = max(len(name) for name in names)
    lines = [f"  {number}  {name:{width}}  {printable(card['source'])}" for number, (name, card) in enumerate(zip(names, cards), 1)]
    try:
        answer = ask("\n".join([f"{len(cards)} rings run:", *lines, "which one? [1] "])).strip() or "1"
    except EOFError:
        raise Refusal(f"no answer; name one of them: {', '.join(names)}", USAGE) from None
    if answer in names:
        return answer
    if answer.isdecimal() and 1 <= int(answer) <= len(names):
        return names[int(answer) - 1]
    raise Refusal(f"{answer!r} is none of them; a number from 1 to {len(names)} or a name is expected", USAGE)


# ---------------------------------------------------------------- for programs and for files


def plain_line(reading: Reading, report: Report) -> str:
    counts = slots_by_state(reading)
    fields = [
        time.strftime("%H:%M:%S"),
        str(reading["name"]),
        f"{report.images_per_s:,.0f} images/s",
        f"{report.batches_per_s:,.1f} batches/s",
        f"{report.megabytes_per_s:,.1f} MB/s",
        f"{counts['ready']} of {len(reading['slots'])} ready",
        f"trainer waits {percent(report.trainer_waits)}",
        f"loader waits {percent(report.loader_waits)}",
    ]
    return f"{'  '.join(fields)}  {report.sentence}"


def json_line(reading: Reading, report: Report) -> str:
    """One object on one line: what the report has, and what the ring looks like now."""
    numbers = asdict(report)
    del numbers["since"]
    state = {name: reading[name] for name in ("name", "pid", "subject", "share", "ended", "alive", "time_ns", "readers", "counters")}
    return json.dumps(state | {"slots": slots_by_state(reading)} | numbers)


def print_lines(watch: Watch, interval_s: float, once: bool, show: Callable[[Reading, Report], str], output: TextIO) -> None:
    """A line each interval, until the ring is over."""
    while True:
        time.sleep(interval_s)
        watch.look()
        print(show(watch.last, watch.report(interval_s)), file=output, flush=True)
        if once or watch.is_over:
            return


# ---------------------------------------------------------------- for people


@contextmanager
def keys_of(terminal: TextIO) -> Iterator[Callable[[float], str]]:
    """`key(timeout_s)`: what was pressed meanwhile, or "" after that time.  Without a terminal nothing ever is."""
    if not terminal.isatty():

        def no_key(timeout_s: float) -> str:
            time.sleep(timeout_s)
            return ""

        yield no_key
        return
    import termios
    import tty

    fd = terminal.fileno()
    before = termios.tcgetattr(fd)

    def key(timeout_s: float) -> str:
        ready, _, _ = select.select([fd], [], [], timeout_s)
        return os.read(fd, 16).decode(errors="replace") if ready else ""

    try:
        tty.setcbreak(fd)
        yield key
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def show_live(watch: Watch) -> None:
    """The screen, until the ring is over or someone presses q."""
    from rich.console import Console
    from rich.live import Live

    from .top_screen import Screen

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # by way of what puts the terminal right
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no bars still shows the rest
    console = Console()
    with keys_of(sys.stdin) as key, Live(console=console, screen=True, auto_refresh=False) as live:
        while not watch.is_over:
            live.update(Screen(watch.last, watch.patient_report(), watch.ready_history), refresh=True)
            if key(_LOOK_S) in ("q", "Q", "\x1b"):
                return
            watch.look()


def save_svg(watch: Watch, interval_s: float, path: str, width: int, height: int) -> None:
    """The screen as a picture, after it was watched for so long."""
    from rich.console import Console

    from .top_screen import THEME, Screen

    end = time.monotonic() + interval_s
    while not watch.is_over and time.monotonic() < end:
        time.sleep(_LOOK_S)
        watch.look()
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, file=nowhere, force_terminal=True, color_system="truecolor", width=width, height=height)
        console.print(Screen(watch.last, watch.patient_report(), watch.ready_history))
        text = console.export_svg(title=f"cropring top {watch.last['name']}", theme=THEME, unique_id="cropring-top")
    # A picture that loads nothing from elsewhere: with the letters that are there, all of the same width.
    text = re.sub(r"@font-face \{.*?\}\s*", "", text, flags=re.DOTALL).replace("Fira Code, monospace", _SVG_FONTS)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


# ---------------------------------------------------------------- the command


def _interval(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = -1.0
    if not 0.05 <= seconds <= 86400:
        raise Refusal(f"--interval {word}: a number of seconds from 0.05 to 86400 is expected", USAGE)
    return seconds


def parser() -> Parser:
    command = Parser(
        "top",
        "[FLAG]... [RING]",
        "Shows what a running ring does: its slots by state, batches and images per second, the CPU time of\n"
        "each stage, who waits for whom, and in one sentence what to do about it.  It only looks: the ring does\n"
        "not notice.  Ends with the ring, or at q.\n\n"
        "RING is a ring's name, as `cropring list` shows it, or the path of its socket; without it, the only one\n"
        "that runs, or a choice.\n\n"
        "Where standard output is no terminal, it prints one line per interval.",
        ["cropring top", "cropring top train", "cropring top train --json | jq .images_per_s", "cropring top train --once"],
    )
    command.add_argument("ring", nargs="?", metavar="RING", help=SUPPRESS)
    output = command.add_argument_group("Output")
    output.add_argument("-1", "--once", action="store_true", help="print one line about one interval, and end")
    output.add_argument("-j", "--json", action="store_true", help="print one JSON object per line")
    output.add_argument("-p", "--plain", action="store_true", help="print lines in a terminal, too")
    output.add_argument("-n", "--interval", type=_interval, default=1.0, metavar="S", help="seconds that a line is about [%(default)g]")
    output.add_argument("--svg", metavar="FILE", help="watch for one interval, write the screen as a picture, and end")
    return command


def main(words: Sequence[str]) -> int:
    """The command, with the words after its name; returns the exit code."""
    wanted = parser().parse(words)
    is_screen = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    live = is_screen and not (wanted.once or wanted.json or wanted.plain or wanted.svg)
    if live or wanted.svg:
        try:
            from . import top_screen  # noqa: F401: says what is missing before the ring is asked for
        except ImportError as error:
            raise missing_extra(error, "the screen of `cropring top`", "top") from None
    can_ask = sys.stdin.isatty() and sys.stdout.isatty()
    name = wanted.ring or choose_ring(running_rings(), input if can_ask else None)
    with Observer.attach(name) as observer:
        os.nice(5)  # whoever watches is not to slow down what is watched
        watch = Watch(observer)
        if wanted.svg:
            save_svg(watch, wanted.interval, wanted.svg, width=100, height=30)
        elif live:
            show_live(watch)
        else:
            print_lines(watch, wanted.interval, wanted.once, json_line if wanted.json else plain_line, sys.stdout)
        if watch.is_over and not (wanted.json or wanted.svg or wanted.once):
            print(watch.last_words())
    return DONE
