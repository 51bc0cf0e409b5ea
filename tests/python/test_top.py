"""cropring top: which ring, what the screen shows in terminals of any size, what programs get, and how it ends."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cropring
from conftest import WATCHDOG_S, Server, eventually
from cropring.command import Refusal, run
from cropring.report import Report
from cropring.top import Watch, choose_ring, main, slots_by_state

pytest.importorskip("rich", reason="the screen of `cropring top` is made with it")

from rich.console import Console  # noqa: E402

from cropring.top_screen import Screen  # noqa: E402

Serve = Callable[..., Server]
STATES = ("free", "filling", "ready", "held")
SIGNS = dict(zip(STATES, "·~=#"))


def reading(slots: int = 8, readers: int = 1, bad: int = 0, seq: int = 100) -> dict[str, Any]:
    """A ring, made up."""
    dice = random.Random(slots * 100 + readers)
    return {
        "name": "train",
        "subject": "photos/train",
        "pid": 4711,
        "share": "lanes" if readers > 1 else "split",
        "ended": False,
        "alive": True,
        "slots": [{"state": dice.choice(STATES), "seq": seq + slot, "epoch": 3, "readers": []} for slot in range(slots)],
        "readers": [{"number": number, "pid": 5000 + number, "held": 1, "ready": 2, "there": True} for number in range(readers)],
        "counters": {"bad_samples": bad, "status_ok": 9, "status_truncated": bad, "status_not_an_image": bad // 2},
    }


def report(readers: int = 1, sentence: str = "trainer waits for loader: decode is the slowest stage; add threads") -> Report:
    return Report(
        kind="loader-bound",
        cause="decode",
        sentence=sentence,
        headroom=0.0,
        since="report",
        seconds=5.0,
        trainer_waits=0.61,
        start_waits=0.0,
        loader_waits=0.0,
        reader_waits={number: number / 100 for number in range(readers)},
        images_per_s=4812.3,
        batches_per_s=18.8,
        megabytes_per_s=530.1,
        cpu_ms_per_image=1.34,
        stages={"fetch": 0.04, "decode": 1.02, "shape": 0.27, "plan": 0.01},
        threads=8,
        cpus=16,
        bad_samples=0,
        reasons={},
    )


def shown(screen: Screen, width: int, height: int) -> list[str]:
    """What stands on a terminal of that size."""
    console = Console(width=width, height=height, color_system=None, force_terminal=True)
    with console.capture() as capture:
        console.print(screen, end="")
    return capture.get().splitlines()


# ---------------------------------------------------------------- the screen


@pytest.mark.parametrize("size", [(200, 60), (120, 40), (80, 24), (80, 10), (40, 12), (20, 5), (1, 1)])
@pytest.mark.parametrize("ring", [(3, 0), (8, 1), (16, 4), (64, 24)])
def test_the_screen_fits_every_terminal(size: tuple[int, int], ring: tuple[int, int]) -> None:
    lines = shown(Screen(reading(*ring, bad=7), report(ring[1]), [0, 5, 8] * 99), *size)
    assert 0 < len(lines) <= size[1] and max(len(line) for line in lines) <= size[0]
    assert any(line.endswith("…") for line in lines) or size != (40, 12)  # what is cut shows that it is


def test_the_screen_says_everything_where_there_is_room() -> None:
    text = "\n".join(shown(Screen(reading(8, 2, bad=7), report(2), [1, 2, 3]), 80, 24))
    parts = """
        train  photos/train | epoch 3  lanes  worker 4711 | decode is the slowest stage; add threads | trainer waits | loader waits | 61 %
        4,812 images/s | 18.8 batches/s | 530.1 MB/s | 1.34 CPU ms/image
        fetch        0.04 | decode       1.02 | shape        0.27 | plan         0.01
        5000 | 5001 | 7 bad samples  7 truncated, 3 not an image"""
    for part in (part.strip() for line in parts.splitlines()[1:] for part in line.split(" | ")):
        assert part in text, part


def test_every_slot_has_a_cell_that_tells_its_state_also_without_colours() -> None:
    for slots in (3, 8, 16, 64):
        seen = reading(slots)
        lines = shown(Screen(seen, report(), []), 80, 24)
        legend = next(number for number, line in enumerate(lines) if " free " in line)
        cells = "".join(lines[4:legend])
        assert {state: cells.count(sign) for state, sign in SIGNS.items()} == slots_by_state(seen)
        for state, count in slots_by_state(seen).items():
            assert re.search(rf"{re.escape(SIGNS[state])}  {count} {state}\b", lines[legend])


def test_batches_have_their_numbers_in_small_rings() -> None:
    seen = reading(8, seq=4242)
    numbers = [str(slot["seq"]) for slot in seen["slots"] if slot["state"] != "free"]
    assert re.findall(r"\b42\d\d\b", "\n".join(shown(Screen(seen, report(), []), 80, 24))) == numbers


def test_twenty_four_readers_are_all_there_in_a_small_terminal_and_the_hungriest_in_a_tiny_one() -> None:
    screen = Screen(reading(64, 24), report(24), [])
    text = "\n".join(shown(screen, 80, 24))
    assert set(re.findall(r"\b50\d\d\b", text)) == {str(5000 + number) for number in range(24)}
    text = "\n".join(shown(screen, 80, 14))
    assert "5023" in text and "5000" not in text and re.search(r"and \d+ that wait less", text)


def test_a_long_verdict_is_wrapped_and_never_cut() -> None:
    words = [f"word{number}" for number in range(30)]
    text = " ".join(" ".join(shown(Screen(reading(), report(sentence=" ".join(words)), []), 60, 24)).split())
    assert " ".join(words) in text


def test_a_name_that_would_move_the_cursor_is_shown_as_text() -> None:
    lines = shown(Screen(reading() | {"subject": "new\nline\x1b[31mred"}, report(), []), 80, 24)
    assert r"new\nline\x1b[31mred" in lines[0]


# ---------------------------------------------------------------- which ring


def test_the_only_ring_is_taken_and_of_several_one_must_be_named_or_chosen() -> None:
    cards = [{"name": "train", "source": "a"}, {"name": "val", "source": "b"}]
    assert choose_ring(cards[:1], None) == "train"
    with pytest.raises(Refusal, match="2 rings run; name one of them: train, val"):
        choose_ring(cards, None)
    with pytest.raises(Refusal, match="no rings run now; start one"):
        choose_ring([], None)
    for answer, name in (("", "train"), ("2", "val"), ("val", "val"), (" 1 ", "train")):
        assert choose_ring(cards, lambda question: answer) == name
    with pytest.raises(Refusal, match="'3' is none of them"):
        choose_ring(cards, lambda question: "3")
    asked: list[str] = []

    def end_of_file(question: str) -> str:
        asked.append(question)
        raise EOFError

    with pytest.raises(Refusal, match="no answer; name one of them: train, val"):
        choose_ring([cards[0], {"name": "val", "source": "b\x1b[2J"}], end_of_file)
    assert r"b\x1b[2J" in asked[0]


# ---------------------------------------------------------------- the command, with real rings

COMMAND = [sys.executable, "-m", "cropring", "top"]


class Terminal:
    """`cropring top` in a terminal of its own."""

    def __init__(self, *words: str, rows: int = 24, columns: int = 80, **env: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "", "LINES": ""} | env
            os.execve(sys.executable, [*COMMAND, *words], environment)
        self.resize(rows, columns)
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # what is read may end within a letter

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def read(self) -> str:
        """Everything that came until now."""
        while select.select([self._fd], [], [], 0)[0]:
            try:
                self.text += self._decoder.decode(os.read(self._fd, 65536))
            except OSError:  # the other end is closed
                break
        return self.text

    def screen(self) -> list[str]:
        """The lines of the last whole screen."""
        frames = self.read().split("\x1b[H")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frames[-2] if len(frames) > 1 else "").split("\r\n")

    def echoes(self) -> bool:
        """The terminal is as a shell needs it."""
        flags = termios.tcgetattr(self._fd)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)

    def wait(self) -> int:
        statuses: list[int] = []

        def has_ended() -> bool:
            self.read()  # or it could wait for room
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            statuses.append(status)
            return pid != 0

        eventually(has_ended, "the end of `cropring top`")
        self.read()
        self.pid = 0
        return os.waitstatus_to_exitcode(statuses[-1])

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    terminals: list[Terminal] = []

    def open_one(*words: str, **how: Any) -> Terminal:
        terminals.append(Terminal(*words, **how))
        return terminals[-1]

    yield open_one
    for one in terminals:
        one.close()


def watch(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Not in a terminal."""
    command = [*COMMAND, *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WATCHDOG_S, env=os.environ | env)


def test_it_is_live_in_a_terminal_and_q_ends_it(load: Callable[..., cropring.Loader], terminal: Callable[..., Terminal]) -> None:
    name = f"test-live-{os.getpid()}"
    loader = load(ring=name)
    batches = iter(loader)
    next(batches)
    top = terminal(name)
    eventually(lambda: "ready" in "".join(top.screen()) and not top.echoes(), "a screen")
    screen = "\n".join(top.screen())
    assert name in screen and "trainer waits" in screen and f"worker {loader._worker.process.pid}" in screen  # type: ignore[union-attr]
    next(batches)
    eventually(lambda: re.search(r"=\s+4 ", "\n".join(top.screen())), "batch 4 in its slot")
    top.press("q")
    assert top.wait() == 0 and top.echoes() and top.text.endswith("\x1b[?1049l")
    assert loader.stats()["readers"] == 1


def test_it_follows_the_terminal_as_that_changes_its_size(load: Callable[..., cropring.Loader], terminal: Callable[..., Terminal]) -> None:
    name = f"test-size-{os.getpid()}"
    next(iter(load(ring=name, slots=16)))
    top = terminal(name, rows=40, columns=120)
    eventually(lambda: max(map(len, top.screen())) == 120 and len(top.screen()) <= 40, "a large screen")
    top.resize(8, 30)
    eventually(lambda: max(map(len, top.screen())) == 30 and len(top.screen()) <= 8, "a small screen")
    top.press("\x03")
    assert top.wait() == 130 and top.echoes()


def test_it_ends_with_its_ring_and_tells_what_the_run_was_like(serve: Serve, terminal: Callable[..., Terminal]) -> None:
    server = serve("--epochs=2")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        top = terminal(server.name)
        eventually(lambda: "ready" in "".join(top.screen()), "a screen")
        count = sum(1 for _ in reader)
    assert server.wait() == 0  # though somebody looks on
    assert top.wait() == 0 and top.echoes()
    assert f"{server.name} has ended after {count} batches" in top.text and "waiting: trainer" in top.text


def test_colours_can_be_switched_off_and_a_dumb_terminal_gets_lines(
    load: Callable[..., cropring.Loader], terminal: Callable[..., Terminal]
) -> None:
    name = f"test-dumb-{os.getpid()}"
    next(iter(load(ring=name)))
    plain, dumb = terminal(name, NO_COLOR="1", PYTHONIOENCODING="ascii"), terminal(name, "--interval=0.1", TERM="dumb")
    eventually(lambda: "ready" in "".join(plain.screen()), "a screen")
    assert not re.search(r"\x1b\[[0-9;]*[34]8;", plain.text)
    eventually(lambda: dumb.read().count("images/s") >= 3, "three lines")
    assert "\x1b" not in dumb.text


def test_lines_and_objects_for_programs(load: Callable[..., cropring.Loader]) -> None:
    name = f"test-lines-{os.getpid()}"
    loader = load(ring=name)
    batches = iter(loader)
    kept = next(batches)
    eventually(lambda: loader.stats()["slots_ready"] == 2, "a full ring")
    done = watch(name, "--once", "--interval=0.1")
    assert (done.returncode, done.stderr) == (0, "") and len(done.stdout.splitlines()) == 1
    assert f"  {name}  " in done.stdout and "2 of 3 ready" in done.stdout and "trainer waits 0 %" in done.stdout
    done = watch(name, "--json", "--once", "--interval=0.1")
    seen = json.loads(done.stdout)
    assert seen["name"] == name and seen["slots"] == {"free": 0, "filling": 0, "ready": 2, "held": 1}
    assert seen["counters"]["batches"] == 3 and seen["readers"][0]["pid"] == os.getpid() and seen["kind"] == "too-short"
    assert {"images_per_s", "stages", "sentence", "trainer_waits", "loader_waits"} <= seen.keys()
    assert kept.seq == 0 and loader.stats()["readers"] == 1


def test_lines_end_with_the_ring_and_a_killed_worker_is_called_dead(serve: Serve) -> None:
    server = serve("--epochs=0")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        next(reader)
        with subprocess.Popen([*COMMAND, server.name, "--interval=0.05"], stdout=subprocess.PIPE, text=True) as top:
            assert top.stdout and "images/s" in top.stdout.readline()
            server.process.kill()
            rest = top.stdout.read()
            assert top.wait(WATCHDOG_S) == 0
    assert f"{server.name} is gone: its worker died after " in rest


def test_a_picture_of_the_screen_can_be_saved(load: Callable[..., cropring.Loader], tmp_path: Path) -> None:
    name = f"test-svg-{os.getpid()}"
    next(iter(load(ring=name)))
    done = watch(name, "--interval=0.3", "--svg", str(tmp_path / "top.svg"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = (tmp_path / "top.svg").read_text()
    assert text.startswith("<svg") and "trainer" in text
    assert re.findall("https?://[^ \"]*", text) == ["http://www.w3.org/2000/svg", "https://www.textualize.io"]  # names, nothing to load


def test_what_cannot_be_watched_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for words, exit_code, text in (
        (["no-such-ring"], 1, "no-such-ring"),
        (["a", "b"], 2, "b"),
        (["a", "--interval=0"], 2, "--interval 0: a number of seconds from 0.05"),
        (["a", "--interval=nan"], 2, "--interval nan: a number of seconds from 0.05"),
        (["a", "--fast"], 2, "--fast"),
        (["\x1b[2Ja"], 1, r"\x1b[2Ja"),
    ):
        assert run(main, words) == exit_code
        output, errors = capsys.readouterr()
        assert text in errors and errors.startswith("cropring: ") and not output


def test_without_rich_lines_work_and_the_screen_tells_how_to_get_it(load: Callable[..., cropring.Loader], tmp_path: Path) -> None:
    name = f"test-poor-{os.getpid()}"
    next(iter(load(ring=name)))
    program = "import sys; sys.modules['rich'] = None; sys.argv = ['cropring', *sys.argv[1:]]; from cropring._cli import main; main()"
    words = [sys.executable, "-c", program, "top", name, "--interval=0.1"]
    done = subprocess.run([*words, "--once"], capture_output=True, text=True, timeout=WATCHDOG_S)
    assert done.returncode == 0 and "images/s" in done.stdout
    done = subprocess.run([*words, "--svg", tmp_path / "top.svg"], capture_output=True, text=True, timeout=WATCHDOG_S)
    assert done.returncode == 1
    assert done.stderr == "cropring: the screen of `cropring top` needs rich, which is not installed: pip install 'cropring[top]'\n"


def test_a_ring_that_was_not_watched_for_long_enough_is_judged_by_its_whole_run() -> None:
    counters = {"batches": 100, "elapsed_ns": 10**11, "reader_ns": 10**11, "decode_busy_ns": 10**9, "decode_idle_ns": 10**11, "threads": 1}
    seen: Any = SimpleNamespace(snapshot=lambda: reading() | {"time_ns": 1, "counters": counters, "readers": []})
    report = Watch(seen).patient_report()
    assert report.kind == "trainer-bound" and report.headroom > 1 and report.images_per_s == 0


def test_output_that_nobody_reads_any_more_ends_the_command_without_a_word() -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    program = "import sys; from cropring.command import run; sys.exit(run(lambda words: print('a line') or 0, []))"
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}
    done = subprocess.run([sys.executable, "-c", program], stdout=ours, stderr=subprocess.PIPE, timeout=WATCHDOG_S, env=buffered)
    os.close(ours)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")
