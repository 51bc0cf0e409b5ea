"""state_dict() and load_state_dict(): a run goes on as if it had never stopped.  Many random ones are in tests/resume/run."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cropring
from conftest import WATCHDOG_S

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/resume"))
import trials  # noqa: E402

Load = Callable[..., cropring.Loader]
TRIALS = 200 if "CROPRING_EXECUTABLE" not in os.environ else 20  # a sanitizer's worker starts slowly


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noise")
    trials.write_files(folder)
    return folder


def numbers(loader: cropring.Loader) -> list[int]:
    return [int(number) for batch in loader for number in batch.index]


def after(loader: cropring.Loader, batch_count: int) -> dict[str, Any]:
    """The state in the body of the loop, at that batch."""
    loop = iter(loader)
    for _ in range(batch_count):
        next(loop).release()
    return json.loads(json.dumps(loader.state_dict()))


@pytest.mark.parametrize("part", range(4))
def test_a_run_goes_on_with_any_world_batch_size_and_threads(noise: Path, part: int) -> None:
    seed = int(os.environ.get("CROPRING_TEST_SEED", 20240229)) + part
    print("CROPRING_TEST_SEED", seed - part)
    assert list(trials.trials(noise, seed, TRIALS // 4)) == []


# ---------------------------------------------------------------- what a state is


def test_a_state_is_small_plain_data(load: Load) -> None:
    loader = load(seed=2**64 - 1, limit=20, batch_size=3)
    assert after(loader, 2) == {
        "version": 1,
        "seed": 2**64 - 1,
        "epoch": 0,
        "samples_consumed": 6,
        "fingerprint": loader.dataset.fingerprint,
        "order": "shuffle",
        "limit": 20,
    }
    assert re.fullmatch("[0-9a-f]{32}", loader.dataset.fingerprint)
    assert load(shuffle=False).state_dict()["order"] == "sequential"


def test_all_ranks_have_the_same_state(load: Load) -> None:
    states = [after(load(rank=rank, world_size=3, batch_size=2, tail="partial"), 3) for rank in range(3)]
    assert states[0] == states[1] == states[2]
    assert states[0]["samples_consumed"] == 18


def test_batches_that_wait_in_the_ring_are_not_consumed(load: Load) -> None:
    loader = load(batch_size=2, slots=8)
    loop = iter(loader)
    next(loop)
    while loader.stats()["slots_ready"] < 5:
        pass
    assert loader.state_dict()["samples_consumed"] == 2


# ---------------------------------------------------------------- where it stands, as torchdata's StatefulDataLoader has it


def test_before_the_first_loop_a_state_is_the_begin(load: Load) -> None:
    loader = load(start_epoch=3, start_sample=8)
    state = loader.state_dict()
    assert (state["epoch"], state["samples_consumed"]) == (3, 8)
    whole = numbers(loader)
    again = load()
    again.load_state_dict(state)
    assert again.state_dict() == state
    assert numbers(again) == whole


def test_in_the_body_of_the_last_batch_the_epoch_is_consumed_and_the_next_loop_empty(load: Load) -> None:
    loader = load()
    state = after(loader, len(loader))
    again = load()
    again.load_state_dict(state)
    assert numbers(again) == []
    assert numbers(again) == numbers(loader)
    assert [batch.epoch for batch in again] == [2] * len(again)


def test_after_a_loop_a_state_is_the_next_epochs_begin(load: Load) -> None:
    loader = load()
    numbers(loader)
    state = loader.state_dict()
    assert (state["epoch"], state["samples_consumed"]) == (1, 0)
    again = load()
    again.load_state_dict(state)
    assert numbers(again) == numbers(loader)


def test_after_a_break_a_state_is_of_the_loop_that_was_left(load: Load) -> None:
    whole = numbers(load())
    loader = load()
    for number, _batch in enumerate(loader):
        if number == 1:
            break
    state = loader.state_dict()
    assert (state["epoch"], state["samples_consumed"]) == (0, 8)
    again = load()
    again.load_state_dict(state)
    assert numbers(again) == whole[8:]
    next(iter(loader))  # the loader itself goes on with the next epoch
    assert (loader.state_dict()["epoch"], loader.state_dict()["samples_consumed"]) == (1, 4)


def test_an_old_loop_that_is_asked_again_changes_nothing(load: Load) -> None:
    loader = load()
    first, second = iter(loader), iter(loader)
    for _ in range(len(loader)):
        next(first).release()
    for _ in range(len(loader)):
        next(second).release()
    state = loader.state_dict()
    assert next(first, None) is None
    assert loader.state_dict() == state
    assert next(second, None) is None
    assert loader.state_dict()["epoch"] == 2


def test_set_epoch_moves_the_state_and_keeps_a_loaded_one(load: Load) -> None:
    whole = numbers(load(start_epoch=2))
    loader = load(start_epoch=2)
    state = after(loader, 3)
    loader.set_epoch(7)
    assert (loader.state_dict()["epoch"], loader.state_dict()["samples_consumed"]) == (7, 0)
    again = load()
    again.load_state_dict(state)
    again.set_epoch(2)  # as training loops do before every epoch
    assert again.state_dict() == state
    assert numbers(again) == whole[12:]
    again.set_epoch(2)
    assert numbers(again) == whole
    elsewhere = load()
    elsewhere.load_state_dict(state)
    elsewhere.set_epoch(7)
    assert (elsewhere.state_dict()["epoch"], elsewhere.state_dict()["samples_consumed"]) == (7, 0)
    assert len(numbers(elsewhere)) == len(whole)


def test_a_resumed_epoch_that_was_over_begins_anew_when_it_is_asked_for(load: Load) -> None:
    loader = load()
    again = load()
    again.load_state_dict(after(loader, len(loader)))
    assert numbers(again) == []
    again.set_epoch(0)
    assert numbers(again) == numbers(load())


def test_len_is_a_whole_epochs_whatever_was_loaded(load: Load) -> None:
    loader = load()
    state = after(loader, 3)
    again = load()
    again.load_state_dict(state)
    assert len(again) == len(loader)


def test_the_number_of_epochs_is_that_of_the_whole_run(load: Load) -> None:
    loader = load(epochs=3)
    numbers(loader)
    state = after(loader, 2)
    again = load(epochs=3)
    again.load_state_dict(state)
    assert [len(numbers(again)) for _ in range(2)] == [len(loader) * 4 - 8, len(loader) * 4]
    with pytest.raises(cropring.CropringError, match="epoch 2 was the last"):
        numbers(again)
    finished = load(epochs=3)
    finished.load_state_dict(again.state_dict())
    assert finished.state_dict()["epoch"] == 3 and finished._worker is None
    with pytest.raises(cropring.CropringError, match="epochs=3 was asked for, and epoch 2 was the last"):
        numbers(finished)
    with pytest.raises(ValueError, match="epoch 3: 0 to 2 were asked for"):
        again.set_epoch(3)
    again.set_epoch(0)
    assert numbers(again) == numbers(load())


def test_a_run_may_go_on_with_epochs_before_its_own(load: Load) -> None:
    again = load(start_epoch=5, epochs=2)
    again.load_state_dict(load().state_dict() | {"epoch": 4, "samples_consumed": 8})
    again.set_epoch(4)
    assert [len(numbers(again)) for _ in range(3)] == [len(again) * 4 - 8, len(again) * 4, len(again) * 4]
    with pytest.raises(cropring.CropringError, match="epoch 6 was the last"):
        numbers(again)


def test_a_sequel_of_a_sequel_is_one_run(load: Load) -> None:
    whole = numbers(load(tail="partial"))
    got, state = [], {}
    for batch_size in (3, 5, 1, 7):
        loader = load(batch_size=batch_size, tail="partial")
        loader.load_state_dict(state)
        loop = iter(loader)
        got += [int(number) for _ in range(2) for number in next(loop).index]
        state = loader.state_dict()
    loader = load(tail="partial")
    loader.load_state_dict(state)
    assert got + numbers(loader) == whole


# ---------------------------------------------------------------- deaths


def test_a_worker_killed_between_state_and_sequel_changes_neither(load: Load, noise: Path) -> None:
    whole = [row for batch in load(noise, tail="partial") for row in trials.rows_of(batch)]
    loader = load(noise, tail="partial")
    loop = iter(loader)
    for _ in range(3):
        next(loop).release()
    state = loader.state_dict()
    os.kill(loader._worker.process.pid, signal.SIGKILL)
    assert loader.state_dict() == state
    again = load(noise, batch_size=5, tail="partial")
    again.load_state_dict(state)
    os.kill(again._worker.process.pid, signal.SIGKILL)
    assert [row for batch in loop for row in trials.rows_of(batch)] == whole[12:]
    assert [row for batch in again for row in trials.rows_of(batch)] == whole[12:]


def test_a_batch_that_an_interrupt_lost_on_its_way_comes_again(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when the ring has given a batch, and nobody has counted it yet."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    loader = load(epochs=2)
    whole = [numbers(loader) for _ in range(2)]
    for lost in (0, 2):
        loader = load(epochs=2)
        loop = iter(loader)
        for _ in range(lost):
            next(loop).release()
        state = loader.state_dict()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(loader._stream._supervisor, "batch_arrived", interrupted)
            next(loop)
        assert loader.state_dict() == state
        with pytest.raises(cropring.CropringError, match="such as that of Ctrl-C, came between"):
            next(loop)
        again = load()
        again.load_state_dict(state)
        assert numbers(again) == whole[0][4 * lost :]
        assert numbers(loader) == whole[lost > 0]


TRAINER = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
import trials
from pathlib import Path

folder, out, batch_size, fatal = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
with trials.load(folder, 0, world_size=1, batch_size=batch_size, tail="partial", seed=5) as loader:
    if (out / "state").exists():
        loader.load_state_dict(json.loads((out / "state").read_text()))
    count = 0
    while loader.state_dict()["epoch"] < 2:
        for batch in loader:
            count += 1
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            with open(out / "rows", "a") as rows:
                rows.writelines(b"".join(row).hex() + "\\n" for row in trials.rows_of(batch))
            (out / "new").write_text(json.dumps(loader.state_dict()))
            os.replace(out / "new", out / "state")
"""


def test_a_trainer_killed_again_and_again_sees_every_row_once(load: Load, noise: Path, tmp_path: Path) -> None:
    for batch_size, fatal in ((4, 3), (3, 1), (2, 9), (7, 2), (5, 999)):
        done = subprocess.run([sys.executable, "-c", TRAINER, ROOT / "tests/resume", noise, tmp_path, str(batch_size), str(fatal)], timeout=60)
        assert done.returncode == (0 if fatal == 999 else -signal.SIGKILL)
    with load(noise, tail="partial", seed=5, size=6) as loader:
        whole = [b"".join(row).hex() for _ in range(2) for batch in loader for row in trials.rows_of(batch)]
    assert (tmp_path / "rows").read_text().split() == whole


# ---------------------------------------------------------------- samplers with a state of their own


class Drawing:
    """Draws samples from a generator that runs on through the epochs: only its state can tell what comes next."""

    def __init__(self) -> None:
        self.generator = random.Random(7)
        self.left: int | None = None  # not begun

    def __iter__(self) -> Iterator[int]:
        self.left = 23 if self.left is None else self.left
        while self.left:
            self.left -= 1
            yield self.generator.randrange(29)
        self.left = None

    def state_dict(self) -> dict[str, Any]:
        version, internal, gauss = self.generator.getstate()
        return {"left": self.left, "generator": [version, list(internal), gauss]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        version, internal, gauss = state["generator"]
        self.generator.setstate((version, tuple(internal), gauss))
        self.left = state["left"]


class Counting:
    """As torchdata's StatefulDistributedSampler: an epoch's order is fixed, and the state is the number of those that were named."""

    def __init__(self) -> None:
        self.epoch, self.yielded, self.next_yielded = 0, 0, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.yielded, self.next_yielded = self.next_yielded, 0
        for number in random.Random(self.epoch).choices(range(29), k=23)[self.yielded :]:
            self.yielded += 1
            yield number

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "yielded": self.yielded}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.next_yielded = state["epoch"], state["yielded"]


@pytest.mark.parametrize("sampler", [Drawing, Counting])
@pytest.mark.parametrize("tail", ["partial", "drop"])
def test_a_sampler_with_a_state_goes_on_by_itself(load: Load, noise: Path, sampler: Callable[[], Any], tail: str) -> None:
    def rows(loader: cropring.Loader) -> list[list[tuple[bytes, ...]]]:
        return [[row for batch in loader for row in trials.rows_of(batch)] for _ in range(2)]

    flags = {"tail": tail, "slots": 5}
    reference = load(noise, sampler=sampler(), **flags)
    whole = rows(reference) + rows(reference)
    for epoch, stop, is_over in [(0, 2, False), (1, 1, False), (1, 6, False), (0, 5, True), (1, 6, True), (1, 0, False)]:
        loader = load(noise, sampler=sampler(), **flags)
        for _ in range(epoch):
            numbers(loader)
        loop = iter(loader)
        for _ in range(min(stop, 5 if tail == "drop" else 6)):
            next(loop).release()
        if is_over:
            numbers_left = [int(number) for batch in loop for number in batch.index]
            assert len(numbers_left) < 5
        state = json.loads(json.dumps(loader.state_dict()))
        assert (state["epoch"], "sampler_state" in state) == (epoch + is_over, epoch + stop > 0)
        again = load(noise, sampler=sampler(), **flags)
        again.load_state_dict(state)
        assert again.state_dict() == state
        rest = rows(again)
        passed_over = 0 if is_over else state["samples_consumed"]
        assert rest[0] == whole[state["epoch"]][passed_over:]
        assert rest[1] == whole[state["epoch"] + 1]


def test_a_state_of_a_sampler_with_one_needs_such_a_sampler(load: Load, noise: Path) -> None:
    state = after(load(noise, sampler=Drawing()), 2)
    with pytest.raises(ValueError, match="no load_state_dict"):
        load(noise, sampler=range(29)).load_state_dict(state)


class Running:
    """As PyTorch's RandomSampler: an order from a generator that runs on, of which nothing is told."""

    def __init__(self, seed: int, count: int = 29) -> None:
        self.generator, self.count = random.Random(seed), count

    def __iter__(self) -> Iterator[int]:
        return iter(self.generator.sample(range(29), self.count))


@pytest.mark.parametrize("batches", [False, True])
def test_a_sampler_that_names_others_than_before_is_refused(load: Load, noise: Path, batches: bool) -> None:
    def sampler(seed: int, count: int = 29) -> Any:
        return [Running(seed, count).generator.sample(range(29), min(4, count - at)) for at in range(0, count, 4)] if batches else Running(seed, count)

    state = after(load(noise, sampler=sampler(1)), 3)
    assert state["samples_consumed"] == 12 and re.fullmatch("[0-9a-f]{32}", state["sampler_state"]["named"])
    same = load(noise, sampler=sampler(1), batch_size=5)
    same.load_state_dict(state)
    assert same.state_dict() == state and len(numbers(same)) > 12
    for other in (sampler(2), sampler(1, 11), []):
        loader = load(noise, sampler=other)
        loader.load_state_dict(state)
        with pytest.raises(ValueError, match="the sampler had named 12 other samples in epoch 0"):
            numbers(loader)
    padded = load(noise, sampler=sampler(1), tail="pad")
    over = after(padded, 8)
    again = load(noise, sampler=sampler(1), tail="pad")
    again.load_state_dict(over)
    assert over["samples_consumed"] == 29 and numbers(again) == []
    loader = load(noise, sampler=sampler(2))
    loader.load_state_dict({key: value for key, value in state.items() if key != "sampler_state"})  # nothing to compare with
    assert numbers(loader)


def test_another_epoch_drops_the_samplers_state(load: Load, noise: Path) -> None:
    loader = load(noise, sampler=Drawing())
    after(loader, 2)
    loader.set_epoch(4)
    assert "sampler_state" not in loader.state_dict()


# ---------------------------------------------------------------- several readers


def taken_in_step(loader: cropring.Loader, name: str, readers: int, rounds: int) -> list[list[int]]:
    """Each reader takes so many batches; returns their first samples, the Loader's first."""
    barrier = threading.Barrier(readers)
    got: list[list[int]] = [[] for _ in range(readers)]

    def read(number: int) -> None:
        with cropring.attach(name, wait=WATCHDOG_S, timeout=WATCHDOG_S, lane=number) as reader:
            barrier.wait(WATCHDOG_S)
            for _ in range(rounds):
                got[number].append(int(next(reader).index[0]))
            barrier.wait(WATCHDOG_S)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(1, readers)]
    for thread in threads:
        thread.start()
    barrier.wait(WATCHDOG_S)
    loop = iter(loader)
    while len(got[0]) < rounds:
        batch = next(loop, None)
        if batch is None:  # its share of the epoch
            loop = iter(loader)
        else:
            got[0].append(int(batch.index[0]))
        del batch
    barrier.wait(WATCHDOG_S)
    for thread in threads:
        thread.join(WATCHDOG_S)
    return got


@pytest.mark.parametrize("rounds", [1, 3, 4, 5])
def test_with_lanes_a_state_counts_the_rounds_of_all(load: Load, noise: Path, rounds: int) -> None:
    """29 samples are 7 batches of 4: with 3 lanes, the third round takes the first batches of the next epoch."""
    reference = load(noise)
    whole = [[int(batch.index[0]) for batch in reference] for _ in range(3)]
    name = f"test-lanes-{os.getpid()}"
    loader = load(noise, readers=3, share="lanes", ring=name, slots=8)
    got = taken_in_step(loader, name, 3, rounds)
    assert [got[lane][place] for place in range(rounds) for lane in range(3)] == sum(whole, [])[: 3 * rounds]
    state = loader.state_dict()
    assert (state["epoch"], state["samples_consumed"]) == divmod(3 * rounds, 7)[:1] + (3 * rounds % 7 * 4,)
    again = load(noise, batch_size=4)
    again.load_state_dict(state)
    assert [int(batch.index[0]) for batch in again] == whole[state["epoch"]][3 * rounds % 7 :]


def test_with_broadcast_a_state_counts_what_each_had(load: Load, noise: Path) -> None:
    name = f"test-broadcast-{os.getpid()}"
    loader = load(noise, readers=2, share="broadcast", ring=name, slots=8)
    first, second = taken_in_step(loader, name, 2, 3)
    assert first == second
    assert loader.state_dict()["samples_consumed"] == 12


def test_weights_are_part_of_the_order(load: Load, noise: Path, tmp_path: Path) -> None:
    weights = np.arange(29.0)
    np.save(tmp_path / "weights.npy", weights)
    state = load(noise, weights=weights).state_dict()
    load(noise, weights=tmp_path / "weights.npy").load_state_dict(state)
    for other in (weights + 1, None):
        with pytest.raises(ValueError, match="order is 'weighted:"):
            load(noise, weights=other).load_state_dict(state)
