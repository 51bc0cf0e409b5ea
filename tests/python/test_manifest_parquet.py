"""from_parquet(): columns with paths, and images within the Parquet."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import WATCHDOG_S
from cropring import manifest
from test_manifest_builders import rows

pa = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
import pyarrow.parquet as pq  # noqa: E402


def class_labels(*names: str) -> dict[bytes, bytes]:
    features = {"label": {"names": list(names), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def embedded(photos: Path, path: Path, count: int, *, label: str = "label") -> list[Path]:
    """A file as Hugging Face writes them, in row groups of 3."""
    files = sorted(file for file in photos.rglob("*") if file.is_file())[:count]
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    table = pa.table({"image": images, label: [number % 3 for number in range(count)]}).replace_schema_metadata(class_labels("wolf", "ant", "7"))
    pq.write_table(table, path, row_group_size=3)
    return files


def test_columns_of_paths_become_a_manifest(tmp_path: Path) -> None:
    table = pa.table({"path": ["a/1.jpg", "b/2.jpg"], "label": ["dog", "cat"], "x": [1, 2], "y": [3, 4], "width": [5, 6], "height": [7, 8], "note": ["", None]})
    pq.write_table(table, tmp_path / "t.parquet")
    summary = manifest.from_parquet(tmp_path / "t.parquet", tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "path,label,x,y,width,height\na/1.jpg,dog,1,3,5,7\nb/2.jpg,cat,2,4,6,8\n"
    assert (summary.samples, summary.data, summary.root) == (2, None, None)


def test_columns_may_have_other_names(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = pa.table({"file": ["1.jpg"], "px": [0.25], "y": [0.5], "s": pa.array([1.0], pa.float32()), "label": [9], "kind": pa.array(["x"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "t.parquet")
    other = tmp_path_factory.mktemp("other")
    summary = manifest.from_parquet(
        [tmp_path / "t.parquet"] * 2, tmp_path / "t.csv", columns={"path": "file", "x": "px", "scale": "s", "label": "kind"}, images=other
    )
    assert rows(tmp_path / "t.csv") == [{"path": f"{other}/1.jpg", "label": "x", "x": "0.25", "y": "0.5", "scale": "1.0"}] * 2
    assert summary.root == str(other)


def test_a_box_a_window_or_a_place_is_taken_as_a_whole_only(tmp_path: Path) -> None:
    def keys(**columns: object) -> list[str]:
        pq.write_table(pa.table({name: [value] for name, value in columns.items()}), tmp_path / "t.parquet")
        manifest.from_parquet(tmp_path / "t.parquet", tmp_path / "t.csv")
        return list(rows(tmp_path / "t.csv")[0])

    assert keys(path="a", width=3, height=4) == ["path"]  # the size of the image
    assert keys(path="a", x=1, y=1, width=3, offset=4) == ["path"]
    assert keys(path="a", x=0.5, y=1.0, scale=0.5, width=3) == ["path", "x", "y", "scale"]
    assert keys(path="a", x=1, y=1, scale=0.5, width=3, height=4) == ["path", "x", "y", "width", "height"]
    assert keys(path="a", offset=0, length=4, scale=0.5, weight=1) == ["path", "offset", "length", "weight"]
    assert keys(image="a.jpg", label=1) == ["path", "label"]  # text is a path
    assert keys(image=b"bytes", path="a.jpg", width=3) == ["path", "offset", "length"] and rows(tmp_path / "t.csv")[0]["path"] == "t.data"


def test_images_within_the_file_are_copied_beside_the_manifest(tmp_path: Path, photos: Path) -> None:
    files = embedded(photos, tmp_path / "t.parquet", 8)
    summary = manifest.from_parquet(tmp_path / "t.parquet", tmp_path / "t.csv")
    assert summary.samples == 8 and summary.data == str(tmp_path / "t.data")
    data = (tmp_path / "t.data").read_bytes()
    for number, (row, file) in enumerate(zip(rows(tmp_path / "t.csv"), files, strict=True)):
        begin = int(row["offset"])
        assert row["path"] == "t.data" and data[begin : begin + int(row["length"])] == file.read_bytes()
        assert row["label"] == ("wolf", "ant", "7")[number % 3]
    assert len(data) == sum(file.stat().st_size for file in files)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["t.csv", "t.data", "t.parquet"]


def test_a_plain_binary_column_and_several_files(tmp_path: Path) -> None:
    for name, content in (("a", [b"one", b"three"]), ("b", [b"x"])):
        pq.write_table(pa.table({"img": content, "label": [4] * len(content)}), tmp_path / f"{name}.parquet")
    manifest.from_parquet([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "t.jsonl", columns={"image": "img"})
    assert (tmp_path / "t.data").read_bytes() == b"onethreex"
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [(line["offset"], line["length"], line["label"]) for line in lines] == [(0, 3, 4), (3, 5, 4), (8, 1, 4)]


def test_labels_of_hugging_face_may_stay_numbers(tmp_path: Path, photos: Path) -> None:
    embedded(photos, tmp_path / "t.parquet", 4)
    manifest.from_parquet(tmp_path / "t.parquet", tmp_path / "t.csv", labels="ids")
    assert [row["label"] for row in rows(tmp_path / "t.csv")] == ["0", "1", "2", "0"]


def test_rows_without_a_label_have_none(tmp_path: Path) -> None:
    table = pa.table({"path": ["a", "b", "c"], "label": [0, -1, None]}).replace_schema_metadata(class_labels("cat"))
    pq.write_table(table, tmp_path / "t.parquet")
    manifest.from_parquet(tmp_path / "t.parquet", tmp_path / "t.csv")
    assert [row["label"] for row in rows(tmp_path / "t.csv")] == ["cat", "", ""]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """96 MB of images in row groups of 2 MB, in a process that may grow by 48 MB once everything is imported."""
    blob = bytes(64 << 10)
    with pq.ParquetWriter(tmp_path / "t.parquet", pa.schema({"image": pa.binary()}), compression="none", use_dictionary=False) as writer:
        for _ in range(48):
            writer.write_table(pa.table({"image": [blob] * 32}, schema=writer.schema))
    program = """if True:
        import resource, sys
        import pyarrow.parquet
        from cropring import manifest
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pyarrow.parquet.ParquetFile(sys.argv[1]).read_row_group(0)
        before = peak()
        manifest.from_parquet(sys.argv[1], sys.argv[2])
        print((peak() - before) // 1024)
    """
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "t.parquet", tmp_path / "t.csv"], capture_output=True, text=True, timeout=WATCHDOG_S)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 48 and (tmp_path / "t.data").stat().st_size == 48 * 32 * len(blob)


def test_paths_may_be_a_dictionarys(tmp_path: Path) -> None:
    for name in ("path", "image"):
        pq.write_table(pa.table({name: pa.array(["a.jpg", "b.jpg", "a.jpg"]).dictionary_encode()}), tmp_path / "t.parquet")
        manifest.from_parquet(tmp_path / "t.parquet", tmp_path / "t.csv")
        assert (tmp_path / "t.csv").read_text() == "path\na.jpg\nb.jpg\na.jpg\n"


def test_what_cannot_be_right_is_named(tmp_path: Path) -> None:
    path, out = tmp_path / "t.parquet", tmp_path / "t.csv"

    def refused(table: object, text: str, **flags: object) -> None:
        pq.write_table(table, path)
        with pytest.raises(ValueError) as caught:
            manifest.from_parquet(path, out, **flags)  # type: ignore[arg-type]
        assert text in str(caught.value)
        assert [entry.name for entry in tmp_path.iterdir()] == ["t.parquet"]

    refused(pa.table({"jpg": [b"a"]}), "it has neither a column 'path' nor one 'image', and `columns` tells none; there are jpg")
    refused(pa.table({"path": ["a"]}), "it has no column 'fine'; there are path", columns={"label": "fine"})
    refused(pa.table({"path": ["a"]}), "'colour' is not a column of a manifest", columns={"colour": "path"})
    refused(pa.table({"path": ["a", None]}), "t.parquet: row 1: 'path' is None")
    refused(pa.table({"path": ["a", "b"], "label": [1.0, 2.0]}), "t.parquet: row 0: 'label' is 1.0; a name, a whole number")
    refused(pa.table({"path": ["a"], "x": [1.5], "y": [0.0], "width": [3.0], "height": [4.0]}), "row 0: 'x' is 1.5; a whole number")
    refused(pa.table({"image": [[b"a"]]}), "row 0: 'image' holds no image but [b'a']")
    refused(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["path", "path"]), "several of its columns are called 'path'")
    refused(pa.table({"image": [b"a", None]}), "t.parquet: row 1: 'image' holds no image but None")
    refused(pa.table({"image": [{"bytes": None, "path": "a.jpg"}]}), "row 0: 'image' holds no image but {'bytes': None, 'path': 'a.jpg'}")
    refused(pa.table({"image": [3]}), "row 0: 'image' holds no image but 3")
    refused(pa.table({"image": [b"a"]}), "`images` is for paths", images=tmp_path)
    refused(pa.table({"path": pa.array([], pa.string())}), "there is no sample to write")
    labelled = pa.table({"path": ["a", "b"], "label": [0, 1]}).replace_schema_metadata(class_labels("cat"))
    refused(labelled, "row 1: label 1 is none of the 1 that have names; labels='ids'")
    labelled = pa.table({"path": ["a"], "label": [-2]}).replace_schema_metadata(class_labels("cat", "dog", "cow"))
    refused(labelled, "row 0: label -2 is none of the 3")
    refused(pa.table({"path": ["a"], "x": [3]}), "x are neither a box", columns={"x": "x"})
    path.write_bytes(b"no parquet")
    with pytest.raises(ValueError, match=r"t\.parquet"):
        manifest.from_parquet(path, out)
    pq.write_table(pa.table({"path": ["a"]}), path)
    pq.write_table(pa.table({"path": [3]}), tmp_path / "u.parquet")
    with pytest.raises(ValueError, match=r"u\.parquet: its columns path are not those of .*t\.parquet"):
        manifest.from_parquet([path, tmp_path / "u.parquet"], out)


def test_an_earlier_manifest_never_names_places_in_the_new_data(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens between the moments in which the data and the manifest take their names."""
    embedded(photos, tmp_path / "t.parquet", 4)
    manifest.from_parquet(tmp_path / "t.parquet", tmp_path / "t.csv")
    replace = os.replace

    def fail_for_the_manifest(part: str, path: Path | str) -> None:
        if str(path).endswith(".csv"):
            raise OSError("the machine stops here")
        replace(part, path)

    monkeypatch.setattr(os, "replace", fail_for_the_manifest)
    with pytest.raises(OSError, match="stops here"):
        manifest.from_parquet(tmp_path / "t.parquet", tmp_path / "t.csv")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["t.data", "t.parquet"]


def test_the_shell_command_takes_columns(tmp_path: Path, photos: Path) -> None:
    embedded(photos, tmp_path / "t.parquet", 3)
    words = ["parquet", "t.parquet", "t.parquet", "out.csv", "--labels", "ids", "--column", "label=label", "--column", "image=image"]
    done = subprocess.run([sys.executable, "-m", "cropring.manifest", *words], cwd=tmp_path, capture_output=True, text=True, timeout=WATCHDOG_S)
    assert done.returncode == 0 and done.stdout == "out.csv: 6 samples, images in out.data\n", done.stderr
    with (tmp_path / "out.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 7


def test_without_pyarrow_the_error_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['pyarrow'] = None; from cropring import manifest; manifest.from_parquet('a.parquet', 'b.csv')"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=WATCHDOG_S)
    assert done.returncode == 1 and "pip install pyarrow" in done.stderr
