"""Ranks: who this process is, and that all of them together hand out each epoch as the tail rule says."""

import logging
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import cropring
from cropring import Status
from cropring.world import World, find_world

Load = Callable[..., cropring.Loader]
LAUNCHERS = [
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
]


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever started the tests themselves."""
    for name in [name for name in os.environ if name.startswith(("RANK", "WORLD_SIZE", "OMPI_", "MV2_", "PMI_", "SLURM_"))]:
        monkeypatch.delenv(name)
    yield


# ---------------------------------------------------------------- from the environment


@pytest.mark.parametrize("names", LAUNCHERS, ids=lambda names: names[0])
def test_each_launcher_is_understood(names: tuple[str, str]) -> None:
    world = find_world(None, None, {names[0]: "2", names[1]: "5"})
    assert (world.rank, world.size, world.origin) == (2, 5, f"{names[0]} and {names[1]}")


def test_without_a_launcher_there_is_one_process() -> None:
    assert find_world(None, None, {}) == World(0, 1, "")


def test_the_innermost_launcher_counts() -> None:
    environment: dict[str, str] = {}
    for number, names in enumerate(reversed(LAUNCHERS)):
        environment |= {names[0]: str(number), names[1]: "9"}
        assert find_world(None, None, environment).rank == number


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"},  # srun --pty bash
        {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"},  # a batch script that does not use srun
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"},  # salloc
    ],
)
def test_slurm_without_tasks_is_one_process(environment: dict[str, str]) -> None:
    world = find_world(None, None, environment)
    assert (world.rank, world.size) == (0, 1)


def test_keywords_win() -> None:
    environment = {"RANK": "1", "WORLD_SIZE": "2"}
    assert find_world(3, 4, environment) == World(3, 4, "")
    assert find_world(0, 1, {"RANK": "nonsense", "WORLD_SIZE": ""}) == World(0, 1, "")


def test_pytorchs_process_group_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    is_made = False
    group = SimpleNamespace(is_initialized=lambda: is_made, get_rank=lambda: 5, get_world_size=lambda: 8)
    monkeypatch.setitem(sys.modules, "torch.distributed", group)
    environment = {"WORLD_SIZE": "8", "LOCAL_RANK": "1"}  # as Lightning leaves it
    with pytest.raises(ValueError, match="WORLD_SIZE is set and RANK is not"):
        find_world(None, None, environment)
    is_made = True
    assert find_world(None, None, environment) == World(5, 8, "torch.distributed")
    assert find_world(3, 4, environment) == World(3, 4, "")
    monkeypatch.setitem(sys.modules, "torch.distributed", SimpleNamespace())  # of a PyTorch without it
    assert find_world(None, None, {}) == World(0, 1, "")


def test_half_of_a_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="rank=1 without world_size"):
        find_world(1, None, {})
    with pytest.raises(ValueError, match="world_size=4 without rank"):
        find_world(None, 4, {"RANK": "1", "WORLD_SIZE": "4"})
    with pytest.raises(ValueError, match="RANK is set and WORLD_SIZE is not"):
        find_world(None, None, {"RANK": "1"})
    with pytest.raises(ValueError, match="PMI_SIZE is set and PMI_RANK is not"):
        find_world(None, None, {"PMI_SIZE": "3", "PMI_RANK": ""})


@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("-1", "2"), ("x", "2"), ("0", "0"), ("1.0", "2"), ("٣", "4"), ("0", "9" * 5000), ("0\n", "2")])
def test_nonsense_in_the_environment_is_named(rank: str, size: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"RANK={rank!r} and WORLD_SIZE={size!r}")):
        find_world(None, None, {"RANK": rank, "WORLD_SIZE": size})


def test_a_loader_asks_the_environment_and_says_so_once(load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    whole = [int(number) for batch in load(rank=0, world_size=1, tail="partial") for number in batch.index]
    with caplog.at_level(logging.INFO, "cropring"):
        loader, _ = load(), load()
    assert (loader.rank, loader.world_size) == (1, 3)
    assert [record.getMessage() for record in caplog.records] == ["rank 1 of 3, from RANK and WORLD_SIZE"]
    assert [int(number) for batch in loader for number in batch.index] == whole[1:24:3]


def test_a_ring_with_several_readers_does_not_ask(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    loader = load(readers=2, slots=4)
    assert (loader.rank, loader.world_size) == (0, 1)
    loader = load(readers=2, slots=4, rank=1, world_size=2)
    assert (loader.rank, loader.world_size) == (1, 2)


def test_the_shell_does_not_ask(command: Callable[..., "subprocess.CompletedProcess[str]"], photos: Path) -> None:
    done = command("serve", photos, "--batch-size=1000", env={"RANK": "1", "WORLD_SIZE": "3"})
    assert done.returncode == 2 and "do not fill one batch of 1000: use" in done.stderr


def test_an_explicit_rank_beyond_the_world_is_refused(load: Load) -> None:
    with pytest.raises(ValueError, match="--rank 2 is not below --world-size 2"):
        load(rank=2, world_size=2)
    with pytest.raises(TypeError, match="rank=1.5"):
        load(rank=1.5, world_size=2)


# ---------------------------------------------------------------- shares


def epoch_batches(sample_count: int, passed_over: int, step: int, tail: str) -> int:
    left = sample_count - passed_over
    return left // step if tail == "drop" else -(-left // step)


def test_ranks_are_disjoint_complete_and_equally_long(load: Load, folder: Callable[..., Path]) -> None:
    """Random sizes, worlds, batch sizes, tails, limits and starts; the positions are told by an order without shuffle."""
    seed = int(os.environ.get("CROPRING_TEST_SEED", 20240229))
    print("CROPRING_TEST_SEED", seed)
    rng = random.Random(seed)
    source, sample_count = folder(31, side_px=8), 31
    for _ in range(60):
        limit = rng.choice((0, rng.randint(1, 40)))
        epoch = min(limit, sample_count) if limit else sample_count
        world_size = rng.randint(1, 4)
        batch_size = rng.randint(1, max(1, min(7, epoch // world_size)))
        tail = rng.choice(("drop", "pad", "partial"))
        start = rng.randint(0, epoch)
        step = world_size * batch_size
        if tail == "drop" and epoch < step:
            continue
        way = f"limit={limit} world_size={world_size} batch_size={batch_size} tail={tail} start_sample={start}"
        real: Counter[int] = Counter()
        padding: Counter[int] = Counter()
        lengths = set()
        for rank in range(world_size):
            flags = {"batch_size": batch_size, "tail": tail, "limit": limit, "start_sample": start, "shuffle": False, "size": 2}
            with load(source, rank=rank, world_size=world_size, sandbox="off", **flags) as loader:
                assert len(loader) == epoch_batches(epoch, 0, step, tail), way
                batches = [(batch.index.tolist(), (batch.status & Status.PADDING).tolist()) for batch in loader]
            lengths.add(len(batches))
            for index, is_padding in batches:
                real.update(number for number, padded in zip(index, is_padding) if not padded)
                padding.update(number for number, padded in zip(index, is_padding) if padded)
        assert lengths == {epoch_batches(epoch, start, step, tail)}, way
        end = start + (epoch - start) // step * step if tail == "drop" else epoch
        assert real == Counter(range(start, end)), way
        missing = -(epoch - start) % step if tail == "pad" else 0
        assert padding == Counter(place % epoch for place in range(missing)), way


@pytest.mark.parametrize(
    ("tail", "shares"),
    [
        ("drop", [[[0, 3]], [[1, 4]], [[2, 5]]]),
        ("pad", [[[0, 3], [6, 9]], [[1, 4], [7, 0]], [[2, 5], [8, 1]]]),
        ("partial", [[[0, 3], [6, 9]], [[1, 4], [7]], [[2, 5], [8]]]),
    ],
)
def test_the_docs_example_is_true(load: Load, folder: Callable[..., Path], tail: str, shares: list[list[list[int]]]) -> None:
    source = folder(10)
    for rank, share in enumerate(shares):
        loader = load(source, shuffle=False, rank=rank, world_size=3, batch_size=2, tail=tail)
        assert [batch.index.tolist() for batch in loader] == share


def test_a_limit_ends_each_epoch_after_the_first_of_its_order(load: Load) -> None:
    whole, limited = load(tail="partial"), load(tail="partial", limit=10)
    for _ in range(2):
        every = [int(number) for batch in whole for number in batch.index]
        assert [int(number) for batch in limited for number in batch.index] == every[:10]
    assert len(limited) == 3
    assert len(load(limit=10**18)) == len(load())
    with pytest.raises(ValueError, match=r"--start-sample 11: an epoch of .* has only 10 samples \(--limit\)"):
        load(limit=10, start_sample=11)
    with pytest.raises(ValueError, match=r"3 samples \(--limit\) do not fill one batch of 4"):
        load(limit=3)


def test_without_shuffle_a_limit_is_all_there_is_for_substitutes_too(load: Load, folder: Callable[..., Path]) -> None:
    source = folder(20)
    (source / "001.jpg").write_bytes(b"not an image")
    loader = load(source, shuffle=False, limit=4, epochs=20)
    for _ in range(20):
        for batch in loader:
            assert batch.index[1] in (0, 2, 3)


def test_torchruns_variables_reach_a_program(photos: Path) -> None:
    program = f"import cropring; loader = cropring.Loader({str(photos)!r}, batch_size=2, size=16); print(loader.rank, loader.world_size, len(loader))"
    said = subprocess.run([sys.executable, "-c", program], env=os.environ | {"RANK": "3", "WORLD_SIZE": "4"}, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["3", "4", "4"]
