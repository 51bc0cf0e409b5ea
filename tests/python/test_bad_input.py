"""Files that are no images, or are no more: each kind under each rule of on_error."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cropring
from conftest import WATCHDOG_S, Server, eventually
from cropring import Status

Load = Callable[..., cropring.Loader]
GOOD_COUNT = 7


def make_jpeg(path: Path, size_px: tuple[int, int] = (64, 48)) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (*size_px[::-1], 3), np.uint8)
    Image.fromarray(noise).save(path, quality=90)
    return path.read_bytes()


def missing(path: Path) -> None:
    """Vanishes after the scan: see `spoiled`."""
    make_jpeg(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated_jpeg(path: Path) -> None:
    path.write_bytes(make_jpeg(path)[:-1500])


def truncated_png(path: Path) -> None:
    make_jpeg(path)
    png = path.with_suffix(".tmp")
    Image.open(path).save(png, "PNG")
    path.write_bytes(png.read_bytes()[:-2000])
    png.unlink()


def corrupt_jpeg(path: Path) -> None:
    data = bytearray(make_jpeg(path))
    tables = data.index(b"\xff\xc4")
    data[tables + 4 : tables + 24] = b"\xff" * 20  # a Huffman table that cannot be
    path.write_bytes(data)


def not_an_image(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>" * 20)


def too_many_pixels(path: Path) -> None:
    Image.new("L", (2000, 1001)).save(path, "PNG")


def too_many_bytes(path: Path) -> None:
    path.write_bytes(make_jpeg(path) + b"\0" * 2_000_000)


def directory(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unreadable(path: Path) -> None:
    """A link to itself: as unreadable as a file of mode 0, but also to root."""
    path.symlink_to(path.name)


def another_format(path: Path) -> None:
    Image.new("RGB", (40, 30)).save(path, "GIF")


KINDS: dict[str, tuple[Callable[[Path], None], set[Status]]] = {
    "missing": (missing, {Status.MISSING}),
    "empty": (empty, {Status.EMPTY}),
    "truncated JPEG": (truncated_jpeg, {Status.TRUNCATED}),
    "truncated PNG": (truncated_png, {Status.TRUNCATED}),
    "corrupt JPEG": (corrupt_jpeg, {Status.CORRUPT}),
    "no image": (not_an_image, {Status.NOT_AN_IMAGE}),
    "too many pixels": (too_many_pixels, {Status.TOO_LARGE}),
    "too many bytes": (too_many_bytes, {Status.TOO_LARGE}),
    "a directory": (directory, {Status.UNREADABLE}),
    "a FIFO": (fifo, {Status.UNREADABLE}),  # and nobody will ever write to it
    "unreadable": (unreadable, {Status.UNREADABLE}),
    "another format": (another_format, {Status.UNSUPPORTED, Status.NOT_AN_IMAGE}),
}
# What a scan of ordinary files leaves out never becomes a sample: it is spoiled after the scan.
SPOILED_LATER = {"missing", "a directory", "a FIFO", "unreadable"}
LIMITS = {"max_pixels": 2_000_000, "max_file_bytes": 1_000_000}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def source(tmp_path: Path, kind: str) -> Path:
    """Seven good JPEGs of which the fourth in order is of that kind."""
    root = tmp_path / "set"
    root.mkdir()
    for number in range(GOOD_COUNT + 1):
        make_jpeg(root / f"{number}.jpg")
    (root / "3.jpg").unlink()
    (make_jpeg if kind in SPOILED_LATER else KINDS[kind][0])(root / "3.jpg")
    return root


def open_loader(load: Load, source: Path, kind: str, on_error: str) -> cropring.Loader:
    """A loader in file order; where the file goes bad later, its first epochs are good."""
    loader = load(source, shuffle=False, on_error=on_error, **LIMITS)
    if kind in SPOILED_LATER:
        worker = Path(f"/proc/{loader._worker.process.pid}/stat")
        os.kill(loader._worker.process.pid, signal.SIGSTOP)  # so that it sees one thing or the other, nothing between
        eventually(lambda: ") T " in worker.read_text(), "the worker stopped")
        (source / "3.jpg").unlink()
        if kind != "missing":
            KINDS[kind][0](source / "3.jpg")
        os.kill(loader._worker.process.pid, signal.SIGCONT)
    return loader


def rows_of_the_bad_sample(loader: cropring.Loader) -> list[tuple[int, int, bool]]:
    """(index, status, blank) at the fourth position of some epochs, the last first; checks that all others are well.

    The ring holds an epoch and a half, so that in the last of them every file was read after it was spoiled.
    """
    found = []
    for _ in range(4):
        for number, batch in enumerate(loader):
            for row in range(len(batch)):
                blank = not batch.images[row].any()
                if number * 4 + row == 3:
                    found.append((int(batch.index[row]), int(batch.status[row]), blank))
                else:
                    assert batch.status[row] == Status.OK and batch.index[row] == number * 4 + row and not blank
    return found[::-1]


def test_substitute_takes_another_sample_and_tells(load: Load, source: Path, kind: str) -> None:
    loader = open_loader(load, source, kind, "substitute")
    index, status, blank = rows_of_the_bad_sample(loader)[0]
    assert index != 3 and not blank
    assert status & Status.SUBSTITUTED and Status(status & Status.REASON_MASK) in KINDS[kind][1]
    stats = loader.stats()
    assert stats["bad_samples"] > 0 and sum(stats[f"status_{reason.name.lower()}"] for reason in KINDS[kind][1]) > 0


def test_zero_leaves_the_row_black_and_tells(load: Load, source: Path, kind: str) -> None:
    index, status, blank = rows_of_the_bad_sample(open_loader(load, source, kind, "zero"))[0]
    assert index == 3 and blank and Status(status) in KINDS[kind][1]


def test_stop_raises_with_the_file_and_the_reason(load: Load, source: Path, kind: str) -> None:
    loader = open_loader(load, source, kind, "stop")
    with pytest.raises(cropring.BadSample, match=r"3\.jpg") as caught:
        for _ in range(10):
            for _ in loader:
                pass
    assert any(reason.name.lower() in str(caught.value) for reason in KINDS[kind][1])


def test_stop_is_exit_code_3_of_the_command(tmp_path: Path, serve: Callable[..., Server]) -> None:
    source = tmp_path / "set"
    source.mkdir()
    for number in range(16):
        (truncated_jpeg if number == 13 else make_jpeg)(source / f"{number:02}.jpg")
    server = serve("--on-error=stop", "--no-shuffle", source=source)  # the bad one is in the fourth batch, of three slots
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        for begin in (0, 4, 8):
            assert next(reader).index.tolist() == list(range(begin, begin + 4))
        with pytest.raises(cropring.WorkerDied, match=r"failed: .*13\.jpg"):
            next(reader)
    assert server.wait() == 3
    assert "13.jpg" in server.process.stderr.read()


def test_the_same_sample_always_gets_the_same_substitute(load: Load, tmp_path: Path) -> None:
    source = tmp_path / "set"
    source.mkdir()
    for number in range(12):
        (not_an_image if number % 4 == 1 else make_jpeg)(source / f"{number:02}.jpg")
    runs = []
    for threads in (1, 3):
        with load(source, threads=threads, seed=3) as loader:
            runs.append([(batch.index.tolist(), batch.status.tolist(), batch.images.tobytes()) for _ in range(2) for batch in loader])
    assert runs[0] == runs[1]
    assert {index for indexes, _, _ in runs[0] for index in indexes}.isdisjoint({1, 5, 9})


def test_a_set_of_nothing_but_bad_files_gives_black_rows_and_no_hang(load: Load, tmp_path: Path) -> None:
    source = tmp_path / "set"
    source.mkdir()
    for number in range(4):
        not_an_image(source / f"{number}.jpg")
    for batch in load(source):
        assert not batch.images.any() and set(batch.status.tolist()) == {Status.NOT_AN_IMAGE}
        assert sorted(batch.index.tolist()) == [0, 1, 2, 3]


def test_a_bad_sample_is_no_failure_of_the_others(load: Load, tmp_path: Path) -> None:
    source = tmp_path / "set"
    source.mkdir()
    makers = [maker for maker, _ in KINDS.values() if maker not in (directory, fifo, missing, unreadable)]
    for number in range(40):
        (makers[number // 4 % len(makers)] if number % 4 == 2 else make_jpeg)(source / f"{number:02}.jpg")
    loader = load(source, shuffle=False, on_error="zero", **LIMITS)
    for batch in loader:
        assert (batch.status != 0).tolist() == [False, False, True, False]
