"""Writes manifests, the CSV or JSONL files that a Loader reads, from what data sets come as.

>>> from cropring import manifest                                                                                 # doctest: +SKIP
>>> print(manifest.from_coco("instances_train2017.json", "boxes.csv", images="train2017"))                         # doctest: +SKIP
>>> loader = cropring.Loader("boxes.csv", crop="box", size=128)                                                    # doctest: +SKIP

The same from the shell: `python -m cropring.manifest coco instances_train2017.json boxes.csv --images train2017`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .coco import from_coco
from .manifest_file import Summary, from_samples
from .parquet import from_parquet

__all__ = ["Summary", "from_coco", "from_parquet", "from_samples"]


def _column(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=COLUMN, such as label=fine_label")
    return name, column


def main(words: Sequence[str] | None = None) -> int:
    """`python -m cropring.manifest`: 0, 1 when a file cannot be read or written, 2 when what it holds or what was said is wrong."""
    parser = argparse.ArgumentParser(prog="python -m cropring.manifest", description="Writes the manifest of a data set for cropring to read.")
    commands = parser.add_subparsers(required=True, metavar="coco|parquet")

    coco = commands.add_parser("coco", help="a COCO instances file: each box a sample", description="Each box of a COCO instances file becomes a sample.")
    coco.add_argument("annotations", metavar="ANN.json", help="such as instances_train2017.json")
    coco.add_argument("out", metavar="OUT", help="the manifest, .csv or .jsonl")
    coco.add_argument("--images", metavar="DIR", required=True, help="the folder that its file names begin at")
    coco.add_argument("--labels", choices=("names", "ids"), default="names", help="categories by name, or by COCO's numbers (default: names)")
    coco.add_argument("--crowd", action="store_true", help="boxes around crowds are samples too")
    coco.add_argument("--min-size", metavar="PX", type=int, default=1, help="leave out boxes with a shorter side than this (default: 1)")
    coco.set_defaults(
        run=lambda a: from_coco(a.annotations, a.out, images=a.images, labels=a.labels, crowd=a.crowd, min_size=a.min_size),
    )

    parquet = commands.add_parser(
        "parquet",
        help="Parquet with paths or with the images themselves",
        description="Each row of Parquet files becomes a sample.  Images that they hold are copied to a file beside the manifest.",
    )
    parquet.add_argument("files", metavar="FILE", nargs="+", help="Parquet files of the same columns")
    parquet.add_argument("out", metavar="OUT", help="the manifest, .csv or .jsonl")
    parquet.add_argument("--images", metavar="DIR", help="the folder that relative paths begin at (default: the manifest's)")
    parquet.add_argument("--labels", choices=("names", "ids"), default="names", help="labels by the names that Hugging Face's metadata has, or as they are")
    parquet.add_argument(
        "--column", metavar="NAME=COLUMN", type=_column, action="append", default=[], help="which column is which, such as image=img; may be repeated"
    )
    parquet.set_defaults(run=lambda a: from_parquet(a.files, a.out, columns=dict(a.column), labels=a.labels, images=a.images))

    arguments = parser.parse_args(words)
    try:
        print(arguments.run(arguments))
    except (ValueError, ImportError, OSError) as error:
        print(f"cropring.manifest: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
