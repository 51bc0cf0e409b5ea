"""For the box that a batch tells, its pixels are Pillow's, bit for bit: every file kind, filter, crop rule and output form."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import cropring
from bmp_writer import write_bmp
from variants import write_variants

pytestmark = pytest.mark.filterwarnings("ignore:Palette images with Transparency")  # Pillow's advice, not for us to take
Load = Callable[..., cropring.Loader]
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
HEIGHT_PX, WIDTH_PX = 37, 53


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("variants")
    assert len(write_variants(folder)) >= 60
    return folder


def opened(path: str, channels: int = 3, orientation: str = "raw") -> Image.Image:
    """The whole image as Pillow has it; the grey of a colour JPEG is its luma plane."""
    image: Image.Image = Image.open(path)
    if channels == 1:
        image.draft("L", image.size)
    if orientation == "exif":
        image = ImageOps.exif_transpose(image)
    return image.convert("RGB" if channels == 3 else "L")


def pixels(image: Image.Image, flipped: int) -> np.ndarray:
    """(height, width, channels), mirrored if asked for."""
    array = np.asarray(ImageOps.mirror(image) if flipped else image)
    return array if array.ndim == 3 else array[..., np.newaxis]


def cut(image: Image.Image, box: np.ndarray, filter_: str, size: tuple[int, int] = (HEIGHT_PX, WIDTH_PX)) -> Image.Image:
    x, y, width, height = (int(number) for number in box)
    return image.crop((x, y, x + width, y + height)).resize(size[::-1], FILTERS[filter_])


def assert_equal(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
    if not np.array_equal(actual, expected):
        difference = np.abs(actual.astype(np.float64) - expected)
        pytest.fail(f"{what}: {np.count_nonzero(difference)} of {difference.size} values differ, by up to {difference.max()}")


def compare_all(loader: cropring.Loader, filter_: str, channels: int = 3, orientation: str = "raw", epochs: int = 1) -> int:
    """Compares every sample of so many epochs with Pillow; returns how many were mirrored."""
    flips = 0
    for _ in range(epochs):
        for batch in loader:
            assert not batch.status.any()
            for row, index in enumerate(batch.index):
                image = opened(loader.paths[index], channels, orientation)
                assert batch.source_size[row].tolist() == [image.height, image.width]
                expected = pixels(cut(image, batch.box[row], filter_, batch.images.shape[1:3]), batch.flipped[row])
                assert_equal(batch.images[row], expected, f"{loader.paths[index]} box {batch.box[row].tolist()}")
                flips += int(batch.flipped[row])
    return flips


def load_variants(load: Load, variants: Path, **flags: object) -> cropring.Loader:
    return load(variants, **({"batch_size": 16, "size": (HEIGHT_PX, WIDTH_PX), "tail": "partial", "seed": 20} | flags))


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("filter_", FILTERS)
def test_random_resized_crops(load: Load, variants: Path, filter_: str, channels: int) -> None:
    loader = load_variants(load, variants, resample=filter_, channels=channels)
    flips = compare_all(loader, filter_, channels)
    assert 0 < flips < len(loader.dataset)


@pytest.mark.parametrize("seed", [1, 2])
def test_crops_of_the_sample_photos(load: Load, seed: int) -> None:
    compare_all(load(size=64, tail="partial", seed=seed), "bilinear", epochs=2)


@pytest.mark.parametrize("filter_", ["nearest", "bilinear", "lanczos"])
@pytest.mark.parametrize("rule", ["random", "resize"])
def test_other_boxes(load: Load, variants: Path, rule: str, filter_: str) -> None:
    loader = load_variants(load, variants, crop=rule, resample=filter_)
    compare_all(loader, filter_)
    loader.set_epoch(0)
    for batch in loader:
        for (x, y, width, height), (source_height, source_width) in zip(batch.box.tolist(), batch.source_size.tolist()):
            if rule == "resize":
                assert (x, y, width, height) == (0, 0, source_width, source_height)
            elif source_width >= WIDTH_PX and source_height >= HEIGHT_PX:
                assert (width, height) == (WIDTH_PX, HEIGHT_PX)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("filter_", FILTERS)
def test_resize_and_center_crop_as_torchvision_does(load: Load, variants: Path, filter_: str, channels: int) -> None:
    """Resize(short side), then CenterCrop: torchvision/transforms/functional.py."""
    short_side = round(WIDTH_PX * 256 / 224)
    loader = load_variants(load, variants, crop="center", resample=filter_, channels=channels, hflip=0)
    for batch in loader:
        for row, index in enumerate(batch.index):
            image = opened(loader.paths[index], channels)
            short, long = sorted(image.size)
            scaled = [short_side if side == short else int(short_side * long / short) for side in image.size]
            left, top = int(round((scaled[0] - WIDTH_PX) / 2.0)), int(round((scaled[1] - HEIGHT_PX) / 2.0))
            window = (left, top, left + WIDTH_PX, top + HEIGHT_PX)
            expected = pixels(image.resize(scaled, FILTERS[filter_]).crop(window), 0)
            assert_equal(batch.images[row], expected, loader.paths[index])
            outline = [window[side] * image.size[side % 2] / scaled[side % 2] for side in range(4)]
            x, y, width, height = batch.box[row].tolist()
            assert [x, y] == [math.floor(edge) for edge in outline[:2]]
            assert [x + width, y + height] == [math.ceil(edge) for edge in outline[2:]]


@pytest.mark.parametrize("channels", [3, 1])
def test_bmp_runs_that_stray_from_their_rows(load: Load, tmp_path: Path, channels: int) -> None:
    """Random codes, then enough runs to fill the picture: what Pillow makes of them is right."""
    random = np.random.default_rng(13)
    for number in range(200):
        path = tmp_path / f"{number}.bmp"
        width, height, bits = int(random.integers(1, 70)), int(random.integers(1, 30)), int(random.choice([4, 8]))
        picture = Image.linear_gradient("L").resize((width, height)).quantize(1 << bits)
        write_bmp(path, picture, bits=bits, runs=True, top_down=bool(random.integers(2)))
        whole = path.read_bytes()
        codes = random.integers(0, random.choice([12, 40, 256]), int(random.integers(1, 80)), np.uint8)
        runs = codes.tobytes() + bytes((0, 0, width, number % (1 << bits))) * (3 * height)
        path.write_bytes(whole[: int.from_bytes(whole[10:14], "little")] + runs)
        try:
            opened(str(path))
        except ValueError:  # an early end of the picture
            path.unlink()
    assert len(list(tmp_path.iterdir())) > 80
    compare_all(load_variants(load, tmp_path, channels=channels, crop="resize", resample="nearest"), "nearest", channels)
    compare_all(load_variants(load, tmp_path, channels=channels), "bilinear", channels)


@pytest.mark.parametrize("channels", [3, 1])
def test_images_turned_as_their_exif_tag_says(load: Load, variants: Path, tmp_path: Path, channels: int) -> None:
    photo = next(iter(sorted(variants.glob("jpeg/420_optimized*"))))
    folder = tmp_path / "turned"
    folder.mkdir()
    for number in range(10):  # 0 and 9 are no orientations: such images stay as they are
        exif = Image.Exif()
        exif[0x0112] = number
        image = Image.open(photo).convert("RGB")
        image.save(folder / f"{number}.jpg", quality=90, exif=exif)
        image.save(folder / f"{number}.png", exif=exif)
    for flags in ({}, {"crop": "resize"}):
        for source in (folder, variants):
            loader = load_variants(load, source, orientation="exif", channels=channels, **flags)
            compare_all(loader, "bilinear", channels, "exif")


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize(("mean", "std"), [(None, None), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), (0.5, 0.25), (None, 0.3), (0.3, None)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_floats_are_those_of_totensor_and_normalize(load: Load, dtype: str, mean: object, std: object, layout: str) -> None:
    reference = load(tail="partial")
    loader = load(tail="partial", dtype=dtype, layout=layout, mean=mean, std=std)
    for plain, batch in zip(reference, loader, strict=True):
        expected = plain.images.astype(np.float32) / np.float32(255)
        if mean is not None or std is not None:
            expected = (expected - np.float32(0 if mean is None else mean)) / np.float32(1 if std is None else std)
        if layout == "nchw":
            expected = expected.transpose(0, 3, 1, 2)
        assert_equal(batch.images, expected.astype(dtype), f"batch {batch.seq}")


def test_planes_of_bytes_are_the_same_bytes(load: Load) -> None:
    for plain, batch in zip(load(tail="partial"), load(tail="partial", layout="nchw"), strict=True):
        np.testing.assert_array_equal(batch.images, plain.images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("rule", ["random-resized", "center", "resize"])
def test_fast_is_close_and_has_the_same_boxes(load: Load, variants: Path, rule: str, channels: int) -> None:
    flags = {"crop": rule, "channels": channels}
    for exact, fast in zip(load_variants(load, variants, **flags), load_variants(load, variants, fidelity="fast", **flags), strict=True):
        np.testing.assert_array_equal(fast.box, exact.box)
        np.testing.assert_array_equal(fast.index, exact.index)
        error = np.abs(fast.images.astype(int) - exact.images).mean(axis=(1, 2, 3))
        assert error.max() < 10, f"sample {exact.index[error.argmax()]}: mean error {error.max():.1f} of 255"
