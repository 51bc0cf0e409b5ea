"""Manifests: the same samples from every format, boxes and windows as Pillow cuts them, and errors that name the place."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_determinism import digest

import cropring

Load = Callable[..., cropring.Loader]
Command = Callable[..., subprocess.CompletedProcess[str]]
Row = dict[str, object]


def write_csv(path: Path, rows: list[Row], newline: str = "\n") -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator=newline)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_tsv(path: Path, rows: list[Row]) -> Path:
    lines = ["\t".join(rows[0]), *("\t".join(str(value) for value in row.values()) for row in rows)]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def write_jsonl(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


WRITERS = {".csv": write_csv, ".tsv": write_tsv, ".jsonl": write_jsonl}


def rows_of(photos: Path, column: str = "path") -> list[Row]:
    """Class folders in ImageFolder's order."""
    files = sorted(path.relative_to(photos) for path in photos.glob("*/*"))
    return [{column: str(path), "label": path.parent.name, "text": 'a "photo", or\u00e4'} for path in files]


@pytest.mark.parametrize("flags", [{"shuffle": False}, {"seed": 5}], ids=str)
def test_one_epoch_is_the_same_from_every_format(load: Load, photos: Path, tmp_path: Path, flags: dict[str, object]) -> None:
    rows, metadata = rows_of(photos), rows_of(photos, "file_name")
    for name in ("hf_csv", "hf_jsonl"):
        shutil.copytree(photos, tmp_path / name)
    (tmp_path / "hf_csv/not_listed.jpg").write_bytes(b"no image")
    write_csv(tmp_path / "hf_csv/metadata.csv", metadata)
    write_jsonl(tmp_path / "hf_jsonl/metadata.jsonl", metadata)
    sources: dict[str, tuple[Path, dict[str, object]]] = {
        "csv": (write_csv(tmp_path / "a.csv", rows, "\r\n"), {"root": photos}),
        "tsv": (write_tsv(tmp_path / "a.tsv", rows), {"root": photos}),
        "jsonl": (write_jsonl(tmp_path / "a.jsonl", rows), {"root": photos}),
        "absolute": (write_csv(tmp_path / "b.csv", [row | {"path": photos / str(row["path"])} for row in rows]), {"root": photos}),
        "metadata.csv": (tmp_path / "hf_csv", {}),
        "metadata.jsonl": (tmp_path / "hf_jsonl", {}),
        "beside": (tmp_path / "hf_csv/metadata.csv", {}),
    }
    folder = load(photos, tail="partial", **flags)
    expected = digest(folder)
    for name, (source, root) in sources.items():
        loader = load(source, tail="partial", **root, **flags)
        assert loader.classes == folder.classes and loader.labels.tolist() == folder.labels.tolist(), name
        assert [os.path.relpath(path, photos if root else loader.dataset.root) for path in loader.paths] == [row["path"] for row in rows], name
        assert digest(loader) == expected, name


def test_a_table_without_labels_and_one_of_numbers(load: Load, photos: Path, tmp_path: Path) -> None:
    files = [row["path"] for row in rows_of(photos)]
    loader = load(write_csv(tmp_path / "a.csv", [{"path": path} for path in files]), root=photos)
    assert loader.classes == [] and set(loader.labels.tolist()) == {-1}
    loader = load(write_csv(tmp_path / "b.csv", [{"label": 1000 - n, "path": path} for n, path in enumerate(files)]), root=photos)
    assert loader.classes == [] and loader.labels.tolist() == [1000 - n for n in range(len(files))]
    assert all(label == 1000 - index for batch in loader for label, index in zip(batch.labels, batch.index))


def test_images_may_lie_one_behind_the_other_in_a_file(load: Load, photos: Path, tmp_path: Path) -> None:
    rows: list[Row] = []
    with open(tmp_path / "all.bin", "wb") as file:
        for row in rows_of(photos):
            content = (photos / str(row["path"])).read_bytes()
            rows.append({"path": "all.bin", "label": row["label"], "offset": file.tell(), "length": len(content)})
            file.write(content)
    expected = digest(load(photos, tail="partial", seed=3))
    for ending, write in WRITERS.items():
        assert digest(load(write(tmp_path / f"a{ending}", rows), tail="partial", seed=3)) == expected, ending


# ---------------------------------------------------------------- boxes


def cuts(loader: cropring.Loader) -> Iterator[tuple[int, np.ndarray, tuple[int, int, int, int]]]:
    """Sample number, pixels, and box of each row of an epoch."""
    for batch in loader:
        assert not np.any(batch.status)
        yield from ((int(index), pixels, tuple(box.tolist())) for index, pixels, box in zip(batch.index, batch.images, batch["box"]))


def pillow(path: Path, box: tuple[int, int, int, int]) -> np.ndarray:
    x, y, width, height = box
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").crop((x, y, x + width, y + height)).resize((32, 32), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("ending", WRITERS)
def test_boxes_are_cut_as_pillow_cuts_them(load: Load, photos: Path, tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(7)
    rows = []
    for row in rows_of(photos):
        with Image.open(photos / str(row["path"])) as image:
            sides = image.size
        for _ in range(4):
            (x, width), (y, height) = ((begin, int(rng.integers(1, side - begin + 1))) for side in sides for begin in [int(rng.integers(side))])
            rows.append({"path": row["path"], "x": x, "y": y, "width": width, "height": height})
    source = WRITERS[ending](tmp_path / f"a{ending}", rows)
    seen = 0
    for index, pixels, box in cuts(load(source, root=photos, crop="box", hflip=0, tail="partial")):
        row = rows[index]
        assert box == (row["x"], row["y"], row["width"], row["height"])
        np.testing.assert_array_equal(pixels, pillow(photos / str(row["path"]), box), err_msg=str(row))
        seen += 1
    assert seen == len(rows)


@pytest.mark.parametrize("ending", WRITERS)
def test_windows_are_cut_as_the_rule_says(load: Load, photos: Path, tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(8)
    rows = [
        {"path": row["path"], "scale": scale, "y": y, "x": x}
        for row in rows_of(photos)
        for x, y, scale in [*rng.random((3, 3)).round(6).tolist(), [0.0, 1, 1], [1, 0, 0.0]]
    ]
    source = WRITERS[ending](tmp_path / f"a{ending}", rows)
    one, seen = np.float32(1), 0
    for index, pixels, box in cuts(load(source, root=photos, crop="window", max_img_percent=0.5, hflip=0, tail="partial")):
        row = rows[index]
        with Image.open(photos / row["path"]) as image:
            sides = image.size
        scale = min(np.float32(row["scale"]), np.float32(0.5))
        extents = [max(2, int(np.float32(side) * one * scale)) for side in sides]
        corner = [min(int(np.float32(row[axis]) * np.float32(side)), side - extent) for axis, side, extent in zip("xy", sides, extents)]
        assert box == (*corner, *extents), row
        np.testing.assert_array_equal(pixels, pillow(photos / str(row["path"]), box), err_msg=str(row))
        seen += 1
    assert seen == len(rows)


def test_a_rule_that_needs_boxes_says_where_they_come_from(load: Load, photos: Path, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "a.csv", rows_of(photos))
    with pytest.raises(ValueError, match="tells no boxes; a manifest with the columns x, y, width and height does"):
        load(source, root=photos, crop="box")


def test_a_box_beyond_its_picture_is_a_bad_sample(load: Load, photos: Path, tmp_path: Path) -> None:
    rows = [{"path": "animals/cat.jpg", "x": x, "y": 0, "width": 2**31 - 1, "height": 2**31 - 1} for x in (0, 2**31 - 1)]
    loader = load(write_csv(tmp_path / "a.csv", rows), root=photos, crop="box", batch_size=2, on_error="zero")
    batch = next(iter(loader))
    assert [cropring.Status(status).name for status in batch.status] == ["BAD_BOX"] * 2 and not batch.images.any()


# ---------------------------------------------------------------- errors


def test_a_malformed_line_is_named(load: Load, command: Command, tmp_path: Path) -> None:
    source = tmp_path / "train.csv"
    source.write_text("path,x,y,width,height\na.jpg,0,0,1,1\nb.jpg,0,0,12a,1\n")
    expected = f'{source}:3:11: column "width": "12a" is not a whole number of pixels from 1 to 2147483647'
    with pytest.raises(cropring.SourceError, match="^.*$") as raised:
        load(source)
    assert str(raised.value) == expected and raised.value.errno == errno.EINVAL
    result = command("serve", source)
    assert result.returncode == 2 and result.stderr == f"cropring: error: {expected}\n" and result.stdout == ""


def test_a_manifest_that_cannot_be_opened_is_named(load: Load, tmp_path: Path) -> None:
    with pytest.raises(cropring.SourceError, match=r"missing\.csv: cannot open this manifest: No such file"):
        load(tmp_path / "missing.csv")
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(cropring.SourceError, match="a manifest is a regular file, and this is none"):
        load(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("path\na.jpg\n")
    with pytest.raises(cropring.SourceError, match="nowhere: cannot open this folder, at which the manifest's paths begin"):
        load(tmp_path / "b.csv", root=tmp_path / "nowhere")
    (tmp_path / "c.csv").write_text("path\n")
    with pytest.raises(cropring.SourceError, match="no sample is in it") as raised:
        load(tmp_path / "c.csv")
    assert raised.value.errno == errno.ENODATA


def test_a_path_outside_of_the_root_names_the_flag(load: Load, photos: Path, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "a.csv", [{"path": photos / "animals/cat.jpg"}])
    with pytest.raises(cropring.SourceError, match=r"a\.csv:2:1: column .*cat\.jpg.* does not lie in .*; name a folder above it with --root"):
        load(source)
    assert load(source, root="/", batch_size=1).paths[0] == str(photos / "animals/cat.jpg")


def test_a_folder_has_no_root_but_itself(load: Load, photos: Path) -> None:
    with pytest.raises(cropring.SourceError, match="--root .*: that is where the paths of a manifest begin, but .* is none"):
        load(photos, root=photos)


def test_columns_that_mean_nothing_are_told_once_under_v(command: Command, photos: Path, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "a.csv", rows_of(photos))
    words = ["serve", source, "--root", photos, "--start-sample", "1000"]
    assert "mean nothing" not in command(*words).stderr
    assert command(*words, "-v").stderr.count(f'{source}: columns that mean nothing here: "text"') == 1


def test_a_missing_file_is_a_bad_sample(load: Load, photos: Path, tmp_path: Path) -> None:
    rows: list[Row] = [{"path": "animals/cat.jpg"}, {"path": "animals/none.jpg"}]
    batch = next(iter(load(write_csv(tmp_path / "a.csv", rows), root=photos, batch_size=2, shuffle=False, on_error="zero")))
    assert [cropring.Status(status).name for status in batch.status] == ["OK", "MISSING"]


# ---------------------------------------------------------------- links, in the sandbox


def test_files_that_are_links_to_one_place_are_read(load: Load, photos: Path, tmp_path: Path) -> None:
    """As in Hugging Face's cache: a snapshot's files are links to ../../blobs."""
    rows = rows_of(photos, "file_name")
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/main"
    blobs.mkdir()
    for number, row in enumerate(rows):
        shutil.copy(photos / str(row["file_name"]), blobs / str(number))
        link = snapshot / str(row["file_name"])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    write_csv(blobs / "metadata", rows)
    (snapshot / "metadata.csv").symlink_to("../../blobs/metadata")
    expected = digest(load(photos, tail="partial"))
    assert digest(load(snapshot, tail="partial")) == expected
    for _ in range(2):  # makes the index, and takes it
        assert digest(load(snapshot, tail="partial", index=tmp_path / "kept.cropidx")) == expected


@pytest.mark.parametrize("io", ["auto", "pread"])
def test_a_link_that_nobody_expected_is_not_followed(load: Load, photos: Path, tmp_path: Path, io: str) -> None:
    (tmp_path / "set").mkdir()
    shutil.copy(photos / "animals/cat.jpg", tmp_path / "set/cat.jpg")
    shutil.copy(photos / "animals/cat.jpg", tmp_path / "secret.jpg")
    (tmp_path / "set/link.jpg").symlink_to("../secret.jpg")
    (tmp_path / "set/inner.jpg").symlink_to("cat.jpg")
    # Of 300 files 256 are looked at, and these two are not.
    names = [{6: "link.jpg", 13: "inner.jpg"}.get(number, "cat.jpg") for number in range(300)]
    source = write_csv(tmp_path / "set/a.csv", [{"path": name} for name in names])
    flags: dict[str, object] = {"batch_size": 20, "shuffle": False, "on_error": "zero", "io": io, "crop": "resize"}
    batch = next(iter(load(source, **flags)))
    assert [cropring.Status(status).name for status in batch.status] == ["OK" if n != 6 else "UNREADABLE" for n in range(20)]
    above = write_csv(tmp_path / "above.csv", [{"path": f"set/{name}"} for name in names])
    assert not np.any(next(iter(load(above, **flags))).status)  # the remedy: a root above both
