"""cropring.Pack: the images of a pack as bytes, from Python alone."""

from __future__ import annotations

import io
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cropring
from conftest import PHOTOS
from pack_writer import BMP, JPEG, PNG, Stored, write_pack, xxh3

FORMATS = {".jpg": JPEG, ".png": PNG, ".bmp": BMP}
FILES = sorted(path for path in PHOTOS.rglob("*") if path.is_file())


def stored(path: Path, label: int = -1) -> Stored:
    with Image.open(path) as image:
        return Stored(str(path.relative_to(PHOTOS)), path.read_bytes(), FORMATS[path.suffix], *image.size, label=label)


@pytest.fixture
def samples() -> list[Stored]:
    classes = sorted({path.parent.name for path in FILES})
    return [stored(path, classes.index(path.parent.name)) for path in FILES]


@pytest.fixture
def path(tmp_path: Path, samples: list[Stored]) -> Path:
    return write_pack(tmp_path / "photos.pack", samples, classes=sorted({path.parent.name for path in FILES}), root="somewhere/photos")


def test_images_names_labels_and_classes_are_those_that_were_packed(path: Path, samples: list[Stored]) -> None:
    with cropring.Pack(path) as pack:
        assert len(pack) == len(samples) and [*pack] == [sample.file for sample in samples]
        assert pack[-1] == samples[-1].file and pack[2:5] == [sample.file for sample in samples[2:5]]
        assert [*pack.names] == [sample.name for sample in samples] and [*pack.names[3:5]] == [sample.name for sample in samples[3:5]]
        assert pack.labels.dtype == np.int64 and pack.labels.tolist() == [sample.label for sample in samples]
        assert pack.classes == sorted({path.parent.name for path in FILES}) and pack.class_to_idx["flowers"] == pack.classes.index("flowers")
        assert (pack.target_names, pack.boxes) == (None, None)
        assert len(pack.fingerprint) == 32 and "photos.pack" in repr(pack)
        for image, file in zip(pack, FILES):
            with Image.open(io.BytesIO(image)) as ours, Image.open(file) as theirs:
                assert np.array_equal(np.asarray(ours), np.asarray(theirs))
        with pytest.raises(ValueError):
            pack.labels[0] = 3  # read-only


def test_a_tilde_is_the_home_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(path.parent))
    with cropring.Pack("~/photos.pack") as pack:
        assert pack.path == str(path)


def test_what_is_known_of_an_image_is_told_without_reading_it(path: Path, samples: list[Stored]) -> None:
    pack = cropring.Pack(path)
    for number, sample in enumerate(samples):
        info = pack.image_info(number)
        assert (info.width, info.height, info.orientation, info.channels, info.sample_bits) == (sample.width_px, sample.height_px, 1, 3, 8)
        assert info.format == {JPEG: "JPEG", PNG: "PNG", BMP: "BMP"}[sample.format]
        assert (info.byte_count, info.checksum, info.table_bytes) == (len(sample.file), xxh3(sample.file), 0)
    pack.close()
    assert pack.image_info(0).byte_count == len(samples[0].file)
    with pytest.raises(ValueError, match="closed"):
        pack[0]
    pack.close()


def test_a_damaged_image_has_no_format(tmp_path: Path) -> None:
    assert cropring.Pack(write_pack(tmp_path / "a.pack", [Stored("x.jpg", b"no image", format=0)])).image_info(0).format is None


def test_targets_are_images_too(tmp_path: Path, samples: list[Stored]) -> None:
    samples[0].target, samples[1].target = Stored("masks/0.png", b"zero", PNG, 3, 4), Stored("masks/1.png", b"one", PNG, 5, 6)
    with cropring.Pack(write_pack(tmp_path / "a.pack", samples[:2])) as pack:
        assert [pack.target(0), pack.target(-1)] == [b"zero", b"one"]
        assert pack.target_names is not None and [*pack.target_names] == ["masks/0.png", "masks/1.png"]
        assert (pack.target_info(1).width, pack.target_info(1).byte_count) == (5, 3)
    with cropring.Pack(write_pack(tmp_path / "b.pack", samples[2:4])) as pack, pytest.raises(LookupError, match="without targets"):
        pack.target(0)


def test_shards_are_opened_when_they_are_asked_for(tmp_path: Path, samples: list[Stored]) -> None:
    for number, sample in enumerate(samples):
        sample.shard = number % 3
    path = write_pack(tmp_path / "a.pack", samples, shard_count=3)
    with cropring.Pack(path) as pack:
        assert [*pack] == [sample.file for sample in samples]
    (tmp_path / "a-00001.shard").unlink()
    with cropring.Pack(path) as pack:
        assert pack[0] == samples[0].file
        with pytest.raises(FileNotFoundError, match="a-00001.shard"):
            pack[1]
    os.rename(tmp_path / "a-00002.shard", tmp_path / "a-00001.shard")
    with cropring.Pack(path) as pack, pytest.raises(cropring.SourceError, match="is not shard 1"):
        pack[1]
    with pytest.raises(cropring.SourceError, match="open the .pack beside it"):
        cropring.Pack(tmp_path / "a-00000.shard")


@pytest.mark.parametrize("index", [40000, -40000])
def test_a_sample_beyond_the_last_is_an_index_error(path: Path, index: int) -> None:
    pack = cropring.Pack(path)
    for ask in (pack.__getitem__, pack.image_info):
        with pytest.raises(IndexError, match=str(index)):
            ask(index)
    with pytest.raises(TypeError):
        pack["cat"]  # type: ignore[call-overload]


def test_threads_and_processes_read_at_once(path: Path, samples: list[Stored]) -> None:
    pack = cropring.Pack(path)
    wrong = []

    def look(first: int) -> None:
        for number in range(200):
            at = (first + number) % len(samples)
            if pack[at] != samples[at].file:
                wrong.append(at)

    threads = [threading.Thread(target=look, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    child = os.fork()
    if child == 0:
        os._exit(pack[3] != samples[3].file)
    for thread in threads:
        thread.join()
    assert not wrong and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert pickle.loads(pickle.dumps(pack))[5] == samples[5].file


def changed(path: Path, at: int, to: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(to)] = to
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b""), "is no pack"),
        (lambda path: path.write_bytes(b"croppck1"), "shorter than any pack"),
        (lambda path: changed(path, 7, b"2"), "of another version of the format than 1: update cropring"),
        (lambda path: os.truncate(path, path.stat().st_size - 1), "copy it again"),
        (lambda path: changed(path, 40, (2**64 - 8).to_bytes(8, "little")), "index is damaged"),  # index_at
        (lambda path: changed(path, 48, (1).to_bytes(8, "little")), "index is damaged"),  # index_bytes
        (lambda path: changed(path, 24, (3).to_bytes(4, "little")), "index is damaged"),  # shards that the index does not know
        (lambda path: (path.unlink(), path.mkdir()), "is no pack"),
    ],
)
def test_what_is_no_whole_pack_is_refused(path: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(path)
    with pytest.raises(cropring.SourceError, match=words):
        cropring.Pack(path)


def test_nothing_that_an_index_says_is_believed(path: Path) -> None:
    data = path.read_bytes()
    index_at = int.from_bytes(data[40:48], "little")
    outcomes = set()
    for at in range(index_at, min(index_at + 1200, len(data)), 13):
        for value in (b"\xff", b"\x00", b"\x80"):
            changed(path, at, value)
            try:
                with cropring.Pack(path) as pack:
                    for number in range(len(pack)):
                        pack[number], pack.names[number], pack.image_info(number)
                outcomes.add("read")
            except cropring.SourceError:
                outcomes.add("refused")
            path.write_bytes(data)
    assert outcomes == {"read", "refused"}


def test_a_name_beyond_the_names_is_refused(path: Path) -> None:
    changed(path, int.from_bytes(path.read_bytes()[40:48], "little") + 128 + 8 * 3, (2**40).to_bytes(8, "little"))
    with pytest.raises(cropring.SourceError, match="index is damaged"):
        cropring.Pack(path)


def test_a_file_that_becomes_shorter_costs_an_exception(path: Path) -> None:
    pack = cropring.Pack(path)
    os.truncate(path, 5000)
    with pytest.raises(cropring.SourceError, match="became shorter"):
        pack[len(pack) - 1]


def test_files_are_closed(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with cropring.Pack(path) as pack:
            pack[0]
    with pytest.raises(cropring.SourceError):
        os.truncate(path, 4500)
        cropring.Pack(path)
    with pytest.raises(FileNotFoundError):
        cropring.Pack(path.with_name("nowhere.pack"))
    assert len(os.listdir("/proc/self/fd")) == before
