"""Batches as JAX arrays.

>>> loader = cropring.jax.Loader("photos/", batch_size=256, size=224)      # doctest: +SKIP
>>> for images, labels in loader: ...                                      # doctest: +SKIP

On the CPU an array is the slot's memory, which goes back when JAX is done with it, computations under way included.  Elsewhere, and
under a `sharding`, arrays are sent as their batch is handed over, and the slot goes back after they arrived.
"""

from __future__ import annotations

import gc
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

try:
    import jax
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("cropring.jax needs JAX: pip install jax", name=error.name) from None
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from . import batch as host
from . import loader
from .errors import SlotsExhausted
from .reader import Reader

_PATIENCE_S = 60.0  # with computations that use all slots


class Batch:
    """The arrays of a `cropring.Batch`, as JAX arrays.

    `images, labels = batch` unpacks the two that training needs; `batch["box"]` is any array by name.  Where JAX has no 64 bits, which is
    its default, labels and index are int32.  In the shapes, B is the number of rows, `len(batch)`; under a sharding over the devices of
    several processes, the arrays have the rows of all and `len(batch)` counts those of this one.  A batch keeps its slot, as do its arrays
    where they are the slot's memory.
    """

    __slots__ = ("__weakref__", "_arrays", "_host", "_placement", "_users")

    def __init__(self, batch: host.Batch, placement: Placement) -> None:
        self._host = batch
        self._placement = placement
        self._arrays: dict[str, jax.Array] = {}
        self._users: list[weakref.ref[Any]] = [weakref.ref(self)]

    def __getitem__(self, name: str) -> jax.Array:
        """The array of that name, first axis B; `KeyError` if the ring has none."""
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = self._placement.place(name, self._host)
            self._users.append(weakref.ref(array))
        return array

    @property
    def images(self) -> jax.Array:
        """(B, height, width, channels), or (B, channels, height, width) under `layout="nchw"`; of the `dtype` asked for."""
        return self["images"]

    @property
    def labels(self) -> jax.Array:
        """(B,) int32 class numbers, -1 where the folder has no classes; int64 if JAX has 64 bits."""
        return self["labels"]

    @property
    def index(self) -> jax.Array:
        """(B,) int32 numbers of the samples in `loader.paths`; int64 if JAX has 64 bits, as more than 2**31 samples need."""
        return self["index"]

    @property
    def box(self) -> jax.Array:
        """(B, 4) int32: x, y, width and height of the crop, in pixels of the source image."""
        return self["box"]

    @property
    def source_size(self) -> jax.Array:
        """(B, 2) int32: height and width of the source image in pixels."""
        return self["source_size"]

    @property
    def flipped(self) -> jax.Array:
        """(B,) uint8: 1 where the image was mirrored left to right."""
        return self["flipped"]

    @property
    def targets(self) -> jax.Array:
        """(B, height, width) values of the second picture of each sample; `AttributeError` if the samples have none."""
        _ = self._host.targets
        return self["targets"]

    @property
    def status(self) -> jax.Array:
        """(B,) uint8, see `cropring.Status`; 0 where all is well."""
        return self["status"]

    @property
    def seq(self) -> int:
        """Number of the batch in the worker's stream, from 0, modulo 2**32."""
        return self._host.seq

    @property
    def epoch(self) -> int:
        """Epoch that the batch belongs to."""
        return self._host.epoch

    @property
    def redelivered(self) -> bool:
        """See `cropring.Batch.redelivered`."""
        return self._host.redelivered

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[jax.Array]:
        yield self["images"]
        yield self["labels"]

    def _arrived(self) -> None:
        """Waits for what was sent; donated arrays are JAX's alone, which keeps their origin until then."""
        for array in self._arrays.values():
            if not array.is_deleted():
                array.block_until_ready()

    def __repr__(self) -> str:
        return f"<cropring.jax.Batch seq={self.seq} epoch={self.epoch} rows={len(self)}>"


class Placement:
    """Where arrays are made.

    Parameters
    ----------
    sharding : jax.sharding.Sharding, optional
        None: in the slot's memory where JAX computes on the CPU, else on JAX's default device.

    Attributes
    ----------
    sends : bool
        They are no slot's memory.
    """

    def __init__(self, sharding: Sharding | None) -> None:
        self._sharding = sharding
        devices = jax.numpy.zeros(()).devices() if sharding is None else sharding.device_set
        self._is_host = any(device.platform == "cpu" for device in devices)
        first = jax.local_devices(backend="cpu")[0] if self._is_host else None  # where JAX takes memory of the CPU to be
        self.sends = sharding is not None or devices != {first}

    def place(self, name: str, batch: host.Batch) -> jax.Array:
        array = batch[name]
        dtype = jax.dtypes.canonicalize_dtype(array.dtype)
        if not self.sends and dtype == array.dtype:
            return jax.dlpack.from_dlpack(batch.view(name))
        # On the CPU JAX would not send, but use the memory as long as it likes: it gets memory of its own.
        array = array.astype(dtype, copy=self._is_host)
        if self._sharding is None:
            return jax.device_put(array)
        return jax.make_array_from_process_local_data(self._sharding_of(array.ndim), array)

    def _sharding_of(self, dim_count: int) -> Sharding:
        """The same for arrays with fewer axes than images have."""
        assert self._sharding is not None
        if not isinstance(self._sharding, NamedSharding):
            return self._sharding
        axes = PartitionSpec(*tuple(self._sharding.spec)[:dim_count])
        return NamedSharding(self._sharding.mesh, axes, memory_kind=self._sharding.memory_kind)


class Batches(Iterator[Batch]):
    """One loop over a loader's or reader's batches, as JAX arrays."""

    def __init__(self, loop: Iterator[host.Batch], stats: Callable[[], dict[str, int]], placement: Placement) -> None:
        self._loop = loop
        self._stats = stats
        self._placement = placement
        self._sent: Batch | None = None
        self._users: list[list[weakref.ref[Any]]] = []  # of each batch that is in use, itself and its arrays

    def __next__(self) -> Batch:
        try:
            batch = Batch(self._take(), self._placement)
        except StopIteration:
            self._settle()
            raise
        if self._placement.sends:
            for name in ("images", "labels"):
                batch[name]
            self._settle()
            self._sent = batch
        self._users = [users for users in self._users if _any_alive(users)] + [batch._users]
        return batch

    def _settle(self) -> None:
        """The batch before has arrived: it was sent a whole turn ago, so that this does not wait."""
        if self._sent is not None:
            self._sent._arrived()
        self._sent = None

    def _take(self) -> host.Batch:
        """The next batch; while computations use all slots, once one of them is through.

        JAX computes while Python runs ahead, and keeps the slots that it reads from.  Those that Python's own arrays keep, nobody else can
        give back, and `SlotsExhausted` is raised at once.
        """
        deadline, is_last_try = 0.0, False
        while True:
            try:
                return next(self._loop)
            except SlotsExhausted:
                if is_last_try:
                    raise
            if self._placement.sends:
                gc.collect()  # JAX lets go then of memory that it has sent
            deadline = deadline or time.monotonic() + _PATIENCE_S
            kept = sum(map(_any_alive, self._users))
            is_last_try = self._stats()["slots_held"] <= kept or time.monotonic() > deadline
            time.sleep(0 if is_last_try else 0.001)


def _any_alive(users: list[weakref.ref[Any]]) -> bool:
    return any(user() is not None for user in users)


class Loader(loader.Loader):
    """The `cropring.Loader` whose batches are JAX arrays.

    `for images, labels in loader` hands out `jax.Array`s: uint8 images (B, H, W, 3) and int32 labels (B,).  Where JAX computes on the CPU
    nothing is copied but labels: the images are the slot's memory, which the worker fills again when JAX is done with them.

    Without `rank` and `world_size`, and where no launcher says otherwise, they are `jax.process_index()` and `jax.process_count()`
    once `jax.distributed` is initialized.

    Parameters
    ----------
    source : str or path-like
        As the `cropring.Loader` has it.
    sharding : jax.sharding.Sharding, optional
        How an array lies on several devices, such as `NamedSharding(mesh, PartitionSpec("data"))`; arrays with fewer axes than images take
        its first ones.  Each process brings its own rows (`jax.make_array_from_process_local_data`), so that a global batch has
        `batch_size` times `world_size`.
    **keywords
        Those of the `cropring.Loader`.

    Raises
    ------
    ValueError
        A keyword's value cannot be used; `tail="partial"` with a sharding, which needs equal parts.
    SlotsExhausted
        From the loop: arrays of earlier batches that the program keeps, or that its computations used for a minute, hold the slots.
    """

    def __init__(self, source: str | os.PathLike[str], *, sharding: Sharding | None = None, **keywords: Any) -> None:
        if sharding is not None and keywords.get("tail") == "partial":
            raise ValueError('tail="partial" with a sharding: the rows of a short batch do not divide among devices; use "drop" or "pad"')
        self._placement = Placement(sharding)
        super().__init__(source, **keywords)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # a loop over other arrays is all that this class adds
        return Batches(super().__iter__(), self.stats, self._placement)


def batches(reader: Reader, sharding: Sharding | None = None) -> Iterator[Batch]:
    """The batches of a ring that this process is attached to, as JAX arrays: `for images, labels in batches(cropring.attach("train"))`."""
    return Batches(reader, reader.stats, Placement(sharding))
