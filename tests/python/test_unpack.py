"""`cropring unpack`: ordinary files from packs, under names that stay where they should, and nothing half."""

from __future__ import annotations

import os
import random
import re
import signal
import struct
import subprocess
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import cropring
from conftest import PHOTOS, WATCHDOG_S, eventually
from cropring._cli import executable
from pack_writer import BMP, JPEG, PNG, Stored, write_pack
from test_crop_command import refuse_nameless_files

FORMATS = {".jpg": JPEG, ".png": PNG, ".bmp": BMP}
FILES = {str(path.relative_to(PHOTOS)): path.read_bytes() for path in sorted(PHOTOS.rglob("*")) if path.is_file()}
PICTURE = (PHOTOS / "animals/cat.jpg").read_bytes()
Unpack = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def unpack(tmp_path: Path) -> Unpack:
    """`unpack(*words)`: runs `cropring unpack` in tmp_path to its end."""

    def run(*words: object, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [executable(), "unpack", *map(str, words)]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, cwd=tmp_path, timeout=WATCHDOG_S, preexec_fn=before)

    return run


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path / "photos.pack", [Stored(name, file, FORMATS[name[-4:]]) for name, file in FILES.items()])


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if not path.is_dir()}


def names_of(tmp_path: Path, unpack: Unpack, samples: list[Stored], *words: object) -> dict[str, bytes]:
    """What becomes of these samples; nothing beside the folder has changed."""
    write_pack(tmp_path / "a.pack", samples)
    before = {path.name for path in tmp_path.iterdir()}
    done = unpack("a.pack", "out", *words)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == before | {"out"}
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]
    return files_below(tmp_path / "out")


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize("words", [(), ("-j1",), ("-j16", "--quiet")])
def test_every_image_is_an_ordinary_file_again(unpack: Unpack, pack: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = unpack(pack, "out", *words)
    assert (done.returncode, done.stdout) == (0, b"")
    megabytes = sum(map(len, FILES.values())) / 1e6
    assert done.stderr.decode() == ("" if words[1:] else f"cropring: out: {len(FILES)} files, {megabytes:.1f} MB, 0 damaged\n")
    assert files_below(tmp_path / "out") == FILES


def test_shards_and_targets_are_unpacked_as_well(unpack: Unpack, tmp_path: Path) -> None:
    samples = [Stored(f"{i}.jpg", PICTURE + bytes([i]), shard=i % 2, target=Stored(f"masks/{i}.png", bytes([i]) * 9, PNG, shard=i % 2)) for i in range(6)]
    write_pack(tmp_path / "a.pack", samples, shard_count=2)
    assert unpack("a.pack", "out").returncode == 0
    expected = {f"{i}.jpg": PICTURE + bytes([i]) for i in range(6)} | {f"masks/{i}.png": bytes([i]) * 9 for i in range(6)}
    assert files_below(tmp_path / "out") == expected


def test_one_image_goes_to_standard_output(unpack: Unpack, pack: Path, tmp_path: Path) -> None:
    for index, file in enumerate(FILES.values()):
        assert unpack(pack, "-", "--index", index).stdout == file
    image = Stored("0.jpg", PICTURE, target=Stored("0.png", b"mask", PNG))
    write_pack(tmp_path / "a.pack", [image, Stored("1.jpg", b"another", target=image)])  # whose target lies before it
    assert unpack("a.pack", "-", "-i0").stdout == PICTURE
    assert {path.name for path in tmp_path.iterdir()} == {"photos.pack", "a.pack"}


def test_some_are_chosen_by_name_or_number(unpack: Unpack, pack: Path, tmp_path: Path) -> None:
    assert unpack(pack, "a", "--only", "flowers/*").returncode == 0
    assert files_below(tmp_path / "a") == {name: file for name, file in FILES.items() if name.startswith("flowers/")}
    assert unpack(pack, "b", "--only=*.png").returncode == 0
    assert files_below(tmp_path / "b") == {name: file for name, file in FILES.items() if name.endswith(".png")}
    assert unpack(pack, "c", "-i", 3).returncode == 0
    assert list(files_below(tmp_path / "c").items()) == [list(FILES.items())[3]]
    done = unpack(pack, "d", "--only=*.gif")
    assert (done.returncode, not (tmp_path / "d").exists()) == (1, True) and b"no image of the pack has such a name" in done.stderr
    done = unpack(pack, "d", "--index", len(FILES))
    assert done.returncode == 2 and f"0 to {len(FILES) - 1}".encode() in done.stderr


# ---------------------------------------------------------------- names


def test_names_never_lead_out_of_the_folder(unpack: Unpack, tmp_path: Path) -> None:
    names = ["../up.jpg", "../" * 30 + str(tmp_path)[1:] + "/far.jpg", "/absolute.jpg", "a/../../b.jpg", "./c.jpg", "d//e.jpg", "..", "/", "f/", "g/."]
    found = names_of(tmp_path, unpack, [Stored(name, f"{i}".encode()) for i, name in enumerate(names)])
    expected = ["up.jpg", str(tmp_path)[1:] + "/far.jpg", "absolute.jpg", "a/b.jpg", "c.jpg", "d/e.jpg", "unnamed", "unnamed~2", "f", "g"]
    assert found == {name: f"{i}".encode() for i, name in enumerate(expected)}


def test_odd_names_are_kept_and_do_not_touch_the_terminal(unpack: Unpack, tmp_path: Path) -> None:
    names = [b"new\nline.jpg", b"\x1b[31mred.jpg", b"\xff\xfe.jpg", b"-rf", b"*", b"~", b".hidden", b"...", b" ", "fünf/鳥.jpg".encode()]
    found = names_of(tmp_path, unpack, [Stored(name, name) for name in names])
    assert {os.fsencode(name): file for name, file in found.items()} == {name: name for name in names}
    write_pack(tmp_path / "b.pack", [Stored(b"\x1b[31m\nred.jpg", b"red", checksum=0)])
    done = unpack("b.pack", "out2")
    assert done.returncode == 3 and b"\x1b" not in done.stderr and rb"\x1b[31m\nred.jpg" in done.stderr


def test_equal_images_of_one_name_become_one_file_and_others_get_a_number(unpack: Unpack, tmp_path: Path) -> None:
    samples = [Stored("a/x.jpg", file) for file in (b"first", b"second", b"first", b"third", b"second")] + [Stored("a/x~2.jpg", b"taken"), Stored("y", b"1"), Stored("y", b"2")]
    found = names_of(tmp_path, unpack, samples)
    assert found == {"a/x.jpg": b"first", "a/x~3.jpg": b"second", "a/x~4.jpg": b"third", "a/x~2.jpg": b"taken", "y": b"1", "y~2": b"2"}


def test_the_same_place_is_written_once_for_all_its_samples(unpack: Unpack, tmp_path: Path) -> None:
    assert names_of(tmp_path, unpack, [Stored("same.jpg", PICTURE)] * 1000) == {"same.jpg": PICTURE}


def test_a_file_with_the_name_of_a_folder_gets_a_number(unpack: Unpack, tmp_path: Path) -> None:
    names = ["a", "a/b", "a/b/c.jpg", "a-1", "a~2/x", "z.d/1", "z.d"]
    found = names_of(tmp_path, unpack, [Stored(name, name.encode()) for name in names])
    assert found == {"a~3": b"a", "a/b~2": b"a/b", "a/b/c.jpg": b"a/b/c.jpg", "a-1": b"a-1", "a~2/x": b"a~2/x", "z.d/1": b"z.d/1", "z~2.d": b"z.d"}


def test_the_ending_follows_what_a_bmp_became(unpack: Unpack, tmp_path: Path) -> None:
    samples = [Stored("a.bmp", b"1", PNG), Stored("b.DIB", b"2", PNG), Stored("c.bmp", b"3", BMP), Stored("d.jpg", b"4", PNG), Stored("a.png", b"5", PNG), Stored("bmp", b"6", PNG)]
    assert names_of(tmp_path, unpack, samples) == {"a.png": b"1", "b.png": b"2", "c.bmp": b"3", "d.jpg": b"4", "a~2.png": b"5", "bmp": b"6"}


def test_members_of_a_tar_lie_in_a_folder_of_its_name(unpack: Unpack, tmp_path: Path) -> None:
    samples = [Stored("s/00.tar", b"1", JPEG, target=Stored("s/00.tar", b"2", PNG)), Stored("s/00.tar", b"3", PNG, target=Stored("s/00.tar", b"4", PNG))]
    expected = {"s/00.tar/00000000.jpg": b"1", "s/00.tar/00000000.target.png": b"2", "s/00.tar/00000001.png": b"3", "s/00.tar/00000001.target.png": b"4"}
    assert names_of(tmp_path, unpack, samples) == expected


def test_a_name_that_no_file_can_have_costs_that_image_alone(unpack: Unpack, tmp_path: Path) -> None:
    write_pack(tmp_path / "a.pack", [Stored("x" * 300, b"1"), Stored("b.jpg", b"2"), Stored("y" * 300 + "/c.jpg", b"3")])
    done = unpack("a.pack", "out")
    assert done.returncode == 1 and done.stderr.count(b"File name too long") == 2 and b"--index 2" in done.stderr
    assert files_below(tmp_path / "out") == {"b.jpg": b"2"}


def test_any_set_of_names_becomes_as_many_files(unpack: Unpack, tmp_path: Path) -> None:
    seed = int(os.environ.get("CROPRING_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"CROPRING_TEST_SEED={seed}")
    chance = random.Random(seed)
    parts = ["a", "b", "a~2", "b~2", "..", "", ".", "a.bmp", "a.png", "a~2.png", "-", "~"]
    samples = []
    for number in range(400):
        name = "/".join(chance.choice(parts) for _ in range(chance.randint(1, 4))) or "a"
        samples.append(Stored(name, str(number).encode(), chance.choice([PNG, BMP])))
    assert sorted(names_of(tmp_path, unpack, samples).values()) == sorted(sample.file for sample in samples)


# ---------------------------------------------------------------- what is there already


def test_what_is_there_stays_unless_it_is_to_be_replaced(unpack: Unpack, pack: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out/animals/cat.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    done = unpack(pack, "out")
    assert done.returncode == 1 and b"out/animals/cat.jpg is there already; --force replaces it" in done.stderr
    assert mine.read_bytes() == b"mine"
    assert unpack(pack, "out", "--force").returncode == 0
    assert files_below(tmp_path / "out") == FILES


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_links_are_never_followed(unpack: Unpack, pack: Path, tmp_path: Path, force: tuple[str, ...]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "cat.jpg").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/animals").symlink_to(outside)
    done = unpack(pack, "out", *force)
    assert done.returncode == 1 and b"no folder" in done.stderr
    assert files_below(outside) == {"cat.jpg": b"mine"}
    (tmp_path / "out/animals").unlink()
    (tmp_path / "out/animals").mkdir(exist_ok=True)
    (tmp_path / "out/animals/cat.jpg").unlink(missing_ok=True)
    (tmp_path / "out/animals/cat.jpg").symlink_to(outside / "cat.jpg")
    done = unpack(pack, "out", *force, "--only=animals/cat.jpg")
    assert done.returncode == (0 if force else 1)
    assert files_below(outside) == {"cat.jpg": b"mine"}
    assert (tmp_path / "out/animals/cat.jpg").is_symlink() == (not force)


def test_a_folder_or_file_in_the_way_is_named(unpack: Unpack, pack: Path, tmp_path: Path) -> None:
    (tmp_path / "out/animals/cat.jpg").mkdir(parents=True)
    done = unpack(pack, "out", "--force", "--only=animals/*")
    assert done.returncode == 1 and b"out/animals/cat.jpg is a folder" in done.stderr
    (tmp_path / "file").write_bytes(b"")
    done = unpack(pack, "file")
    assert done.returncode == 1 and b"file: cannot open this folder: Not a directory" in done.stderr
    done = unpack(pack, "no/such/folder")
    assert done.returncode == 1 and b"cannot make this folder" in done.stderr


# ---------------------------------------------------------------- damage, and ends


def test_damaged_images_are_named_and_left_out(unpack: Unpack, pack: Path, tmp_path: Path) -> None:
    data = bytearray(pack.read_bytes())
    for name in ("animals/cat.jpg", "space/rocket.jpg"):
        data[data.index(FILES[name]) + len(FILES[name]) // 2] ^= 1
    pack.write_bytes(data)
    done = unpack(pack, "out")
    assert done.returncode == 3 and done.stderr.count(b"damaged in the pack") == 2 and b"2 damaged\n" in done.stderr
    assert b"animals/cat.jpg: damaged" in done.stderr
    assert files_below(tmp_path / "out") == {name: file for name, file in FILES.items() if name not in ("animals/cat.jpg", "space/rocket.jpg")}
    done = unpack(pack, "-", "--index", list(FILES).index("animals/cat.jpg"))
    assert (done.returncode, done.stdout) == (3, b"") and b"damaged" in done.stderr


def test_what_is_no_pack_is_refused(unpack: Unpack, pack: Path, tmp_path: Path) -> None:
    for source, words in ((PHOTOS, b"is no pack"), ("nowhere.pack", b"nowhere.pack"), (PHOTOS / "animals/cat.jpg", b"cat.jpg")):
        done = unpack(source, "out")
        assert done.returncode == 1 and words in done.stderr
    os.truncate(pack, pack.stat().st_size - 1)
    done = unpack(pack, "out")
    assert done.returncode == 1 and b"copy it again" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("words", "sentence"), [
    ((), "which pack?"), (("a.pack",), "where to?"), (("a.pack", "b", "c"), "--only"), (("a.pack", "-"), "--index N"), (("a.pack", "b", "--fast"), "unknown flag"),
    (("", "b"), "name of the pack is empty"), (("a.pack", "b", "--index=x"), "--index"),
])  # fmt: skip
def test_misuse_is_told(unpack: Unpack, words: tuple[str, ...], sentence: str) -> None:
    done = unpack(*words)
    assert done.returncode == 2 and sentence in done.stderr.decode() and b"cropring unpack --help" in done.stderr


def test_a_full_disk_ends_it_without_half_files(unpack: Unpack, tmp_path: Path) -> None:
    write_pack(tmp_path / "a.pack", [Stored(f"{i}.jpg", bytes([i]) * 300_000) for i in range(20)])
    (tmp_path / "out").mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path / "out"], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted")
    try:
        done = unpack("a.pack", "out")
        assert done.returncode == 1 and b"No space left on device" in done.stderr
        found = files_below(tmp_path / "out")
        assert 1 <= len(found) <= 3 and all(file == bytes([int(name[:-4])]) * 300_000 for name, file in found.items())
    finally:
        subprocess.run(["umount", tmp_path / "out"], check=True)


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`endless(*words)`: an unpacking of more than anybody waits for, into `out`, that has begun."""
    write_pack(tmp_path / "big.pack", [Stored(f"{i}.jpg", b"") for i in range(200_000)])
    started = []

    def start(before: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([executable(), "unpack", "big.pack", "out", "-j3"], cwd=tmp_path, stderr=subprocess.PIPE, preexec_fn=before)
        started.append(process)
        eventually(lambda: (tmp_path / "out/0.jpg").exists(), "a first file")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("before", [None, refuse_nameless_files])
def test_a_signal_ends_it_and_leaves_whole_files_only(endless: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, number: int, before: Callable[[], None] | None) -> None:
    process = endless(before)
    process.send_signal(number)
    said = process.communicate(timeout=WATCHDOG_S)[1].decode()
    assert process.returncode == -number
    assert re.search(rf"out: stopped by {signal.Signals(number).name} after [0-9,]+ of 200,000 files, which are whole; with --force the same command writes all", said), said
    assert not [name for name in files_below(tmp_path / "out") if not name.endswith(".jpg")]


def test_a_kill_leaves_nothing_half(tmp_path: Path) -> None:
    files = {f"{i}.jpg": bytes([i]) * 20_000_000 for i in range(6)}
    write_pack(tmp_path / "a.pack", [Stored(name, file) for name, file in files.items()])
    for number in range(4):
        process = subprocess.Popen([executable(), "unpack", "a.pack", f"out{number}"], cwd=tmp_path, stderr=subprocess.DEVNULL)
        time.sleep(random.random() * 0.05)
        process.kill()
        process.wait()
        for name, file in files_below(tmp_path / f"out{number}").items():
            assert file == files[name]


@pytest.mark.parametrize("words", [(), ("--force",)])
def test_file_systems_without_nameless_files_do_as_well(unpack: Unpack, pack: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert unpack(pack, "out", *words, before=refuse_nameless_files).returncode == 0
    assert files_below(tmp_path / "out") == FILES
    done = unpack(pack, "out", *words, before=refuse_nameless_files)
    assert done.returncode == (0 if words else 1)
    assert files_below(tmp_path / "out") == FILES


def test_standard_output_that_is_full_is_told(pack: Path, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([executable(), "unpack", pack, "-", "-i0"], stdout=full, stderr=subprocess.PIPE, timeout=WATCHDOG_S)
    assert done.returncode == 1 and b"No space left" in done.stderr


# ---------------------------------------------------------------- what `cropring pack` wrote


def check_jpeg(file: bytes) -> None:
    """From SOI to EOI, and restart markers that count on; what libjpeg would forgive is not forgiven."""
    assert file[:2] == b"\xff\xd8" and file[-2:] == b"\xff\xd9"
    at, next_restart, scans = 2, 0, 0
    while file[at : at + 2] != b"\xff\xd9":
        assert file[at] == 0xFF and 0xC0 <= file[at + 1] <= 0xFE, at
        is_scan = file[at + 1] == 0xDA
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
        while is_scan:  # its entropy-coded data
            at = file.index(b"\xff", at)
            if 0xD0 <= file[at + 1] <= 0xD7:
                assert file[at + 1] == 0xD0 + next_restart
                next_restart = (next_restart + 1) % 8
            elif file[at + 1] != 0:
                scans += 1
                break
            at += 2
    assert scans == 1 and at == len(file) - 2


def check_png(file: bytes) -> None:
    """Chunks with right CRCs up to the end, and pixels that inflate to as many bytes as the picture has, with the right Adler-32."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    at, names, pixels = 8, [], b""
    while at < len(file):
        length = int.from_bytes(file[at : at + 4], "big")
        name, data = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        assert zlib.crc32(name + data) == int.from_bytes(file[at + 8 + length : at + 12 + length], "big")
        names.append(name)
        pixels += data if name == b"IDAT" else b""
        at += 12 + length
    assert at == len(file) and names[0] == b"IHDR" and names[-1] == b"IEND" and names.count(b"IEND") == 1
    first = names.index(b"IDAT")
    assert set(names[first : first + names.count(b"IDAT")]) == {b"IDAT"}
    width, height, bits, color = struct.unpack(">IIBB", file[16:26])
    row_bytes = 1 + (width * bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color] + 7) // 8
    inflater = zlib.decompressobj()
    assert len(inflater.decompress(pixels)) == height * row_bytes and inflater.eof and not inflater.unused_data


@pytest.mark.parametrize("flags", [(), ("--segment-px=64", "--png-rows=8", "--bmp-to-png", "--keep-metadata", "--shard-bytes=300K")])
def test_what_was_packed_is_the_same_picture_again(unpack: Unpack, tmp_path: Path, flags: tuple[str, ...]) -> None:
    subprocess.run([executable(), "pack", PHOTOS, tmp_path / "a.pack", "-q", *flags], check=True, timeout=WATCHDOG_S)
    assert unpack("a.pack", "out").returncode == 0
    found = files_below(tmp_path / "out")
    as_png = {name: name.replace(".bmp", ".png") if "--bmp-to-png" in flags else name for name in FILES}
    assert set(found) == set(as_png.values())
    for name, file in found.items():
        {".jpg": check_jpeg, ".png": check_png, ".bmp": lambda file: None}[name[-4:]](file)
    for before, after in as_png.items():
        with Image.open(PHOTOS / before) as theirs, Image.open(tmp_path / "out" / after) as ours:
            assert ours.format == {".jpg": "JPEG", ".png": "PNG", ".bmp": "BMP"}[after[-4:]]
            assert (ours.size, ours.mode, ours.tobytes()) == (theirs.size, theirs.mode, theirs.tobytes()), before
    with cropring.Pack(tmp_path / "a.pack") as pack:
        assert [*pack] == [found[as_png[name]] for name in pack.names]


def test_members_of_a_tar_keep_their_names(unpack: Unpack, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        for name in ("animals/cat.jpg", "space/galaxies.png"):
            archive.add(PHOTOS / name, name.replace("/", "-"))
    subprocess.run([executable(), "pack", tmp_path / "shard.tar", tmp_path / "a.pack", "-q"], check=True, timeout=WATCHDOG_S)
    assert unpack("a.pack", "out").returncode == 0
    assert set(files_below(tmp_path / "out")) == {"shard.tar/animals-cat.jpg", "shard.tar/space-galaxies.png"}


def test_samples_of_one_file_are_one_file_again(unpack: Unpack, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("path,x,y,width,height\n" + "".join(f"animals/cat.jpg,{x},0,10,10\n" for x in range(20)))
    subprocess.run([executable(), "pack", tmp_path / "boxes.csv", tmp_path / "a.pack", "-q", f"--root={PHOTOS}"], check=True, timeout=WATCHDOG_S)
    assert len(cropring.Pack(tmp_path / "a.pack")) == 20
    assert unpack("a.pack", "out").returncode == 0
    assert set(files_below(tmp_path / "out")) == {"animals/cat.jpg"}
