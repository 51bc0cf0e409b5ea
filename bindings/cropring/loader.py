"""The Loader: what its keywords mean, and what can be done with it; stream.py has its batches."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .batch import Batch
from .dataset import Dataset
from .epoch import Epoch, SampledEpoch
from .flags import checked, defaults_of, working_folder
from .node import Leader, Member, check_keywords, meet
from .report import Report, Reports
from .sampling import Sampling
from .state import Order, Progress, as_dict, from_dict
from .stream import Stream
from .weights import Weights
from .worker import Worker
from .world import Node, World, find_node, find_world, log_world

# What decides which samples stand in which batch is always said on the worker's command line, because a restart changes it; of
# the other flags those that differ from their default.
_ALWAYS_SAID = {"batch_size", "epochs", "start_epoch", "seed", "shuffle", "tail", "start_sample", "rank", "world_size"}
_NO_FLAGS = {"self", "source", "num_workers", "respawn", "sampler", "per_node"}

AWorker = TypeVar("AWorker", bound=Worker)


class Loader:
    """Batches of decoded, cropped images from a folder, made by a worker process of its own.

    A `for` loop runs over one epoch, the next loop over the next epoch, whose first batches are made meanwhile.  Leaving a loop
    early ends its epoch: the next loop starts the following one, with a fresh worker.  One loop at a time.

    With `per_node=True` the ranks of one machine share one worker, and each has the batches that it would have had without.

    With `readers` above 1, other processes `attach` to the same ring, and the loop runs over the batches of the epoch that come to this
    one; they must go on for as long as this one does, since a fresh worker (after an early end, `set_epoch`) has a ring of its own.

    A worker that dies without a word, by a signal or by a file that crashes its decoder, is replaced: the loop goes on with the same
    batches as if nothing had happened, a moment later.  The logger "cropring" warns, and `stats()` counts.  A sample that crashed two
    workers is left out as a bad sample, with `Status.CRASHED`.

    Every keyword is a flag of `cropring serve` with the same name, unit and default (`cropring serve --help`, README), except
    for `epochs`, which is endless here, and for the last four, which are the Loader's own.

    Parameters
    ----------
    source : str or path-like
        A folder with one sub-folder per class (as torchvision's ImageFolder reads it), a flat folder of images, a manifest (.csv,
        .tsv or .jsonl), a folder with a metadata.csv or .jsonl as Hugging Face has them, tar shards, or a pack (.pack); see docs/sources.md.
    index : str or path-like, optional
        A file that keeps the list of samples: written by the first start, and later starts do not look through `source` unless one
        of its folders has changed.
    root : str or path-like, optional
        What the paths of a manifest begin at; by default the folder that it lies in.
    batch_size : int
        Samples per batch.
    epochs : int
        Epochs that can be iterated over; 0 is without end.
    start_epoch, start_sample : int
        The epoch to begin with, and how many of its samples to pass over (all ranks together).
    seed : int
        Fixes order, crops and flips.
    shuffle : bool
        A new order in every epoch.
    tail : {"drop", "pad", "partial"}
        What becomes of an incomplete last batch.
    limit : int
        Samples of an epoch: the first so many of its order; 0 is all of them.
    weights : array-like, path-like or "column", optional
        Draws the samples of an epoch with replacement, each as often as its weight says: (N,) numbers >= 0, a .npy file of them, or the
        word for the manifest's own column.  An epoch has as many samples as the data set, or `limit`, which may be more.
    rank, world_size : int, optional
        This process's share of each epoch.  Without both they are those of PyTorch's process group, or those that torchrun, Ray, srun or
        mpirun set in the environment (docs/order-and-resume.md); with `readers` above 1 neither is asked, and one process takes all.
    size : int or (int, int)
        Height and width of the images in pixels.
    crop, short_side, scale, ratio, max_img_percent, hflip, resample, fidelity, orientation
        Which part of an image becomes the sample, and how it is scaled.
    channels, dtype, layout, mean, std
        The form of `batch.images`.
    targets : str or path-like, optional
        A folder with a second picture for each sample, such as a segmentation mask: `targets`/a/b.png (or .bmp, or its own
        ending) for `source`/a/b.jpg, cut and mirrored like it, in `batch.targets`. In tar files: the extension of those members,
        such as "seg.png".
    target_dtype : {"uint8", "uint16"}
        Of `batch.targets`; gray of 16 bits needs "uint16".
    ring, socket, slots, segment, share, readers, linger_ms, stalled_reader, stalled_after_ms
        The shared memory, and other processes that read from it (`attach(ring)`).  `slots` batches can be held or ready at once.
    threads, cpus, nice, io, io_depth
        How the worker works.
    on_error, max_pixels, max_file_bytes, item_timeout_ms
        What is a bad file, and what becomes of it.
    sandbox : {"auto", "require", "off"}
        Whether the worker, once started, can do nothing but read the files of `source`.
    verbose, quiet, log, stats
        What the worker reports on stderr and to a file.
    metrics : str or path-like, optional
        A file that the worker keeps its counters in, anew every second, as OpenMetrics text for Prometheus (docs/trace-and-metrics.md).
    trace : str or path-like, optional
        A file of what each slot and thread did when, for ui.perfetto.dev and `cropring plot`.  It is of all workers that this Loader starts,
        one after the other.
    num_workers : int, optional
        Another name for `threads`.
    respawn : int
        How many deaths of workers in a row, without one batch between them, are made good before `WorkerDied` is raised; 0: none.
        With `readers` above 1 none is, because the other readers could not follow.
    sampler : iterable, optional
        Names the samples of each epoch by their numbers (places in `paths`), one by one, or batches of at most `batch_size`; PyTorch's
        samplers do.  It is iterated over in the loop's thread, up to `slots` batches ahead; before that `sampler.set_epoch(epoch)` is
        called, if there is such a method.  Then `shuffle`, `rank` and `world_size` choose no samples: it names this process's share.
        A sample that comes again in an epoch gets another crop.  What it raises comes out of the loop, after the batches before.
    per_node : bool
        One worker for all ranks of this machine, instead of one each: local rank 0 starts it, with `threads` for all of them, and the others take
        their batches from the same ring (docs/distributed.md).  All of them make the same Loader with it, make the same calls in the same
        order, and leave a loop after the same batch.  The environment tells which local rank this is (`LOCAL_RANK`, `LOCAL_WORLD_SIZE`;
        Open MPI, MPICH, Slurm).  Such a worker is not replaced: if it dies, all its ranks get `WorkerDied`.

    Attributes
    ----------
    dataset : Dataset
        The samples: sized, with `classes`, `class_to_idx`, `samples`, `targets`.
    rank, world_size : int
        Those that are in force, wherever they came from.
    batch_sampler : None
        For trainers that look for one.

    Raises
    ------
    ValueError
        A flag's value cannot be used.
    SourceError
        The source cannot be read, holds no image, or has something in it that cannot be right.
    WorkerDied, CropringError
        The worker did not start.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        index: str | os.PathLike[str] | None = None,
        root: str | os.PathLike[str] | None = None,
        batch_size: int = 256,
        epochs: int = 0,
        start_epoch: int = 0,
        seed: int = 0,
        shuffle: bool = True,
        tail: Literal["drop", "pad", "partial"] = "drop",
        start_sample: int = 0,
        limit: int = 0,
        weights: ArrayLike | str | os.PathLike[str] | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        size: int | tuple[int, int] = 224,
        crop: Literal["random-resized", "random", "center", "resize", "box", "window"] = "random-resized",
        short_side: int = 0,
        scale: tuple[float, float] = (0.08, 1),
        ratio: tuple[float, float] = (0.75, 1.3333),
        max_img_percent: float = 1.0,
        hflip: float = 0.5,
        resample: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear",
        fidelity: Literal["exact", "fast"] = "exact",
        orientation: Literal["raw", "exif"] = "raw",
        channels: Literal[3, 1] = 3,
        dtype: Literal["uint8", "float32", "float16"] = "uint8",
        layout: Literal["nhwc", "nchw"] = "nhwc",
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        targets: str | os.PathLike[str] | None = None,
        target_dtype: Literal["uint8", "uint16"] = "uint8",
        ring: str | None = None,
        socket: str | os.PathLike[str] | None = None,
        slots: int = 0,
        segment: Literal["auto", "shm", "memfd"] = "auto",
        share: Literal["split", "lanes", "broadcast"] = "split",
        readers: int = 1,
        linger_ms: int = 0,
        stalled_reader: Literal["wait", "expel"] = "wait",
        stalled_after_ms: int = 5000,
        threads: int = 0,
        cpus: str | None = None,
        nice: int = 0,
        io: Literal["auto", "uring", "pread"] = "auto",
        io_depth: int = 64,
        on_error: Literal["substitute", "zero", "stop"] = "substitute",
        max_pixels: int = 268435456,
        max_file_bytes: int = 268435456,
        item_timeout_ms: int = 30000,
        sandbox: Literal["auto", "require", "off"] = "auto",
        verbose: bool = False,
        quiet: bool = False,
        log: Literal["text", "json"] = "text",
        stats: str | os.PathLike[str] | None = None,
        metrics: str | os.PathLike[str] | None = None,
        trace: str | os.PathLike[str] | None = None,
        num_workers: int | None = None,
        respawn: int = 5,
        sampler: Iterable[Any] | None = None,
        per_node: bool = False,
    ) -> None:
        flags = {name: value for name, value in locals().items() if name not in _NO_FLAGS}
        if num_workers is not None:
            if threads not in (0, num_workers):
                raise ValueError(f"threads={threads} and num_workers={num_workers}: they are two names for one number")
            flags["threads"] = num_workers
        self._weights = None if weights is None else Weights(weights)
        flags["weights"] = None if self._weights is None else self._weights.flag
        world = World() if readers != 1 and rank is None and world_size is None else find_world(rank, world_size)
        flags |= {"rank": world.rank, "world_size": world.size}
        flags = {name: checked(name, value, _DEFAULTS[name]) for name, value in flags.items()}
        if root is not None:
            flags["root"] = os.path.expanduser(os.fspath(root))
        if checked("respawn", respawn, _DEFAULTS["respawn"]) < 0:
            raise ValueError(f"respawn={respawn}: 0 or more deaths are expected")
        if targets is not None:
            flags["targets"] = os.path.expanduser(os.fspath(targets))
        self._source = os.path.expanduser(os.fspath(source))
        self._flags = flags
        self.batch_size: int = flags["batch_size"]
        self.rank, self.world_size = world.rank, world.size
        self.batch_sampler = None
        self._sampling = None if sampler is None else Sampling(sampler, flags)
        # The stream does not know of us, so that our end is its end.
        self._reports = Reports()
        begin = partial(_start_worker, self._source, working_folder(), self._weights)
        node = find_node(world) if per_node else Node()
        self._team: Leader | Member | None = None
        if node.size == 1:
            self._stream = Stream(self._source, flags, partial(begin, Worker), self._sampling, operator.index(respawn))
        else:
            check_keywords(flags, _DEFAULTS, sampler)
            same = [self._source, "" if self._weights is None else self._weights.digest]
            self._team = meet(world, node, same, begin)
            try:
                self._stream = Stream(self._source, flags, self._team.start, None, 0, (node.rank, node.size))
            except BaseException:
                self._team.leave()  # now: the exception may be kept, and with it what the others wait for
                raise
        log_world(world)

    # ---------------------------------------------------------------- iteration

    def __len__(self) -> int:
        """Batches per epoch.  The first epoch has fewer when `start_sample` passes over some of it.

        `TypeError` when a sampler does not tell its length.
        """
        return self._stream.batch_count(0) if self._sampling is None else self._sampling.batch_count()

    def __iter__(self) -> Iterator[Batch]:
        return Epoch(self._stream) if self._sampling is None else SampledEpoch(self._stream, self._sampling)

    def set_epoch(self, epoch: int) -> None:
        """Makes `epoch` the one that the next loop runs over.

        Nothing happens when it comes next anyway; else the next loop starts a fresh worker there.
        """
        self._stream.set_epoch(checked("epoch", epoch, 0))

    # ---------------------------------------------------------------- resuming

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, as numbers and strings that JSON keeps; the same on all ranks.

        In the body of a loop, and after a `break`, the batches that the loop handed over are consumed, whatever the worker has made
        ready beyond them; in the body of the last batch that is the whole epoch.  After the loop's end it is the next epoch's begin.
        With `readers` above 1 it counts on readers that go in step: what each has had, all have had.  With a sampler it counts that
        sampler's samples, and to go on passes over so many of them, which it must name again: "sampler_state" has a hash of them.  If the
        sampler has `state_dict()` and `load_state_dict()`, it goes on by itself, and what the first told is there; JSON keeps that if JSON
        keeps what is in it.

        Raises
        ------
        ValueError
            `share="split"` with several readers: nobody knows who had what.
        """
        if self._stream.shares_batches and self._flags["share"] == "split":
            raise ValueError('share="split" with several readers has no state: which of them has had what is not known; use "lanes" or "broadcast"')
        sampler_state = None if self._sampling is None else self._sampling.state
        return as_dict(self._stream.progress, self._stream.seed, self._order(), sampler_state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the run stood that `state` is from: the next loop begins with the batch that would have come next.

        Its bytes are the same if the flags are; world size, batch size and threads may be others, for what is kept is the samples'
        global order.  The state's seed is taken over.  After a state from the body of an epoch's last batch the next loop is empty, as
        that epoch has no more.  An empty `state` does nothing.

        Raises
        ------
        ValueError
            The state is of other samples, another order, `limit` or version, or damaged.
        RuntimeError
            This Loader has handed over a batch already.
        """
        if state == {}:
            return
        self._stream.check_no_loop_began()
        before = self._stream.progress, self._stream.seed
        progress, seed = self._read(state)
        self._stream.go_on(progress, seed)
        try:
            self._read(state)  # the worker that goes on has looked at the source anew
            if self._sampling is not None:
                self._sampling.set_state(state.get("sampler_state"))
        except ValueError:
            self._stream.go_on(*before)
            raise

    def _read(self, state: Mapping[str, Any]) -> tuple[Progress, int]:
        sample_count = self._stream.epoch_samples() if self._sampling is None else None
        return from_dict(state, self._order(), sample_count, self.dataset.root)

    def _order(self) -> Order:
        kind = f"weighted:{self._weights.digest}" if self._weights is not None else "shuffle" if self._flags["shuffle"] else "sequential"
        kind = kind if self._sampling is None else "sampler"
        return Order(kind, self._flags["limit"], self.dataset.fingerprint)

    # ---------------------------------------------------------------- what there is to know

    @property
    def dataset(self) -> Dataset:
        """The samples: sized, with `classes`, `class_to_idx`, `samples`, `targets`."""
        return self._stream.dataset

    @property
    def sampler(self) -> Loader:
        """Itself, for trainers that call `loader.sampler.set_epoch(epoch)`."""
        return self  # no attribute: a cycle would keep the worker until the garbage collector comes by

    @property
    def classes(self) -> list[str]:
        """Class names; a label is a place in this list."""
        return self.dataset.classes

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class numbers by name."""
        return self.dataset.class_to_idx

    @property
    def paths(self) -> Sequence[str]:
        """Path of each sample: `loader.paths[i] for i in batch.index`."""
        return self.dataset.paths

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) int64, the label of each sample; read-only.  `targets` is another name for it."""
        return self.dataset.targets

    targets = labels

    def stats(self) -> dict[str, int]:
        """Counters since the worker's start, or the last ones of a closed loader.

        `images`, `batches`, `bytes_read`, `bad_samples` and `status_...` count; names in `_ns` are nanoseconds: `cpu_ns` of the
        worker, `reader_wait_ns` and `loader_wait_ns` that each side waited for the other, `elapsed_ns` since the worker began;
        `sandbox_landlock`, `sandbox_roots`, `sandbox_seccomp` and `sandbox_uring` tell what holds the worker (0: not in force);
        `status_...` count files by how they ended, substitutes included; `slots`, `slots_held` (by arrays of this process) and
        `slots_ready` describe the ring now.  A worker that took a dead one's place goes on with its counts, in which there is also
        what was lost with it.  `respawns` counts such workers since the Loader was made; `crashed_samples` are left out.
        """
        return self._stream.stats()

    def report(self, *, since: Literal["report", "start"] = "report") -> Report:
        """Who waits for whom, why, and what to do about it; `print(loader.report())` tells it in a few lines.

        About the time since the last report, or since the stream's start if this is the first one, a fresh worker was started since,
        or `since` is "start".  Of a closed loader it is about the end.  A worker that took a dead one's place counts anew here.
        """
        return self._reports.make(self._stream.reading(), since)

    def close(self) -> None:
        """Ends the worker.  Arrays that are alive stay valid.  Nothing happens the second time."""
        self._stream.close()
        if self._team is not None:
            self._team.leave()

    @property
    def _worker(self) -> Any:
        """The process of now, for tests and benches."""
        return self._stream.worker

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        batches = f"{len(self)} batches" if self._sampling is None else "a sampler's batches"
        return f"<cropring.Loader {self._source!r}: {len(self.dataset)} samples, {batches} of {self.batch_size}>"


_DEFAULTS = defaults_of(Loader)


def _start_worker(
    source: str, folder: str | None, weights: Weights | None, begin: Callable[..., AWorker], flags: Mapping[str, object]
) -> AWorker:
    """What `begin` makes.  Relative paths begin at `folder`, wherever the program went since."""
    said = {name: value for name, value in flags.items() if name in _ALWAYS_SAID or value != _DEFAULTS.get(name)}
    folder = folder if folder and os.path.isdir(folder) else None
    if weights is None:
        return begin(source, said, folder)
    try:
        return begin(source, said, folder, weights.fds)
    except ValueError as error:  # perhaps of their number, which the worker knows first
        raise ValueError(str(error).replace(f"--weights {weights.flag}", weights.name)) from None
