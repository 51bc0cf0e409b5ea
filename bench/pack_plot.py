#!/usr/bin/env python3
"""Draws what a crop of 224x224 pixels costs, against the size of the picture: docs/crop-cost.png and its dark twin.

    python bench/pack_plot.py
"""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import common

# Side -> its colour on light and on dark ground (told apart with any colour vision), marker, and the name in the picture.
LOOKS = {
    "Pillow": ("#8a5a00", "#e0a33a", "s", "Pillow"),
    "OpenCV": ("#7b3294", "#c795e0", "^", "OpenCV"),
    "pyvips": ("#4d4d4d", "#b5b5b5", "D", "pyvips"),
    "cropring, loose file": ("#2171b5", "#74b3e8", "o", "cropring, loose files"),
    "cropring, pack": ("#00734a", "#3ddc97", "o", "cropring, pack"),
}
GROUNDS = {"": ("white", "#202020", "#d8d8d8"), "-dark": ("#0d1117", "#e6edf3", "#30363d")}  # ground, ink, grid
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


def draw_panel(axes: Any, curves: Curves, title: str, dark: bool, ink: str, grid: str) -> None:
    for side, (light_colour, dark_colour, marker, name) in LOOKS.items():
        sizes_px = sorted(curves[side])
        cpu_ms = [curves[side][size_px] for size_px in sizes_px]
        is_pack = side == "cropring, pack"
        axes.plot(
            sizes_px, cpu_ms, color=dark_colour if dark else light_colour, marker=marker, markersize=5, linewidth=2.6 if is_pack else 1.4, label=name,
            linestyle="--" if side == "cropring, loose file" else "-", zorder=3 if is_pack else 2,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes_px, [f"{size_px}²" for size_px in sizes_px], fontsize=8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(title, color=ink, fontsize=11)
    axes.set_xlabel("picture, pixels", color=ink)
    axes.grid(which="major", color=grid, linewidth=0.7)
    axes.minorticks_off()
    axes.tick_params(colors=ink, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw(results: Path, folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = read(results)
    for ending, (ground, ink, grid) in GROUNDS.items():
        figure, all_axes = pyplot.subplots(1, len(PANELS), figsize=(10, 4.4), sharey=True, facecolor=ground, layout="constrained")
        for axes, (suffix, title) in zip(all_axes, PANELS.items()):
            axes.set_facecolor(ground)
            draw_panel(axes, panels[suffix], title, ending == "-dark", ink, grid)
        all_axes[0].set_ylabel("CPU ms for a crop of 224×224", color=ink)
        all_axes[0].legend(loc="upper left", fontsize=9, frameon=False, labelcolor=ink)
        figure.savefig(folder / f"crop-cost{ending}.png", dpi=120, facecolor=ground, metadata={"Software": None})
        pyplot.close(figure)


if __name__ == "__main__":
    draw(common.RESULTS / "pack_size.csv", common.HERE.parent / "docs")
