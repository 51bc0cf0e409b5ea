"""The sides of `bench/run peers`: how each makes its batches, what it needs, and what a user types to have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

import peers_decoders as decoders
import peers_loaders as loaders
from work import Work

_PIP = "pip install"
_FFMPEG = "apt-get install libavdevice59 libavfilter8"
_OURS = f"{_PIP} cropring-0.1.0-cp311-abi3-manylinux_2_28_x86_64.whl"
_PACK = "cropring pack photos/ photos.pack"
_FFCV = (
    "apt-get install build-essential python3-dev pkg-config libopencv-dev libturbojpeg0-dev",
    f"{_PIP} torch pillow numpy setuptools",  # the last two for its setup.py; it needs Pillow and does not say so
    f"{_PIP} --no-build-isolation ffcv",
    "python convert.py  # a script of one's own around ffcv.writer.DatasetWriter",
)
ALL, ONE = (1, 2), (1,)


@dataclass(frozen=True)
class Peer:
    name: str
    stream: Callable[[Work], Iterator[np.ndarray]]
    imports: tuple[str, ...]  # modules that a program imports before it makes the loader; timed on their own
    install: tuple[str, ...] = ()  # the lines to type where Python 3.11 and pip are, files converted included; (): no loader
    parallel: tuple[int, ...] = ALL  # of those measured
    boxes: str = "same"  # as the plan has them, in its order
    convert: Callable[[Work], None] | None = None  # makes the form of the pictures that it reads


PEERS = (
    Peer("no loader, a blank batch", loaders.blank, (), parallel=ONE, boxes="none"),
    Peer("cropring", loaders.cropring_numpy, ("cropring",), (_OURS,)),
    Peer("cropring, 4 slots", loaders.cropring_few_slots, ("cropring",), (_OURS,)),
    Peer("cropring.torch", loaders.cropring_torch, ("torch", "cropring.torch"), (f"{_OURS} torch",)),
    Peer("cropring, pack", loaders.cropring_pack, ("cropring",), (_OURS, _PACK)),
    Peer(
        "torch DataLoader, Pillow", loaders.data_loader_pillow, ("torch.utils.data", "PIL.Image"), (f"{_PIP} torch pillow",)
    ),
    Peer(
        "torch DataLoader, torchvision",
        loaders.data_loader_torchvision,
        ("torch.utils.data", "torchvision_cpu"),
        (f"{_PIP} torch torchvision",),
    ),
    Peer(
        "torch DataLoader, torchvision on tensors",
        loaders.data_loader_torchvision_tensors,
        ("torch.utils.data", "torchvision_cpu"),
        (f"{_PIP} torch torchvision",),
    ),
    Peer(
        "WebDataset",
        loaders.webdataset,
        ("webdataset", "torch.utils.data", "PIL.Image"),
        (f"{_PIP} webdataset torch pillow", "tar --sort=name -cf shard-0000.tar ...  # once for each shard"),
        boxes="own order",
        convert=loaders.write_shards,
    ),
    Peer("SPDL", loaders.spdl, ("spdl.io", "spdl.pipeline"), (_FFMPEG, f"{_PIP} spdl-io spdl-core")),
    Peer("SPDL, subprocess", loaders.spdl_subprocess, ("spdl.io", "spdl.pipeline"), (_FFMPEG, f"{_PIP} spdl-io spdl-core")),
    Peer("DALI on the CPU", loaders.dali, ("nvidia.dali",), (f"{_PIP} nvidia-dali-cuda120",), boxes="own boxes"),
    Peer("tf.data, antialias", loaders.tf_data_antialias, ("tensorflow",), (f"{_PIP} tensorflow-cpu",)),
    Peer("tf.data", loaders.tf_data, ("tensorflow",), (f"{_PIP} tensorflow-cpu",), ONE),
    Peer("FFCV", loaders.ffcv, ("ffcv.loader",), _FFCV, boxes="own boxes", convert=loaders.write_beton),
    # Decoders, in a loop that is no loader:
    Peer("OpenCV, INTER_LINEAR", partial(decoders.in_a_loop, decoders.opencv), ("cv2",), parallel=ONE),
    Peer("OpenCV, INTER_AREA", partial(decoders.in_a_loop, decoders.opencv_area), ("cv2",), parallel=ONE),
    Peer("simplejpeg, OpenCV", partial(decoders.in_a_loop, decoders.simplejpeg), ("simplejpeg", "cv2"), parallel=ONE),
    Peer("PyTurboJPEG, OpenCV", partial(decoders.in_a_loop, decoders.pyturbojpeg), ("turbojpeg", "cv2"), parallel=ONE),
    Peer("pyvips", partial(decoders.in_a_loop, decoders.pyvips), ("pyvips",), parallel=ONE),
)
BY_NAME = {peer.name: peer for peer in PEERS}
