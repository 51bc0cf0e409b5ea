"""cropring sheet: the pixels of a batch on a page, what stands beside them, and what is said when there is none."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import cropring
from cropring import contact_sheet as page
from conftest import WATCHDOG_S, Server, eventually, ring_names
from cropring.command import run
from cropring.rerun import Told, consumed_before, next_batch
from cropring.sheet import main as sheet_main

Load = Callable[..., cropring.Loader]


def sheet(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What the command does, in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        exit_code = run(sheet_main, [os.fspath(word) for word in words])
    return subprocess.CompletedProcess(words, exit_code, output.getvalue(), errors.getvalue())


def tiles(path: Path, count: int, columns: int, size_px: int, panels: int = 1) -> NDArray[np.uint8]:
    """(count, panels, size, size, 3): what is drawn on a sheet of square images."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    step_x, step_y = panels * (size_px + page.PANEL_GAP_PX) - page.PANEL_GAP_PX + page.GAP_PX, size_px + page.CAPTION_PX + page.GAP_PX
    found = []
    for row in range(count):
        x = page.MARGIN_PX + row % columns * step_x
        y = page.MARGIN_PX + page.TITLE_PX + row // columns * step_y
        found.append([picture[y : y + size_px, x + left : x + left + size_px] for left in range(0, panels * (size_px + 6), size_px + 6)])
    return np.array(found)


def inner(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without the rounded corners' rows and columns."""
    return pixels[..., 10:-10, 10:-10, :]


def test_the_sheet_shows_the_pixels_of_that_batch(photos: Path, tmp_path: Path, load: Load) -> None:
    done = sheet(photos, "-o", tmp_path / "sheet.png", "-b4", "-s128", "--epoch=2", "--batch=3", "--seed=5", "--columns=3", "--tail=drop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    loader = load(batch_size=4, size=128, seed=5)
    loader.set_epoch(2)
    batch = [batch.images.copy() for batch in loader][3]
    assert np.array_equal(inner(tiles(tmp_path / "sheet.png", 4, 3, 128)[:, 0]), inner(batch))


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_normalised_pixels_are_shown_as_they_were(photos: Path, tmp_path: Path, load: Load, layout: str) -> None:
    normalise = ["--dtype=float32", f"--layout={layout}", "--mean=0.485,0.456,0.406", "--std=0.229,0.224,0.225"]
    assert sheet(photos, "-o", tmp_path / "sheet.png", "-b4", "-s128", "--columns=4", *normalise).returncode == 0
    batch = next(iter(load(batch_size=4, size=128)))
    assert np.array_equal(inner(tiles(tmp_path / "sheet.png", 4, 4, 128)[:, 0]), inner(batch.images))


def test_gray_and_small_images_are_shown_enlarged(photos: Path, tmp_path: Path, load: Load) -> None:
    assert sheet(photos, "-o", tmp_path / "sheet.png", "-b2", "-s32", "--channels=1", "--columns=2").returncode == 0
    batch = next(iter(load(batch_size=2, size=32, channels=1)))
    drawn = tiles(tmp_path / "sheet.png", 2, 2, 96)[:, 0]
    assert np.array_equal(inner(drawn), inner(batch.images.repeat(3, 1).repeat(3, 2).repeat(3, 3)))


@pytest.mark.parametrize("kind", ["folder", "pack", "tar"])
def test_boxes_are_drawn_where_the_crop_was_cut(tmp_path: Path, kind: str, command: Callable[..., object]) -> None:
    """A picture of 400x400 whose quarters have colours of their own, and a box that is its lower right quarter."""
    source = tmp_path / "set"
    source.mkdir()
    quarters = np.kron(np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [40, 40, 40]]], np.uint8), np.ones((200, 200, 1), np.uint8))
    Image.fromarray(quarters).save(source / "a.png")
    words: list[str | Path] = ["--crop=random", "-s200", "--hflip=0"]
    if kind == "folder":
        (tmp_path / "m.csv").write_text("path,x,y,width,height\na.png,200,200,200,200\n")
        words = [tmp_path / "m.csv", f"--root={source}", "--crop=box", "-s200", "--hflip=0"]
    elif kind == "pack":
        command("pack", source, tmp_path / "p.pack")
        words.insert(0, tmp_path / "p.pack")
    else:
        subprocess.run(["tar", "-C", source, "-cf", tmp_path / "t.tar", "a.png"], check=True)
        words.insert(0, tmp_path / "t.tar")
    done = sheet(*words, "--boxes", "--tile=400", "-o", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    crop, drawn = tiles(tmp_path / "sheet.png", 1, 1, 400, 2)[0]
    blue = (drawn == (47, 111, 222)).all(-1)
    top, left = (int(edge.min()) for edge in np.nonzero(blue))
    bottom, right = (int(edge.max()) for edge in np.nonzero(blue))
    assert (bottom - top, right - left) == pytest.approx((199, 199), abs=2)  # a box of 200x200 in a picture of 400x400
    if kind == "folder":
        assert (top, left) == pytest.approx((200, 200), abs=2)
        assert (crop[100, 100] == 40).all()
    assert not blue[top + 20 : bottom - 20, left + 20 : right - 20].any()


def test_padding_bad_and_substituted_rows_are_marked(folder: Callable[..., Path], tmp_path: Path) -> None:
    """Their badges are not there on rows that are as they were planned."""
    source = folder({"a": 5})
    (source / "a/001.jpg").write_bytes(b"")
    badges = {}
    for name, words in {"substitute": [], "bad": ["--on-error=zero"], "padding": ["--tail=pad", "-b7"]}.items():
        path = tmp_path / f"{name}.png"
        assert sheet(source, "-o", path, "-s128", "--no-shuffle", "--columns=7", *words).returncode == 0
        drawn = tiles(path, 7 if name == "padding" else 5, 7, 128)[:, 0]
        badges[name] = [bool((tile[10:26, 10:60] == (255, 255, 255)).all(-1).any()) for tile in drawn]
    assert badges["substitute"] == badges["bad"] == [False, True, False, False, False]
    assert badges["padding"] == [False, True, False, False, False, True, True]


def test_targets_stand_beside_their_images(tmp_path: Path) -> None:
    for name, mode, colour in (("images", "RGB", (10, 200, 30)), ("masks", "L", 0)):
        (tmp_path / name).mkdir()
        Image.new(mode, (64, 64), colour).save(tmp_path / name / "1.png")
    done = sheet(tmp_path / "images", f"--targets={tmp_path / 'masks'}", "-s128", "--crop=resize", "-o", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    image, target = tiles(tmp_path / "sheet.png", 1, 1, 128, 2)[0]
    assert (inner(image) == (10, 200, 30)).all() and (inner(target) == 0).all()


@pytest.mark.parametrize("share", ["split", "lanes", "broadcast"])
def test_the_next_batch_of_a_running_ring_is_drawn_and_not_taken(
    photos: Path, tmp_path: Path, serve: Callable[..., Server], share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever epoch it is in, however the flags were said, and wherever its relative paths begin."""
    words = ["--epochs=3", "-s", "128", "--start-sample=5", "--start-ep", "2", f"--share={share}", "--readers=1"]
    words += ["--no-sh"] if share == "split" else []
    monkeypatch.chdir(photos.parent)
    shuffle = {"CROPRING_SHUFFLE": "1" if share == "lanes" else "off"}
    server = serve(*words, source=photos.name, env={"CROPRING_SEED": "9", "CROPRING_HFLIP": "0"} | shuffle)
    eventually(lambda: server.name in ring_names(), "the ring up")
    monkeypatch.chdir(tmp_path)
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        drawn, taken = [], []
        while True:
            eventually(lambda: reader.stats()["slots_ready"] or reader.stats()["batches"] == 7 + 8 + 8, "a batch that is ready")
            if not reader.stats()["slots_ready"]:
                break
            if len(taken) % 4 == 0:
                done = sheet("--ring", server.name, "-o", tmp_path / "sheet.png", "--columns=4")
                assert done.returncode == 0, done.stderr
                drawn.append(inner(tiles(tmp_path / "sheet.png", 4, 4, 128)[:, 0]))
            batch = next(reader)
            taken.append((batch.seq, inner(batch.images).copy()))
            del batch
        assert [seq for seq, _ in taken] == list(range(23))
        assert [np.array_equal(picture, images) for picture, (_, images) in zip(drawn, taken[::4])] == [True] * 6


def test_what_cannot_be_drawn_is_said_in_a_sentence(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    for words, exit_code, text in (
        ([photos], 2, "-o is missing"),
        (["-o", path], 2, "either SOURCE is expected"),
        ([photos, "--ring=x", "-o", path], 2, "either SOURCE is expected"),
        (["--ring=x", "-o", path, "--size=8"], 2, "--size: with --ring all that is the worker's own"),
        (["--ring=no-such-ring", "-o", path], 1, "no-such-ring"),
        ([photos, "-o", path, "--size=big"], 2, "--size: 'big' is not a side"),
        ([photos, "-o", path, "--batch=9"], 2, "--batch 9: an epoch of "),
        ([photos, "-o", path, "--batch=1", "--tail=drop"], 2, "--batch 1: "),
        ([photos, "-o", path, "--epoch=x"], 2, "--epoch x: a whole number"),
        ([tmp_path / "nowhere", "-o", path], 1, "nowhere"),
        ([photos, "-o", tmp_path / "no/sheet.png"], 1, "no/sheet.png: No such file"),
        ([photos, "-o", tmp_path / "sheet.xyz"], 2, "sheet.xyz: a name that ends in .png"),
    ):
        done = sheet(*words)
        assert done.returncode == exit_code and text in done.stderr and done.stderr.startswith("cropring: "), (words, done)
        assert "Traceback" not in done.stderr and not path.exists()


def test_without_pillow_the_way_to_get_it_is_told(photos: Path, tmp_path: Path) -> None:
    program = "import sys; sys.modules['PIL'] = None; sys.argv = ['cropring', *sys.argv[1:]]; from cropring._cli import main; main()"
    words: list[str | Path] = [sys.executable, "-c", program, "sheet", photos, "-o", tmp_path / "sheet.png"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=WATCHDOG_S)
    assert done.returncode == 1
    assert done.stderr == "cropring: `cropring sheet` needs PIL, which is not installed: pip install 'cropring[sheet]'\n"


@pytest.mark.parametrize(
    ("flags", "seq", "epoch", "consumed"),
    [
        ({}, 100, 2, 8),  # the first batch of a run that began with batch 100 and sample 8 of epoch 2
        ({}, 103, 2, 32),
        ({}, 104, 3, 0),
        ({}, 110, 4, 8),  # 4 batches of epoch 2, 5 of epoch 3
        ({"limit": "24"}, 103, 3, 8),
        ({"limit": "99"}, 110, 4, 8),  # no more than there are
        ({"limit": "99", "weights": "w.npy"}, 112, 3, 8),  # but for weights, by which samples come again
    ],
)
def test_where_a_batch_of_a_running_ring_stands_in_its_epoch(flags: dict[str, str], seq: int, epoch: int, consumed: int) -> None:
    given = dict.fromkeys(("tail", "limit", "weights")) | {"batch_size": "4", "world_size": "2"} | flags
    told = Told("photos", given, ".", start_epoch=2, start_sample=8, first_batch=100)
    assert consumed_before(told, seq, epoch, 40) == consumed


def test_the_next_batch_is_the_oldest_that_is_ready_also_where_their_numbers_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {0: "ready", 2**32 - 1: "ready", 2**32 - 2: "held", 1: "filling"}
    slots = [{"state": state, "seq": seq, "epoch": seq % 5} for seq, state in numbers.items()]
    observer = SimpleNamespace(snapshot=lambda: {"name": "train", "slots": slots})
    monkeypatch.setattr("cropring.rerun.Observer", SimpleNamespace(attach=lambda name: nullcontext(observer)))
    assert next_batch("train")[1:] == (2**32 - 1, (2**32 - 1) % 5)
