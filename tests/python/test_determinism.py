"""The same seed gives the same bytes, however the work is done."""

import hashlib
from collections.abc import Callable

import pytest

import cropring

Load = Callable[..., cropring.Loader]
FIELDS = ("images", "labels", "index", "box", "source_size", "flipped", "status")


def digest(loader: cropring.Loader, epochs: int = 1) -> str:
    """Of every byte of every field of so many epochs, in order."""
    hash_ = hashlib.sha256()
    for _ in range(epochs):
        for batch in loader:
            hash_.update(f"{batch.epoch} {len(batch)}".encode())
            for name in FIELDS:
                hash_.update(batch[name])
    return hash_.hexdigest()


@pytest.fixture
def reference(load: Load) -> str:
    return digest(load(seed=11, tail="partial", threads=1, io="pread"), 2)


@pytest.mark.parametrize("flags", [{"threads": 2}, {"threads": 5}, {"io": "auto"}, {"slots": 8}, {"segment": "memfd"}, {"io_depth": 1}, {"nice": 5}], ids=str)
def test_no_way_of_working_changes_a_byte(load: Load, reference: str, flags: dict[str, object]) -> None:
    assert digest(load(seed=11, tail="partial", **flags), 2) == reference


def test_both_ways_of_reading_files_were_compared(load: Load) -> None:
    assert load(io="pread").stats()["uring"] == 0
    try:
        loader = load(io="uring")
    except cropring.CropringError as error:
        pytest.skip(f"no io_uring here: {error}")
    assert loader.stats()["uring"] == 1


def test_another_seed_changes_order_and_crops(load: Load, reference: str) -> None:
    assert digest(load(seed=12, tail="partial"), 2) != reference


def test_an_epoch_is_the_same_however_it_was_reached(load: Load) -> None:
    loader = load(seed=11)
    digests = [digest(loader) for _ in range(3)]
    assert len(set(digests)) == 3
    loader.set_epoch(1)
    assert digest(loader) == digests[1]
    assert digest(load(seed=11, start_epoch=2)) == digests[2]


def test_resuming_in_an_epoch_goes_on_with_the_same_bytes(load: Load) -> None:
    whole = [batch.images.tobytes() for batch in load(seed=11)]
    rest = [batch.images.tobytes() for batch in load(seed=11, start_sample=12)]
    assert rest == whole[3:]


def test_crops_do_not_depend_on_batch_size_rank_or_order(load: Load) -> None:
    def boxes(**flags: object) -> dict[int, tuple[bytes, bytes, int]]:
        with load(seed=11, tail="partial", **flags) as loader:
            return {int(index): (batch.images[row].tobytes(), batch.box[row].tobytes(), int(batch.flipped[row]))
                    for batch in loader for row, index in enumerate(batch.index)}  # fmt: skip

    whole = boxes()
    assert boxes(batch_size=7) == boxes(shuffle=False) == boxes(rank=0, world_size=2) | boxes(rank=1, world_size=2) == whole
