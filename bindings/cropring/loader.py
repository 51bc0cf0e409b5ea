"""The Loader: starts a worker process and iterates over its batches, one epoch at a time."""

from __future__ import annotations

import operator
import os
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._ring import Lease
from .batch import Batch
from .dataset import Dataset
from .epoch import Epoch
from .errors import CropringError, WorkerDied
from .flags import checked, defaults_of, working_folder
from .sampling import SampledEpoch, Sampling
from .state import Order, Progress, as_dict, epoch_batches, from_dict
from .supervisor import Supervisor
from .weights import Weights
from .worker import Worker
from .world import World, find_world, log_world

# What decides which samples stand in which batch is always said on the worker's command line, because a restart changes it; of
# the other flags those that differ from their default.
_ALWAYS_SAID = {"batch_size", "epochs", "start_epoch", "seed", "shuffle", "tail", "start_sample", "rank", "world_size"}


class Loader:
    """Batches of decoded, cropped images from a folder, made by a worker process of its own.

    A `for` loop runs over one epoch, the next loop over the next epoch, whose first batches are made meanwhile.  Leaving a loop
    early ends its epoch: the next loop starts the following one, with a fresh worker.  One loop at a time.

    With `readers` above 1, other processes `attach` to the same ring, and the loop runs over the batches of the epoch that come to this
    one; they must go on for as long as this one does, since a fresh worker (after an early end, `set_epoch`) has a ring of its own.

    A worker that dies without a word, by a signal or by a file that crashes its decoder, is replaced: the loop goes on with the same
    batches as if nothing had happened, a moment later.  The logger "cropring" warns, and `stats()` counts.  A sample that crashed two
    workers is left out as a bad sample, with `Status.CRASHED`.

    Every keyword is a flag of `cropring serve` with the same name, unit and default (`cropring serve --help`, README), except
    for `epochs`, which is endless here, and for the last three, which are the Loader's own.

    Parameters
    ----------
    source : str or path-like
        A folder with one sub-folder per class (as torchvision's ImageFolder reads it), a flat folder of images, a manifest (.csv,
        .tsv or .jsonl), or a folder with a metadata.csv or .jsonl as Hugging Face has them; see docs/sources.md.
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
        This process's share of each epoch.  Without both they are those that torchrun, Ray, srun or mpirun set in the environment
        (docs/order-and-resume.md); with `readers` above 1 the environment is not asked, and one process takes all.
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
        num_workers: int | None = None,
        respawn: int = 5,
        sampler: Iterable[Any] | None = None,
    ) -> None:
        flags = {name: value for name, value in locals().items() if name not in ("self", "source", "num_workers", "respawn", "sampler")}
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
        self._flags = {name: value for name, value in flags.items() if name in _ALWAYS_SAID or value != _DEFAULTS[name]}
        self._source = os.path.expanduser(os.fspath(source))
        self._folder = working_folder()  # of relative paths, wherever the program goes later
        self.batch_size: int = flags["batch_size"]
        self.rank, self.world_size = world.rank, world.size
        self.batch_sampler = None
        self._closed_stats: dict[str, int] | None = None
        self._owner_pid = os.getpid()

        start_epoch = flags["start_epoch"]
        self._next_epoch = start_epoch  # of the next loop
        self._stream_epoch = start_epoch  # of the batch that the worker hands out next,
        self._stream_batch = 0  # its number within that epoch,
        self._stream_seq = 0  # its number since the stream began,
        self._stream_start_sample = 0  # and the samples of that epoch that are passed over
        self._epoch_seq = 0  # the number since the stream began of that epoch's first batch
        self._progress = Progress(start_epoch, flags["start_sample"])  # what state_dict() tells
        self._is_only_reader = flags["readers"] == 1
        self._sampling = None if sampler is None else Sampling(sampler, flags)
        self._shares_batches = not self._is_only_reader and flags["share"] != "broadcast"  # then no count tells an epoch's end
        self._kept: Lease | None = None  # sharing: the batch that told it, for the next loop
        self._supervisor = Supervisor(operator.index(respawn) if self._is_only_reader else 0)
        self._loops_begun = 0  # only the newest may take batches
        self._worker: Worker | None = None
        self._start_worker(start_epoch)
        log_world(world)

    # ---------------------------------------------------------------- the worker

    def _start_worker(self, epoch: int) -> None:
        """A new stream, from the beginning of `epoch`."""
        self._stop_worker()
        self._supervisor.stream_begins()
        if self._sampling is not None:
            self._sampling.forget()
        self._stream_epoch, self._stream_batch, self._stream_seq, self._epoch_seq = epoch, 0, 0, 0
        self._stream_start_sample = self._passed_over(epoch)
        worker = self._adopt(self._make_worker())
        self._take_dataset(Dataset(worker.ring.catalog_fd))

    def _make_worker(self) -> Worker:
        """A worker that begins where the stream stands."""
        flags = dict(self._flags)
        if flags["epochs"]:
            flags["epochs"] -= self._stream_epoch - flags["start_epoch"]
        flags["start_epoch"] = self._stream_epoch
        flags["start_sample"] = self._stream_start_sample + self._stream_batch * self._step()
        if self._sampling is not None:
            flags |= {"requests": "samples", "start_sample": 0}
        if self._stream_seq:
            flags["first_batch"] = self._stream_seq
        if self._supervisor.crashed:
            flags["crashed"] = self._supervisor.crashed
        fds = () if self._weights is None else self._weights.fds
        return Worker(self._source, flags, self._folder if self._folder and os.path.isdir(self._folder) else None, fds)

    def _adopt(self, worker: Worker) -> Worker:
        self._worker = worker
        self._finalizer = weakref.finalize(self, worker.stop)  # also runs at the interpreter's exit
        return worker

    def _replace(self, dead: Worker, error: WorkerDied) -> Worker:
        """Another worker goes on where this one died, or `error` is raised, with what is known of its end."""
        self._worker = None
        place = f"batch {self._stream_batch} of epoch {self._stream_epoch}"
        try:
            successor = self._supervisor.replace(dead, error, self._make_worker, self.dataset, place)
        finally:
            self._finalizer()
        self._adopt(successor)
        if self._sampling is not None:
            self._sampling.send_again(successor)
        if self._closed_stats is not None:  # asked afterwards: whoever closes now finds it
            self._stop_worker()
            raise CropringError("the loader was closed by another thread")
        return successor

    def _stop_worker(self) -> None:
        if self._worker is not None:
            self._finalizer()
        self._worker = self._kept = None

    def _take_dataset(self, dataset: Dataset) -> None:
        before = getattr(self, "dataset", dataset)
        self.dataset = dataset
        if len(before) != len(dataset):
            warnings.warn(f"{self._source} changed: {len(before)} samples before, {len(dataset)} now", stacklevel=4)
        if not dataset.is_same(before) and self._supervisor.forget_samples():
            self._start_worker(self._stream_epoch)

    # ---------------------------------------------------------------- iteration

    def __len__(self) -> int:
        """Batches per epoch.  The first epoch has fewer when `start_sample` passes over some of it.

        `TypeError` when a sampler does not tell its length.
        """
        return self._batch_count(0) if self._sampling is None else self._sampling.batch_count()

    def _batch_count(self, passed_over: int) -> int:
        return epoch_batches(self._epoch_samples(), passed_over, self._step(), self._flags["tail"])

    def _epoch_samples(self) -> int:
        """Positions of an epoch's order."""
        limit, count = self._flags.get("limit", 0), len(self.dataset)
        return limit if limit and (limit < count or self._weights is not None) else count

    def _passed_over(self, epoch: int) -> int:
        """Samples at the begin of `epoch` that were consumed before this Loader."""
        passed_over: int = self._flags["start_sample"] if epoch == self._flags["start_epoch"] else 0
        return passed_over

    def _step(self) -> int:
        """Samples that all ranks together take in one batch each."""
        step: int = self._flags["batch_size"] * self._flags["world_size"]
        return step

    def __iter__(self) -> Iterator[Batch]:
        return Epoch(self) if self._sampling is None else SampledEpoch(self, self._sampling)

    def set_epoch(self, epoch: int) -> None:
        """Makes `epoch` the one that the next loop runs over.

        Nothing happens when it comes next anyway; else the next loop starts a fresh worker there.
        """
        first, count = self._flags["start_epoch"], self._flags["epochs"]
        if epoch < 0 or (count and not first <= epoch < first + count):
            raise ValueError(f"epoch {epoch}: " + (f"{first} to {first + count - 1} were asked for" if count else "0 is the first"))
        self._next_epoch, before = epoch, self._progress
        self._progress = Progress(epoch, self._passed_over(epoch))
        if self._sampling is not None and self._progress != before:
            self._sampling.set_state(None)

    def _begin_loop(self) -> tuple[int, int]:
        """Brings the worker to the epoch that comes next; returns the loop's number and that epoch."""
        if self._closed_stats is not None:
            raise ValueError("the loader is closed")
        if os.getpid() != self._owner_pid:
            raise RuntimeError(f"this loader belongs to process {self._owner_pid}, of which this one is a fork: make another here")
        epoch, last = self._next_epoch, self._flags["start_epoch"] + self._flags["epochs"] - 1
        if self._flags["epochs"] and epoch > last:
            raise CropringError(f"epochs={self._flags['epochs']} was asked for, and epoch {last} was the last (0 is without end)")
        is_there = self._stream_epoch == epoch if self._sampling is None else not self._sampling.has_unanswered
        if self._worker is None or not is_there or self._stream_batch > 0:
            self._start_worker(epoch)
        self._loops_begun += 1
        return self._loops_begun, epoch

    def _begin(self) -> tuple[int, int]:
        """Begins a loop; returns its number and its epoch's number of batches."""
        loop, epoch = self._begin_loop()
        count = self._batch_count(self._passed_over(epoch))
        if count == 0:  # the worker passes over such an epoch without a word
            self._next_epoch = epoch + 1
            self._end()
        return loop, count

    def _worker_of(self, loop: int) -> Worker:
        if loop != self._loops_begun or self._worker is None:
            raise CropringError("this loop is over: the loader was closed, or another loop over it began")
        return self._worker

    def _take(self, loop: int) -> Lease | None:
        """The next batch of the epoch; None, where other readers share its batches, when there is no more of them for this one."""
        worker = self._worker_of(loop)
        lease, self._kept = self._kept or self._acquire(worker), None
        if self._shares_batches and (lease is None or lease.epoch > self._stream_epoch):
            self._kept = lease
            if self._stream_batch == 0:
                self._next_epoch = self._stream_epoch + 1
            self._end()
            return None
        if lease is None:
            raise CropringError(f"the worker's stream ended in the middle of epoch {self._stream_epoch}")
        if self._is_only_reader and lease.sequence != self._stream_seq % 2**32:
            raise CropringError(f"the worker handed out batch {lease.sequence} where {self._stream_seq % 2**32} was due")
        self._supervisor.batch_arrived()
        if lease.epoch < self._stream_epoch:
            return lease  # late: a reader that died had it, while we went on to the next epoch
        if self._stream_batch == 0:  # from now on this epoch is begun, and the next loop's is the following
            self._next_epoch = self._stream_epoch + 1
            self._flags["start_sample"] = 0
        self._stream_batch += 1
        self._stream_seq += 1
        self._progress = self._progress_after(lease)
        return lease

    def _acquire(self, worker: Worker) -> Lease | None:
        """The worker's next batch, or its successor's if it died."""
        while True:
            try:
                return worker.ring.acquire()
            except WorkerDied as error:
                worker = self._replace(worker, error)

    def _end(self) -> None:
        self._epoch_seq += self._batch_count(self._stream_start_sample)
        self._stream_epoch, self._stream_batch, self._stream_start_sample = self._stream_epoch + 1, 0, 0

    # ---------------------------------------------------------------- resuming

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, as numbers and strings that JSON keeps; the same on all ranks.

        In the body of a loop, and after a `break`, the batches that the loop handed over are consumed, whatever the worker has made
        ready beyond them; in the body of the last batch that is the whole epoch.  After the loop's end it is the next epoch's begin.
        With `readers` above 1 it counts on readers that go in step: what each has had, all have had.  With a sampler it counts that
        sampler's samples, and to go on passes over so many of them; or, if the sampler has `state_dict()` and `load_state_dict()`, has it
        go on by itself: "sampler_state" is that sampler's, and JSON keeps it if JSON keeps what is in it.

        Raises
        ------
        ValueError
            `share="split"` with several readers: nobody knows who had what.
        """
        if self._shares_batches and self._flags.get("share", "split") == "split":
            raise ValueError('share="split" with several readers has no state: which of them has had what is not known; use "lanes" or "broadcast"')
        sampler_state = None if self._sampling is None else self._sampling.state
        return as_dict(self._progress, self._flags["seed"], self._order(), sampler_state)

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
        if self._closed_stats is not None:
            raise ValueError("the loader is closed")
        if self._loops_begun:
            raise RuntimeError("load_state_dict() comes before the first loop: make a new Loader for it")
        progress, seed = from_dict(state, self._order(), self._epoch_samples() if self._sampling is None else None, self.dataset.root)
        if self._sampling is not None:
            self._sampling.set_state(state.get("sampler_state"))
        first, count = self._flags["start_epoch"], self._flags["epochs"]
        self._flags["seed"], self._next_epoch, self._progress = seed, progress.epoch, progress
        if count and progress.epoch >= first + count:
            self._stop_worker()  # that run was complete: the next loop says so
            return
        if count:
            self._flags["epochs"] = first + count - progress.epoch
        self._flags["start_epoch"], self._flags["start_sample"] = progress.epoch, progress.samples
        self._start_worker(progress.epoch)

    def _order(self) -> Order:
        kind = f"weighted:{self._weights.digest}" if self._weights is not None else "shuffle" if self._flags["shuffle"] else "sequential"
        kind = kind if self._sampling is None else "sampler"
        return Order(kind, self._flags.get("limit", 0), self.dataset.fingerprint)

    def _progress_after(self, lease: Lease) -> Progress:
        """What is consumed once this batch is, the last of `_stream_batch` that this reader has had of its epoch."""
        if self._sampling is not None:
            return Progress(self._stream_epoch, self._sampling.next_position)
        batches, epoch, passed_over = self._stream_batch, self._stream_epoch, self._stream_start_sample
        if not self._is_only_reader:  # those in step with this one have had the other batches of the same round,
            lanes = self._flags["readers"] if self._shares_batches else 1
            seq = self._epoch_seq + (lease.sequence - self._epoch_seq) % 2**32
            batches = (seq // lanes + 1) * lanes - self._epoch_seq
            while batches > (count := self._batch_count(passed_over)):  # perhaps of the next epoch
                batches, epoch, passed_over = batches - count, epoch + 1, 0
        progress = Progress(epoch, min(self._epoch_samples(), passed_over + batches * self._step()))
        return max(progress, self._progress) if lease.redelivered else progress  # which may be one of those before

    def _loop_ended(self, loop: int) -> None:
        """It is over, not left: a state is of the next epoch's begin."""
        if loop == self._loops_begun and self._progress.epoch == self._stream_epoch - 1:
            self._progress = Progress(self._next_epoch, self._passed_over(self._next_epoch))

    # ---------------------------------------------------------------- what there is to know

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
        if self._closed_stats is not None:
            return dict(self._closed_stats)
        return self._supervisor.stats(self._worker.ring if self._worker is not None else None)

    def close(self) -> None:
        """Ends the worker.  Arrays that are alive stay valid.  Nothing happens the second time."""
        if self._closed_stats is None:
            if os.getpid() == self._owner_pid:
                if self._worker is not None:
                    self._worker.end()
                self._closed_stats = self.stats()
            else:
                self._closed_stats = {}
            self._stop_worker()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        batches = f"{len(self)} batches" if self._sampling is None else "a sampler's batches"
        return f"<cropring.Loader {self._source!r}: {len(self.dataset)} samples, {batches} of {self.batch_size}>"


_DEFAULTS = defaults_of(Loader)
