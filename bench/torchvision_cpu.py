"""`import torchvision` beside a torch of another build: `from torchvision_cpu import torchvision`.

The package index has one torchvision, built for CUDA. Beside torch for the CPU its C++ part does not load, which its transforms do not
need; but its import describes two operators of that part to torch, which must exist for that. Nothing here calls them.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

_OPERATORS = ("nms", "qnms")


def _define_missing_operators() -> "torch.library.Library | None":
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None  # the import below says it better
    try:
        torch.ops.load_library(Path(spec.origin).parent / "_C.so")
        return None
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in _OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library


_defined = _define_missing_operators()  # for as long as this process lives

import torchvision.transforms.v2  # noqa: E402

__all__ = ["torchvision"]
