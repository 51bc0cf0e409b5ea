#!/usr/bin/env python3
"""Draws the README's charts from the committed CSVs: docs/peers-light.svg, docs/neighbour-light.svg, and both for dark pages.

    python3 bench/chart.py

Nothing but Python is needed. A test compares the pictures with what this draws.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tables import HERE, column, medians, read

DOCS = HERE.parent / "docs"


@dataclass(frozen=True)
class Theme:
    ink: str
    quiet: str
    ours: str
    theirs: str


# GitHub's grounds are #ffffff and #0d1117; the pictures have none of their own.
THEMES = {
    "light": Theme(ink="#1f2328", quiet="#59636e", ours="#00804f", theirs="#c3cbd4"),
    "dark": Theme(ink="#e6edf3", quiet="#9198a1", ours="#2fbf71", theirs="#48515c"),
}
FONT = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
WIDTH, NAMES, GAP, MARGIN = 860, 212, 62, 8  # pixels: of all, of the names' column, right of a panel for its longest bar's value
BAR, STEP, TOP = 17, 27, 52  # a bar, a row, what stands above the first one
LETTERS = 136  # in a line of the caption
LEAST_BAR = 2


@dataclass(frozen=True)
class Panel:
    heading: str
    better: str
    shape: Callable[[float], str]  # a value as text
    values: Mapping[str, float]  # by name of the row


@dataclass(frozen=True)
class Chart:
    title: str  # for those who hear it
    names: Sequence[str]  # of the rows, from the top
    ours: Callable[[str], bool]
    panels: Sequence[Panel]
    caption: str


# ---------------------------------------------------------------- the picture


def text(x: float, y: float, words: str, colour: str, *, size: int = 13, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}>{escape(words)}</text>'


def draw_panel(panel: Panel, chart: Chart, left: float, width: float, theme: Theme) -> list[str]:
    most = max(panel.values[name] for name in chart.names)
    parts = [text(left, 18, panel.heading, theme.ink, bold=True), text(left, 36, panel.better, theme.quiet, size=12)]
    for place, name in enumerate(chart.names):
        top, ours = TOP + place * STEP, chart.ours(name)
        length = max(LEAST_BAR, panel.values[name] / most * (width - GAP))
        colour = theme.ours if ours else theme.theirs
        parts.append(f'<rect x="{left:g}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
        parts.append(text(round(left + length + 6, 1), top + 13, panel.shape(panel.values[name]), theme.ink, bold=ours))
    return parts


def draw(chart: Chart, theme: Theme) -> str:
    lines = textwrap.wrap(chart.caption, LETTERS)
    bottom = TOP + len(chart.names) * STEP
    height = bottom + 14 + 16 * len(lines)
    width = (WIDTH - NAMES - MARGIN) / len(chart.panels)
    parts = [
        text(NAMES - 12, TOP + place * STEP + 13, name, theme.ink, anchor="end", bold=chart.ours(name))
        for place, name in enumerate(chart.names)
    ]
    for place, panel in enumerate(chart.panels):
        parts += draw_panel(panel, chart, NAMES + place * width, width, theme)
    parts += [text(MARGIN, bottom + 20 + 16 * place, line, theme.quiet, size=11) for place, line in enumerate(lines)]
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" role="img">'
    return "\n".join([head, f"<title>{escape(chart.title)}</title>", *parts, "</svg>"]) + "\n"


# ---------------------------------------------------------------- what is drawn

# Side in peers.csv -> its name here, and the packages whose versions stand below.
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cropring": ("cropring", ()),
    "cropring, pack": ("cropring, from a pack", ()),
    "FFCV": ("FFCV", ("ffcv",)),
    "DALI on the CPU": ("DALI, CPU", ("nvidia-dali-cuda120",)),
    "tf.data, antialias": ("tf.data", ("tensorflow-cpu",)),
    "torch DataLoader, torchvision": ("DataLoader, torchvision", ("torch", "torchvision", "pillow")),
    "WebDataset": ("WebDataset", ("webdataset",)),
    "SPDL": ("SPDL", ("spdl-io",)),
}
PACKAGES = {
    "ffcv": "FFCV", "nvidia-dali-cuda120": "DALI", "tensorflow-cpu": "TensorFlow", "torch": "torch", "torchvision": "torchvision",
    "pillow": "Pillow", "webdataset": "WebDataset", "spdl-io": "SPDL",
}  # fmt: skip
PARALLEL = "2"

# Side in neighbour.csv -> its name here.
NEIGHBOURS = {
    "alone": "no loader",
    "cropring": "cropring",
    "cropring, both": "cropring, --cpus --nice",
    "torch DataLoader, Pillow": "DataLoader",
    "torch DataLoader, Pillow, both in worker_init_fn": "DataLoader, pinned, niced",
    "SPDL": "SPDL",
    "SPDL, subprocess": "SPDL process",
    "SPDL, subprocess, both in its initializer": "SPDL process, pinned, niced",
}


def machine(facts: Mapping[str, str]) -> str:
    return f"{facts['processors']} shared cores of an {facts['processor'].replace('(R)', '')}"


def peers() -> Chart:
    facts, all_rows = read("peers")
    rows = [row for row in all_rows if row["parallel"] == PARALLEL and row["side"] in PEERS]
    cpu_ms = medians(rows, lambda row: 1e3 * float(row["cpu_s"]) / int(row["items"]), "side")
    images_per_s = medians(rows, lambda row: int(row["items"]) / float(row["wall_s"]), "side")
    ours, theirs = ([side for side in PEERS if side in cpu_ms and side.startswith("cropring") == wanted] for wanted in (True, False))
    sides = ours + sorted(theirs, key=cpu_ms.__getitem__)
    versions = ", ".join(dict.fromkeys(f"{PACKAGES[name]} {facts[name].partition('+')[0]}" for side in sides for name in PEERS[side][1]))
    repetitions = len({row["repetition"] for row in rows})
    return Chart(
        "CPU time per image and images per second of image loaders",
        [PEERS[side][0] for side in sides],
        lambda name: name.startswith("cropring"),
        [
            Panel("CPU time per image, ms", "shorter is better", "{:.2f}".format, {PEERS[side][0]: cpu_ms[side] for side in sides}),
            Panel("images per second", "longer is better", "{:,.0f}".format, {PEERS[side][0]: images_per_s[side] for side in sides}),
        ],
        f"RandomResizedCrop(224) of ImageNet-like JPEGs into batches of 64, {PARALLEL} decoding threads or worker processes on "
        f"{machine(facts)}; CPU time is that of all processes; medians of {repetitions}. {versions}.",
    )


def neighbour() -> Chart:
    facts, all_rows = read("neighbour")
    rows = [row for row in all_rows if row["side"] in NEIGHBOURS]
    panels = []
    for ticker, heading in (("c", "a thread in C"), ("python", "a thread in Python")):
        p99 = medians([row for row in rows if row["ticker"] == ticker], column("p99_us", 1e-3), "side")
        values = {name: p99[side] for side, name in NEIGHBOURS.items()}
        panels.append(Panel(f"p99 of lateness, ms: {heading}", "shorter is better", "{:.2f}".format, values))
    speed = json.loads(facts["pace"])["images_per_s"]
    repetitions = len({row["repetition"] for row in rows})
    return Chart(
        "How late a thread is that must act every millisecond, beside image loaders",
        list(NEIGHBOURS.values()),
        lambda name: name.startswith("cropring"),
        panels,
        f"How late a thread acts that must act every millisecond, in a process whose main thread takes {speed:g} images/s from a loader, "
        f"on {machine(facts)}; medians of {repetitions}. Pinned, niced: the loader's processes on one core, at lowest priority. "
        f"torch {facts['torch'].partition('+')[0]}, SPDL {facts['spdl-io']}.",
    )


CHARTS: dict[str, Callable[[], Chart]] = {"peers": peers, "neighbour": neighbour}


def main() -> None:
    for name, make in CHARTS.items():
        chart = make()
        for theme_name, theme in THEMES.items():
            (DOCS / f"{name}-{theme_name}.svg").write_text(draw(chart, theme), encoding="utf-8")


if __name__ == "__main__":
    main()
