"""A batch of tensors: in a slot of the ring, without a copy, or on a device."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import torch
from torch.utils.dlpack import from_dlpack

from ..batch import Batch

CARRIED = ("images", "labels", "targets")  # what a device gets
_DESCRIPTIONS = ("index", "box", "source_size", "flipped", "status")  # stay on the CPU, where they are read without waiting for a device


class TensorBatch:
    """A batch of B samples, B = len(batch), as tensors.

    Those of a plain loop share the memory of the slot: as long as one of them, or a view of one, is alive, the slot stays, and it goes
    back to the worker when the last is gone.  Keep `batch.images.clone()`, not `batch.images`.  They may be written to, but not in a
    broadcast ring, whose memory several readers see: PyTorch has no read-only tensors, and a write there kills the process (SIGSEGV).
    Those that `to_device` brought to a device are tensors like any others.

    `images, labels = batch` unpacks the two that training needs; `batch["box"]` is any tensor by name.

    Attributes
    ----------
    seq : int
        Number of the batch in the worker's stream, from 0, modulo 2**32.
    epoch : int
        Epoch that the batch belongs to.
    redelivered : bool
        True when the batch was for a reader that is gone, which may have used it if it died.
    """

    __slots__ = ("_batch", "_is_nhwc", "_row_count", "_tensors", "epoch", "redelivered", "seq")

    def __init__(self, batch: Batch, is_nhwc: bool) -> None:
        self.seq, self.epoch, self.redelivered = batch.seq, batch.epoch, batch.redelivered
        self._row_count = len(batch)
        self._is_nhwc = is_nhwc
        self._batch: Batch | None = batch
        self._tensors: dict[str, torch.Tensor] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        """The tensor of that name, first axis B; `KeyError` if there is none."""
        tensor = self._tensors.get(name)
        if tensor is None:
            if self._batch is None:
                raise KeyError(name)
            tensor = from_dlpack(self._batch.view(name))
            if name == "images" and self._is_nhwc:
                tensor = tensor.permute(0, 3, 1, 2)
            self._tensors[name] = tensor
        return tensor

    @property
    def images(self) -> torch.Tensor:
        """(B, channels, height, width), in the memory format channels_last unless the Loader has `layout="nchw"`."""
        return self["images"]

    @property
    def labels(self) -> torch.Tensor:
        """(B,) int64: class numbers, -1 where the folder has no classes."""
        return self["labels"]

    @property
    def index(self) -> torch.Tensor:
        """(B,) int64: numbers of the samples in `loader.paths`.  Always on the CPU."""
        return self["index"]

    @property
    def box(self) -> torch.Tensor:
        """(B, 4) int32: x, y, width and height of the crop, in pixels of the source image.  Always on the CPU."""
        return self["box"]

    @property
    def source_size(self) -> torch.Tensor:
        """(B, 2) int32: height and width of the source image in pixels.  Always on the CPU."""
        return self["source_size"]

    @property
    def flipped(self) -> torch.Tensor:
        """(B,) uint8: 1 where the image was mirrored left to right.  Always on the CPU."""
        return self["flipped"]

    @property
    def status(self) -> torch.Tensor:
        """(B,) uint8: see `cropring.Status`; 0 where all is well.  Always on the CPU."""
        return self["status"]

    @property
    def targets(self) -> torch.Tensor:
        """(B, height, width) uint8 or uint16: the second picture of each sample, cut as its image is.

        `AttributeError` if the samples have none: see `Loader(targets=...)`.
        """
        try:
            return self["targets"]
        except KeyError:
            raise AttributeError("these samples have no targets: Loader(targets=DIR) or a manifest's column `target` names them") from None

    def __len__(self) -> int:
        return self._row_count

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield self["images"]
        yield self["labels"]

    def carried(self) -> dict[str, torch.Tensor]:
        """What a device gets, by name."""
        return {name: self[name] for name in CARRIED if self._has(name)}

    def without_slot(self) -> TensorBatch:
        """The same samples with copies of what describes them, and nothing else yet."""
        twin = TensorBatch.__new__(TensorBatch)
        twin.seq, twin.epoch, twin.redelivered = self.seq, self.epoch, self.redelivered
        twin._row_count, twin._is_nhwc, twin._batch = self._row_count, self._is_nhwc, None
        twin._tensors = {name: self[name].clone() for name in _DESCRIPTIONS}
        return twin

    def carrying(self, tensors: dict[str, torch.Tensor]) -> TensorBatch:
        """Itself, with these as well."""
        self._tensors |= tensors
        return self

    def with_images(self, images: torch.Tensor) -> TensorBatch:
        """The same batch, in the same slot, with other images."""
        assert self._batch is not None
        twin = TensorBatch(self._batch, self._is_nhwc)
        twin._tensors["images"] = images
        return twin

    def to(self, device: torch.device | str | int) -> TensorBatch:
        """The batch with images, labels and targets on `device`; itself if they are there.

        Trainers such as Lightning's call it.  The copy is complete when it returns; `Loader.to_device()` copies ahead, beside the work.
        """
        tensors = {name: tensor.to(device) for name, tensor in self.carried().items()}
        return self if all(tensor is self[name] for name, tensor in tensors.items()) else self.without_slot().carrying(tensors)

    def release(self) -> None:
        """Gives the slot back now.  `BufferError` while tensors of this batch are alive elsewhere; nothing without a slot."""
        if self._batch is not None:
            self._tensors.clear()
            self._batch.release()

    def _has(self, name: str) -> bool:
        try:
            self[name]
        except KeyError:
            return False
        return True

    def __enter__(self) -> TensorBatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.release()
        except BufferError:
            if error is None:  # else the traceback holds the tensors, and matters more
                raise

    def __repr__(self) -> str:
        return f"<cropring.torch.TensorBatch seq={self.seq} epoch={self.epoch} rows={len(self)} on {self.images.device}>"
