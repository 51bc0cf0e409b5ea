"""`--index FILE`: the same batches with it and without, changes are noticed, and an index is a source."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cropring
from cropring import Batch

Load = Callable[..., cropring.Loader]
Command = Callable[..., subprocess.CompletedProcess[str]]

RESTED_S = 2.1  # younger folders are not trusted


@pytest.fixture(scope="module")
def rested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders, copied from the sample photos, beside it a shard with a pair, and then left alone."""
    from conftest import PHOTOS

    folder = tmp_path_factory.mktemp("rested") / "set"
    shutil.copytree(PHOTOS, folder)
    with tarfile.open(folder.parent / "pairs.tar", "w") as shard:
        for name in ("1.jpg", "1.seg.png"):
            shard.addfile(tarfile.TarInfo(name))
    time.sleep(RESTED_S)
    return folder


def epoch(loader: cropring.Loader) -> list[bytes]:
    def contents(batch: Batch) -> bytes:
        return b"".join(np.ascontiguousarray(batch[name]).tobytes() for name in ("images", "labels", "index", "box"))

    return [contents(batch) for batch in loader]


def news(command: Command, source: Path, index: Path, *flags: str) -> str:
    """What `cropring serve` says of its index before it gives up on the length of the epoch."""
    run = command("serve", source, f"--index={index}", "--start-sample=100000", *flags)
    assert run.returncode == 2
    return next(line for line in run.stderr.splitlines() if "cropidx" in line)


def test_batches_are_the_same_with_and_without_an_index(load: Load, rested: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.cropidx"
    plain, first, second = load(rested), load(rested, index=kept), load(rested, index=kept)
    assert kept.stat().st_size > 128
    assert first.dataset.is_same(plain.dataset) and second.dataset.is_same(plain.dataset)
    from_file = load(kept)
    assert epoch(plain) == epoch(first) == epoch(second) == epoch(from_file)
    assert from_file.dataset.fingerprint == plain.dataset.fingerprint
    assert from_file.dataset.root == os.path.realpath(rested)


def test_the_log_tells_what_became_of_it(command: Command, rested: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.cropidx"
    assert "samples, written" in news(command, rested, kept)
    assert "used as it is" in news(command, rested, kept)
    kept.write_bytes(kept.read_bytes()[:-1])
    spoiled = news(command, rested, kept)
    assert "warning" in spoiled and "made anew" in spoiled and "not an index that can be used" in spoiled
    assert "used as it is" in news(command, rested, kept)


def test_targets_are_a_part_of_it_only_in_shards(command: Command, rested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept.cropidx"
    assert "samples, written" in news(command, rested, kept)
    assert "used as it is" in news(command, rested, kept, f"--targets={rested}")
    shard = rested.parent / "pairs.tar"
    assert "made anew" in news(command, shard, kept, "--targets=seg.png")
    monkeypatch.chdir(tmp_path)
    assert "used as it is" in news(command, shard, kept, "--targets=seg.png")  # which is no path
    assert "of other flags" in news(command, shard, kept)


def test_a_new_image_is_found(load: Load, rested: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.cropidx"
    before = load(rested, index=kept).dataset
    new = Path(before.paths[0]).with_name("zzz.jpg")
    shutil.copy(before.paths[0], new)
    try:
        after = load(rested, index=kept).dataset
        assert len(after) == len(before) + 1 and str(new) in list(after.paths)
    finally:
        new.unlink()
        time.sleep(RESTED_S)  # for the others


def test_a_manifest_that_was_edited_is_read_again(load: Load, rested: Path, tmp_path: Path) -> None:
    manifest, kept = tmp_path / "list.csv", tmp_path / "kept.cropidx"
    names = [str(path.relative_to(rested)) for path in sorted(rested.glob("*/*.jpg"))]
    manifest.write_text("\n".join(["path", *names]))
    time.sleep(RESTED_S)
    lengths = [len(load(manifest, root=rested, index=kept).dataset) for _ in range(2)]
    manifest.write_text("\n".join(["path", *names[1:]]))
    lengths.append(len(load(manifest, root=rested, index=kept).dataset))
    assert lengths == [len(names), len(names), len(names) - 1]


def test_a_worker_that_died_is_replaced_by_way_of_the_index(load: Load, rested: Path, tmp_path: Path) -> None:
    expected = epoch(load(rested, batch_size=2))
    loader = load(rested, batch_size=2, index=tmp_path / "kept.cropidx")
    got = []
    for batch in loader:
        if len(got) == 2:
            loader._worker.process.kill()
        got.append(b"".join(np.ascontiguousarray(batch[name]).tobytes() for name in ("images", "labels", "index", "box")))
    assert got == expected
    assert loader.stats()["respawns"] == 1


def test_a_file_that_is_none_of_ours_stays_as_it_is(load: Load, rested: Path, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    diary.write_text("dear diary")
    with pytest.raises(cropring.SourceError, match="is there already and is no index"):
        load(rested, index=diary)
    assert diary.read_text() == "dear diary"
    with pytest.raises(cropring.SourceError, match="missing cannot be opened"):
        load(rested, index=tmp_path / "missing" / "kept.cropidx")


def test_a_hostile_index_is_refused(load: Load, rested: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.cropidx"
    load(rested, index=kept).close()
    content = bytearray(kept.read_bytes())
    content[200] ^= 1
    kept.write_bytes(content)
    with pytest.raises(cropring.SourceError, match="not an index that can be used"):
        load(kept)
