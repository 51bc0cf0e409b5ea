"""to_device("cuda"): what only a GPU can show."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="cropring.torch needs PyTorch")
if not torch.cuda.is_available():
    pytest.skip("PyTorch finds no CUDA device", allow_module_level=True)

import cropring  # noqa: E402
import cropring.torch  # noqa: E402
from conftest import Server, eventually  # noqa: E402
from cropring.torch.cuda import Cuda  # noqa: E402

Make = Callable[..., cropring.torch.Loader]
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
EPOCHS = 3


@pytest.fixture
def make(photos: Path) -> Iterator[Make]:
    loaders = []

    def make(**flags: Any) -> cropring.torch.Loader:
        loaders.append(cropring.torch.Loader(photos, **({"batch_size": 4, "size": 128, "slots": 3, "threads": 2, "seed": 5} | flags)))
        return loaders[-1]

    yield make
    for loader in loaders:
        loader.close()


def work(milliseconds: float) -> None:
    """Keeps the current stream busy for about so long."""
    torch.cuda._sleep(int(milliseconds * 1.5e6))


def content(batch: Any) -> tuple[bytes, ...]:
    images = batch.images if isinstance(batch.images, np.ndarray) else batch.images.permute(0, 2, 3, 1).cpu().contiguous()
    return tuple(np.asarray(part.cpu() if hasattr(part, "cpu") else part).tobytes() for part in (images, batch.labels, batch.index, batch.box))


@pytest.fixture(scope="module")
def expected() -> list[list[tuple[bytes, ...]]]:
    from conftest import PHOTOS

    with cropring.Loader(PHOTOS, batch_size=4, size=128, threads=2, seed=5) as loader:
        return [[content(batch) for batch in loader] for _ in range(EPOCHS)]


@pytest.mark.parametrize(("prefetch", "pin", "slots"), [*itertools.product((0, 1, 2, 4), ("require", False), (3,)), (4, "require", 8)])
@pytest.mark.parametrize("lag_ms", [0, 5])
def test_every_batch_arrives_whole(make: Make, expected: Any, prefetch: int, pin: Any, slots: int, lag_ms: float) -> None:
    loader = make(slots=slots).to_device("cuda", prefetch=prefetch, pin=pin)
    epochs: list[list[Any]] = []
    for epoch in range(EPOCHS):
        epochs.append([])
        for place, batch in enumerate(loader):
            work(lag_ms)  # the loop runs ahead of the device
            epochs[-1].append(batch)
            if (epoch, place) == (1, 1):
                os.kill(loader.loader._worker.process.pid, signal.SIGKILL)
    assert [[content(batch) for batch in epoch] for epoch in epochs] == expected
    assert all(batch.images.is_cuda and batch.labels.is_cuda and not batch.index.is_cuda for batch in epochs[0])
    eventually(lambda: loader.stats()["pinned"] == (pin == "require"), "the second worker's ring is pinned as well")


def test_images_are_normalized_as_on_a_cpu_to_the_bit(make: Make) -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        cuda = make().to_device("cuda", dtype=dtype, mean=MEAN, std=STD)
        for batch, plain in zip(cuda, make().to_device("cpu", dtype=dtype, mean=MEAN, std=STD), strict=True):
            assert torch.equal(batch.images.cpu(), plain.images) and batch.images.stride() == plain.images.stride()


def test_batches_are_for_the_stream_that_asks(make: Make, expected: Any) -> None:
    streams = [torch.cuda.Stream() for _ in range(3)]
    seen = []
    loader = make().to_device("cuda", prefetch=2)
    loop = iter(loader)
    for number in range(len(loader)):
        stream = streams[number % 3]
        with torch.cuda.stream(stream):
            work(3)
            batch = next(loop)
            seen.append((batch, batch.images.to(torch.int64).sum()))
    torch.cuda.synchronize()
    assert [content(batch) for batch, _ in seen] == expected[0]
    assert all(int(total) == int(batch.images.to(torch.int64).sum()) for batch, total in seen)


def test_tensors_may_be_dropped_at_once_or_kept(make: Make, expected: Any) -> None:
    """Memory that PyTorch hands out again is not written to by a copy that is late."""
    loader = make(slots=6).to_device("cuda", prefetch=3)
    kept = []
    for batch in loader:
        work(3)
        kept.append((batch.images.clone(), batch.images))
        del batch
        torch.empty(4 * 3 * 128 * 128, dtype=torch.uint8, device="cuda").fill_(0xAA)
    assert all(torch.equal(clone, images) for clone, images in kept)
    assert [images.permute(0, 2, 3, 1).cpu().contiguous().numpy().tobytes() for images, _ in kept] == [batch[0] for batch in expected[0]]


def test_a_failed_registration_leaves_no_error_for_the_next_kernel(make: Make) -> None:
    loader = make()
    address, byte_count = loader._worker.ring.mapping
    cuda = Cuda(torch.device("cuda"))
    outcomes: list[str] = []

    def fail() -> None:
        outcomes.extend([cuda.register(address, byte_count), cuda.register(address, byte_count)])
        cuda.unregister(address)
        cuda.unregister(address)  # fails too

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert outcomes[0] == "" and "cudaHostRegister" in outcomes[1]
    assert float((torch.ones(8, device="cuda") * 2).sum()) == 16
    torch.cuda.synchronize()


def test_a_broadcast_ring_which_can_only_be_read_is_pinned_too(serve: Callable[..., Server]) -> None:
    server = serve("--share=broadcast", "--size=128", "--slots=6")
    with cropring.torch.attach(server.name, wait=5) as reader:
        on_device = reader.to_device("cuda", pin="require", mean=0.5, std=0.5)
        assert sum(1 for batch in on_device if batch.images.is_cuda) > 0


def test_a_batch_can_be_moved_by_hand(make: Make, expected: Any) -> None:
    moved = [batch.to("cuda") for batch in make()]
    assert [content(batch) for batch in moved] == expected[0]
    assert moved[0].to("cuda:0") is moved[0]


def test_rings_come_and_go_without_leaving_pinned_memory(make: Make) -> None:
    for _ in range(5):
        plain = make()
        loader = plain.to_device("cuda", pin="require")
        next(iter(loader))
        plain.set_epoch(7)
        next(iter(loader))
        plain.close()
    torch.cuda.synchronize()
