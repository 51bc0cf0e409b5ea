"""Hugging Face's Accelerate leaves a cropring.torch.Loader alone, and trains with it."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="cropring.torch needs PyTorch")
accelerate = pytest.importorskip("accelerate", reason="Accelerate is not installed")

import cropring.torch  # noqa: E402


def test_prepare_gives_the_loader_back_and_gradients_add_up_where_the_loop_says(photos: Path) -> None:
    """Without a DataLoader it does not know where an epoch ends, so the last steps of one are left to the next: say how many there are."""
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    with cropring.torch.Loader(photos, batch_size=4, size=32, threads=2, quiet=True) as plain:
        on_device = plain.to_device("cpu", mean=0.5, std=0.5)
        model = torch.nn.Linear(3, 8)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        model, optimizer, same, loader = accelerator.prepare(model, optimizer, plain, on_device)
        assert same is plain and loader is on_device
        updates = 0
        for images, labels in loader:
            with accelerator.accumulate(model):
                before = model.weight.detach().clone()
                accelerator.backward(torch.nn.functional.cross_entropy(model(images.mean((2, 3))), labels))
                optimizer.step()
                optimizer.zero_grad()
                updates += not torch.equal(before, model.weight)
        assert updates == len(loader) // 2
