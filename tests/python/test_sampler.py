"""Loader(sampler=...): the order is the caller's, everything else is as without one."""

from __future__ import annotations

import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cropring
from cropring import Batch, Status
from cropring.sampling import _occurrences

Load = Callable[..., cropring.Loader]
Folder = Callable[..., Path]
FIELDS = ("images", "labels", "index", "box", "source_size", "flipped", "status")


def contents(batches: Iterable[Batch]) -> list[list[object]]:
    return [[batch.seq, batch.epoch, *(batch[name].tobytes() for name in FIELDS)] for batch in batches]


def numbers(loop: Iterable[Batch]) -> list[list[int]]:
    return [batch.index.tolist() for batch in loop]


def kill(loader: cropring.Loader) -> None:
    os.kill(loader._worker.process.pid, signal.SIGKILL)


# ---------------------------------------------------------------- the same batches


@pytest.mark.parametrize("tail", ["drop", "pad", "partial"])
def test_the_order_of_the_files_gives_the_plans_own_batches(load: Load, photos: Path, tail: str) -> None:
    plan = load(shuffle=False, tail=tail, seed=9)
    sampled = load(shuffle=False, tail=tail, seed=9, sampler=range(len(plan.dataset)))
    for _ in range(2):
        assert contents(sampled) == contents(plan)
    assert len(sampled) == len(plan)


def test_the_plans_own_shuffled_order_gives_its_batches(load: Load, folder: Folder) -> None:
    source = folder({"a": 30, "b": 31})
    plan = load(source, seed=4, tail="partial")
    expected = [contents(plan) for _ in range(2)]
    plan.set_epoch(0)
    orders = [[number for batch in plan for number in batch.index.tolist()] for _ in range(2)]

    class Order:
        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self) -> Iterator[int]:
            return iter(orders[self.epoch])

    sampled = load(source, seed=4, tail="partial", sampler=Order())
    assert [contents(sampled) for _ in range(2)] == expected


def test_a_bad_file_has_the_plans_substitute(load: Load, folder: Folder) -> None:
    source = folder(21)
    (source / "004.jpg").write_bytes(b"")
    plan, sampled = load(source, shuffle=False), load(source, shuffle=False, sampler=range(21))
    assert contents(sampled) == contents(plan)
    zero = load(source, sampler=[[4, 5]], on_error="zero")
    assert [batch.status.tolist() for batch in zero] == [[Status.EMPTY, 0]]
    with pytest.raises(cropring.BadSample, match="004.jpg"):
        numbers(load(source, sampler=[[4, 5]], on_error="stop"))


def test_a_file_that_is_smaller_than_a_batch_is_padded_round_and_round(load: Load, folder: Folder) -> None:
    source = folder(3)
    plan, sampled = load(source, batch_size=8, tail="pad", shuffle=False), load(source, batch_size=8, tail="pad", sampler=range(3))
    assert contents(sampled) == contents(plan)


# ---------------------------------------------------------------- samplers of all kinds


def test_batches_are_taken_as_they_are(load: Load, photos: Path) -> None:
    batches = [[3], [1, 2, 3, 4], [], [0, 33], np.array([5, 6]), (7,)]
    loader = load(sampler=batches)
    for _ in range(2):
        assert numbers(loader) == [list(batch) for batch in batches]
    assert len(loader) == 6


def test_numbers_of_any_integer_kind(load: Load, photos: Path) -> None:
    for sampler in (np.array([5, 6, 7], np.uint8), [np.int64(5), 6, np.uint16(7)], (number for number in (5, 6, 7)), {5: 0, 6: 0, 7: 0}):
        assert numbers(load(sampler=sampler, tail="partial")) == [[5, 6, 7]]
    assert numbers(load(sampler=np.array([[1, 2], [3, 4]]))) == [[1, 2], [3, 4]]


def test_samplers_of_pytorch(load: Load, photos: Path) -> None:
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    source = list(range(34))
    seeded = torch.Generator().manual_seed(5)
    shuffled = load(sampler=data.RandomSampler(source, generator=seeded), tail="partial")
    assert sorted(sum(numbers(shuffled), [])) == source and len(shuffled) == 9
    batched = load(sampler=data.BatchSampler(data.SequentialSampler(source), batch_size=3, drop_last=False))
    assert len(batched) == 12 and numbers(batched) == [source[first : first + 3] for first in range(0, 34, 3)]
    weights = [0.0] * 30 + [1.0, 1.0, 1.0, 5.0]
    weighted = load(sampler=data.WeightedRandomSampler(weights, 400, generator=seeded))
    counts = Counter(sum(numbers(weighted), []))
    assert set(counts) == {30, 31, 32, 33} and counts[33] > counts[30] and counts.total() == 400
    distributed = load(sampler=data.DistributedSampler(source, num_replicas=2, rank=1, shuffle=True), tail="partial")
    first, second = (sorted(sum(numbers(distributed), [])) for _ in range(2))
    assert len(first) == 17 and first != second  # set_epoch was called


def test_the_epoch_is_told_before_each_loop(load: Load, photos: Path) -> None:
    told: list[int] = []

    class Sampler:
        def set_epoch(self, epoch: int) -> None:
            told.append(epoch)

        def __iter__(self) -> Iterator[int]:
            return iter(range(8))

    loader = load(sampler=Sampler(), start_epoch=2)
    for _ in range(2):
        assert [batch.epoch for batch in loader] == [told[-1]] * 2
    loader.sampler.set_epoch(7)
    numbers(loader)
    assert told == [2, 3, 7]
    with pytest.raises(TypeError, match="len"):
        len(loader)
    assert "a sampler's batches of 4" in repr(loader)



def test_set_epoch_within_a_loop_is_for_the_next_one(load: Load, photos: Path) -> None:
    loader = load(sampler=range(8))
    assert [batch.epoch for batch in loader if loader.set_epoch(5) is None] == [0, 0]
    assert loader.state_dict()["epoch"] == 5
    assert [batch.epoch for batch in loader] == [5, 5]

def test_a_sample_that_comes_again_gets_another_crop(load: Load, photos: Path) -> None:
    plan = load(photos, shuffle=False)
    once = next(iter(plan))
    boxes = [batch.box.tolist() for batch in load(sampler=[[0, 1, 0, 0], [2, 0, 3, 0]])]
    assert boxes[0][:2] + [boxes[1][0], boxes[1][2]] == once.box.tolist()
    crops = [boxes[0][0], boxes[0][2], boxes[0][3], boxes[1][1], boxes[1][3]]
    assert len({tuple(box) for box in crops}) == 5


def test_occurrences_count_over_batches() -> None:
    rng = np.random.default_rng(3)
    seen, counts = np.zeros(50, np.uint32), Counter[int]()
    for size in [0, 1, *rng.integers(0, 40, 200)]:
        samples = rng.integers(0, 50, size)
        expected = []
        for sample in samples.tolist():
            expected.append(counts[sample])
            counts[sample] += 1
        assert _occurrences(samples, seen).tolist() == expected


def test_it_is_asked_no_further_ahead_than_there_are_slots(load: Load, folder: Folder) -> None:
    asked: list[int] = []

    def sampler() -> Iterator[list[int]]:
        for number in range(50):
            asked.append(number)
            yield [number % 20]

    loop = iter(load(folder(20), sampler=sampler(), slots=5))
    assert asked == []
    for number in range(50):
        batch = next(loop)
        assert batch.index.tolist() == [number % 20] and len(asked) <= number + 5
    assert next(loop, None) is None


def test_kept_batches_leave_less_room_ahead_and_all_of_them_none(load: Load, folder: Folder) -> None:
    loop = iter(load(folder(20), sampler=range(20), slots=4))
    kept = [next(loop) for _ in range(4)]
    with pytest.raises(cropring.SlotsExhausted, match="hold 4 of the 4 slots"):
        next(loop)
    kept.pop()
    assert next(loop).index.tolist() == [16, 17, 18, 19]


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("sampler", "error", "message", "before"),
    [
        ([0, 1, 2, 3, 4, 34, 6, 7], IndexError, "position 5 of the sampler: sample 34: 0 to 33 are there", 1),
        ([0, 1, 2, 3, -1], IndexError, "position 4 of the sampler: sample -1", 1),
        ([[0], [1, 2], [3, 99]], IndexError, "position 4 of the sampler: sample 99", 2),
        ([0, 1, 2, 3, 4, "x"], TypeError, "position 5 of the sampler: 'x': a sample number is expected", 1),
        ([0, 1, 2, 3, 4.0], TypeError, "position 4 of the sampler: 4.0: a sample number", 1),
        ([[0], [1, [2]]], TypeError, r"position 2 of the sampler: \[2\]: a sample number", 1),
        ([[0], 1], TypeError, "batch 1 of the sampler: 1: sample numbers are expected", 1),
        ([[0], [1, 2, 3, 4, 5]], ValueError, "batch 1 of the sampler: 5 samples, over batch_size=4", 1),
    ],
)
def test_a_bad_number_raises_after_the_batches_before_it(load: Load, photos: Path, sampler: list[Any], error: type[Exception], message: str, before: int) -> None:
    loader = load(sampler=sampler, tail="partial")
    loop = iter(loader)
    for _ in range(before):
        next(loop)
    with pytest.raises(error, match=message):
        next(loop)
    assert next(loop, None) is None


def test_an_interrupt_within_a_sampler_comes_at_once_and_ends_no_epoch_in_silence(load: Load, photos: Path) -> None:
    def numbers() -> Iterator[int]:
        yield from range(9)
        raise KeyboardInterrupt

    class Interrupted:
        def __iter__(self) -> Iterator[int]:
            return numbers()

    loop = iter(load(photos, sampler=Interrupted(), batch_size=4, slots=4))
    with pytest.raises(KeyboardInterrupt):
        next(loop)
    assert [batch.index.tolist() for batch in itertools.islice(loop, 2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(KeyboardInterrupt):
        next(loop)


def test_what_a_sampler_raises_comes_at_its_place(load: Load, photos: Path) -> None:
    def sampler() -> Iterator[int]:
        yield from range(9)
        raise KeyError("the score of sample 9")

    loop = iter(load(sampler=sampler()))
    assert [next(loop).index.tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(KeyError, match="the score of sample 9"):
        next(loop)


def test_a_sampler_without_samples_is_an_empty_epoch(load: Load, photos: Path) -> None:
    loader = load(sampler=[])
    assert numbers(loader) == numbers(loader) == [] and len(loader) == 0
    assert loader._stream.next_epoch == 2


def test_what_is_no_sampler_is_refused(load: Load, photos: Path) -> None:
    with pytest.raises(TypeError, match="sampler=5: an iterable"):
        load(sampler=5)
    with pytest.raises(ValueError, match="readers=2: a sampler has one reader"):
        load(sampler=[1], readers=2, slots=4)


def test_a_loop_that_was_left_is_over(load: Load, photos: Path) -> None:
    loader = load(sampler=range(34))
    first = iter(loader)
    next(first)
    assert numbers(loader)[0] == [0, 1, 2, 3] and loader._stream.epoch == 2
    with pytest.raises(cropring.CropringError, match="this loop is over"):
        next(first)


def test_start_sample_passes_over_the_first_of_the_first_epoch(load: Load, photos: Path) -> None:
    plan, sampled = (load(shuffle=False, start_sample=6, tail="pad", **more) for more in ({}, {"sampler": range(34)}))
    for _ in range(2):
        assert contents(sampled) == contents(plan)
    batches = load(sampler=[[0, 1, 2], [3, 4, 5], [0, 7]], start_sample=4)
    boxes = [batch.box.tolist() for batch in load(sampler=[[0, 1, 2], [3, 4, 5], [0, 7]])]
    rest = [(batch.index.tolist(), batch.box.tolist()) for batch in batches]
    assert rest == [([4, 5], boxes[1][1:]), ([0, 7], boxes[2])]


def test_epochs_are_counted(load: Load, photos: Path) -> None:
    loader = load(sampler=range(8), epochs=2)
    for _ in range(2):
        assert len(numbers(loader)) == 2
    with pytest.raises(cropring.CropringError, match="epoch 1 was the last"):
        numbers(loader)


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("makes_batches", [False, True])
def test_a_state_counts_the_samplers_samples_and_another_loader_goes_on(load: Load, photos: Path, makes_batches: bool) -> None:
    order = [number * 7 % 34 for number in range(50)]  # some come twice

    class Sampler:
        def set_epoch(self, epoch: int) -> None:
            self.order = order[epoch:] + order[:epoch]

        def __iter__(self) -> Iterator[Any]:
            batches = [self.order[first : first + 4] for first in range(0, 50, 4)]
            return iter(batches if makes_batches else self.order)

    def rows(loader: cropring.Loader, epochs: int) -> list[list[object]]:
        seen = [[batch.epoch, [batch[name].tolist() for name in FIELDS]] for _ in range(epochs) for batch in loader]
        return [[epoch, *row] for epoch, columns in seen for row in zip(*columns)]

    flags = {"tail": "partial", "seed": 3}
    whole = rows(load(sampler=Sampler(), **flags), 3)
    for stop in (0, 1, 5, 12, 13):
        loader = load(sampler=Sampler(), **flags)
        loop = iter(loader)
        for _ in range(stop):
            next(loop)
        state = loader.state_dict()
        consumed = min(50, stop * 4)
        assert (state["epoch"], state["samples_consumed"], state["order"]) == (0, consumed, "sampler")
        resumed = load(sampler=Sampler(), batch_size=4 if makes_batches else 7, **flags)
        resumed.load_state_dict(state)
        assert rows(resumed, 3) == whole[consumed:]
    assert next(loop, None) is None and loader.state_dict()["epoch"] == 1
    with pytest.raises(ValueError, match="its order is 'sampler'"):
        load(**flags).load_state_dict(state)


def test_what_only_the_loaders_own_order_has_is_refused(load: Load, photos: Path) -> None:
    for flags in ({"limit": 5}, {"weights": [1.0] * 34}):
        with pytest.raises(ValueError, match="weights and limit are for the Loader's own order"):
            load(sampler=[1], **flags)


# ---------------------------------------------------------------- workers that die


def test_an_epoch_with_kills_has_the_bytes_of_an_undisturbed_one(load: Load, folder: Folder) -> None:
    seed = int(os.environ.get("CROPRING_TEST_SEED", "20240229"))
    print(f"CROPRING_TEST_SEED={seed}")
    chance = random.Random(seed)
    source = folder({"a": 20, "b": 20})
    order = [[chance.randrange(40) for _ in range(chance.randint(1, 4))] for _ in range(120)]
    flags = {"sampler": order, "slots": 5}
    undisturbed = contents(load(source, **flags))
    loader = load(source, **flags)

    def disturbed() -> Iterator[Batch]:
        for batch in loader:
            yield batch
            if chance.random() < 0.1:
                kill(loader)

    assert contents(disturbed()) == undisturbed
    assert loader.stats()["respawns"] > 3


def test_a_death_between_two_epochs_is_not_noticed(load: Load, photos: Path) -> None:
    loader, reference = load(sampler=range(34)), load(sampler=range(34))
    for _ in range(3):
        assert contents(loader) == contents(reference)
        kill(loader)
    assert loader.stats()["respawns"] == 2


def test_a_file_that_kills_the_decoder_twice_is_left_out(load: Load, folder: Folder, crash: Callable[..., None]) -> None:
    from PIL import Image

    source = folder(20)
    Image.new("RGB", (61, 67)).save(source / "007.jpg")
    crash("segv")
    loader = load(source, sampler=range(20), on_error="zero")
    statuses = {int(index): int(status) for batch in loader for index, status in zip(batch.index, batch.status)}
    assert statuses == {number: Status.CRASHED if number == 7 else 0 for number in range(20)}
    assert loader.stats()["crashed_samples"] == 1
