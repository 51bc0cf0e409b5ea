"""Makes the fuzzers' seeds: a small file of every kind, from the sample photographs; EXIF blocks; and those of plan_seeds.py and segment_seeds.py.

    tests/fuzz/make_seeds.py          # writes tests/fuzz/seeds anew, all of it
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
import plan_seeds  # noqa: E402
import segment_seeds  # noqa: E402
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


def plain_name(kind: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in kind).replace("__", "_").lower()


def all_seeds() -> dict[str, bytes]:
    """By their paths below SEEDS."""
    rng = random.Random(1)
    seeds = {}
    for name, make in kinds.all_kinds().items():
        format_name, kind = name.split(" ", 1)
        seeds[f"{format_name.lower()}/{plain_name(kind)}"] = make(small_photo(rng), rng)
    seeds |= {f"jpeg_long/{name}": content for name, content in long_photos().items()}
    seeds |= {f"exif/{name}": block for name, block in exif_blocks().items()}
    return seeds | segment_seeds.all_seeds() | plan_seeds.all_seeds()


def main() -> None:
    seeds = all_seeds()  # before those that are there are deleted
    total_bytes = sum(len(content) for content in seeds.values())
    assert total_bytes < MOST_BYTES
    shutil.rmtree(SEEDS, ignore_errors=True)
    for name, content in seeds.items():
        (SEEDS / name).parent.mkdir(parents=True, exist_ok=True)
        (SEEDS / name).write_bytes(content)
    print(len(seeds), "seeds of", total_bytes, "bytes")


if __name__ == "__main__":
    main()
