#!/usr/bin/env python3
"""Draws what a crop of 224x224 pixels costs, against the size of the picture: docs/crop-cost.png.

    python bench/pack_plot.py
"""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import common

# Side -> how its curve looks: told apart with any colour vision.
LOOKS: dict[str, dict[str, Any]] = {
    "Pillow": {"color": "#8a5a00", "marker": "s"},
    "OpenCV": {"color": "#7b3294", "marker": "^"},
    "pyvips": {"color": "#4d4d4d", "marker": "D"},
    "cropring, loose file": {"color": "#2171b5", "marker": "o", "linestyle": "--"},
    "cropring, pack": {"color": "#00734a", "marker": "o", "linewidth": 2.6},
}
INK, GRID = "#202020", "#d8d8d8"
PANELS = {"jpg": "JPEG, colour, 4:2:0", "png": "PNG, gray"}

Curves = dict[str, dict[int, float]]  # side -> pixels of a side of the picture -> CPU ms


def read(path: Path) -> dict[str, Curves]:
    """By the picture's format; medians over the repetitions."""
    measured: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            measured[row["picture"].rpartition(".")[2], row["side"], int(row["picture"][:5])].append(float(row["cpu_ms"]))
    panels: dict[str, Curves] = {suffix: defaultdict(dict) for suffix in PANELS}
    for (suffix, side, side_px), cpu_ms in measured.items():
        panels[suffix][side][side_px] = statistics.median(cpu_ms)
    return panels


def draw_panel(axes: Any, curves: Curves, title: str) -> None:
    for side, looks in LOOKS.items():
        sizes_px = sorted(curves[side])
        axes.plot(sizes_px, [curves[side][size_px] for size_px in sizes_px], label=side, **({"linewidth": 1.4, "markersize": 5} | looks))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.1)
    axes.set_xticks(sizes_px, [f"{size_px}²" for size_px in sizes_px], fontsize=8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(title, color=INK, fontsize=11)
    axes.set_xlabel("pixels of the picture", color=INK)
    axes.grid(which="major", color=GRID, linewidth=0.7)
    axes.minorticks_off()
    axes.tick_params(colors=INK, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw(results: Path, picture: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, all_axes = pyplot.subplots(1, len(PANELS), figsize=(10, 4.4), sharey=True, layout="constrained")
    panels = read(results)
    for axes, (suffix, title) in zip(all_axes, PANELS.items()):
        draw_panel(axes, panels[suffix], title)
    all_axes[0].set_ylabel("CPU ms for a crop of 224×224", color=INK)
    all_axes[0].legend(loc="upper left", fontsize=9, frameon=False, labelcolor=INK)
    figure.savefig(picture, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    draw(common.RESULTS / "pack_size.csv", common.HERE.parent / "docs" / "crop-cost.png")
