"""A worker that dies is replaced, and nobody who looks at the batches can tell; a file that kills it twice is left out.

Long because a death is tried at every place where it could show: tails, ranks, borders of epochs, held views, and each way to crash.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import cropring
import cropring.worker
from conftest import WATCHDOG_S, eventually, is_running
from cropring import Batch, Status
from cropring._cli import executable
from cropring.supervisor import blamed_samples

Load = Callable[..., cropring.Loader]
Folder = Callable[..., Path]
FIELDS = ("images", "labels", "index", "box", "source_size", "flipped", "status")
TESTS = Path(__file__).parents[1]


def exhaust(batches: Iterable[cropring.Batch]) -> None:
    """Takes them all and keeps none: a list of them would fill the ring."""
    deque(batches, maxlen=0)


def pid_of(loader: cropring.Loader) -> int:
    return loader._worker.process.pid


def contents(batch: Batch, but: tuple[str, ...] = ()) -> list[object]:
    return [batch.seq, batch.epoch, *(batch[name].tobytes() for name in FIELDS if name not in but)]


def digest(batches: Iterable[Batch]) -> str:
    return hashlib.sha256(repr([contents(batch) for batch in batches]).encode()).hexdigest()


def killing(loader: cropring.Loader, loop: Iterable[Batch], when: Callable[[int], bool], how: int = signal.SIGKILL) -> Iterator[Batch]:
    """The loop's batches; its worker is killed before those of which `when(number)` says so."""
    for number, batch in enumerate(loop, 1):
        yield batch
        if when(number):
            os.kill(pid_of(loader), how)


# ---------------------------------------------------------------- the same bytes


def test_an_epoch_with_20_kills_at_random_points_has_the_bytes_of_an_undisturbed_one(load: Load, folder: Folder) -> None:
    seed = int(os.environ.get("CROPRING_TEST_SEED", "20240229"))
    print(f"CROPRING_TEST_SEED={seed}")
    chance = random.Random(seed)
    source = folder({"a": 200, "b": 200})
    undisturbed = digest(load(source, batch_size=2))
    loader = load(source, batch_size=2)
    killed: set[int] = set()

    def strike(number: int) -> bool:
        if len(killed) == 20 or pid_of(loader) in killed or chance.random() < 0.4:
            return False
        threading.Event().wait(chance.uniform(0, 0.003))
        killed.add(pid_of(loader))
        return True

    assert digest(killing(loader, loader, strike)) == undisturbed
    assert len(killed) == loader.stats()["respawns"] == 20


def test_a_storm_of_kills_goes_unnoticed() -> None:
    """The short version of the counted run."""
    storm = subprocess.run([sys.executable, TESTS / "soak/respawn_storm.py", "15", "--seed=5", f"--hang-s={WATCHDOG_S}"], capture_output=True, text=True)
    assert storm.returncode == 0, storm.stdout + storm.stderr


@pytest.mark.parametrize("tail", ["drop", "pad", "partial"])
@pytest.mark.parametrize("rank", [0, 2])
def test_every_rank_and_tail_goes_on_as_it_would_have(load: Load, folder: Folder, tail: str, rank: int) -> None:
    flags = {"source": folder(25), "batch_size": 2, "rank": rank, "world_size": 3, "tail": tail, "seed": 5}
    reference, loader = load(**flags), load(**flags)
    for _ in range(2):
        assert digest(killing(loader, loader, lambda number: True)) == digest(reference)
    assert loader.stats()["respawns"] >= 2


def test_a_death_between_two_epochs_is_not_noticed(load: Load, folder: Folder) -> None:
    flags = {"source": folder(22), "start_sample": 8, "start_epoch": 3, "epochs": 3}
    reference, loader = load(**flags), load(**flags)
    last = [3, 5, 5]  # batches of each epoch
    for count in last:
        assert len(list(batches := [contents(batch) for batch in reference])) == count
        assert [contents(batch) for batch in killing(loader, loader, lambda number: number == count)] == batches
    with pytest.raises(cropring.CropringError, match="epoch 5 was the last"):
        next(iter(loader))


def test_an_epoch_that_begins_empty_is_passed_over_by_a_new_worker_too(load: Load, folder: Folder) -> None:
    flags = {"source": folder(10), "start_sample": 8}
    reference, loader = load(**flags), load(**flags)
    assert list(loader) == list(reference) == []
    os.kill(pid_of(loader), signal.SIGKILL)
    for _ in range(2):
        assert digest(loader) == digest(reference)


def test_what_was_ready_is_not_made_again(load: Load) -> None:
    loader = load(slots=5)
    loop = iter(loader)
    eventually(lambda: loader.stats()["slots_ready"] == 5, "a full ring")
    pid = pid_of(loader)
    os.kill(pid, signal.SIGKILL)
    assert [next(loop).seq for _ in range(5)] == list(range(5)) and pid_of(loader) == pid
    assert [batch.seq for batch in loop] == list(range(5, len(loader))) and pid_of(loader) != pid


def test_views_of_the_dead_workers_batches_stay_as_they_are(load: Load) -> None:
    loader = load(slots=4)
    loop = iter(loader)
    held = [next(loop).images for _ in range(2)]
    before = [images.tobytes() for images in held]
    os.kill(pid_of(loader), signal.SIGKILL)
    for batch in loop:
        batch.images.fill(170)
    assert loader.stats()["respawns"] == 1
    assert [images.tobytes() for images in held] == before


# ---------------------------------------------------------------- what is told, and when it ends


def test_a_new_worker_is_announced_and_counted(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    loader = load()
    pid = pid_of(loader)
    assert sum(1 for _ in killing(loader, loader, lambda number: number == 1)) == len(loader)
    (record,) = [record for record in caplog.records if record.name == "cropring"]
    assert record.levelno == logging.WARNING
    found = re.fullmatch(rf"worker {pid} ended without a word \(killed by SIGKILL\); worker {pid_of(loader)} goes on with batch (\d+) of epoch 0", record.message)
    assert found and 1 <= int(found[1]) <= 5
    stats = loader.stats()
    assert (stats["respawns"], stats["crashed_samples"], stats["slots"]) == (1, 0, 3)
    assert len(loader) <= stats["batches"] <= len(loader) + 4  # of both workers, and what was lost with the first
    loader.close()
    assert loader.stats()["respawns"] == 1


def test_who_holds_every_slot_of_a_dead_worker_goes_on_with_the_next(load: Load) -> None:
    loader = load(slots=3)
    loop = iter(loader)
    kept = [next(loop).images for _ in range(3)]
    with pytest.raises(cropring.SlotsExhausted):
        next(loop)
    os.kill(pid_of(loader), signal.SIGKILL)
    process = loader._worker.process
    eventually(lambda: process.poll() is not None, "the worker dead, with all its threads")
    assert [batch.seq for batch in loop] == list(range(3, len(loader)))
    assert len(kept) == 3 and loader.stats()["respawns"] == 1


def test_a_worker_that_is_told_to_stop_is_not_replaced(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    loader = load()
    os.kill(pid_of(loader), signal.SIGTERM)
    with pytest.raises(cropring.WorkerDied, match="SIGTERM"):
        exhaust(loader)
    assert loader.stats()["respawns"] == 0 and not caplog.records


def test_a_worker_with_other_readers_is_not_replaced(load: Load) -> None:
    loader = load(readers=2, slots=4)
    with pytest.raises(cropring.WorkerDied, match="killed by SIGKILL"):
        list(map(len, killing(loader, loader, lambda number: number == 1)))
    assert loader.stats()["respawns"] == 0


DYING_WORKER = """#!/bin/sh
echo $$ >>{log}
case $(wc -l <{log}) in {which}) {last_words};; esac
exec {worker} "$@"
"""


@pytest.fixture
def dying_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`dying_worker(which, last_words)`: of the workers that are started from now on, some end before they begin; returns their list."""

    def arm(which: str, last_words: str) -> Path:
        log, script = tmp_path / "log", tmp_path / "worker"
        script.write_text(DYING_WORKER.format(log=log, worker=executable(), which=which, last_words=last_words))
        script.chmod(0o755)
        monkeypatch.setenv("CROPRING_EXECUTABLE", str(script))
        return log

    return arm


@pytest.mark.parametrize(("last_words", "how"), [("kill -KILL $$", "killed by SIGKILL"), ("exit 7", "exit status 7")])
def test_workers_that_die_in_a_row_are_replaced_so_many_times_and_no_more(
    load: Load, dying_worker: Callable[..., Path], last_words: str, how: str
) -> None:
    log = dying_worker("[!1]", last_words)
    loader = load(respawn=3)
    with pytest.raises(cropring.WorkerDied, match=f"4 workers died in a row.*{how}"):
        deque(killing(loader, loader, lambda number: number == 1), maxlen=0)  # keeps no batch: the dead worker may leave several
    assert len(log.read_text().split()) == 1 + 3
    assert loader.stats()["respawns"] == 0


def test_deaths_keep_no_batch_of_the_callers(load: Load, folder: Folder, dying_worker: Callable[..., Path]) -> None:
    """Not even until the garbage collector comes by: a slot that nobody gives back is missing at once."""
    log = dying_worker("[24]", "exit 7")
    loader = load(folder(100), batch_size=2)
    gc.disable()
    try:
        assert sum(1 for batch in killing(loader, loader, lambda number: number in (1, 25))) == 50
        assert loader.stats()["slots_held"] <= 1
    finally:
        gc.enable()
    assert loader.stats()["respawns"] == 2 and len(log.read_text().split()) == 5


def test_batches_between_the_deaths_make_good_for_them(load: Load, folder: Folder) -> None:
    loader = load(folder(60), batch_size=2, respawn=1)
    assert sum(1 for _ in killing(loader, loader, lambda number: True)) == 30
    assert loader.stats()["respawns"] > 2


def test_a_number_of_deaths_is_checked(load: Load) -> None:
    with pytest.raises(ValueError, match="respawn=-1"):
        load(respawn=-1)
    with pytest.raises(TypeError, match="respawn='3'"):
        load(respawn="3")


def test_a_folder_that_changed_ends_the_epoch(load: Load, folder: Folder) -> None:
    source = folder(20)
    loader = load(source)
    loop = iter(loader)
    next(loop)
    os.rename(source / "019.jpg", source / "020.jpg")  # as many, but not the same
    os.kill(pid_of(loader), signal.SIGKILL)
    with pytest.raises(cropring.CropringError, match=f"{source} changed: 20 samples when the epoch began"):
        exhaust(loop)
    assert {batch.epoch for batch in loader} == {1}


def test_more_crashing_samples_than_a_command_line_has_room_for_end_it_with_a_sentence(load: Load) -> None:
    loader = load()
    loop = iter(loader)
    next(loop)
    loader._stream._supervisor.crashed = list(range(10**19, 10**19 + 5001))  # more than any folder has
    os.kill(pid_of(loader), signal.SIGKILL)
    with pytest.raises(cropring.WorkerDied, match="5001 samples crashed.*killed by SIGKILL"):
        list(map(len, loop))
    loader._stream._supervisor.crashed.pop()
    assert sum(1 for _ in loader) == len(loader)  # the longest list there is


def test_a_folder_that_holds_less_than_was_read_already_ends_the_epoch(load: Load, folder: Folder) -> None:
    source = folder(40)
    loader = load(source)
    loop = iter(loader)
    for _ in range(5):
        next(loop)
    for file in sorted(source.iterdir())[5:]:
        file.unlink()
    os.kill(pid_of(loader), signal.SIGKILL)
    with pytest.raises(cropring.CropringError, match=f"{source} changed: 40 samples when the epoch began, and now .*only 5 samples"):
        for _ in loop:
            pass
    with pytest.warns(UserWarning, match="40 samples before, 5 now"):
        assert {batch.epoch for batch in loader} == {1}


def test_relative_paths_stay_what_they_were_when_the_program_moves_on(load: Load, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder(20)
    monkeypatch.chdir(source.parent)
    loader = load(source.name, stats="stats.json")
    loop = iter(loader)
    next(loop)
    monkeypatch.chdir("/")
    os.kill(pid_of(loader), signal.SIGKILL)
    assert sum(1 for _ in loop) == 4
    loader.close()
    assert (source.parent / "stats.json").exists()


def test_a_worker_needs_no_working_folder(load: Load, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    loader = load(photos.resolve())
    assert sum(1 for _ in killing(loader, loader, lambda number: number == 1)) == len(loader)


def test_a_folder_that_is_gone_is_a_source_error(load: Load, folder: Folder) -> None:
    source = folder(20)
    loader = load(source)
    loop = iter(loader)
    next(loop)
    source.rename(source.with_name("elsewhere"))
    os.kill(pid_of(loader), signal.SIGKILL)
    with pytest.raises(cropring.SourceError, match="set"):
        exhaust(loop)


FORK = """
import os, signal, sys, cropring
loader = cropring.Loader(sys.argv[1], batch_size=4, size=32, slots=3)
loop = iter(loader)
next(loop)
os.kill(loader._worker.process.pid, signal.SIGKILL)
child = os.fork()
if child == 0:
    try:
        next(loop)
    except RuntimeError:
        os._exit(loader.stats is None)
    os._exit(9)
assert os.waitpid(child, 0)[1] == 0
print(sum(1 for _ in loop), loader.stats()["respawns"])
"""


def test_a_fork_starts_no_worker_and_its_parent_does(photos: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, photos], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "7 1\n"), done.stderr


# ---------------------------------------------------------------- files that kill the decoder

CULPRIT = 7  # its number among the samples


@pytest.fixture
def with_culprit(folder: Folder) -> Callable[..., Path]:
    """A folder in which one file has the size that crashes the decoders, always or once."""

    def make(height_px: int = 67) -> Path:
        source = folder({"a": 20})
        Image.new("RGB", (61, height_px), (200, 30, 90)).save(source / "a" / f"{CULPRIT:03}.jpg")
        return source

    return make


@pytest.mark.parametrize(("how", "name"), [("segv", "SIGSEGV"), ("abort", "SIGABRT"), ("fpe", "SIGFPE")])
def test_a_file_that_kills_the_decoder_twice_is_named_and_left_out(
    load: Load, with_culprit: Callable[..., Path], crash: Callable[..., None], caplog: pytest.LogCaptureFixture, how: str, name: str
) -> None:
    source = with_culprit()
    file = source / "a" / f"{CULPRIT:03}.jpg"
    image = file.read_bytes()
    file.write_bytes(b"GIF89a")  # the rows are those of a file that is bad in an ordinary way
    reference = load(source)
    expected = [[contents(batch, but=("status",)) for batch in reference] for _ in range(2)]

    file.write_bytes(image)
    crash(how)
    loader = load(source)
    statuses: dict[int, int] = {}
    for epoch in range(2):
        found = []
        for batch in loader:
            found.append(contents(batch, but=("status",)))
            statuses[epoch] = statuses.get(epoch, 0) | int(batch.status.max())
        assert found == expected[epoch]
    assert statuses == {0: Status.CRASHED | Status.SUBSTITUTED, 1: Status.CRASHED | Status.SUBSTITUTED}
    stats = loader.stats()
    assert (stats["respawns"], stats["crashed_samples"]) == (2, 1) and stats["status_crashed"] >= 2
    first, second = [record.message for record in caplog.records if record.name == "cropring"]
    assert f"killed by {name}" in first and f"sample {CULPRIT} ({file})" in first and "left out" not in first
    assert f"sample {CULPRIT} ({file}) is left out" in second
    loader.set_epoch(9)  # a fresh worker, which is told
    assert CULPRIT not in [int(index) for batch in loader for index in batch.index]
    assert loader.stats()["respawns"] == 2


def test_more_crashing_files_than_respawns_are_left_out_one_by_one(load: Load, with_culprit: Callable[..., Path], crash: Callable[..., None]) -> None:
    source = with_culprit()
    culprits = [CULPRIT, *range(CULPRIT + 1, CULPRIT + 4)]
    for number in culprits[1:]:
        (source / "a" / f"{number:03}.jpg").write_bytes((source / "a" / f"{CULPRIT:03}.jpg").read_bytes())
    crash("segv")
    loader = load(source, batch_size=20, shuffle=False, threads=1, respawn=2)  # all in the first batch: no batch arrives in between
    assert set(culprits).isdisjoint(int(index) for batch in loader for index in batch.index)
    stats = loader.stats()
    assert (stats["respawns"], stats["crashed_samples"]) == (8, 4)


def test_a_changed_folder_numbers_its_crashing_files_anew(load: Load, with_culprit: Callable[..., Path], crash: Callable[..., None]) -> None:
    source = with_culprit()
    crash("segv")
    loader = load(source)
    assert CULPRIT not in [int(index) for batch in loader for index in batch.index]
    (source / "a" / "000.jpg").unlink()
    loader.set_epoch(5)  # a fresh worker, which must leave out nothing by its old number
    with pytest.warns(UserWarning, match="20 samples before, 19 now"):
        statuses = {int(index): int(status) for batch in loader for index, status in zip(batch.index, batch.status)}
    assert CULPRIT in statuses and CULPRIT - 1 not in statuses
    assert loader._stream._supervisor.crashed == [CULPRIT - 1] and loader.stats()["respawns"] == 4


def test_no_decoder_meets_a_file_before_the_loader_can_read_its_note(
    load: Load, with_culprit: Callable[..., Path], crash: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def join_late(socket_fd: int) -> object:
        threading.Event().wait(0.2)  # long enough for the whole ring
        return join(socket_fd)

    join = cropring.worker._join
    monkeypatch.setattr(cropring.worker, "_join", join_late)
    source = with_culprit()
    crash("segv")
    loader = load(source)
    assert CULPRIT not in [int(index) for batch in loader for index in batch.index]
    assert (loader.stats()["respawns"], loader.stats()["crashed_samples"]) == (2, 1)


def test_a_crash_that_does_not_come_again_leaves_nothing_out(load: Load, with_culprit: Callable[..., Path], crash: Callable[..., None], tmp_path: Path) -> None:
    source = with_culprit(71)
    undisturbed = digest(load(source))
    crash("segv", once=tmp_path / "happened")  # a file, which no worker in its sandbox could make
    loader = load(source, sandbox="off")
    assert digest(loader) == undisturbed
    assert (loader.stats()["respawns"], loader.stats()["crashed_samples"]) == (1, 0)


def test_under_on_error_stop_a_crashing_file_is_a_bad_sample(load: Load, with_culprit: Callable[..., Path], crash: Callable[..., None]) -> None:
    source = with_culprit()
    crash("segv")
    with pytest.raises(cropring.BadSample, match=rf"a/{CULPRIT:03}\.jpg: it killed the decoder twice before \(crashed\)"):
        exhaust(load(source, on_error="stop"))


def test_under_on_error_zero_a_crashing_file_is_a_blank_row(load: Load, with_culprit: Callable[..., Path], crash: Callable[..., None]) -> None:
    source = with_culprit()
    crash("segv")
    rows = {int(index): (int(status), image.any()) for batch in load(source, on_error="zero") for index, status, image in zip(batch.index, batch.status, batch.images)}
    assert rows.pop(CULPRIT) == (Status.CRASHED, False)
    assert set(rows.values()) == {(Status.OK, True)} and len(rows) == 19


def test_a_target_that_kills_the_decoder_takes_its_image_along(load: Load, tmp_path: Path, crash: Callable[..., None]) -> None:
    for number in range(20):
        for root in ("images", "masks"):
            (tmp_path / root).mkdir(exist_ok=True)
            size = (61, 67) if number == CULPRIT else (61, 60)
            picture = Image.new("L", size, number + 1)
            picture.save(tmp_path / root / f"{number:03}.jpg", "PNG" if root == "images" else "JPEG")  # only JPEGs crash
    crash("segv")
    loader = load(tmp_path / "images", targets=tmp_path / "masks", on_error="zero")
    rows = {int(index): (int(status), image.max(), target.max()) for batch in loader for index, status, image, target in zip(batch.index, batch.status, batch.images, batch.targets)}
    assert rows == {number: (Status.CRASHED, 0, 0) if number == CULPRIT else (Status.OK, number + 1, number + 1) for number in range(20)}
    assert (loader.stats()["respawns"], loader.stats()["crashed_samples"]) == (2, 1)
    with pytest.raises(cropring.BadSample, match=rf"{CULPRIT:03}\.jpg: it or its target killed the decoder twice before \(crashed\)"):
        exhaust(load(tmp_path / "images", targets=tmp_path / "masks", on_error="stop"))


def test_a_process_that_ends_itself_blames_no_file(load: Load, with_culprit: Callable[..., Path], crash: Callable[..., None]) -> None:
    source = with_culprit()
    crash("exit")
    loader = load(source, respawn=2)
    with pytest.raises(cropring.WorkerDied, match="exit status 9"):
        exhaust(loader)
    assert loader.stats()["crashed_samples"] == 0


def test_without_a_mark_the_samples_in_work_are_suspects_but_only_of_a_crash(load: Load, with_culprit: Callable[..., Path], crash: Callable[..., None]) -> None:
    """A decoder that hangs, killed from outside: by SIGKILL, which says nothing of the sample, then by what a crash looks like."""
    source = with_culprit()
    crash("hang")
    loader = load(source, threads=1)
    strikes = [signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGSEGV]
    left_out_after: list[int] = []

    def strike() -> None:
        for how in strikes:
            eventually(lambda: (worker := loader._worker) and is_running(worker.process.pid) and worker.ring.notes(1) == [CULPRIT + 1], "a hanging decoder")
            left_out_after.append(loader.stats()["crashed_samples"])
            respawns, pid = loader.stats()["respawns"], pid_of(loader)
            os.kill(pid, how)
            eventually(lambda: loader.stats()["respawns"] == respawns + 1, "a new worker")

    striker = threading.Thread(target=strike)
    striker.start()
    seen = [int(index) for batch in loader for index in batch.index]
    striker.join()
    assert left_out_after == [0, 0, 0, 0]
    assert loader.stats()["crashed_samples"] == 1 and loader._stream._supervisor.crashed == [CULPRIT]
    assert CULPRIT not in seen and len(seen) == 20


def test_a_mark_clears_all_other_samples() -> None:
    culprit = 1 << 63
    assert blamed_samples([0, 5, 9 | culprit, 3]) == [8]
    assert blamed_samples([0, 5, 9, 0, 5]) == [4, 8]
    assert blamed_samples([]) == blamed_samples([0, 0]) == []
    assert blamed_samples([5, culprit]) == []  # a decode thread crashed while it had no sample
