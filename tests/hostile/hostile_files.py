"""The hostile corpus: bombs, lies and wrecks, each with what may become of it.

    python tests/hostile/hostile_files.py FOLDER        # to look at them
"""

from __future__ import annotations

import io
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/kinds"))
import bmp_kinds  # noqa: E402
import kinds  # noqa: E402
import png_writer  # noqa: E402
from PIL import Image  # noqa: E402
from png_writer import chunk  # noqa: E402

PHOTO = ROOT / "tests/data/photos/animals/cat.jpg"
# Any answer but a picture; which one depends on where the decoder notices.
BAD = "truncated corrupt unsupported too_large not_an_image empty timeout"
ANY = "ok " + BAD
CUT_SHORT = "truncated corrupt not_an_image empty"


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    allowed: frozenset[str]  # names of loader/item_status.c


def cases(wrecks: int = 64) -> Iterator[Case]:
    """All of them; so many truncations, and so many files with flipped bits, of each of four good files."""
    for source in (jpegs, progressive_bombs, pngs, png_headers, bmps, others):
        for name, (data, allowed) in source().items():
            yield Case(name, data, frozenset(allowed.split()))
    yield from wrecked(wrecks)


def photo(width: int = 320, height: int = 200) -> Image.Image:
    return Image.open(PHOTO).convert("RGB").resize((width, height))


Cases = dict[str, tuple[bytes, str]]

# ---------------------------------------------------------------- JPEG


def frame(width: int, height: int, *, sof: int = 0xC0, precision: int = 8, components: tuple[tuple[int, int, int], ...] = ((1, 0x11, 0),)) -> bytes:
    fields = struct.pack(">BHHB", precision, height, width, len(components))
    return kinds.segment(sof, fields + b"".join(bytes(component) for component in components))


def scan(data: bytes, *, components: bytes = b"\1", tables: int = 0, first: int = 0, last: int = 63, bits: int = 0) -> bytes:
    chosen = b"".join(bytes([component, tables]) for component in components)
    return kinds.segment(0xDA, bytes([len(components)]) + chosen + bytes([first, last, bits])) + data


def huffman(table: int, *symbols: int) -> bytes:
    """Codes of one length, as many as fit: symbol i has code i."""
    length = max(1, len(symbols).bit_length())
    counts = bytes(len(symbols) if bits == length else 0 for bits in range(1, 17))
    return kinds.segment(0xC4, bytes([table]) + counts + bytes(symbols))


QUANTISERS = kinds.segment(0xDB, b"\0" + bytes([1] * 64))
TABLES = QUANTISERS + huffman(0x00, 0) + huffman(0x10, 0)  # every code is one zero bit: DC difference 0, and end of block
SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def jpegs() -> Cases:
    good = kinds.encode_jpeg(photo(), "ycc", quality=90, restart_rows=1)
    plain = kinds.encode_jpeg(photo(), "ycc", quality=90)
    scan_at, frame_at = plain.index(b"\xff\xda"), plain.index(b"\xff\xc0")
    restart = good.index(b"\xff\xd0")
    huffman_at = plain.index(b"\xff\xc4")
    ycc = ((1, 0x22, 0), (2, 0x11, 0), (3, 0x11, 0))
    arithmetic = kinds.encode_jpeg(Image.new("L", (64, 64), 90), "gray", arithmetic=1)
    flat = b"\0" * 1_000_000
    turned = kinds.segment(0xE1, kinds.exif(6))

    def of_size(file: bytes, width: int, height: int) -> bytes:
        at = next(i for i in range(len(file)) if file[i] == 0xFF and file[i + 1] in (0xC0, 0xC2, 0xC9, 0xCA))
        return file[: at + 5] + struct.pack(">HH", height, width) + file[at + 9 :]

    def repeated(segment: bytes, count: int) -> bytes:
        return plain[:2] + segment * count + plain[2:]

    return {
        "65500x65500.jpg": (of_size(plain, 65500, 65500), "too_large"),
        "65535x65535.jpg": (of_size(plain, 65535, 65535), "too_large unsupported"),
        "40000x6000_of_a_small_scan.jpg": (of_size(plain, 40000, 6000), "truncated corrupt too_large"),
        "65500x1.jpg": (of_size(plain, 65500, 1), ANY),
        "1x65500.jpg": (of_size(plain, 1, 65500), "truncated corrupt"),
        "height_0.jpg": (of_size(plain, 320, 0), "unsupported corrupt"),
        "width_0.jpg": (of_size(plain, 0, 200), "unsupported corrupt"),
        "flat_16000x16000.jpg": (SOI + TABLES + frame(16000, 16000) + scan(flat) + EOI, "ok"),
        "turned_flat_16000x16000.jpg": (SOI + turned + TABLES + frame(16000, 16000) + scan(flat) + EOI, "too_large"),
        "turned_flat_7000x7000.jpg": (SOI + turned + TABLES + frame(7000, 7000) + scan(flat) + EOI, "ok"),
        "arithmetic_8000x8000.jpg": (of_size(arithmetic, 8000, 8000), ANY),
        "arithmetic_16000x16000.jpg": (of_size(arithmetic, 16000, 16000), ANY),
        "12_bits.jpg": (plain[: frame_at + 4] + b"\x0c" + plain[frame_at + 5 :], "unsupported corrupt"),
        "lossless.jpg": (plain[: frame_at + 1] + b"\xc3" + plain[frame_at + 2 :], "unsupported"),
        "hierarchical.jpg": (plain[: frame_at + 1] + b"\xc5" + plain[frame_at + 2 :], "unsupported"),
        "two_components.jpg": (kinds.encode_jpeg(Image.merge("LA", photo().split()[:2]), "two"), "unsupported ok"),
        "ten_components.jpg": (SOI + TABLES + frame(64, 64, components=tuple((i, 0x11, 0) for i in range(10))) + scan(flat[:999]) + EOI, BAD),
        "no_components.jpg": (SOI + TABLES + frame(64, 64, components=()) + scan(flat[:999]) + EOI, BAD),
        "sampling_15x15.jpg": (SOI + TABLES + frame(64, 64, components=((1, 0xFF, 0),)) + scan(flat[:999]) + EOI, BAD),
        "sampling_0x0.jpg": (SOI + TABLES + frame(64, 64, components=((1, 0, 0),)) + scan(flat[:999]) + EOI, BAD),
        "sampling_4x4_thrice.jpg": (SOI + TABLES + frame(64, 64, components=tuple((i, 0x44, 0) for i in range(3))) + scan(flat, components=b"\0\1\2") + EOI, BAD),
        "no_tables.jpg": (SOI + frame(64, 64, components=ycc) + plain[scan_at:], BAD),
        "no_quantisers.jpg": (SOI + huffman(0, 0) + huffman(16, 0) + frame(64, 64) + scan(flat[:99]) + EOI, BAD),
        "no_huffman_codes.jpg": (SOI + QUANTISERS + frame(64, 64) + scan(flat[:99]) + EOI, ANY),  # libjpeg has standard ones
        "overfull_huffman_table.jpg": (plain[: huffman_at + 5] + b"\xff" * 16 + plain[huffman_at + 21 :], "corrupt"),
        "no_scan.jpg": (plain[:scan_at] + EOI, BAD),
        "no_frame.jpg": (plain[:frame_at] + plain[scan_at:], BAD),
        "two_frames.jpg": (plain[:scan_at] + plain[frame_at:], BAD),
        "two_starts.jpg": (SOI + plain, BAD),
        "start_and_end.jpg": (SOI + EOI, BAD),
        "start_only.jpg": (SOI + b"\xff", BAD),
        "ends_first.jpg": (SOI + EOI + plain[2:], BAD),
        "segment_of_length_0.jpg": (SOI + b"\xff\xe1\0\0" + plain[2:], ANY),
        "segment_past_the_end.jpg": (plain[:2] + b"\xff\xe1\xff\xff" + b"x" * 1000, "truncated corrupt"),
        "9000_comments.jpg": (repeated(kinds.segment(0xFE, b"no comment"), 9000), "ok"),
        "100_segments_of_64_KB.jpg": (repeated(kinds.segment(0xE7, b"\xff" * 65533), 100), "ok"),
        "4000_huffman_tables.jpg": (repeated(plain[huffman_at : huffman_at + 2 + int.from_bytes(plain[huffman_at + 2 : huffman_at + 4], "big")], 4000), "ok"),
        "5_MB_of_fill_bytes.jpg": (SOI + b"\xff" * 5_000_000 + plain[2:], ANY),
        "5_MB_between_segments.jpg": (plain[:scan_at] + b"\0" * 5_000_000 + plain[scan_at:], ANY),
        "5_MB_before_the_end.jpg": (plain[:-2] + b"\0" * 5_000_000 + EOI, "ok corrupt"),
        "restart_markers_only.jpg": (good[:restart] + b"\xff\xd0\xff\xd1" * 500_000 + EOI, "truncated corrupt"),
        "restart_out_of_order.jpg": (good[: restart + 1] + b"\xd5" + good[restart + 2 :], "corrupt"),
        "restart_missing.jpg": (good[:restart] + good[restart + 2 :], "corrupt truncated"),
        "restarts_every_mcu_said.jpg": (plain[:2] + b"\xff\xdd\0\4\0\1" + plain[2:], "corrupt truncated"),
        # No code is all ones, but libjpeg-turbo's fast path takes such for zeros without a word (jdhuff.h, HUFF_DECODE_FAST).
        "all_ones.jpg": (plain[: scan_at + 14] + b"\xff\0" * 60_000 + EOI, ANY),
        "gray_rest.jpg": (plain[: scan_at + 500] + EOI, "truncated corrupt"),
        "zip_behind.jpg": (plain + b"PK\3\4" + b"\0" * 5000, "ok"),
        "another_behind.jpg": (plain + plain, "ok"),
        "exif_that_points_to_itself.jpg": (repeated(kinds.segment(0xE1, exif_loop()), 20), "ok"),
        "exif_of_65535_entries.jpg": (repeated(kinds.segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1\x12\0\3" * 16000), 1), "ok"),
        "exif_past_its_end.jpg": (repeated(kinds.segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"), 1), "ok"),
    }


def exif_loop() -> bytes:
    """A directory of one entry, an EXIF pointer to the directory, followed by itself."""
    return b"Exif\0\0MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08"


def progressive_bombs() -> Cases:
    """Progressive scans cost a pass over all coefficients, however few bytes they have: one code ends 32767 blocks."""
    tables = QUANTISERS + huffman(0x00, 0) + huffman(0x10, 0xE0)

    def bomb(side_px: int, scan_count: int) -> bytes:
        blocks = (side_px // 8) ** 2
        dc = scan(b"\0" * (blocks // 8 + 1), last=0)
        run_bits = "0" + "1" * 14  # EOB run of 2 ** 14 + 2 ** 14 - 1 blocks
        bits = run_bits * (blocks // 32767 + 1)
        bits += "1" * (-len(bits) % 8)
        ac = scan(int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0"), first=1, last=63)
        return SOI + tables + frame(side_px, side_px, sof=0xC2) + dc + ac * scan_count + EOI

    return {
        "2000_scans_64x64.jpg": (kinds.encode_jpeg(photo(64, 64), "ycc", scans=2000), "unsupported"),
        "2000_scans_320x200.jpg": (kinds.encode_jpeg(photo(), "ycc", scans=2000), "unsupported"),
        "2000_scans_4000x4000.jpg": (bomb(4000, 2000), BAD),
        "2000_scans_11000x11000.jpg": (bomb(11000, 2000), BAD),
        "90_scans_4000x4000.jpg": (bomb(4000, 90), ANY),
        "90_scans_11000x11000.jpg": (bomb(11000, 90), ANY),
        "90_scans_16000x16000.jpg": (bomb(16000, 90), "too_large"),
        "2_scans_16000x16000.jpg": (bomb(16000, 1), "too_large"),
        "progressive_65500x4000.jpg": (SOI + tables + frame(65500, 4000, sof=0xC2) + scan(b"\0" * 99, last=0) + EOI, BAD),
        "scan_of_no_coefficients.jpg": (SOI + tables + frame(64, 64, sof=0xC2) + scan(b"\0" * 99, first=9, last=3) + EOI, BAD),
        "scan_of_impossible_bits.jpg": (SOI + tables + frame(64, 64, sof=0xC2) + scan(b"\0" * 99, last=0, bits=0xFE) + EOI, BAD),
        "refinement_of_nothing.jpg": (SOI + tables + frame(64, 64, sof=0xC2) + scan(b"\0" * 99, first=1, bits=0x10) + EOI, BAD),
    }


# ---------------------------------------------------------------- PNG


def png(width: int, height: int, depth: int = 8, colour: int = png_writer.GRAY, *, data: bytes = b"", before: bytes = b"", interlaced: bool = False) -> bytes:
    head = png_writer.SIGNATURE + png_writer.header(width, height, depth, colour, interlaced=interlaced)
    return head + before + chunk(b"IDAT", data) + chunk(b"IEND")


def zeros(byte_count: int) -> bytes:
    """So many zero bytes as a zlib stream a thousandth of that long, which zlib would take seconds to make."""
    pieces, rest = divmod(byte_count, 1 << 20)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)  # depends on nothing before it
    checksum = struct.pack(">I", byte_count % 65521 << 16 | 1)  # Adler-32 of zeros
    return b"\x78\xda" + piece * pieces + deflate.compress(bytes(rest)) + deflate.flush() + checksum


def photo_png(**options: object) -> bytes:
    file = io.BytesIO()
    photo().save(file, "PNG", **options)
    return file.getvalue()


def idat_of(file: bytes) -> bytes:
    at, data = len(png_writer.SIGNATURE), b""
    while at < len(file):
        (byte_count,) = struct.unpack_from(">I", file, at)
        if file[at + 4 : at + 8] == b"IDAT":
            data += file[at + 8 : at + 8 + byte_count]
        at += 12 + byte_count
    return data


def pngs() -> Cases:
    good = photo_png()
    data = idat_of(good)
    bomb = zeros(200 << 20)
    rows = zeros(201 * 320)
    palette = png_writer.header(320, 200, 8, png_writer.PALETTE)
    signature = png_writer.SIGNATURE

    def with_chunk(name: bytes, content: bytes, count: int = 1) -> bytes:
        return good[:33] + chunk(name, content) * count + good[33:]

    def rgb(extra: bytes = b"", tail: bytes = b"") -> bytes:
        return good[:33] + extra + good[33:] + tail

    def zlib_stream(*parts: bytes) -> bytes:
        return png(320, 200, data=b"".join(parts))

    return {
        "30000x30000.png": (png(30000, 30000, data=zeros(30001 * 30000)), "too_large"),
        "16000x16000_gray.png": (png(16000, 16000, data=zeros(16001 * 16000)), "ok"),
        "16000x16000_of_1_bit.png": (png(16000, 16000, 1, data=zeros(2001 * 16000)), "ok"),
        "9000x9000_rgba_16_bit.png": (png(9000, 9000, 16, png_writer.RGBA, data=zeros(72001 * 9000)), ANY),
        "9000x9000_interlaced_rgba_16_bit.png": (png(9000, 9000, 16, png_writer.RGBA, data=zeros(1 << 29), interlaced=True), ANY),
        "16000x16000_interlaced_gray.png": (png(16000, 16000, data=zeros(16001 * 16000), interlaced=True), "too_large"),
        "1000000x200_rgba_16_bit.png": (png(1000000, 200, 16, png_writer.RGBA, data=zeros(8000001 * 200 // 8)), ANY),
        "268435456x1.png": (png(268435456, 1, data=zeros(1 << 28)), "too_large"),
        "1x268435456.png": (png(1, 268435456, data=zeros(1 << 20)), "too_large"),
        "2147483647_squared.png": (png(2147483647, 2147483647, 16, png_writer.RGBA, data=rows), "too_large"),
        "1x1_of_500_MB.png": (png(1, 1, data=zeros(500 << 20)), "ok corrupt"),
        "1x1_16_bit_of_500_MB.png": (png(1, 1, 16, data=zeros(500 << 20)), "ok corrupt"),
        "320x200_of_500_MB.png": (png(320, 200, data=zeros(500 << 20)), "ok corrupt"),
        "iccp_bomb.png": (with_chunk(b"iCCP", b"bomb\0\0" + bomb), "ok"),
        "ztxt_bomb.png": (with_chunk(b"zTXt", b"bomb\0\0" + bomb, 5), "ok"),
        "itxt_bomb.png": (with_chunk(b"iTXt", b"bomb\0\1\0\0\0" + bomb, 5), "ok"),
        "exif_bomb.png": (with_chunk(b"eXIf", b"\0" * 5_000_000), "ok too_large"),
        "exif_loop.png": (with_chunk(b"eXIf", exif_loop()[6:]), "ok"),
        "70000_tiny_chunks.png": (with_chunk(b"tEXt", b"a\0b", 70000), "ok"),
        "70000_empty_idats.png": (good[:33] + chunk(b"IDAT") * 70000 + good[33:], "ok corrupt"),
        "one_byte_idats.png": (good[:33] + b"".join(chunk(b"IDAT", data[i : i + 1]) for i in range(len(data))) + chunk(b"IEND"), "ok"),
        "animated.png": (rgb(chunk(b"acTL", struct.pack(">II", 1 << 30, 0)) + chunk(b"fcTL", bytes(26)), chunk(b"fdAT", bytes(999))), "ok"),
        "critical_unknown_chunk.png": (with_chunk(b"WHAT", b"?"), ANY),
        "by_apple.png": (signature + chunk(b"CgBI", b"\x50\0\x20\2") + good[8:], BAD),
        "no_palette.png": (signature + palette + chunk(b"IDAT", rows) + chunk(b"IEND"), "corrupt"),
        "empty_palette.png": (signature + palette + chunk(b"PLTE") + chunk(b"IDAT", rows) + chunk(b"IEND"), "corrupt"),
        "palette_of_257.png": (signature + palette + chunk(b"PLTE", bytes(771)) + chunk(b"IDAT", rows) + chunk(b"IEND"), "corrupt"),
        "palette_of_4_bytes.png": (signature + palette + chunk(b"PLTE", bytes(4)) + chunk(b"IDAT", rows) + chunk(b"IEND"), "corrupt"),
        "palette_after.png": (signature + palette + chunk(b"IDAT", rows) + chunk(b"PLTE", bytes(768)) + chunk(b"IEND"), "corrupt"),
        "two_palettes.png": (signature + palette + chunk(b"PLTE", bytes(768)) * 2 + chunk(b"IDAT", rows) + chunk(b"IEND"), "corrupt ok"),
        "index_past_the_palette.png": (signature + palette + chunk(b"PLTE", b"abc") + chunk(b"IDAT", zlib.compress((b"\0" + b"\xff" * 320) * 200)) + chunk(b"IEND"), "ok corrupt"),
        "transparency_of_500.png": (signature + palette + chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(500)) + chunk(b"IDAT", rows) + chunk(b"IEND"), ANY),
        "filter_5.png": (zlib_stream(zlib.compress((b"\5" + bytes(320)) * 200)), "corrupt"),
        "filter_255.png": (zlib_stream(zlib.compress((b"\xff" + bytes(320)) * 200)), "corrupt"),
        "adler_wrong.png": (zlib_stream(rows[:-4], b"\0\0\0\0"), "ok corrupt"),
        "dictionary_wanted.png": (zlib_stream(b"\x78\xbb\0\0\0\0", rows[2:]), "corrupt"),
        "window_of_64_KB.png": (zlib_stream(b"\x88\x1c", rows[2:]), "corrupt"),
        "method_7.png": (zlib_stream(b"\x77\x03", rows[2:]), "corrupt"),
        "distance_too_far.png": (zlib_stream(b"\x78\x01", b"\x63\x00\x82\xff\xff", b"\0" * 20), "corrupt truncated"),
        "stored_length_wrong.png": (zlib_stream(b"\x78\x01\1\xff\xff\0\1", bytes(70000)), "corrupt"),
        "block_of_type_3.png": (zlib_stream(b"\x78\x01\7", bytes(99)), "corrupt"),
        "too_few_rows.png": (png(320, 200, data=zlib.compress(bytes(321 * 150))), "truncated corrupt"),
        "no_idat.png": (good[:33] + chunk(b"IEND"), BAD),
        "no_iend.png": (good[:-12], "ok"),
        "junk_behind.png": (good + b"junk" * 9999, "ok"),
        "jpeg_behind.png": (good + PHOTO.read_bytes(), "ok"),
        "idats_apart.png": (good[:33] + chunk(b"IDAT", data[:999]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", data[999:]) + chunk(b"IEND"), ANY),
        "idat_crc_wrong.png": (good[:-16] + b"\0\0\0\0" + good[-12:], "ok corrupt"),
        "interlaced_1x1.png": (png(1, 1, data=zlib.compress(b"\0\0"), interlaced=True), "ok"),
    }


def png_headers() -> Cases:
    def with_header(fields: bytes, crc: bytes | None = None) -> bytes:
        head = chunk(b"IHDR", fields)
        return png_writer.SIGNATURE + (head if crc is None else head[:-4] + crc) + chunk(b"IDAT", zeros(201 * 320)) + chunk(b"IEND")

    def fields(width: int = 320, height: int = 200, depth: int = 8, colour: int = 0, method: int = 0, filters: int = 0, interlace: int = 0) -> bytes:
        return struct.pack(">IIBBBBB", width, height, depth, colour, method, filters, interlace)

    good = with_header(fields())
    return {
        "header_width_0.png": (with_header(fields(width=0)), "corrupt"),
        "header_height_0.png": (with_header(fields(height=0)), "corrupt"),
        "header_width_negative.png": (with_header(fields(width=0xFFFFFFFF)), "corrupt too_large"),
        "header_depth_3.png": (with_header(fields(depth=3)), "corrupt"),
        "header_depth_255.png": (with_header(fields(depth=255)), "corrupt"),
        "header_colour_5.png": (with_header(fields(colour=5)), "corrupt"),
        "header_rgb_4_bit.png": (with_header(fields(depth=4, colour=2)), "corrupt"),
        "header_method_1.png": (with_header(fields(method=1)), "corrupt"),
        "header_filters_1.png": (with_header(fields(filters=1)), "corrupt"),
        "header_interlace_2.png": (with_header(fields(interlace=2)), "corrupt"),
        "header_12_bytes.png": (with_header(fields()[:12]), "corrupt"),
        "header_14_bytes.png": (with_header(fields() + b"\0"), "corrupt"),
        "header_crc_wrong.png": (with_header(fields(), b"\0\0\0\0"), "corrupt"),
        "header_late.png": (good[:8] + chunk(b"tEXt", b"a\0b") + good[8:], "corrupt ok"),
        "header_twice.png": (good[:33] + good[8:], "corrupt"),
        "chunk_of_2_GB.png": (good[:33] + b"\x7f\xff\xff\xfftEXt" + good[33:], BAD),
        "chunk_of_4_GB.png": (good[:33] + b"\xff\xff\xff\xfftEXt" + good[33:], BAD),
        "idat_of_2_GB.png": (good[:33] + b"\x7f\xff\xff\xff" + good[37:], "ok truncated corrupt"),
        "chunk_name_of_zeros.png": (good[:33] + chunk(b"\0\0\0\0") + good[33:], "corrupt"),
        "line_ends_changed.png": (good.replace(b"\r\n", b"\n"), "corrupt not_an_image"),
    }


# ---------------------------------------------------------------- BMP


def bmps() -> Cases:
    good = kinds.bmp_fields(24, (), said=False)(photo(), random.Random(1))
    gray = bytes(value for i in range(256) for value in (i, i, i, 0))
    big = bmp_kinds.assemble

    def field(at: int, form: str, value: int) -> bytes:
        return good[:at] + struct.pack(form, value) + good[at + struct.calcsize(form) :]

    def rle(width: int, height: int, data: bytes, bits: int = 8) -> bytes:
        return big(width, height, bits, data, compression=bmp_kinds.RLE8 if bits == 8 else bmp_kinds.RLE4, palette=gray[: 4 << bits])

    # A full row of zeros each, as runs of 255 pixels: 16000 rows of 128 bytes.
    runs = (b"\xff\0" * 62 + bytes([16000 - 62 * 255, 0]) + b"\0\0") * 16000 + b"\0\1"
    return {
        "huge.bmp": (good[:18] + struct.pack("<ii", 1 << 30, 1 << 30) + good[26:], "too_large"),
        "16000x16000_of_little.bmp": (good[:18] + struct.pack("<ii", 16000, 16000) + good[26:], "truncated too_large"),
        "268435456x1.bmp": (good[:18] + struct.pack("<ii", 268435456, 1) + good[26:], "truncated too_large"),
        "1x268435456.bmp": (good[:18] + struct.pack("<ii", 1, 268435456) + good[26:], "truncated too_large"),
        "height_of_int_min.bmp": (field(22, "<i", -(1 << 31)), "too_large"),
        "width_negative.bmp": (field(18, "<i", -320), "corrupt"),
        "width_0.bmp": (field(18, "<i", 0), "corrupt"),
        "height_0.bmp": (field(22, "<i", 0), "corrupt"),
        "pixels_past_the_end.bmp": (field(10, "<I", 0xFFFFFFFF), "truncated corrupt"),
        "pixels_one_byte_late.bmp": (field(10, "<I", 55), "truncated corrupt ok"),
        "pixels_in_the_header.bmp": (field(10, "<I", 1), ANY),
        "header_of_0.bmp": (field(14, "<I", 0), "not_an_image unsupported corrupt"),
        "header_of_4_GB.bmp": (field(14, "<I", 0xFFFFFFFF), "not_an_image unsupported corrupt truncated"),
        "header_of_41.bmp": (field(14, "<I", 41), ANY),
        "bits_0.bmp": (field(28, "<H", 0), "unsupported corrupt"),
        "bits_3.bmp": (field(28, "<H", 3), "unsupported corrupt"),
        "bits_64.bmp": (field(28, "<H", 64), "unsupported corrupt"),
        "jpeg_inside.bmp": (field(30, "<I", 4), "unsupported corrupt"),
        "png_inside.bmp": (field(30, "<I", 5), "unsupported corrupt"),
        "compression_of_4_GB.bmp": (field(30, "<I", 0xFFFFFFFF), "unsupported corrupt"),
        "palette_of_4_G.bmp": (big(320, 200, 8, bytes(64000), palette=gray, colours=0xFFFFFFFF), ANY),
        "palette_of_4_G_nowhere.bmp": (big(320, 200, 8, bytes(64000), palette=gray, colours=0xFFFFFFFF, pixels_at=0), "truncated corrupt unsupported"),
        "palette_missing.bmp": (big(320, 200, 8, b"", pixels_at=54), "truncated corrupt"),
        "masks_that_overlap.bmp": (big(64, 64, 32, bytes(1 << 14), compression=3, masks=(0xFFFFFF, 0xFFFF, 0xFF)), "unsupported"),
        "masks_with_gaps.bmp": (big(64, 64, 32, bytes(1 << 14), compression=3, masks=(0xAAAA0000, 0x5555, 0xA)), "unsupported"),
        "ends_in_its_header.bmp": (good[:30], "truncated"),
        "two_letters.bmp": (b"BM", "truncated not_an_image"),
        "rle_of_nothing_16000x16000.bmp": (rle(16000, 16000, b"\0\1"), "too_large"),
        "rle_of_runs_16000x16000.bmp": (rle(16000, 16000, runs), "too_large"),
        "rle_of_line_ends.bmp": (rle(320, 200, b"\0\0" * 2_000_000), ANY),
        "rle_of_empty_runs.bmp": (rle(320, 200, b"\0\2\0\0" * 1_000_000), ANY),
        "rle_run_past_the_row.bmp": (rle(16, 16, b"\xff\7" * 999), ANY),
        "rle_jump_past_the_end.bmp": (rle(16, 16, b"\0\2\xff\xff" * 999 + b"\7\7"), ANY),
        "rle_literal_past_the_end.bmp": (rle(320, 200, b"\0\xffabc"), ANY),
        "rle_without_end.bmp": (rle(320, 200, b"\7\7"), ANY),
        "rle4_of_odd_literals.bmp": (rle(16, 16, b"\0\3ab" * 99, bits=4), ANY),
        "rle_from_the_top.bmp": (rle(320, -200, b"\0\1"), ANY),
    }


# ---------------------------------------------------------------- what is no image, or two


def others() -> Cases:
    jpeg_bytes, png_bytes = PHOTO.read_bytes(), photo_png()
    gif, webp, tiff = io.BytesIO(), io.BytesIO(), io.BytesIO()
    photo().save(gif, "GIF")
    photo().save(webp, "WEBP")
    photo().save(tiff, "TIFF")
    return {
        "empty.jpg": (b"", "empty"),
        "one_byte.jpg": (b"\xff", "not_an_image"),
        "two_bytes.jpg": (b"\xff\xd8", "truncated corrupt not_an_image"),
        "three_bytes.jpg": (b"\xff\xd8\xff", BAD),
        "zeros.jpg": (bytes(1 << 20), "not_an_image"),
        "ones.jpg": (b"\xff" * (1 << 20), "not_an_image"),
        "page.jpg": (b"<html><body>404 Not Found</body></html>", "not_an_image"),
        "drawing.png": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "not_an_image unsupported"),
        "archive.png": (b"PK\3\4" + bytes(999), "not_an_image unsupported"),
        "program.bmp": (b"\x7fELF" + bytes(999), "not_an_image"),
        "letter.bmp": (b"BMW drives past a lake, and nobody saw who was in it.\n" * 9, BAD),
        "moving.jpg": (gif.getvalue(), "unsupported"),
        "web.jpg": (webp.getvalue(), "unsupported"),
        "scanned.jpg": (tiff.getvalue(), "unsupported"),
        "really_a.png": (jpeg_bytes, "ok"),
        "really_another.jpg": (png_bytes, "ok"),
        "byte_order_mark.jpg": (b"\xef\xbb\xbf" + jpeg_bytes, "not_an_image"),
        "space_before.png": (b" " + png_bytes, "not_an_image"),
        "signature_only.png": (png_writer.SIGNATURE, "truncated corrupt"),
        "noise.jpg": (random.Random(1).randbytes(100_000), "not_an_image"),
        "noise_behind_magic.jpg": (b"\xff\xd8\xff" + random.Random(2).randbytes(100_000), BAD),
        "noise_behind_magic.png": (png_writer.SIGNATURE + random.Random(3).randbytes(100_000), BAD),
        "noise_behind_magic.bmp": (b"BM" + random.Random(4).randbytes(100_000), BAD),
    }


# ---------------------------------------------------------------- good files with a wound


def wrecked(count: int) -> Iterator[Case]:
    rng = random.Random(5)
    good: dict[str, Callable[[], bytes]] = {
        "baseline.jpg": lambda: kinds.encode_jpeg(photo(), "ycc", quality=90, restart_rows=1, sampling="2x2,1x1,1x1"),
        "progressive.jpg": lambda: kinds.encode_jpeg(photo(), "ycc", quality=90, progressive=1),
        "photo.png": photo_png,
        "photo.bmp": lambda: kinds.bmp_indexed(8, run_length=True)(photo(), random.Random(6)),
        "plain.bmp": lambda: kinds.bmp_fields(24, (), said=False)(photo(), random.Random(6)),
    }
    for name, make in good.items():
        data = make()
        # Of a BMP's run lengths the last pair only says that the picture ends, which Pillow does not ask for either.
        allowed = frozenset((ANY if name == "photo.bmp" else CUT_SHORT).split())
        for part in range(count):
            yield Case(f"cut_at_{part:02}_of_{count}_{name}", data[: len(data) * part // count], allowed)
        for number in range(count):
            wound = bytearray(data)
            for _ in range(rng.choice((1, 1, 2, 8, 64))):
                at = rng.randrange(len(wound) if number % 2 else min(len(wound), 700))
                wound[at] ^= 1 << rng.randrange(8)
            yield Case(f"flipped_{number:02}_{name}", bytes(wound), frozenset(ANY.split()))


def write_all(folder: Path, wrecks: int = 64) -> list[Case]:
    folder.mkdir(parents=True, exist_ok=True)
    made = list(cases(wrecks))
    assert len({case.name for case in made}) == len(made), "two cases have the same name"
    for case in made:
        (folder / case.name).write_bytes(case.data)
    return made


if __name__ == "__main__":
    print(len(write_all(Path(sys.argv[1]))), "files")
