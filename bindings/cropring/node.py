"""One worker for all ranks of a machine: local rank 0 starts it, and each local rank reads a lane of its ring.

A lane has byte for byte the batches that its rank would get from a worker of its own (`--lane-ranks`).  The local ranks meet when they
make their Loader, at a socket whose name all of them can work out and that vanishes with local rank 0; from then on each of the others
has a connection to it, over which it learns the name of each ring that there is, one after the other ("generations": a fresh worker has a
ring of its own), and by which both see when the other side is gone.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import select
import socket
import struct
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from . import errors
from ._ring import Lease, Ring
from .errors import CropringError, WorkerDied
from .worker import Feed, Worker, arguments
from .world import Node, World

_SLICE_S = 1.0  # of a wait for a batch, until there is a look at the other local ranks
_LAST_ROUND_S = 10.0  # for the others to come in, and to get what is theirs of the last round, before a worker ends
_MEETING_S = 600.0  # for all local ranks to make their Loader
_TELL_AFTER_S = 10.0  # whom we wait for
_MESSAGE_BYTES = 1 << 17
_CREDENTIALS = struct.Struct("3i")  # unix(7), struct ucred: process, user, group
_IN_STEP = "with per_node=True all local ranks make the same calls in the same order, and leave a loop after the same batch"
_log = logging.getLogger("cropring")
_numbers = itertools.count()  # of the Loaders that share a worker, in the order in which this process made them


def check_keywords(flags: Mapping[str, Any], defaults: Mapping[str, Any], sampler: object) -> None:
    """`ValueError` for what cannot be had of a worker that several ranks share."""
    for name in ("readers", "share", "socket"):
        if flags[name] != defaults[name]:
            raise ValueError(f"{name}={flags[name]!r} with per_node=True, which sets it: leave it out")
    if sampler is not None:
        raise ValueError("a sampler with per_node=True: only the process that started a worker can ask it for samples; leave one out")


def meet(world: World, node: Node, same: Sequence[str], begin: Callable[..., SharedWorker]) -> Leader | Member:
    """What starts this process's feeds.

    Parameters
    ----------
    same : sequence of str
        What must be alike on all local ranks, beside the flags.
    begin : callable
        `begin(make, flags)` has `make` start a worker.
    """
    text = json.dumps([node.job, world.rank - node.rank, world.size, next(_numbers)])
    address = f"\0cropring-node/{os.geteuid()}/{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"
    if node.rank == 0:
        return Leader(world, node, same, address, begin)
    return Member(world, node, same, address)


class Leader:
    """Local rank 0: starts the workers, and tells the others of them."""

    def __init__(self, world: World, node: Node, same: Sequence[str], address: str, begin: Callable[..., SharedWorker]) -> None:
        self._world = world
        self._node = node
        self._same = list(same)
        self._begin = begin
        self._cpus = os.sched_getaffinity(0)
        self._generation = 0
        self._members: dict[int, socket.socket] = {}  # by local rank
        self._wanted = dict.fromkeys(range(1, node.size), 0)  # the generation that each of them asked for last,
        self._joined = dict(self._wanted)  # and the one whose ring it joined last
        self._doors = [_listen(address)]
        self.leave = weakref.finalize(self, _hang_up, self._doors, self._members)

    def start(self, flags: Mapping[str, object]) -> Feed:
        """A fresh worker, whose ring the others learn of."""
        if self._generation == 0:
            self._gather()
        self._generation += 1
        message: dict[str, Any] = {"generation": self._generation, "words": self._same + arguments(_alike(flags))}
        try:
            worker = self._begin(partial(SharedWorker, self), self._shared(flags))
        except Exception as error:
            self._tell(message | {"error": [type(error).__name__, str(error), getattr(error, "errno", 0)]})
            raise
        self._tell(message | {"ring": worker.ring.name})
        return worker

    def _shared(self, flags: Mapping[str, object]) -> dict[str, object]:
        ranks = self._node.size
        cpus = flags["cpus"]
        if cpus is None and self._cpus != os.sched_getaffinity(0):  # each rank is bound to its own, and the worker works for all
            cpus = ",".join(map(str, sorted(self._cpus)))
        return dict(flags) | {"lane_ranks": ranks, "readers": ranks, "share": "lanes", "cpus": cpus}

    def _gather(self) -> None:
        begin, told = time.monotonic(), False
        while len(self._members) < self._node.size - 1:
            if _readable(self._doors[0], _SLICE_S):
                self._admit(self._doors[0].accept()[0])
                continue
            missing = ", ".join(str(rank) for rank in range(1, self._node.size) if rank not in self._members)
            if time.monotonic() > begin + _MEETING_S:
                raise CropringError(f"local rank {missing} did not make this Loader within {_MEETING_S:.0f} s: {_IN_STEP}")
            if time.monotonic() > begin + _TELL_AFTER_S and not told:
                _log.warning("local rank 0 waits for local rank %s to make the same Loader (per_node=True)", missing)
                told = True
        self._doors.pop().close()

    def _admit(self, caller: socket.socket) -> None:
        caller.settimeout(_TELL_AFTER_S)
        hello = _received(caller) if _is_own(caller) else None
        if hello is None:  # gone again, or somebody else's
            caller.close()
            return
        rank, lane = hello["rank"], hello["local_rank"]
        if lane in self._members or rank != self._world.rank + lane:
            text = f"local rank {lane} is rank {rank}, where rank {self._world.rank + lane} was to come, once"
            raise CropringError(f"{text}: per_node=True needs ranks that are numbered machine by machine")
        self._members[lane] = caller
        self._cpus = self._cpus | set(hello["cpus"])

    def say_ended(self) -> None:
        """The worker of now is ended on purpose."""
        self._tell({"ended": self._generation})

    def _tell(self, message: Mapping[str, Any]) -> None:
        for member in self._members.values():
            _send(member, message)

    def check_members(self) -> None:
        """`CropringError` when one of the others is gone, or waits for another worker: the batches in its lane are in this one's way."""
        gone = self._hear()
        for lane in self._members:
            if lane in gone:
                raise CropringError(f"local rank {lane} is gone: its batches fill the ring, and nobody takes them")
            if self._wanted[lane] > self._generation:
                raise CropringError(f"local rank {lane} has left this loop and begun another: {_IN_STEP}")

    def still_reading(self) -> dict[int, bool]:
        """Those of the others that need the worker of now, and whether they have joined its ring yet."""
        there = self._members.keys() - self._hear()
        return {lane: self._joined[lane] == self._generation for lane in there if self._wanted[lane] <= self._generation}

    def _hear(self) -> set[int]:
        """Takes in what the others said; returns those that are gone."""
        gone = set()
        for lane, member in self._members.items():
            while lane not in gone and _readable(member, 0):
                message = _received(member)
                if message is None:
                    gone.add(lane)
                elif "wants" in message:
                    self._wanted[lane] = message["wants"]
                else:
                    self._joined[lane] = message["joined"]
        return gone


class Member:
    """Another local rank: waits for the worker that local rank 0 starts, and takes its lane."""

    def __init__(self, world: World, node: Node, same: Sequence[str], address: str) -> None:
        self._node = node
        self._same = list(same)
        self._generation = 0
        self._leader = _connect(address, world, node)
        _send(self._leader, {"rank": world.rank, "local_rank": node.rank, "cpus": sorted(os.sched_getaffinity(0))})
        self.leave = weakref.finalize(self, self._leader.close)

    def start(self, flags: Mapping[str, object]) -> Feed:
        """This rank's lane of the next worker."""
        self._generation += 1
        _send(self._leader, {"wants": self._generation})
        message = self._next_message()
        while message is not None and "ended" in message:
            message = self._next_message()
        if message is None:
            raise CropringError("local rank 0 is gone, or closed its Loader: there is no worker any more")
        if "error" in message:
            raise _error(*message["error"])
        self._check_alike(message["words"], self._same + arguments(_alike(flags)))
        lane = Lane(self, Ring.attach(message["ring"], 0, self._node.rank))
        _send(self._leader, {"joined": self._generation})
        return lane

    def _next_message(self) -> dict[str, Any] | None:
        if not _readable(self._leader, _TELL_AFTER_S):
            _log.warning("local rank %d waits for local rank 0 to begin the same loop (per_node=True)", self._node.rank)
        return _received(self._leader)

    def _check_alike(self, theirs: Sequence[str], ours: Sequence[str]) -> None:
        if theirs != ours:
            odd = [", ".join(sorted(set(some) - set(others))) or "nothing" for some, others in ((theirs, ours), (ours, theirs))]
            text = f"local rank 0 and local rank {self._node.rank} want different batches of one worker: {odd[0]} there, {odd[1]} here"
            raise CropringError(f"{text}; {_IN_STEP}")

    @property
    def is_left_behind(self) -> bool:
        """Local rank 0 ended the worker of now."""
        return _has_message(self._leader)


class SharedWorker(Worker):
    """The worker, for the process that started it."""

    def __init__(self, leader: Leader, *how: Any) -> None:
        super().__init__(*how)
        self._leader = leader
        self._has_taken = False

    def acquire(self) -> Lease | None:
        """The next batch of this lane."""
        loader_wait_ns = None
        while True:
            try:
                lease = self.ring.acquire(round(_SLICE_S * 1000))
                self._has_taken = True
                return lease
            except TimeoutError:
                before_ns, loader_wait_ns = loader_wait_ns, self.ring.counters()["loader_wait_ns"]
            if before_ns is not None and loader_wait_ns - before_ns > _SLICE_S * 1e9 / 2:  # the ring is full, and not with ours
                self._leader.check_members()

    def end(self) -> None:
        """Ends the process, once the others can have what is theirs of the rounds that began."""
        deadline = time.monotonic() + _LAST_ROUND_S
        try:
            while self.process.poll() is None and time.monotonic() < deadline and not self._others_had_theirs():
                time.sleep(0.002)
        finally:
            if self.process.poll() is None:
                self._leader.say_ended()
            super().end()

    def _others_had_theirs(self) -> bool:
        readers = self._leader.still_reading()
        if not all(readers.values()):
            return False
        if readers and self._has_taken:  # batches are published in their order: with our next one, all of the rounds before are
            try:
                self.ring.acquire(0)
            except TimeoutError:
                return False
            except (CropringError, RuntimeError, ValueError):  # it is over, or we keep too many batches to ask for one
                pass
        return True


class Lane(Feed):
    """A lane of the worker that local rank 0 started."""

    def __init__(self, member: Member, ring: Ring) -> None:
        super().__init__()
        self.ring = ring
        self._member = member

    def explain(self, error: WorkerDied) -> CropringError:
        """The same error, or what local rank 0 did meanwhile."""
        if self._member.is_left_behind:
            return CropringError(f"local rank 0 has left this loop, and ended the worker: {_IN_STEP}")
        return error


def _alike(flags: Mapping[str, object]) -> dict[str, object]:
    """Flags that all local ranks must have in common."""
    return {name: value for name, value in flags.items() if name not in ("rank", "cpus", "weights")}


def _error(kind: str, text: str, number: int) -> Exception:
    """What local rank 0 raised, raised here."""
    if kind == "ValueError":
        return ValueError(text)
    known = getattr(errors, kind, CropringError)
    return known(f"{text} (local rank 0)", number)


# ---------------------------------------------------------------- sockets


def _listen(address: str) -> socket.socket:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        door.bind(address)
    except OSError as error:
        door.close()
        raise CropringError(
            f"per_node=True: another process of this machine is local rank 0 of the same run already ({error.strerror}): end the run that is "
            "left over, or give each of two at once a MASTER_PORT or --rdzv-id of its own",
            error.errno or 0,
        ) from None
    door.listen(64)
    return door


def _connect(address: str, world: World, node: Node) -> socket.socket:
    begin, told = time.monotonic(), False
    while True:
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            caller.connect(address)
            if _is_own(caller):
                return caller
        except (ConnectionRefusedError, ConnectionResetError, FileNotFoundError):
            pass
        except BaseException:
            caller.close()
            raise
        caller.close()
        who = f"local rank {node.rank} (rank {world.rank}) waits for local rank 0 (rank {world.rank - node.rank}) of this machine"
        if time.monotonic() > begin + _MEETING_S:
            raise CropringError(f"{who}, which did not make this Loader within {_MEETING_S:.0f} s: {_IN_STEP}")
        if time.monotonic() > begin + _TELL_AFTER_S and not told:
            _log.warning("%s to make the same Loader (per_node=True)", who)
            told = True
        time.sleep(0.02)


def _is_own(connection: socket.socket) -> bool:
    """The other end is a process of this user."""
    _, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return bool(user == os.geteuid())


def _readable(connection: socket.socket, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _send(connection: socket.socket, message: Mapping[str, Any]) -> None:
    try:
        connection.send(json.dumps(message).encode())
    except (BrokenPipeError, ConnectionResetError):
        pass  # whoever takes a batch or an answer learns of it


def _packet(connection: socket.socket, flags: int = 0) -> bytes:
    """The next one; empty when the other end is gone."""
    try:
        return connection.recv(_MESSAGE_BYTES, flags)
    except ConnectionResetError:  # it went without reading all of ours, and may have said something before
        return connection.recv(_MESSAGE_BYTES, flags)
    except TimeoutError:
        return b""


def _has_message(connection: socket.socket) -> bool:
    return _readable(connection, 0) and _packet(connection, socket.MSG_PEEK) != b""


def _received(connection: socket.socket) -> dict[str, Any] | None:
    """The next message; None: the other end is gone."""
    packet = _packet(connection)
    message: dict[str, Any] | None = json.loads(packet) if packet else None
    return message


def _hang_up(doors: list[socket.socket], members: dict[int, socket.socket]) -> None:
    for connection in (*doors, *members.values()):
        connection.close()
