"""timm's training loop over cropring.torch.Loader: the attributes that it reads, and its PrefetchLoader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from doc_blocks import prepare_torchvision

torch = pytest.importorskip("torch", reason="cropring.torch needs PyTorch")
prepare_torchvision()  # which timm imports
data = pytest.importorskip("timm.data.loader", reason="timm is not installed")

import cropring  # noqa: E402
import cropring.torch  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_a_prefetch_loader_gives_normalized_copies(photos: Path, load: Callable[..., cropring.Loader]) -> None:
    """It begins a copy and then drops the batch that it is from, which is safe for memory that is not pinned: that is what our Loader hands out."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) * 255 for values in (MEAN, STD))
    with cropring.torch.Loader(photos, batch_size=4, size=32, slots=4, threads=2, seed=5) as loader:
        prefetching = data.PrefetchLoader(loader, MEAN, STD, device=torch.device("cpu"))
        assert len(prefetching) == len(loader)
        assert prefetching.dataset is loader.dataset and prefetching.sampler is loader and prefetching.batch_sampler is None
        plain = load(seed=5)
        for epoch in range(2):
            prefetching.sampler.set_epoch(epoch)  # as its training script does
            for (images, labels), batch in zip(prefetching, plain, strict=True):
                expected = (torch.from_numpy(batch.images).permute(0, 3, 1, 2).float() - mean) / std
                assert torch.allclose(images, expected, atol=1e-5) and labels.tolist() == batch.labels.tolist()
