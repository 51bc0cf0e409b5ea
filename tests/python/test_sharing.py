"""Several readers of one ring: who gets which batch, and that nobody's end is anybody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import cropring
from conftest import WATCHDOG_S, Server, eventually

Serve = Callable[..., Server]

READER = """
import sys, cropring
with cropring.attach(sys.argv[1], wait=20) as reader:
    for batch in reader:
        print(batch.seq, batch.redelivered, flush=True)
        sys.stdin.readline()
"""


def attach(server: Server, **how: object) -> cropring.Reader:
    return cropring.attach(server.name, wait=WATCHDOG_S, timeout=WATCHDOG_S, **how)  # type: ignore[arg-type]


class Other:
    """A reader in a process of its own, which takes the next batch whenever it is told to."""

    def __init__(self, server: Server) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", READER, server.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def batch(self) -> tuple[int, bool]:
        seq, redelivered = self.process.stdout.readline().split()
        return int(seq), redelivered == "True"

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WATCHDOG_S)


@pytest.fixture
def other() -> Iterator[Callable[[Server], Other]]:
    others: list[Other] = []

    def start(server: Server) -> Other:
        others.append(Other(server))
        return others[-1]

    yield start
    for each in others:
        each.process.kill()
        each.process.communicate()


def in_threads(readers: list[cropring.Reader]) -> list[list[int]]:
    """What each of the readers got, until the end of the stream."""
    got: list[list[int]] = [[] for _ in readers]

    def read(number: int) -> None:
        got[number] += [batch.seq for batch in readers[number]]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(readers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WATCHDOG_S)
        assert not thread.is_alive()
    return got


def test_split_hands_each_batch_to_one_of_the_readers(serve: Serve) -> None:
    server = serve("--readers=3", "--slots=7", "--epochs=4")
    readers = [attach(server) for _ in range(3)]
    got = in_threads(readers)
    assert sorted(sum(got, [])) == list(range(32)) and all(part == sorted(part) for part in got)
    assert readers[0].stats()["readers"] == 3
    assert server.wait() == 0
    for reader in readers:
        reader.close()


def test_lanes_are_the_readers_numbers(serve: Serve) -> None:
    server = serve("--readers=3", "--slots=7", "--epochs=4", "--share=lanes")
    readers = [attach(server, lane=lane) for lane in (2, 0, 1)]
    assert [reader.number for reader in readers] == [2, 0, 1] and readers[0].share == "lanes"
    assert in_threads(readers) == [list(range(lane, 32, 3)) for lane in (2, 0, 1)]
    assert server.wait() == 0
    for reader in readers:
        reader.close()


def test_broadcast_shows_every_batch_to_every_reader_read_only(serve: Serve) -> None:
    server = serve("--readers=2", "--slots=5", "--share=broadcast", "--epochs=3")
    first = attach(server)
    with pytest.raises(TimeoutError):  # nothing before both are there
        first._ring.acquire(200)
    second = attach(server)
    ours, theirs = next(first), next(second)
    np.testing.assert_array_equal(ours.images, theirs.images)
    assert not ours.images.flags.writeable and (ours.seq, theirs.seq) == (0, 0)
    with pytest.raises(ValueError):
        ours.images.flags.writeable = True
    del ours, theirs
    assert in_threads([first, second]) == [list(range(1, 24))] * 2
    assert server.wait() == 0
    first.close()
    second.close()


def test_a_broadcast_that_fits_into_the_ring_waits_for_its_readers_all_the_same(serve: Serve) -> None:
    server = serve("--readers=2", "--slots=12", "--share=broadcast")
    first = attach(server)
    eventually(lambda: first.stats()["batches"] == 8, "every batch made")
    with pytest.raises(TimeoutError):
        first._ring.acquire(300)
    second = attach(server)
    assert in_threads([first, second]) == [list(range(8))] * 2
    assert server.wait() == 0
    first.close()
    second.close()


def test_what_a_killed_reader_held_comes_again_with_a_flag(serve: Serve, other: Callable[[Server], Other]) -> None:
    server = serve("--readers=2", "--slots=5")
    victim = other(server)
    assert victim.batch() == (0, False)
    with attach(server) as reader:
        assert next(reader).seq == 1
        victim.kill()
        eventually(lambda: reader.stats()["redelivered"] == 1, "the batch offered again")
        assert [(batch.seq, batch.redelivered) for batch in reader] == [(0, True), *((seq, False) for seq in range(2, 8))]
    assert server.wait() == 0
    assert "died: 1 batch it had not given back is offered again" in server.process.stderr.read()


def test_a_stopped_reader_holds_up_nobody_in_split(serve: Serve, other: Callable[[Server], Other]) -> None:
    server = serve("--readers=2", "--slots=4", "--epochs=20")
    stopped = other(server)
    first, _ = stopped.batch()
    os.kill(stopped.process.pid, signal.SIGSTOP)
    with attach(server) as reader:
        assert sorted([first, *(batch.seq for batch in reader)]) == list(range(160))
        os.kill(stopped.process.pid, signal.SIGCONT)
        stopped.go_on()
        assert stopped.process.wait(WATCHDOG_S) == 0
    assert server.wait() == 0


def test_a_stopped_reader_of_a_broadcast_is_named(serve: Serve, other: Callable[[Server], Other]) -> None:
    server = serve("--readers=2", "--slots=4", "--share=broadcast", "--stalled-after-ms=100")
    stopped = other(server)
    with attach(server) as reader:
        assert stopped.batch()[0] == 0
        os.kill(stopped.process.pid, signal.SIGSTOP)
        for _ in range(4):
            next(reader)
        line = server.process.stderr.readline()
        while "not read on" not in line:
            line = server.process.stderr.readline()
        assert f"process {stopped.process.pid}" in line and "--stalled-reader expel" in line
        os.kill(stopped.process.pid, signal.SIGCONT)
        stopped.go_on()
        for seq in range(4, 8):
            assert next(reader).seq == seq
            assert stopped.batch()[0] == seq - 3
            stopped.go_on()


def test_a_lane_without_a_reader_is_named(serve: Serve, other: Callable[[Server], Other]) -> None:
    server = serve("--readers=2", "--slots=4", "--share=lanes", "--stalled-after-ms=100", "--linger-ms=1000")
    victim = other(server)
    with attach(server, lane=1) as reader:
        assert victim.batch() == (0, False)
        victim.kill()
        assert [next(reader).seq, next(reader).seq] == [1, 3]
        waiting = threading.Thread(target=lambda: [batch.seq for batch in reader])
        waiting.start()
        line = server.process.stderr.readline()
        while "no reader has number 0" not in line:
            line = server.process.stderr.readline()
        with attach(server) as heir:
            assert heir.number == 0
            assert [(batch.seq, batch.redelivered) for batch in heir] == [(0, True), (2, False), (4, False), (6, False)]
        waiting.join(WATCHDOG_S)
    assert server.wait() == 0


def test_a_stopped_reader_of_a_broadcast_can_be_expelled(serve: Serve, other: Callable[[Server], Other]) -> None:
    server = serve("--readers=2", "--slots=4", "--share=broadcast", "--stalled-reader=expel", "--stalled-after-ms=100", "--epochs=4")
    stopped = other(server)
    with attach(server) as reader:
        assert stopped.batch()[0] == 0
        os.kill(stopped.process.pid, signal.SIGSTOP)
        assert [batch.seq for batch in reader] == list(range(32))
    assert stopped.process.wait(WATCHDOG_S) == -signal.SIGKILL
    assert server.wait() == 0


def test_the_worker_ends_with_its_last_reader_and_says_what_was_not_taken(serve: Serve, other: Callable[[Server], Other]) -> None:
    server = serve("--readers=2", "--slots=4", "--epochs=50")
    with attach(server) as reader:
        victim = other(server)
        seq = victim.batch()[0]
        assert next(reader).seq in (0, 1)
        eventually(lambda: reader.stats()["slots_ready"] == 3, "a full ring")
    victim.kill()
    assert server.wait() == 1
    err = server.process.stderr.read()
    assert f"the last reader (process {victim.process.pid}) died before the end" in err and f"not taken: 4: seq {seq}, " in err


def test_a_worker_that_lingers_serves_the_next_reader(serve: Serve, other: Callable[[Server], Other]) -> None:
    server = serve("--linger-ms=60000")
    victim = other(server)
    assert victim.batch() == (0, False)
    victim.kill()
    with attach(server) as reader:
        batch = next(reader)
        assert (batch.seq, batch.redelivered) == (0, True)
        assert [batch.seq for batch in reader] == list(range(1, 8))
    assert server.wait() == 0


def test_a_worker_that_lingers_in_vain_ends(serve: Serve) -> None:
    server = serve("--linger-ms=100", "--epochs=50")
    attach(server).close()
    assert server.wait() == 1
    assert "left before the end" in server.process.stderr.read()


def test_a_reader_that_holds_its_share_is_told_who_holds_what(serve: Serve) -> None:
    server = serve("--readers=2", "--slots=5", "--epochs=4")
    with attach(server, hold=1) as reader, attach(server) as neighbour:
        kept = [next(reader).images, next(reader).images]
        with pytest.raises(cropring.SlotsExhausted, match=rf"hold 2 of the 5 slots.*hold 1 while.*reader 0 \(process {os.getpid()}\): seq 0, 1"):
            next(reader)
        assert next(neighbour).seq == 2
        del kept[0]
        assert next(reader).seq == 3


def test_slots_numbers_and_places_are_refused_with_a_sentence(serve: Serve) -> None:
    server = serve("--readers=2", "--slots=4")
    with attach(server, hold=2, lane=1):
        for how, sentence in (
            ({"hold": 2}, "4 slots.*more --slots"),
            ({"lane": 1}, f"reader 1 of ring '{server.name}' is process {os.getpid()}"),
            ({"lane": 2}, "readers 0 to 1"),
        ):
            with pytest.raises(cropring.CropringError, match=sentence):
                cropring.attach(server.name, **how)  # type: ignore[arg-type]
        for how in ({"hold": 0}, {"hold": 64}, {"lane": -1}, {"lane": 24}):
            with pytest.raises(ValueError, match="to"):
                cropring.attach(server.name, **how)  # type: ignore[arg-type]


def test_readers_of_a_killed_worker_drain_and_learn_of_it(serve: Serve) -> None:
    server = serve("--readers=3", "--slots=7", "--epochs=100")
    readers = [attach(server) for _ in range(3)]
    eventually(lambda: readers[0].stats()["slots_ready"] == 7, "a full ring")
    server.process.kill()
    outcomes: list[object] = []

    def read(reader: cropring.Reader) -> None:
        try:
            for batch in reader:
                outcomes.append(batch.seq)
        except cropring.WorkerDied:
            outcomes.append(time.monotonic())

    killed_at = time.monotonic()
    threads = [threading.Thread(target=read, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WATCHDOG_S)
    assert sorted(seq for seq in outcomes if isinstance(seq, int)) == list(range(7))
    noticed = [at - killed_at for at in outcomes if isinstance(at, float)]
    assert len(noticed) == 3
    print(f"noticed after {', '.join(f'{seconds * 1e3:.0f} ms' for seconds in noticed)}")
    for reader in readers:
        reader.close()


@pytest.mark.parametrize("share", ["split", "lanes", "broadcast"])
def test_a_loader_shares_its_ring_epoch_by_epoch(load: Callable[..., cropring.Loader], share: str) -> None:
    name = f"test-{os.getpid()}-{share}"
    loader = load(ring=name, readers=2, slots=6, share=share, epochs=3, seed=5)
    theirs: list[tuple[int, int]] = []

    def read() -> None:
        with cropring.attach(name) as reader:
            theirs.extend((batch.epoch, batch.seq) for batch in reader)

    thread = threading.Thread(target=read)
    thread.start()
    ours = []
    for epoch in range(3):
        loop = [(batch.epoch, batch.seq) for batch in loader]
        assert {number for number, _ in loop} <= {epoch}
        ours += loop
    with pytest.raises(cropring.CropringError, match="was the last"):
        next(iter(loader))
    thread.join(WATCHDOG_S)
    everything = [(seq // 8, seq) for seq in range(24)]
    if share == "broadcast":
        assert ours == everything and theirs == everything
    else:
        assert sorted(ours + theirs) == everything
    if share == "lanes":
        assert ours == everything[0::2]


def test_a_loader_that_closes_with_the_last_batch_leaves_the_others_a_whole_stream(load: Callable[..., cropring.Loader]) -> None:
    """The worker may be told to end before it has noticed that this batch was the last."""
    name = f"test-{os.getpid()}-closed"
    for _ in range(6):  # a matter of luck each time
        loader = load(ring=name, readers=2, slots=16, share="broadcast", epochs=1)
        with cropring.attach(name) as reader:
            assert [batch.seq for _, batch in zip(range(8), loader)] == list(range(8))
            loader.close()
            assert [batch.seq for batch in reader] == list(range(8))


def test_a_late_batch_of_a_dead_reader_ends_no_epoch_of_a_loader(load: Callable[..., cropring.Loader], other: Callable[..., Other]) -> None:
    """It comes when the Loader has gone on to the next epoch."""
    name = f"test-{os.getpid()}-late"
    loader = load(ring=name, readers=2, slots=6, epochs=4)
    victim = other(Server(name, None))  # type: ignore[arg-type]
    assert victim.batch() == (0, False)
    assert [batch.seq for batch in loader] == list(range(1, 8))
    loop = iter(loader)
    seen = [next(loop).seq]
    victim.kill()
    eventually(lambda: loader.stats()["redelivered"] == 1, "the batch of the dead reader offered again")
    rest = [(batch.seq, batch.epoch, batch.redelivered) for batch in loop]
    assert sorted(rest) == [(0, 0, True), *((seq, 1, False) for seq in range(9, 16))] and seen == [8]
    assert [[batch.seq for batch in loader] for _ in range(2)] == [list(range(16, 24)), list(range(24, 32))]


def test_scribbling_over_the_slot_words_ends_every_process(serve: Serve) -> None:
    import ctypes

    server = serve("--readers=2", "--slots=4", "--epochs=100")
    with attach(server) as a, attach(server) as b:
        # a full ring: what is scribbled over a slot that is being filled, its commit sets right
        eventually(lambda: a.stats()["slots_ready"] == 4, "a full ring")
        address, _ = a._ring.mapping
        ctypes.c_uint64.from_address(address + 4096 + 64).value = 0xDEADBEEF_00000503
        for reader in (a, b):
            with pytest.raises(cropring.RingCorrupted, match="overwritten"):
                for _ in reader:
                    pass
        assert server.wait() == 1
    assert "slot words were overwritten" in server.process.stderr.read()
