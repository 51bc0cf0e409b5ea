"""`cropring info`: what it says is in a pack, a source or an image, and that crops cost what it says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cropring
from conftest import PHOTOS, WATCHDOG_S, eventually
from cropring._cli import executable
from pack_writer import BMP, JPEG, PNG, Stored, write_pack, xxh3

FILES = sorted(path for path in PHOTOS.rglob("*") if path.is_file())
SIZES = [Image.open(path).size for path in FILES]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [executable(), *map(str, words)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WATCHDOG_S)


def info(*words: object) -> dict[str, Any]:
    """`cropring info --json`."""
    done = run("info", *words, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images that are worth packing: a JPEG, a progressive one with restart markers, a PNG and a BMP."""
    folder = tmp_path_factory.mktemp("large")
    grain = np.random.default_rng(1).integers(0, 60, (1001, 1603, 3), np.uint8)
    image = Image.fromarray((np.asarray(Image.open(PHOTOS / "animals/cat.jpg").resize((1603, 1001))) // 2 + grain).astype(np.uint8))
    image.save(folder / "a.jpg", quality=85)
    image.save(folder / "b.jpg", progressive=True, restart_marker_rows=1)
    image.convert("L").save(folder / "c.png")
    image.save(folder / "d.bmp")
    return folder


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory, large: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packs")
    made = {}
    for name, source, flags in (("photos", PHOTOS, ()), ("large", large, ()), ("shards", PHOTOS, ("--shard-bytes=400K", "--segment-px=96", "--png-rows=16"))):
        made[name] = folder / f"{name}.pack"
        assert run("pack", source, made[name], *flags).returncode == 0
    return made


# ---------------------------------------------------------------- packs


def test_counts_formats_and_sizes_are_those_of_the_source(packs: dict[str, Path]) -> None:
    found = info(packs["photos"])
    assert (found["kind"], found["version"], found["samples"], found["images"], found["targets"], found["classes"]) == ("pack", 1, len(FILES), len(FILES), 0, 7)
    assert found["formats"] == {"JPEG": 20, "PNG": 9, "BMP": 5, "other": 0}
    by_area = sorted(SIZES, key=lambda size: size[0] * size[1])
    assert [found["sizes"]["smallest"], found["sizes"]["largest"]] == [[*by_area[0]], [*by_area[-1]]]
    median = found["sizes"]["median"]
    assert median[0] * median[1] == by_area[(len(by_area) - 1) // 2][0] * by_area[(len(by_area) - 1) // 2][1]
    assert found["original_bytes"] == sum(path.stat().st_size for path in FILES)
    assert found["bytes"] == packs["photos"].stat().st_size
    pack = cropring.Pack(packs["photos"])
    infos = [pack.image_info(number) for number in range(len(pack))]
    assert found["image_bytes"] == sum(one.byte_count for one in infos) and found["table_bytes"] == sum(one.table_bytes for one in infos)
    assert found["with_segments"] == sum(one.table_bytes > 0 for one in infos)
    assert (found["segment_px"], found["png_rows"]) == (0, 0)


def test_shards_and_the_rules_of_packing_are_told(packs: dict[str, Path]) -> None:
    found = info(packs["shards"])
    shards = sorted(packs["shards"].parent.glob("shards-*.shard"))
    assert found["shards"] == len(shards) > 1
    assert found["bytes"] == packs["shards"].stat().st_size + sum(path.stat().st_size for path in shards)
    assert (found["segment_px"], found["png_rows"]) == (96, 16)
    assert found["segments"]["PNG"]["rows"] == 16 and 64 <= found["segments"]["JPEG"]["width_px"] <= 128
    text = run("info", packs["shards"]).stdout
    assert "--segment-px 96 --png-rows 16" in text and f"in 1 + {len(shards)} files" in text


@pytest.mark.parametrize("source", ["photos", "large", "loose photos", "loose large"])
@pytest.mark.parametrize("rule", ["random", "center", "random-resized"])
def test_a_crop_reads_exactly_what_is_told(packs: dict[str, Path], large: Path, source: str, rule: str) -> None:
    path = packs.get(source) or (large if source == "loose large" else PHOTOS)
    found = info(path, "--size=80x100", "--seed=5")
    crops = found["crops"]["packed" if source in packs else "now"][rule]
    with cropring.Loader(path, batch_size=1, size=(80, 100), crop=rule, seed=5, epochs=4, threads=1) as loader:
        for _ in range(4):
            for _ in loader:
                pass
            read_bytes = loader.stats()["bytes_read"]
    assert found["crops"]["images"] == found["samples"] == found["sampled"]
    assert round(crops["read_bytes"] * 4 * found["samples"]) == read_bytes
    assert 0 < crops["decoded_share"] <= 1 and 0 < crops["read_share"] <= 1.2


def test_what_packing_would_cost_and_save_is_what_it_costs_and_saves(packs: dict[str, Path], large: Path) -> None:
    for source, pack in ((PHOTOS, packs["photos"]), (large, packs["large"])):
        loose, packed = info(source), info(pack)
        assert loose["crops"]["packed"] == packed["crops"]["packed"]
        assert loose["segments"] == packed["segments"]
        assert loose["would_be_bytes"] == packed["image_bytes"] + packed["table_bytes"]
        assert sum(one["images"] for one in loose["would_be"] if one["outcome"] == "segmented") == packed["with_segments"]


def test_the_share_that_is_decoded_is_that_of_the_segments_around_the_boxes(packs: dict[str, Path], large: Path, tmp_path: Path) -> None:
    """Rows of a PNG, MCUs of 16 x 16 pixels of a JPEG with one more on each side; the last segment is shorter than the others."""
    for name, kind, size in (("c.png", "PNG", (800, 300)), ("a.jpg", "JPEG", (900, 600))):
        folder = tmp_path / kind
        folder.mkdir()
        for number in range(5):
            os.link(large / name, folder / f"{number}{name[1:]}")
        assert run("pack", folder, tmp_path / f"{kind}.pack").returncode == 0
        found = info(tmp_path / f"{kind}.pack", f"--size={size[0]}x{size[1]}", "--seed=9")
        shares = []
        with cropring.Loader(tmp_path / f"{kind}.pack", batch_size=1, size=size, crop="random", seed=9, epochs=4, threads=1) as loader:
            boxes = [batch["box"][0].tolist() for _ in range(4) for batch in loader]
        for x, y, width, height in boxes:
            if kind == "PNG":
                unit, all_units = round(found["segments"][kind]["rows"]), 1001
                wanted = set(range(y // unit, (y + height - 1) // unit + 1))
            else:
                unit, all_units = round(found["segments"][kind]["width_px"] / 16), 101 * 63
                columns = max(x // 16 - 1, 0), min((x + width + 15) // 16 + 1, 101)
                rows = range(max(y // 16 - 1, 0), min((y + height + 15) // 16 + 1, 63))
                wanted = {mcu // unit for row in rows for mcu in range(row * 101 + columns[0], row * 101 + columns[1])}
            shares.append(sum(min(unit, all_units - number * unit) for number in wanted) / all_units)
        assert found["crops"]["packed"]["random"]["decoded_share"] == pytest.approx(sum(shares) / 20)


def test_a_pack_is_worth_it_for_small_crops_of_large_images(packs: dict[str, Path]) -> None:
    crops = info(packs["large"], "--size=100")["crops"]
    assert crops["packed"]["random"]["read_bytes"] < crops["whole"]["bytes"] / 5
    assert crops["packed"]["random"]["decoded_share"] < 0.2
    assert crops["packed"]["random"]["decoded_px"] >= 100 * 100


def test_a_whole_image_decodes_all_of_its_segments(large: Path) -> None:
    """MCUs and rows are counted up to the last, partial ones included."""
    for name in ("a.jpg", "c.png"):
        crops = info(large / name, "--size=1001x1603")["crops"]
        assert crops["packed"]["random"]["decoded_share"] == 1


def test_the_sample_is_chosen_by_the_seed(packs: dict[str, Path]) -> None:
    first, again, other = (info(packs["photos"], "--sample=7", f"--seed={seed}") for seed in (1, 1, 2))
    assert first == again and first["crops"] != other["crops"] and first["sampled"] == 7
    none = info(packs["photos"], "--sample=0")
    assert none["sampled"] == 0 and none["crops"]["packed"]["random"]["read_bytes"] == 0 and none["formats"] == first["formats"]
    assert "A crop" not in run("info", packs["photos"], "-n0").stdout


def test_samples_that_share_an_image_count_it_once(tmp_path: Path) -> None:
    image = Stored("a.jpg", FILES[0].read_bytes(), JPEG, *SIZES[0])
    mask = Stored("m.png", b"mask", PNG, 3, 3)
    image.target = mask
    found = info(write_pack(tmp_path / "a.pack", [image, image, Stored("b.bmp", b"BM", BMP, 9, 9, target=mask)]))
    assert (found["samples"], found["images"], found["targets"]) == (3, 2, 1)
    assert found["formats"] == {"JPEG": 1, "PNG": 1, "BMP": 1, "other": 0}


# ---------------------------------------------------------------- --verify


def test_a_sound_pack_is_verified(packs: dict[str, Path]) -> None:
    for pack in packs.values():
        found = info(pack, "--verify", "--sample=0")
        assert (found["damaged_images"], found["damaged_tables"]) == (0, 0)
        assert "every image and every table is what was packed" in run("info", pack, "--verify").stdout


def test_damage_is_found_and_named(packs: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.pack"
    shutil.copy(packs["photos"], copy)
    pack = cropring.Pack(copy)
    places = [(int(pack._columns["offset"][i]), pack.image_info(i)) for i in range(len(pack))]
    tables = [i for i, (_, one) in enumerate(places) if one.table_bytes > 200]
    data = bytearray(copy.read_bytes())
    for number in (3, 10):  # images
        data[places[number][0] + places[number][1].byte_count // 2] ^= 8
    for number, back in ((tables[0], 1), (tables[1], 20), (tables[2], places[tables[2]][1].table_bytes)):  # last check, last group, header
        at, one = places[number]
        data[-(-(at + one.byte_count) // 8) * 8 + one.table_bytes - back] ^= 8
    copy.write_bytes(data)
    done = run("info", copy, "--verify", "--json", "--threads=3")
    found = json.loads(done.stdout)
    assert done.returncode == 3
    assert (found["damaged_images"], found["damaged_tables"]) == (2, 3)
    for number in (3, 10):
        assert f"{pack.names[number]}: damaged: its checksum is wrong" in done.stderr
    for number in tables[:3]:
        assert f"{pack.names[number]}: its table of segments is damaged" in done.stderr
    assert "2 images are damaged, and the tables of 3" in run("info", copy, "--verify").stdout


def ended_by_signal(*words: object) -> bytes:
    """What `cropring info` says when a signal comes after 0.2 s of work."""
    process = subprocess.Popen([executable(), "info", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    eventually(lambda: sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().split()[13:15])) > 20, "0.2 s of work")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=WATCHDOG_S)
    assert process.returncode == -signal.SIGINT and not out
    return said


def test_a_signal_ends_the_verifying(tmp_path: Path) -> None:
    first = Stored("0.jpg", bytes(20_000_000), format=0)
    samples = [first] + [Stored(f"{i}.jpg", first.file, format=0, checksum=i, lies_with=first) for i in range(1, 1000)]
    assert b"not all of the pack was looked at" in ended_by_signal(write_pack(tmp_path / "a.pack", samples), "--verify")


def test_a_table_that_contradicts_itself_is_damaged(packs: dict[str, Path], tmp_path: Path) -> None:
    """The second group begins a byte later than the first one ends, and has the right check."""
    pack = cropring.Pack(packs["large"])
    image = pack.image_info(0)
    data = bytearray(packs["large"].read_bytes())
    table = -(-(int(pack._columns["offset"][0]) + image.byte_count) // 8) * 8
    group_bytes = 4 + 32 * data[table + 6] + 2
    group = table + 40 + group_bytes
    data[group : group + 4] = (int.from_bytes(data[group : group + 4], "little") + 1).to_bytes(4, "little")
    data[group + group_bytes - 2 : group + group_bytes] = (xxh3(bytes(data[group : group + group_bytes - 2]), seed=1) & 0xFFFF).to_bytes(2, "little")
    (tmp_path / "a.pack").write_bytes(data)
    assert json.loads(run("info", tmp_path / "a.pack", "--verify", "--json").stdout)["damaged_tables"] == 1


def test_only_a_pack_can_be_verified() -> None:
    for source in (PHOTOS, FILES[0]):
        done = run("info", source, "--verify")
        assert done.returncode == 1 and "is no pack, and has no checksums" in done.stderr and not done.stdout


# ---------------------------------------------------------------- images


@pytest.mark.parametrize(("save", "words"), [
    ({"format": "JPEG", "subsampling": 2}, "baseline, 4:2:0, no restart markers"),
    ({"format": "JPEG", "subsampling": 1, "progressive": True}, "progressive, 4:2:2, no restart markers"),
    ({"format": "JPEG", "subsampling": 0, "restart_marker_blocks": 7}, "baseline, 4:4:4, a restart marker every 7 MCUs"),
    ({"format": "JPEG", "mode": "L", "restart_marker_rows": 1}, "baseline, a restart marker every 25 MCUs"),
    ({"format": "PNG"}, "RGB"), ({"format": "PNG", "mode": "P"}, "palette"), ({"format": "PNG", "mode": "LA"}, "gray and alpha"),
])  # fmt: skip
def test_the_kind_of_an_image_is_told(tmp_path: Path, save: dict[str, Any], words: str) -> None:
    image = Image.open(FILES[0]).resize((200, 100)).convert(save.pop("mode", "RGB"))
    image.save(tmp_path / "image", **save)
    found = info(tmp_path / "image")
    assert (found["kind"], found["detail"], found["sizes"]["largest"]) == ("file", words, [200, 100])
    text = run("info", tmp_path / "image").stdout
    assert f"a {save['format']} of 200x100 pixels" in text and words in text


def test_a_progressive_image_is_decoded_whole(tmp_path: Path) -> None:
    Image.open(FILES[0]).save(tmp_path / "a.jpg", progressive=True)
    Image.open(FILES[0]).save(tmp_path / "b.jpg")
    shares = [info(tmp_path / name, "--size=20")["crops"]["now"]["random"]["decoded_share"] for name in ("a.jpg", "b.jpg")]
    assert shares[0] == 1 and shares[1] < 1


def test_a_damaged_image_is_told_of_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(FILES[0].read_bytes()[:500])
    done = run("info", tmp_path / "a.jpg")
    assert done.returncode == 0 and "damaged" in done.stdout
    assert info(tmp_path / "a.jpg")["would_be"][0]["outcome"] == "damaged"


@pytest.mark.parametrize(("content", "words"), [
    (b"", "is empty"), (b"RIFF\0\0\0\0WEBPVP8 ", "WebP file, which is not read"), (b"hello", "neither an image"),
])  # fmt: skip
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x").write_bytes(content)
    done = run("info", tmp_path / "x")
    assert done.returncode == 1 and words in done.stderr and not done.stdout


def test_other_mistakes_are_told(tmp_path: Path, packs: dict[str, Path]) -> None:
    for words, code, sentence in (
        ((), 2, "of what?"),
        (("a", "b"), 2, "one file, pack or source at a time"),
        (("a", "--sizes=3"), 2, "did you mean --size"),
        ((tmp_path / "nowhere",), 1, "nowhere"),
        ((FILES[0], "--max-file-bytes=1000"), 1, "over --max-file-bytes 1000"),
    ):
        done = run("info", *words)
        assert done.returncode == code and sentence in done.stderr and not done.stdout
    copy = tmp_path / "copy.pack"
    shutil.copy(packs["photos"], copy)
    os.truncate(copy, copy.stat().st_size - 1)
    done = run("info", copy)
    assert done.returncode == 1 and "copy it again" in done.stderr


def test_any_bytes_of_a_header_are_told_of_or_refused(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    for path in (FILES[0], next(path for path in FILES if path.suffix == ".png")):
        data = path.read_bytes()[:6000]
        for _ in range(25):
            spoiled = bytearray(data)
            for at in chance.integers(3, 700, 3):
                spoiled[at] = chance.integers(256)
            (tmp_path / "x").write_bytes(spoiled[: chance.integers(4, len(data))])
            assert run("info", tmp_path / "x", "--json").returncode in (0, 1)


# ---------------------------------------------------------------- sources


def test_a_file_of_a_source_that_cannot_be_read_is_named_and_the_others_are_told_of(tmp_path: Path) -> None:
    for number in range(3):
        shutil.copy(FILES[0], tmp_path / f"{number}.jpg")
    (tmp_path / "3.jpg").write_bytes(b"no image")
    os.mkfifo(tmp_path / "4.jpg")
    found = run("info", tmp_path)
    assert found.returncode == 0 and "3 JPEG, " in found.stdout and "damaged or of another kind" in found.stdout


def test_a_table_is_a_source_as_well(tmp_path: Path) -> None:
    rows = [f"{path},{x},0,10,10" for path in FILES[:2] for x in (0, 5)]
    (tmp_path / "boxes.csv").write_text("path,x,y,width,height\n" + "\n".join(rows) + "\n")
    found = info(tmp_path / "boxes.csv", "--root=/")
    assert (found["kind"], found["samples"], found["images"]) == ("source", 4, 2)


def test_a_signal_ends_the_looking(tmp_path: Path) -> None:
    Image.effect_noise((3000, 3000), 80).save(tmp_path / "0.png")
    for number in range(1, 100):
        os.link(tmp_path / "0.png", tmp_path / f"{number}.png")
    assert b"not all of the sample was looked at" in ended_by_signal(tmp_path)


def test_output_that_is_full_is_told(packs: dict[str, Path]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([executable(), "info", packs["photos"]], stdout=full, stderr=subprocess.PIPE, timeout=WATCHDOG_S)
    assert done.returncode == 1 and b"standard output" in done.stderr
