"""Tar shards: the same batches as from the folder that was packed into them, and errors that name the shard and the byte."""

from __future__ import annotations

import io
import json
import os
import random
import re
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_determinism import digest

import cropring

Load = Callable[..., cropring.Loader]
Members = Iterable[tuple[str, bytes]]
SEED = int(os.environ.get("CROPRING_TEST_SEED", "20240229"))
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def write_shard(path: Path, members: Members, form: int = tarfile.USTAR_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def files_of(photos: Path) -> list[Path]:
    """In ImageFolder's order."""
    return sorted(photos.glob("*/*"))


def pack(photos: Path, folder: Path, label: Callable[[Path], dict[str, bytes]], form: int = tarfile.USTAR_FORMAT, key: str = "{:06}") -> Path:
    """The photos in their order, in shards of 1 to 9 samples; `label` gives further members of a sample."""
    rng = random.Random(SEED)
    numbered = list(enumerate(files_of(photos)))
    shard = 0
    while numbered:
        count = rng.randint(1, 9)
        members = []
        for number, file in numbered[:count]:
            more = [(f"{key.format(number)}.{ending}", content) for ending, content in label(file).items()]
            image = (f"{key.format(number)}{file.suffix.upper() if number % 3 else file.suffix}", file.read_bytes())
            members += [image, *more] if number % 2 else [*more, image]
        write_shard(folder / f"data-{shard:03}.tar", members, form)
        numbered, shard = numbered[count:], shard + 1
    return folder


def class_number(file: Path) -> int:
    return sorted(folder.name for folder in file.parents[1].iterdir()).index(file.parent.name)


LABELS: dict[str, Callable[[Path], dict[str, bytes]]] = {
    "names in cls": lambda file: {"cls": file.parent.name.encode() + b"\n"},
    "numbers in cls": lambda file: {"cls": str(class_number(file)).encode(), "txt": b"a caption"},
    "names in json": lambda file: {"json": json.dumps({"label": file.parent.name, "caption": "ä"}).encode()},
    "numbers in json": lambda file: {"json": json.dumps({"cls": class_number(file)}).encode(), "txt": b""},
}


@pytest.mark.parametrize("labels", LABELS)
def test_one_epoch_is_the_same_as_from_the_folder(load: Load, photos: Path, tmp_path: Path, labels: str) -> None:
    print(f"CROPRING_TEST_SEED={SEED}")
    shards = pack(photos, tmp_path / "shards", LABELS[labels])
    last = len(list(shards.iterdir())) - 1
    for flags in ({"shuffle": False}, {"seed": 5}):
        folder = load(photos, tail="partial", **flags)
        expected = digest(folder)
        for source in (shards, f"{shards}/data-{{000..{last:03}}}.tar"):
            loader = load(source, tail="partial", **flags)
            assert loader.classes == (folder.classes if "names" in labels else [])
            assert loader.labels.tolist() == folder.labels.tolist()
            assert digest(loader) == expected


@pytest.mark.parametrize("form", FORMATS)
def test_every_kind_of_tar_and_long_names(load: Load, photos: Path, tmp_path: Path, form: str) -> None:
    key = "a_folder/" * 12 + "{:06}" if form == "ustar" else "ä" * 150 + "/" + "n" * 80 + "{:06}"
    shards = pack(photos, tmp_path / "shards", LABELS["names in cls"], FORMATS[form], key)
    assert digest(load(shards, seed=5, tail="partial")) == digest(load(photos, seed=5, tail="partial"))


@pytest.mark.parametrize("flags", [{"io": "pread"}, {"io": "uring"}, {"threads": 1}, {"io_depth": 1}, {"sandbox": "off"}, {"sandbox": "require"}], ids=str)
def test_no_way_of_working_changes_a_byte(load: Load, photos: Path, tmp_path: Path, flags: dict[str, object]) -> None:
    shards = pack(photos, tmp_path / "shards", LABELS["names in cls"])
    expected = digest(load(photos, seed=11, tail="partial", crop="random", size=200))
    try:
        loader = load(shards, seed=11, tail="partial", crop="random", size=200, **flags)
    except cropring.CropringError as error:
        pytest.skip(f"not here: {error}")
    assert digest(loader) == expected


def test_shuffling_is_over_all_shards(load: Load, tmp_path: Path) -> None:
    def image(number: int) -> bytes:
        out = io.BytesIO()
        Image.new("RGB", (8, 8), (number % 256, 0, 0)).save(out, "BMP")
        return out.getvalue()

    for shard in range(10):
        write_shard(tmp_path / f"{shard}.tar", [(f"{n}.bmp", image(n)) for n in range(shard * 40, shard * 40 + 40)])
    loader = load(tmp_path, batch_size=40, seed=3, crop="resize", size=8)
    assert {Path(path).name for path in loader.paths} == {f"{shard}.tar" for shard in range(10)}
    seen = []
    for batch in loader:
        assert not np.any(batch.status)
        assert batch.images[:, 0, 0, 0].tolist() == [index % 256 for index in batch.index.tolist()]  # each image by its own number
        assert len({index // 40 for index in batch.index.tolist()}) >= 7  # of 10 shards
        seen += batch.index.tolist()
    assert sorted(seen) == list(range(400))


def test_what_webdataset_writes_is_read_as_webdataset_reads_it(load: Load, photos: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "made-%04d.tar"), maxcount=7, verbose=0) as writer:
        for number, file in enumerate(files_of(photos)):
            writer.write({"__key__": f"{file.parent.name}/{number:05}", file.suffix[1:]: file.read_bytes(), "cls": class_number(file)})
    shards = sorted(tmp_path.glob("made-*.tar"))
    samples = list(webdataset.WebDataset([str(shard) for shard in shards], shardshuffle=False))
    loader = load(f"{tmp_path}/made-{{0000..{len(shards) - 1:04}}}.tar", shuffle=False, tail="partial")
    assert loader.labels.tolist() == [int(sample["cls"]) for sample in samples]
    assert [path for path in loader.paths] == [sample["__url__"] for sample in samples]
    assert digest(loader) == digest(load(photos, shuffle=False, tail="partial"))


def test_samples_without_label_or_image(load: Load, photos: Path, tmp_path: Path) -> None:
    cat = (photos / "animals/cat.jpg").read_bytes()
    shard = write_shard(tmp_path / "a.tar", [("1.jpg", cat), ("2.txt", b"words"), ("3.jpg", cat), ("3.cls", b"7"), ("__meta__", b"x"), ("README", b"")])
    loader = load(shard, shuffle=False, batch_size=2)
    assert loader.labels.tolist() == [-1, 7]
    assert [batch.labels.tolist() for batch in loader] == [[-1, 7]]


def test_targets_are_named_by_their_extension(load: Load, tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    members = []
    for number in range(8):
        size = tuple(rng.integers(20, 90, 2).tolist())
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8))
        target = Image.fromarray(rng.integers(0, 256, size, np.uint8))
        for ending, picture, folder in (("jpg", image, "images"), ("seg.png", target, "masks")):
            (tmp_path / folder).mkdir(exist_ok=True)
            file = tmp_path / folder / f"{number}.{ending[-3:]}"
            picture.save(file)
            members.append((f"{number}.{ending}", file.read_bytes()))
    shard = write_shard(tmp_path / "pairs.tar", members)
    of_folders = [(batch.images.copy(), batch.targets.copy()) for batch in load(tmp_path / "images", targets=tmp_path / "masks", seed=2)]
    of_shard = [(batch.images.copy(), batch.targets.copy()) for batch in load(shard, targets="seg.png", seed=2)]
    assert len(of_shard) == len(of_folders) == 2
    for expected, found in zip(of_folders, of_shard):
        assert np.array_equal(expected[0], found[0]) and np.array_equal(expected[1], found[1])
    with pytest.raises(cropring.SourceError, match=r"pairs\.tar at byte 0: sample 0: no \.mask\.png, which --targets names"):
        load(shard, targets="mask.png")


# ---------------------------------------------------------------- what is wrong


def spoilt_shard(photos: Path, path: Path) -> int:
    """Three photos, of which the second begins with garbage; where that one begins."""
    cat = (photos / "animals/cat.jpg").read_bytes()
    write_shard(path, [("1.jpg", cat), ("2.jpg", cat), ("3.jpg", cat), ("4.jpg", b"")])
    with tarfile.open(path) as tar:
        offset = tar.getmember("2.jpg").offset_data
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"garbage!")
    return offset


def test_a_damaged_member_is_a_bad_sample_and_named(load: Load, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    offset = spoilt_shard(photos, tmp_path / "a.tar")
    batch = next(iter(load(tmp_path / "a.tar", shuffle=False, on_error="zero")))
    assert batch.status.tolist() == [0, cropring.Status.NOT_AN_IMAGE, 0, cropring.Status.EMPTY]
    assert not np.any(batch.images[1]) and np.any(batch.images[2])
    del batch
    assert f"a.tar at byte {offset}" in capfd.readouterr().err
    with pytest.raises(cropring.BadSample, match=rf"a\.tar at byte {offset}: .*not_an_image"):
        next(iter(load(tmp_path / "a.tar", shuffle=False, on_error="stop")))
    batch = next(iter(load(tmp_path / "a.tar", shuffle=False)))
    assert batch.status[1] == cropring.Status.NOT_AN_IMAGE | cropring.Status.SUBSTITUTED and batch.index[1] in (0, 2)
    del batch


def test_a_shard_that_became_shorter_has_truncated_images(load: Load, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cat = (photos / "animals/cat.jpg").read_bytes()
    shard = write_shard(tmp_path / "a.tar", [(f"{n}.jpg", cat) for n in range(4)])
    load(shard, index=tmp_path / "a.cropidx").close()
    with tarfile.open(shard) as tar:
        offset = tar.getmember("2.jpg").offset_data
    os.truncate(shard, offset + len(cat) - 1)
    batch = next(iter(load(tmp_path / "a.cropidx", shuffle=False, on_error="zero")))
    assert batch.status.tolist() == [0, 0, cropring.Status.TRUNCATED, cropring.Status.TRUNCATED]
    del batch
    assert re.search(rf"a\.tar at byte {offset}.*the file ends before the image in it does", capfd.readouterr().err)


def test_hostile_shards_are_refused(load: Load, photos: Path, tmp_path: Path) -> None:
    cat = (photos / "animals/cat.jpg").read_bytes()
    good = write_shard(tmp_path / "good.tar", [("1.jpg", cat)])
    link = tarfile.TarInfo("2.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        tar.addfile(link)
    write_shard(tmp_path / "escape.tar", [("../../1.jpg", cat)])
    (tmp_path / "cut.tar").write_bytes(good.read_bytes()[:5000])
    with tarfile.open(tmp_path / "small.tar.gz", "w:gz") as tar:
        tar.add(photos / "animals/cat.jpg", "1.jpg")
    os.mkfifo(tmp_path / "fifo.tar")
    (tmp_path / "text.tar").write_text("not a tar file" * 100)
    for source, words in {
        "link.tar": "link.tar at byte 0: 2.jpg is a link",
        "escape.tar": 'escape.tar at byte 0: a member whose name leads out of the archive: "../../1.jpg"',
        "cut.tar": f"cut.tar at byte 0: a member of {len(cat)} bytes, of which the archive, of 5000 bytes, holds 4488",
        "small.tar.gz": "small.tar.gz: compressed with gzip",
        "fifo.tar": "fifo.tar: not a regular file",
        "text.tar": "text.tar at byte 0: no header",
        "missing.tar": "missing.tar: cannot open this tar file",
        "{good,cut}.tar": "cut.tar at byte 0",
        "{good,missing}.tar": "missing.tar: cannot open",
        "go*.tar": "; patterns are {0000..0099} or {a,b}, and a folder stands for all in it",
        "{good}.tar": "{good}: expected numbers",
    }.items():
        with pytest.raises((cropring.CropringError, OSError)) as caught:
            load(tmp_path / source)
        assert words in str(caught.value), source
    assert len(load(good, batch_size=1)) == 1
