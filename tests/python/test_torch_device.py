"""to_device(), on a device whose copies are late: what the loop gets, and that no slot is given back before its copy happened."""

from __future__ import annotations

import gc
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="cropring.torch needs PyTorch")

import cropring  # noqa: E402
import cropring.torch  # noqa: E402
from conftest import Server, eventually  # noqa: E402
from cropring.torch.carrier import SlotsInCopy  # noqa: E402
from cropring.torch.conversion import Conversion  # noqa: E402
from cropring.torch.device import DeviceLoader, DeviceReader  # noqa: E402
from cropring.torch.pinned import PinnedRing  # noqa: E402
from late_device import LateDevice, LateEvent  # noqa: E402

Batch = tuple[bytes, ...]
Make = Callable[..., DeviceLoader]
EPOCHS, LATE = 3, 10**6  # so many looks: an event is reached only when someone waits for it


@pytest.fixture
def make(photos: Path) -> Iterator[Make]:
    """`make(device, prefetch=2, pin=True, **flags)`: a loader with three slots, on that device."""
    loaders = []

    def make(device: LateDevice, prefetch: int = 2, pin: Any = True, conversion: Conversion | None = None, **flags: Any) -> DeviceLoader:
        loader = cropring.torch.Loader(photos, **({"batch_size": 4, "size": 32, "slots": 3, "threads": 2, "seed": 5} | flags))
        loaders.append(loader)
        return DeviceLoader(loader, device, conversion or Conversion(), prefetch, pin)

    yield make
    for loader in loaders:
        loader.close()


def content(batch: Any) -> Batch:
    """Of a batch of arrays, or of one of tensors once its device has finished."""
    images = batch.images if isinstance(batch.images, np.ndarray) else batch.images.permute(0, 2, 3, 1).contiguous()
    return tuple(np.asarray(part).tobytes() for part in (images, batch.labels, batch.index, batch.box))


@pytest.fixture(scope="module")
def expected() -> list[list[Batch]]:
    """What each epoch has."""
    from conftest import PHOTOS

    with cropring.Loader(PHOTOS, batch_size=4, size=32, threads=2, seed=5) as loader:
        return [[content(batch) for batch in loader] for _ in range(EPOCHS)]


@pytest.mark.parametrize("looks", [0, 2, LATE])
@pytest.mark.parametrize("prefetch", [0, 1, 2, 4])
def test_every_batch_arrives_whole_in_few_slots(make: Make, expected: list[list[Batch]], prefetch: int, looks: int) -> None:
    device = LateDevice(looks)
    loader = make(device, prefetch)
    epochs = [list(loader) for _ in range(EPOCHS)]  # the loop runs far ahead of the device
    device.finish()
    assert [[content(batch) for batch in epoch] for epoch in epochs] == expected
    assert device.torn == []


def test_a_slot_that_is_given_back_before_its_copy_is_seen(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail."""
    monkeypatch.setattr(SlotsInCopy, "add", lambda self, done, batch: None)
    device = LateDevice(LATE)
    loader = make(device)
    for batch in loader:
        eventually(lambda: loader.stats()["slots_ready"] + loader.stats()["slots_held"] == 3, "the worker has filled what was free")
    device.finish()
    assert device.torn and "changed before it was copied" in device.torn[0]


def test_staging_memory_that_is_filled_before_it_was_read_is_seen(make: Make, expected: list[list[Batch]], monkeypatch: pytest.MonkeyPatch) -> None:
    copy = LateDevice.copy
    monkeypatch.setattr(LateDevice, "copy", lambda self, pairs, after: copy(self, pairs, None))
    device = LateDevice(LATE)
    batches = list(make(device))
    device.finish()
    assert [content(batch) for batch in batches] != expected[0]
