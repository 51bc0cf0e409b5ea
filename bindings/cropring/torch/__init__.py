"""Batches as PyTorch tensors: `cropring.torch.Loader` in place of a DataLoader, and its way to a GPU.

>>> loader = cropring.torch.Loader("photos/", batch_size=256, size=224, seed=7)            # doctest: +SKIP
>>> for images, labels in loader.to_device("cuda", dtype=torch.float16): ...               # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, cast

try:
    import torch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("cropring.torch needs PyTorch: pip install torch", name=error.name) from None

from .._ring import Ring
from ..batch import Batch
from ..loader import Loader as ArrayLoader
from ..reader import Reader as ArrayReader
from ..reader import join
from .conversion import Conversion, Factors
from .device import DeviceLoader, DeviceReader, opened
from .pinned import PinnedRing
from .tensors import TensorBatch

__all__ = ["DeviceLoader", "DeviceReader", "Loader", "Reader", "TensorBatch", "attach"]

Pin = Literal["require"] | bool


class Loader(ArrayLoader):
    """`cropring.Loader`, with the same keywords, whose batches are `TensorBatch`es.

    It stands where a DataLoader stood, and is iterated over by plain loops, Lightning, Accelerate and timm alike.  The tensors share the
    memory of the worker's slots, without a copy: images (B, 3, H, W) uint8 in channels_last, labels (B,) int64.
    """

    def __iter__(self) -> Iterator[TensorBatch]:  # type: ignore[override]  # tensors where the base has arrays
        if self._worker is not None:
            PinnedRing.forbid(self._worker)
        return self._tensor_batches()

    def _tensor_batches(self) -> Iterator[TensorBatch]:
        return map(partial(TensorBatch, is_nhwc=self._flags["layout"] == "nhwc"), super().__iter__())

    def to_device(
        self,
        device: torch.device | str | int,
        *,
        dtype: torch.dtype | None = None,
        mean: Factors | None = None,
        std: Factors | None = None,
        channels_last: bool | None = None,
        prefetch: int = 2,
        pin: Pin = True,
    ) -> DeviceLoader:
        """The same loader, with images, labels and targets on `device`, copied there while the work before is done.

        Images cross the bus as the worker made them, uint8 usually, and become `dtype` on the device: float32(x) / 255, then minus `mean`,
        then divided by `std`, all in float32, and `dtype` in the end.  In float32 that is to the bit what torchvision's ToTensor() and
        Normalize(mean, std) make of the same pixels on a CPU.

        Parameters
        ----------
        device : torch.device or str or int
            A CUDA (or ROCm) device, or "cpu": the same without copies, where tensors share the slots' memory if nothing is to be converted.
        dtype : torch.dtype, optional
            Of the images, a floating point type; None: as the worker makes them, or float32 with `mean` or `std`.
        mean, std : float or sequence of float, optional
            One number, or one for each channel, for values from 0 to 1.
        channels_last : bool, optional
            The images' memory format; None: as it is in the ring, which is channels_last unless the Loader has `layout="nchw"`.
        prefetch : int
            Batches whose copies are begun beyond the one handed out.  Takes (`prefetch` + 1) batches of memory on the device.  With
            fewer slots than that, copies of later ones begin when those before them are done.
        pin : bool or "require"
            Page-locks the ring, once for each worker, in a thread beside the first batches.  Without, or where that fails (there is one
            warning), copies are slower and not beside the work; "require" raises `CropringError` then.

        Raises
        ------
        ValueError
            The device is of another kind, or a keyword does not fit to the images.
        """
        conversion = Conversion(dtype, mean, std, channels_last, is_uint8=self._flags["dtype"] == "uint8", channel_count=self._flags["channels"])
        return DeviceLoader(self, opened(device), conversion, prefetch, pin)


class Reader(ArrayReader):
    """The batches of a ring as tensors, one after the other to the end of the stream.  Made by `attach`; also a context manager."""

    def __init__(self, *arguments: Any, layout: Literal["nhwc", "nchw"] | None = None) -> None:
        super().__init__(*arguments)
        self._layout = layout
        self.before_leaving: list[Callable[[], None]] = []

    @property
    def ring(self) -> Ring:
        """Where the batches lie."""
        return self._ring

    def __iter__(self) -> Iterator[TensorBatch]:  # type: ignore[override]  # tensors where the base has arrays
        return cast(Iterator[TensorBatch], self)

    def __next__(self) -> TensorBatch:  # type: ignore[override]
        PinnedRing.forbid(self)
        return self._next_tensors()

    def _next_tensors(self) -> TensorBatch:
        batch = super().__next__()
        if self._layout is None:
            self._layout = _layout_of(batch)
        return TensorBatch(batch, self._layout == "nhwc")

    def close(self) -> None:
        """Leaves the ring.  Tensors that are alive stay valid."""
        try:
            while self.before_leaving:
                self.before_leaving.pop()()
        finally:
            super().close()

    def to_device(
        self,
        device: torch.device | str | int,
        *,
        dtype: torch.dtype | None = None,
        mean: Factors | None = None,
        std: Factors | None = None,
        channels_last: bool | None = None,
        prefetch: int = 2,
        pin: Pin = True,
    ) -> DeviceReader:
        """The same batches with images, labels and targets on `device`; see `Loader.to_device`."""
        return DeviceReader(self, opened(device), Conversion(dtype, mean, std, channels_last), prefetch, pin)


def attach(
    name: str | os.PathLike[str],
    *,
    timeout: float | None = None,
    wait: float = 0.0,
    lane: int | None = None,
    hold: int | None = None,
    layout: Literal["nhwc", "nchw"] | None = None,
) -> Reader:
    """`cropring.attach`, with the same keywords, for tensors.

    `layout` is that of the worker; None tells it by the images' shape, and raises `ValueError` for a shape that could be either.
    """
    return Reader(join(name, wait, lane, hold), timeout, layout=layout)


def _layout_of(batch: Batch) -> Literal["nhwc", "nchw"]:
    _, first, _, last = batch.images.shape
    could_be = [layout for layout, channels in (("nhwc", last), ("nchw", first)) if channels in (1, 3)]
    if len(could_be) != 1:
        raise ValueError(f'images of shape {batch.images.shape}: say layout="nhwc" or layout="nchw", as the worker has it')
    return "nhwc" if could_be == ["nhwc"] else "nchw"
