"""Loader(weights=...): samples come as often as their weights say."""

import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cropring
from cropring import Status

Load = Callable[..., cropring.Loader]
Folder = Callable[..., Path]


def numbers(loader: cropring.Loader) -> list[int]:
    return [int(number) for batch in loader for number in batch.index]


def test_samples_come_as_often_as_their_weights_say(load: Load, folder: Folder) -> None:
    weights = np.array([0, 1, 2, 3, 0, 6])
    loader = load(folder(6, side_px=8), weights=weights, limit=6000, batch_size=250, size=2)
    assert len(loader) == 24
    counts = Counter(numbers(loader))
    assert sum(counts.values()) == 6000 and set(counts) == {1, 2, 3, 5}
    statistic = sum((counts[number] - 500 * weight) ** 2 / (500 * weight) for number, weight in enumerate(weights) if weight)
    assert statistic < 27  # 3 degrees of freedom: by chance once in 170,000 seeds, and this one is fixed


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u2", "?"])
def test_a_list_an_array_and_a_file_are_the_same(load: Load, folder: Folder, tmp_path: Path, dtype: str) -> None:
    source = folder(8)
    weights = np.array([1, 0, 1, 1, 0, 1, 1, 1], dtype)
    np.save(tmp_path / "weights.npy", weights)
    expected = numbers(load(source, weights=[1, 0, 1, 1, 0, 1, 1, 1], seed=3))
    assert numbers(load(source, weights=weights, seed=3)) == expected
    assert numbers(load(source, weights=tmp_path / "weights.npy", seed=3)) == expected
    assert numbers(load(source, weights=str(tmp_path / "weights.npy"), seed=4)) != expected


def test_the_shell_reads_the_file_itself(serve: Callable[..., object], folder: Folder, tmp_path: Path) -> None:
    weights = tmp_path / "weights.npy"
    np.save(weights, np.array([0, 0, 1, 0, 0], np.float32))
    server = serve(f"--weights={weights}", "--limit=8", source=folder(5))
    with cropring.attach(server.name, wait=20, timeout=20) as reader:
        assert [batch.index.tolist() for batch in reader] == [[2] * 4] * 2


def test_a_manifest_may_tell_them(load: Load, folder: Folder, tmp_path: Path) -> None:
    rows = "".join(f"{number:03}.jpg,{number % 2}\n" for number in range(6))
    (folder(6) / "table.csv").write_text("path,weight\n" + rows)
    loader = load(tmp_path / "set/table.csv", weights="column", limit=40)
    assert set(numbers(loader)) == {1, 3, 5}
    assert loader.state_dict()["order"] == "weighted:column"
    assert set(numbers(load(tmp_path / "set/table.csv", tail="partial"))) == set(range(6))


def test_a_sample_that_comes_again_is_cropped_again(load: Load, folder: Folder) -> None:
    loader = load(folder(3, side_px=200), weights=[0, 1, 0], limit=64, batch_size=64)
    batch = next(iter(loader))
    assert set(batch.index.tolist()) == {1}
    assert len({box.tobytes() for box in batch.box}) > 50 and 10 < batch.flipped.sum() < 54


def test_a_bad_file_is_replaced_by_weight(load: Load, folder: Folder) -> None:
    source = folder(6)
    (source / "003.jpg").write_bytes(b"not an image")
    loader = load(source, weights=[1, 0, 0, 5, 1, 0], limit=400, batch_size=100)
    statuses: Counter[int] = Counter()
    for batch in loader:
        assert set(batch.index.tolist()) <= {0, 4}
        statuses.update((batch.status & Status.SUBSTITUTED).tolist())
    assert statuses[Status.SUBSTITUTED] > 200


def test_a_worker_that_takes_a_dead_ones_place_has_the_same_weights(load: Load, folder: Folder, tmp_path: Path) -> None:
    source, path = folder(30), tmp_path / "weights.npy"
    weights = np.arange(30.0)
    np.save(path, weights)
    whole = numbers(load(source, weights=weights))
    loader = load(source, weights=path)
    np.save(path, weights[::-1])
    got = []
    for number, batch in enumerate(loader):
        got += batch.index.tolist()
        if number % 3 == 1:
            loader._worker.process.kill()
        del batch
    assert got == whole


def test_epochs_and_seeds_draw_anew(load: Load, folder: Folder) -> None:
    loader = load(folder(30), weights=np.ones(30), tail="partial")
    first, second = numbers(loader), numbers(loader)
    assert first != second and len(first) == 30 and len(set(first)) < 30


def test_ranks_share_the_draws_of_an_epoch(load: Load, folder: Folder) -> None:
    source, weights = folder(10), np.arange(10.0)
    whole = numbers(load(source, weights=weights, limit=23, tail="partial"))
    parts = [numbers(load(source, weights=weights, limit=23, tail="partial", rank=rank, world_size=2)) for rank in range(2)]
    assert parts == [whole[0::2], whole[1::2]]


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([1, 2], "^weights: 2 weights for 3 samples"),
        ([1, 2, -1], "weight of sample 2 is -1.0"),
        ([math.nan, 1, 1], "weight of sample 0 is nan"),
        ([1, math.inf, 1], "weight of sample 1 is inf"),
        ([0, 0, 0], "all 3 are 0"),
        ([[1, 1, 1]], r"one dimension; shape \(1, 3\)"),
        ([], "one number for each sample"),
        (["a", "b", "c"], "one number for each sample"),
        ([1, [2], 3], "one number for each sample"),
        ("column", "weights='column': .* tells no weights; a manifest"),
        ("/nowhere/weights.npy", "weights='/nowhere/weights.npy': a .npy file"),
        (__file__, "test_weighted.py': a .npy file .* magic"),
    ],
)
def test_what_cannot_be_weights_is_refused(load: Load, folder: Folder, weights: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        load(folder(3), weights=weights)


def test_files_that_hold_none_are_refused(load: Load, folder: Folder, tmp_path: Path, command: Callable[..., object]) -> None:
    source = folder(3)
    text, square, short = tmp_path / "text.npy", tmp_path / "square.npy", tmp_path / "short.npy"
    text.write_text("1 2 3")
    np.save(square, np.ones((3, 1)))
    np.save(short, np.ones(3))
    os.truncate(short, os.path.getsize(short) - 1)
    for path, reason in ((text, "not a .npy file"), (square, "not one dimension"), (short, "too few"), (tmp_path, "not a file")):
        with pytest.raises(ValueError, match=path.name):
            load(source, weights=path)
        done = command("serve", source, f"--weights={path}", "--batch-size=1")
        assert done.returncode == 2 and f"--weights {path}: " in done.stderr and reason in done.stderr, done.stderr


def test_weights_and_no_shuffle_contradict_each_other(load: Load, folder: Folder) -> None:
    with pytest.raises(ValueError, match="leave --no-shuffle out"):
        load(folder(3), weights=[1, 1, 1], shuffle=False)


def test_the_weights_are_the_loaders_own_copy(load: Load, folder: Folder) -> None:
    weights = np.array([1.0, 0, 0])
    loader = load(folder(3), weights=weights, limit=8)
    weights[:] = [0, 1, 0]
    loader.set_epoch(3)  # a fresh worker
    assert set(numbers(loader)) == {0}
