"""Makes the fuzzers' seeds: a small file of every kind, from the sample photographs; and EXIF blocks.

    tests/fuzz/make_seeds.py          # writes tests/fuzz/seeds
"""

from __future__ import annotations

import io
import random
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/kinds"))
import kinds  # noqa: E402
from PIL import Image  # noqa: E402

SEEDS = ROOT / "tests/fuzz/seeds"
PHOTOS = ("animals/cat.jpg", "flowers/dahlia.jpg", "space/rocket.jpg", "buildings/pagoda.jpg")
MOST_BYTES = 300_000


def small_photo(rng: random.Random) -> Image.Image:
    """A whole photograph made small: many colours in few pixels."""
    photo = Image.open(ROOT / "tests/data/photos" / rng.choice(PHOTOS)).convert("RGB")
    return photo.resize((rng.randint(16, 33), rng.randint(16, 33)))


def exif_blocks() -> dict[str, bytes]:
    big, little = kinds.exif(6), b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\5\0\0\0\0\0\0\0"
    return {
        "big_endian": big,
        "little_endian": little,
        "as_long": big.replace(b"\1\x12\0\3\0\0\0\1\0\6", b"\1\x12\0\4\0\0\0\1\0\0"),
        "two_entries": b"MM\0*\0\0\0\x08\0\2" + b"\1\x0f\0\2\0\0\0\4abc\0" + b"\1\x12\0\3\0\0\0\1\0\x08\0\0" + b"\0\0\0\0",
        "far_away": b"MM\0*\0\0\0\x40" + bytes(56) + b"\0\1\1\x12\0\3\0\0\0\1\0\2\0\0",
    }


def long_photos() -> dict[str, bytes]:
    """JPEGs of which a part can be spliced out: rows above it that need not be decoded."""
    photo = Image.open(ROOT / "tests/data/photos" / PHOTOS[0]).convert("RGB")
    ways = {
        "gray": ("L", (16, 176), {"optimize": True}),
        "wide": ("L", (416, 40), {"quality": 40}),
        "420": ("RGB", (32, 256), {"subsampling": 2}),
        "444": ("RGB", (16, 144), {"subsampling": 0, "optimize": True}),
        "cmyk": ("CMYK", (16, 128), {}),
        "restarts_in_rows": ("RGB", (64, 128), {"subsampling": 0, "restart_marker_blocks": 4}),
        "restarts_at_rows": ("L", (24, 160), {"restart_marker_rows": 2}),
    }
    files = {}
    for name, (mode, size, how) in ways.items():
        out = io.BytesIO()
        photo.resize(size).convert(mode).save(out, "JPEG", **how)
        files[name] = out.getvalue()
    return files


def main() -> None:
    rng = random.Random(1)
    shutil.rmtree(SEEDS, ignore_errors=True)
    for name, make in kinds.all_kinds().items():
        folder = SEEDS / name.split()[0].lower()
        folder.mkdir(parents=True, exist_ok=True)
        plain = "".join(letter if letter.isalnum() else "_" for letter in name.split(" ", 1)[1]).replace("__", "_")
        (folder / f"{plain.lower()}").write_bytes(make(small_photo(rng), rng))
    for name, content in long_photos().items():
        path = SEEDS / "jpeg_long" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    for name, block in exif_blocks().items():
        path = SEEDS / "exif" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(block)
    sizes = [path.stat().st_size for path in SEEDS.rglob("*") if path.is_file()]
    print(len(sizes), "seeds of", sum(sizes), "bytes")
    assert sum(sizes) < MOST_BYTES


if __name__ == "__main__":
    main()
