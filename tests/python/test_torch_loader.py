"""cropring.torch.Loader: tensors in the slots' memory, and the same on "cpu" with conversions."""

from __future__ import annotations

import gc
import inspect
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="cropring.torch needs PyTorch")

import cropring  # noqa: E402
import cropring.torch  # noqa: E402
from conftest import Server  # noqa: E402
from cropring.torch.conversion import Conversion  # noqa: E402

Make = Callable[..., cropring.torch.Loader]
SMALL: dict[str, Any] = {"batch_size": 4, "size": 32, "slots": 3, "threads": 2, "seed": 5}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
INT64, INT32, UINT8 = torch.int64, torch.int32, torch.uint8


@pytest.fixture
def make(photos: Path) -> Iterator[Make]:
    """`make(**flags)`: a loader of tensors that is closed after the test."""
    loaders = []

    def make(source: Path = photos, **flags: Any) -> cropring.torch.Loader:
        loaders.append(cropring.torch.Loader(source, **(SMALL | flags)))
        return loaders[-1]

    yield make
    for loader in loaders:
        loader.close()


def test_the_keywords_are_those_of_the_array_loader() -> None:
    assert inspect.signature(cropring.torch.Loader) == inspect.signature(cropring.Loader)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_tensors_have_the_arrays_values(make: Make, load: Callable[..., cropring.Loader], layout: str, channels: int, dtype: str) -> None:
    flags = {"layout": layout, "channels": channels, "dtype": dtype, "seed": 5}
    for arrays, batch in zip(load(**flags), make(**flags), strict=True):
        images = arrays.images if layout == "nchw" else arrays.images.transpose(0, 3, 1, 2)
        assert batch.images.shape == (4, channels, 32, 32) and batch.images.dtype == getattr(torch, dtype)
        assert np.array_equal(batch.images.numpy(), images)
        assert batch.images.is_contiguous(memory_format=torch.channels_last if layout == "nhwc" else torch.contiguous_format)
        for name, kind in {"labels": INT64, "index": INT64, "box": INT32, "source_size": INT32, "flipped": UINT8, "status": UINT8}.items():
            assert batch[name].dtype == kind and np.array_equal(batch[name].numpy(), arrays[name]), name
            assert batch[name] is getattr(batch, name)
        assert (len(batch), batch.seq, batch.epoch, batch.redelivered) == (4, arrays.seq, arrays.epoch, arrays.redelivered)


def test_a_batch_unpacks_into_images_and_labels(make: Make) -> None:
    for images, labels in make():
        assert images.shape == (4, 3, 32, 32) and labels.shape == (4,)


def test_tensors_share_the_slot_and_keep_it(make: Make) -> None:
    loader = make()
    batch = next(iter(loader))
    address, byte_count = loader._worker.ring.mapping
    row = batch.images[2, :, 1:]
    assert address <= row.data_ptr() < address + byte_count
    before = row.clone()
    del batch
    gc.collect()
    assert loader.stats()["slots_held"] == 1
    loader.close()
    assert torch.equal(row, before)


def test_release_gives_the_slot_back_unless_a_tensor_lives(make: Make) -> None:
    loader = make()
    batch = next(iter(loader))
    images = batch.images
    with pytest.raises(BufferError):
        batch.release()
    del images
    with batch:
        assert batch.images.float().mean() > 0
    assert loader.stats()["slots_held"] == 0
    batch.release()
    with pytest.raises(ValueError, match="released"):
        _ = batch.images


def test_targets_are_tensors_where_there_are_any(make: Make, photos: Path) -> None:
    batch = next(iter(make(targets=photos, target_dtype="uint16")))
    assert batch.targets.shape == (4, 32, 32) and batch.targets.dtype == torch.uint16
    with pytest.raises(AttributeError, match="no targets"):
        _ = next(iter(make())).targets
    with pytest.raises(KeyError):
        _ = next(iter(make()))["target"]


def test_what_a_trainer_asks_a_loader_for(make: Make) -> None:
    loader = make(num_workers=2)
    for feed in (loader, loader.to_device("cpu")):
        assert feed.sampler is feed and feed.batch_sampler is None and feed.batch_size == 4
        assert not isinstance(feed.dataset, torch.utils.data.IterableDataset)
        assert len(feed.dataset) // 4 == len(feed) == sum(1 for _ in feed)
        assert feed.class_to_idx[feed.classes[1]] == 1 and len(feed.paths) == len(feed.labels) == len(feed.dataset)


def test_to_device_has_all_that_the_loader_has(make: Make) -> None:
    loader = make(rank=1, world_size=2)
    on_device = loader.to_device("cpu")
    names = {name for name in dir(loader) if not name.startswith("_")} - {"to_device"}
    for name in names:
        ours, its = getattr(on_device, name), getattr(loader, name)
        assert callable(its) or name == "sampler" or ours is its or np.array_equal(ours, its), name
    assert (on_device.rank, on_device.world_size) == (1, 2)


def test_a_state_resumes_tensors_as_it_does_arrays(make: Make) -> None:
    loader = make()
    for place, _ in enumerate(loader):
        if place == 1:
            break
    resumed = make(seed=0).to_device("cpu")
    resumed.load_state_dict(loader.state_dict())
    whole = [batch.index.tolist() for batch in make()]
    assert [batch.index.tolist() for batch in resumed] == whole[2:]


def test_a_broadcast_ring_warns_of_nothing(serve: Callable[..., Server]) -> None:
    server = serve("--share=broadcast")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with cropring.torch.attach(server.name, wait=5) as reader:
            assert sum(int(labels.numel()) for _, labels in reader) > 0


@pytest.mark.parametrize(("flags", "shape"), [((), (3, 32, 32)), (("--layout=nchw",), (3, 32, 32)), (("--channels=1",), (1, 32, 32))])
def test_an_attached_reader_tells_the_layout_by_the_shape(serve: Callable[..., Server], flags: tuple[str, ...], shape: tuple[int, ...]) -> None:
    with cropring.torch.attach(serve(*flags).name, wait=5) as reader:
        assert {tuple(batch.images.shape[1:]) for batch in reader} == {shape}


def test_a_shape_that_could_be_either_layout_is_asked_for(serve: Callable[..., Server]) -> None:
    server = serve("--size=3", "--epochs=0")
    with cropring.torch.attach(server.name, wait=5) as reader:
        with pytest.raises(ValueError, match=r'images of shape \(4, 3, 3, 3\): say layout='):
            next(reader)
    with cropring.torch.attach(serve("--size=3", "--epochs=0").name, wait=5, layout="nhwc") as reader:
        assert next(reader).images.is_contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------- to_device("cpu"), and what becomes of the images


def test_on_the_cpu_nothing_is_copied_that_need_not_be(make: Make) -> None:
    loader = make()
    address, byte_count = loader._worker.ring.mapping
    for batch in loader.to_device("cpu"):
        assert address <= batch.images.data_ptr() < address + byte_count


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_normalized_images_are_those_of_torchvision_to_the_bit(make: Make, layout: str) -> None:
    """ToTensor(): a division by 255 in float32; Normalize(): sub_(mean), div_(std)."""
    for plain, batch in zip(make(layout=layout), make(layout=layout).to_device("cpu", mean=MEAN, std=STD), strict=True):
        expected = plain.images.contiguous().to(torch.float32).div(255)
        expected.sub_(torch.tensor(MEAN).view(-1, 1, 1)).div_(torch.tensor(STD).view(-1, 1, 1))
        assert batch.images.dtype == torch.float32 and torch.equal(batch.images, expected)
        assert batch.images.stride() == plain.images.stride() and torch.equal(batch.labels, plain.labels)


ALL = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1).to(memory_format=torch.channels_last)


def converted(conversion: Conversion, images: Any = ALL) -> Any:
    room = conversion.made_for(images)
    conversion.write(images, room)
    return room


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_other_types_are_rounded_once(dtype: Any) -> None:
    exact = converted(Conversion(mean=MEAN, std=STD))
    assert torch.equal(converted(Conversion(dtype, MEAN, STD)), exact.to(dtype))
    assert torch.equal(converted(Conversion(dtype)), (ALL.float() / 255).to(dtype))


@pytest.mark.parametrize(("mean", "std"), [(0.5, None), (None, 0.25), (torch.tensor(MEAN), np.array(STD)), (MEAN, 2)])
def test_mean_and_std_may_be_given_in_many_forms(mean: Any, std: Any) -> None:
    expected = ALL.float() / 255
    expected = expected if mean is None else expected - torch.as_tensor(mean).reshape(-1, 1, 1)
    expected = expected if std is None else expected / torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1)
    assert torch.equal(converted(Conversion(mean=mean, std=std)), expected)


@pytest.mark.parametrize("channels_last", [True, False, None])
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_the_memory_format_is_the_one_asked_for(channels_last: bool | None, dtype: Any) -> None:
    for images in (ALL, ALL.contiguous()):
        made = converted(Conversion(dtype, channels_last=channels_last), images)
        wanted = images.stride() if channels_last is None else (768, 1, 48, 3) if channels_last else (768, 256, 16, 1)
        assert made.stride() == wanted and torch.equal(made, images if dtype is None else (images.float() / 255).half())


def test_floating_point_images_change_their_type_alone(make: Make) -> None:
    loader = make(dtype="float32", mean=MEAN, std=STD)
    plain = make(dtype="float32", mean=MEAN, std=STD)
    for batch, before in zip(loader.to_device("cpu", dtype=torch.float16), plain, strict=True):
        assert torch.equal(batch.images, before.images.half())


@pytest.mark.parametrize(
    ("flags", "keywords", "words"),
    [
        ({}, {"dtype": torch.int64}, "dtype=torch.int64: a floating point type is expected"),
        ({}, {"dtype": torch.uint8, "mean": 0.5}, "no room for mean and std"),
        ({}, {"mean": [0.1, 0.2]}, "mean: 2 numbers for images of 3 channels"),
        ({"channels": 1}, {"std": STD}, "std: 3 numbers for images of 1 channels"),
        ({}, {"std": [1, 0, 1]}, "std=.*: numbers above 0 are expected"),
        ({}, {"mean": "grey"}, "mean='grey': a number is expected"),
        ({}, {"mean": float("nan")}, "mean=nan: a number is expected"),
        ({"dtype": "float32"}, {"mean": 0.5}, "the worker makes floating point images"),
        ({"dtype": "float16"}, {"dtype": torch.uint8}, "the worker makes floating point images"),
        ({}, {"prefetch": -1}, "prefetch=-1: 0 or more"),
        ({}, {"pin": "always"}, "pin='always'"),
    ],
)
def test_what_cannot_be_is_refused_at_once(make: Make, flags: dict[str, Any], keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(**flags).to_device("cpu", **keywords)


def test_a_device_that_is_not_there_is_named(make: Make) -> None:
    loader = make()
    for name in ("meta", "gpu", "cuda:x"):
        with pytest.raises(ValueError, match=f'device=\'{name}\': "cuda", "cuda:N" or "cpu" is expected'):
            loader.to_device(name)
    if not torch.cuda.is_available():
        for device in ("cuda", "cuda:1", 0, torch.device("cuda", 2)):
            with pytest.raises(ValueError, match=f"device={re.escape(repr(device))}: this PyTorch .* finds no CUDA device"):
                loader.to_device(device)


def test_the_package_alone_imports_no_pytorch() -> None:
    script = "import sys, cropring; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
