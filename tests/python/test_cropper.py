"""Crops on request: what comes back, from whichever thread and in whichever way it was asked for."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cropring
from conftest import WATCHDOG_S, eventually
from cropring import BadSample, Status
from cropring.exchange import CropFuture

Make = Callable[..., cropring.Cropper]
Folder = Callable[..., Path]


@pytest.fixture
def files(folder: Folder) -> list[Path]:
    """Twenty JPEGs, each of a colour of its own, 40 pixels wide."""
    return sorted(folder(20).iterdir())


def whole(path: Path, size: tuple[int, int] = (32, 32), box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    return np.asarray((image.crop(box) if box else image).resize(size[::-1], Image.Resampling.BILINEAR))


# ---------------------------------------------------------------- what is cut out


def test_windows_are_those_of_pillow(cropper: Make, files: list[Path]) -> None:
    batch = cropper(max_img_percent=0.5)(files, np.linspace(0, 1, 20), 0.25, [0.5, 1] * 10)
    assert batch.images.shape == (20, 32, 32, 3) and not batch.status.any()
    for row, path in enumerate(files):
        left, height = min(int(np.float32(row / 19) * 40), 20), 40 + row % 3
        x, y, width, rows = batch.box[row].tolist()
        assert (x, y, width, rows) == (left, 10, 20, height // 2)
        np.testing.assert_array_equal(batch.images[row], whole(path, box=(x, y, x + width, y + rows)))
    assert batch.source_size.tolist() == [[40 + row % 3, 40] for row in range(20)]
    assert batch.labels.tolist() == [-1] * 20 and not batch.flipped.any()


def test_boxes_and_rules(cropper: Make, files: list[Path]) -> None:
    crop = cropper((20, 30), short_side=60)
    boxes = crop(files[:2], box=[[3, 4, 5, 6], [0, 0, 40, 41]], labels=[7, 8])
    assert boxes.box.tolist() == [[3, 4, 5, 6], [0, 0, 40, 41]] and boxes.labels.tolist() == [7, 8]
    np.testing.assert_array_equal(boxes.images[0], whole(files[0], (20, 30), (3, 4, 8, 10)))
    resized = crop(files[0], rule="resize")
    assert resized.images.shape == (1, 20, 30, 3)
    np.testing.assert_array_equal(resized.images[0], whole(files[0], (20, 30)))
    center = Image.open(files[0]).convert("RGB").resize((60, 60), Image.Resampling.BILINEAR).crop((15, 20, 45, 40))
    np.testing.assert_array_equal(crop(files[0], rule="center").images[0], np.asarray(center))
    assert crop(files[0], rule="random", seed=3).box[0, 2:].tolist() == [30, 20]


def test_a_seed_fixes_what_is_random_wherever_the_item_stands(cropper: Make, files: list[Path]) -> None:
    crop = cropper(hflip=0.5)
    batch = crop(files[:3] * 5, seed=range(15))
    again = cropper(hflip=0.5, threads=1)(files[2], seed=[14])
    assert again.box[0].tolist() == batch.box[14].tolist() and again.flipped[0] == batch.flipped[14]
    assert len(np.unique(batch.box, axis=0)) > 10 and len(set(batch.flipped.tolist())) == 2
    one = crop([files[0]] * 20, seed=1)
    np.testing.assert_array_equal(one.box, crop([files[0]] * 20, seed=1).box)
    assert len(np.unique(one.box, axis=0)) > 15 and one.box.tolist() != crop([files[0]] * 20, seed=2).box.tolist()


def test_without_a_seed_each_item_is_another(cropper: Make, files: list[Path]) -> None:
    crop, same = cropper(), cropper()
    batches = [crop([files[0]] * 10, rule="random-resized") for _ in range(2)]
    assert len(np.unique(np.concatenate([batch.box for batch in batches]), axis=0)) > 15
    for batch in batches:
        np.testing.assert_array_equal(batch.box, same([files[0]] * 10, rule="random-resized").box)
    assert [batch.index.tolist() for batch in batches] == [list(range(10)), list(range(10, 20))]


def test_the_form_of_the_images_is_the_loaders(cropper: Make, files: list[Path]) -> None:
    crop = cropper(8, channels=1, dtype="float32", layout="nchw", mean=0.5, std=0.25, resample="nearest")
    images = crop(files[:2], rule="resize").images
    assert images.shape == (2, 1, 8, 8) and images.dtype == np.float32
    grey = Image.open(files[0])
    grey.draft("L", grey.size)
    expected = np.asarray(grey.convert("L").resize((8, 8), Image.Resampling.NEAREST), np.float32) / 255
    np.testing.assert_allclose(images[0, 0], (expected - 0.5) / 0.25, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "what is to be cut out"),
        ({"x": 0, "y": 0}, "all three of x, y and scale"),
        ({"x": 0, "y": 0, "scale": 1, "rule": "center"}, "exclude each other"),
        ({"box": (0, 0, 1, 1), "rule": "center"}, "exclude each other"),
    ],
)
def test_one_way_to_say_what_is_cut_out(cropper: Make, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        cropper()("/a", **arguments)


def test_more_items_than_the_batch_size_are_refused_by_name(cropper: Make, files: list[Path]) -> None:
    crop = cropper(batch_size=4)
    with pytest.raises(ValueError, match="5 items, over batch_size=4: make the Cropper with a larger one"):
        crop(files[:5], rule="resize")
    assert len(crop(files[:4], rule="resize")) == 4


def test_bad_keywords_are_named(cropper: Make) -> None:
    for keywords, error, message in (
        ({"errors": "ignore"}, ValueError, "errors='ignore'"),
        ({"batch_size": 0}, ValueError, "--batch-size: '0'"),
        ({"batch_size": "x"}, TypeError, "batch_size='x'"),
        ({"window_size": 0}, ValueError, "--size: '0'"),
        ({"short_side": 5}, ValueError, "--short-side 5"),
        ({"respawn": -1}, ValueError, "respawn=-1"),
        ({"root": "/nowhere/at/all"}, cropring.SourceError, "/nowhere/at/all"),
    ):
        with pytest.raises(error, match=message):
            cropper(**keywords)


# ---------------------------------------------------------------- what cannot be had


def test_a_bad_item_raises_with_its_place_and_the_others_are_there(cropper: Make, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    crop = cropper()
    with pytest.raises(BadSample, match=rf"^item 2: {tmp_path}/gone.jpg: missing; and 1 more \(item 4\)$") as caught:
        crop([*files[:2], tmp_path / "gone.jpg", files[3], tmp_path / "empty"], 0, 0, 1)
    error = caught.value
    assert error.positions == (2, 4) and error.batch is not None
    assert error.batch.status.tolist() == [0, 0, Status.MISSING, 0, Status.EMPTY]
    np.testing.assert_array_equal(error.batch.images[3], whole(files[3]))
    assert not error.batch.images[2].any()
    assert not crop(files, 0, 0, 1).status.any()


def test_errors_as_status(cropper: Make, files: list[Path]) -> None:
    batch = cropper(errors="status")([files[0], "/gone", files[1]], box=[(0, 0, 40, 40), (0, 0, 1, 1), (10, 0, 31, 2)])
    assert batch.status.tolist() == [0, Status.MISSING, Status.BAD_BOX]
    np.testing.assert_array_equal(batch.images[0], whole(files[0], box=(0, 0, 40, 40)))


def test_a_box_outside_of_its_picture_is_told(cropper: Make, files: list[Path]) -> None:
    with pytest.raises(BadSample, match=rf"^item 1: {files[1]}: bad_box: 10,0 31x2 \(x,y width x height\) does not lie in the picture$"):
        cropper()(files[:2], box=[(0, 0, 40, 40), (10, 0, 31, 2)])


def test_a_bad_argument_disturbs_nothing(cropper: Make, files: list[Path]) -> None:
    crop = cropper()
    future = crop.submit(files, 0, 0, 1)
    with pytest.raises(ValueError, match="item 1: x=nan"):
        crop.submit(files[:2], [0, np.nan], 0, 1)
    assert len(future.result(WATCHDOG_S)) == 20 and len(crop(files[:2], 0, 0, 1)) == 2


def test_many_bad_items_are_counted(cropper: Make) -> None:
    with pytest.raises(BadSample, match=r"item 0: /gone: missing; and 9 more \(item 1, 2, 3, 4, 5, \.\.\.\)"):
        cropper()("/gone", [0.5] * 10, 0, 1)


def test_only_files_below_the_root_are_read(cropper: Make, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(files[0].read_bytes())
    root = files[0].parent
    crop = cropper(root=root, errors="status")
    monkeypatch.chdir(root)
    batch = crop([files[0], files[1].name, outside, root / ".." / outside.name, "../outside.jpg"], 0, 0, 1)
    assert batch.status.tolist()[:2] == [0, 0] and (batch.status[2:] == Status.UNREADABLE).all()


# ---------------------------------------------------------------- futures


def test_futures_come_in_order_and_each_with_its_own(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3)
    expected = [whole(path) for path in files]
    order: list[int] = []
    futures = []
    for number in range(200):
        futures.append(crop.submit([files[number % 20]], 0, 0, 1, labels=number))
        futures[-1].add_done_callback(lambda _, number=number: order.append(number))
    for number, future in enumerate(futures):  # the list keeps all of them
        batch = future.result(WATCHDOG_S)
        assert batch.labels.tolist() == [number] and batch.seq == number
        np.testing.assert_array_equal(batch.images[0], expected[number % 20])
    assert order == list(range(200))
    assert crop.stats()["moved_batches"] > 100 and crop.stats()["slots_held"] <= 2


def test_kept_batches_stay_as_they_are(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3)
    kept = [crop([path], 0, 0, 1) for path in files]
    for _ in range(5):
        crop(files, 0, 0, 0.3)
    for path, batch in zip(files, kept):
        np.testing.assert_array_equal(batch.images[0], whole(path))
    assert kept[0].index.tolist() == [0] and kept[19].index.tolist() == [19]


def test_a_batch_that_is_not_kept_is_not_copied(cropper: Make, files: list[Path]) -> None:
    crop = cropper()
    for _ in range(50):
        images = crop(files, 0, 0, 1).images
    address, byte_count = crop._exchange._worker.ring.mapping
    assert address <= images.ctypes.data < address + byte_count
    assert crop.stats()["moved_batches"] == 0


def test_a_bad_sample_comes_out_of_the_future(cropper: Make, files: list[Path]) -> None:
    crop = cropper()
    futures = [crop.submit(path, 0, 0, 1) for path in [files[0], "/gone", files[1]]]
    assert isinstance(futures[1].exception(WATCHDOG_S), BadSample)
    assert [len(futures[place].result(WATCHDOG_S)) for place in (0, 2)] == [1, 1]


def test_a_future_can_be_awaited(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3)

    async def one(number: int) -> np.ndarray:
        return (await crop.submit([files[number % 20]], 0, 0, 1)).images[0]

    async def all_of_them() -> list[np.ndarray]:
        with pytest.raises(BadSample):
            await crop.submit("/gone", 0, 0, 1)
        return await asyncio.gather(*(one(number) for number in range(60)))

    for number, image in enumerate(asyncio.run(asyncio.wait_for(all_of_them(), WATCHDOG_S))):
        np.testing.assert_array_equal(image, whole(files[number % 20]))


def test_a_callback_may_call(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3)
    inner: list[int] = []
    futures = [crop.submit(files, 0, 0, 1) for _ in range(10)]
    futures[2].add_done_callback(lambda _: inner.append(crop(files, 0, 0, 1).seq))
    assert [future.result(WATCHDOG_S).seq for future in futures] == list(range(10))
    eventually(lambda: inner, "the callback's own call")
    assert inner == [10]


def test_a_callback_may_wait_for_another_answer(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3)
    inner: list[object] = []

    def callback(_: object) -> None:
        with pytest.raises(TimeoutError):
            crop.submit(files * 12, 0, 0, 1).result(0.001)
        inner.append(type(crop.submit("/gone", 0, 0, 1).exception()))
        inner.append(crop.submit(files, 0, 0, 1).result(WATCHDOG_S).seq)

    futures = [crop.submit(files, 0, 0, 1) for _ in range(5)]
    futures[1].add_done_callback(callback)
    assert [future.result(WATCHDOG_S).seq for future in futures] == list(range(5))
    eventually(lambda: len(inner) == 2, "what the callback waits for")
    assert inner == [BadSample, 7]


def test_a_signal_handler_may_submit_but_not_wait(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3, threads=1)
    submitted: list[CropFuture] = []
    errors: list[str] = []

    def handle(*_: object) -> None:
        submitted.append(crop.submit(files[:2], 0, 0, 1))
        for wait in (lambda: crop(files, 0, 0, 1), submitted[-1].result):
            try:
                wait()
            except RuntimeError as error:
                errors.append(str(error))

    before = signal.signal(signal.SIGALRM, handle)
    try:
        crop._exchange._worker.process.send_signal(signal.SIGSTOP)  # so that the call is in its middle
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        threading.Timer(0.2, crop._exchange._worker.process.send_signal, (signal.SIGCONT,)).start()
        assert len(crop(files, 0, 0, 1)) == 20
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(errors) == 2 and all("in the middle of a call" in error for error in errors)
    assert [len(future.result(WATCHDOG_S)) for future in submitted] == [2]


def test_a_thread_that_cannot_be_started_leaves_nothing_behind(cropper: Make, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    crop = cropper()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as no_threads:
        no_threads.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            crop.submit(files, 0, 0, 1)
    assert crop.submit(files, 0, 0, 1).result(WATCHDOG_S).seq == 0


def test_what_was_not_sent_can_be_cancelled(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3, threads=1)
    futures = [crop.submit(files * 10, 0, 0, 1) for _ in range(30)]
    assert futures[-1].cancel() and not futures[0].cancel()
    assert all(len(future.result(WATCHDOG_S)) == 200 for future in futures[:-1])
    with pytest.raises(CancelledError):
        futures[-1].result(WATCHDOG_S)
    assert crop(files, 0, 0, 1).seq == 29


def test_many_threads_call_and_submit_at_once(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3)
    expected = [whole(path) for path in files]

    def work(thread: int) -> int:
        for number in range(40):
            mine = [(thread * 7 + number) % 20, number % 20]
            paths = [files[place] for place in mine]
            batch = crop(paths, 0, 0, 1) if number % 2 else crop.submit(paths, 0, 0, 1).result(WATCHDOG_S)
            for image, place in zip(batch.images, mine):
                np.testing.assert_array_equal(image, expected[place])
        return thread

    with ThreadPoolExecutor(8) as pool:
        assert sorted(future.result() for future in as_completed([pool.submit(work, thread) for thread in range(8)])) == list(range(8))
    assert crop.stats()["batches"] == 320


# ---------------------------------------------------------------- the end


def test_closing_ends_what_is_pending(cropper: Make, files: list[Path]) -> None:
    crop = cropper(slots=3)
    kept = crop(files, 0, 0, 1)
    crop._exchange._worker.process.send_signal(signal.SIGSTOP)
    futures = [crop.submit(files * 12, 0, 0, 1) for _ in range(40)]
    crop._exchange._worker.process.send_signal(signal.SIGCONT)
    crop.close()
    endings = [type(future.exception(0)) if not future.cancelled() else CancelledError for future in futures]
    assert set(endings) <= {type(None), cropring.CropringError, CancelledError} and endings.count(CancelledError) > 30
    np.testing.assert_array_equal(kept.images[0], whole(files[0]))
    for use in (lambda: crop(files, 0, 0, 1), lambda: crop.submit(files, 0, 0, 1)):
        with pytest.raises(ValueError, match="the cropper is closed"):
            use()
    crop.close()
    assert crop.stats()["batches"] >= 1


def test_a_call_that_waits_learns_that_it_was_closed(cropper: Make, files: list[Path]) -> None:
    crop = cropper(threads=1)
    errors: list[BaseException] = []

    def call() -> None:
        try:
            while True:
                crop(files * 12, 0, 0, 1)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    eventually(lambda: crop.stats()["batches"] > 2, "some batches")
    crop.close()
    for thread in threads:
        thread.join(WATCHDOG_S)
    assert len(errors) == 6 and all(isinstance(error, (cropring.CropringError, ValueError)) and "closed" in str(error) for error in errors)


def test_dropping_a_cropper_ends_its_worker_and_its_thread(cropper: Make, files: list[Path]) -> None:
    crop = cropring.Cropper(8, quiet=True)
    process = crop._exchange._worker.process
    assert crop.submit(files, 0, 0, 1).result(WATCHDOG_S).images.any()
    thread = crop._exchange._thread
    gc.disable()
    try:
        del crop
        assert process.poll() is not None
    finally:
        gc.enable()
    thread.join(WATCHDOG_S)
    assert not thread.is_alive()


def test_a_cropper_in_a_cycle_may_be_dropped_while_its_answers_are_taken(files: list[Path]) -> None:
    """The collector comes by in the thread that takes them, while that holds the lock."""
    crop = cropring.Cropper(8, quiet=True, slots=3)
    process, exchange = crop._exchange._worker.process, crop._exchange
    crop.itself = crop  # type: ignore[attr-defined]
    ring = exchange._worker.ring

    asked_of_it: list[str] = []

    class Collecting:
        def __getattr__(self, name: str) -> object:
            asked_of_it.append(name)
            if asked_of_it.count("slot_count") == 2:  # an answer was taken, and the next request is to be sent
                gc.collect()
            return getattr(ring, name)

    process.send_signal(signal.SIGSTOP)
    futures = [crop.submit(files * 10, 0, 0, 1) for _ in range(20)]
    exchange._worker.ring = Collecting()  # type: ignore[assignment]
    del crop
    process.send_signal(signal.SIGCONT)
    endings = set()
    for future in futures:
        try:
            endings.add(type(future.exception(WATCHDOG_S)))
        except CancelledError:
            endings.add(CancelledError)
    assert CancelledError in endings and endings <= {CancelledError, cropring.CropringError, type(None)}
    eventually(lambda: process.poll() is not None, "the worker's end")


def test_closing_while_an_answer_is_awaited_starts_no_other_worker(
    cropper: Make, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    crop = cropper(threads=1)
    exchange, started = crop._exchange, []
    start = exchange._start
    exchange._start = lambda flags: started.append(flags) or start(flags)  # type: ignore[func-returns-value]
    set_exception = CropFuture.set_exception
    monkeypatch.setattr(CropFuture, "set_exception", lambda future, error: (time.sleep(0.1), set_exception(future, error)))
    failure: list[BaseException] = []

    def call() -> None:
        try:
            while True:
                crop(files * 12, 0, 0, 1)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    eventually(lambda: crop.stats()["batches"] > 1, "some batches")
    crop.close()
    thread.join(WATCHDOG_S)
    assert "closed" in str(failure[0]) and started == []


def test_an_error_keeps_its_batch_no_longer_than_it_lives(cropper: Make, files: list[Path]) -> None:
    crop = cropper()
    gc.disable()
    try:
        for _ in range(10):
            with pytest.raises(BadSample):
                crop([files[0], "/gone"], 0, 0, 1)
            with pytest.raises(BadSample):
                crop.submit([files[0], "/gone"], 0, 0, 1).result(WATCHDOG_S)
        eventually(lambda: crop.stats()["slots_held"] == 0, "no slot held")
    finally:
        gc.enable()


FORK = """
import os, sys, cropring
crop = cropring.Cropper(8)
future = crop.submit(sys.argv[1:] * 12, 0, 0, 1)
child = os.fork()
if child == 0:
    for use in (lambda: crop(sys.argv[1:], 0, 0, 1), lambda: crop.submit(sys.argv[1:], 0, 0, 1), future.result, crop.stats):
        try:
            use()
        except RuntimeError as error:
            assert "fork" in str(error), error
        else:
            os._exit(9)
    crop.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
print(len(future.result()), len(crop(sys.argv[1:], 0, 0, 1)))
"""


def test_a_fork_can_neither_use_nor_close_it(files: list[Path]) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK, *files], capture_output=True, text=True, timeout=WATCHDOG_S)
    assert (done.returncode, done.stdout) == (0, "240 20\n"), done.stderr


def test_a_program_may_end_without_closing(files: list[Path]) -> None:
    script = "import sys, cropring\ncrop = cropring.Cropper(8)\nfutures = [crop.submit(sys.argv[1:] * 10, 0, 0, 1) for _ in range(50)]\nfutures[3].result()"
    done = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, timeout=WATCHDOG_S)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_working_folder_is_looked_up_at_each_call(cropper: Make, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    crop = cropper()
    monkeypatch.chdir(files[0].parent)
    first = crop(files[0].name, 0, 0, 1)
    monkeypatch.chdir(files[0].parent.parent)
    np.testing.assert_array_equal(crop(os.path.join("set", files[0].name), 0, 0, 1).images, first.images)
