"""An observer sees a ring from any process, is nobody's business, and outlives the worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

import cropring
from conftest import WATCHDOG_S, Server, eventually, ring_names
from cropring._ring import Observer
from cropring.snapshot import Snapshot


def observe(server: Server) -> Observer:
    eventually(lambda: server.name in ring_names(), "the ring is there")
    return Observer.attach(server.name)


def states(snapshot: Snapshot) -> list[str]:
    return [slot["state"] for slot in snapshot["slots"]]


def test_a_snapshot_tells_who_holds_what_and_who_waits(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=0")
    with observe(server) as observer, cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        stream = iter(reader)
        batch = next(stream)
        eventually(lambda: states(observer.snapshot()).count("ready") == 2, "the other slots are full")
        seen = observer.snapshot()
        assert (seen["name"], seen["pid"], seen["share"]) == (server.name, server.process.pid, "split")
        assert seen["subject"].endswith("photos")
        assert seen["alive"] and not seen["ended"]
        held = next(slot for slot in seen["slots"] if slot["state"] == "held")
        assert held == {"state": "held", "seq": batch.seq, "epoch": batch.epoch, "readers": [0]}
        (one,) = seen["readers"]
        assert (one["number"], one["pid"], one["there"], one["held"], one["ready"], one["taken"]) == (0, os.getpid(), True, 1, 2, 1)
        assert 0 <= one["start_wait_ns"] <= one["wait_ns"] <= one["present_ns"]
        assert seen["counters"]["images"] >= 4
        assert seen["time_ns"] <= time.monotonic_ns()
        del batch, stream


def test_an_observer_is_not_counted_and_keeps_no_worker_alive(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=1", "--readers=1")
    with observe(server) as observer:
        assert observer.snapshot()["readers"] == []
        with cropring.attach(server.name, wait=WATCHDOG_S) as reader:  # the only place is still to be had
            assert observer.snapshot()["counters"]["readers"] in (0, 1)  # a moment may pass before the worker counts it
            for _ in reader:
                pass
        assert server.wait() == 0
        eventually(lambda: not observer.snapshot()["alive"], "the worker has ended")
        last = observer.snapshot()
        assert last["ended"]
        assert last["counters"]["batches"] == 8
    with pytest.raises(ValueError, match="closed"):
        observer.snapshot()


def test_the_last_state_can_be_seen_after_a_kill(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=0")
    with observe(server) as observer:
        eventually(lambda: states(observer.snapshot()) == ["ready"] * 3, "the ring is full")
        server.process.kill()
        server.process.wait(WATCHDOG_S)
        last = observer.snapshot()
        assert not last["alive"] and not last["ended"]
        assert states(last) == ["ready"] * 3


def test_a_lane_without_a_reader_is_shown_with_what_waits_in_it(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=0", "--share=lanes", "--readers=2", "--slots=4")
    with observe(server) as observer, cropring.attach(server.name, wait=WATCHDOG_S, lane=1):
        eventually(lambda: states(observer.snapshot()) == ["ready"] * 4, "the ring is full")
        nobody, somebody = observer.snapshot()["readers"]
        assert (nobody["pid"], nobody["there"], nobody["ready"]) == (0, False, 2)
        assert (somebody["pid"], somebody["there"], somebody["ready"]) == (os.getpid(), True, 2)


def test_a_ring_that_does_not_run_is_an_error_with_its_name() -> None:
    with pytest.raises(cropring.CropringError, match="no ring named 'nowhere'"):
        Observer.attach("nowhere")
    with pytest.raises(TypeError, match="Observer"):
        Observer()


def test_a_forked_child_may_not_look(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=0")
    with observe(server) as observer:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                observer.snapshot()
            except RuntimeError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert observer.snapshot()["alive"]


def test_a_stopped_worker_is_said_not_to_answer(serve: Callable[..., Server]) -> None:
    server = serve("--epochs=0")
    observe(server).close()
    server.process.send_signal(signal.SIGSTOP)
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):  # a person need not wait for that
            Observer.attach(server.name)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
