"""Paired targets: the values of the stored file, cut as the image is, and never beside another image."""

import io
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import cropring

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kinds"))
import kinds

Load = Callable[..., cropring.Loader]
SEED = int(os.environ.get("CROPRING_TEST_SEED", "20240229"))
HEIGHT_PX, WIDTH_PX = 29, 41
TARGET_KINDS = [
    name for name in kinds.all_kinds() if name.startswith(("JPEG gray", "PNG gray", "PNG palette", "BMP 1 bit", "BMP 4 bit", "BMP 8 bit", "BMP gray", "BMP of"))
    and "alpha" not in name
]
RULES = {"random-resized": {}, "random": {}, "center": {"short_side": 50}, "resize": {}}


def values(path: str | Path, orientation: str = "raw") -> Image.Image:
    """The stored values as Pillow has them; True of mode "1" is 1."""
    image: Image.Image = Image.open(path)
    image.load()
    if orientation == "exif":
        image = ImageOps.exif_transpose(image)
    if image.mode == "1":  # which Pillow resizes as 0 and 255
        image = Image.fromarray(np.asarray(image).astype(np.uint8))
    return image


def photo(size: tuple[int, int], rng: random.Random) -> Image.Image:
    noise = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three formats in `images`, a target of every kind that is read in `masks`."""
    print(f"CROPRING_TEST_SEED={SEED}")
    rng = random.Random(SEED)
    folder = tmp_path_factory.mktemp("pairs")
    for number, name in enumerate(TARGET_KINDS):
        size = (rng.randint(17, 160), rng.randint(17, 160))
        ending = {"JPEG": "jpg", "PNG ": "png", "BMP ": "bmp"}[name[:4]]
        for root in ("images", "masks"):
            (folder / root / str(number % 3)).mkdir(parents=True, exist_ok=True)
        target = folder / "masks" / str(number % 3) / f"{number}.{ending}"
        target.write_bytes(kinds.all_kinds()[name](photo(size, rng), rng))
        photo(Image.open(target).size, rng).save(folder / "images" / str(number % 3) / f"{number}.{'jpg' if ending == 'jpg' else rng.choice(('jpg', 'png', 'bmp'))}")
    return folder


def target_of(path: str) -> Path:
    image = Path(path)
    folder = image.parents[2] / "masks" / image.parent.name
    return next(folder / f"{image.stem}{ending}" for ending in (".png", ".bmp", image.suffix) if (folder / f"{image.stem}{ending}").exists())


def load_pairs(load: Load, pairs: Path, **flags: object) -> cropring.Loader:
    usual = {"targets": pairs / "masks", "target_dtype": "uint16", "batch_size": 16, "size": (HEIGHT_PX, WIDTH_PX), "tail": "partial", "seed": SEED % 1000}
    return load(pairs / "images", **(usual | flags))


def expected(image: Image.Image, box: np.ndarray, flipped: int) -> np.ndarray:
    x, y, width, height = (int(number) for number in box)
    cut = image.crop((x, y, x + width, y + height)).resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.NEAREST)
    return np.asarray(ImageOps.mirror(cut) if flipped else cut)


def centred(image: Image.Image, flipped: int, short_side: int) -> np.ndarray:
    """Resize(short side), then CenterCrop: torchvision/transforms/functional.py."""
    short, long = sorted(image.size)
    scaled = [short_side if side == short else int(short_side * long / short) for side in image.size]
    left, top = int(round((scaled[0] - WIDTH_PX) / 2.0)), int(round((scaled[1] - HEIGHT_PX) / 2.0))
    cut = image.resize(scaled, Image.Resampling.NEAREST).crop((left, top, left + WIDTH_PX, top + HEIGHT_PX))
    return np.asarray(ImageOps.mirror(cut) if flipped else cut)


@pytest.mark.parametrize("fidelity", ["exact", "fast"])
@pytest.mark.parametrize("rule", RULES)
def test_targets_are_pillows_nearest_of_the_stored_values(load: Load, pairs: Path, rule: str, fidelity: str) -> None:
    loader = load_pairs(load, pairs, crop=rule, fidelity=fidelity, **RULES[rule])
    flips = 0
    for _ in range(8 if rule.startswith("random") else 2):
        for batch in loader:
            assert not batch.status.any()
            assert batch.targets.dtype == np.uint16 and batch.targets.shape == (len(batch), HEIGHT_PX, WIDTH_PX)
            for row, index in enumerate(batch.index):
                image = values(target_of(loader.paths[index]))
                flipped = int(batch.flipped[row])
                right = centred(image, flipped, 50) if rule == "center" else expected(image, batch.box[row], flipped)
                np.testing.assert_array_equal(batch.targets[row], right, f"{TARGET_KINDS[int(Path(loader.paths[index]).stem)]}, box {batch.box[row]}")
                flips += flipped
    assert flips > 0
