"""attach(): reading a ring that `cropring serve` runs in a process of its own."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cropring
from conftest import Server, WATCHDOG_S, eventually, is_running

Serve = Callable[..., Server]


def attach(server: Server, timeout: float | None = None) -> cropring.Reader:
    return cropring.attach(server.name, timeout=timeout, wait=WATCHDOG_S)


def test_a_reader_sees_every_batch_and_then_the_end(serve: Serve, photos: Path) -> None:
    server = serve("--epochs=2", "--tail=partial", "--no-shuffle")
    with attach(server) as reader:
        assert reader.name == server.name
        seen = [(batch.seq, batch.epoch, batch.index.tolist()) for batch in reader]
        with pytest.raises(StopIteration):
            next(reader)
        samples = len(reader.dataset)
    assert [seq for seq, _, _ in seen] == list(range(len(seen)))
    for epoch in (0, 1):
        assert sum((index for _, e, index in seen if e == epoch), []) == list(range(samples))
    assert server.wait() == 0


def test_batches_equal_those_of_a_loader(serve: Serve, load: Callable[..., cropring.Loader]) -> None:
    loader = load(seed=5, epochs=1)
    with attach(serve("--seed=5")) as reader:
        for ours, theirs in zip(loader, reader, strict=True):
            for name in ("images", "labels", "index", "box", "source_size", "flipped", "status"):
                np.testing.assert_array_equal(ours[name], theirs[name])
        assert reader.dataset.classes == loader.classes and list(reader.dataset.paths) == list(loader.paths)
        assert reader.stats()["batches"] == len(loader)


def test_a_second_reader_is_refused_with_the_firsts_pid(serve: Serve) -> None:
    server = serve()
    with attach(server) as reader:
        with pytest.raises(cropring.CropringError, match=f"{server.name}.*process {os.getpid()}"):
            cropring.attach(server.name)
        assert next(reader).seq == 0


def test_a_ring_that_does_not_run_is_an_error_that_names_the_remedy() -> None:
    with pytest.raises(cropring.CropringError, match="no ring named 'nobody'.*cropring serve") as caught:
        cropring.attach("nobody")
    assert caught.value.errno == 2
    with pytest.raises(cropring.CropringError, match="too long"):
        cropring.attach("x" * 500)


def test_a_timeout_counts_for_each_batch(serve: Serve) -> None:
    server = serve("--epochs=0")
    with attach(server, timeout=0.05) as reader:
        next(reader)
        os.kill(server.process.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError, match="no batch within 50 ms"):
            for _ in reader:
                pass
        os.kill(server.process.pid, signal.SIGCONT)
        eventually(lambda: reader.stats()["slots_ready"] > 0, "batches again")
        assert next(reader).images.any()


def test_a_timeout_of_zero_polls(serve: Serve) -> None:
    server = serve("--epochs=0")
    with attach(server, timeout=0) as reader:
        os.kill(server.process.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            for _ in reader:
                pass
        os.kill(server.process.pid, signal.SIGCONT)


def test_a_socket_path_reaches_the_ring_too(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "door"
    server = serve(f"--socket={path}")
    with cropring.attach(path, wait=WATCHDOG_S) as reader:
        assert reader.name == server.name and next(reader).images.any()
    server.wait()
    assert not path.exists()


def test_after_close_nothing_but_the_arrays_can_be_used(serve: Serve) -> None:
    reader = attach(serve())
    images = next(reader).images
    before = images.tobytes()
    reader.close()
    reader.close()
    for use in (lambda: next(reader), reader.stats, lambda: reader.name):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert images.tobytes() == before


def test_a_reader_that_leaves_an_endless_ring_ends_the_worker(serve: Serve) -> None:
    server = serve("--epochs=0")
    with attach(server) as reader:
        next(reader)
    assert server.wait() == 0


def test_a_reader_that_leaves_early_makes_the_worker_fail(serve: Serve) -> None:
    server = serve("--epochs=1000")
    with attach(server) as reader:
        next(reader)
    assert server.wait() == 1
    assert "left before the end" in server.process.stderr.read()


def test_batches_taken_stay_valid_after_the_worker_is_done(serve: Serve) -> None:
    server = serve("--slots=16")
    with attach(server) as reader:
        batches = list(reader)
        assert server.wait() == 0 and not is_running(server.process.pid)
        assert [batch.seq for batch in batches] == list(range(len(batches))) and all(batch.images.any() for batch in batches)
