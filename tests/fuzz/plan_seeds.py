"""The fuzzers' seeds that are no pictures: what the plan stage reads, requests on their way, and the shell's lists."""

from __future__ import annotations

import io
import struct
import tarfile

import numpy as np


def pieces() -> dict[str, bytes]:
    """Of requests on their way: bytes of the whole, where the piece begins, its bytes."""
    ways = {
        "whole": (100, 0, 100, 1, 0, 1),
        "in_three": (300, 0, 100, 300, 100, 100, 300, 200, 100),
        "begun_anew": (300, 0, 100, 300, 100, 100, 50, 0, 20, 50, 20, 30),
        "largest": (65000, 0, 64512, 65000, 64512, 488),
    }
    return {name: struct.pack(f"<{len(words)}H", *words) for name, words in ways.items()}


def requests() -> dict[str, bytes]:
    """As loader/plan/request.h has them."""
    no_path, usual = 2**32 - 1, 2**32 - 1

    def request(rows: list[bytes], text: bytes = b"") -> bytes:
        return struct.pack("<8sIIQQ", b"cropreq1", len(rows), 7, 99, len(text)) + b"".join(rows) + text

    def row(sample: int, path_at: int, rule: int, numbers: bytes = bytes(16)) -> bytes:
        return struct.pack("<QQqII", sample, 11, -1, path_at, rule) + numbers

    return {
        "nothing": request([]),
        "samples": request([row(5, no_path, usual), row(2**64 - 1, no_path, 0), row(6, no_path, 1), row(7, no_path, 2)]),
        "boxes": request([row(0, no_path, 4, struct.pack("<4i", *box)) for box in ((1, 2, 3, 4), (-1, 0, 5, 5), (0, 0, 2**31 - 1, 9))]),
        "paths": request([row(0, 0, 3), row(1, 6, 5, struct.pack("<3fI", 0.5, 1, 0.25, 0))], b"a.jpg\0b/c.png\0"),
    }


def archive(form: int, members: dict[str, bytes], **headers: object) -> bytes:
    """A tar archive, its end without the zeros that fill it up to 10 KB."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=headers.pop("shared", None)) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in headers.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue().rstrip(b"\0") + bytes(1024)


def archives() -> dict[str, bytes]:
    ustar, gnu, pax = tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT
    pair, deep = {"0001.jpg": b"\xff\xd8", "0001.cls": b"7"}, "folder/" * 15
    return {
        "ustar": archive(ustar, pair | {"0002.cls": b"cat\n", "0002.PNG": b"\x89PNG", "readme": b""}),
        "ustar_prefix": archive(ustar, {deep + "0001.jpg": b"1", deep + "0001.json": b'{"label": 3}'}),
        "gnu": archive(gnu, pair),
        "gnu_long_name": archive(gnu, {"n" * 120 + ".jpg": b"1", "n" * 120 + ".json": b'{"cls": "cat"}'}),
        "gnu_large_number": archive(gnu, pair, mtime=1 << 40),
        "pax": archive(pax, pair),
        "pax_long_name": archive(pax, {deep + "ä.jpg": b"1", deep + "ä.cls": b"-1"}),
        "pax_size": archive(pax, pair, pax_headers={"size": "2", "path": "./0003.jpg"}),
        "pax_shared": archive(pax, pair, shared={"comment": "for all", "path": "0004.jpg"}),
        "pax_sparse": archive(pax, pair, pax_headers={"GNU.sparse.major": "1"}),
        "folder": archive(ustar, {"folder": b""}, type=tarfile.DIRTYPE)[:512] + archive(ustar, {"folder/1.jpg": b"1"}),
        "link": archive(ustar, {"1.jpg": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "sparse": archive(gnu, {"1.jpg": b""}, type=tarfile.GNUTYPE_SPARSE),
        "target": archive(ustar, {"1.jpg": b"image", "1.seg.png": b"target", "1.left.jpg": b"another"}),
        "no_end": archive(ustar, pair)[:-1024],
    }


def column(form: str, *values: float) -> bytes:
    return struct.pack(f"<{len(values)}{form}", *values) + bytes(-struct.calcsize(f"<{len(values)}{form}") % 8)


def index(columns: dict[int, bytes], classes: tuple[int, ...], text: bytes, stamps: bytes = b"") -> bytes:
    """An index of two samples."""
    bits = sum(1 << number for number in columns)
    counts = (2, len(classes), len(text) + 5, len(text), len(stamps))
    header = struct.pack("<8sII5Q", b"cropidx1", bits, 0, *counts) + bytes(72)
    return header + b"".join(columns[number] for number in sorted(columns)) + column("Q", *classes) + text + b"root\0" + stamps


def indexes() -> dict[str, bytes]:
    """Index files as loader/plan/index/index_layout.h and index_stamp.c lay them out; their checksums are the fuzzer's matter."""
    stamp = struct.pack("<QQqq", 7, 0, 1_700_000_000_000_000_000, 1_700_000_000_000_000_000)
    stamps = bytes(8) + struct.pack("<QII", 1, 1, 0) + b"folder\n/root\n\n\0/links\0" + stamp + b"\0" + stamp + b"a\0"
    paths, labels = column("Q", 4, 12), column("q", 0, 1)
    text = b"a\0b\0a/1.jpg\0b/2.jpg\0"
    return {
        "classes": index({0: paths, 1: labels}, (0, 2), text, stamps),
        "flat": index({0: column("Q", 0, 6), 1: column("q", -1, -1)}, (), b"1.jpg\0" + b"2.jpg\0"),
        "tar": index({0: column("Q", 0, 0), 1: labels, 2: column("Q", 512, 2048), 3: column("Q", 700, 900)}, (), b"x.tar\0"),
        "boxes": index({0: paths, 1: labels, 4: column("i", 0, 0, 5, 5, 1, 2, 3, 4)}, (0, 2), text),
        "windows": index({0: paths, 1: labels, 5: column("f", 0, 0.5, 1, 0.25, 0, 1), 9: column("d", 0, 2.5)}, (0, 2), text),
        "targets": index({0: paths, 1: labels, 6: column("Q", 12, 4), 7: column("Q", 0, 9), 8: column("Q", 8, 7)}, (0, 2), text),
    }


def segment_table(kind: int, unit: int, mcu_px: tuple[int, int], lengths: list[int], form: str = "H") -> bytes:
    """As loader/segment_table.h has it, for an image whose header is its first 20 bytes and bytes 30 to 40, and whose data begin at 40."""
    header = struct.pack("<4sBBBB5I2HII", b"segt", 1, kind, struct.calcsize(form), 0, 20, 30, 10, 40, unit, *mcu_px, len(lengths), 0)
    groups = [lengths[first : first + 32] for first in range(0, len(lengths), 32)]
    starts = [sum(lengths[:first]) for first in range(0, len(lengths), 32)]
    return header + b"".join(struct.pack(f"<I32{form}H", start, *group, *[0] * (32 - len(group)), 0) for start, group in zip(starts, groups, strict=True))


def packs() -> dict[str, bytes]:
    """The header of a pack, and what follows from byte 4096 on (loader/plan/pack/pack_layout.h): two images of 1000 bytes each."""

    def picture(width: int, height: int, kind: int, table: bytes, channels: int = 3, bits: int = 8) -> bytes:
        return struct.pack("<IIBBBBIQ", width, height, kind, 1, channels, bits, len(table), 0)

    def pack(tables: tuple[bytes, bytes], pictures: bytes, more: dict[int, bytes] | None = None, shards: int = 0) -> bytes:
        body, offsets = b"", []
        for table in tables:
            body += bytes(-len(body) % 64)
            offsets.append(4096 + len(body))
            body += bytes(1000) + table
        body += bytes(-len(body) % 8)
        columns = {0: column("Q", 4, 12), 1: column("q", 0, 1), 2: column("Q", *offsets), 3: column("Q", 1000, 1000), 10: pictures}
        header = struct.pack("<8s16sIIQQQQIIQ", b"croppck1", b"", shards, 0xFFFFFFFF, 0, 4096 + len(body), 0, 0, 0, 0, 0)
        return header + body + index(columns | (more or {}), (0, 2), b"a\0b\0a/1.jpg\0b/2.jpg\0")

    jpeg = segment_table(1, 2, (8, 8), [30] * 30)
    long = segment_table(1, 1, (16, 16), [9] * 100, "I")
    png = segment_table(2, 8, (0, 0), [100] * 9)
    backwards = segment_table(1, 1, (16, 16), [9] * 64)
    group = len(backwards) // 2 + 20  # the second of two
    backwards = backwards[:group] + bytes(4) + backwards[group + 4 :]
    targets = {6: column("Q", 12, 4), 7: column("Q", 4096, 4096), 8: column("Q", 1000, 1000)}
    return {
        "jpeg": pack((jpeg, long), picture(80, 48, 1, jpeg, 1) + picture(160, 160, 1, long)),
        "backwards": pack((backwards, b""), picture(128, 128, 1, backwards) + picture(9, 9, 3, b"")),
        "png": pack((png, b""), picture(30, 70, 2, png, 4, 16) + picture(9, 9, 3, b"")),
        "targets": pack((png, jpeg), picture(30, 70, 2, png) + picture(80, 48, 1, jpeg), targets | {11: picture(30, 70, 2, png) * 2}),
        "shards": pack((jpeg, b""), picture(80, 48, 1, jpeg) * 2, {12: column("Q", 0, 1)}, 2),
    }


def manifests() -> dict[str, bytes]:
    """Each column in each format, and each way to write a cell."""
    rows = ["path,label,note", "a.jpg,cat,", '"b, c.jpg",dog,"say ""hi""', 'twice"', "./d.jpg,,x"]
    box = "file_name,x,y,width,height,weight\r\na.jpg,0,1,2147483647,3,0.5\r\nb.jpg,4,5,6,7,0"
    window = "scale\tpath\ty\tx\tlabel\n0.25\t/data/a.jpg\t0\t1e-3\t7\n1\t/home/data/b.jpg\t1\t.5\t-3\n"
    places = "path,offset,length,target\na.bin,0,10,m/a.png\na.bin,10,9223372036854775797,m/b.png\n"
    return {
        "manifest_csv/labels": "\ufeff".encode() + "\n".join(rows).encode() + b"\n",
        "manifest_csv/boxes": box.encode(),
        "manifest_csv/windows": window.encode(),
        "manifest_csv/places": places.encode(),
        "manifest_jsonl/labels": b'{"path": "a.jpg", "label": "cat", "objects": {"x": [[1, 2]]}}\n\n{"label": 7, "path": "b\\u00e4.jpg"}\n',
        "manifest_jsonl/boxes": b'{"file_name":"a.jpg","x":0,"y":1,"width":2147483647,"height":3,"weight":0.5}\r\n'
        b'{"weight":1,"height":4,"width":3,"y":2,"x":1,"file_name":"b.jpg"}',
        "manifest_jsonl/windows": b'{"scale": 1e-1, "x": 0, "y": 1.0, "path": "/data/a.jpg", "label": null}\n',
        "manifest_jsonl/places": b'{"path": "a.bin", "offset": 0, "length": 10, "target": "m/a.png"}\n'
        b'{"path": "a.bin", "offset": 10, "length": 9223372036854775797, "target": "m/b.png"}\n',
    }


# Standard input of `cropring crop`.
CROP_LISTS = {
    "paths": b"a.jpg\nb/c d.png\n/e.bmp",
    "windows": b"a.jpg\t0.5\t0\t1\nb.png\t\t1e-3\t\nc.bmp\t\t\t\n",
    "wrong": b"a.jpg\t1.5\t0\t1\n\tb\n",
    "nul": b"a\tb.jpg\0c\nd.png\0",
}


def arrays() -> dict[str, bytes]:
    """.npy files: of numbers that can be weights, and others."""
    files = {}
    for name in ("<f8", "<f4", "<i8", "<i4", "<i2", "|i1", "<u8", "<u2", "|u1", "|b1", ">f8", "<f2"):
        out = io.BytesIO()
        np.save(out, np.arange(5).astype(name))
        files[name[1:] + ("_big" if name[0] == ">" else "")] = out.getvalue()
    for version in ((2, 0), (3, 0)):
        out = io.BytesIO()
        np.lib.format.write_array(out, np.ones(3), version=version)
        files[f"version_{version[0]}"] = out.getvalue()
    out = io.BytesIO()
    np.save(out, np.ones((2, 2)))
    return files | {"square": out.getvalue(), "other_order": b"\x93NUMPY\1\0\x34\0{\"shape\":(1,),\"fortran_order\":True,\"descr\":\"|u1\"}  \n\7"}


def all_seeds() -> dict[str, bytes]:
    """By their paths below tests/fuzz/seeds."""
    folders = {"request": requests(), "pieces": pieces(), "tar": archives(), "index": indexes(), "pack": packs(), "npy": arrays(), "crop_list": CROP_LISTS}
    return manifests() | {f"{folder}/{name}": content for folder, seeds in folders.items() for name, content in seeds.items()}
