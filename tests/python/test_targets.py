"""Paired targets: the values of the stored file, cut as the image is, and never beside another image."""

import csv
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
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
    loader = load_pairs(load, pairs, crop=rule, fidelity=fidelity, resample="nearest", **RULES[rule])
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
                if fidelity == "exact":  # the same box of the image, in the same direction
                    image = Image.open(loader.paths[index]).convert("RGB")
                    right = centred(image, flipped, 50) if rule == "center" else expected(image, batch.box[row], flipped)
                    np.testing.assert_array_equal(batch.images[row], right, loader.paths[index])
                flips += flipped
    assert flips > 0


def test_both_are_turned_by_their_own_exif_tag(load: Load, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    for number in range(9):
        for mode, root in (("RGB", "images"), ("P", "masks"), ("I;16", "deep")):
            (tmp_path / root).mkdir(exist_ok=True)
            exif = Image.Exif()
            exif[0x0112] = number if root != "images" else 9 - number  # of 5 to 8 and 1 to 4: sizes that swap or do not
            turned = 5 <= exif[0x0112] <= 8
            picture = photo((50, 70) if turned else (70, 50), rng)
            if mode == "I;16":
                wide = np.asarray(picture.convert("L")).astype(np.uint16) * 257 - np.asarray(picture)[..., 2]
                Image.fromarray(wide).save(tmp_path / root / f"{number}.png", exif=exif)
            elif mode == "P":
                picture.quantize(200).save(tmp_path / root / f"{number}.png", exif=exif)
            else:
                picture.save(tmp_path / root / f"{number}.jpg", exif=exif)
    for root in ("masks", "deep"):
        loader = load_pairs(load, tmp_path, targets=tmp_path / root, orientation="exif")
        for _ in range(4):
            for batch in loader:
                assert not batch.status.any()
                for row, index in enumerate(batch.index):
                    image = values(tmp_path / root / f"{Path(loader.paths[index]).stem}.png", "exif")
                    np.testing.assert_array_equal(batch.targets[row], expected(image, batch.box[row], int(batch.flipped[row])))


def boxed_pairs(folder: Path) -> list[list[object]]:
    """Rows of a manifest: several boxes of each image, with the target of its image; images and targets are noise."""
    rng, noise = random.Random(SEED), np.random.default_rng(SEED)
    for root in ("images", "deep"):
        (folder / root).mkdir()
    rows: list[list[object]] = []
    for number in range(30):
        width, height = rng.randint(20, 90), rng.randint(20, 90)
        Image.fromarray(noise.integers(0, 256, (height, width, 3), np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(noise.integers(0, 65536, (height, width), np.uint16)).save(folder / "deep" / f"of {number}.png")
        for _ in range(5):
            box_width, box_height = rng.randint(1, width), rng.randint(1, height)
            place = [rng.randint(0, width - box_width), rng.randint(0, height - box_height), box_width, box_height]
            rows.append([f"images/{number}.png", f"deep/of {number}.png", *place])
    return rows


@pytest.mark.parametrize("sampled", [False, True], ids=["epochs", "sampler"])
def test_a_manifest_names_targets_and_boxes(load: Load, tmp_path: Path, sampled: bool) -> None:
    rows = boxed_pairs(tmp_path)
    with open(tmp_path / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([["path", "target", "x", "y", "width", "height"], *rows])
    asked = [random.Random(SEED).randrange(len(rows)) for _ in range(100)]
    flags = {"sampler": asked} if sampled else {}
    loader = load(
        tmp_path / "list.csv", target_dtype="uint16", crop="box", size=(HEIGHT_PX, WIDTH_PX), resample="nearest", batch_size=8, tail="partial", **flags
    )
    count = 0
    for batch in loader:
        assert not batch.status.any()
        for row, index in enumerate(batch.index):
            image, target, *box = rows[index]
            assert batch.box[row].tolist() == box
            flipped = int(batch.flipped[row])
            np.testing.assert_array_equal(batch.images[row], expected(Image.open(tmp_path / str(image)), batch.box[row], flipped))
            np.testing.assert_array_equal(batch.targets[row], expected(Image.open(tmp_path / str(target)), batch.box[row], flipped))
            count += 1
    assert count == (len(asked) if sampled else len(rows))
    with pytest.raises(cropring.CropringError, match="names a target for each sample itself; leave --targets out"):
        load(tmp_path / "list.csv", targets=tmp_path / "nowhere")


# ---------------------------------------------------------------- what is refused, and what becomes of the row


def write_pair(folder: Path, name: str, number: int, size: tuple[int, int] = (24, 20)) -> None:
    """An image and a target of one value each, both of which tell the sample's number."""
    for root in ("images", "masks"):
        (folder / root).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (number % 251, number // 251, 7)).save(folder / "images" / f"{name}.bmp")
    Image.new("L", size, number % 251).save(folder / "masks" / f"{name}.png")


def test_targets_that_are_missing_are_counted_at_the_start(load: Load, tmp_path: Path) -> None:
    for number in range(6):
        write_pair(tmp_path, str(number), number)
    for number in (2, 4):
        (tmp_path / "masks" / f"{number}.png").unlink()
    with pytest.raises(cropring.SourceError, match=r"masks: 2 of 6 images have no target there; the first is 2\.bmp"):
        load(tmp_path / "images", targets=tmp_path / "masks")
    (tmp_path / "masks" / "2.png").mkdir()
    with pytest.raises(cropring.SourceError, match="2 of 6"):  # a folder is none
        load(tmp_path / "images", targets=tmp_path / "masks")
    with pytest.raises(cropring.SourceError, match="--targets .*nowhere: cannot open this folder"):
        load(tmp_path / "images", targets=tmp_path / "nowhere")


def test_without_targets_there_is_no_such_array(load: Load) -> None:
    batch = next(iter(load()))
    with pytest.raises(AttributeError, match="no targets"):
        _ = batch.targets
    with pytest.raises(KeyError):
        _ = batch["targets"]
    images, labels = batch
    assert len(images) == len(labels)


BAD = {
    "a colour target": (cropring.Status.UNSUPPORTED, "target: it has 3 channels; a palette or gray image is expected"),
    "a target with alpha": (cropring.Status.UNSUPPORTED, "target: it has 2 channels"),
    "a colour JPEG": (cropring.Status.UNSUPPORTED, "target: it has 3 channels"),
    "16 bits": (cropring.Status.UNSUPPORTED, "target: its values have 16 bits, which need --target-dtype uint16"),
    "another size": (cropring.Status.MISMATCH, "target: it has 24x21 pixels (width x height), but its image 24x20"),
    "an empty target": (cropring.Status.EMPTY, "target: the file has 0 bytes"),
    "half a target": (cropring.Status.TRUNCATED, "target: "),
    "no picture": (cropring.Status.NOT_AN_IMAGE, "target: starts like no image format"),
    "a broken image": (cropring.Status.TRUNCATED, ""),
}


def break_pair(folder: Path, name: str, how: str) -> None:
    mask = folder / "masks" / f"{name}.png"
    if how == "a colour target":
        Image.new("RGB", (24, 20)).save(mask)
    elif how == "a target with alpha":
        Image.new("LA", (24, 20)).save(mask)
    elif how == "a colour JPEG":
        Image.new("RGB", (24, 20)).save(mask, "JPEG")
    elif how == "16 bits":
        Image.fromarray(np.zeros((20, 24), np.uint16)).save(mask)
    elif how == "another size":
        Image.new("L", (24, 21)).save(mask)
    elif how == "an empty target":
        mask.write_bytes(b"")
    elif how == "half a target":
        mask.write_bytes(mask.read_bytes()[:50])
    elif how == "no picture":
        mask.write_bytes(b"nothing like it")
    elif how == "a broken image":
        image = folder / "images" / f"{name}.bmp"
        image.write_bytes(image.read_bytes()[:100])


@pytest.mark.parametrize("how", BAD)
def test_a_row_fails_as_a_whole(load: Load, command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, how: str) -> None:
    for number in range(8):
        write_pair(tmp_path, str(number), number + 1)
    break_pair(tmp_path, "5", how)
    status, reason = BAD[how]
    flags = {"targets": tmp_path / "masks", "size": (20, 24), "crop": "resize", "shuffle": False, "batch_size": 8}
    batch = next(iter(load(tmp_path / "images", on_error="zero", **flags)))
    assert batch.status.tolist() == [0] * 5 + [status] + [0] * 2
    assert not batch.images[5].any() and not batch.targets[5].any() and not batch.box[5].any()
    assert [batch.targets[row].max() for row in range(8)] == [1, 2, 3, 4, 5, 0, 7, 8]

    batch = next(iter(load(tmp_path / "images", **flags)))
    assert batch.status[5] == status | cropring.Status.SUBSTITUTED and batch.index[5] != 5
    assert (batch.targets == (batch.index + 1)[:, None, None]).all() and (batch.images[..., 0] == (batch.index + 1)[:, None, None]).all()

    run = command("serve", tmp_path / "images", f"--targets={tmp_path / 'masks'}", "--on-error=stop", "--batch-size=8", "--no-shuffle", "--size=8", "--linger-ms=1")
    assert run.returncode == 3, run.stderr
    assert reason in run.stderr and f"{'images' if how == 'a broken image' else 'masks'}/5." in run.stderr


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 pairs that tell their number in every pixel; a third of them cannot be used, because of one file, the other, or their sizes."""
    folder = tmp_path_factory.mktemp("numbered")
    rng = random.Random(SEED)
    for root in ("images", "masks"):
        (folder / root).mkdir()
    for number in range(1, 601):
        size = (rng.randint(8, 60), rng.randint(8, 60))
        image, mask = folder / "images" / f"{number:04}.bmp", folder / "masks" / f"{number:04}.png"
        Image.new("RGB", size, (number % 256, number // 256, 255 - number % 256)).save(image)
        if rng.random() < 0.11:
            size = (size[0] + 1, size[1])
        Image.fromarray(np.full(size[::-1], number, np.uint16)).save(mask)
        for path in (image, mask):
            if rng.random() < 0.11:
                path.write_bytes(path.read_bytes()[: rng.choice((0, 3, 60))])
    return folder


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "killed"])
@pytest.mark.parametrize("on_error", ["substitute", "zero"])
def test_image_and_target_never_come_apart(load: Load, numbered: Path, on_error: str, kill: bool) -> None:
    rng = random.Random(SEED)
    loader = load(
        numbered / "images", targets=numbered / "masks", target_dtype="uint16", on_error=on_error, batch_size=16, size=(9, 11),
        threads=6, io_depth=rng.choice((1, 5, 64)), slots=5, respawn=50, seed=SEED % 997,
    )  # fmt: skip
    rows = blank = batches = 0
    for _ in range(3):
        for batch in loader:
            number = batch.images[..., 0] + 256 * batch.images[..., 1].astype(np.uint16)
            np.testing.assert_array_equal(batch.targets, number)
            sample = np.where(batch.images.any(axis=(1, 2, 3)), batch.index + 1, 0)
            np.testing.assert_array_equal(batch.targets, np.broadcast_to(sample[:, None, None], batch.targets.shape))
            assert ((sample == 0) == ((batch.status != 0) & (on_error == "zero"))).all()
            rows += len(batch)
            blank += int((sample == 0).sum())
            batches += 1
            if kill and batches % 20 == 0:
                loader._worker.process.send_signal(signal.SIGKILL)
    assert rows == 3 * 37 * 16
    assert blank > rows / 5 if on_error == "zero" else blank == 0
    assert loader.stats()["respawns"] == (5 if kill else 0)


def test_the_worker_may_read_the_targets_and_no_more(load: Load, tmp_path: Path) -> None:
    """Links of the targets count as those of the source do; what they lead to later does not."""
    for number in range(4):
        write_pair(tmp_path, str(number), number + 1)
    elsewhere, hidden = tmp_path / "elsewhere", tmp_path / "hidden"
    for folder in (elsewhere, hidden):
        folder.mkdir()
        Image.new("L", (24, 20), 99).save(folder / "x.png")
    (tmp_path / "masks" / "2.png").unlink()
    (tmp_path / "masks" / "2.png").symlink_to(elsewhere / "x.png")
    flags = {"targets": tmp_path / "masks", "size": 8, "crop": "resize", "shuffle": False, "batch_size": 4, "on_error": "zero"}
    loader = load(tmp_path / "images", **flags)
    batch = next(iter(loader))
    assert batch.targets.max(axis=(1, 2)).tolist() == [1, 2, 99, 4]
    if loader.stats()["sandbox_landlock"] == 0:
        pytest.skip("no Landlock here")
    assert loader.stats()["sandbox_roots"] == 3
    (tmp_path / "masks" / "3.png").unlink()
    (tmp_path / "masks" / "3.png").symlink_to(hidden / "x.png")
    loader = load(tmp_path / "images", **flags)
    (tmp_path / "masks" / "1.png").unlink()
    (tmp_path / "masks" / "1.png").symlink_to(tmp_path / "secret.png")
    Image.new("L", (24, 20), 98).save(tmp_path / "secret.png")
    statuses = [batch.status.tolist() for _, batch in zip(range(9), (batch for _ in range(9) for batch in loader))]
    assert statuses[-1] == [0, cropring.Status.UNREADABLE, 0, 0]


def test_targets_of_a_manifest_that_are_links_to_one_place_are_read(load: Load, tmp_path: Path) -> None:
    """The images are none; found once by looking, then told by the kept index."""
    (tmp_path / "blobs").mkdir()
    for number in range(4):
        write_pair(tmp_path / "set", str(number), number + 1)
        (tmp_path / f"set/masks/{number}.png").rename(tmp_path / f"blobs/{number}")
        (tmp_path / f"set/masks/{number}.png").symlink_to(f"../../blobs/{number}")
    with open(tmp_path / "set/list.csv", "w", newline="") as file:
        csv.writer(file).writerows([["path", "target"], *([f"images/{number}.bmp", f"masks/{number}.png"] for number in range(4))])
    for flags in ({}, {"index": tmp_path / "kept.cropidx"}, {"index": tmp_path / "kept.cropidx"}):
        loader = load(tmp_path / "set/list.csv", size=8, crop="resize", shuffle=False, batch_size=4, on_error="zero", **flags)
        assert next(iter(loader)).targets.max(axis=(1, 2)).tolist() == [1, 2, 3, 4]
