"""What becomes of the images on their device: dtype, mean and std, memory format."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Factors = float | Sequence[float] | torch.Tensor


class Conversion:
    """Makes of uint8 images x: (float32(x) / 255 - mean) / std, in float32 and in that order, then `dtype`.

    Each step is one IEEE operation, correctly rounded, on any device: so the result is the same to the bit as torchvision's ToTensor()
    and Normalize() on a CPU.  (Divisors are tensors on the device, because CUDA multiplies by the reciprocal of a number.)

    Parameters
    ----------
    is_uint8 : bool, optional
        Whether the worker makes uint8; None: not known before the first batch.
    channel_count : int, optional
        Of the images, where it is known.
    """

    def __init__(
        self,
        dtype: torch.dtype | None = None,
        mean: Factors | None = None,
        std: Factors | None = None,
        channels_last: bool | None = None,
        is_uint8: bool | None = None,
        channel_count: int | None = None,
    ) -> None:
        if dtype is not None and dtype != torch.uint8 and not dtype.is_floating_point:
            raise ValueError(f"dtype={dtype}: a floating point type is expected, or None for the worker's own")
        self._mean, self._std = _factors("mean", mean), _factors("std", std)
        self._normalizes = mean is not None or std is not None
        if self._std is not None and not bool((self._std > 0).all()):
            raise ValueError(f"std={std}: numbers above 0 are expected")
        if dtype == torch.uint8 and self._normalizes:
            raise ValueError("dtype=torch.uint8 has no room for mean and std: give a floating point dtype")
        self._dtype = dtype or (torch.float32 if self._normalizes else None)
        self._channels_last = channels_last
        self._constants: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None] | None = None
        if is_uint8 is not None:
            self._check(torch.uint8 if is_uint8 else torch.float32, channel_count)

    def changes(self, images: torch.Tensor) -> bool:
        """False if such images stay as they are."""
        return self._dtype not in (None, images.dtype) or self._normalizes or not images.is_contiguous(memory_format=self._format(images))

    def made_for(self, images: torch.Tensor) -> torch.Tensor:
        """Room for what becomes of them."""
        if self._channels_last is None:
            return torch.empty_like(images, dtype=self._dtype)  # the same strides
        return torch.empty(images.shape, dtype=self._dtype or images.dtype, device=images.device, memory_format=self._format(images))

    def write(self, images: torch.Tensor, room: torch.Tensor) -> None:
        """Into the room made for them."""
        self._check(images.dtype, images.shape[1])
        if images.dtype != torch.uint8 or room.dtype == torch.uint8:
            room.copy_(images)
            return
        whole, mean, std = self._on(images.device)
        exact = room if room.dtype == torch.float32 else torch.empty_like(room, dtype=torch.float32)
        torch.div(images, whole, out=exact)
        if mean is not None:
            exact.sub_(mean)
        if std is not None:
            exact.div_(std)
        if exact is not room:
            room.copy_(exact)

    def _format(self, images: torch.Tensor) -> torch.memory_format:
        if self._channels_last is None:
            return torch.channels_last if images.stride(1) < images.stride(2) else torch.contiguous_format
        return torch.channels_last if self._channels_last else torch.contiguous_format

    def _check(self, dtype: torch.dtype, channel_count: int | None) -> None:
        if dtype != torch.uint8 and self._normalizes:
            raise ValueError("the worker makes floating point images: give mean and std to it (the Loader's keywords), or let it make uint8")
        if dtype != torch.uint8 and self._dtype == torch.uint8:
            raise ValueError('dtype=torch.uint8: the worker makes floating point images; give the Loader dtype="uint8"')
        for name, factors in (("mean", self._mean), ("std", self._std)):
            if factors is not None and channel_count is not None and factors.numel() not in (1, channel_count):
                raise ValueError(f"{name}: {factors.numel()} numbers for images of {channel_count} channels; 1 or {channel_count} are expected")

    def constants_on(self, device: torch.device) -> list[torch.Tensor]:
        """What `write` reads besides the images."""
        return [constant for constant in self._on(device) if constant is not None]

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        if self._constants is None or self._constants[0].device != device:
            mean, std = (None if factors is None else factors.to(device) for factors in (self._mean, self._std))
            self._constants = torch.full((1,), 255, dtype=torch.float32).to(device), mean, std  # complete, for any stream
        return self._constants


def _factors(name: str, given: Factors | None) -> torch.Tensor | None:
    """(1, C, 1, 1) float32."""
    if given is None:
        return None
    try:
        factors = torch.as_tensor(given, dtype=torch.float32, device="cpu").reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        factors = torch.empty(0)
    if factors.numel() == 0 or not bool(factors.isfinite().all()):
        raise ValueError(f"{name}={given!r}: a number is expected, or one for each channel")
    return factors.reshape(1, -1, 1, 1)
