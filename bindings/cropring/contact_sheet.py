"""A batch as one picture: each image with its class and the part of its source that was cut out.  Needs Pillow."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from .batch import Status
from .command import printable
from .dataset import Dataset
from .packed import Pack

MARGIN_PX, GAP_PX, PANEL_GAP_PX, CAPTION_PX, TITLE_PX = 40, 20, 6, 52, 88
INK, GREY, FAINT, ACCENT, WARNING = "#1a1c20", "#70757f", "#d4d7dd", "#2f6fde", "#c8321f"
_NEVER_BELOW_PX = 96  # smaller images are shown enlarged, each pixel as a square of its own
_MOST_PX = 32000  # of the sheet's sides


class Arrays(Protocol):
    """A batch, or a copy of what it held."""

    def __getitem__(self, name: str, /) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Normalised:
    """How float pixels came about, so that they can be seen again: (v / 255 - mean) / std."""

    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)


def seen(images: NDArray[Any], normalised: Normalised = Normalised(), layout: str = "nhwc") -> NDArray[np.uint8]:
    """The images as Pillow shows them: (N, height, width, 3) or (N, height, width) uint8; those of uint8 as they are."""
    if layout == "nchw":
        images = np.moveaxis(images, 1, -1)
    if images.dtype != np.uint8:
        values = (images.astype(np.float32) * np.array(normalised.std, np.float32) + np.array(normalised.mean, np.float32)) * 255
        images = np.clip(np.rint(np.nan_to_num(values)), 0, 255).astype(np.uint8)
    return images[..., 0] if images.shape[-1] == 1 else images


# ---------------------------------------------------------------- text


@lru_cache
def _font(is_ascii: bool, size_px: int) -> Any:
    """The one that comes with Pillow and looks the same everywhere; but it knows no letters beyond ASCII."""
    try:
        return ImageFont.load_default(size_px) if is_ascii else ImageFont.truetype("DejaVuSans.ttf", size_px)
    except OSError:  # not installed here
        return ImageFont.load_default(size_px)


def _write(draw: ImageDraw.ImageDraw, x: int, y: int, width_px: int, text: str, size_px: int, ink: str) -> None:
    """One line of text, cut with an ellipsis where it would be wider."""
    text = printable(text)
    face = _font(text.isascii(), size_px)
    if face.getlength(text) > width_px:
        while text and face.getlength(text + "...") > width_px:
            text = text[:-1]
        text = text.rstrip() + "..."
    draw.text((x, y), text, ink, face)


def _badge(draw: ImageDraw.ImageDraw, x: int, y: int, text: str, colour: str) -> None:
    """A word on a coloured plate whose upper left corner is (x, y)."""
    face = _font(True, 13)
    draw.rounded_rectangle((x, y, x + round(face.getlength(text)) + 15, y + 21), 5, fill=colour)
    draw.text((x + 8, y + 3), text, "white", face)


# ---------------------------------------------------------------- the panels of a sample


def _tile_size(height: int, width: int, tile_px: int) -> tuple[int, int]:
    """How large an image is shown, (width, height): as it is, a multiple of that where it is small, or as was asked for."""
    longer = max(height, width)
    if tile_px:
        return max(1, round(width * tile_px / longer)), max(1, round(height * tile_px / longer))
    times = -(-_NEVER_BELOW_PX // longer)
    return width * times, height * times


def _fitted(picture: Image.Image, size: tuple[int, int], is_values: bool = False) -> Image.Image:
    if picture.size == size:
        return picture
    is_enlarged = size[0] >= picture.width
    return picture.resize(size, Image.Resampling.NEAREST if is_enlarged or is_values else Image.Resampling.LANCZOS)


def _put(sheet: Image.Image, picture: Image.Image, x: int, y: int) -> None:
    """With rounded corners."""
    width, height = picture.size
    rounded = Image.new("L", (width * 2, height * 2))
    ImageDraw.Draw(rounded).rounded_rectangle((0, 0, width * 2 - 1, height * 2 - 1), 16, fill=255)
    sheet.paste(picture, (x, y), rounded.resize((width, height)))


def _colours_of_values() -> NDArray[np.uint8]:
    """A colour for each value of a target: 0 is black, neighbours differ, and 255, which often means "ignore", is white."""
    hues = (np.arange(256) * 0.61803398875) % 1.0  # the golden ratio keeps neighbours apart
    picture = Image.fromarray(np.stack([hues * 255, np.full(256, 150), np.full(256, 225)], -1).astype(np.uint8)[None], "HSV")
    colours: NDArray[np.uint8] = np.array(picture.convert("RGB"))[0]
    colours[0], colours[255] = 0, 255
    return colours


_VALUE_COLOURS = _colours_of_values()


def source_picture(dataset: Dataset, sample: int, orientation: str = "raw", folder: str = "") -> Image.Image | None:
    """The picture that a sample was cut out of; None if it cannot be read any more."""
    try:
        picture = Image.open(BytesIO(_source_bytes(dataset, sample, folder)))
        return (ImageOps.exif_transpose(picture) if orientation == "exif" else picture).convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _source_bytes(dataset: Dataset, sample: int, folder: str) -> bytes:
    place = dataset.place(sample)
    if place is None:
        with Pack(os.path.join(folder, dataset.root)) as pack:
            return pack[sample]
    path, offset, length = place
    with open(os.path.join(folder, path), "rb") as file:
        file.seek(offset)
        return file.read(length)


def _source_panel(picture: Image.Image | None, box: NDArray[Any], size: tuple[int, int]) -> Image.Image:
    """The source in the middle of a panel, pale but for the part that was cut out, which has a frame."""
    panel = Image.new("RGB", size, "#eceef2")
    draw = ImageDraw.Draw(panel)
    if picture is None:
        _write(draw, 12, size[1] // 2 - 10, size[0] - 24, "cannot be read", 15, WARNING)
        return panel
    scale = min(size[0] / picture.width, size[1] / picture.height)
    shown = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), reducing_gap=3)
    left, top = (size[0] - shown.width) // 2, (size[1] - shown.height) // 2
    edges = [round(edge * scale) for edge in (box[0], box[1], box[0] + box[2], box[1] + box[3])]
    if box[2] > 0 and box[3] > 0:
        pale = Image.blend(shown, Image.new("RGB", shown.size, "white"), 0.55)
        pale.paste(shown.crop((edges[0], edges[1], edges[2], edges[3])), (edges[0], edges[1]))
        shown = pale
    panel.paste(shown, (left, top))
    if box[2] > 0 and box[3] > 0:
        draw.rectangle((edges[0] + left, edges[1] + top, edges[2] + left - 1, edges[3] + top - 1), outline=ACCENT, width=3)
    return panel


def _draw_outline(draw: ImageDraw.ImageDraw, x: int, y: int, box: NDArray[Any], source_size: NDArray[Any]) -> None:
    """The source image as a small frame whose upper right corner is (x, y), and in it the part that was cut out."""
    height, width = int(source_size[0]), int(source_size[1])
    scale = 34 / max(height, width)
    left, top = x - round(width * scale), y
    draw.rectangle((left, top, x, top + round(height * scale)), fill="#eceef2", outline=FAINT)
    part = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    draw.rectangle(tuple(round(int(edge) * scale) + (left, top)[number % 2] for number, edge in enumerate(part)), fill=ACCENT)


# ---------------------------------------------------------------- the sheet


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is on a contact sheet beside the images, and how it looks.

    Attributes
    ----------
    title, facts : str
        Its two lines of text.
    dataset : Dataset or None
        Names classes and files; without it they are numbers.
    sources : bool
        Draw each source picture, with the box that was cut out of it.  Needs `dataset`.
    orientation : {"raw", "exif"}
        How the sources were turned before their boxes were chosen.
    folder : str
        Where relative paths of the data set begin; "": here.
    count : int
        How many images of the batch, at most; 0: all.
    columns : int
        Images in a row; 0: so many that the sheet is about twice as wide as high.
    tile_px : int
        Longer side of each image on the sheet; 0: as it is, or a multiple of that where it is small.
    """

    title: str
    facts: str
    dataset: Dataset | None = None
    sources: bool = False
    orientation: str = "raw"
    folder: str = ""
    count: int = 0
    columns: int = 0
    tile_px: int = 0

    def draw(self, arrays: Arrays, images: NDArray[np.uint8], targets: NDArray[Any] | None = None) -> Image.Image:
        """The sheet of a batch; `images` are those of `arrays`, as `seen()` makes them.  ValueError if it would be too large."""
        shown = min(self.count or len(images), len(images))
        tile_width, tile_height = _tile_size(images.shape[1], images.shape[2], self.tile_px)
        panels = 1 + (targets is not None) + self.sources
        cell_width = panels * (tile_width + PANEL_GAP_PX) - PANEL_GAP_PX
        cell_height = tile_height + CAPTION_PX
        columns = min(shown, self.columns or max(1, math.ceil(math.sqrt(2 * shown * cell_height / cell_width))))
        rows = -(-shown // columns)
        width = max(2 * MARGIN_PX + columns * (cell_width + GAP_PX) - GAP_PX, 760)
        height = 2 * MARGIN_PX + TITLE_PX + rows * (cell_height + GAP_PX) - GAP_PX
        if max(width, height) > _MOST_PX:
            raise ValueError(f"{shown} images make a sheet of {width}x{height} pixels, over {_MOST_PX}: show fewer, or smaller ones")
        sheet = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(sheet)
        _write(draw, MARGIN_PX, MARGIN_PX - 8, width - 2 * MARGIN_PX, self.title, 32, INK)
        _write(draw, MARGIN_PX, MARGIN_PX + 36, width - 2 * MARGIN_PX, self.facts, 17, GREY)
        for row in range(shown):
            x = MARGIN_PX + row % columns * (cell_width + GAP_PX)
            y = MARGIN_PX + TITLE_PX + row // columns * (cell_height + GAP_PX)
            picture = _fitted(Image.fromarray(images[row]).convert("RGB"), (tile_width, tile_height))
            pictures = [picture]
            if targets is not None:
                values = np.minimum(targets[row], 255).astype(np.uint8)
                pictures.append(_fitted(Image.fromarray(_VALUE_COLOURS[values]), (tile_width, tile_height), is_values=True))
            if self.sources and self.dataset is not None:
                source = source_picture(self.dataset, int(arrays["index"][row]), self.orientation, self.folder)
                pictures.append(_source_panel(source, arrays["box"][row], (tile_width, tile_height)))
            for number, part in enumerate(pictures):
                _put(sheet, part, x + number * (tile_width + PANEL_GAP_PX), y)
            self._caption(draw, x, y + tile_height + 10, cell_width, arrays, row)
            self._mark(draw, x + 8, y + 8, int(arrays["status"][row]))
        return sheet

    def _mark(self, draw: ImageDraw.ImageDraw, x: int, y: int, status: int) -> None:
        """A badge on a row that is not simply the planned sample."""
        if status & Status.PADDING:
            _badge(draw, x, y, "padding", GREY)
        elif status & Status.SUBSTITUTED:
            _badge(draw, x, y, "substitute", "#b9770e")
        elif status & Status.REASON_MASK:
            _badge(draw, x, y, "bad", WARNING)

    def _caption(self, draw: ImageDraw.ImageDraw, x: int, y: int, width_px: int, arrays: Arrays, row: int) -> None:
        """The class, or the sample's number; the size of the box; and where it was, if the source is not shown in full."""
        label, sample, status = int(arrays["labels"][row]), int(arrays["index"][row]), int(arrays["status"][row])
        _, _, width, height = arrays["box"][row]
        source_height, source_width = arrays["source_size"][row]
        has_outline = not self.sources and width_px >= 120 and bool(width and source_width)
        text_px = width_px - 40 if has_outline else width_px
        classes = self.dataset.classes if self.dataset is not None else []
        name = classes[label] if 0 <= label < len(classes) else f"class {label}" if label >= 0 else f"sample {sample}"
        if self.sources and self.dataset is not None and 0 <= sample < len(self.dataset):
            name = os.path.relpath(self.dataset.paths[sample], self.dataset.root)
        detail = f"{width}x{height} of {source_width}x{source_height}{', mirrored' if arrays['flipped'][row] else ''}"
        if status & Status.REASON_MASK:
            reason = Status(status & Status.REASON_MASK).name.lower().replace("_", " ")
            detail = f"{reason}{', so another sample' if status & Status.SUBSTITUTED else ''}"
        _write(draw, x, y, text_px, name, 17, INK)
        _write(draw, x, y + 23, text_px, detail, 13, WARNING if status & Status.REASON_MASK else GREY)
        if has_outline:
            _draw_outline(draw, x + width_px - 1, y + 3, arrays["box"][row], arrays["source_size"][row])
