"""RandomResizedCrop by other libraries, for bench/peers.py: each as its documentation recommends it, with one thread.

A stream takes a plan and gives its batches without end, (batch_size, size, size, 3) uint8, in the plan's order and with its boxes
unless it says otherwise. Imports stand inside: a library that is not there says so when it is asked for.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from plan import Plan

Make = Callable[[str, Sequence[int], bool, int], np.ndarray]  # path, box, mirrored, side of the output -> (side, side, 3)
Stream = Callable[[Plan, int, int], Iterator[np.ndarray]]  # plan, images in a batch, side of the output


def jobs(plan: Plan) -> Iterator[tuple[str, list[int], bool]]:
    """Path, box, mirrored: all of the plan, again and again."""
    paths = plan.paths[plan.index.ravel()].tolist()
    return itertools.cycle(list(zip(paths, plan.box.reshape(-1, 4).tolist(), plan.flipped.ravel().astype(bool).tolist())))


def in_a_loop(make: Make, plan: Plan, batch_size: int, size: int) -> Iterator[np.ndarray]:
    """Libraries that only decode and resize: a loop in one process, with no loader's costs around it."""
    stream = jobs(plan)
    while True:
        batch = np.empty((batch_size, size, size, 3), np.uint8)
        for row, (path, box, flipped) in zip(batch, stream):
            row[:] = make(path, box, flipped, size)
        yield batch


# ---------------------------------------------------------------- OpenCV, and decoders that take its resize


def opencv_finish(picture: np.ndarray, box: Sequence[int], flipped: bool, size: int, interpolation: str = "INTER_LINEAR") -> np.ndarray:
    import cv2

    cv2.setNumThreads(1)
    x, y, width, height = box
    picture = cv2.resize(picture[y : y + height, x : x + width], (size, size), interpolation=getattr(cv2, interpolation))
    return cv2.flip(picture, 1) if flipped else picture


def opencv(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    import cv2

    return opencv_finish(cv2.imread(path, cv2.IMREAD_COLOR_RGB), box, flipped, size)


def opencv_area(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    """INTER_AREA, which OpenCV recommends for shrinking; INTER_LINEAR takes two pixels of however many there are."""
    import cv2

    shrinks = min(box[2:]) > size
    picture = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
    return opencv_finish(picture, box, flipped, size, "INTER_AREA" if shrinks else "INTER_LINEAR")


def simplejpeg(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    import simplejpeg

    with open(path, "rb") as file:
        return opencv_finish(simplejpeg.decode_jpeg(file.read()), box, flipped, size)


@cache
def turbojpeg_codec() -> Any:
    from turbojpeg import TurboJPEG

    return TurboJPEG()


def pyturbojpeg(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    """Its crop() makes another JPEG, so it is no help here."""
    from turbojpeg import TJPF_RGB

    with open(path, "rb") as file:
        return opencv_finish(turbojpeg_codec().decode(file.read(), pixel_format=TJPF_RGB), box, flipped, size)


# ---------------------------------------------------------------- libvips


def pyvips(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    """Read from top to bottom, so that nothing below the box is decoded."""
    os.environ["VIPS_CONCURRENCY"] = "1"
    import pyvips

    picture = pyvips.Image.new_from_file(path, access="sequential").crop(*box)
    if picture.bands == 1:
        picture = picture.colourspace("srgb")
    picture = picture.resize(size / box[2], vscale=size / box[3], kernel="linear")
    return (picture.fliphor() if flipped else picture).numpy()


# ---------------------------------------------------------------- torchvision in torch's DataLoader


def torchvision_pillow(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
    """What ImageFolder, RandomResizedCrop and RandomHorizontalFlip do once the numbers are drawn."""
    from torchvision.datasets.folder import pil_loader
    from torchvision.transforms.v2 import functional

    x, y, width, height = box
    picture = functional.resized_crop(pil_loader(path), y, x, height, width, [size, size])
    return np.array(functional.horizontal_flip(picture) if flipped else picture)


def torchvision_tensors(path: str, box: Sequence[int], flipped: bool, size: int) -> Any:
    """The same with torchvision's own decoder, on tensors."""
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms.v2 import functional

    x, y, width, height = box
    picture = functional.resized_crop(decode_image(path, ImageReadMode.RGB), y, x, height, width, [size, size])
    return (functional.horizontal_flip(picture) if flipped else picture).permute(1, 2, 0)


def in_a_data_loader(make: Make | None, plan: Plan, batch_size: int, size: int) -> Iterator[np.ndarray]:
    """None: Pillow, as in bench/whole.py."""
    import peers_torch

    loader = peers_torch.PlannedLoader(plan, workers=1, batch_size=batch_size, size=size, make=make or peers_torch.pillow)
    for epoch in itertools.cycle(range(len(plan.index))):
        for images, _ in loader.batches(epoch):
            yield images.numpy()


# ---------------------------------------------------------------- libraries with pipelines of their own


def spdl(plan: Plan, batch_size: int, size: int) -> Iterator[np.ndarray]:
    """FFmpeg decodes, crops, scales and mirrors; the frames of a batch become one array."""
    import spdl.io
    from spdl.pipeline import PipelineBuilder

    def decode(job: tuple[str, list[int], bool]) -> Any:
        path, (x, y, width, height), flipped = job
        steps = [f"crop={width}:{height}:{x}:{y}:exact=1", f"scale={size}:{size}:flags=bilinear", *(["hflip"] if flipped else [])]
        return spdl.io.decode_packets(spdl.io.demux_image(path), filter_desc=",".join([*steps, "format=pix_fmts=rgb24"]))

    def convert(frames: list[Any]) -> np.ndarray:
        return spdl.io.to_numpy(spdl.io.convert_frames(frames))

    builder = PipelineBuilder().add_source(jobs(plan)).pipe(decode, output_order="input").aggregate(batch_size).pipe(convert).add_sink(2)
    pipeline = builder.build(num_threads=1)
    with pipeline.auto_stop():
        yield from pipeline


def dali(plan: Plan, batch_size: int, size: int) -> Iterator[np.ndarray]:
    """Draws boxes of its own, with the same limits, and its own order."""
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=batch_size, num_threads=1, device_id=None, seed=1)
    def define() -> Any:
        files, _ = fn.readers.file(files=plan.paths.tolist(), random_shuffle=True)
        pictures = fn.decoders.image_random_crop(
            files, device="cpu", output_type=types.RGB, random_area=[0.08, 1.0], random_aspect_ratio=[0.75, 1.3333]
        )
        pictures = fn.resize(pictures, size=[size, size], interp_type=types.INTERP_LINEAR)
        return fn.flip(pictures, horizontal=fn.random.coin_flip())

    pipeline = define()
    pipeline.build()
    while True:
        yield pipeline.run()[0].as_array()


def tf_data(antialias: bool, plan: Plan, batch_size: int, size: int) -> Iterator[np.ndarray]:
    """antialias=False is the default of tf.image.resize, and less work than Pillow's resize."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    import tensorflow as tf

    def make(path: Any, box: Any, flipped: Any) -> Any:
        x, y, width, height = tf.unstack(box)
        picture = tf.image.decode_and_crop_jpeg(tf.io.read_file(path), tf.stack([y, x, height, width]), channels=3)
        picture = tf.image.resize(picture, (size, size), antialias=antialias)
        picture = tf.cond(flipped, lambda: tf.image.flip_left_right(picture), lambda: picture)
        return tf.saturate_cast(tf.round(picture), tf.uint8)

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    columns = (plan.paths[plan.index.ravel()], plan.box.reshape(-1, 4), plan.flipped.ravel().astype(bool))
    data = tf.data.Dataset.from_tensor_slices(columns).repeat().map(make, num_parallel_calls=1).batch(batch_size).prefetch(1)
    yield from data.with_options(options).as_numpy_iterator()


STREAMS: dict[str, Stream] = {
    "torch DataLoader, Pillow": partial(in_a_data_loader, None),
    "torch DataLoader, torchvision": partial(in_a_data_loader, torchvision_pillow),
    "torch DataLoader, torchvision on tensors": partial(in_a_data_loader, torchvision_tensors),
    "OpenCV, INTER_LINEAR": partial(in_a_loop, opencv),
    "OpenCV, INTER_AREA": partial(in_a_loop, opencv_area),
    "simplejpeg, OpenCV": partial(in_a_loop, simplejpeg),
    "PyTurboJPEG, OpenCV": partial(in_a_loop, pyturbojpeg),
    "pyvips": partial(in_a_loop, pyvips),
    "SPDL": spdl,
    "DALI on the CPU": dali,
    "tf.data": partial(tf_data, False),
    "tf.data, antialias": partial(tf_data, True),
}
