"""`cropring plot TRACE -o PNG`: each slot of the ring over time, how many batches were ready, and who waited for whom."""

from __future__ import annotations

import math
import os
from argparse import SUPPRESS
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _ring
from .command import DONE, USAGE, Parser, Refusal, missing_extra
from .report import percent
from .trace import Spans, Trace, filled_before, read_trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DATED = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}  # what would make the same picture another file
_BINS = 240  # points of what is drawn over time
_SMOOTH = 0.04  # part of the window over which shares are averaged at each point
_NARROWEST_PX = 3.0  # a lane shows its bars as long as the usual one is not narrower
_DPI = 120
_MOST_TRACES = 4


@dataclass(frozen=True, slots=True)
class Colours:
    page: str
    ink: str
    quiet: str
    empty: str
    free: str
    filling: str = "#4c83ee"
    ready: str = "#3ba55d"
    held: str = "#f2922e"
    trainer_waits: str = "#d8434e"
    loader_waits: str = "#8a94a6"


LIGHT = Colours(page="#ffffff", ink="#1a1c20", quiet="#6b717c", empty="#f5f6f8", free="#e6e8ed")
DARK = Colours(page="#0d1117", ink="#e6edf3", quiet="#9198a1", empty="#151b23", free="#262c36", loader_waits="#768191")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a trace, in seconds since its begin, and what it amounts to."""

    trace: Trace
    begin: float
    end: float

    @property
    def slot_count(self) -> int:
        return max(self.trace.slots) + 1

    def shares(self, spans: Spans, bins: int = 1) -> NDArray[np.float64]:
        """Which part of each bin the spans fill; above 1 where they overlap."""
        edges = np.linspace(self.begin, self.end, bins + 1)
        shares: NDArray[np.float64] = np.diff(filled_before(spans, edges)) / np.diff(edges)
        return shares

    def waits(self) -> dict[str, float]:
        """Shares of the whole window, 0 to 1: "trainer" (the readers' mean) and "loader"."""
        readers = [float(self.shares(spans)[0]) for spans in self.trace.readers.values()]
        loader = float(self.shares(self.trace.loader_waits)[0])
        return {"trainer": min(1.0, sum(readers) / max(1, len(readers))), "loader": min(1.0, loader)}

    def counters(self) -> dict[str, int]:
        """As much as a trace tells of the worker's counters: what the verdict's kind depends on, but not its cause."""

        def ns(spans: Spans) -> int:
            return round(float(np.diff(filled_before(spans, np.array([self.begin, self.end])))[0]) * 1e9)

        held = [lane["held"][:, 0] for lane in self.trace.slots.values() if "held" in lane]
        taken = np.sort(np.concatenate(held or [np.empty(0)]))
        first_s = taken[0] if self.begin == 0 and len(taken) else 0.0
        firsts = [spans[spans[:, 0] < first_s] for spans in self.trace.readers.values()]
        elapsed_ns, idle_ns = round((self.end - self.begin) * 1e9), ns(self.trace.loader_waits)
        return {
            "batches": int(((taken >= self.begin) & (taken < self.end)).sum()),
            "elapsed_ns": elapsed_ns,
            "reader_ns": elapsed_ns * len(self.trace.readers),
            "reader_wait_ns": sum(ns(spans) for spans in self.trace.readers.values()),
            "start_wait_ns": sum(ns(spans) for spans in firsts),
            "decode_busy_ns": max(0, elapsed_ns - idle_ns),
            "decode_idle_ns": idle_ns,
        }

    def around(self, spans: Spans, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Which part of the time around each of `times` the spans fill."""
        half = (self.end - self.begin) * _SMOOTH / 2
        begins, ends = np.maximum(times - half, self.begin), np.minimum(times + half, self.end)
        filled: NDArray[np.float64] = (filled_before(spans, ends) - filled_before(spans, begins)) / (ends - begins)
        return filled

    def in_state(self, state: str, bins: int) -> NDArray[np.float64]:
        """How many slots are in that state, on average over each bin."""
        lanes = [self.shares(lane[state], bins) for lane in self.trace.slots.values() if state in lane]
        count: NDArray[np.float64] = np.sum(lanes or [np.zeros(bins)], axis=0)
        return count

    def ready_steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times, and how many slots are ready from each on."""
        spans = np.concatenate([lane["ready"] for lane in self.trace.slots.values() if "ready" in lane] or [np.empty((0, 2))])
        times = np.concatenate([spans[:, 0], spans[:, 1]])
        order = np.argsort(times, kind="stable")
        steps = np.repeat([1, -1], len(spans))[order]
        return np.concatenate([[0.0], times[order]]), np.concatenate([[0], np.cumsum(steps)])

    def span_count(self) -> int:
        """Of the busiest lane."""
        lanes = self.trace.slots.values()
        return max(sum(int(((spans[:, 1] > self.begin) & (spans[:, 0] < self.end)).sum()) for spans in lane.values()) for lane in lanes)


# ---------------------------------------------------------------- panels


def _draw_lanes(axes: Axes, window: Window, colours: Colours) -> None:
    """A row for each slot, first slot on top."""
    lanes = window.slot_count
    gap = 0.14
    for slot in range(lanes):
        axes.broken_barh([(window.begin, window.end - window.begin)], (slot + gap / 2, 1 - gap), facecolors=colours.free, linewidth=0)
        for state, spans in window.trace.slots.get(slot, {}).items():
            seen = spans[(spans[:, 1] > window.begin) & (spans[:, 0] < window.end)]
            bars = np.stack([seen[:, 0], seen[:, 1] - seen[:, 0]], 1)
            axes.broken_barh(bars.tolist(), (slot + gap / 2, 1 - gap), facecolors=getattr(colours, state), linewidth=0)
    axes.set_ylim(lanes, 0)
    axes.set_yticks([])


def _draw_stack(axes: Axes, window: Window, colours: Colours) -> None:
    """How many slots are in which state: for times in which the bars of a lane could not be told apart."""
    bins = 4 * _BINS
    edges = np.linspace(window.begin, window.end, bins + 1)
    below = np.zeros(bins)
    axes.axhspan(0, window.slot_count, color=colours.free, linewidth=0)
    for state in ("held", "ready", "filling"):
        above = below + window.in_state(state, bins)
        axes.stairs(above, edges, baseline=below, fill=True, color=getattr(colours, state), linewidth=0)
        below = above
    axes.set_ylim(0, window.slot_count)
    axes.set_yticks([0, window.slot_count])


def _draw_ready(axes: Axes, window: Window, colours: Colours, can_step: bool) -> None:
    if can_step:
        times, counts = window.ready_steps()
        axes.fill_between(times, counts, step="post", color=colours.ready, linewidth=0)
    else:
        edges = np.linspace(window.begin, window.end, _BINS + 1)
        axes.stairs(window.in_state("ready", _BINS), edges, fill=True, color=colours.ready, linewidth=0)
    axes.set_ylim(0, window.slot_count)
    axes.set_yticks([0, window.slot_count])


def _draw_waits(axes: Axes, window: Window, colours: Colours) -> None:
    times = np.linspace(window.begin, window.end, _BINS)
    readers = [window.around(spans, times) for spans in window.trace.readers.values()]
    trainer = np.mean(readers, axis=0) if readers else np.zeros(_BINS)
    for shares, colour in ((window.around(window.trace.loader_waits, times), colours.loader_waits), (trainer, colours.trainer_waits)):
        axes.fill_between(times, np.minimum(shares, 1), color=colour, alpha=0.85, linewidth=0)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 1], ["0", "100 %"])


def _title(window: Window) -> tuple[str, str]:
    """The verdict in a word or two, and the numbers that it is from."""
    kind = _ring.verdict({}, {"counters": window.counters()})["kind"]
    waits = window.waits()
    heading = {"too-short": "Too short to tell"}.get(kind, kind.capitalize())
    return heading, f"the trainer waits {percent(waits['trainer'])} of the time, the loader {percent(waits['loader'])}"


# ---------------------------------------------------------------- the figure


def _style(axes: Axes, colours: Colours, label: str, label_x: float) -> None:
    """No frame, and in the first column a label beside it, where all labels stand."""
    axes.set_facecolor(colours.empty)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=colours.quiet, length=0, labelsize=8, pad=3)
    if label:
        axes.set_ylabel(label, color=colours.quiet, fontsize=9.5, rotation=0, ha="right", va="center")
        axes.yaxis.set_label_coords(label_x, 0.5)


def draw(windows: Sequence[Window], colours: Colours) -> Figure:
    """The windows side by side, with one legend."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    most_slots = max(window.slot_count for window in windows)
    lanes_height = min(max(0.22 * most_slots, 1.4), 5.0)
    column_width = 9.0 if len(windows) == 1 else 6.0 if len(windows) == 2 else 4.5
    heights = [lanes_height, 0.75, 0.75]
    figure = Figure(figsize=(1.4 + column_width * len(windows), 2.15 + sum(heights)), dpi=_DPI, facecolor=colours.page)
    grid = figure.add_gridspec(
        3, len(windows), height_ratios=heights, hspace=0.2, wspace=0.1,
        left=1.2 / figure.get_figwidth(), right=1 - 0.2 / figure.get_figwidth(),
        top=1 - 0.95 / figure.get_figheight(), bottom=0.85 / figure.get_figheight(),
    )  # fmt: skip
    for column, window in enumerate(windows):
        lanes, ready, waits = (figure.add_subplot(grid[row, column]) for row in range(3))
        pixels = column_width * _DPI * 0.9
        has_lanes = window.span_count() * _NARROWEST_PX <= pixels
        (_draw_lanes if has_lanes else _draw_stack)(lanes, window, colours)
        _draw_ready(ready, window, colours, has_lanes)
        _draw_waits(waits, window, colours)
        for axes, label in ((lanes, "slots of\nthe ring"), (ready, "batches\nready"), (waits, "who\nwaits")):
            _style(axes, colours, label if column == 0 else "", -0.5 / column_width)
            axes.set_xlim(window.begin, window.end)
            axes.tick_params(labelbottom=axes is waits)
            axes.locator_params(axis="x", nbins=6)
        waits.set_xlabel(f"seconds of {os.path.basename(window.trace.path)}", color=colours.quiet, fontsize=9)
        heading, sentence = _title(window)
        for text, above, ink, size, weight in ((heading, 0.32, colours.ink, 15, "bold"), (sentence, 0.08, colours.quiet, 9.5, "normal")):
            at = 1 + above / lanes_height
            lanes.text(0, at, text, transform=lanes.transAxes, color=ink, fontsize=size, fontweight=weight, va="bottom")
    states = [("free", "free"), ("filling", "being filled"), ("ready", "ready"), ("held", "held by the trainer")]
    patches = [Patch(color=getattr(colours, state), label=label) for state, label in states]
    patches += [Patch(color=colours.trainer_waits, label="trainer waits"), Patch(color=colours.loader_waits, label="loader waits")]
    legend = figure.legend(
        handles=patches, loc="lower center", ncols=len(patches), frameon=False, fontsize=9, labelcolor=colours.ink,
        handlelength=1.0, handleheight=1.0, columnspacing=1.6, bbox_to_anchor=(0.5, 0.0),
    )  # fmt: skip
    legend.set_in_layout(False)
    return figure


# ---------------------------------------------------------------- the command


def _seconds(flag: str) -> Any:
    def number(word: str) -> float:
        try:
            seconds = float(word)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= 1e9:
            raise Refusal(f"{flag} {word}: a number of seconds since the trace's begin is expected", USAGE)
        return seconds

    return number


def parser() -> Parser:
    command = Parser(
        "plot",
        "[FLAG]... TRACE... -o PNG",
        "Draws what `cropring serve --trace TRACE` wrote: a lane for each slot of the ring, how many batches were\n"
        "ready, and when the trainer waited for the loader or the loader for the trainer.  Several traces stand side\n"
        "by side.  A trace of a run that was killed is drawn as far as it goes.",
        [
            "cropring plot trace.json -o trace.png",
            "cropring plot trace.json --from 10 --to 12.5 --dark -o part.png",
            "cropring plot slow.json fast.json -o both.png",
        ],
    )
    command.add_argument("traces", nargs="*", metavar="TRACE", help=SUPPRESS)
    output = command.add_argument_group("Picture")
    output.add_argument("-o", "--output", metavar="PNG", help="what to write; .svg and .pdf work, too")
    output.add_argument("--from", dest="begin", metavar="S", type=_seconds("--from"), default=0.0, help="first second that is shown [0]")
    output.add_argument("--to", dest="end", metavar="S", type=_seconds("--to"), default=None, help="last one; without it, all to the end")
    output.add_argument("--dark", action="store_true", help="light on dark")
    return command


def main(words: Sequence[str]) -> int:
    """The command, with the words after its name; returns the exit code."""
    command = parser()
    wanted = command.parse(words)
    if not 1 <= len(wanted.traces) <= _MOST_TRACES:
        command.error(f"1 to {_MOST_TRACES} files are expected that `cropring serve --trace FILE` wrote")
    if wanted.output is None:
        command.error("-o is missing: the PNG to write")
    if not wanted.output.lower().endswith(tuple(_DATED)):
        command.error(f"-o {wanted.output}: a name that ends in {', '.join(_DATED)} is expected")
    try:
        import matplotlib
    except ImportError as error:
        raise missing_extra(error, "`cropring plot`", "plot") from None
    windows = []
    for path in wanted.traces:
        trace = read_trace(path)
        end = trace.duration if wanted.end is None else min(wanted.end, trace.duration)
        if not wanted.begin < end:
            raise Refusal(f"{path}: nothing between {wanted.begin:g} and {end:g} s; it is {trace.duration:.3f} s long", USAGE)
        windows.append(Window(trace, wanted.begin, end))
    with matplotlib.rc_context({"font.family": ["DejaVu Sans"], "svg.hashsalt": "cropring"}):
        draw(windows, DARK if wanted.dark else LIGHT).savefig(wanted.output, metadata={_DATED[wanted.output[-4:].lower()]: None})
    return DONE
