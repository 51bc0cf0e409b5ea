"""Weights of samples on their way to the worker: checked, and handed over as a .npy file that has no name."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Weights:
    """One weight for each sample, or the manifest's own.

    Parameters
    ----------
    given : array-like, path-like or "column"
        (N,) numbers >= 0, finite, not all 0; or the .npy file that holds them; or the word for the source's own column.

    Attributes
    ----------
    flag : str
        What the worker is told,
    name : str
        and what people were told it is.
    digest : str
        The same for the same weights.
    """

    def __init__(self, given: ArrayLike | str | os.PathLike[str]) -> None:
        self._file: Any = None
        self.name = f"weights={os.fspath(given)!r}" if isinstance(given, str | os.PathLike) else "weights"
        if isinstance(given, str) and given == "column":
            self.flag, self.digest = "column", "column"  # the fingerprint of the data set covers it
            return
        values = _checked(given, self.name)
        self.digest = hashlib.blake2b(values.astype("<f8").tobytes(), digest_size=16).hexdigest()
        self._file = os.fdopen(os.memfd_create("cropring-weights"), "w+b")
        np.save(self._file, values.astype("<f8"))
        self._file.flush()
        self.flag = f"/proc/self/fd/{self._file.fileno()}"

    @property
    def fds(self) -> tuple[int, ...]:
        """What the worker inherits, under the same numbers."""
        return () if self._file is None else (self._file.fileno(),)


def _checked(given: Any, name: str) -> NDArray[np.float64]:
    if isinstance(given, str | os.PathLike):
        try:
            with open(os.path.expanduser(given), "rb") as file:
                given = np.lib.format.read_array(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{name}: a .npy file that can be read is expected, as numpy.save() writes: {error}") from None
    try:
        values = np.asarray(given)
    except ValueError:  # of unlike lengths
        values = np.empty(0)
    if values.ndim != 1 or values.dtype.kind not in "fiub" or values.size == 0:
        raise ValueError(f"{name}: one number for each sample is expected, in one dimension; shape {values.shape} of {values.dtype} was given")
    values = values.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if bad.size:
        raise ValueError(f"{name}: the weight of sample {bad[0]} is {values[bad[0]]}; 0 or a finite number above it is expected")
    if not values.any():
        raise ValueError(f"{name}: all {values.size} are 0, so there is nothing to draw")
    return values
