"""torchdata's protocol of loaders that can be resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="cropring.torch needs PyTorch")
stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")

import cropring.torch  # noqa: E402


def test_loaders_are_stateful_as_torchdata_means_it(photos: Path) -> None:
    with cropring.torch.Loader(photos, batch_size=4, size=32, quiet=True) as loader:
        assert isinstance(loader, stateful.Stateful) and isinstance(loader.to_device("cpu"), stateful.Stateful)
