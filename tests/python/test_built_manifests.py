"""What the builders of `cropring.manifest` write, a Loader reads: the same samples, classes, boxes and pixels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cropring
from conftest import PHOTOS
from cropring import manifest

FILES = sorted(path for path in PHOTOS.rglob("*") if path.is_file())
Load = Callable[..., cropring.Loader]
IN_ORDER = {"shuffle": False, "hflip": 0, "tail": "partial", "size": 24}


def cut(path: Path, box: tuple[int, int, int, int]) -> np.ndarray:
    """Pillow's crop and resize; box is x, y, width, height."""
    x, y, width, height = box
    return np.asarray(Image.open(path).convert("RGB").crop((x, y, x + width, y + height)).resize((24, 24), Image.Resampling.BILINEAR))


def images_of(loader: cropring.Loader) -> np.ndarray:
    pixels = []
    for batch in loader:
        assert not batch.status.any()
        pixels.append(np.array(batch.images))
    return np.concatenate(pixels)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_coco_boxes_load_as_pillow_cuts_them(load: Load, tmp_path: Path, form: str) -> None:
    names = {5: 'quote " and, comma', 2: "zebra", 9: "Ä"}
    images, annotations = [], []
    for number, file in enumerate(FILES):
        width, height = Image.open(file).size
        images.append({"id": number, "file_name": str(file.relative_to(PHOTOS)), "width": width, "height": height})
        for bbox in ([10.5, 7.25, width / 3, height / 2.1], [-4.0, height - 20.5, 50.5, 90.0]):
            annotations.append({"id": len(annotations), "image_id": number, "category_id": (5, 2, 9)[len(annotations) % 3], "bbox": bbox})
    source = {"images": images, "annotations": annotations, "categories": [{"id": number, "name": name} for number, name in names.items()]}
    (tmp_path / "instances.json").write_text(json.dumps(source))
    out = tmp_path / f"boxes.{form}"
    summary = manifest.from_coco(tmp_path / "instances.json", out, images=PHOTOS)
    assert summary.root == str(PHOTOS) and summary.samples == len(annotations)
    loader = load(out, root=summary.root, crop="box", **IN_ORDER)
    assert loader.class_to_idx == {'quote " and, comma': 0, "zebra": 1, "Ä": 2}
    assert loader.targets.tolist() == [loader.class_to_idx[names[a["category_id"]]] for a in annotations]
    with out.open() as file:
        lines = [json.loads(line) for line in file] if form == "jsonl" else list(__import__("csv").DictReader(file))
    for pixels, annotation, line in zip(images_of(loader), annotations, lines, strict=True):
        box = tuple(int(line[key]) for key in ("x", "y", "width", "height"))
        assert (pixels == cut(FILES[annotation["image_id"]], box)).all(), annotation  # type: ignore[arg-type]


def test_any_samples_load(load: Load, tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(PHOTOS)
    samples = [{"path": file, "label": number, "x": 0.25, "y": 0.5, "scale": 0.5, "weight": 1} for number, file in enumerate(FILES)]
    for sample in samples:
        sample["path"] = tmp_path / "photos" / Path(str(sample["path"])).relative_to(PHOTOS)
    summary = manifest.from_samples(samples, tmp_path / "windows.csv")
    assert summary.root is None
    loader = load(tmp_path / "windows.csv", crop="window", **IN_ORDER)
    assert loader.classes == [] and loader.targets.tolist() == list(range(len(FILES)))
    assert [os.path.basename(path) for path in loader.paths] == [file.name for file in FILES]
    assert images_of(loader).shape == (len(FILES), 24, 24, 3)


def test_samples_without_labels_load(load: Load, tmp_path: Path) -> None:
    for form in ("csv", "jsonl"):
        out = tmp_path / f"s.{form}"
        samples = [{"path": file, "label": "kept" if number % 2 else None} for number, file in enumerate(FILES)]
        summary = manifest.from_samples(samples, out, images=PHOTOS)
        loader = load(out, root=summary.root)
        assert loader.class_to_idx == {"kept": 0} and loader.targets.tolist() == [number % 2 - 1 for number in range(len(FILES))]


def test_images_of_parquet_load_from_the_file_beside(load: Load, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    pq = pytest.importorskip("pyarrow.parquet")
    features = {"label": {"names": ["wolf", "ant", "bee"], "_type": "ClassLabel"}}
    table = pa.table({"image": [{"bytes": file.read_bytes(), "path": None} for file in FILES], "label": [number % 3 for number in range(len(FILES))]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), tmp_path / "t.parquet", row_group_size=5)
    manifest.from_parquet(tmp_path / "t.parquet", tmp_path / "t.csv")
    loader = load(tmp_path / "t.csv", crop="resize", **IN_ORDER)
    assert loader.class_to_idx == {"ant": 0, "bee": 1, "wolf": 2}
    assert loader.targets.tolist() == [(2, 0, 1)[number % 3] for number in range(len(FILES))]
    for pixels, file in zip(images_of(loader), FILES, strict=True):
        assert (pixels == cut(file, (0, 0, *Image.open(file).size))).all(), file.name
