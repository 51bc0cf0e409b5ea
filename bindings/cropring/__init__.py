"""Batches of decoded, cropped images from a C process, as NumPy arrays in shared memory.

>>> loader = cropring.Loader("photos/", batch_size=256, size=224, seed=7)     # doctest: +SKIP
>>> for images, labels in loader: ...                                         # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from .batch import Batch, Status
from .cropper import Cropper
from .dataset import Dataset
from .errors import BadSample, CropringError, LayoutMismatch, RingCorrupted, SlotsExhausted, SourceError, WorkerDied
from .exchange import CropFuture
from .loader import Loader
from .packed import ImageInfo, Pack
from .reader import Reader, attach
from .report import Report

__version__: str

if not TYPE_CHECKING:  # to a type checker every name would be there

    def __getattr__(name: str) -> str:
        # importlib.metadata takes 22 ms to import, all the rest of cropring 50 (CPU time by bench/import_time.py).
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        return version(__name__)


__all__ = [
    "BadSample",
    "Batch",
    "CropFuture",
    "Cropper",
    "CropringError",
    "Dataset",
    "ImageInfo",
    "LayoutMismatch",
    "Loader",
    "Pack",
    "Reader",
    "Report",
    "RingCorrupted",
    "SlotsExhausted",
    "SourceError",
    "Status",
    "WorkerDied",
    "attach",
]
