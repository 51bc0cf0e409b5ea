"""What can go wrong, one class per answer that a program may want to give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batch import Batch


def shown(value: object) -> str:
    """The value as a message quotes it: someone may pass an image where its path is expected."""
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


class CropringError(Exception):
    """Base of everything that cropring raises by itself.

    Attributes
    ----------
    errno : int
        The system's error number behind it, 0 where there is none.
    """

    def __init__(self, message: str = "", errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class WorkerDied(CropringError):
    """The worker stopped, failed or was killed before the stream was complete.

    Attributes
    ----------
    last_lines : str
        What the worker logged last, newest line at the end; may be empty.
    exit_status : int or None
        Its exit status as `subprocess` counts (negative: killed by that signal); None where it is not our child or still running.
    """

    def __init__(self, message: str = "", errno: int = 0, last_lines: str = "", exit_status: int | None = None) -> None:
        super().__init__(message, errno)
        self.last_lines = last_lines
        self.exit_status = exit_status


class LayoutMismatch(CropringError):
    """Worker and reader were built from versions that lay out the shared memory differently."""


class RingCorrupted(CropringError):
    """Someone overwrote the ring's state in shared memory; nothing that is read from it can be trusted."""


class SlotsExhausted(CropringError):
    """This process keeps more batches than it may while it asks for another: with every slot kept, none could ever arrive."""


class BadSample(CropringError):
    """A sample could not be read, and `on_error="stop"` (Loader) or `errors="raise"` (Cropper) was asked for.

    Attributes
    ----------
    batch : Batch or None
        The Cropper's answer, in which all other rows are as they were asked for; it keeps its slot as long as this error lives.
    positions : tuple of int
        The bad rows in it, in ascending order; `batch.status` says what is wrong with each.
    """

    def __init__(self, message: str = "", errno: int = 0, batch: Batch | None = None, positions: Sequence[int] = ()) -> None:
        super().__init__(message, errno)
        self.batch = batch
        self.positions = tuple(positions)


class SourceError(CropringError):
    """The source is missing, unreadable, empty, or something in it cannot be right; of a manifest, the file, line and column are told."""
