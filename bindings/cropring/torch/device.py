"""Loaders and readers whose batches arrive on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..dataset import Dataset
from ..report import Report
from .carrier import Carrier, Device
from .conversion import Conversion
from .cuda import Cuda
from .loop import Bookmark, DeviceLoop
from .pinned import Owner
from .tensors import TensorBatch

if TYPE_CHECKING:
    from . import Loader, Reader


def opened(device: torch.device | str | int) -> Device | None:
    """None for the CPU."""
    try:
        wanted = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    except RuntimeError:
        wanted = torch.device("meta")
    if wanted.type == "cpu":
        return None
    if wanted.type != "cuda":
        raise ValueError(f'device={device!r}: "cuda", "cuda:N" or "cpu" is expected')
    if not torch.cuda.is_available():
        raise ValueError(f"device={device!r}: this PyTorch ({torch.__version__}) finds no CUDA device")
    if wanted.index is not None and wanted.index >= torch.cuda.device_count():
        raise ValueError(f"device={device!r}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    return Cuda(wanted)


class _Way:
    """From batches in slots to batches on a device."""

    def __init__(self, device: Device | None, conversion: Conversion, prefetch: int, pin: Literal["require"] | bool) -> None:
        if prefetch < 0:
            raise ValueError(f"prefetch={prefetch}: 0 or more batches are expected")
        if pin not in (True, False, "require"):
            raise ValueError(f'pin={pin!r}: True, False or "require" is expected')
        self._conversion = conversion
        self._prefetch = prefetch
        self.carrier = None if device is None else Carrier(device, conversion, prefetch + 1, pin)

    def of(self, batches: Iterator[TensorBatch], owner: Callable[[], Owner | None], bookmark: Bookmark) -> Iterator[TensorBatch]:
        if self.carrier is None:
            return map(self._converted, batches)
        return DeviceLoop(batches, owner, self.carrier, self._prefetch, bookmark)

    def _converted(self, batch: TensorBatch) -> TensorBatch:
        if not self._conversion.changes(batch.images):
            return batch
        room = self._conversion.made_for(batch.images)
        self._conversion.write(batch.images, room)
        return batch.with_images(room)

    @property
    def is_pinned(self) -> bool:
        return self.carrier is not None and self.carrier.is_pinned


def _place(loader: Loader) -> dict[str, Any] | None:
    try:
        return loader.state_dict()
    except ValueError:  # share="split" with several readers
        return None


class DeviceLoader:
    """A `Loader` whose batches are on a device; made by `Loader.to_device()`, and used like the Loader itself.

    Tensors that it hands out are ordinary ones, made on the stream that was current when the batch was asked for.  They may be kept.
    (On the CPU and without conversion they share the memory of slots, as those of the Loader do.)
    """

    batch_sampler = None

    def __init__(self, loader: Loader, device: Device | None, conversion: Conversion, prefetch: int, pin: Literal["require"] | bool) -> None:
        self.loader = loader
        self._way = _Way(device, conversion, prefetch, pin)
        self._bookmark = Bookmark(partial(_place, loader))  # not ours: a cycle would keep the worker until the garbage collector comes by
        worker = loader._worker
        if self._way.carrier is not None and worker is not None:
            self._way.carrier.attend(worker)  # now, so that the ring is pinned by the time of the first batch

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[TensorBatch]:
        batches = iter(self.loader) if self._way.carrier is None else self.loader._tensor_batches()
        return self._way.of(batches, lambda: self.loader._worker, self._bookmark)

    def set_epoch(self, epoch: int) -> None:
        """Makes `epoch` the one that the next loop runs over."""
        self.loader.set_epoch(epoch)
        self._bookmark.place = None

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, by the batches that were handed out; those on their way to the device are not counted."""
        return self.loader.state_dict() if self._bookmark.place is None else dict(self._bookmark.place)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the run stood that `state` is from, whichever loader it was; see `Loader.load_state_dict`."""
        self.loader.load_state_dict(state)
        self._bookmark.place = None

    @property
    def dataset(self) -> Dataset:
        """The samples: sized, with `classes`, `class_to_idx`, `samples`, `targets`."""
        return self.loader.dataset

    @property
    def sampler(self) -> DeviceLoader:
        """Itself, for trainers that call `loader.sampler.set_epoch(epoch)`."""
        return self

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        return self.loader.batch_size

    @property
    def rank(self) -> int:
        """The Loader's, wherever it came from."""
        return self.loader.rank

    @property
    def world_size(self) -> int:
        """The Loader's, wherever it came from."""
        return self.loader.world_size

    @property
    def classes(self) -> list[str]:
        """Class names; a label is a place in this list."""
        return self.loader.classes

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class numbers by name."""
        return self.loader.class_to_idx

    @property
    def paths(self) -> Sequence[str]:
        """Path of each sample: `loader.paths[i] for i in batch.index`."""
        return self.loader.paths

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) int64, the label of each sample; read-only.  `targets` is another name for it."""
        return self.loader.labels

    targets = labels

    def stats(self) -> dict[str, int]:
        """Those of the Loader, and `pinned`: 1 if copies come from page-locked memory now."""
        return self.loader.stats() | {"pinned": int(self._way.is_pinned)}

    def report(self, *, since: Literal["report", "start"] = "report") -> Report:
        """Who waits for whom; see `Loader.report`."""
        return self.loader.report(since=since)

    def close(self) -> None:
        """Ends the Loader's worker, once the copies from its memory are done.  Tensors that are alive stay valid."""
        self.loader.close()

    def __enter__(self) -> DeviceLoader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class DeviceReader(Iterator[TensorBatch]):
    """A `Reader` whose batches are on a device; made by `Reader.to_device()`, and also a context manager."""

    def __init__(self, reader: Reader, device: Device | None, conversion: Conversion, prefetch: int, pin: Literal["require"] | bool) -> None:
        self.reader = reader
        self._way = _Way(device, conversion, prefetch, pin)
        if self._way.carrier is not None:
            self._way.carrier.attend(reader)
        batches = iter(reader) if self._way.carrier is None else iter(reader._next_tensors, None)  # None never comes
        self._batches = self._way.of(batches, lambda: reader, Bookmark(None))

    def __next__(self) -> TensorBatch:
        return next(self._batches)

    def stats(self) -> dict[str, int]:
        """Those of the Reader, and `pinned`: 1 if copies come from page-locked memory now."""
        return self.reader.stats() | {"pinned": int(self._way.is_pinned)}

    def report(self, *, since: Literal["report", "start"] = "report") -> Report:
        """Who waits for whom, of all readers of the ring; see `Loader.report`."""
        return self.reader.report(since=since)

    def close(self) -> None:
        """Leaves the ring, once the copies from it are done.  Tensors that are alive stay valid."""
        self.reader.close()

    def __enter__(self) -> DeviceReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
