"""One epoch, however its samples are told: folder, tables, shards, a kept index, packs, a sampler."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from test_determinism import digest

import cropring
from cropring._cli import executable

FLAGS = {"batch_size": 7, "size": 40, "tail": "partial", "epochs": 1, "seed": 11}
Source = tuple[Path, dict[str, object]]


def shards(photos: Path, files: list[Path], folder: Path) -> Path:
    """Two tar files with the class numbers beside the images."""
    folder.mkdir()
    classes = sorted({file.parent.name for file in files})
    for number, part in enumerate((files[:10], files[10:])):
        with tarfile.open(folder / f"all-{number:02}.tar", "w") as tar:
            for file in part:
                key = f"{files.index(file):04}"
                label = str(classes.index(file.parent.name)).encode()
                for name, content in ((f"{key}.cls", label), (f"{key}{file.suffix}", (photos / file).read_bytes())):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return folder


def pack(source: Path, made: Path, *flags: str) -> Path:
    subprocess.run([executable(), "pack", source, made, "--quiet", *flags], check=True)
    return made


def sources(photos: Path, folder: Path) -> dict[str, Source]:
    files = sorted(path.relative_to(photos) for path in photos.glob("*/*"))
    rows = [{"path": str(file), "label": file.parent.name} for file in files]
    for name, delimiter in (("all.csv", ","), ("all.tsv", "\t")):
        with open(folder / name, "w", newline="") as file:
            writer = csv.DictWriter(file, ["path", "label"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    packed = shards(photos, files, folder / "shards")
    root: dict[str, object] = {"root": photos}
    return {
        "folder": (photos, {}),
        "csv": (folder / "all.csv", root),
        "tsv": (folder / "all.tsv", root),
        "jsonl": (folder / "all.jsonl", root),
        "tar": (packed, {}),
        "pattern": (folder / "shards/all-{00..01}.tar", {}),
        "kept": (photos, {"index": folder / "kept.cropidx"}),
        "kept, again": (photos, {"index": folder / "kept.cropidx"}),
        "index": (folder / "kept.cropidx", {}),
        "pack": (pack(photos, folder / "folder.pack"), {}),
        "pack of a table": (pack(folder / "all.jsonl", folder / "table.pack", f"--root={photos}"), {}),
        "pack of shards": (pack(packed, folder / "tar.pack", "--shard-bytes=600K"), {}),
    }


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_source_gives_the_same_batches(load: Callable[..., cropring.Loader], photos: Path, tmp_path: Path, shuffle: bool) -> None:
    digests = {}
    for name, (source, flags) in sources(photos, tmp_path).items():
        loader = load(source, **FLAGS, shuffle=shuffle, **flags)
        digests[name] = digest(loader)
        if name == "csv":
            order = [int(index) for batch in load(source, **FLAGS, shuffle=shuffle, **flags) for index in batch.index]
            assert len(order) == len(loader.paths)
            digests["sampler"] = digest(load(photos, **FLAGS, sampler=order))
    for name, batches in digests.items():
        assert batches == digests["folder"], name
