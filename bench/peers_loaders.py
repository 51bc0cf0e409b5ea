"""RandomResizedCrop by loaders, for bench/peers.py and bench/neighbour.py: each as its documentation recommends it.

A stream takes what is asked for (work.py) and gives batches without end, (batch_size, size, size, 3) uint8: in the plan's order and with
its boxes, unless peers_list.py says otherwise. Imports stand inside: a library that is not there says so when it is asked for.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peers_decoders import jobs, pillow
from work import Work

SHARDS = 8
BUFFERED_BATCHES = 2  # ahead of the reader, where a library asks for it: what torch's DataLoader has for each worker


def blank(work: Work) -> Iterator[np.ndarray]:
    """No loader at all: what the measuring itself costs."""
    batch = np.zeros((work.batch_size, work.size, work.size, 3), np.uint8)
    while True:
        yield batch


# ---------------------------------------------------------------- ours


def cropring_numpy(work: Work) -> Iterator[np.ndarray]:
    yield from _cropring(work.folder, work)


def cropring_few_slots(work: Work) -> Iterator[np.ndarray]:
    """As few batches in memory as the peers have; the default is up to 16."""
    yield from _cropring(work.folder, work, slots=2 + BUFFERED_BATCHES)


def cropring_pack(work: Work) -> Iterator[np.ndarray]:
    yield from _cropring(f"{work.converted}/set.pack", work)


def _cropring(source: str, work: Work, **more: Any) -> Iterator[np.ndarray]:
    import cropring

    with cropring.Loader(source, **work.loader_arguments(), **more) as loader:
        while True:
            for batch in loader:
                yield batch.images


def cropring_torch(work: Work) -> Iterator[np.ndarray]:
    import cropring.torch

    with cropring.torch.Loader(work.folder, **work.loader_arguments()) as loader:
        while True:
            images: Any
            for images, _ in loader:
                yield images.permute(0, 2, 3, 1).numpy()  # channels last they lie in memory


# ---------------------------------------------------------------- torch's DataLoader


def data_loader_pillow(work: Work) -> Iterator[np.ndarray]:
    yield from _data_loader(pillow, work)


def data_loader_torchvision(work: Work) -> Iterator[np.ndarray]:
    """What ImageFolder, RandomResizedCrop and RandomHorizontalFlip do once the numbers are drawn."""
    from torchvision_cpu import torchvision

    functional, open_picture = torchvision.transforms.v2.functional, torchvision.datasets.folder.pil_loader

    def make(path: str, box: Sequence[int], flipped: bool, size: int) -> np.ndarray:
        x, y, width, height = box
        picture = functional.resized_crop(open_picture(path), y, x, height, width, [size, size])
        return np.array(functional.horizontal_flip(picture) if flipped else picture)

    yield from _data_loader(make, work)


def data_loader_torchvision_tensors(work: Work) -> Iterator[np.ndarray]:
    """The same on tensors, channels first as they are there."""
    from torchvision_cpu import torchvision

    functional, open_picture = torchvision.transforms.v2.functional, torchvision.datasets.folder.pil_loader

    def make(path: str, box: Sequence[int], flipped: bool, size: int) -> Any:
        x, y, width, height = box
        picture = functional.resized_crop(functional.pil_to_tensor(open_picture(path)), y, x, height, width, [size, size])
        return functional.horizontal_flip(picture) if flipped else picture

    for images in _data_loader(make, work):
        yield images.transpose(0, 2, 3, 1)


def _data_loader(make: Callable[..., Any], work: Work) -> Iterator[np.ndarray]:
    from peers_torch import PlannedLoader

    plan = work.plan()
    loader = PlannedLoader(
        plan, workers=work.parallel, batch_size=work.batch_size, size=work.size, make=make, worker_init_fn=work.step_back
    )
    for epoch in itertools.cycle(range(len(plan.index))):
        for images, _ in loader.batches(epoch):
            yield images.numpy()


# ---------------------------------------------------------------- WebDataset


def write_shards(work: Work) -> None:
    """The files as they are, spread over tar files as `tar` would have written them."""
    import tarfile

    plan = work.plan()
    order = np.random.default_rng(work.seed).permutation(len(plan.paths))  # its documentation: shuffle before writing
    for shard, samples in enumerate(np.array_split(order, SHARDS)):
        with tarfile.open(f"{work.converted}/set-{shard:04}.tar", "w") as tar:
            for sample in samples.tolist():
                tar.add(plan.paths[sample], f"{sample:08}.jpg")
                label = str(plan.labels[sample]).encode()
                member = tarfile.TarInfo(f"{sample:08}.cls")
                member.size = len(label)
                tar.addfile(member, io.BytesIO(label))


def webdataset(work: Work) -> Iterator[np.ndarray]:
    """Shuffles shards, and samples in a buffer; each sample has the box of the plan's first epoch."""
    import webdataset as wds
    from PIL import Image

    plan = work.plan()
    places = {sample: place for place, sample in enumerate(plan.index[0].tolist())}
    boxes, flipped = plan.box[0].tolist(), plan.flipped[0].tolist()

    def make(sample: dict[str, Any]) -> tuple[np.ndarray, int]:
        place = places[int(sample["__key__"])]
        x, y, width, height = boxes[place]
        picture = sample["jpg"].crop((x, y, x + width, y + height)).resize((work.size, work.size), Image.Resampling.BILINEAR)
        return np.array(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped[place] else picture), sample["cls"]

    shards = [f"{work.converted}/set-{shard:04}.tar" for shard in range(SHARDS)]
    data = wds.WebDataset(shards, shardshuffle=SHARDS, seed=work.seed).shuffle(1000).decode("pil").map(make).batched(work.batch_size)
    loader = wds.WebLoader(
        data.repeat(), batch_size=None, num_workers=work.parallel, multiprocessing_context="fork", worker_init_fn=work.step_back
    )
    for images, _ in loader:
        yield images.numpy()


# ---------------------------------------------------------------- SPDL


class _Jobs:
    """All jobs of a plan, again and again; picklable."""

    def __init__(self, work: Work) -> None:
        self.jobs = jobs(work.plan())

    def __iter__(self) -> Iterator[tuple[str, list[int], bool]]:
        return itertools.cycle(self.jobs)


class _SpdlDecode:
    """FFmpeg decodes, crops, scales and mirrors."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, job: tuple[str, list[int], bool]) -> Any:
        import spdl.io

        path, (x, y, width, height), flipped = job
        size = self.size
        steps = [f"crop={width}:{height}:{x}:{y}:exact=1", f"scale={size}:{size}:flags=bilinear", *(["hflip"] if flipped else [])]
        return spdl.io.decode_packets(spdl.io.demux_image(path), filter_desc=",".join([*steps, "format=pix_fmts=rgb24"]))


def _spdl_convert(frames: list[Any]) -> np.ndarray:
    """The frames of a batch become one array."""
    import spdl.io

    return np.asarray(spdl.io.to_numpy(spdl.io.convert_frames(frames)))


def _spdl_builder(work: Work) -> Any:
    from spdl.pipeline import PipelineBuilder

    decode = _SpdlDecode(work.size)
    builder = PipelineBuilder().add_source(_Jobs(work)).pipe(decode, concurrency=work.parallel, output_order="input")
    return builder.aggregate(work.batch_size).pipe(_spdl_convert).add_sink(BUFFERED_BATCHES)


def spdl(work: Work) -> Iterator[np.ndarray]:
    pipeline = _spdl_builder(work).build(num_threads=work.parallel)
    with pipeline.auto_stop():
        yield from pipeline


def spdl_subprocess(work: Work) -> Iterator[np.ndarray]:
    """The pipeline in a process of its own, with its pool of shared memory, which a reader sees without a copy."""
    from spdl.pipeline import SharedMemorySegmentPool, run_pipeline_in_subprocess

    segment_bytes = work.batch_size * work.size * work.size * 3 + 4096
    yield from run_pipeline_in_subprocess(
        _spdl_builder(work).get_config(),
        num_threads=work.parallel,
        initializer=work.step_back,
        arena=SharedMemorySegmentPool(segment_bytes, count=2 + BUFFERED_BATCHES),
    )


# ---------------------------------------------------------------- DALI


def dali(work: Work) -> Iterator[np.ndarray]:
    """Draws boxes of its own, with the same limits, and its own order."""
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=work.batch_size, num_threads=work.parallel, device_id=None, seed=1)
    def define() -> Any:
        files, _ = fn.readers.file(files=work.plan().paths.tolist(), random_shuffle=True)
        pictures = fn.decoders.image_random_crop(
            files, device="cpu", output_type=types.RGB, random_area=[0.08, 1.0], random_aspect_ratio=[0.75, 1.3333]
        )
        pictures = fn.resize(pictures, size=[work.size, work.size], interp_type=types.INTERP_LINEAR)
        return fn.flip(pictures, horizontal=fn.random.coin_flip())

    pipeline = define()
    pipeline.build()
    while True:
        yield pipeline.run()[0].as_array()


# ---------------------------------------------------------------- tf.data


def tf_data(work: Work) -> Iterator[np.ndarray]:
    yield from _tf_data(False, work)


def tf_data_antialias(work: Work) -> Iterator[np.ndarray]:
    yield from _tf_data(True, work)


def _tf_data(antialias: bool, work: Work) -> Iterator[np.ndarray]:
    """antialias=False is the default of tf.image.resize, and less work than Pillow's resize."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    import tensorflow as tf

    def make(path: Any, box: Any, flipped: Any) -> Any:
        x, y, width, height = tf.unstack(box)
        picture = tf.image.decode_and_crop_jpeg(tf.io.read_file(path), tf.stack([y, x, height, width]), channels=3)
        picture = tf.image.resize(picture, (work.size, work.size), antialias=antialias)
        picture = tf.cond(flipped, lambda: tf.image.flip_left_right(picture), lambda: picture)
        return tf.saturate_cast(tf.round(picture), tf.uint8)

    plan, parallel = work.plan(), work.parallel
    tf.config.threading.set_intra_op_parallelism_threads(parallel)
    tf.config.threading.set_inter_op_parallelism_threads(parallel)
    options = tf.data.Options()
    options.threading.private_threadpool_size = parallel
    options.threading.max_intra_op_parallelism = 1
    columns = (plan.paths[plan.index.ravel()], plan.box.reshape(-1, 4), plan.flipped.ravel().astype(bool))
    data = tf.data.Dataset.from_tensor_slices(columns).repeat().map(make, num_parallel_calls=parallel).batch(work.batch_size)
    yield from data.prefetch(BUFFERED_BATCHES).with_options(options).as_numpy_iterator()


# ---------------------------------------------------------------- FFCV


class _Pictures:
    """What FFCV's writer takes."""

    def __init__(self, work: Work) -> None:
        plan = work.plan()
        self.paths, self.labels = plan.paths.tolist(), plan.labels.tolist()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, sample: int) -> tuple[Any, int]:
        from PIL import Image

        return Image.open(self.paths[sample]).convert("RGB"), self.labels[sample]


def write_beton(work: Work) -> None:
    """FFCV compresses each picture again, as JPEGs of its own."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter

    fields = {"image": RGBImageField(write_mode="jpg"), "label": IntField()}
    DatasetWriter(f"{work.converted}/set.beton", fields, num_workers=1).from_indexed_dataset(_Pictures(work))


def ffcv(work: Work) -> Iterator[np.ndarray]:
    """Draws boxes of its own, with the same limits, and its own order."""
    from ffcv.fields.basics import IntDecoder
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip

    pipelines = {"image": [RandomResizedCropRGBImageDecoder((work.size, work.size)), RandomHorizontalFlip()], "label": [IntDecoder()]}
    loader = Loader(
        str(Path(work.converted) / "set.beton"), batch_size=work.batch_size, num_workers=work.parallel, order=OrderOption.RANDOM,
        os_cache=True, seed=work.seed, pipelines=pipelines,
    )  # fmt: skip
    while True:
        for images, _ in loader:
            yield images
