"""cropring plot: what it reads from a trace, what it draws of it, and what it says of files that are none."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import cropring
from conftest import WATCHDOG_S, Server, eventually
from cropring.command import Refusal, run
from cropring.trace import Trace, filled_before, read_trace

pytest.importorskip("matplotlib", reason="`cropring plot` draws with it")

from cropring import plot  # noqa: E402
from cropring.plot import DARK, LIGHT, Window, main as plot_main  # noqa: E402

Event = dict[str, Any]


def span(name: str, track: int, begin_s: float, end_s: float) -> Event:
    return {"name": name, "ph": "X", "pid": 1, "tid": track, "ts": 7e9 + begin_s * 1e6, "dur": (end_s - begin_s) * 1e6, "args": {"seq": 1}}


def run_of(slots: int = 4, rounds: int = 5, kind: str = "loader") -> list[Event]:
    """A second per batch: most of it filling, or most of it ready."""
    filled, taken = (0.8, 0.85) if kind == "loader" else (0.1, 0.9)
    events = [{"name": "thread_name", "ph": "M", "pid": 1, "tid": 1000, "args": {"name": "slot 0"}}]
    for number in range(rounds):
        for slot in range(slots):
            begin = number + slot / slots
            times = (begin, begin + filled, begin + taken, begin + 1)
            events += [span(state, 1000 + slot, *pair) for state, *pair in zip(("filling", "ready", "held"), times, times[1:])]
        if kind == "loader":
            events.append(span("trainer waits", 2000, number, number + 0.75))
        else:
            events.append(span("loader waits", 500, number, number + 0.5))
    return events


def write(path: Path, events: Sequence[object]) -> Path:
    """As the worker writes it: one event on each line."""
    path.write_text('{"traceEvents":[\n' + ",\n".join(json.dumps(event) for event in events) + "\n]}\n")
    return path


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What the command does, in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        exit_code = run(plot_main, [os.fspath(word) for word in words])
    return subprocess.CompletedProcess(words, exit_code, output.getvalue(), errors.getvalue())


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def share_of(picture: NDArray[np.uint8], colour: str) -> float:
    return float((picture == tuple(bytes.fromhex(colour[1:]))).all(-1).mean())


# ---------------------------------------------------------------- reading


def test_the_spans_of_a_trace_are_read_in_seconds_from_its_begin(tmp_path: Path) -> None:
    trace = read_trace(str(write(tmp_path / "t.json", run_of())))
    assert sorted(trace.slots) == [0, 1, 2, 3] and list(trace.readers) == [0] and len(trace.loader_waits) == 0
    assert trace.slots[1]["filling"][0] == pytest.approx([0.25, 1.05]) and trace.slots[1]["held"][0] == pytest.approx([1.10, 1.25])
    assert trace.readers[0][4] == pytest.approx([4.0, 4.75]) and trace.duration == pytest.approx(5.75)


def test_a_trace_that_was_cut_off_anywhere_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = write(tmp_path / "t.json", run_of()).read_text()
    cut = tmp_path / "cut.json"
    counts = []
    for length in range(len(whole) - 3, 600, -101):
        cut.write_text(whole[:length])
        counts.append(sum(len(spans) for lane in read_trace(str(cut)).slots.values() for spans in lane.values()))
    assert counts == sorted(counts, reverse=True) and counts[0] == 60 and counts[-1] < 5


def test_the_same_events_in_another_layout_are_the_same_trace(tmp_path: Path) -> None:
    lines = read_trace(str(write(tmp_path / "lines.json", run_of())))
    for name, text in {"one": json.dumps({"traceEvents": run_of()}), "pretty": json.dumps(run_of(), indent=2)}.items():
        (tmp_path / name).write_text(text)
        other = read_trace(str(tmp_path / name))
        assert np.array_equal(other.slots[3]["held"], lines.slots[3]["held"]) and other.duration == lines.duration


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no slot of a ring in it"),
        ("hello\nworld\n", "no slot of a ring in it"),
        ("\x00\xff\n" * 10, "no slot of a ring in it"),
        ("[" * 100_000, "no slot of a ring in it"),
        ("7\n", "not an event"),
        ('{"ph": 3}\n', "not an event"),
        ('{"traceEvents": 7}', "not an event"),
        ('{"ph":"X","name":"held","tid":1000,"ts":NaN,"dur":1}\n', "1: ts is nan, where a time in microseconds"),
        ('{"ph":"X","name":"held","tid":1000,"ts":1,"dur":-5}\n', "1: dur is -5, where"),
        ('{"ph":"X","name":"held","tid":1000,"ts":1,"dur":1e300}\n', "1: dur is 1e+300, where"),
        ('{"ph":"X","name":"held","tid":1000,"ts":true,"dur":1}\n', "1: ts is True"),
        ('{"ph":"X","name":"held","tid":1000,"ts":"1","dur":1}\n', "1: ts is 1, where"),
        ('{"ph":"X","name":"held","tid":99999,"ts":1,"dur":1}\n', "no slot of a ring in it"),
        ('{"ph":"X","name":"held","tid":1000,"ts":1,"dur":1}\n{"ph":\n{"ph":"M"}\n', "2: not an event"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(Refusal, match="t.json.*" + message.replace("+", r"\+")):
        read_trace(str(path))


def test_time_that_spans_fill_is_added_up_exactly() -> None:
    spans = np.array([[0.0, 2.0], [1.0, 3.0], [5.0, 5.5]])
    assert filled_before(spans, np.array([0.0, 1.0, 2.0, 4.0, 5.25, 9.0])) == pytest.approx([0, 1, 3, 4, 4.25, 4.5])


def test_readers_that_never_waited_are_readers_too(tmp_path: Path) -> None:
    names = [{"ph": "M", "name": "thread_name", "pid": 1, "tid": 2000 + number} for number in range(3)]
    trace = read_trace(str(write(tmp_path / "t.json", [*names, *run_of()])))
    assert {number: len(spans) for number, spans in trace.readers.items()} == {0: 5, 1: 0, 2: 0}
    assert Window(trace, 1.0, 4.0).waits()["trainer"] == pytest.approx(0.25)


# ---------------------------------------------------------------- real runs


def test_the_trace_of_a_real_run_agrees_with_its_counters(tmp_path: Path, load: Callable[..., cropring.Loader]) -> None:
    path = tmp_path / "run.json"
    with load(trace=path, threads=1, epochs=3) as loader:
        for _ in range(3):
            for _ in loader:
                time.sleep(0.005)
    stats, trace = loader.stats(), read_trace(str(path))
    whole = Window(trace, 0.0, trace.duration)
    assert sum(len(lane["held"]) for lane in trace.slots.values()) == whole.counters()["batches"] == stats["batches"] == 24
    assert sorted(trace.slots) == [0, 1, 2] and whole.ready_steps()[1].max() <= 3
    assert whole.counters()["reader_wait_ns"] == pytest.approx(stats["reader_wait_ns"], rel=0.02, abs=5e6)
    assert whole.counters()["decode_idle_ns"] == pytest.approx(stats["loader_wait_ns"], rel=0.02, abs=5e6)
    assert command(path, "-o", tmp_path / "run.png").returncode == 0
    assert share_of(pixels(tmp_path / "run.png"), LIGHT.held) > 0.005


@pytest.mark.parametrize("share", ["split", "lanes", "broadcast"])
def test_a_killed_run_of_several_readers_is_drawn_as_far_as_it_went(tmp_path: Path, serve: Callable[..., Server], share: str) -> None:
    server = serve(f"--trace={tmp_path / 'run.json'}", "--epochs=0", "--readers=2", "--slots=4", f"--share={share}")
    with cropring.attach(server.name, wait=WATCHDOG_S) as one, cropring.attach(server.name, wait=WATCHDOG_S) as other:

        def has_batches() -> bool:
            for reader in (one, other):
                next(reader)
            return (tmp_path / "run.json").exists() and (tmp_path / "run.json").read_text().count('"held"') > 10

        eventually(has_batches, "batches in the trace")
        server.process.kill()
        server.wait()
    trace = read_trace(str(tmp_path / "run.json"))
    assert sorted(trace.readers) == [0, 1] and sum(len(lane["held"]) for lane in trace.slots.values()) > 5
    assert command(tmp_path / "run.json", "-o", tmp_path / "run.png").returncode == 0


# ---------------------------------------------------------------- drawing


def test_a_window_knows_its_shares_and_counts(tmp_path: Path) -> None:
    window = Window(read_trace(str(write(tmp_path / "t.json", run_of()))), 1.0, 4.0)
    assert window.waits() == {"trainer": pytest.approx(0.75), "loader": 0.0}
    assert window.in_state("filling", 1)[0] == pytest.approx(4 * 0.8) and window.in_state("held", 1)[0] == pytest.approx(4 * 0.15)
    times, counts = window.ready_steps()
    assert counts.min() == 0 and counts.max() == 1 and counts[-1] == 0 and (np.diff(times) >= 0).all()


def test_loader_bound_and_trainer_bound_look_different(tmp_path: Path) -> None:
    for kind, most, least in (("loader", "filling", "ready"), ("trainer", "ready", "filling")):
        done = command(write(tmp_path / f"{kind}.json", run_of(kind=kind)), "-o", tmp_path / f"{kind}.png")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        picture = pixels(tmp_path / f"{kind}.png")
        assert share_of(picture, getattr(LIGHT, most)) > 4 * share_of(picture, getattr(LIGHT, least)) > 0
        assert share_of(picture, LIGHT.held) > 0.01


def test_traces_stand_side_by_side_and_dark_is_dark(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a.json", run_of()), write(tmp_path / "b.json", run_of(slots=64, kind="trainer"))
    assert command(one, "-o", tmp_path / "one.png").returncode == 0
    assert command(one, two, "--dark", "-o", tmp_path / "both.png").returncode == 0
    single, both = pixels(tmp_path / "one.png"), pixels(tmp_path / "both.png")
    assert both.shape[1] > 1.25 * single.shape[1] and both.shape[0] > single.shape[0]
    assert single[0, 0].tolist() == [255, 255, 255] and bytes(both[0, 0]).hex() == DARK.page[1:]
    left, right = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
    assert share_of(left, DARK.filling) > 5 * share_of(right, DARK.filling) and share_of(right, DARK.ready) > 5 * share_of(left, DARK.ready)


def test_a_part_of_the_time_can_be_shown(tmp_path: Path) -> None:
    trace = write(tmp_path / "t.json", [*run_of(rounds=1), span("held", 1000, 2.0, 3.0)])
    assert command(trace, "--from=2.2", "--to=2.8", "-o", tmp_path / "part.png").returncode == 0
    picture = pixels(tmp_path / "part.png")
    assert share_of(picture, LIGHT.filling) < 0.002 and share_of(picture, LIGHT.held) > 0.03  # of blue, the legend's square is left
    figure = plot.draw([Window(read_trace(str(trace)), 2.2, 2.8)], LIGHT)
    assert [axes.get_xlim() for axes in figure.axes] == [(2.2, 2.8)] * 3


def test_thousands_of_batches_become_areas(tmp_path: Path) -> None:
    """Bars that nobody could tell apart are not drawn one by one; colours keep their shares."""
    events = run_of(rounds=1000, slots=8)
    trace = read_trace(str(write(tmp_path / "t.json", events)))
    figure = plot.draw([Window(trace, 0.0, trace.duration)], LIGHT)
    assert sum(len(axes.patches) + sum(len(part.get_paths()) for part in axes.collections) for axes in figure.axes) < 60
    assert command(tmp_path / "t.json", "-o", tmp_path / "t.png").returncode == 0
    picture = pixels(tmp_path / "t.png")
    assert share_of(picture, LIGHT.filling) == pytest.approx(0.8 / 0.15 * share_of(picture, LIGHT.held), rel=0.25)


def test_the_same_trace_gives_the_same_bytes(tmp_path: Path) -> None:
    trace = write(tmp_path / "t.json", run_of())
    for suffix in ("png", "svg"):
        for name in "ab":
            assert command(trace, "-o", tmp_path / f"{name}.{suffix}").returncode == 0
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_what_cannot_be_drawn_is_said_in_a_sentence(tmp_path: Path) -> None:
    trace, picture = write(tmp_path / "t.json", run_of()), tmp_path / "t.png"
    for words, exit_code, text in (
        (["-o", picture], 2, "1 to 4 files are expected"),
        ([trace], 2, "-o is missing"),
        ([trace, "-o", tmp_path / "t.gif"], 2, "t.gif: a name that ends in .png"),
        ([trace, "-o", picture, "--from=x"], 2, "--from x: a number of seconds"),
        ([trace, "-o", picture, "--from=9"], 2, "t.json: nothing between 9 and 5.75 s; it is 5.750 s long"),
        ([tmp_path / "no.json", "-o", picture], 1, "no.json: No such file"),
        ([tmp_path, "-o", picture], 1, "Is a directory"),
        ([trace, "-o", tmp_path / "no/t.png"], 1, "no/t.png: No such file"),
    ):
        done = command(*words)
        assert done.returncode == exit_code and text in done.stderr and done.stderr.startswith("cropring: "), (words, done)
        assert "Traceback" not in done.stderr and not picture.exists()


def test_without_matplotlib_the_way_to_get_it_is_told(tmp_path: Path) -> None:
    program = "import sys; sys.modules['matplotlib'] = None; sys.argv = ['cropring', *sys.argv[1:]]; from cropring._cli import main; main()"
    words: list[str | Path] = [sys.executable, "-c", program, "plot", write(tmp_path / "t.json", run_of()), "-o", tmp_path / "t.png"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=WATCHDOG_S)
    assert done.returncode == 1
    assert done.stderr == "cropring: `cropring plot` needs matplotlib, which is not installed: pip install 'cropring[plot]'\n"


def test_what_a_reader_waited_for_its_first_batch_is_told_apart() -> None:
    held, waits = np.array([[2.0, 2.5], [2.75, 3.0]]), np.array([[0.0, 2.0], [2.5, 2.75]])
    trace = Trace("run.json", slots={0: {"held": held}}, readers={0: waits}, duration=4.0)
    counters = Window(trace, 0.0, 4.0).counters()
    assert (counters["batches"], counters["start_wait_ns"], counters["reader_wait_ns"]) == (2, 2_000_000_000, 2_250_000_000)
    assert Window(trace, 1.0, 4.0).counters()["start_wait_ns"] == 0  # a part in which a batch had been taken is about its speed alone
