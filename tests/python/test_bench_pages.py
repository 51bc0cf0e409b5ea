"""What README.md and bench/README.md show of the benches is what the committed CSVs say: pictures and tables are made from them."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"
LETTER = 0.56  # of the font's size, on the average over a line: the widest of the fonts asked for takes 0.53


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    modules = {name: importlib.import_module(name) for name in ("tables", "chart")}
    yield modules
    for name in modules:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["peers", "neighbour"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_chart_is_what_its_csv_says(bench: dict[str, ModuleType], name: str, theme: str) -> None:
    chart = bench["chart"]
    drawn = chart.draw(chart.CHARTS[name](), chart.THEMES[theme])
    assert (ROOT / "docs" / f"{name}-{theme}.svg").read_text(encoding="utf-8") == drawn, "run python3 bench/chart.py"


@pytest.mark.parametrize("name", ["peers", "neighbour"])
def test_nothing_in_a_chart_leaves_the_picture(name: str) -> None:
    picture = ElementTree.parse(ROOT / "docs" / f"{name}-light.svg").getroot()
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    for text in picture.iter(f"{SVG}text"):
        x, y, anchor, letters = float(text.attrib["x"]), float(text.attrib["y"]), text.attrib["text-anchor"], len(text.text or "")
        wide = letters * float(text.attrib["font-size"]) * LETTER
        left = x - wide if anchor == "end" else x
        assert left >= 0 and left + wide <= width and 0 < y < height, text.text
    for bar in picture.iter(f"{SVG}rect"):
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) < width


def test_the_tables_of_the_benches_page_are_what_their_csvs_say(bench: dict[str, ModuleType]) -> None:
    page = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    assert bench["tables"].page(page) == page, "run python3 bench/tables.py"


def test_every_bench_that_the_readme_names_exists_with_its_figures() -> None:
    """`bench/run NAME` in README.md: there is bench/NAME.py, and results/NAME*.csv; `bench/run` alone is `whole`."""
    named = set(re.findall(r"`bench/run ?([a-z_]*)[^`]*`", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named
    for name in {name or "whole" for name in named}:
        assert (ROOT / "bench" / f"{name}.py").is_file(), name
        assert list((ROOT / "bench" / "results").glob(f"{name}*.csv")), name
