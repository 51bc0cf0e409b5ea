"""The list of samples as a reader maps it: what is not sealed, or not as long as it says, is refused before anything is read from it."""

from __future__ import annotations

import fcntl
import os
import struct

import pytest

from cropring import LayoutMismatch
from cropring.dataset import Dataset

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
TEXT = b"cat\0cat/1.jpg\0cat/2.jpg\0photos\0"


def header(columns: int = 3, samples: int = 2, classes: int = 1, text: int = len(TEXT), root_at: int = 24, stamps: int = 0) -> bytes:
    return struct.pack("<8sII5Q72x", b"cropidx1", columns, 0, samples, classes, text, root_at, stamps)


def index(head: bytes, text: bytes = TEXT) -> bytes:
    return head + struct.pack("<2Q2qQ", 4, 14, 0, 0, 0) + text


def opened(content: bytes, seals: int = SEALS) -> Dataset:
    fd = os.memfd_create("index", os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, content)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        return Dataset(fd)
    finally:
        os.close(fd)


def test_an_index_is_read() -> None:
    dataset = opened(index(header()))
    assert (dataset.root, dataset.classes, list(dataset.paths)) == ("photos", ["cat"], ["photos/cat/1.jpg", "photos/cat/2.jpg"])
    assert dataset.samples[1] == ("photos/cat/2.jpg", 0)


@pytest.mark.parametrize("missing", [fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_WRITE])
def test_what_may_still_change_is_refused(missing: int) -> None:
    with pytest.raises(LayoutMismatch, match="not sealed"):
        opened(index(header()), SEALS & ~missing)


def test_a_file_is_refused(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "index")
    with open(path, "w+b") as file:
        file.write(index(header()))
        file.flush()
        with pytest.raises(LayoutMismatch, match="not sealed"):
            Dataset(file.fileno())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"cropidx1",
        b"cropidx2" + index(header())[8:],
        index(header(columns=2)),
        index(header(columns=1 << 10 | 3)),
        index(header(samples=1)),
        index(header(samples=2**60 + 2)),
        index(header(classes=2**61 + 1)),
        index(header(classes=2**64 - 1)),
        index(header(text=len(TEXT) + 1)),
        index(header(text=2**64 - 1)),
        index(header(root_at=len(TEXT))),
        index(header(stamps=1)),
        index(header(), TEXT[:-1] + b"x"),
        index(header())[:-1],
        index(header()) + b"\0",
    ],
)
def test_what_is_not_as_long_as_it_says_is_refused(content: bytes) -> None:
    with pytest.raises(LayoutMismatch, match="another layout"):
        opened(content)
