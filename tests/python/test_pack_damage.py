"""Packs that are damaged, cut, incomplete, or given with flags that mean nothing for them."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from test_determinism import FIELDS, digest
from test_pack_source import FLAGS, make_pack

import cropring
from conftest import PHOTOS
from cropring import SourceError
from cropring._cli import executable

Load = Callable[..., cropring.Loader]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def photos_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pack(PHOTOS, tmp_path_factory.mktemp("photos") / "photos.pack", "--segment-px=16")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return make_pack(PHOTOS, tmp_path / "shards.pack", "--shard-bytes=500K")


def rows(loader: cropring.Loader) -> Iterator[list[bytes]]:
    for batch in loader:
        yield from ([batch[name][row].tobytes() for name in FIELDS] for row in range(len(batch)))


def test_flags_that_mean_nothing_for_a_pack_are_refused(command: Command, photos_pack: Path, tmp_path: Path) -> None:
    for flag, words in ((f"--index={tmp_path / 'x.cropidx'}", "has its index in itself"), (f"--root={tmp_path}", "the paths of a manifest begin")):
        run = command("serve", photos_pack, flag)
        assert run.returncode == 2 and words in run.stderr


def test_a_shard_names_its_pack(command: Command, shards: Path) -> None:
    run = command("serve", shards.parent / "shards-00001.shard")
    assert run.returncode == 2 and f"name the pack itself, {shards}" in run.stderr


def test_a_missing_shard_is_named(load: Load, shards: Path) -> None:
    (shards.parent / "shards-00001.shard").unlink()
    with pytest.raises(SourceError, match=r"shards-00001.shard: this shard of .*shards.pack is missing; the \d shards of a pack lie beside it"):
        load(shards)


def test_a_shard_that_is_another_is_told_from_one_of_another_pack(load: Load, shards: Path, folder: Callable[..., Path], tmp_path: Path) -> None:
    second = shards.parent / "shards-00002.shard"
    shutil.copy(shards.parent / "shards-00001.shard", second)
    with pytest.raises(SourceError, match=r"00002.shard: not shard 2 of .*, but another one of it"):
        load(shards)
    make_pack(folder(8), tmp_path / "others.pack", "--shard-bytes=1K")
    shutil.copy(tmp_path / "others-00002.shard", second)
    with pytest.raises(SourceError, match=r"00002.shard: not shard 2 of .*, but of another pack"):
        load(shards)


def test_shards_may_be_more_than_the_soft_limit_of_files(shards: Path, tmp_path: Path) -> None:
    """Which is 1024 mostly, and the hard one 1048576."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for words in (["info", shards], ["unpack", shards, tmp_path / "files"], ["pack", shards, tmp_path / "again.pack"]):
        subprocess.run([executable(), *words], check=True, timeout=120, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (5, hard)))


def test_another_version_is_told_whatever_the_name(command: Command, photos_pack: Path, tmp_path: Path) -> None:
    data = bytearray(photos_pack.read_bytes())
    data[7:8] = b"2"
    (tmp_path / "later").write_bytes(data)
    run = command("serve", tmp_path / "later")
    assert run.returncode == 2 and "another version of the format than 1; update cropring" in run.stderr


@pytest.mark.parametrize(("flags", "place"), [([], r"at byte \d+"), (["--shard-bytes=1K"], r"in shard 2 at byte 4096")])
def test_a_bad_sample_is_named_with_its_place(load: Load, folder: Callable[..., Path], tmp_path: Path, flags: list[str], place: str) -> None:
    files = folder({"a": 6})
    (files / "a/002.jpg").write_text("no picture")
    for path in files.glob("a/*.jpg"):
        with open(path, "ab") as file:
            file.write(bytes(1000))
    pack = make_pack(files, tmp_path / "x.pack", *flags)
    with pytest.raises(cropring.BadSample, match=rf"x\.pack/a/002\.jpg {place}: .*not_an_image"):
        list(load(pack, batch_size=2, on_error="stop"))


def test_a_pack_that_becomes_shorter_meanwhile_ends_the_run_with_its_name(load: Load, photos_pack: Path, tmp_path: Path) -> None:
    """What was mapped is not there any more: the worker dies, and the next one refuses the pack.  Python goes on."""
    pack = Path(shutil.copy(photos_pack, tmp_path / "x.pack"))
    loader = load(pack, batch_size=2, slots=3, on_error="zero")
    loop = iter(loader)
    next(loop)
    os.truncate(pack, 8192)
    with pytest.raises(SourceError, match="x.pack: not a pack that can be used: it is shorter than it was when it was made; copy it again"):
        for _ in loop:
            pass
    assert loader.dataset.paths[-1].endswith("rocket.jpg") and len(loader.dataset.classes) == 7


def test_a_table_that_cannot_be_read_is_blamed_on_its_sample(
    load: Load, photos_pack: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker's file ends before its tables, as a disk does that fails; the next one finds another of the same name."""
    monkeypatch.delenv("CROPRING_EXECUTABLE", raising=False)  # sanitizers have reports of their own
    flags = FLAGS | {"batch_size": 2, "shuffle": False}
    expected = digest(load(photos_pack, **flags))
    pack = Path(shutil.copy(photos_pack, tmp_path / "x.pack"))
    loader = load(pack, **flags)
    with open(pack, "r+b") as file:
        os.replace(shutil.copy(photos_pack, tmp_path / "y.pack"), pack)
        file.truncate(8192)
        assert digest(loader) == expected
    (text,) = [record.getMessage() for record in caplog.records if "SIGBUS" in record.getMessage()]
    assert re.search(r"while it decoded sample \d+ \([^()]*x.pack/[^()]*\); worker", text), text


def test_a_pack_that_loses_its_index_meanwhile_is_read_to_the_end(load: Load, photos: Path, photos_pack: Path, tmp_path: Path) -> None:
    pack = Path(shutil.copy(photos_pack, tmp_path / "x.pack"))
    loader = load(pack, **FLAGS)
    os.truncate(pack, int.from_bytes(pack.read_bytes()[40:48], "little"))
    assert digest(loader) == digest(load(photos, **FLAGS))
    assert loader.dataset.targets.sum() > 0


# ---------------------------------------------------------------- damage

FLIPS = 80 if "CROPRING_EXECUTABLE" not in os.environ else 20  # a sanitizer's worker starts slowly


def test_a_flipped_bit_is_refused_or_marked_or_means_nothing(load: Load, photos_pack: Path, tmp_path: Path) -> None:
    """Wherever it lies but within an image, whose formats notice only part of what may happen to them; then other images stay as they are."""
    seed = int(os.environ.get("CROPRING_TEST_SEED", 20240229))
    print(f"CROPRING_TEST_SEED={seed}")
    rng = np.random.default_rng(seed)
    flags = FLAGS | {"crop": "random", "size": 24, "on_error": "zero", "shuffle": False, "segment": "memfd"}
    expected = list(rows(load(photos_pack, **flags)))
    whole = photos_pack.read_bytes()
    with cropring.Pack(photos_pack) as pack:
        offsets, lengths = pack._columns["offset"].astype(int), pack._columns["length"].astype(int)
        tables = [pack.image_info(number).table_bytes for number in range(len(pack))]
    index_at = int.from_bytes(whole[40:48], "little")
    begins = -(-(offsets + lengths) // 8) * 8
    places = [np.arange(80), np.arange(index_at, len(whole)), np.concatenate([np.arange(at, at + size) for at, size in zip(begins, tables)]), np.arange(4096, index_at)]
    refused = marked = 0
    broken = tmp_path / "broken.pack"
    for number in range(FLIPS):
        at = int(rng.choice(places[number % 4]))
        data = bytearray(whole)
        data[at] ^= 1 << int(rng.integers(8))
        broken.write_bytes(data)
        inside = set(np.flatnonzero((offsets <= at) & (at < offsets + lengths)).tolist())
        try:
            found = list(rows(load(broken, **flags)))
        except SourceError as error:
            assert str(broken) in str(error) and not 4096 <= at < index_at, at
            refused += 1
            continue
        assert len(found) == len(expected)
        for sample, (row, right) in enumerate(zip(found, expected)):
            is_marked = row[FIELDS.index("status")] != right[FIELDS.index("status")]
            marked += is_marked
            assert row == right or is_marked or sample in inside, (at, sample)
    assert refused >= FLIPS // 4 and marked + refused < FLIPS
