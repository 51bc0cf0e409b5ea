"""The sides of bench/pack.py: a Loader with one thread that cuts what it is told to, and other libraries that cut the same boxes."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cropring
import numpy as np
from PIL import Image

import common
from peers_crops import FULL_SIZE_PEERS, PEERS

Image.MAX_IMAGE_PIXELS = None  # which would take the largest pictures for bombs
BATCH_SIZE = 16


@dataclass(frozen=True)
class Cost:
    """Of each crop, on the average."""

    cpu_ms: float
    wall_ms: float
    read_kb: float


class Cutter:
    """Crops from a folder or a pack, of the samples that it is told, at random places that depend on its number of turns alone.

    Its worker does nothing between two turns, so that its CPU clock tells what a turn cost; what the reading process does is not counted.
    """

    def __init__(self, source: Path, **flags: object) -> None:
        chosen: dict[str, object] = {"crop": "random", "hflip": 0, "batch_size": BATCH_SIZE, "slots": 3} | flags
        self.samples: Sequence[int] = ()
        self.loader = cropring.Loader(source, sampler=self, threads=1, seed=1, tail="partial", on_error="stop", **chosen)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        """The samples of the next turn."""
        return iter(self.samples)

    def batches(self, samples: Sequence[int]) -> Iterator[cropring.Batch]:
        self.samples = samples
        return iter(self.loader)

    def pixels(self, samples: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and images of a turn that is not measured."""
        boxes, images = zip(*((batch.box.copy(), batch.images.copy()) for batch in self.batches(samples)))
        return np.concatenate(boxes), np.concatenate(images)

    def cost(self, samples: Sequence[int]) -> tuple[Cost, np.ndarray]:
        """What a turn cost, and its boxes."""
        boxes = []
        before = self._spent()
        for batch in self.batches(samples):
            boxes.append(batch.box.copy())
        cpu_s, wall_s, read_bytes = (after - earlier for after, earlier in zip(self._spent(), before))
        return Cost(cpu_s * 1e3 / len(samples), wall_s * 1e3 / len(samples), read_bytes / 1e3 / len(samples)), np.concatenate(boxes)

    @property
    def pid(self) -> int:
        assert self.loader._worker is not None
        return self.loader._worker.process.pid

    def close(self) -> None:
        self.loader.close()

    def _spent(self) -> tuple[float, float, int]:
        """CPU seconds of the worker, wall clock, bytes that it read of images."""
        cpu_s = common.process_cpu_seconds(self.pid) if self.loader._worker else 0.0  # there is none before the first turn
        return cpu_s, time.monotonic(), self.loader.stats()["bytes_read"]


def peer_cost(name: str, path: Path, channels: int, boxes: Sequence[Sequence[int]]) -> Cost:
    """The same boxes by another library, each from the file anew, without resizing; what it read as the kernel counts it."""
    function = PEERS[name][0]
    read_bytes, cpu_s, wall_s = _bytes_read(), time.process_time(), time.monotonic()
    for box in boxes:
        function(path, channels, box, box[2])
    cpu_s, wall_s, read_bytes = time.process_time() - cpu_s, time.monotonic() - wall_s, _bytes_read() - read_bytes
    return Cost(cpu_s * 1e3 / len(boxes), wall_s * 1e3 / len(boxes), read_bytes / 1e3 / len(boxes))


def whole_decode_cost(path: Path, channels: int) -> Cost:
    """The whole picture, its file's bytes in memory: libjpeg-turbo by simplejpeg, libpng by Pillow."""
    file = path.read_bytes()
    if path.suffix == ".jpg":
        import simplejpeg

        height, width, *_ = simplejpeg.decode_jpeg_header(file)
        pixels = np.ones((height, width, channels), np.uint8)  # memory that has been touched
        cpu_s, wall_s = time.process_time(), time.monotonic()
        simplejpeg.decode_jpeg(file, "RGB" if channels == 3 else "GRAY", buffer=pixels)
    else:
        cpu_s, wall_s = time.process_time(), time.monotonic()
        Image.open(io.BytesIO(file)).load()
    return Cost((time.process_time() - cpu_s) * 1e3, (time.monotonic() - wall_s) * 1e3, len(file) / 1e3)


def check_pixels(loose: Cutter, packed: Cutter, samples: Sequence[int], path: Path, channels: int) -> None:
    """Not counted: the worker's first turn, in which all pixels are compared, some of them with Pillow's."""
    boxes, images = loose.pixels(samples)
    packed_boxes, packed_images = packed.pixels(samples)
    if not (np.array_equal(boxes, packed_boxes) and np.array_equal(images, packed_images)):
        raise RuntimeError(f"{path.name}: crops from the pack differ from those of the file")
    for box, image in list(zip(boxes.tolist(), images))[:2]:
        expected = PEERS["Pillow"][0](path, channels, box, box[2])
        if not np.array_equal(image.reshape(expected.shape), expected):
            raise RuntimeError(f"{path.name}: our pixels differ from Pillow's")
    for name in FULL_SIZE_PEERS[1:]:
        PEERS[name][0](path, channels, boxes[0].tolist(), int(boxes[0][2]))  # not counted: what a library does once


def _bytes_read() -> int:
    with open("/proc/self/io", encoding="ascii") as counters:
        return int(counters.readline().split()[1])  # rchar: read() and its like, from the disk or not
