"""Batch: arrays without a copy, and the lifetime of the slot behind them."""

import gc
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cropring
from cropring import Batch, Status

Load = Callable[..., cropring.Loader]


def held(loader: cropring.Loader) -> int:
    return loader.stats()["slots_held"]


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


# ---------------------------------------------------------------- what a batch is


def test_arrays_lie_inside_the_shared_memory(load: Load) -> None:
    loader = load()
    batch = next(iter(loader))
    begin, byte_count = loader._worker.ring.mapping
    for name in loader._worker.ring.field_names:
        assert begin < address(batch[name]) and address(batch[name]) + batch[name].nbytes <= begin + byte_count
        assert address(batch[name]) % 256 == 0 and not batch[name].flags.owndata


def test_fields_have_the_documented_shapes_and_types(load: Load) -> None:
    loader = load(batch_size=5, size=(24, 32))
    batch = next(iter(loader))
    expected = {
        "images": ((5, 24, 32, 3), np.uint8),
        "labels": ((5,), np.int64),
        "index": ((5,), np.int64),
        "box": ((5, 4), np.int32),
        "source_size": ((5, 2), np.int32),
        "flipped": ((5,), np.uint8),
        "status": ((5,), np.uint8),
    }
    assert set(loader._worker.ring.field_names) == set(expected)
    for name, (shape, dtype) in expected.items():
        assert batch[name].shape == shape and batch[name].dtype == dtype and batch[name].flags.c_contiguous
        assert getattr(batch, name) is batch[name]
    assert (len(batch), batch.seq, batch.epoch) == (5, 0, 0)
    with pytest.raises(KeyError, match="colour"):
        batch["colour"]


@pytest.mark.parametrize(("dtype", "numpy_type"), [("uint8", np.uint8), ("float32", np.float32), ("float16", np.float16)])
@pytest.mark.parametrize(("layout", "shape"), [("nhwc", (4, 16, 20, 3)), ("nchw", (4, 3, 16, 20))])
def test_images_have_the_form_that_was_asked_for(load: Load, dtype: str, numpy_type: type, layout: str, shape: tuple[int, ...]) -> None:
    images = next(iter(load(size=(16, 20), dtype=dtype, layout=layout))).images
    assert images.dtype == numpy_type and images.shape == shape


def test_a_batch_unpacks_into_images_and_labels(load: Load) -> None:
    batch = next(iter(load()))
    images, labels = batch
    assert images is batch.images and labels is batch.labels


def test_a_short_batch_shows_only_its_rows(load: Load, folder: Callable[..., Path]) -> None:
    *_, last = load(folder(6), batch_size=4, tail="partial")
    assert len(last) == 2
    assert {last[name].shape[0] for name in ("images", "labels", "index", "box", "source_size", "flipped", "status")} == {2}


def test_repr_tells_what_it_is(load: Load) -> None:
    batch = next(iter(load()))
    assert repr(batch) == "<cropring.Batch seq=0 epoch=0 rows=4>"
    batch.release()
    assert repr(batch) == "<cropring.Batch seq=0 epoch=0 rows=4, released>"


def test_status_has_the_numbers_of_the_c_header() -> None:
    header = (Path(__file__).parents[2] / "loader/item_status.h").read_text()
    numbers = {name: int(number) for name, number in re.findall(r"ITEM_(\w+) = (\d+)", header)}
    numbers |= {name: int(number, 16) for name, number in re.findall(r"ITEM_(?:FLAG_)?(\w+) +0x(\w+)u", header)}
    assert numbers.pop("STATUS_COUNT") == 13
    assert {status.name: status.value for status in Status} == numbers


# ---------------------------------------------------------------- how long its memory lasts; derived views: test_views.py


def test_a_loop_holds_one_batch_and_gives_it_back(load: Load) -> None:
    loader = load()
    for batch in loader:
        assert held(loader) == 1
    del batch
    assert held(loader) == 0


def test_arrays_outlive_loader_batch_and_worker(load: Load) -> None:
    loader = load()
    images = next(iter(loader)).images
    before = images.tobytes()
    loader.close()
    assert images.tobytes() == before
    images[...] = 7
    assert int(images.sum()) == 7 * images.size


def test_arrays_outlive_a_loader_that_nobody_closed(load: Load, photos: Path) -> None:
    images = next(iter(cropring.Loader(photos, batch_size=4, size=32))).images
    gc.collect()
    assert images.shape == (4, 32, 32, 3) and images.any()


def test_writing_into_a_batch_changes_no_later_batch(load: Load) -> None:
    loader = load(shuffle=False, crop="resize", hflip=0)
    clean = [batch.images.copy() for batch in loader]
    for epoch in range(2):
        for batch, expected in zip(loader, clean, strict=True):
            np.testing.assert_array_equal(batch.images, expected)
            batch.images[...] = epoch


# ---------------------------------------------------------------- release()


def test_release_gives_the_slot_back_once(load: Load) -> None:
    loader = load()
    batch = next(iter(loader))
    batch.images  # noqa: B018: an array that only the batch itself keeps is no obstacle
    batch.release()
    assert held(loader) == 0
    batch.release()
    with pytest.raises(ValueError, match="released"):
        batch.images


def test_release_refuses_while_views_are_alive(load: Load) -> None:
    loader = load()
    batch = next(iter(loader))
    row = batch.images[0]
    before = row.tobytes()
    with pytest.raises(BufferError, match=r"1 array\(s\) of batch seq 0 are still alive"):
        batch.release()
    assert held(loader) == 1 and row.tobytes() == before
    del row
    batch.release()
    assert held(loader) == 0


def test_a_with_block_releases(load: Load) -> None:
    loader = load()
    with next(iter(loader)) as batch:
        assert batch.images.any()
    assert held(loader) == 0


def test_a_with_block_refuses_to_hide_a_view_that_got_out(load: Load) -> None:
    batch = next(iter(load()))
    with pytest.raises(BufferError):
        with batch:
            images = batch.images
    del images


def test_an_error_in_a_with_block_comes_out_unchanged(load: Load) -> None:
    def fail(images: np.ndarray) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        with next(iter(load())) as batch:
            fail(batch.images)


# ---------------------------------------------------------------- too many held, and forked children


def test_holding_every_slot_is_an_error_at_once_that_names_them(load: Load) -> None:
    loader = load(slots=4, batch_size=2)
    kept = []
    with pytest.raises(cropring.SlotsExhausted, match=r"hold 4 of the 4 slots .*seq 0, 1, 2, 3\).*copy.*more slots"):
        for batch in loader:
            kept.append(batch.images)
            del batch
    kept.pop()
    assert next(iter(loader)).images.any()


def test_a_loop_goes_on_after_slots_were_exhausted(load: Load) -> None:
    loop = iter(load(slots=3, batch_size=2))
    kept = [next(loop) for _ in range(3)]
    with pytest.raises(cropring.SlotsExhausted):
        next(loop)
    kept.clear()
    kept.extend(next(loop) for _ in range(3))
    with pytest.raises(cropring.SlotsExhausted) as caught:
        next(loop)
    assert all(str(batch.seq) in str(caught.value).partition("seq ")[2] for batch in kept)


def in_a_forked_child(check: Callable[[], None]) -> int:
    """Exit status of a child that runs `check`: 0 when nothing was raised."""
    pid = os.fork()
    if pid == 0:
        try:
            check()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # newer Pythons: "multi-threaded, use of fork()"
def test_a_forked_child_can_neither_use_nor_release(load: Load) -> None:
    loader = load()
    loop = iter(loader)
    batches = [next(loop), next(loop)]

    def check() -> None:
        for use in (lambda: batches[0].images, batches[0].release, lambda: next(loop), loader.stats, lambda: next(iter(loader))):
            with pytest.raises(RuntimeError, match="fork"):
                use()
        batches.clear()
        loader.close()
        gc.collect()

    assert in_a_forked_child(check) == 0
    assert held(loader) == 2
    assert batches[0].images.any() and next(loop).seq == 2


def test_neither_ring_nor_lease_nor_view_can_be_made_by_hand(load: Load) -> None:
    lease = next(iter(load()))._lease
    for kind in (type(lease), type(lease.view("images")), cropring._ring.Ring):
        with pytest.raises(TypeError, match="cannot create"):
            kind()
