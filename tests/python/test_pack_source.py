"""A pack as a source: the epochs of what was packed, byte for byte, whatever the flags.

What is compared with a folder or a table here is made by `cropring pack` from it.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_determinism import FIELDS, digest
from variants import write_variants

import cropring
from conftest import PHOTOS, Server
from cropring import SourceError
from cropring._cli import executable

Load = Callable[..., cropring.Loader]
FLAGS = {"batch_size": 7, "size": 40, "tail": "partial", "epochs": 1, "seed": 11}


def make_pack(source: Path, pack: Path, *flags: str) -> Path:
    subprocess.run([executable(), "pack", source, pack, *flags, "--quiet"], stdin=subprocess.DEVNULL, check=True, timeout=120)
    return pack


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All kinds of images that are read, the photographs, and damaged ones, in class folders."""
    folder = tmp_path_factory.mktemp("packed") / "set"
    write_variants(folder)
    shutil.copytree(PHOTOS, folder, dirs_exist_ok=True)
    whole = (PHOTOS / "space/rocket.jpg").read_bytes()
    (folder / "space/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "space/empty.jpg").write_bytes(b"")
    (folder / "space/text.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def packs(everything: Path) -> dict[str, Path]:
    """That folder in one file, in shards, in small segments, and with its metadata."""
    ways = {"one": (), "shards": ("--shard-bytes=1M",), "fine": ("--segment-px=16", "--png-rows=1"), "kept": ("--keep-metadata", "--segment-px=64")}
    return {name: make_pack(everything, everything.parent / f"{name}.pack", *flags) for name, flags in ways.items()}


@pytest.fixture(scope="module")
def photos_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pack(PHOTOS, tmp_path_factory.mktemp("photos") / "photos.pack", "--segment-px=16")


# ---------------------------------------------------------------- the same epochs

WAYS: list[dict[str, object]] = [
    {},
    {"shuffle": False},
    {"crop": "random", "size": 64},
    {"crop": "center", "short_side": 50},
    {"crop": "resize", "orientation": "exif"},
    {"fidelity": "fast"},
    {"fidelity": "fast", "crop": "random", "size": (9, 200)},
    {"channels": 1, "dtype": "float32", "layout": "nchw"},
    {"scale": (0.001, 0.01), "orientation": "exif"},
    {"on_error": "zero", "io": "pread", "limit": 50},
]


@pytest.mark.parametrize("flags", WAYS, ids=str)
def test_an_epoch_is_that_of_the_folder(load: Load, everything: Path, packs: dict[str, Path], flags: dict[str, object]) -> None:
    expected = digest(load(everything, **(FLAGS | flags)))
    for name, pack in packs.items():
        assert digest(load(pack, **(FLAGS | flags))) == expected, name


def test_packs_are_read_in_parts(load: Load, photos: Path, photos_pack: Path) -> None:
    def bytes_read(source: Path) -> int:
        loader = load(source, **(FLAGS | {"crop": "random", "size": 32}))
        assert sum(len(batch) for batch in loader) == 34
        return loader.stats()["bytes_read"]

    assert bytes_read(photos_pack) < bytes_read(photos) * 0.7


def test_what_a_dataset_tells_is_that_of_the_folder(load: Load, everything: Path, packs: dict[str, Path]) -> None:
    folder, pack, shards = (load(source).dataset for source in (everything, packs["one"], packs["shards"]))
    for packed, root in ((pack, packs["one"]), (shards, packs["shards"])):
        assert (packed.classes, packed.class_to_idx, packed.root) == (folder.classes, folder.class_to_idx, str(root))
        assert np.array_equal(packed.targets, folder.targets)
        assert [os.path.relpath(path, root) for path in packed.paths] == [os.path.relpath(path, everything) for path in folder.paths]
        assert packed.samples[3] == (packed.paths[3], folder.samples[3][1])
    assert not pack.is_same(folder) and not pack.is_same(shards)


def test_a_pack_is_the_same_wherever_it_lies(load: Load, photos_pack: Path, tmp_path: Path) -> None:
    copy = shutil.copy(photos_pack, tmp_path / "copy.pack")
    one, other, again = (load(source).dataset for source in (photos_pack, copy, photos_pack))
    assert one.fingerprint == other.fingerprint and not one.is_same(other) and one.is_same(again)


# ---------------------------------------------------------------- everything else that a source may tell


@pytest.fixture
def table(photos: Path, tmp_path: Path) -> Path:
    """Two boxes in most photographs, a weight and a target each; in the order of nothing."""
    files = sorted(path for path in photos.glob("*/*.*g"))
    with open(tmp_path / "table.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "x", "y", "width", "height", "weight", "target"])
        for number in range(2 * len(files) - 5):
            path = files[number * 7 % len(files)]
            writer.writerow([path.relative_to(photos), path.parent.name, number % 5, 3, 20 + number, 31, number % 4, path.relative_to(photos)])
    return tmp_path / "table.csv"


def test_boxes_weights_and_shared_files_come_along(load: Load, photos: Path, table: Path, tmp_path: Path) -> None:
    pack = make_pack(table, tmp_path / "table.pack", f"--root={photos}", "--shard-bytes=300K")
    source: dict[str, object] = {"root": photos}
    for flags in ({"crop": "box"}, {"weights": "column", "limit": 100}, {}):
        usual = FLAGS | {"on_error": "zero", "max_file_bytes": 100_000_000} | flags
        assert digest(load(pack, **usual)) == digest(load(table, **usual, **source)), flags


def test_windows_come_along(load: Load, photos: Path, tmp_path: Path) -> None:
    files = sorted(path.relative_to(photos) for path in photos.glob("*/*"))
    lines = [json.dumps({"path": str(path), "x": number % 5 / 4, "y": 0.5, "scale": number % 3 / 2}) for number, path in enumerate(files)]
    (tmp_path / "windows.jsonl").write_text("\n".join(lines))
    pack = make_pack(tmp_path / "windows.jsonl", tmp_path / "windows.pack", f"--root={photos}")
    flags = FLAGS | {"crop": "window"}
    assert digest(load(pack, **flags)) == digest(load(tmp_path / "windows.jsonl", **flags, root=photos))


def with_targets(loader: cropring.Loader) -> list[bytes]:
    return [batch[name].tobytes() for batch in loader for name in (*FIELDS, "targets")]


def test_targets_are_packed_or_looked_for_by_name(load: Load, photos: Path, tmp_path: Path) -> None:
    gray = tmp_path / "masks"
    for path in photos.glob("*/*"):
        (gray / path.parent.name).mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.convert("L").save(gray / path.parent.name / f"{path.stem}.png")
    flags = FLAGS | {"batch_size": 5}
    expected = with_targets(load(photos, **flags, targets=gray))
    packed = make_pack(photos, tmp_path / "pairs.pack", f"--targets={gray}", "--shard-bytes=700K", "--png-rows=8")
    alone = make_pack(photos, tmp_path / "images.pack")
    assert with_targets(load(packed, **flags)) == expected
    assert with_targets(load(alone, **flags, targets=gray)) == expected
    loader = load(alone, targets=gray)
    if loader.stats()["sandbox_landlock"]:
        assert loader.stats()["sandbox_roots"] == 1
    with pytest.raises(SourceError, match="names a target for each sample itself; leave --targets out"):
        load(packed, targets=gray)


def test_members_of_shards_keep_their_order_and_labels(load: Load, photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for number, path in enumerate(sorted(photos.glob("*/*"))):
            tar.add(path, f"{number:03}{path.suffix}")
            (tmp_path / "label").write_text(path.parent.name)
            tar.add(tmp_path / "label", f"{number:03}.cls")
    pack = make_pack(tmp_path / "x.tar", tmp_path / "x.pack")
    assert digest(load(pack, **FLAGS)) == digest(load(tmp_path / "x.tar", **FLAGS))


def test_a_pack_of_a_pack_is_the_pack(load: Load, photos_pack: Path, tmp_path: Path) -> None:
    again = make_pack(photos_pack, tmp_path / "again.pack")
    assert digest(load(again, **FLAGS)) == digest(load(photos_pack, **FLAGS))


# ---------------------------------------------------------------- every way to run


def test_ranks_share_an_epoch_as_they_share_the_folders(load: Load, photos: Path, photos_pack: Path) -> None:
    for rank in range(3):
        share: dict[str, object] = {"rank": rank, "world_size": 3, "batch_size": 2}
        assert digest(load(photos_pack, **(FLAGS | share))) == digest(load(photos, **(FLAGS | share)))


def test_a_run_goes_on_in_the_middle_of_an_epoch(load: Load, photos: Path, photos_pack: Path) -> None:
    def contents(loader: cropring.Loader) -> list[bytes]:
        return [batch[name].tobytes() for _ in range(2) for batch in loader for name in FIELDS]

    flags = FLAGS | {"epochs": 2}
    loader = load(photos_pack, **flags)
    begun = [batch[name].tobytes() for batch in islice(loader, 3) for name in FIELDS]
    state = json.loads(json.dumps(loader.state_dict()))
    again = load(photos_pack, **(flags | {"seed": 0, "threads": 1}))
    again.load_state_dict(state)
    assert begun + contents(again) == contents(load(photos, **flags))


def test_a_state_of_the_folder_is_not_that_of_the_pack(load: Load, photos: Path, photos_pack: Path) -> None:
    with pytest.raises(ValueError, match="other samples|another|fingerprint"):
        load(photos_pack).load_state_dict(load(photos).state_dict())


def test_a_run_changes_over_to_the_pack(load: Load, photos: Path, photos_pack: Path) -> None:
    """By the numbers of its state: names in a pack are those of the source, but not its places."""

    def contents(loader: cropring.Loader) -> list[bytes]:
        return [batch[name].tobytes() for _ in range(2) for batch in loader for name in FIELDS]

    flags = FLAGS | {"epochs": 2}
    loader = load(photos, **flags)
    begun = [batch[name].tobytes() for batch in islice(loader, 3) for name in FIELDS]
    state = loader.state_dict()
    there = {"seed": state["seed"], "start_epoch": state["epoch"], "start_sample": state["samples_consumed"]}
    assert begun + contents(load(photos_pack, **(flags | there))) == contents(load(photos, **flags))


def test_a_sampler_asks_for_samples_of_a_pack(load: Load, photos: Path, photos_pack: Path) -> None:
    order = [5, 0, 33, 5, 17, 2, 2, 30]
    assert digest(load(photos_pack, **FLAGS, sampler=order)) == digest(load(photos, **FLAGS, sampler=order))


def test_those_who_attach_know_the_pack(serve: Callable[..., Server], photos_pack: Path, load: Load) -> None:
    server = serve("--epochs=1", "--seed=11", source=photos_pack)
    with cropring.attach(server.name, wait=20, timeout=20) as reader:
        assert reader.dataset.is_same(load(photos_pack).dataset)
        assert sum(len(batch) for batch in reader) == 32


def test_a_worker_that_is_killed_is_replaced(load: Load, photos: Path, photos_pack: Path) -> None:
    loader = load(photos_pack, **(FLAGS | {"epochs": 0}))
    loop = iter(loader)
    found = [batch.images.tobytes() for batch in islice(loop, 2)]
    os.kill(loader._worker.process.pid, signal.SIGKILL)
    found += [batch.images.tobytes() for batch in loop]
    assert found == [batch.images.tobytes() for batch in load(photos, **FLAGS)]
    assert loader.stats()["respawns"] == 1


def test_a_sample_that_crashes_the_decoder_is_left_out(load: Load, folder: Callable[..., Path], crash: Callable[..., None], tmp_path: Path) -> None:
    source = folder(6)
    Image.new("RGB", (61, 67), "red").save(source / "002.jpg")  # the culprit of tests/crashing_codec.c
    pack = make_pack(source, tmp_path / "x.pack")
    crash("segv")
    loader = load(pack, batch_size=6, shuffle=False, on_error="zero", epochs=1)
    (status,) = [batch.status.tolist() for batch in loader]
    assert status == [0, 0, cropring.Status.CRASHED, 0, 0, 0]


def test_nothing_can_be_opened_any_more(load: Load, photos_pack: Path) -> None:
    stats = load(photos_pack).stats()
    if not stats["sandbox_landlock"]:
        pytest.skip("no Landlock here")
    assert stats["sandbox_roots"] == 0


# ---------------------------------------------------------------- docs/pack-format.md


def test_the_documents_lines_give_an_image_back(photos: Path, photos_pack: Path, tmp_path: Path) -> None:
    """In a Python that has NumPy alone."""
    document = (Path(__file__).parents[2] / "docs/pack-format.md").read_text()
    (lines,) = [block.split("```")[0] for block in document.split("```python\n")[1:] if "np.memmap" in block]
    assert len(lines.strip().splitlines()) <= 5 and "cropring" not in lines
    shutil.copy(photos_pack, tmp_path / "train.pack")
    files = sorted(photos.glob("*/*"))
    for number in (0, 17, len(files) - 1):
        subprocess.run([sys.executable, "-c", f"i = {number}\n{lines}"], cwd=tmp_path, check=True)
        with cropring.Pack(photos_pack) as pack:
            assert (tmp_path / "image.jpg").read_bytes() == pack[number]
