"""The Cropper: crops on request, of any files, by a worker process of its own."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Literal

from numpy.typing import ArrayLike

from .batch import Batch, Status
from .errors import BadSample
from .exchange import CropFuture, Exchange, Pending
from .flags import checked, defaults_of
from .requests import Path, Wanted, rows_of_paths
from .worker import Worker

_NAMED_IN_AN_ERROR = 5  # bad items, beyond the first
_ALWAYS_SAID = {"batch_size", "slots", "hflip"}  # whose default is not the worker's
_OWN = {"self", "window_size", "root", "errors", "respawn"}  # keywords that are no flags of the worker


class Cropper:
    """Cuts windows out of image files, as many at once as there are processors, and resizes them: paths and places in, one batch out.

    >>> with cropring.Cropper(32, max_img_percent=0.25) as crop:                  # doctest: +SKIP
    ...     images = crop(paths, x, y, scale).images                              # (B, 32, 32, 3) uint8
    ...     future = crop.submit(paths, x, y, scale)                              # while this program does something else
    ...     images = future.result().images                                       # or: (await future).images

    Calls from several threads are answered in the order in which they came.  A worker that dies is replaced, and whoever waits gets
    what it asked for a moment later; a file that kills two of them is a bad sample with `Status.CRASHED` from then on.

    Parameters
    ----------
    window_size : int or (int, int)
        Height and width of the images in pixels.
    channels : {3, 1}
        Colour (RGB) or grey.
    max_img_percent : float
        The largest scale of a window, whatever is asked for: 0.25 is a quarter of the picture's height and width.
    threads : int
        Threads that decode; 0: what CPU affinity and cgroup quota allow.
    batch_size : int
        The most items that a call may have.  The memory of the slots is for so many.
    errors : {"raise", "status"}
        A file that cannot be read, or a box that does not lie in its picture: whether it raises `BadSample`, or only shows in
        `batch.status`, its image being zeros.  The other items of the call are not disturbed either way.
    root : str or path-like
        Only files below this folder can be read.
    short_side : int
        For rule="center": length of the shorter side before the cut, in pixels; 0: 256/224 of `window_size`.
    scale, ratio : (float, float)
        For rule="random-resized": the box's share of the picture's area, and its width / height.
    hflip : float
        Probability of mirroring left to right, for every rule.
    resample, fidelity, orientation, dtype, layout, mean, std
        How images are scaled, and the form of `batch.images`; as `Loader` has them.
    slots : int
        Batches that the shared memory has room for: as many requests are worked on at once.
    segment, cpus, nice, io, io_depth, max_pixels, max_file_bytes, item_timeout_ms, sandbox, verbose, quiet, log
        As `Loader` has them.
    respawn : int
        How many deaths of workers in a row, without an answer between them, are made good before `WorkerDied` is raised; 0: none.

    Raises
    ------
    ValueError, TypeError
        A keyword's value cannot be used.
    SourceError
        `root` cannot be read.
    WorkerDied, CropringError
        The worker did not start.
    """

    def __init__(
        self,
        window_size: int | tuple[int, int],
        *,
        channels: Literal[3, 1] = 3,
        max_img_percent: float = 1.0,
        threads: int = 0,
        batch_size: int = 256,
        errors: Literal["raise", "status"] = "raise",
        root: str | os.PathLike[str] = "/",
        short_side: int = 0,
        scale: tuple[float, float] = (0.08, 1),
        ratio: tuple[float, float] = (0.75, 1.3333),
        hflip: float = 0.0,
        resample: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear",
        fidelity: Literal["exact", "fast"] = "exact",
        orientation: Literal["raw", "exif"] = "raw",
        dtype: Literal["uint8", "float32", "float16"] = "uint8",
        layout: Literal["nhwc", "nchw"] = "nhwc",
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        slots: int = 4,
        segment: Literal["auto", "shm", "memfd"] = "auto",
        cpus: str | None = None,
        nice: int = 0,
        io: Literal["auto", "uring", "pread"] = "auto",
        io_depth: int = 64,
        max_pixels: int = 268435456,
        max_file_bytes: int = 268435456,
        item_timeout_ms: int = 30000,
        sandbox: Literal["auto", "require", "off"] = "auto",
        verbose: bool = False,
        quiet: bool = False,
        log: Literal["text", "json"] = "text",
        respawn: int = 5,
    ) -> None:
        flags = {name: checked(name, value, _DEFAULTS[name]) for name, value in locals().items() if name not in _OWN}
        if errors not in ("raise", "status"):
            raise ValueError(f'errors={errors!r}: "raise" or "status" is expected')
        if checked("respawn", respawn, 0) < 0:
            raise ValueError(f"respawn={respawn}: 0 or more deaths are expected")
        self._window_size = window_size
        self._batch_size: int = flags["batch_size"]
        self._raises = errors == "raise"
        self._root = os.path.abspath(os.path.expanduser(os.fspath(root)))
        self._root_prefix = os.fsencode(self._root).rstrip(b"/") + b"/"
        source = self._root
        always = {name: value for name, value in flags.items() if name in _ALWAYS_SAID or value != _DEFAULTS[name]}
        always |= {"size": window_size, "requests": "paths", "on_error": "zero"}
        finish = _bad_sample if self._raises else _nothing
        # Neither the exchange nor its thread knows of us, so that our end is its end.
        self._exchange = Exchange(lambda more: Worker(source, always | more), finish, respawn)
        self._finalizer = weakref.finalize(self, self._exchange.drop)  # also runs at the interpreter's exit

    def __call__(
        self,
        paths: Path | Iterable[Path],
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        *,
        box: ArrayLike | None = None,
        rule: Literal["center", "resize", "random", "random-resized"] | None = None,
        seed: ArrayLike | None = None,
        labels: ArrayLike | None = None,
    ) -> Batch:
        """One image for each of B items: `batch.images` is (B, height, width, channels), a view into shared memory.

        What is cut out is told in one of four ways: `x`, `y` and `scale`; `box`; `rule`; or `seed` alone, which is
        rule="random-resized".

        Parameters
        ----------
        paths : sequence of B str, bytes or path-like, or one of these for all items
            The files.  Relative paths begin at the working folder.
        x, y, scale : (B,) array_like of float, or one number for all items
            Windows, as the crate parallel_image_crop cuts them; each number from 0 to 1, in float32: s = min(scale, max_img_percent);
            width max(2, floor(W s)), left side min(floor(x W), W - width), for a picture W pixels wide; the same for height and top.
        box : (B, 4) array_like of int, or one box for all items
            x, y, width and height in pixels of the picture, in which it must lie.
        rule : {"center", "resize", "random", "random-resized"}
            torchvision's Resize and CenterCrop, the whole picture, a box of the output's size anywhere, torchvision's
            RandomResizedCrop.
        seed : (B,) array_like of int, or one number for all items, from 0 to 2**64 - 1
            Fixes all that is random.  An item with a seed of its own gets the same box and mirroring wherever it stands; with one
            seed for all, each item gets others, by its place.  None: each item of this Cropper gets others, by its number.
        labels : (B,) array_like of int, or one number for all items
            What stands in `batch.labels`; else -1.

        Returns
        -------
        Batch
            `batch.box` tells the boxes, `batch.source_size` the pictures' sizes, `batch.index` the items' numbers since the Cropper
            was made.  Its arrays may be kept as long as one likes.

        Raises
        ------
        ValueError, TypeError
            An argument cannot be used; the message names the item.
        BadSample
            A file cannot be read, or has no such box, under errors="raise".
        WorkerDied
            Workers died `respawn` times in a row.
        """
        return self._exchange.ask(self._pending(paths, Wanted(x, y, scale, box, rule, seed, labels)), seed is not None)

    def submit(
        self,
        paths: Path | Iterable[Path],
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        *,
        box: ArrayLike | None = None,
        rule: Literal["center", "resize", "random", "random-resized"] | None = None,
        seed: ArrayLike | None = None,
        labels: ArrayLike | None = None,
    ) -> CropFuture:
        """As a call, but the answer comes later: a `concurrent.futures.Future` of it, which can also be awaited.

        Arguments that cannot be used raise here, `BadSample` comes out of the future.  Any number may be submitted: as many as there
        are slots are worked on, and the others wait; those can be cancelled.
        """
        return self._exchange.submit(self._pending(paths, Wanted(x, y, scale, box, rule, seed, labels)), seed is not None)

    def _pending(self, paths: Path | Iterable[Path], wanted: Wanted) -> Pending:
        self._exchange.check_process()
        rows, text = rows_of_paths(paths, wanted, self._root_prefix)
        if len(rows) > self._batch_size:
            raise ValueError(f"{len(rows)} items, over batch_size={self._batch_size}: make the Cropper with a larger one, or call it twice")
        return Pending(rows, text)

    def stats(self) -> dict[str, int]:
        """Counters as `Loader.stats` has them, and `moved_batches`, which were copied out of the ring because many are kept."""
        return self._exchange.stats()

    def close(self) -> None:
        """Ends the worker.  Arrays that are alive stay valid; futures that are not done are cancelled or fail.

        Nothing happens the second time.
        """
        self._exchange.close()

    def __enter__(self) -> Cropper:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cropring.Cropper {self._window_size!r} of files below {self._root}>"


_DEFAULTS = defaults_of(Cropper)


def _nothing(pending: Pending, batch: Batch) -> None:
    return None


def _bad_sample(pending: Pending, batch: Batch) -> BadSample | None:
    """What there is to say about the rows that failed."""
    statuses = batch.status
    if not statuses.any():
        return None
    positions = [int(row) for row in statuses.nonzero()[0]]
    first = positions[0]
    reason = Status(statuses[first] & Status.REASON_MASK)
    text = f"item {first}: {pending.path(first)}: {reason.name.lower()}"
    if reason is Status.BAD_BOX:
        x, y, width, height = pending.rows["box"][first]
        text += f": {x},{y} {width}x{height} (x,y width x height) does not lie in the picture"
    if others := positions[1:]:
        named = ", ".join(map(str, others[:_NAMED_IN_AN_ERROR])) + ", ..." * (len(others) > _NAMED_IN_AN_ERROR)
        text += f"; and {len(others)} more (item {named})"
    return BadSample(text, 0, batch, positions)
