"""Builders of manifests: COCO, Parquet, any samples.  What they write is read as CSV or JSON here; test_built_manifests.py loads it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import WATCHDOG_S
from cropring import manifest

Coco = Callable[..., Path]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def boxes(path: Path) -> list[tuple[int, ...]]:
    return [tuple(int(row[key]) for key in ("x", "y", "width", "height")) for row in rows(path)]


@pytest.fixture
def coco(tmp_path: Path, photos: Path) -> Coco:
    """`coco([bbox, ...])`: an instances file of boxes in animals/cat.jpg (451x300); dicts are whole annotations."""
    (tmp_path / "photos").symlink_to(photos)

    def write(annotations: list[object], **parts: object) -> Path:
        usual = {"image_id": 7, "category_id": 17, "iscrowd": 0, "segmentation": [[1, 2, 3, 4]]}
        content = {
            "images": [{"id": 7, "file_name": "animals/cat.jpg", "width": 451, "height": 300}],
            "categories": [{"id": 17, "name": "cat"}, {"id": 3, "name": "bat, flying"}],
            "annotations": [
                usual | {"id": number} | (what if isinstance(what, dict) else {"bbox": what}) for number, what in enumerate(annotations)
            ],
        }
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content | parts))
        return path

    return write


def build(path: Path, **flags: object) -> tuple[manifest.Summary, Path]:
    out = path.with_name("boxes.csv")
    return manifest.from_coco(path, out, images=path.with_name("photos"), **flags), out  # type: ignore[arg-type]


# ---------------------------------------------------------------- COCO


def test_each_box_of_coco_is_a_sample(coco: Coco) -> None:
    summary, out = build(coco([[10, 20, 30, 40], {"bbox": [0, 0, 451, 300], "category_id": 3}]))
    assert out.read_text() == 'path,label,x,y,width,height\nphotos/animals/cat.jpg,cat,10,20,30,40\nphotos/animals/cat.jpg,"bat, flying",0,0,451,300\n'
    assert (summary.path, summary.samples, summary.root, summary.data, sum(summary.left_out.values())) == (str(out), 2, None, None, 0)
    assert str(summary) == f"{out}: 2 samples"


def test_boxes_are_rounded_outwards_and_cut_off_at_the_border(coco: Coco) -> None:
    pairs = [
        ([10.2, 20.8, 5.0, 5.0], (10, 20, 6, 6)),  # 10.2..15.2, 20.8..25.8
        ([10.0, 20.0, 5.5, 0.01], (10, 20, 6, 1)),
        ([0.1, 0.7, 0.2, 0.2], (0, 0, 1, 1)),
        ([1.1, 2.2, 2.2 - 1.1 + 1.7, 1.1], (1, 2, 3, 2)),  # 1.1 + 2.8 = 3.9000000000000004 and 2.2 + 1.1 = 3.3000000000000003
        ([4.35, 0.1, 2.65, 0.2], (4, 0, 3, 1)),  # ends at 7, whatever 4.35 + 2.65 is
        ([9.9999, 9.0001, 2, 2], (10, 9, 2, 2)),  # within half a thousandth of whole numbers
        ([-3.5, -2, 10, 10], (0, 0, 7, 8)),
        ([440, 290, 100.5, 100.5], (440, 290, 11, 10)),
        ([450.5, 299.5, 0.25, 0.25], (450, 299, 1, 1)),
    ]
    _, out = build(coco([box for box, _ in pairs]))
    assert boxes(out) == [whole for _, whole in pairs]


def test_what_coco_leaves_out_is_counted(coco: Coco) -> None:
    path = coco([
        [1, 1, 50, 50], {"bbox": [2, 2, 50, 50], "iscrowd": 1}, [3, 3, 0, 50], [4, 4, 50, 0.0],
        [451, 0, 5, 5], [-9, 3, 9, 9], [5, 300.5, 5, 5], [6, 6, 9, 30], [7, 7, 10, 10],
    ])  # fmt: skip
    summary, out = build(path, min_size=10)
    assert boxes(out) == [(1, 1, 50, 50), (7, 7, 10, 10)]
    assert list(summary.left_out.values()) == [1, 2, 3, 1]
    assert str(summary).endswith(
        "2 samples; left out: 1 boxes around crowds; left out: 2 boxes without area; left out: 3 boxes outside of their images; left out: 1 boxes under min_size"
    )
    summary, out = build(path, crowd=True)
    assert boxes(out)[1] == (2, 2, 50, 50) and summary.samples == 4 and summary.left_out["boxes around crowds"] == 0


def test_labels_may_be_cocos_numbers(coco: Coco) -> None:
    _, out = build(coco([[1, 1, 5, 5], {"bbox": [2, 2, 5, 5], "category_id": 3}]), labels="ids")
    assert [row["label"] for row in rows(out)] == ["17", "3"]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        ({"id": 99, "bbox": [1, 2, 3]}, "annotation 99: bbox is [1, 2, 3]; four numbers"),
        ({"id": 99, "bbox": [1, 2, float("nan"), 4]}, "annotation 99: bbox is [1, 2, nan, 4]"),
        ({"id": 99, "bbox": [1, 2, float("inf"), 4]}, "annotation 99: bbox is [1, 2, inf, 4]"),
        ({"id": 99, "bbox": [1, 2, 3, -4]}, "annotation 99: bbox is [1, 2, 3, -4]"),
        ({"id": 99, "bbox": [1, "2", 3, 4]}, "annotation 99: bbox"),
        ({"id": 99}, "annotation 99: bbox is None"),
        ({"id": 99, "bbox": [1, 2, 3, 4], "image_id": 8}, "annotation 99: image_id 8 is none of the file's images"),
        ({"id": 99, "bbox": [1, 2, 3, 4], "image_id": [8]}, "annotation 99: image_id is [8]; a whole number"),
        ({"id": 99, "bbox": [1, 2, 3, 4], "category_id": 1}, "annotation 99: category_id 1 is none of the file's categories"),
        ({"id": None, "bbox": [1, 2, 3, 4]}, "annotations[1]: id is None"),
        ({"id": 99, "bbox": [1, 2, 3, 4], "image_id": True}, "annotation 99: image_id is True; a whole number"),
        ({"id": 99, "bbox": [1e308, 2, 1e308, 4]}, "annotation 99: bbox is [1e+308, 2, 1e+308, 4]"),
        ({"id": 99, "bbox": [1, 2, 10**400, 4]}, "annotation 99: bbox is [1, 2, 1000"),
    ],
)
def test_a_wrong_annotation_is_named_by_its_id(coco: Coco, annotation: dict[str, object], text: str) -> None:
    path = coco([[1, 1, 5, 5], annotation])
    with pytest.raises(ValueError) as caught:
        build(path)
    assert text in str(caught.value) and str(path) in str(caught.value)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["instances.json", "photos"]  # and nothing half written


def test_what_is_no_instances_file_is_refused(coco: Coco, tmp_path: Path) -> None:
    for text in ("", "[]", "{", "[" * 100_000, '{"images": [], "annotations": {}, "categories": []}', '{"images": [], "annotations": [3], "categories": []}'):
        (tmp_path / "odd.json").write_text(text)
        with pytest.raises(ValueError, match=r"odd\.json: "):
            build(tmp_path / "odd.json")
    with pytest.raises(ValueError, match="there is no sample to write"):
        build(coco([]))
    with pytest.raises(ValueError, match="image 7 is 451 x None pixels large"):
        build(coco([[1, 1, 5, 5]], images=[{"id": 7, "file_name": "a.jpg", "width": 451}]))
    image = {"id": 7, "file_name": "a.jpg", "width": 451, "height": 300}
    for parts, message in (
        ({"images": [{"id": 7, "width": 451, "height": 300}]}, "image 7: file_name is None"),
        ({"images": [{"id": "7"}]}, r"images\[0\]: id is '7'; a whole number"),
        ({"images": [image, image | {"file_name": "b.jpg"}]}, r"images\[1\]: id 7 belongs to another one before it"),
        ({"categories": [{"id": 17}]}, "category 17: name is None"),
        ({"categories": [{"id": 17, "name": ""}]}, "category 17: name is ''"),
        ({"categories": [{"id": 17, "name": "cat"}, {"id": 17, "name": "dog"}]}, r"categories\[1\]: id 17 belongs to another"),
    ):
        with pytest.raises(ValueError, match=message):
            build(coco([[1, 1, 5, 5]], **parts))
    assert build(coco([[1, 1, 5, 5]], images=[image, image]))[0].samples == 1  # the same twice is no contradiction
    build(coco([[1, 1, 5, 5]], categories=[{"id": 17}]), labels="ids")
    with pytest.raises(ValueError, match="instances.json: all its boxes are left out: 1 boxes around crowds, 2 boxes without area"):
        build(coco([{"bbox": [1, 1, 5, 5], "iscrowd": 1}, [1, 1, 0, 5], [1, 1, 5, 0]]))
    with pytest.raises(ValueError, match="instances.json: annotation 0: .*/a.jpg does not lie below"):
        build(coco([[1, 1, 5, 5]], images=[image | {"file_name": "../../a.jpg"}]))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        build(tmp_path / "nowhere.json")


def test_the_shell_command_does_the_same(coco: Coco, tmp_path: Path) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "cropring.manifest", *map(str, words)], capture_output=True, text=True, timeout=WATCHDOG_S)

    path, out = coco([[1, 1, 5, 5], {"bbox": [2, 2, 9, 9], "iscrowd": 1}]), tmp_path / "out.csv"
    done = run("coco", path, out, "--images", tmp_path / "photos", "--labels", "ids")
    assert (done.returncode, done.stderr) == (0, "") and "1 samples" in done.stdout and "1 boxes around crowds" in done.stdout
    assert out.read_text() == "path,label,x,y,width,height\nphotos/animals/cat.jpg,17,1,1,5,5\n"
    done = run("coco", path, tmp_path / "out.txt", "--images", ".")
    assert done.returncode == 2 and "out.txt: a manifest's name ends in .csv or .jsonl" in done.stderr
    done = run("coco", tmp_path / "no.json", out, "--images", ".")
    assert done.returncode == 1 and "no.json" in done.stderr and "Traceback" not in done.stderr
    assert run().returncode == 2 and run("--help").returncode == 0


# ---------------------------------------------------------------- any samples


def test_every_column_is_written_in_its_order(tmp_path: Path) -> None:
    sample = {"weight": 2, "target": "m.png", "length": 5, "offset": 3, "scale": 0.5, "y": 0.25, "x": 1, "label": -1, "path": Path("a.jpg")}
    manifest.from_samples([sample], tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text() == "path,label,x,y,scale,offset,length,target,weight\na.jpg,-1,1.0,0.25,0.5,3,5,m.png,2.0\n"
    manifest.from_samples([sample], tmp_path / "s.jsonl")
    line = json.loads((tmp_path / "s.jsonl").read_text())
    assert line == {"path": "a.jpg", "label": -1, "x": 1, "y": 0.25, "scale": 0.5, "offset": 3, "length": 5, "target": "m.png", "weight": 2}


def test_a_sample_may_have_no_label(tmp_path: Path) -> None:
    samples = [{"path": "a", "label": None}, {"path": "b", "label": "cat"}]
    manifest.from_samples(samples, tmp_path / "s.csv")
    manifest.from_samples(samples, tmp_path / "s.jsonl")
    assert (tmp_path / "s.csv").read_text() == "path,label\na,\nb,cat\n"
    assert (tmp_path / "s.jsonl").read_text() == '{"path": "a"}\n{"path": "b", "label": "cat"}\n'


def test_a_manifest_of_a_million_samples_is_never_in_memory(tmp_path: Path) -> None:
    taken = 0

    def samples() -> object:
        nonlocal taken
        for taken in range(20_000):
            yield {"path": f"{taken}.jpg"}
            if taken == 10_000:
                assert sum(entry.stat().st_size for entry in tmp_path.iterdir()) > 10_000  # written while we still give

    assert manifest.from_samples(samples(), tmp_path / "s.csv").samples == 20_000  # type: ignore[arg-type]


def test_paths_are_relative_below_the_manifest_and_absolute_elsewhere(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    (home / "photos").mkdir(parents=True)
    other.mkdir()
    out = home / "s.csv"

    def first(path: str, images: Path | None) -> tuple[str, str | None]:
        summary = manifest.from_samples([{"path": path}], out, images=images)
        return rows(out)[0]["path"], summary.root

    assert first("a.jpg", None) == ("a.jpg", None)
    assert first("a/../b.jpg", None) == ("b.jpg", None)
    assert first("a.jpg", home / "photos") == ("photos/a.jpg", None)
    assert first(f"{home}/photos/a.jpg", None) == ("photos/a.jpg", None)
    assert first("a.jpg", other) == (f"{other}/a.jpg", str(other))
    assert str(manifest.Summary("s.csv", 1, root="/data")).endswith("load it with --root /data")
    for path, images in (("../a.jpg", None), ("../a.jpg", other), (f"{tmp_path}/homely/a.jpg", None), ("/a.jpg", other)):
        with pytest.raises(ValueError, match="sample 0: .* does not lie below"):
            first(path, images)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"path": "a\0b"}, "'path' is 'a\\x00b'; text without a NUL"), ({"label": "\0"}, "'label' is '\\x00'"), ({"path": "."}, "is a folder; an image in it"),
        ({"label": 2**63}, "'label' is 9223372036854775808"), ({"width": 2**31}, "'width' is 2147483648; a whole number from 1 to 2147483647"),
        ({"offset": 2**63}, "'offset' is"), ({"path": ""}, "'path' is ''"), ({"path": 3}, "'path' is 3"), ({"path": b"a"}, "'path' is b'a'"),
        ({"label": ""}, "'label' is ''"), ({"label": 1.5}, "'label' is 1.5"), ({"label": True}, "'label' is True"),
        ({"x": -1}, "'x' is -1; a whole number from 0 to"), ({"width": 0}, "'width' is 0; a whole number from 1 to"), ({"y": "3"}, "'y' is '3'"),
        ({"height": 2.0}, "'height' is 2.0"), ({"weight": -1}, "'weight' is -1"), ({"weight": float("nan")}, "'weight' is nan"), ({"weight": "1"}, "'weight'"),
        ({"length": 0}, "'length' is 0"), ({"offset": None}, "'offset' is None"), ({"target": None}, "'target' is None"),
        ({"colour": 1}, "'colour' is new"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_sample(tmp_path: Path, change: dict[str, object], text: str) -> None:
    good = {"path": "a", "label": "b", "x": 0, "y": 0, "width": 1, "height": 1, "offset": 0, "length": 1, "target": "c", "weight": 0}
    with pytest.raises(ValueError) as caught:
        manifest.from_samples([good, good, good | change], tmp_path / "s.csv")
    assert "sample 2: " in str(caught.value) and text in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_json_takes_no_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sample 0: 'path' is 'caf.*', which is no UTF-8, as JSON has to be; write a .csv"):
        manifest.from_samples([{"path": os.fsdecode(b"caf\xe9.jpg")}], tmp_path / "s.jsonl")


def test_what_is_no_dict_and_places_that_are_none_are_refused(tmp_path: Path) -> None:
    for samples in (["a.jpg"], [("a.jpg", 3)], {"path": "a.jpg"}):
        with pytest.raises(ValueError, match=r"^sample 0: .*; a dict is expected"):
            manifest.from_samples(samples, tmp_path / "s.csv")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="images: .*nowhere is no folder"):
        manifest.from_samples([{"path": "a"}], tmp_path / "s.csv", images=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="there is no such folder to write to: '.*/nowhere'"):
        manifest.from_samples([{"path": "a"}], tmp_path / "nowhere" / "s.csv")
    (tmp_path / "s.csv").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a folder cannot be replaced by a manifest: '.*s\.csv'"):
        manifest.from_samples([{"path": "a"}], tmp_path / "s.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.csv"]


@pytest.mark.parametrize(
    "sample",
    [{"label": 1}, {"path": "a", "colour": 1}, {"path": "a", "x": 1}, {"path": "a", "scale": 1}, {"path": "a", "offset": 1},
     {"path": "a", "x": 1, "y": 1, "width": 1, "height": 1, "scale": 1}, {"path": "a", "x": 0.5, "y": 1.5, "scale": 1}],
)  # fmt: skip
def test_a_sample_of_another_kind_is_refused(tmp_path: Path, sample: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="^sample 0: "):
        manifest.from_samples([sample], tmp_path / "s.csv")
    with pytest.raises(ValueError, match="^sample 1: 'label' is missing"):
        manifest.from_samples([{"path": "a", "label": 1}, {"path": "a"}], tmp_path / "s.csv")


def test_an_earlier_manifest_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    out.write_text("of an earlier run")
    with pytest.raises(ValueError):
        manifest.from_samples([{"path": "a"}, {}], out)
    assert out.read_text() == "of an earlier run" and len(list(tmp_path.iterdir())) == 1
    manifest.from_samples([{"path": os.fsdecode(b"caf\xe9.jpg")}], out)  # a name that is no UTF-8
    assert out.read_bytes() == b"path\ncaf\xe9.jpg\n" and len(list(tmp_path.iterdir())) == 1
