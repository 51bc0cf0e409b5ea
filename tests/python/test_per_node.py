"""One worker for the ranks of a machine: each has the batches of a worker of its own, and nobody's end leaves another waiting."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cropring
from conftest import PHOTOS, WATCHDOG_S, Server, children, eventually, is_running
from cropring.world import Node, World, find_node

HEAD = f"""
import hashlib, json, os, sys, time
import cropring
import cropring.node

def digest(batch):
    fields = (batch.images, batch.labels, batch.index, batch.box, batch.status)
    return hashlib.sha1(b"".join(field.tobytes() for field in fields)).hexdigest()

def load(**flags):
    return cropring.Loader({str(PHOTOS)!r}, **({{"batch_size": 3, "size": 24, "seed": 5, "threads": 2, "per_node": True}} | flags))

def say(thing):
    print(json.dumps(thing), flush=True)

rank = int(os.environ["RANK"])
"""


class Ranks:
    """Processes with a launcher's environment, which print what they find as lines of JSON."""

    def __init__(self, program: str, count: int = 2, nodes: int = 1, **environment: str) -> None:
        Ranks.runs += 1
        words = [sys.executable, "-c", HEAD + textwrap.dedent(program)]
        self.processes = []
        for rank in range(count):
            here = {
                "RANK": str(rank),
                "WORLD_SIZE": str(count),
                "LOCAL_RANK": str(rank % (count // nodes)),
                "LOCAL_WORLD_SIZE": str(count // nodes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": f"{os.getpid()}-{Ranks.runs}",
            }
            self.processes.append(
                subprocess.Popen(words, env=os.environ | here | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )

    runs = 0

    def line(self, rank: int) -> Any:
        """The next thing that a rank says."""
        line = self.processes[rank].stdout.readline()
        assert line, self.processes[rank].stderr.read()
        return json.loads(line)

    def finish(self) -> list[list[Any]]:
        """What all of them say, to the end; they must end well."""
        said = [process.communicate(timeout=3 * WATCHDOG_S) for process in self.processes]
        assert [process.returncode for process in self.processes] == [0] * len(said), "\n".join(error for _, error in said)
        return [[json.loads(line) for line in out.splitlines()] for out, _ in said]


@pytest.fixture
def ranks() -> Iterator[Callable[..., Ranks]]:
    started: list[Ranks] = []

    def start(program: str, *arguments: Any, **environment: str) -> Ranks:
        started.append(Ranks(program, *arguments, **environment))
        return started[-1]

    yield start
    for run in started:
        for process in run.processes:
            process.kill()
        for process in run.processes:
            process.communicate()


def test_each_rank_has_the_batches_of_a_worker_of_its_own(ranks: Callable[..., Ranks]) -> None:
    """Two machines of two ranks; loops, an early end, set_epoch, and a state that another Loader goes on with."""
    program = """
        def run(per_node, tail):
            flags = {"per_node": per_node, "tail": tail, "batch_size": 2}
            with load(**flags) as loader:
                found = [[digest(batch) for batch in loader] for _ in range(2)]
                for step, batch in enumerate(loader):
                    if step == 1:
                        break
                state = loader.state_dict()
                found.append([digest(batch) for batch in loader])
                loader.set_epoch(9)
                found.append([digest(batch) for batch in loader])
                length = len(loader)
            with load(**flags) as loader:
                loader.load_state_dict(state)
                found += [[digest(batch) for batch in loader] for _ in range(2)]
            return [found, state, length, loader.rank, loader.world_size]

        for tail in ("drop", "pad", "partial"):
            say([run(False, tail), run(True, tail)])
    """
    for rank, said in enumerate(ranks(program, 4, 2).finish()):
        assert len(said) == 3
        for alone, shared in said:
            assert alone == shared and alone[3:] == [rank, 4]
            assert len({digest for loop in alone[0] for digest in loop}) > 15


def test_the_table_of_the_docs_is_true(ranks: Callable[..., Ranks], folder: Callable[..., Path]) -> None:
    page = (Path(__file__).parents[2] / "docs/distributed.md").read_text()
    rows = [line.strip("| ").split(" | ")[1:] for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    columns = [[[int(sample) for sample in cell.split()] for cell in column] for column in zip(*rows)]
    program = f"""
        with cropring.Loader({str(folder(16))!r}, batch_size=2, size=8, shuffle=False, threads=1, per_node=True) as loader:
            say([batch.index.tolist() for batch in loader])
    """
    assert [said for said, in ranks(program, 4, 2).finish()] == columns and len(columns) == 4


def test_there_is_one_worker_and_its_end_is_everyones(ranks: Callable[..., Ranks]) -> None:
    program = """
        loader = load(tail="pad")
        loop = iter(loader)
        next(loop)
        say(loader._stream.worker.ring.producer_pid)
        try:
            for number in range(10**6):
                for batch in loop:
                    pass
                loop = iter(loader)
        except cropring.WorkerDied as error:
            say([str(error), error.errno])
    """
    run = ranks(program, 3)
    workers = {run.line(rank) for rank in range(3)}
    assert len(workers) == 1 and set().union(*(children(process.pid) for process in run.processes)) == workers
    os.kill(workers.pop(), signal.SIGKILL)
    for said in run.finish():
        assert "died" in said[0][0] and said[0][1] != 0


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_leaves_nobody_waiting(ranks: Callable[..., Ranks], victim: int) -> None:
    program = """
        loader = load(tail="pad", slots=4)
        cropring.node._SLICE_S = 0.2
        loop = iter(loader)
        next(loop)
        say(loader._stream.worker.ring.producer_pid)
        try:
            for number in range(10**6):
                for batch in loop:
                    pass
                loop = iter(loader)
        except cropring.CropringError as error:
            say([type(error).__name__, str(error)])
    """
    run = ranks(program)
    worker = run.line(0)
    assert run.line(1) == worker
    run.processes[victim].kill()
    name, text = run.line(1 - victim)
    if victim == 0:
        assert name == "WorkerDied"
    else:
        assert name == "CropringError" and "local rank 1 is gone" in text
    assert run.processes[1 - victim].wait(WATCHDOG_S) == 0
    eventually(lambda: not is_running(worker), "the worker's end")


def test_a_rank_that_waits_for_a_worker_learns_that_local_rank_0_is_gone(ranks: Callable[..., Ranks]) -> None:
    program = """
        loader = load()
        next(iter(loader))
        say("in")
        if rank == 0:
            while loader.stats()["readers"] < 2:
                time.sleep(0.01)
            os.kill(os.getpid(), 9)
        time.sleep(0.2)
        loader.set_epoch(7)
        try:
            next(iter(loader))
        except cropring.CropringError as error:
            say(str(error))
    """
    run = ranks(program)
    assert run.line(1) == "in" and "local rank 0 is gone" in run.line(1)


def test_ranks_that_do_not_go_in_step_are_told(ranks: Callable[..., Ranks]) -> None:
    """The one that goes on, and the one that begins anew, whichever is local rank 0."""
    for odd in (0, 1):
        program = f"""
            cropring.node._SLICE_S = 0.2
            loader = load(tail="pad", slots=4)
            loop = iter(loader)
            next(loop)
            try:
                if rank == {odd}:
                    loader.set_epoch(7)
                    loop = iter(loader)
                for batch in loop:
                    pass
                for batch in loader:
                    pass
                while rank != {odd}:
                    for batch in loader:
                        pass
                say("through")
                time.sleep(60)
            except cropring.CropringError as error:
                say(str(error))
        """
        run = ranks(program)
        assert "after the same batch" in run.line(1 - odd)


def test_a_state_that_only_one_rank_loads_is_refused(ranks: Callable[..., Ranks]) -> None:
    program = """
        loader = load()
        if rank == 1:
            loader.load_state_dict(loader.state_dict() | {"epoch": 3})
            say("loaded")
        else:
            loader.set_epoch(2)
            next(iter(loader))
            say("in")
            time.sleep(60)
    """
    run = ranks(program)
    assert run.line(0) == "in"
    run.processes[1].wait(WATCHDOG_S)
    assert "local rank 0 and local rank 1 want different batches of one worker: --start-epoch=2" in run.processes[1].stderr.read()


def test_the_error_of_local_rank_0_is_everyones(ranks: Callable[..., Ranks]) -> None:
    program = """
        for flags in ({"batch_size": 60000}, {"slots": 3}, {"crop": "box"}):
            try:
                load(**flags)
            except Exception as error:
                say([type(error).__name__, str(error)])
    """
    first, *others = ranks(program, 3).finish()
    assert [kind for kind, _ in first] == ["ValueError"] * 3 and "do not fill one batch" in first[0][1]
    assert others == [first, first]


def test_local_rank_0_leaves_when_it_gets_an_error_of_its_own(ranks: Callable[..., Ranks]) -> None:
    program = """
        if rank == 2:
            sys.exit()
        cropring.node._MEETING_S = 2.0 if rank == 0 else 60.0
        try:
            load()
        except cropring.CropringError as error:
            kept = error
            say(str(error))
            time.sleep(60)
    """
    run = ranks(program, 3)
    assert "local rank 2 did not make this Loader within 2 s" in run.line(0)
    assert "local rank 0 is gone" in run.line(1)


def test_a_rank_that_waits_for_local_rank_0_says_so(ranks: Callable[..., Ranks]) -> None:
    program = """
        import logging
        logging.basicConfig()
        load()
        cropring.node._TELL_AFTER_S = 0.01
        loader = load()
        loader.set_epoch(3)
        if rank == 0:
            sys.stdin.readline()
        next(iter(loader))
    """
    run = ranks(program)
    assert any("local rank 1 waits for local rank 0 to begin the same loop" in line for line in iter(run.processes[1].stderr.readline, ""))
    run.processes[0].stdin.write("\n")
    run.processes[0].stdin.flush()
    assert [process.wait(WATCHDOG_S) for process in run.processes] == [0, 0]


def test_other_flags_than_local_rank_0s_are_refused(ranks: Callable[..., Ranks]) -> None:
    run = ranks("load(batch_size=2 + rank)\nsay('made')\ntime.sleep(60)")
    assert run.line(0) == "made"
    run.processes[1].wait(WATCHDOG_S)
    assert "--batch-size=2 there, --batch-size=3 here" in run.processes[1].stderr.read()


def test_a_rank_that_lags_behind_gets_all_of_an_epoch_whose_worker_was_ended(ranks: Callable[..., Ranks]) -> None:
    program = """
        with load(tail="pad") as loader:
            for batch in loader:
                if rank == 1:
                    time.sleep(0.02)
            say(loader.state_dict()["epoch"])
    """
    assert ranks(program, 3).finish() == [[1]] * 3


def test_the_worker_has_the_cpus_of_all_ranks(ranks: Callable[..., Ranks]) -> None:
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        pytest.skip("one CPU alone")
    program = f"""
        os.sched_setaffinity(0, {{ {cpus}[rank] }})
        loader = load(threads=0)
        say(sorted(os.sched_getaffinity(loader._stream.worker.ring.producer_pid)))
    """
    assert ranks(program).finish() == [[cpus]] * 2


@pytest.mark.parametrize(("count", "slots"), [(2, 16), (5, 20), (24, 64)])
def test_each_rank_has_four_slots(serve: Callable[..., Server], count: int, slots: int) -> None:
    server = serve(f"--lane-ranks={count}", f"--readers={count}", f"--world-size={count}", "--share=lanes", "--slots=0", "--batch-size=1")
    with cropring.attach(server.name, wait=WATCHDOG_S) as reader:
        assert reader.stats()["slots"] == slots


def test_a_second_run_with_the_same_address_is_refused(ranks: Callable[..., Ranks]) -> None:
    waiting = ranks("say('on the way')\nload()", 1, WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", MASTER_PORT="1")
    waiting.line(0)
    run = ranks("say('on the way')\nload()", 1, WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", MASTER_PORT="1")
    eventually(lambda: any(process.poll() is not None for process in (*waiting.processes, *run.processes)), "one of them refused")
    errors = [process.stderr.read() for process in (*waiting.processes, *run.processes) if process.poll() is not None]
    assert len(errors) == 1 and "is local rank 0 of the same run already" in errors[0]


def test_what_cannot_be_shared_is_refused(ranks: Callable[..., Ranks]) -> None:
    program = """
        for flags in ({"readers": 2, "rank": rank, "world_size": 2}, {"share": "lanes"}, {"socket": "./x"}, {"sampler": range(4)}):
            try:
                load(**flags)
            except ValueError as error:
                say(str(error))
    """
    for said in ranks(program).finish():
        assert len(said) == 4 and all("per_node=True" in text for text in said)


def test_one_rank_alone_has_a_worker_that_is_replaced(ranks: Callable[..., Ranks]) -> None:
    program = """
        loader = load()
        loop = iter(loader)
        next(loop)
        os.kill(loader._worker.process.pid, 9)
        say(1 + sum(1 for batch in loop) == len(loader))
        say([sum(1 for batch in loader) for _ in range(5)] == [len(loader)] * 5)
        say(loader.stats()["respawns"])
    """
    assert ranks(program, 2, 2).finish() == [[True, True, 1]] * 2


# ---------------------------------------------------------------- who is where


@pytest.mark.parametrize(
    "environment",
    [
        {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"},
        {"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"},
        {"MV2_COMM_WORLD_LOCAL_RANK": "1", "MV2_COMM_WORLD_LOCAL_SIZE": "4"},
        {"MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "4"},
        {"SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"},
        {"SLURM_LOCALID": "1", "SLURM_NODEID": "2", "SLURM_STEP_TASKS_PER_NODE": "2(x2),4,1"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_each_launcher_tells_the_local_rank(environment: dict[str, str]) -> None:
    assert find_node(World(5, 8), environment) == Node(1, 4, "||||||")
    assert find_node(World(0, 1), environment) == Node()


def test_what_a_launcher_does_not_tell_is_asked_for() -> None:
    with pytest.raises(ValueError, match="set LOCAL_RANK and LOCAL_WORLD_SIZE"):
        find_node(World(0, 2), {})
    with pytest.raises(ValueError, match="LOCAL_RANK is set and LOCAL_WORLD_SIZE is not: set both for per_node=True"):
        find_node(World(0, 2), {"LOCAL_RANK": "0"})
    with pytest.raises(ValueError, match="LOCAL_RANK='2' and LOCAL_WORLD_SIZE='2'"):
        find_node(World(2, 4), {"LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "2"})
    with pytest.raises(ValueError, match="25 ranks on this machine: 24 at most can share a worker"):
        find_node(World(0, 25), {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "25"})
    for rank, local in ((1, "0"), (0, "1")):  # dealt out machine after machine, as Slurm's cyclic distribution does
        with pytest.raises(ValueError, match="--distribution=block"):
            find_node(World(rank, 2), {"LOCAL_RANK": local, "LOCAL_WORLD_SIZE": "2"})
    for tasks in ("", "x", "4(x1)", "4(x99999999999)"):
        with pytest.raises(ValueError):
            find_node(World(5, 8), {"SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_TASKS_PER_NODE": tasks})


def test_runs_differ_by_what_their_launchers_say() -> None:
    here = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    jobs = {
        find_node(World(0, 2), here | more).job
        for more in ({}, {"MASTER_PORT": "1"}, {"TORCHELASTIC_RUN_ID": "1"}, {"TORCHELASTIC_RESTART_COUNT": "1"}, {"SLURM_STEP_ID": "1"})
    }
    assert len(jobs) == 5
