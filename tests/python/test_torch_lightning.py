"""Lightning's Trainer over cropring.torch.Loader: batches, epochs, and a checkpoint in the middle of an epoch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest

from doc_blocks import prepare_torchvision

torch = pytest.importorskip("torch", reason="cropring.torch needs PyTorch")
prepare_torchvision()  # which Lightning's metrics import where it is installed
lightning = pytest.importorskip("lightning", reason="Lightning is not installed")

import cropring.torch  # noqa: E402

SMALL: dict[str, Any] = {"batch_size": 4, "size": 32, "threads": 2, "seed": 5, "quiet": True}
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Model(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """Sees which samples came, and can save itself after so many steps."""

    def __init__(self, save_after: int = 0, checkpoint: Path | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 8)
        self.seen: list[tuple[int, int, list[int]]] = []  # epoch of the trainer, of the batch, and its samples
        self.save_after, self.checkpoint = save_after, checkpoint

    def training_step(self, batch: Any, number: int) -> Any:
        images, labels = batch
        self.seen.append((self.current_epoch, batch.epoch, batch.index.tolist()))
        loss = torch.nn.functional.cross_entropy(self.layer(images.float().mean((2, 3)) / 255), labels)
        self.log("loss", loss)  # with the batch size that Lightning finds out
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        if len(self.seen) == self.save_after:
            self.trainer.save_checkpoint(self.checkpoint, weights_only=False)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder: Path, **keywords: Any) -> Any:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "default_root_dir": folder}
    return lightning.Trainer(accelerator="cpu", **(quiet | {"enable_checkpointing": False} | keywords))


def fit(fitted: Any, model: Model, loader: Any, checkpoint: Path | None = None) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(IterableDataset|sampler|resum).*")
        fitted.fit(model, loader, ckpt_path=checkpoint)


def samples(photos: Path, epochs: int) -> list[tuple[int, int, list[int]]]:
    with cropring.torch.Loader(photos, **SMALL) as loader:
        return [(epoch, epoch, batch.index.tolist()) for epoch in range(epochs) for batch in loader]


@pytest.mark.parametrize("on_device", [False, True])
def test_a_fit_sees_every_epoch_in_order(photos: Path, tmp_path: Path, on_device: bool) -> None:
    with cropring.torch.Loader(photos, **SMALL) as loader:
        model = Model()
        fit(trainer(tmp_path, max_epochs=3), model, loader.to_device("cpu") if on_device else loader)
        assert model.seen == samples(photos, 3)
        assert loader.stats()["slots_held"] == 0


@pytest.mark.parametrize("on_device", [False, True])
def test_a_checkpoint_in_an_epoch_goes_on_with_the_batch_that_comes_next(photos: Path, tmp_path: Path, on_device: bool) -> None:
    whole = samples(photos, 2)
    with cropring.torch.Loader(photos, **SMALL) as loader:
        first = Model(save_after=3, checkpoint=tmp_path / "three.ckpt")
        fit(trainer(tmp_path, max_epochs=2), first, loader)
    assert first.seen == whole
    with cropring.torch.Loader(photos, **(SMALL | {"seed": 0, "threads": 1})) as loader:  # the state has the seed
        second = Model()
        fit(trainer(tmp_path, max_epochs=2), second, loader.to_device("cpu") if on_device else loader, tmp_path / "three.ckpt")
    assert second.seen == whole[3:]
