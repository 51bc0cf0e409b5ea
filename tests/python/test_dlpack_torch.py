"""PyTorch's tensors over a batch's memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable

import numpy as np
import pytest

import cropring
from conftest import PHOTOS, WATCHDOG_S

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

Load = Callable[..., cropring.Loader]
NAMES = ["images", "labels", "index", "box", "source_size", "flipped", "status"]


def held(loader: cropring.Loader) -> int:
    gc.collect()
    return loader.stats()["slots_held"]


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_is_the_slot_s_memory(load: Load, name: str) -> None:
    batch = next(iter(load()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = torch.from_dlpack(batch.view(name))
    assert tensor.data_ptr() == batch[name].__array_interface__["data"][0] and tensor.device.type == "cpu"
    assert np.array_equal(tensor.numpy(), batch[name]) and tensor.numpy().dtype == batch[name].dtype
    tensor.view(-1)[0] = 77
    assert batch[name].ravel()[0] == 77


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
def test_nhwc_memory_is_channels_last_without_a_copy(load: Load, dtype: str) -> None:
    batch = next(iter(load(dtype=dtype)))
    tensor = torch.from_dlpack(batch.view("images")).permute(0, 3, 1, 2)
    assert tensor.is_contiguous(memory_format=torch.channels_last) and tensor.shape[1] == 3 and str(tensor.dtype) == f"torch.{dtype}"
    assert tensor.data_ptr() == batch.images.__array_interface__["data"][0]


def test_the_slot_comes_back_with_the_last_tensor_or_slice(load: Load) -> None:
    loader = load()
    batch = next(iter(loader))
    tensor = torch.from_dlpack(batch.view("images"))
    kept = [tensor, tensor[1:3, ::2], tensor.permute(0, 3, 1, 2), tensor.detach(), tensor.numpy(), iter(tensor)]
    del tensor
    with pytest.raises(BufferError, match="still alive"):
        batch.release()
    del batch
    while kept:
        assert held(loader) == 1
        kept.pop(0)
    assert held(loader) == 0


def test_a_kept_graph_keeps_the_slot_until_backward(load: Load) -> None:
    """Autograd saves its inputs: the slot must not be filled again before the gradient is computed."""
    loader = load(dtype="float32")
    weight = torch.ones(3, requires_grad=True)
    batch = next(iter(loader))
    expected = batch.images.sum((0, 1, 2))
    loss = (torch.from_dlpack(batch.view("images")) * weight).sum()
    del batch
    assert held(loader) == 1
    loss.backward()
    assert np.allclose(weight.grad.numpy(), expected, rtol=1e-4)
    del loss
    assert held(loader) == 0


def test_copy_and_device_are_heard(load: Load) -> None:
    loader = load()
    batch = next(iter(loader))
    shared = torch.from_dlpack(batch.view("images"), device="cpu", copy=False)
    copied = torch.from_dlpack(batch.view("images"), copy=True)
    assert shared.data_ptr() == batch.images.__array_interface__["data"][0] != copied.data_ptr()
    assert torch.equal(shared, copied)
    del shared
    batch.release()
    assert held(loader) == 0 and copied.float().mean() > 0


def test_tensors_die_in_other_threads(load: Load) -> None:
    loader = load(slots=4)
    loop = iter(loader)
    for _ in range(2):
        tensors = [torch.from_dlpack(next(loop).view("images"))]
        thread = threading.Thread(target=tensors.clear)
        thread.start()
        thread.join()
        assert held(loader) == 0


SCRIPT = """
import os, sys, torch, cropring
loader = cropring.Loader(sys.argv[1], batch_size=4, size=32, slots=3, threads=2)
batch = next(iter(loader))
tensor = torch.from_dlpack(batch.view("images"))
before = tensor.clone()
pid = os.fork()
if pid == 0:
    del tensor
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert loader.stats()["slots_held"] == 1 and torch.equal(tensor, before)
torch.kept = tensor, tensor[1:]  # dies when the interpreter does, or later
"""


def test_forks_and_the_interpreter_s_end_leave_tensors_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, os.fspath(PHOTOS)], capture_output=True, text=True, timeout=2 * WATCHDOG_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
