"""Streams, events and page-locked memory of a CUDA (or ROCm) device, through PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

_PORTABLE, _READ_ONLY = 1, 8  # cudaHostRegisterPortable; cudaHostRegisterReadOnly, which memory that only can be read needs


class Cuda:
    """The device of that name; `carrier.Device` says what its methods do."""

    def __init__(self, device: torch.device) -> None:
        self._device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        self._stream: Any = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # nor has it types

    def empty_like(self, tensor: torch.Tensor) -> torch.Tensor:
        with torch.cuda.stream(self._stream):
            return torch.empty_like(tensor, device=self._device)

    def copy(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], after: Any) -> Any:
        with torch.cuda.stream(self._stream):
            if after is not None:
                self._stream.wait_event(after)
            for source, room in pairs:
                room.copy_(source, non_blocking=True)
            return self._stream.record_event()

    def consume(self, work: Callable[[], None], reads: Iterable[torch.Tensor], after: Any) -> Any:
        stream: Any = torch.cuda.current_stream(self._device)
        stream.wait_event(after)
        for tensor in reads:
            tensor.record_stream(stream)
        work()
        return stream.record_event()

    def register(self, address: int, byte_count: int) -> str:
        torch.cuda.set_device(self._device)  # of this thread: else it would make a context on the first device
        cudart: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        reasons = []
        for flags in (_PORTABLE, _PORTABLE | _READ_ONLY):
            error = cudart.cudaHostRegister(address, byte_count, flags)
            if int(error) == 0:
                return ""
            reasons.append(cudart.cudaGetErrorString(error))
        return f"cudaHostRegister: {reasons[0]}; as memory to be read alone: {reasons[1]}"

    def unregister(self, address: int) -> None:
        cudart: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        cudart.cudaHostUnregister(address)
