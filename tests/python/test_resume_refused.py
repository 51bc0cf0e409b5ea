"""load_state_dict(): what fits no run is refused with what was found, and changes nothing."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_resume import after, numbers

import cropring

Load = Callable[..., cropring.Loader]


def test_an_empty_state_does_nothing(load: Load) -> None:
    loader = load()
    pid = loader._worker.process.pid
    loader.load_state_dict({})
    assert loader._worker.process.pid == pid
    numbers(loader)
    loader.load_state_dict({})


def test_a_state_comes_before_the_first_loop(load: Load) -> None:
    loader = load()
    state = loader.state_dict()
    next(iter(loader))
    with pytest.raises(RuntimeError, match="before the first loop"):
        loader.load_state_dict(state)


def test_a_fork_takes_no_state(load: Load) -> None:
    loader = load()
    worker = loader._worker
    child = os.fork()
    if child == 0:
        try:
            loader.load_state_dict(loader.state_dict())
        except RuntimeError as error:
            os._exit(0 if "fork" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert numbers(loader) and loader._worker is worker


def test_a_closed_loader_takes_no_state_but_has_one(load: Load) -> None:
    loader = load()
    state = after(loader, 1)
    loader.close()
    assert loader.state_dict() == state
    with pytest.raises(ValueError, match="closed"):
        loader.load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 2}, "version 2, and this cropring reads version 1"),
        ({"version": 0}, "version 0, and this cropring reads version 1"),
        ({"version": None}, "version is None"),
        ({"epoch": -1}, "epoch is -1"),
        ({"epoch": True}, "epoch is True"),
        ({"epoch": 2**40}, "epoch is"),
        ({"samples_consumed": 1.5}, "samples_consumed is 1.5"),
        ({"samples_consumed": 35}, "35 samples consumed of an epoch that has 34"),
        ({"seed": 2**64}, "seed is"),
        ({"fingerprint": "00" * 16}, "fingerprint 0000.*photos have.*other files or labels"),
        ({"order": "sequential"}, "order is 'sequential', this Loader's is 'shuffle'.*same shuffle"),
        ({"limit": 5}, "limit=5, this Loader has limit=0"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_with_what_was_found(load: Load, change: dict[str, object], text: str) -> None:
    loader = load()
    before = loader.state_dict()
    with pytest.raises(ValueError, match=text):
        loader.load_state_dict(before | change)
    assert loader.state_dict() == before and numbers(loader)


@pytest.mark.parametrize("key", ["version", "seed", "epoch", "samples_consumed", "fingerprint", "order", "limit"])
def test_a_state_without_a_part_is_refused_by_name(load: Load, key: str) -> None:
    state = load().state_dict()
    del state[key]
    with pytest.raises(ValueError, match=f"no '{key}'"):
        load().load_state_dict(state)


def test_what_is_no_state_is_a_type_error(load: Load) -> None:
    for wrong in ([1], [], None):
        with pytest.raises(TypeError, match="state_dict"):
            load().load_state_dict(wrong)  # type: ignore[arg-type]


def test_other_files_are_another_data_set_wherever_they_lie(load: Load, folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder(9)
    state = load(source).state_dict()
    moved = source.rename(tmp_path / "elsewhere")
    load(moved).load_state_dict(state)
    (moved / "008.jpg").rename(moved / "009.jpg")
    with pytest.raises(ValueError, match="fingerprint"):
        load(moved).load_state_dict(state)


def test_files_that_change_before_the_run_goes_on_are_noticed(load: Load, folder: Callable[..., Path]) -> None:
    source = folder(9)
    loader = load(source)
    state = loader.state_dict() | {"samples_consumed": 4}
    (source / "008.jpg").rename(source / "009.jpg")
    with pytest.raises(ValueError, match="fingerprint.*other files"):
        loader.load_state_dict(state)
    assert loader.state_dict()["samples_consumed"] == 0 and len(numbers(loader)) == 8


def test_numbers_of_a_state_may_be_numpys(load: Load) -> None:
    state = {key: np.asarray(value) for key, value in after(load(seed=2**64 - 1, limit=20), 2).items()}
    loader = load(limit=20)
    loader.load_state_dict(state)
    assert json.loads(json.dumps(loader.state_dict())) == after(load(seed=2**64 - 1, limit=20), 2)


def test_split_among_several_readers_has_no_state(load: Load) -> None:
    with pytest.raises(ValueError, match="split.*lanes"):
        load(readers=2, slots=4).state_dict()


def test_an_epoch_is_a_whole_number_of_any_kind(load: Load) -> None:
    loader = load()
    loader.set_epoch(np.int64(3))
    assert json.loads(json.dumps(loader.state_dict()))["epoch"] == 3
    for wrong in (3.0, "3", None):
        with pytest.raises(TypeError, match="epoch=.*whole number"):
            loader.set_epoch(wrong)  # type: ignore[arg-type]
    for beyond in (-1, 10**9 + 1):
        with pytest.raises(ValueError, match="0 to 1000000000 are there"):
            loader.set_epoch(beyond)
    assert [batch.epoch for batch in loader] == [3] * len(loader)
