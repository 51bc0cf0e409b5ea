"""Loader: epochs, order, samples, waiting, and what trainers look for."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cropring
from conftest import WATCHDOG_S, eventually, kill_if_running

Load = Callable[..., cropring.Loader]


def pid_of(loader: cropring.Loader) -> int:
    return loader._worker.process.pid


def indices(loader: cropring.Loader) -> list[int]:
    """Sample numbers of one epoch, in order."""
    return [int(number) for batch in loader for number in batch.index]


# ---------------------------------------------------------------- epochs


def test_a_loop_is_one_epoch_and_len_is_its_batches(load: Load) -> None:
    loader = load()
    for epoch in range(3):
        batches = [(batch.epoch, len(batch)) for batch in loader]
        assert batches == [(epoch, 4)] * len(loader)
    assert len(loader) == len(loader.dataset) // 4


def test_epochs_follow_each_other_without_a_new_worker(load: Load) -> None:
    loader = load()
    pid = pid_of(loader)
    for epoch in range(3):
        loader.set_epoch(epoch)  # as after a DistributedSampler: what comes next anyway
        assert indices(loader)
    assert pid_of(loader) == pid


def test_every_sample_comes_once_per_epoch_in_another_order(load: Load) -> None:
    loader = load(tail="partial")
    first, second = indices(loader), indices(loader)
    assert sorted(first) == sorted(second) == list(range(len(loader.dataset)))
    assert first != second


def test_without_shuffle_samples_come_in_the_order_of_the_files(load: Load) -> None:
    loader = load(shuffle=False, tail="partial")
    assert indices(loader) == indices(loader) == list(range(len(loader.dataset)))


def test_a_loop_left_early_ends_its_epoch(load: Load) -> None:
    reference = load()
    expected = [indices(reference) for _ in range(2)]
    loader = load()
    for batch in loader:
        first = batch.index.tolist()
        break
    assert first == expected[0][:4]
    assert {batch.epoch for batch in loader} == {1}
    loader.set_epoch(1)
    assert indices(loader) == expected[1]


def test_asking_for_an_iterator_consumes_nothing(load: Load) -> None:
    loader = load()
    pid = pid_of(loader)
    iter(loader), iter(loader)
    assert next(iter(loader)).seq == 0 and pid_of(loader) == pid


def test_leaving_on_the_last_batch_needs_no_new_worker(load: Load) -> None:
    loader = load()
    pid = pid_of(loader)
    for number, batch in enumerate(loader, 1):
        if number == len(loader):
            break
    assert next(iter(loader)).epoch == 1 and pid_of(loader) == pid


def test_set_epoch_goes_anywhere_and_repeats_exactly(load: Load) -> None:
    loader = load()
    orders = {}
    for epoch in (5, 2, 5, 2):
        loader.set_epoch(epoch)
        assert orders.setdefault(epoch, indices(loader)) == (again := orders[epoch]) and again
        loader.set_epoch(epoch)
        assert indices(loader) == orders[epoch]
    assert orders[2] != orders[5]


def test_set_epoch_within_a_loop_is_for_the_next_one(load: Load) -> None:
    loader = load()
    for batch in loader:
        loader.set_epoch(4)
        assert batch.epoch == 0
    assert {batch.epoch for batch in loader} == {4}
    with pytest.raises(ValueError, match="epoch -1"):
        loader.set_epoch(-1)


def test_a_newer_loop_ends_the_older(load: Load) -> None:
    loader = load()
    older = iter(loader)
    assert next(older).epoch == 0
    assert next(iter(loader)).epoch == 1
    with pytest.raises(cropring.CropringError, match="another loop"):
        next(older)


def test_a_finite_loader_says_when_its_epochs_are_over(load: Load) -> None:
    loader = load(epochs=2, start_epoch=3)
    assert [{batch.epoch for batch in loader} for _ in range(2)] == [{3}, {4}]
    with pytest.raises(cropring.CropringError, match="epoch 4 was the last"):
        next(iter(loader))
    for epoch in (2, 5):
        with pytest.raises(ValueError, match="3 to 4"):
            loader.set_epoch(epoch)
    loader.set_epoch(4)
    assert {batch.epoch for batch in loader} == {4}


# ---------------------------------------------------------------- which samples


@pytest.mark.parametrize(("tail", "counts"), [("drop", [4, 4]), ("pad", [4, 4, 4]), ("partial", [4, 4, 2])])
def test_the_tail_is_dropped_padded_or_short(load: Load, folder: Callable[..., Path], tail: str, counts: list[int]) -> None:
    loader = load(folder(10), tail=tail)
    batches = [(batch.index.copy(), batch.status.copy()) for batch in loader]
    assert [len(index) for index, _ in batches] == counts and len(loader) == len(counts)
    index = np.concatenate([index for index, _ in batches])
    status = np.concatenate([status for _, status in batches])
    np.testing.assert_array_equal(status, np.where(np.arange(len(status)) < 10, 0, cropring.Status.PADDING))
    np.testing.assert_array_equal(index[10:], index[: max(0, len(index) - 10)])


def test_ranks_share_an_epoch_without_overlap(load: Load, folder: Callable[..., Path]) -> None:
    source = folder(23)
    whole = indices(load(source, batch_size=1, tail="partial"))
    parts = []
    for rank in range(3):
        with load(source, batch_size=2, rank=rank, world_size=3, tail="partial") as loader:
            assert len(loader) == 4
            parts.append(indices(loader))
    assert sorted(sum(parts, [])) == list(range(23))
    for rank, part in enumerate(parts):
        assert part == whole[rank::3]


def test_start_sample_passes_over_what_was_consumed(load: Load, folder: Callable[..., Path]) -> None:
    source = folder(22)
    whole, second = (lambda loader: (indices(loader), indices(loader)))(load(source))
    loader = load(source, start_sample=8)
    assert indices(loader) == whole[8:] and indices(loader) == second
    assert len(loader) == 5  # of a whole epoch
    loader.set_epoch(0)
    assert indices(loader) == whole


def test_an_epoch_with_nothing_left_is_an_empty_loop(load: Load, folder: Callable[..., Path]) -> None:
    loader = load(folder(10), start_sample=8)
    assert indices(loader) == []
    assert [batch.epoch for batch in loader] == [1, 1]
    assert [batch.epoch for batch in loader] == [2, 2]


def test_classes_and_paths_are_those_of_imagefolder(load: Load, photos: Path) -> None:
    classes = sorted(entry.name for entry in os.scandir(photos) if entry.is_dir())
    samples = [
        (os.path.join(root, name), classes.index(label))
        for label in classes
        for root, _, names in sorted(os.walk(os.path.join(photos, label), followlinks=True))
        for name in sorted(names)
    ]
    loader = load()
    assert loader.classes == loader.dataset.classes == classes
    assert loader.class_to_idx == {name: number for number, name in enumerate(classes)}
    assert list(loader.dataset.samples) == samples and list(loader.paths) == [path for path, _ in samples]
    assert loader.paths[-1] == samples[-1][0] and list(loader.paths[2:5]) == [path for path, _ in samples[2:5]]
    with pytest.raises(IndexError):
        loader.paths[len(samples)]
    for labels in (loader.labels, loader.targets, loader.dataset.targets):
        assert labels.tolist() == [label for _, label in samples] and not labels.flags.writeable
    for batch in loader:
        np.testing.assert_array_equal(batch.labels, loader.labels[batch.index])


def test_a_flat_folder_has_no_classes(load: Load, folder: Callable[..., Path]) -> None:
    loader = load(folder(5))
    assert loader.classes == [] and loader.class_to_idx == {}
    assert set(loader.labels.tolist()) == {-1} and set(next(iter(loader)).labels.tolist()) == {-1}


def test_paths_keep_bytes_that_are_no_utf8(load: Load, folder: Callable[..., Path]) -> None:
    source = folder({"a": 2})
    strange = os.fsencode(source) + b"/a/\xff\xfe name\n.jpg"
    os.rename(os.fsencode(source) + b"/a/000.jpg", strange)
    loader = load(os.fspath(source) + "/", batch_size=1)
    assert [path for path in loader.paths if os.fsencode(path) == strange]
    assert all(os.path.exists(path) for path in loader.paths)


def test_a_folder_that_grew_is_told(load: Load, folder: Callable[..., Path]) -> None:
    source = folder(9)
    loader = load(source, batch_size=2)
    assert len(loader) == 4
    (source / "zzz.jpg").write_bytes((source / "000.jpg").read_bytes())
    loader.set_epoch(3)
    with pytest.warns(UserWarning, match="9 samples before, 10 now"):
        assert len(indices(loader)) == 10
    assert len(loader) == 5


# ---------------------------------------------------------------- what trainers look for


def test_trainers_find_the_attributes_that_they_expect(load: Load) -> None:
    loader = load()
    assert loader.sampler is loader and loader.batch_sampler is None and loader.batch_size == 4
    assert len(loader.dataset) == len(loader.paths) and not hasattr(loader.dataset, "__iter__")
    loader.sampler.set_epoch(2)
    assert next(iter(loader)).epoch == 2
    for text in (repr(loader), repr(loader.dataset)):
        assert f"{len(loader.dataset)} samples" in text


def test_num_workers_is_another_name_for_threads(load: Load) -> None:
    assert load(threads=0, num_workers=3).stats()["threads"] == 3
    assert load(threads=3, num_workers=3).stats()["threads"] == 3
    with pytest.raises(ValueError, match="two names"):
        load(threads=2, num_workers=3)


def test_variables_for_the_command_do_not_reach_a_loader(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPRING_THREADS", "5")
    monkeypatch.setenv("CROPRING_SIZE", "9")
    monkeypatch.setenv("CROPRING_HFLIP", "1")
    loader = load(threads=1, size=224)
    batch = next(iter(loader))
    assert loader.stats()["threads"] == 1 and batch.images.shape == (4, 224, 224, 3)


def test_values_of_the_wrong_kind_are_named(load: Load) -> None:
    for flags in ({"threads": None}, {"seed": None}, {"epochs": None}, {"batch_size": "8"}, {"hflip": [1]}, {"mean": [None]}):
        with pytest.raises(TypeError, match=f"^{next(iter(flags))}=.* expected$"):
            load(**flags)


def test_numpy_numbers_and_truth_values_are_taken(load: Load) -> None:
    loader = load(batch_size=np.int64(3), shuffle=1, quiet=0, dtype="float32", mean=np.array([0.5, 0.5, 0.5]), std=np.float32(0.5), hflip=True)
    batch = next(iter(loader))
    assert len(batch) == 3 and batch.flipped.all() and batch.images.min() >= -1


def test_stats_count_what_was_done(load: Load, photos: Path) -> None:
    loader = load(epochs=1)
    for batch in loader:
        pass
    eventually(lambda: loader.stats()["batches"] == len(loader), "all batches counted")
    stats = loader.stats()
    assert stats["images"] == 4 * len(loader) and stats["bad_samples"] == 0 and stats["threads"] == 2
    assert 0 < stats["bytes_read"] <= sum(os.path.getsize(path) for path in loader.paths)
    assert stats["decode_ns"] > 0 and stats["shape_ns"] > 0 and stats["reader_wait_ns"] > 0
    assert {"loader_wait_ns", "cpu_ns", "elapsed_ns", "status_missing", "status_corrupt"} <= stats.keys()
    assert stats["status_ok"] >= stats["images"]
    assert (stats["slots"], stats["slots_held"]) == (3, 1)
    loader.close()
    last = loader.stats()  # times are brought up to date a few times a second, and at the end
    assert last == stats | {name: time_ns for name, time_ns in last.items() if name.endswith("_ns")}
    assert all(last[name] >= stats[name] for name in stats if name.endswith("_ns"))


def test_a_closed_loader_stays_closed(load: Load) -> None:
    loader = load()
    loop = iter(loader)
    next(loop)
    pid = pid_of(loader)
    loader.close()
    loader.close()
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), "the worker gone")
    for use in (lambda: next(iter(loader)), lambda: next(loop)):
        with pytest.raises((ValueError, cropring.CropringError), match="closed"):
            use()
    assert len(loader) and loader.classes  # what is known stays known


def test_a_with_block_closes(load: Load) -> None:
    with load() as loader:
        pid = pid_of(loader)
        assert next(iter(loader)).images.any()
    assert not os.path.exists(f"/proc/{pid}")


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"batch_size": 0}, "--batch-size"),
        ({"crop": "middle"}, "--crop"),
        ({"scale": (0.5, 0.1)}, "--scale"),
        ({"size": (0, 5)}, "--size"),
        ({"mean": (0.5, 0.5, 0.5)}, "--dtype"),
        ({"rank": 2, "world_size": 2}, "--rank"),
        ({"ring": "no/slashes"}, "no/slashes"),
        ({"slots": 2}, "--slots"),
        ({"batch_size": 1000}, "1000.*--tail partial"),
        ({"start_sample": 1000}, "--start-sample 1000"),
        ({"hflip": float("nan")}, "--hflip"),
        ({"cpus": "99999"}, "99999"),
    ],
)
def test_a_flag_that_cannot_be_used_is_a_value_error_that_names_it(load: Load, flags: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        load(**flags)


def test_an_unknown_keyword_is_a_type_error(photos: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        cropring.Loader(photos, colour=True)  # type: ignore[call-arg]


def test_a_source_that_cannot_be_read_is_a_source_error(load: Load, tmp_path: Path, photos: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "classes/a").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    for source in ("nowhere", "empty", "classes", "loop"):
        with pytest.raises(cropring.SourceError, match=source) as caught:
            load(tmp_path / source)
        assert caught.value.errno > 0
    with pytest.raises(cropring.SourceError, match="cat.jpg"):
        load(photos / "animals/cat.jpg")


def test_a_ring_larger_than_memory_is_refused_with_need_and_have(load: Load) -> None:
    with pytest.raises(cropring.CropringError, match=r"needed.*left|needs.*free"):
        load(batch_size=65536, size=4096, slots=64, tail="pad", segment="shm")  # shm: no more than /dev/shm is at stake


def test_an_executable_that_is_no_worker_is_reported(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROPRING_EXECUTABLE", "/bin/false")
    with pytest.raises(cropring.WorkerDied, match="exit status 1") as caught:
        load()
    assert caught.value.exit_status == 1
    monkeypatch.setenv("CROPRING_EXECUTABLE", "/nowhere/cropring")
    with pytest.raises(FileNotFoundError, match="/nowhere/cropring"):
        load()


# ---------------------------------------------------------------- waiting


def test_other_threads_run_while_one_waits(load: Load) -> None:
    loader = load()
    loop = iter(loader)
    next(loop)
    pid = pid_of(loader)
    os.kill(pid, signal.SIGSTOP)
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        eventually(lambda: all(" T " in (thread / "stat").read_text() for thread in threads), "all of the worker stopped")
        taken: list[int] = []
        waiter = threading.Thread(target=lambda: taken.extend(batch.seq for batch in loop))
        waiter.start()

        def settled() -> bool:
            before = len(taken)
            time.sleep(0.1)
            return loader.stats()["slots_ready"] == 0 and len(taken) == before

        eventually(settled, "everything that was ready taken")
        stuck_at = len(taken)
        for _ in range(10):  # each step needs the GIL; holding it while waiting would hang here
            time.sleep(0.02)
        assert len(taken) == stuck_at < len(loader) - 1 and waiter.is_alive()
        with pytest.raises(RuntimeError, match="one thread at a time"):
            loader._worker.ring.acquire(0)
    finally:
        os.kill(pid, signal.SIGCONT)
    waiter.join(WATCHDOG_S)
    assert taken == list(range(1, len(loader)))


def test_closing_a_ring_ends_another_threads_wait(load: Load) -> None:
    loader = load()
    ring = loader._worker.ring
    os.kill(pid_of(loader), signal.SIGSTOP)
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            while ring.acquire():
                pass
        except Exception as error:
            outcome.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(lambda: ring.ready_count == 0, "everything that was ready taken")
    ring.close()
    waiter.join(WATCHDOG_S)
    assert len(outcome) == 1 and isinstance(outcome[0], ValueError)
    os.kill(pid_of(loader), signal.SIGCONT)
    loader._stream._stop_worker()


STUCK_LOOP = """
import os, signal, sys, cropring
loader = cropring.Loader(sys.argv[1], batch_size=4, size=32, slots=3)
worker_pid = loader._worker.process.pid
loop = iter(loader)
next(loop)
os.kill(worker_pid, signal.SIGSTOP)
print(worker_pid, flush=True)
try:
    for batch in loop:
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
finally:
    os.kill(worker_pid, signal.SIGCONT)
"""


def test_ctrl_c_gets_through_while_waiting(photos: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK_LOOP, photos], stdout=subprocess.PIPE, text=True) as child:
        worker_pid = int(child.stdout.readline())
        try:
            time.sleep(0.3)  # by now it has taken what was ready, and waits
            child.send_signal(signal.SIGINT)
            assert child.stdout.read() == "interrupted\n"
            assert child.wait(WATCHDOG_S) == 0
        finally:
            child.kill()
            kill_if_running(worker_pid)


STUCK_START = """
import sys, cropring
print("starting", flush=True)
try:
    cropring.Loader(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_gets_through_while_the_worker_starts(photos: Path, tmp_path: Path) -> None:
    stuck = tmp_path / "stuck"
    stuck.write_text("#!/bin/sh\nexec sleep 1000\n")
    stuck.chmod(0o755)
    environment = os.environ | {"CROPRING_EXECUTABLE": str(stuck)}
    with subprocess.Popen([sys.executable, "-c", STUCK_START, photos], stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stdout.readline() == "starting\n"
            time.sleep(0.3)
            child.send_signal(signal.SIGINT)
            assert child.stdout.read() == "interrupted\n"
            assert child.wait(WATCHDOG_S) == 0
        finally:
            child.kill()


def test_signals_with_handlers_of_their_own_disturb_neither_start_nor_waiting(load: Load) -> None:
    ticks: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda number, frame: ticks.append(number))
    watchdog = signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        for _ in range(3):
            with load() as loader:
                assert len(indices(loader)) == 4 * len(loader)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # first, or a last tick would go to the watchdog's handler, which takes it for its own
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, *watchdog)
    assert ticks
