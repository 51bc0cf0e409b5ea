"""Requests as bytes: what is asked for, and what is refused before anything is asked."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cropring.requests import Wanted, packed, rows_of_paths, rows_of_samples

ROW = struct.Struct("<QQqII")  # sample, key, label, path_at, rule; then 16 bytes of box or window


def ask(paths: Any, x: Any = None, y: Any = None, scale: Any = None, root: bytes = b"/", **more: Any) -> tuple[list[bytes], np.ndarray]:
    """The path of each row, and the rows."""
    rows, text = rows_of_paths(paths, Wanted(x, y, scale, **more), root)
    return [text[at : text.index(b"\0", at)] for at in rows["path_at"].tolist()], rows


def test_the_layout_is_that_of_request_h() -> None:
    rows, text = rows_of_paths(["/a", "/bc"], Wanted(0.25, [0.5, 1], 1, seed=[7, 7], labels=[3, -4]), b"/")
    request = packed(rows, text, epoch=5, first_position=6)
    magic, row_count, epoch, first_position, text_bytes = struct.unpack_from("<8sIIQQ", request)
    assert (magic, row_count, epoch, first_position, text_bytes) == (b"cropreq1", 2, 5, 6, 7)
    assert len(request) == 32 + 2 * 48 + 7 and request[-7:] == b"/a\0/bc\0"
    for number, (label, path_at, y) in enumerate([(3, 0, 0.5), (-4, 3, 1.0)]):
        sample, key, *rest = ROW.unpack_from(request, 32 + 48 * number)
        assert (sample, rest) == (number, [label, path_at, 5]) and key > 2**32
        assert struct.unpack_from("<4f", request, 64 + 48 * number) == (0.25, y, 1.0, 0.0)


def test_samples_are_asked_for_by_number_under_the_usual_rule() -> None:
    request = packed(rows_of_samples(np.array([5, 2**40]), np.array([5, 9], np.uint64)))
    assert ROW.unpack_from(request, 32 + 48) == (2**40, 9, 0, 2**32 - 1, 2**32 - 1)


def test_paths_of_any_kind_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.fsencode(tmp_path)
    assert ask(["a", b"b\xff", Path("c/d"), "/e", "\udce4"], rule="center")[0] == [
        here + b"/a", here + b"/b\xff", here + b"/c/d", b"/e", here + b"/\xe4"
    ]  # fmt: skip
    assert ask(("/e", "/f/", "/ä"), rule="center")[0] == [b"/e", b"/f/", "/ä".encode()]
    assert ask((name for name in ["/e"]), rule="center")[0] == [b"/e"]
    monkeypatch.chdir("/")
    assert ask(["a"], rule="center")[0] == [b"/a"]


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError, match="item 1: 'a': the working folder, where relative paths begin, was removed"):
        ask(["/e", "a"], rule="center")


def test_paths_below_a_root_are_told_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = os.fsencode(tmp_path) + b"/"
    assert ask(["a", tmp_path / "b", "/elsewhere"], rule="center", root=root)[0] == [b"a", b"b", b"/elsewhere"]


def test_one_path_and_one_number_stand_for_all_items() -> None:
    paths, rows = ask("/a", [0.1, 0.2, 0.3], 0.5, 1)
    assert paths == [b"/a"] * 3 and rows["window"].tolist() == [[np.float32(x), 0.5, 1.0] for x in (0.1, 0.2, 0.3)]
    paths, rows = ask(Path("/a"), box=[[1, 2, 3, 4], [5, 6, 7, 8]])
    assert paths == [b"/a"] * 2 and rows["box"].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert ask("/a", rule="center")[0] == [b"/a"]
    assert ask(["/a", "/b"], box=(1, 2, 3, 4))[1]["box"].tolist() == [[1, 2, 3, 4]] * 2


def test_rules_have_the_numbers_of_crop_h() -> None:
    for number, rule in enumerate(["random-resized", "random", "center", "resize"]):
        assert ask("/a", rule=rule)[1]["rule"].tolist() == [number]
    assert ask("/a", box=(0, 0, 1, 1))[1]["rule"].tolist() == [4] and ask("/a", 0, 0, 0)[1]["rule"].tolist() == [5]
    assert ask("/a", seed=1)[1]["rule"].tolist() == [0]


def test_seeds_give_keys_that_do_not_run_into_each_other() -> None:
    keys = [ask(["/a"] * 1000, seed=seed)[1]["key"] for seed in (0, 1, 2, 2**64 - 1)]
    assert len(np.unique(np.concatenate(keys))) == 4000
    alone, together = ask("/a", seed=[5])[1]["key"], ask(["/a"] * 3, seed=[4, 5, 4])[1]["key"]
    assert together[1] == alone[0] and together[0] == together[2] != together[1]
    assert ask("/a", seed=5)[1]["key"] == alone
    assert ask("/a", seed=[5, 2**64 - 1])[1]["key"].tolist() == [alone[0], keys[3][0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [0, 0, 0, np.nan], "y": 0, "scale": 1}, "item 3: x=nan: a number from 0 to 1 is expected"),
        ({"x": 0, "y": [0, np.inf, 0, 0], "scale": 1}, "item 1: y=inf: a number"),
        ({"x": 0, "y": -np.inf, "scale": 1}, "^y=-inf: a number"),
        ({"x": 0, "y": 0, "scale": np.float32([1, 1, 1.0000001, 1])}, "item 2: scale=1.00000011"),
        ({"x": [0, -1e-30, 0, 0], "y": 0, "scale": 1}, "item 1: x=-1e-30"),
        ({"x": [0, 0, 0], "y": 0, "scale": 1}, "paths: 4, x: 3: as many items of each are expected"),
        ({"x": [[0, 0, 0, 0]], "y": 0, "scale": 1}, r"x: one number.*shape \(1, 4\)"),
        ({"paths": [], "rule": "center"}, "paths is empty"),
        ({"paths": "/a", "x": [], "y": 0, "scale": 1}, "x is empty"),
        ({"paths": ["/a", "/b\0c"], "rule": "center"}, r"item 1: '/b\\x00c': a path without a NUL"),
        ({"paths": ["/a", "/b\0/c"], "rule": "center"}, r"item 1: '/b\\x00/c': a path without a NUL"),
        ({"paths": ["/a", ""], "rule": "center"}, "item 1: the path is empty"),
        ({"box": [[0, 0, 1, 1]] * 3 + [[-1, 0, 1, 1]]}, r"item 3: box=\[-1, 0, 1, 1\]: x and y from 0"),
        ({"box": [0, 0, 0, 1]}, r"^box=\[0, 0, 0, 1\]: .*width and height from 1"),
        ({"box": [0, 0, 2**31, 1]}, "^box="),
        ({"box": [[0, 0, 1]] * 4}, r"box: \(x, y, width, height\).*shape \(4, 3\)"),
        ({"box": [[0, 0, 1, 1]] * 5}, "paths: 4, box: 5"),
        ({"rule": "whole"}, "rule='whole': one of random-resized, random, center, resize is expected"),
        ({"rule": ["center"]}, r"rule=\['center'\]: one of random-resized"),
        ({"seed": [0, 1, 2, -1]}, "item 3: seed=-1: a whole number from 0 to 18446744073709551615"),
        ({"rule": "center", "labels": [0] * 3 + [2**63]}, "item 3: labels=9223372036854775808"),
        ({"seed": 2**64}, "^seed=18446744073709551616: "),
        ({"paths": [b"\xff\0" * 100_000], "rule": "center"}, r"item 0: b'.{90,100}\.\.\.: a path without a NUL"),
    ],
)
def test_values_that_cannot_be_are_refused_with_their_item(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask(**({"paths": ["/a", "/b", "/c", "/d"]} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"paths": ["/a", 5], "rule": "center"}, "item 1: 5: a path is expected"),
        ({"paths": 5, "rule": "center"}, "paths=5: a path .*, or a sequence of them, is expected"),
        ({"x": ["a", "b"], "y": 0, "scale": 1}, "x: numbers from 0 to 1 are expected"),
        ({"x": True, "y": 0, "scale": 1}, "x: numbers"),
        ({"box": [0.5, 0, 1, 1]}, "box: whole numbers of pixels are expected, not float64"),
        ({"seed": 0.5}, "seed: whole numbers"),
        ({"rule": "center", "labels": "cat"}, "labels: whole numbers"),
    ],
)
def test_things_of_another_kind_are_type_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ask(**({"paths": ["/a", "/b"]} | arguments))


def test_a_request_that_is_too_large_is_refused() -> None:
    rows, text = rows_of_paths(["/" + "a" * 4000] * 5000, Wanted(rule="center"), b"/")
    with pytest.raises(ValueError, match="5000 items with paths of 20010000 bytes: 16777216 bytes are the most"):
        packed(rows, text)
