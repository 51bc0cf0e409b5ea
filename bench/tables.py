#!/usr/bin/env python3
"""Tables of bench/README.md that are written by the benches themselves, from their CSVs: peers, neighbour.

    python3 bench/tables.py

Nothing but Python is needed. A test compares the page with what this writes.
"""

from __future__ import annotations

import csv
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results", HERE / "README.md"
BASE = "torch DataLoader, Pillow"

Row = Mapping[str, Any]  # from a CSV all values are text


def read(name: str) -> tuple[dict[str, str], list[Row]]:
    """The facts above the columns of results/NAME.csv, and its rows."""
    lines = (RESULTS / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    facts = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    return facts, list(csv.DictReader(line for line in lines if not line.startswith("#")))


def medians(rows: Sequence[Row], value: Callable[[Row], float], *keys: str) -> dict[Any, float]:
    """By those columns, as text: one as it is, several as a tuple."""
    measured: dict[Any, list[float]] = defaultdict(list)
    for row in rows:
        key = tuple(str(row[name]) for name in keys)
        measured[key if len(key) > 1 else key[0]].append(value(row))
    return {key: statistics.median(values) for key, values in measured.items()}


def column(name: str, scale: float = 1) -> Callable[[Row], float]:
    return lambda row: float(row[name]) * scale


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# ---------------------------------------------------------------- peers


def peers(rows: Sequence[Row]) -> Iterator[str]:
    run = [row for row in rows if not row["error"]]
    by = ("side", "parallel")
    cpu_ms = medians(run, lambda row: 1e3 * float(row["cpu_s"]) / int(row["items"]), *by)
    images_per_s = medians(run, lambda row: int(row["items"]) / max(float(row["wall_s"]), 1e-9), *by)
    memory_mb, first_s, import_s = (medians(run, column(name), *by) for name in ("memory_mb", "first_s", "import_s"))
    facts = {str(row["side"]): row for row in run}

    def pair(values: Mapping[Any, float], side: str, shape: str) -> list[str]:
        return [format(values[side, parallel], shape) if (side, parallel) in values else "" for parallel in ("1", "2")]

    heads = ["side", "CPU ms per image: 1", "2", f"CPU, {BASE} = 1", "images/s: 1", "2", "memory, MB: 1", "2"]
    heads += ["first batch after, s", "imports, s", "lines to install", "mean difference from Pillow's pixels"]
    yield _line(heads)
    yield "|" + "---|" * len(heads)
    for side in sorted(facts, key=lambda side: (not int(facts[side]["install_lines"]), cpu_ms[side, "1"])):
        row = facts[side]
        most = (side, "2") if (side, "2") in first_s else (side, "1")
        ratio = f"{cpu_ms[side, '1'] / cpu_ms[BASE, '1']:.2f}" if (BASE, "1") in cpu_ms else ""
        speeds = pair(images_per_s, side, ",.0f") if row["boxes"] != "none" else ["", ""]
        yield _line([
            side, *pair(cpu_ms, side, ".2f"), ratio, *speeds, *pair(memory_mb, side, ".0f"),
            f"{first_s[most]:.2f}", f"{import_s[most]:.2f}",
            str(row["install_lines"]) if int(row["install_lines"]) else "–",
            f"{float(row['mean_difference']):.2f}" if row["boxes"] == "same" else str(row["boxes"]),
        ])  # fmt: skip
    for row in rows:
        if row["error"]:
            yield _line([str(row["side"]), f"cannot run: {row['error']}", *[""] * (len(heads) - 2)])


# ---------------------------------------------------------------- neighbour


def neighbour(rows: Sequence[Row]) -> Iterator[str]:
    by = ("side", "ticker")
    columns = {name: medians(rows, column(name), *by) for name in ("p50_us", "p99_us", "max_us")}
    cpus, speed = (medians(rows, column(name), "side") for name in ("cpus", "images_per_s"))
    missed = medians(rows, lambda row: 1e3 * int(row["missed"]) / int(row["ticks"]), *by)
    heads = ["beside", "images/s", "CPUs"]
    for thread in ("C", "Python"):
        heads += [f"{thread}: p50", "p99 (least to most)", "max", "of 1,000 late by 1 ms"]
    yield _line(heads)
    yield "|" + "---|" * len(heads)
    for side in dict.fromkeys(str(row["side"]) for row in sorted(rows, key=lambda row: int(row["place"]))):
        cells = [side, f"{speed[side]:.0f}", f"{cpus[side]:.2f}"]
        for ticker in ("c", "python"):
            p50, p99, most = (f"{columns[name][side, ticker]:,.0f}" for name in ("p50_us", "p99_us", "max_us"))
            all_p99 = [float(row["p99_us"]) for row in rows if (row["side"], row["ticker"]) == (side, ticker)]
            cells += [p50, f"{p99} ({min(all_p99):,.0f} to {max(all_p99):,.0f})", most, f"{missed[side, ticker]:.1f}"]
        yield _line(cells)


# ---------------------------------------------------------------- the page

TABLES: dict[str, Callable[[Sequence[Row]], Iterator[str]]] = {"peers": peers, "neighbour": neighbour}


def page(text: str) -> str:
    """The page with its tables as the CSVs have them, between comments that name the bench."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}:begin (made by bench/tables.py) -->\n", f"\n<!-- {name}:end -->"
        fresh = begin + "\n".join(table(read(name)[1])) + end
        text, found = re.subn(re.escape(begin) + ".*?" + re.escape(end), lambda _: fresh, text, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"{PAGE}: {begin.strip()} is expected once, found {found} times")
    return text


def main() -> None:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
