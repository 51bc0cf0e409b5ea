"""Packs as docs/pack-format.md describes them, written without `cropring pack`: small ones, and such as it would never write."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_XXH = ctypes.CDLL("libxxhash.so.0")  # beside the header that cropring is built with


class _Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


_XXH.XXH3_64bits_withSeed.restype = ctypes.c_uint64
_XXH.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
_XXH.XXH3_128bits_withSeed.restype = _Hash128
_XXH.XXH3_128bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]

HEADER_BYTES, IMAGE_ALIGNMENT, NO_SHARD = 4096, 64, 0xFFFFFFFF
JPEG, PNG, BMP = 1, 2, 3
ID = bytes(range(16))


def xxh3(data: bytes, seed: int = 0) -> int:
    return int(_XXH.XXH3_64bits_withSeed(data, len(data), seed))


@dataclass
class Stored:
    """An image as it lies in a pack."""

    name: str | bytes
    file: bytes
    format: int = JPEG
    width_px: int = 0
    height_px: int = 0
    label: int = -1
    target: Stored | None = None
    checksum: int | None = None  # None: the right one
    shard: int = 0
    lies_with: Stored | None = None  # at the same place as an image before
    at: int = field(default=0, init=False)  # where it lies: write_pack() sets it

    def record(self) -> bytes:
        checksum = xxh3(self.file) if self.checksum is None else self.checksum
        return struct.pack("<IIBBBBIQ", self.width_px, self.height_px, self.format, 1 if self.format else 0, 3, 8, 0, checksum)


def _header(file_bytes: int, *, index: tuple[int, int] = (0, 0), shard_count: int = 0, shard_number: int = NO_SHARD, original_bytes: int = 0) -> bytes:
    head = struct.pack("<8s16sIIQQQQII", b"croppck1", ID, shard_count, shard_number, file_bytes, *index, original_bytes, 0, 0)
    return (head + struct.pack("<Q", xxh3(head))).ljust(HEADER_BYTES, b"\0")


def _place(images: Sequence[Stored]) -> bytes:
    """The images one behind the other, as they follow the header; each is told where it lies."""
    body = bytearray()
    for image in images:
        if image.lies_with:
            image.at = image.lies_with.at
            continue
        body += bytes(-len(body) % IMAGE_ALIGNMENT)
        image.at = HEADER_BYTES + len(body)
        body += image.file
    return bytes(body) + bytes(-len(body) % 8)


def _column(values: bytes) -> bytes:
    return values + bytes(-len(values) % 8)


def _index(samples: Sequence[Stored], classes: Sequence[str], root: str, shards: bool) -> bytes:
    text = bytearray()

    def add(name: str | bytes) -> int:
        text.extend((name if isinstance(name, bytes) else name.encode()) + b"\0")
        return len(text) - len(name if isinstance(name, bytes) else name.encode()) - 1

    class_offsets = b"".join(struct.pack("<Q", add(name)) for name in classes)
    targets = [sample.target for sample in samples if sample.target]
    numbers: dict[int, list[int]] = {0: [add(sample.name) for sample in samples]}
    numbers |= {2: [sample.at for sample in samples], 3: [len(sample.file) for sample in samples]}
    if targets:
        numbers |= {6: [add(target.name) for target in targets], 7: [target.at for target in targets], 8: [len(target.file) for target in targets]}
    if shards:
        numbers[12] = [sample.shard for sample in samples]
    columns = {number: b"".join(struct.pack("<Q", value) for value in values) for number, values in numbers.items()}
    columns[1] = b"".join(struct.pack("<q", sample.label) for sample in samples)
    columns[10] = b"".join(sample.record() for sample in samples)
    if targets:
        columns[11] = b"".join(target.record() for target in targets)
    mask = sum(1 << number for number in columns)
    root_at = add(root)
    covered = b"".join(_column(columns[number]) for number in sorted(columns)) + class_offsets + bytes(text[:root_at])
    seed = xxh3(struct.pack("<QQQ", mask, len(samples), len(classes)))
    hashed = _XXH.XXH3_128bits_withSeed(covered, len(covered), seed)
    fingerprint = struct.pack(">QQ", hashed.high, hashed.low)
    head = struct.pack("<8sII5Q16s56x", b"cropidx1", mask, 0, len(samples), len(classes), len(text), root_at, 0, fingerprint)
    return head + covered + bytes(text[root_at:])


def write_pack(path: Path, samples: Sequence[Stored], *, classes: Sequence[str] = (), root: str = "photos", shard_count: int = 0) -> Path:
    """Writes the pack, and its shards beside it: images and targets in the order of the samples, each as often as it is named."""
    stored = [image for sample in samples for image in (sample, *([sample.target] if sample.target else []))]
    body = b""
    if shard_count:
        for number in range(shard_count):
            lying = _place([image for image in stored if image.shard == number])
            shard = path.with_name(f"{path.stem}-{number:05}.shard")
            shard.write_bytes(_header(HEADER_BYTES + len(lying), shard_count=shard_count, shard_number=number) + lying)
    else:
        body = _place(stored)
    index = _index(samples, classes, root, bool(shard_count))
    at = HEADER_BYTES + len(body)
    header = _header(at + len(index), index=(at, len(index)), shard_count=shard_count, original_bytes=sum(len(image.file) for image in stored))
    path.write_bytes(header + body + index)
    return path
