"""`cropring pack`: what is in a pack, whatever it was made of; that it appears whole or not at all; and what is said when it cannot be made."""

from __future__ import annotations

import csv
import io
import os
import pty
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cropring
from conftest import PHOTOS, WATCHDOG_S, eventually
from cropring._cli import executable

SEED = int(os.environ.get("CROPRING_TEST_SEED", "20240229"))
FILES = sorted(path for path in PHOTOS.rglob("*") if path.is_file())
Done = subprocess.CompletedProcess[str]
Pack = Callable[..., Done]

# ---------------------------------------------------------------- reading what was written, from the layout's description alone

COLUMNS = ("path", "label", "offset", "length", "box", "window", "target", "target_offset", "target_length", "weight", "image", "target_image", "shard")
VALUES = {"label": "<i8", "box": "4<i4", "window": "3<f4", "weight": "<f8"}
IMAGE = np.dtype([("width", "<u4"), ("height", "<u4"), ("format", "u1"), ("orientation", "u1"), ("channels", "u1"), ("sample_bits", "u1"), ("segments_bytes", "<u4"), ("checksum", "<u8")])


@dataclass
class Packed:
    """A pack's columns, and its images and targets as the bytes of their files."""

    names: list[str]
    target_names: list[str]
    classes: list[str]
    column: dict[str, np.ndarray]
    images: list[bytes]
    targets: list[bytes]
    shard_count: int


def read(path: Path) -> Packed:
    whole = path.read_bytes()
    magic, identity, shard_count, shard_number, file_bytes, index_at, index_bytes = struct.unpack_from("<8s16sIIQQQ", whole)
    assert magic == b"croppck1" and file_bytes == len(whole) and index_at + index_bytes == file_bytes and shard_number == 2**32 - 1
    shards = [path.with_name(f"{path.stem}-{number:05}.shard").read_bytes() for number in range(shard_count)]
    for number, shard in enumerate(shards):
        assert struct.unpack_from("<8s16sIIQQQ", shard) == (magic, identity, shard_count, number, len(shard), 0, 0)
    index = whole[index_at:]
    columns, _, samples, class_count, text_bytes, root_at = struct.unpack_from("<IIQQQQ", index, 8)
    at, column = 128, {}
    for bit, name in enumerate(COLUMNS):
        if columns >> bit & 1:
            dtype = IMAGE if name.endswith("image") else np.dtype((VALUES[name][1:], int(VALUES[name][0])) if VALUES.get(name, "<")[0] in "34" else VALUES.get(name, "<u8"))
            column[name] = np.frombuffer(index, dtype.base, samples * (dtype.shape or (1,))[0], at).reshape(samples, *dtype.shape)
            at += -(-samples * dtype.itemsize // 8) * 8
    class_offsets = np.frombuffer(index, "<u8", class_count, at)
    text = index[at + 8 * class_count :]
    assert len(text) == text_bytes

    def string(begin: int) -> str:
        return text[begin : text.index(b"\0", begin)].decode()

    def files(offset: str, length: str) -> list[bytes]:
        sources = shards or [whole]
        numbers = column.get("shard", np.zeros(samples, "<u8"))
        return [sources[number][at : at + count] for number, at, count in zip(numbers.tolist(), column[offset].tolist(), column[length].tolist())]

    targets = "target" in column
    return Packed(
        [string(begin) for begin in column["path"].tolist()],
        [string(begin) for begin in column["target"].tolist()] if targets else [],
        [string(begin) for begin in class_offsets.tolist()],
        column,
        files("offset", "length"),
        files("target_offset", "target_length") if targets else [],
        shard_count,
    )


def pixels(content: bytes | Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content) if isinstance(content, bytes) else content).convert("RGBA"))


# ---------------------------------------------------------------- running it


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """`pack(*words)`: runs `cropring pack` in tmp_path to its end."""

    def run(*words: object) -> Done:
        return subprocess.run([executable(), "pack", *map(str, words)], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3 * WATCHDOG_S)

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start(*words)`: the same, running."""
    started: list[subprocess.Popen[str]] = []

    def run(*words: object, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        started.append(subprocess.Popen([executable(), "pack", *map(str, words)], cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=before))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def good(done: Done) -> str:
    assert done.returncode == 0 and done.stdout == "", done.stderr
    return done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 images of all three formats, small ones among larger ones, of which some are no images at all; and their packs in shards, undisturbed."""
    print(f"CROPRING_TEST_SEED={SEED}")
    rng = random.Random(SEED)
    folder = tmp_path_factory.mktemp("made")
    (folder / "many").mkdir()
    (folder / "undisturbed").mkdir()
    for number in range(300):
        original = rng.choice(FILES)
        target = folder / f"many/{number:03}{original.suffix}"
        if number % 50 == 7:
            target.write_bytes(rng.randbytes(rng.randrange(3000)) if number % 100 == 7 else b"")
        elif number % 10 == 0:
            target.write_bytes(original.read_bytes())
        else:
            with Image.open(original) as image:
                image.convert("RGB").resize((rng.randrange(1, 90), rng.randrange(1, 90))).save(target)
    subprocess.run([executable(), "pack", folder / "many", folder / "undisturbed/many.pack", "--shard-bytes=200K", "-q"], check=True)
    return folder


@pytest.fixture
def many(made: Path, tmp_path: Path) -> Path:
    """Those images, in a folder of the test's own."""
    return Path(shutil.copytree(made / "many", tmp_path / "many", copy_function=os.link))


@pytest.fixture
def undisturbed(made: Path) -> dict[str, bytes]:
    """The files of that pack."""
    return contents(made / "undisturbed")


# ---------------------------------------------------------------- what is in it


@pytest.mark.parametrize("flags", [[], ["--shard-bytes=300K"], ["--bmp-to-png", "--segment-px=64", "--png-rows=8"], ["--segment-px=0", "--png-rows=0", "--keep-metadata"]])
def test_a_folder_of_classes(pack: Pack, tmp_path: Path, flags: list[str]) -> None:
    said = good(pack(PHOTOS, "photos.pack", *flags))
    found = read(tmp_path / "photos.pack")
    assert found.names == [str(path.relative_to(PHOTOS)) for path in FILES]
    assert found.classes == sorted({path.parent.name for path in FILES})
    assert found.column["label"].tolist() == [found.classes.index(path.parent.name) for path in FILES]
    assert (found.shard_count > 2) == ("--shard-bytes=300K" in flags)
    for path, content, image in zip(FILES, found.images, found.column["image"]):
        assert np.array_equal(pixels(path), pixels(content)), path
        expected = "PNG" if "--bmp-to-png" in flags and path.suffix == ".bmp" else Image.open(path).format
        with Image.open(io.BytesIO(content)) as opened:
            assert (opened.size, opened.format) == ((image["width"], image["height"]), expected), path
        assert image["format"] == ("", "JPEG", "PNG", "BMP").index(expected)
    assert (found.column["offset"] % 64 == 0).all()
    assert f"{len(FILES)} images, " in said and (f"{'small' if '--segment-px=0' in flags else 'segmented'} " in said) and ("BMP " in said) == ("--bmp-to-png" not in flags)
    assert not (tmp_path / "photos.pack.partial").exists()


def relative(loader: cropring.Loader, root: Path) -> list[str]:
    return [str(Path(path).relative_to(root)) for path in loader.paths]


@pytest.mark.parametrize("flags", [[], ["--shard-bytes=300K"]])
def test_an_epoch_of_it_is_that_of_the_source(pack: Pack, tmp_path: Path, load: Callable[..., cropring.Loader], flags: list[str]) -> None:
    good(pack(PHOTOS, "photos.pack", *flags))
    with load(PHOTOS, seed=SEED) as source, load(tmp_path / "photos.pack", seed=SEED) as packed:
        assert packed.classes == source.classes and relative(packed, tmp_path / "photos.pack") == relative(source, PHOTOS)
        for expected, batch in zip(source, packed, strict=True):
            for name in ("images", "labels", "index", "box", "status"):
                assert np.array_equal(expected[name], batch[name]), name


def test_a_pack_of_a_pack_is_the_same(pack: Pack, tmp_path: Path) -> None:
    good(pack(PHOTOS, "one.pack"))
    good(pack("one.pack", "two.pack", "--shard-bytes=300K"))
    one, two = read(tmp_path / "one.pack"), read(tmp_path / "two.pack")
    assert (one.names, one.classes, one.column["label"].tolist()) == (two.names, two.classes, two.column["label"].tolist())
    for left, right in zip(one.images, two.images):
        assert np.array_equal(pixels(left), pixels(right))


def write_manifest(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_rows_of_a_manifest_share_their_images(pack: Pack, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    rows = []
    for number in range(100):
        path = rng.choice(FILES[:9])
        width, height = Image.open(path).size
        x, y = rng.randrange(width), rng.randrange(height)
        box = {"x": x, "y": y, "width": rng.randrange(1, width - x + 1), "height": rng.randrange(1, height - y + 1)}
        rows.append({"path": str(path.relative_to(PHOTOS)), "label": number % 4, **box, "weight": rng.random()})
    write_manifest(tmp_path / "boxes.csv", rows)
    said = good(pack("boxes.csv", "boxes.pack", "--root", PHOTOS))
    found = read(tmp_path / "boxes.pack")
    assert found.names == [row["path"] for row in rows]
    assert found.column["box"].tolist() == [[row[name] for name in ("x", "y", "width", "height")] for row in rows]
    assert found.column["weight"].tolist() == [row["weight"] for row in rows]
    assert found.column["label"].tolist() == [row["label"] for row in rows]
    place_of = dict(zip(found.names, found.column["offset"].tolist()))
    assert found.column["offset"].tolist() == [place_of[name] for name in found.names]
    assert len(set(place_of.values())) == len(place_of) == len({row["path"] for row in rows})
    assert f"boxes.pack: {len(place_of)} images" in said
    for name, content in zip(found.names, found.images):
        assert np.array_equal(pixels(PHOTOS / name), pixels(content))


def test_windows_of_a_manifest(pack: Pack, tmp_path: Path) -> None:
    rows = [{"path": str(path.relative_to(PHOTOS)), "x": 0.25, "y": 0.5, "scale": number / 64} for number, path in enumerate(FILES)]
    write_manifest(tmp_path / "windows.csv", rows)
    good(pack("windows.csv", "windows.pack", "--root", PHOTOS))
    assert read(tmp_path / "windows.pack").column["window"].tolist() == [[0.25, 0.5, number / 64] for number in range(len(FILES))]


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A mask for each photo, in a folder of its own."""
    for path in FILES:
        target = tmp_path / "masks" / path.relative_to(PHOTOS).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("L").save(target)
    return tmp_path / "masks"


@pytest.mark.parametrize("flags", [[], ["--shard-bytes=100K"]])
def test_targets_lie_beside_their_images(pack: Pack, tmp_path: Path, masks: Path, load: Callable[..., cropring.Loader], flags: list[str]) -> None:
    said = good(pack(PHOTOS, "pairs.pack", "--targets", masks, *flags))
    found = read(tmp_path / "pairs.pack")
    assert found.target_names == [str(path.relative_to(PHOTOS).with_suffix(".png")) for path in FILES]
    for path, image, target in zip(FILES, found.images, found.targets):
        assert np.array_equal(pixels(path), pixels(image))
        assert np.array_equal(pixels(masks / path.relative_to(PHOTOS).with_suffix(".png")), pixels(target))
    assert f"{2 * len(FILES)} images" in said
    with load(PHOTOS, targets=masks, seed=SEED) as source, load(tmp_path / "pairs.pack", seed=SEED) as packed:
        for expected, batch in zip(source, packed, strict=True):
            assert np.array_equal(expected.images, batch.images) and np.array_equal(expected.targets, batch.targets)


def test_one_image_with_many_targets(pack: Pack, tmp_path: Path, masks: Path) -> None:
    """In one file the image is stored once; in shards it lies beside each target."""
    rows = [{"path": f"{FILES[0].relative_to(PHOTOS)}", "target": f"../masks/{path.relative_to(PHOTOS).with_suffix('.png')}"} for path in FILES[:5]] * 2
    (tmp_path / "photos").symlink_to(PHOTOS)
    rows = [{"path": f"photos/{row['path']}", "target": row["target"].removeprefix("../")} for row in rows]
    write_manifest(tmp_path / "many.csv", rows)
    good(pack("many.csv", "one.pack"))
    good(pack("many.csv", "shards.pack", "--shard-bytes=1"))
    one, shards = read(tmp_path / "one.pack"), read(tmp_path / "shards.pack")
    assert len(set(one.column["offset"].tolist())) == 1 and len(set(one.column["target_offset"].tolist())) == 5
    assert shards.column["shard"].tolist() == [0, 1, 2, 3, 4] * 2
    assert one.images == shards.images and one.targets == shards.targets


LONG = "folder/" * 30 + "long.jpg"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_tars_have_their_names(pack: Pack, tmp_path: Path, form: int) -> None:
    images = [path.read_bytes() for path in FILES[:6]]
    endings = [path.suffix for path in FILES[:6]]
    names = [f"00{endings[0]}", f"./01{endings[1]}", f"sub/02{endings[2]}", f"03{endings[3]}", f"04{endings[4]}", f"05{endings[5]}"]
    if form != tarfile.USTAR_FORMAT:
        names[3], names[4] = LONG.replace(".jpg", endings[3]), f"größe{endings[4]}"
    for shard in range(2):
        with tarfile.open(tmp_path / f"data-{shard}.tar", "w", format=form) as tar:
            for name, content in zip(names, images):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    good(pack("data-{0..1}.tar", "data.pack"))
    found = read(tmp_path / "data.pack")
    assert found.names == [f"data-{shard}.tar/{name.removeprefix('./')}" for shard in range(2) for name in names]
    for content, expected in zip(found.images, images * 2):
        assert np.array_equal(pixels(content), pixels(expected))


def test_a_member_whose_name_leads_out_is_called_by_its_place(pack: Pack, tmp_path: Path) -> None:
    """The index is that of another archive, which was replaced since: its names cannot be known to be good."""
    content = FILES[0].read_bytes()
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("aaaaaaaaaa.jpg")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    good(pack("a.tar", "good.pack", "--index", "kept.cropidx"))
    whole = bytearray((tmp_path / "a.tar").read_bytes())
    whole[:14] = b"../aaaaaaa.jpg"
    whole[148:156] = b"%06o\0 " % (sum(whole[:148]) + 8 * 32 + sum(whole[156:512]))
    (tmp_path / "a.tar").write_bytes(whole)
    good(pack("kept.cropidx", "bad.pack"))
    assert read(tmp_path / "good.pack").names == ["a.tar/aaaaaaaaaa.jpg"]
    assert read(tmp_path / "bad.pack").names == ["a.tar/512.jpg"]


def test_threads_change_no_byte(pack: Pack, many: Path, tmp_path: Path) -> None:
    found = []
    for threads in (1, 4, 9):
        (tmp_path / str(threads)).mkdir()
        good(pack(many, f"{threads}/many.pack", "-j", threads, "--shard-bytes=200K", "--memory-bytes=16M"))
        found.append(contents(tmp_path / str(threads)))
    assert found[0] == found[1] == found[2] and len(found[0]) > 3


def test_what_is_no_image_stays_as_it_is(pack: Pack, many: Path, tmp_path: Path) -> None:
    said = good(pack(many, "many.pack", "-v"))
    found = read(tmp_path / "many.pack")
    for number in range(7, 300, 50):
        assert found.images[number] == next(many.glob(f"{number:03}.*")).read_bytes()
    assert re.search(r"damaged 3 \(empty file 3\)", said) and "unsupported 3" in said, said
    assert re.search(r"debug: 3 damaged: empty file \(057\.\w+, 157\.\w+, 257\.\w+\)", said), said


def test_a_size_behind_much_metadata_is_found(pack: Pack, tmp_path: Path) -> None:
    """A print's colour profile: were the size not found, one such image at a time would be packed, with all the memory there is."""
    (tmp_path / "prints").mkdir()
    Image.new("RGB", (300, 200)).save(tmp_path / "prints/a.jpg", icc_profile=random.Random(SEED).randbytes(600_000))
    said = good(pack("prints", "prints.pack", "-v"))
    megabytes = re.search(r"images took ([0-9.]+) MB of memory at once", said)
    assert megabytes and float(megabytes[1]) < 100, said


# ---------------------------------------------------------------- interrupted


def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    return folder


def test_kill_9_at_any_point_and_resume_gives_the_same_bytes(start: Callable[..., subprocess.Popen[str]], pack: Pack, many: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    rng = random.Random(SEED)
    folder = work(tmp_path)
    kills = 0
    began = time.monotonic()
    good(pack(many, "work/many.pack", "--shard-bytes=200K"))
    whole_s = time.monotonic() - began
    shutil.rmtree(folder)
    for _ in range(3):
        work(tmp_path)
        for attempt in range(20):
            process = start(many, "work/many.pack", "--shard-bytes=200K", "--resume", "-j2")
            time.sleep(rng.uniform(0, whole_s / 2))
            process.kill()
            process.communicate()
            if (folder / "many.pack").exists():
                break
            kills += process.returncode == -signal.SIGKILL
        good_or_there = pack(many, "work/many.pack", "--shard-bytes=200K", "--resume")
        assert good_or_there.returncode == 0 or "is there already" in good_or_there.stderr
        assert contents(folder) == undisturbed
        assert not (folder / "many.pack.partial").exists()
        shutil.rmtree(folder)
    assert kills > 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_good_order(start: Callable[..., subprocess.Popen[str]], pack: Pack, many: Path, tmp_path: Path, undisturbed: dict[str, bytes], number: signal.Signals) -> None:
    folder = work(tmp_path)
    process = start(many, "work/many.pack", "--shard-bytes=200K", "-j1")
    eventually((folder / "many.pack.partial/00000.shard").exists, "the first shard")
    process.send_signal(number)
    said = process.communicate(timeout=WATCHDOG_S)[1]
    assert process.returncode == 128 + number
    assert re.search(rf"stopped by {number.name} after \d+ of 300 images; the same command with --resume goes on", said), said
    assert names_in(folder) == ["many.pack.partial"]
    done = pack(many, "work/many.pack", "--shard-bytes=200K")
    assert done.returncode == 2 and "work/many.pack was interrupted: go on with --resume, or remove work/many.pack.partial" in done.stderr
    good(pack(many, "work/many.pack", "--shard-bytes=200K", "--resume"))
    assert contents(folder) == undisturbed


def interrupted(start: Callable[..., subprocess.Popen[str]], source: Path, folder: Path, *flags: str) -> None:
    """A packing of `source` in `folder` that was killed when something was packed; one thread, so that something is left."""
    process = start(source, folder / "many.pack", "-j1", *flags)
    eventually(lambda: (folder / "many.pack.partial/journal").exists() and (folder / "many.pack.partial/journal").stat().st_size > 500, "some pictures")
    process.kill()
    process.communicate()
    assert names_in(folder) == ["many.pack.partial"]


def test_going_on_otherwise_is_refused(start: Callable[..., subprocess.Popen[str]], pack: Pack, many: Path, tmp_path: Path) -> None:
    folder = work(tmp_path)
    interrupted(start, many, folder)
    before = contents(folder)
    for flags, words in (
        (["--segment-px=96"], "--segment-px was auto when this packing began, and is 96 now; say the same again"),
        (["--png-rows=0"], "--png-rows was auto when this packing began, and is 0 now"),
        (["--keep-metadata"], "--keep-metadata was off when this packing began, and is on now"),
        (["--verify=none"], "--verify was all when this packing began, and is none now"),
        (["--shard-bytes=1M"], "--shard-bytes was 0 when this packing began, and is 1048576 now"),
    ):
        done = pack(many, "work/many.pack", "--resume", *flags)
        assert done.returncode == 2 and words in done.stderr and contents(folder) == before
    (many / "more.jpg").write_bytes(FILES[0].read_bytes())
    done = pack(many, "work/many.pack", "--resume")
    assert done.returncode == 2 and "the source had 300 samples when this packing began, and has 301 now" in done.stderr
    (many / "more.jpg").unlink()
    first = min(many.iterdir())
    first.rename(many / "000-renamed.jpg")
    done = pack(many, "work/many.pack", "--resume")
    assert done.returncode == 2 and "the source is not the one that this packing began with" in done.stderr and contents(folder) == before
    (many / "000-renamed.jpg").rename(first)
    good(pack(many, "work/many.pack", "--resume", "-j3"))


def test_too_few_descriptors_are_no_fault_of_a_file(start: Callable[..., subprocess.Popen[str]], pack: Pack, many: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = work(tmp_path)
    short = 0
    for limit in range(8, 64):
        process = start(many, "work/many.pack", "--shard-bytes=200K", "--skip-unreadable", "--resume", "-j3", before=lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        said = process.communicate(timeout=WATCHDOG_S)[1]
        assert "passed over, since it cannot be read: Too many open files" not in said
        if process.returncode == 0:
            break
        short += process.returncode == 1 and re.search(r"\.\w+: cannot be opened: Too many open files", said) is not None
    assert short > 0 and contents(folder) == undisturbed


def test_two_at_once_are_kept_apart(start: Callable[..., subprocess.Popen[str]], pack: Pack, many: Path, tmp_path: Path) -> None:
    folder = work(tmp_path)
    interrupted(start, many, folder)
    process = start(many, "work/many.pack", "--resume", "-j1", before=lambda: None)
    eventually(lambda: (folder / "many.pack.partial/journal").exists(), "the journal")
    process.send_signal(signal.SIGSTOP)
    try:
        done = pack(many, "work/many.pack", "--resume")
        # the first may have ended, or not have begun, when it was stopped
        assert done.returncode in (0, 1, 2)
        if done.returncode == 1:
            assert "work/many.pack.partial: another process is packing there" in done.stderr
    finally:
        process.send_signal(signal.SIGCONT)
    process.communicate(timeout=WATCHDOG_S)
    assert read(folder / "many.pack").shard_count == 0 and names_in(folder) == ["many.pack"]


def test_a_pack_that_somebody_else_made_meanwhile_stays(start: Callable[..., subprocess.Popen[str]], pack: Pack, many: Path, tmp_path: Path) -> None:
    folder = work(tmp_path)
    interrupted(start, many, folder)
    (folder / "many.pack").write_text("of somebody else")
    done = pack(many, "work/many.pack", "--resume")
    assert done.returncode == 2 and "work/many.pack is there already; remove it, or choose another name" in done.stderr
    assert (folder / "many.pack").read_text() == "of somebody else"
    (folder / "many.pack").unlink()
    good(pack(many, "work/many.pack", "--resume"))


def test_what_is_left_beside_a_whole_pack_goes(pack: Pack, tmp_path: Path) -> None:
    """A kill between the last two steps leaves an empty folder."""
    good(pack(PHOTOS, "photos.pack"))
    (tmp_path / "photos.pack.partial").mkdir()
    before = contents(tmp_path)
    done = pack(PHOTOS, "photos.pack", "--resume")
    assert done.returncode == 2 and "photos.pack is there already; remove it, or choose another name" in done.stderr
    assert contents(tmp_path) == before and names_in(tmp_path) == ["photos.pack"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_and_gone_on_from(pack: Pack, many: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = work(tmp_path)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300K", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        done = pack(many, "work/many.pack", "--shard-bytes=200K")
        assert done.returncode == 1 and "work/many.pack.partial: cannot be written to: No space left on device; make room and go on with --resume" in done.stderr
        assert names_in(folder) == ["many.pack.partial"]
        subprocess.run(["mount", "-o", "remount,size=64M", folder], check=True)
        good(pack(many, "work/many.pack", "--shard-bytes=200K", "--resume"))
        assert contents(folder) == undisturbed
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_file_size_limit_is_an_error_and_no_death(start: Callable[..., subprocess.Popen[str]], many: Path, tmp_path: Path) -> None:
    process = start(many, "many.pack", before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    said = process.communicate(timeout=WATCHDOG_S)[1]
    assert process.returncode == 1 and "cannot be written to: File too large; files must be smaller here: --shard-bytes, from the start" in said


# ---------------------------------------------------------------- what cannot be packed


def test_an_unreadable_file_ends_it_or_is_passed_over(pack: Pack, many: Path, tmp_path: Path) -> None:
    rows = [{"path": f"many/{path.name}"} for path in sorted(many.iterdir())]
    rows[100] = {"path": "many/nowhere.jpg"}
    rows[200] = {"path": "many"}
    write_manifest(tmp_path / "list.csv", rows)
    for _ in range(2):
        done = pack("list.csv", "list.pack", "-j4", "--resume")
        assert done.returncode == 3
        assert "many/nowhere.jpg: cannot be opened: No such file or directory; mend it, or say --skip-unreadable, and go on with --resume" in done.stderr
    assert not (tmp_path / "list.pack").exists()
    said = good(pack("list.csv", "list.pack", "--resume", "--skip-unreadable"))
    assert "warning: many/nowhere.jpg: cannot be opened: No such file or directory; passed over" in said
    assert "warning: many: cannot be read: it is a folder; passed over" in said
    assert "100 of 300 images were packed before" in said
    found = read(tmp_path / "list.pack")
    assert found.images[100] == b"" == found.images[200] and len(found.images) == 300
    assert found.names[100] == "many/nowhere.jpg"


def test_files_that_are_too_long_cannot_be_read(pack: Pack, tmp_path: Path) -> None:
    done = pack(PHOTOS, "photos.pack", "--max-file-bytes=50000")
    assert done.returncode == 3 and re.search(r"\w+: \d+ bytes, over --max-file-bytes 50000", done.stderr)
    said = good(pack(PHOTOS, "photos.pack", "--max-file-bytes=50000", "--resume", "--skip-unreadable"))
    assert "damaged " in said and "passed over, since it cannot be read: too long" in said
    for path, content in zip(FILES, read(tmp_path / "photos.pack").images):
        assert (content == b"") == (path.stat().st_size > 50000)


@pytest.mark.parametrize("how", ["segv", "abort", "fpe"])
def test_a_file_that_crashes_the_codec_is_named(crash: Callable[..., None], pack: Pack, tmp_path: Path, how: str) -> None:
    (tmp_path / "set").mkdir()
    for number, height in enumerate((50, 67, 60)):
        Image.new("RGB", (61, height)).save(tmp_path / f"set/{number}.jpg")
    crash(how)
    done = pack("set", "set.pack", "-j1")
    assert done.returncode == -{"segv": signal.SIGSEGV, "abort": signal.SIGABRT, "fpe": signal.SIGFPE}[how]
    assert "cropring: error: 1.jpg: the codec crashed on this file; put an empty one in its place, and go on with --resume\n" in done.stderr
    (tmp_path / "set/1.jpg").write_bytes(b"")
    good(pack("set", "set.pack", "--resume"))
    assert [len(content) > 0 for content in read(tmp_path / "set.pack").images] == [True, False, True]


def test_images_over_max_pixels_stay_as_they_are(pack: Pack, tmp_path: Path) -> None:
    assert "too large " in good(pack(PHOTOS, "photos.pack", "--max-pixels=10000"))
    assert read(tmp_path / "photos.pack").images == [path.read_bytes() for path in FILES]


def test_errors_before_the_start_say_what_to_do(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.pack").write_text("")
    (tmp_path / "sharded-00000.shard").write_text("")
    (tmp_path / "own.pack.partial").mkdir()
    (tmp_path / "own.pack.partial/diary").write_text("dear")
    inside = tmp_path / "inside"
    shutil.copytree(PHOTOS, inside)
    before = contents(tmp_path)
    for words, text in (
        ([], "no SOURCE was given: name a folder of images, a manifest, tar files or a pack"),
        ([PHOTOS], "no OUT was given"),
        ([PHOTOS, "a.pack", "b.pack"], "one SOURCE and one OUT are expected, but 'b.pack' was given as well"),
        ([PHOTOS, "a.tar"], "'a.tar' is not the name of a pack; one that ends in .pack is expected"),
        ([PHOTOS, ".pack"], "'.pack' is not the name of a pack"),
        ([PHOTOS, "there.pack"], "there.pack is there already; remove it, or choose another name"),
        ([PHOTOS, "sharded.pack"], "sharded-00000.shard is there already, a shard of an earlier pack of that name; remove them"),
        ([PHOTOS, "own.pack"], "own.pack was interrupted: go on with --resume, or remove own.pack.partial"),
        ([PHOTOS, "own.pack", "--resume"], "own.pack.partial is not the folder of an interrupted packing; remove it, or choose another name"),
        ([PHOTOS, "nowhere/a.pack"], "nowhere/a.pack: its folder cannot be opened: No such file or directory"),
        (["nowhere", "a.pack"], "nowhere: cannot open this folder: No such file or directory"),
        (["empty", "a.pack"], "empty"),
        ([inside, inside / "a.pack"], "lies in the folder"),
        ([inside, inside / "animals/a.pack"], "which is to be packed; choose a place outside of it"),
        ([PHOTOS, "a.pack", "--segment-px=wide"], "--segment-px: 'wide' is not auto, or a whole number between 0 and 65535"),
        ([PHOTOS, "a.pack", "--png-rows=-1"], "--png-rows: '-1' is not auto"),
        ([PHOTOS, "a.pack", "--png-level=10"], "--png-level: '10' is not a whole number between 1 and 9"),
        ([PHOTOS, "a.pack", "--verify=some"], "--verify: 'some' is not all, sample or none"),
        ([PHOTOS, "a.pack", "--memory-bytes=1"], "--memory-bytes: '1' is not a whole number between 16M and 1024G; K, M and G stand for powers of 1024"),
        ([PHOTOS, "a.pack", "--overwrite"], "unknown flag '--overwrite'"),
        ([PHOTOS, "a.pack", "--targets=nowhere"], "--targets nowhere: cannot open this folder"),
    ):
        done = pack(*words)
        assert done.returncode == 2 and not done.stdout and text in done.stderr, (words, done.stderr)
        assert contents(tmp_path) == before and not (tmp_path / "a.pack.partial").exists(), words


def test_variables_of_serve_mean_nothing_here(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPRING_MAX_PIXELS", "1")
    assert "too large" not in good(pack(PHOTOS, "photos.pack"))


# ---------------------------------------------------------------- what it says and takes


def test_a_terminal_shows_progress(many: Path, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen([executable(), "pack", many, tmp_path / "many.pack", "-j1"], stderr=follower, env=environment)
    os.close(follower)
    said = b""
    try:
        while piece := os.read(leader, 65536):
            said += piece
    except OSError:  # the other end was closed
        pass
    os.close(leader)
    assert process.wait(WATCHDOG_S) == 0
    assert re.search(rb"pack: \d+ of 300 \(\d+ %\), \d+ images/s, ", said), said
    assert b"many.pack: 300 images, " in said


def test_quiet_means_silence_and_json_means_json(pack: Pack) -> None:
    assert good(pack(PHOTOS, "a.pack", "-q")) == ""
    lines = good(pack(PHOTOS, "b.pack", "--log=json")).splitlines()
    assert len(lines) == 1 and lines[0].startswith("{") and "b.pack: 34 images" in lines[0]


@pytest.mark.skipif("CROPRING_EXECUTABLE" in os.environ, reason="sanitizers take memory of their own")
def test_memory_is_bounded_whatever_the_threads(tmp_path: Path) -> None:
    """Twelve pictures that take some 24 MB each, on 8 threads; the process itself takes 10 MB."""
    source = tmp_path / "large"
    source.mkdir()
    noise = np.random.default_rng(SEED).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).resize((2000, 2000), Image.Resampling.BICUBIC).save(source / "0.jpg", quality=85, subsampling=0)
    for number in range(1, 12):
        os.link(source / "0.jpg", source / f"{number}.jpg")

    def peaks_mb(limit: str) -> tuple[float, float]:
        """What images took by its own count, and the process by the kernel's, which counts what its parent takes, too: a small one."""
        parent = "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
        command = [executable(), "pack", source, tmp_path / f"{limit}.pack", "-v", "-j8", f"--memory-bytes={limit}", "--verify=none"]
        done = subprocess.run([sys.executable, "-IS", "-c", parent, *command], capture_output=True, text=True, timeout=WATCHDOG_S)
        assert done.returncode == 0 and "segmented 12" in done.stderr
        told = re.search(r"images took ([\d.]+) MB of memory at once", done.stderr)
        assert told
        return float(told[1]), int(done.stdout) / 1000

    told_mb, found_mb = peaks_mb("48M")
    assert told_mb <= 48 * 1.048576 and found_mb < 96
    told_mb, found_mb = peaks_mb("4G")
    assert told_mb > 100 and found_mb > 96


def test_an_image_that_takes_more_than_all_memory_is_stored_as_it_is(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Image.effect_noise((4000, 3000), 50).convert("RGB").save(tmp_path / "set/0.jpg")
    assert "too large 1" in good(pack("set", "set.pack", "--memory-bytes=16M"))
    assert read(tmp_path / "set.pack").images == [(tmp_path / "set/0.jpg").read_bytes()]
