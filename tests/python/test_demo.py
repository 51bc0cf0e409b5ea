"""python -m cropring.demo: its picture, its summary, and the program that it prints."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from conftest import WATCHDOG_S

pytest.importorskip("tqdm", reason="the demo's progress line needs tqdm")


def demo(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cropring.demo", *words], capture_output=True, text=True, timeout=WATCHDOG_S)


def test_it_draws_the_first_batch_and_sums_up(photos: Path, tmp_path: Path) -> None:
    picture = tmp_path / "demo.png"
    count = sum(1 for _ in photos.glob("*/*"))
    done = demo(photos, "-o", picture)
    assert done.returncode == 0
    headings = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[:5])
    assert list(headings) == ["images", "speed", "work", "waiting", "picture"]
    assert headings["images"] == f"{count} in {-(-count // 32)} batches, 7 classes" and headings["picture"] == str(picture)
    last = done.stderr.replace("\r", "\n").strip().splitlines()[-1]
    assert f"{count} images" in last and "MB/s read" in last and "batches ready" in last and len(last) <= 80
    image = Image.open(picture).convert("RGB")
    assert image.width > 1000 and len(image.getcolors(image.width * image.height) or []) > 10_000


@pytest.mark.parametrize(("kind", "is_told"), [("too-short", False), ("balanced", True)])
def test_the_verdict_is_told_when_there_is_one(kind: str, is_told: bool) -> None:
    from cropring.demo import summary

    verdict: Any = SimpleNamespace(kind=kind, sentence="who waits")
    loader: Any = SimpleNamespace(dataset=range(9), classes=[], report=lambda since: verdict)
    counters = dict.fromkeys(("uring", "bytes_read", "cpu_ns", "threads", "reader_wait_ns", "loader_wait_ns", "bad_samples"), 0)
    assert (("verdict", "who waits") in summary(loader, counters, batches=1, elapsed_s=1.0)) == is_told


def test_the_program_that_it_prints_runs(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"it's": 3, 'a "class"': 4})
    done = demo(source, "-o", tmp_path / "demo.png")
    program = textwrap.dedent(done.stdout.partition("in your program:\n")[2])
    assert program.strip()
    names: dict[str, object] = {}
    exec(program, names)  # noqa: S102: that is the point
    assert names["images"].shape == (7, 224, 224, 3)
    names.clear()


def test_quiet_says_nothing(folder: Callable[..., Path], tmp_path: Path) -> None:
    done = demo(folder(1), "-q", "-o", tmp_path / "demo.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and (tmp_path / "demo.png").exists()


def test_bad_files_are_counted_and_shown(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"a": 5})
    (source / "a/001.jpg").write_bytes(b"")
    done = demo(source, "-o", tmp_path / "demo.png")
    assert done.returncode == 0 and "1 of 5 samples, others took their places (files that failed: 1 empty)" in done.stdout


def test_a_folder_without_images_is_one_sentence(tmp_path: Path) -> None:
    done = demo(tmp_path, "-o", tmp_path / "demo.png")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and str(tmp_path) in done.stderr
