"""Files with restart markers: what a later visit reads of them, and what it does when they have changed or are damaged."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cropring
from cropring import Status

Make = Callable[..., cropring.Cropper]
SIZE = (1500, 1400)
LOW = (700, 1300, 64, 64)
HIGH = (100, 200, 64, 64)


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8))


def encode(image: Image.Image, **how: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **({"quality": 50} | how))
    return out.getvalue()


def expected(content: bytes, box: tuple[int, int, int, int]) -> np.ndarray:
    left, top, width, height = box
    image = Image.open(io.BytesIO(content)).convert("RGB").crop((left, top, left + width, top + height))
    return np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))


def read(crop: cropring.Cropper, path: Path, box: tuple[int, int, int, int]) -> tuple[np.ndarray, int]:
    """The pixels of a box, and how many bytes of the file were read for them."""
    before = crop.stats()["bytes_read"]
    batch = crop(path, box=[box])
    assert batch.status[0] == Status.OK
    return np.array(batch.images[0]), crop.stats()["bytes_read"] - before


@pytest.mark.parametrize("how", [{"restart_marker_blocks": 10}, {"restart_marker_blocks": 7}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("io", ["uring", "pread"])
def test_a_later_visit_reads_only_what_it_needs(cropper: Make, tmp_path: Path, how: dict[str, int], io: str) -> None:
    path, content = tmp_path / "a.jpg", encode(noise(1), **how)
    path.write_bytes(content)
    crop = cropper(io=io)
    pixels, byte_count = read(crop, path, LOW)
    assert byte_count == len(content)
    np.testing.assert_array_equal(pixels, expected(content, LOW))
    for box in (HIGH, LOW):
        pixels, byte_count = read(crop, path, box)
        assert byte_count < len(content) / (8 if "restart_marker_rows" in how else 50)
        np.testing.assert_array_equal(pixels, expected(content, box))


def test_a_file_that_was_written_again_is_read_anew(cropper: Make, tmp_path: Path) -> None:
    path, crop = tmp_path / "a.jpg", cropper()
    for seed in range(4):
        content = encode(noise(seed), restart_marker_blocks=10)
        path.write_bytes(content)
        for box in (LOW, HIGH):
            np.testing.assert_array_equal(read(crop, path, box)[0], expected(content, box))


def test_damage_that_a_later_visit_meets_is_told_as_that_of_the_whole_file(cropper: Make, tmp_path: Path) -> None:
    path, content = tmp_path / "a.jpg", bytearray(encode(noise(1), restart_marker_blocks=10))
    for at in range(len(content) * 9 // 10, len(content) * 9 // 10 + 20000):  # where LOW is
        if 0xFF not in content[at - 1 : at + 1]:
            content[at] = 0xFE
    path.write_bytes(content)
    crop = cropper()
    np.testing.assert_array_equal(read(crop, path, (100, 1000, 64, 64))[0], expected(bytes(content), (100, 1000, 64, 64)))
    assert read(crop, path, HIGH)[1] < len(content) / 50
    for _ in range(2):
        before = crop.stats()["bytes_read"]
        with pytest.raises(cropring.BadSample):
            crop(path, box=[LOW])
        assert crop.stats()["bytes_read"] - before > len(content)


def test_damage_beside_the_region_is_told_of_however_often_the_file_was_visited(cropper: Make, tmp_path: Path) -> None:
    """Near the top all columns are gone through, on a later visit as on the first one."""
    path, content = tmp_path / "a.jpg", bytearray(encode(noise(1), restart_marker_blocks=10, quality=20))
    begin = content.index(b"\xff\xd3") + 2
    end = content.index(b"\xff\xd4")
    for at in range(begin, end):  # in the first row, but right of the region
        if 0xFF not in content[at - 1 : at + 1]:
            content[at] = 0xFE
    path.write_bytes(content)
    top, crop = (0, 0, 16, 16), cropper()
    with pytest.raises(cropring.BadSample):
        crop(path, box=[top])
    np.testing.assert_array_equal(read(crop, path, LOW)[0], expected(bytes(content), LOW))
    assert read(crop, path, LOW)[1] < len(content) / 50
    with pytest.raises(cropring.BadSample):
        crop(path, box=[top])
