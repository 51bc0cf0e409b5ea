"""The screen of `cropring top`: one reading and one report in, lines that fit the terminal out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from .command import printable
from .report import STAGES, Reading, Report, failures_by_reason, percent

# The states of a slot: the same colours as in `cropring plot`, and a sign for terminals without colours.
_LOOKS = {
    "free": ("·", "grey62 on grey23"),
    "filling": ("~", "white on #4c83ee"),
    "ready": ("=", "black on #3ba55d"),
    "held": ("#", "black on #f2922e"),
}
_VERDICT_STYLES = {"loader-bound": "bold white on #c23a45", "trainer-bound": "bold black on #3ba55d", "balanced": "bold white on #3d6fd0"}
_QUIET, _STRONG = "grey62", "bold"
_BAR, _TRAINER, _LOADER = "#4c83ee", "#d8434e", "#8a94a6"
_SPARKS = " ▁▂▃▄▅▆▇█"
_MARGIN = 1
_HALF = 56  # columns for the stages, where readers stand beside them

THEME = TerminalTheme(  # for pictures: calm, and with enough contrast on either background of a page
    (22, 24, 29),
    (222, 225, 230),
    [(40, 44, 52), (224, 108, 117), (59, 165, 93), (240, 140, 46), (97, 146, 239), (180, 120, 220), (86, 182, 194), (200, 204, 210)],
)


def _bar(share: float, width: int, style: str) -> Text:
    """As long as the share of the width, to an eighth of a cell, on a track."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    solid = "█" * full + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")
    return Text.assemble((solid, style), ("·" * (width - len(solid)), "grey35"))


def _row(*parts: str | Text | tuple[str, str]) -> Text:
    return Text.assemble(" " * _MARGIN, *parts, no_wrap=True)


def _columns(blocks: Sequence[Sequence[Text]], widths: Sequence[int]) -> list[Text]:
    """Blocks of lines side by side, each as wide as is said."""
    lines = []
    for row in zip_longest(*blocks, fillvalue=Text("")):
        line = Text(no_wrap=True)
        for part, width in zip(row, widths):
            cut = part.copy()
            cut.truncate(width, pad=True)
            line.append_text(cut)
        lines.append(line)
    return lines


class Screen:
    """A renderable that shows as much as there is room for: first air goes, then detail, then the readers that wait least."""

    def __init__(self, reading: Reading, report: Report, ready_history: Sequence[int]) -> None:
        self._reading = reading
        self._report = report
        self._ready_history = ready_history

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        for line in self.lines(width, height):
            line.truncate(width, overflow="ellipsis")
            yield line

    def lines(self, width: int, height: int) -> list[Text]:
        """At most `height` lines for a terminal of that size."""
        for is_airy, has_detail, has_legend in ((True, True, True), (False, True, True), (False, False, True), (False, False, False)):
            air = [Text("")] if is_airy else []
            above = [self._heading(width), *air, *self._verdict(width), *air, *self._slots(width, is_airy)]
            above += [*(self._legend(width) if has_legend else []), *air, *self._waits(width), *air, self._rates(width), *air]
            stages = self._stages(width) if has_detail else self._stages_in_short()
            failures = self._failures()
            failures = [*air, *failures] if failures else []
            is_beside = has_detail and width >= 2 * _HALF
            room = height - len(above) - len(failures) - (0 if is_beside else len(stages) + len(air))
            readers, left_out = self._readers(width - _HALF if is_beside else width, max(2, room))
            middle = _columns([stages, readers], [_HALF, width - _HALF]) if is_beside else [*stages, *air, *readers]
            lines = [*above, *middle, *failures]
            if len(lines) <= height and not left_out:
                break
        return lines[:height]

    # ---------------------------------------------------------------- from top to bottom

    def _heading(self, width: int) -> Text:
        reading = self._reading
        epoch = max((slot["epoch"] for slot in reading["slots"] if slot["state"] != "free"), default=0)
        name, subject = str(reading["name"]), printable(str(reading["subject"]))
        right = f"epoch {epoch}  {reading['share']}  worker {reading['pid']}"
        room = width - 2 * _MARGIN - cell_len(name) - 2 - len(right) - 2  # for the subject, whose end tells most
        if room < 0:
            return _row((name, _STRONG))
        if cell_len(subject) > room:
            subject = "…" + subject[len(subject) - room + 1 :] if room > 8 else ""
        return _row((name, _STRONG), (f"  {subject}{' ' * (room - cell_len(subject))}  {right}", _QUIET))

    def _verdict(self, width: int) -> list[Text]:
        """The sentence, over as many lines as it needs, on its colour."""
        style = _VERDICT_STYLES.get(self._report.kind, "bold")
        words, lines = self._report.sentence.split(), [""]
        for word in words:
            if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) > width - 2 * _MARGIN - 2:
                lines.append("")
            lines[-1] += f" {word}" if lines[-1] else word
        return [_row((f" {line:<{max(1, width - 2 * _MARGIN - 2)}} ", style)) for line in lines]

    def _slots(self, width: int, is_airy: bool) -> list[Text]:
        """A cell for each slot, with the number of its batch where there is room for it."""
        slots, room = self._reading["slots"], width - 2 * _MARGIN
        row_count = 0
        for cell, gap, most_rows in ((7, 1, 3 if is_airy else 1), (3, 1, 2), (1, 0, 64)):
            row_count = -(-len(slots) // max(1, (room + gap) // (cell + gap)))
            if row_count <= most_rows:
                break
        per_row = -(-len(slots) // row_count)  # rows of equal length
        rows = []
        for begin in range(0, len(slots), per_row):
            parts: list[str | tuple[str, str]] = []
            for slot in slots[begin : begin + per_row]:
                sign, style = _LOOKS[slot["state"]]
                number = f"{slot['seq'] % 100000}" if cell == 7 and slot["state"] != "free" else ""
                parts += [(f"{sign}{number:>{cell - 2}} " if cell > 1 else sign, style), " " * gap]
            rows.append(_row(*parts))
        return rows

    def _legend(self, width: int) -> list[Text]:
        counts = [(state, sum(slot["state"] == state for slot in self._reading["slots"])) for state in _LOOKS]
        parts: list[str | tuple[str, str]] = []
        for state, count in counts:
            sign, style = _LOOKS[state]
            parts += [(f"{sign} ", style), (f" {count} {state}   ", _QUIET)]
        line = _row(*parts)
        room = width - cell_len(line.plain) - _MARGIN - 6
        if room >= 8:
            slot_count = max(1, len(self._reading["slots"]))
            recent = list(self._ready_history)[-min(room, 60) :]
            sparks = "".join(_SPARKS[-(-min(ready, slot_count) * 8 // slot_count)] for ready in recent)
            line = line.append("ready ", _QUIET).append(sparks, _LOOKS["ready"][1].partition(" on ")[2])
        return [line]

    def _waits(self, width: int) -> list[Text]:
        room = max(4, min(60, width - 2 * _MARGIN - 20))
        return [
            _row(f"{name} waits ", _bar(share, room, style), f" {percent(share):>5}")
            for name, share, style in (("trainer", self._report.trainer_waits, _TRAINER), (" loader", self._report.loader_waits, _LOADER))
        ]

    def _rates(self, width: int) -> Text:
        report = self._report
        facts = [
            (f"{report.images_per_s:,.0f}", "images/s"),
            (f"{report.batches_per_s:,.1f}", "batches/s"),
            (f"{report.megabytes_per_s:,.1f}", "MB/s"),
            (f"{report.cpu_ms_per_image:.2f}", "CPU ms/image"),
            (f"{report.images_per_s * report.cpu_ms_per_image / 1000:.1f} of {report.cpus}", "CPUs"),
        ]
        line = _row()
        for number, unit in facts:
            part = Text.assemble((number, _STRONG), (f" {unit}", _QUIET), "   ")
            if cell_len(line.plain) + cell_len(part.plain) - 3 <= width:
                line.append_text(part)
        return line

    def _stages(self, width: int) -> list[Text]:
        total = sum(self._report.stages.values())
        room = max(4, min(24, width - 2 * _MARGIN - 25))
        lines = [_row((f"{'stage':8}{'ms/image':>9}  {'share of their CPU time'}", _QUIET))]
        for name in STAGES:
            share = self._report.stages[name] / total if total else 0.0
            lines.append(_row(f"{name:8}{self._report.stages[name]:9.2f}  ", _bar(share, room, _BAR), f" {percent(share):>5}"))
        return lines

    def _stages_in_short(self) -> list[Text]:
        return [_row(("ms/image  ", _QUIET), "  ".join(f"{name} {self._report.stages[name]:.2f}" for name in STAGES))]

    def _readers(self, width: int, room: int) -> tuple[list[Text], int]:
        """A line for each reader, or several side by side where there are more than lines; and how many found no place, who wait least."""
        readers = self._reading["readers"]
        if not readers:
            return [_row(("no readers", _QUIET))], 0
        heading = f"{'reader':>6} {'pid':>8} {'held':>4} {'ready':>5}  {'waits':11}"
        per_row = max(1, (width - _MARGIN) // len(heading)) if len(readers) > room - 1 else 1
        shown = sorted(readers, key=self._waiting_share, reverse=True)
        if len(readers) > (room - 1) * per_row:
            shown = shown[: max(1, room - 2) * per_row]
        left_out = len(readers) - len(shown)
        shown.sort(key=lambda reader: int(reader["number"]))
        lines = [_row((heading * min(per_row, len(shown)), _QUIET))]
        for begin in range(0, len(shown), per_row):
            line = _row()
            for reader in shown[begin : begin + per_row]:
                share = self._waiting_share(reader)
                line.append(f"{reader['number']:>6} {reader['pid']:>8} {reader['held']:>4} {reader['ready']:>5}  ")
                line.append_text(_bar(share, 5, _TRAINER)).append(f" {percent(share):>5}")
            lines.append(line)
        if left_out:
            lines.append(_row((f"and {left_out} that wait less", _QUIET)))
        return lines, left_out

    def _waiting_share(self, reader: Reading) -> float:
        return self._report.reader_waits.get(int(reader["number"]), 0.0)

    def _failures(self) -> list[Text]:
        counters = self._reading["counters"]
        if not counters.get("bad_samples"):
            return []
        named = ", ".join(f"{count:,} {name}" for name, count in failures_by_reason(counters).items())
        return [_row((f"{counters['bad_samples']:,} bad samples", "bold #e06c75"), f"  {named}")]
