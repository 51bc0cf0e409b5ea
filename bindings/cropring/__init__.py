"""Batches of decoded, cropped images from a C process, as NumPy arrays in shared memory.

>>> loader = cropring.Loader("photos/", batch_size=256, size=224, seed=7)     # doctest: +SKIP
>>> for images, labels in loader: ...                                         # doctest: +SKIP
"""

from importlib.metadata import version

from .batch import Batch, Status
from .cropper import Cropper
from .dataset import Dataset
from .errors import BadSample, CropringError, LayoutMismatch, RingCorrupted, SlotsExhausted, SourceError, WorkerDied
from .exchange import CropFuture
from .loader import Loader
from .packed import ImageInfo, Pack
from .reader import Reader, attach
from .report import Report

__version__ = version("cropring")

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
