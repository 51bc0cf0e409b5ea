"""What cropring chose, written down for a peer to make the same pictures: which sample stands where, its box, mirrored or not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plan:
    """E epochs of N images each, in the order in which they are delivered."""

    paths: NDArray[np.str_]  # (samples,)
    labels: NDArray[np.int64]  # (samples,)
    index: NDArray[np.int64]  # (E, N) numbers of samples
    box: NDArray[np.int32]  # (E, N, 4) x, y, width, height in source pixels
    flipped: NDArray[np.uint8]  # (E, N)

    def save(self, path: Path) -> None:
        np.savez(path, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> Plan:
        with np.load(path) as arrays:
            return cls(**arrays)
