#!/usr/bin/env python3
"""What a pack is good for, and what it costs to make one: crops from it beside crops from the files that it was made of.

    bench/run pack [PART ...]

crops      crops of 224, 600 and 1000 pixels of 4000x4000 pictures, beside Pillow, OpenCV, pyvips and our own way through loose files
crate      batches of 32 windows to 32x32, as in `bench/run crops`
size       crops of 224 pixels of pictures of 256x256 to 16384x16384
cold       crops when nothing is in the page cache: wall time, and what the disk reads
imagenet   RandomResizedCrop(224) of ImageNet-like pictures, warm and cold
rows       how many rows a segment of a PNG has: bytes that they add, and what crops cost with them
speed      how long packing takes, and its memory
"""

from __future__ import annotations

import argparse
import importlib

PARTS = ("crops", "crate", "size", "cold", "imagenet", "rows", "speed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of them unless told")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: one of {', '.join(PARTS)} is expected")

    for part in options.parts or PARTS:
        print(f"\n{part}\n")
        importlib.import_module(f"pack_{part}").run(options.repetitions)


if __name__ == "__main__":
    main()
