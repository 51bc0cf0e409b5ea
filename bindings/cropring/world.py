"""Which rank of how many this process is, in all and on its machine, from whatever started it."""

from __future__ import annotations

import logging
import operator
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_log = logging.getLogger("cropring")

# The innermost launcher counts: torchrun may be started by mpirun or srun, and mpirun by srun, whose tasks are then its helpers.
_PAIRS = (
    ("RANK", "WORLD_SIZE"),  # torchrun, Ray Train, Accelerate
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH2
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
)
# srun sets the second for the tasks of a step alone; a batch script that runs without srun is one process, whatever SLURM_NTASKS says.
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
_LOCAL_PAIRS = (
    ("LOCAL_RANK", "LOCAL_WORLD_SIZE"),  # torchrun, Ray Train, Accelerate
    ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),  # Open MPI
    ("MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"),  # MVAPICH2
    ("MPI_LOCALRANKID", "MPI_LOCALNRANKS"),  # MPICH, Intel MPI
)
_SLURM_LOCAL = ("SLURM_LOCALID", "SLURM_NODEID", "SLURM_STEP_TASKS_PER_NODE")  # the last is "4(x2),3" for three nodes with 4, 4 and 3
# What the processes of one run have in common, and no other run at the same time has.
_JOB = ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID", "PMIX_NAMESPACE")
_MOST_LOCAL = 24  # readers of one ring
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class World:
    """This process is number `rank` of `size`; `origin` names what says so: variables, PyTorch, or JAX."""

    rank: int = 0
    size: int = 1
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """This process is number `rank` of the `size` on its machine; `job` tells the run that they belong to from others there."""

    rank: int = 0
    size: int = 1
    job: str = ""


def find_world(rank: int | None, size: int | None, environment: Mapping[str, str] = os.environ) -> World:
    """What the keywords `rank` and `world_size` say, else PyTorch, else the environment, else JAX, else one process alone.

    `ValueError` when only one of two that belong together is there, or they are no such numbers.
    """
    if rank is not None and size is not None:
        return World(_whole("rank", rank), _whole("world_size", size))
    if rank is not None or size is not None:
        given, missing = ("rank", "world_size") if size is None else ("world_size", "rank")
        raise ValueError(f"{given}={rank if size is None else size} without {missing}: give both, or none to take them from the environment")
    if (world := _process_group()) is not None:
        return world
    for names in _PAIRS:
        if _has_both(names, environment, "set both, or say rank= and world_size="):
            return World(*_numbers(names, environment, "; or say rank= and world_size="), " and ".join(names))
    if all(environment.get(name) for name in _SLURM):
        return World(*_numbers(_SLURM, environment, "; or say rank= and world_size="), " and ".join(_SLURM))
    return _jax_processes() or World()


def find_node(world: World, environment: Mapping[str, str] = os.environ) -> Node:
    """What the environment says; one process of the world alone is alone on its machine too.

    `ValueError` when it says nothing, or nothing that goes with `world`.
    """
    if world.size == 1:
        return Node()
    rank, size = _local(environment)
    if not 0 <= world.rank - rank <= world.size - size:
        raise ValueError(
            f"rank {world.rank} of {world.size} cannot be number {rank} of the {size} on its machine: per_node=True needs ranks that "
            "are numbered machine by machine, as torchrun does (Slurm: --distribution=block)"
        )
    if size > _MOST_LOCAL:
        raise ValueError(f"{size} ranks on this machine: {_MOST_LOCAL} at most can share a worker; leave per_node=True out")
    return Node(rank, size, "|".join(environment.get(name, "") for name in _JOB))


def _local(environment: Mapping[str, str]) -> tuple[int, int]:
    for names in _LOCAL_PAIRS:
        if _has_both(names, environment, "set both for per_node=True"):
            return _numbers(names, environment, "")
    if all(environment.get(name) for name in _SLURM_LOCAL):
        local, node, tasks = (environment[name] for name in _SLURM_LOCAL)
        names = ("SLURM_LOCALID", f"tasks of node {node} in {tasks}")
        return _numbers(names, dict(zip(names, (local, _slurm_tasks(node, tasks)))), "")
    raise ValueError(
        "per_node=True needs to know which of the processes on this machine this is, and nothing says it: set LOCAL_RANK and "
        "LOCAL_WORLD_SIZE, as torchrun does"
    )


def log_world(world: World) -> None:
    """Says once in a process what was taken from where."""
    if world.origin and world not in _told:
        _told.add(world)
        _log.info("rank %d of %d, from %s", world.rank, world.size, world.origin)


_told: set[World] = set()


def _process_group() -> World | None:
    """PyTorch's, if it was made before: processes of `torch.multiprocessing.spawn()` know their rank from an argument alone."""
    distributed: Any = sys.modules.get("torch.distributed")
    is_initialized = getattr(distributed, "is_initialized", None)  # a build without it has no such function
    if is_initialized is None or not is_initialized():
        return None
    return World(distributed.get_rank(), distributed.get_world_size(), "torch.distributed")


def _jax_processes() -> World | None:
    """JAX's, if they were brought together before: on TPUs and in clusters that it knows, nothing else may tell."""
    jax: Any = sys.modules.get("jax")
    is_initialized = getattr(getattr(jax, "distributed", None), "is_initialized", None)  # since 0.4.34
    if is_initialized is None or not is_initialized():
        return None
    return World(jax.process_index(), jax.process_count(), "jax.distributed")


def _whole(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: a whole number is expected") from None


def _slurm_tasks(node: str, tasks: str) -> str:
    """How many tasks that node has, by a list such as "4(x2),3"; empty if it does not say."""
    left = int(node) if _NUMBER.fullmatch(node) else -1
    for part in tasks.split(",") if left >= 0 else ():
        if (found := re.fullmatch(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?", part)) is None:
            break
        left -= int(found[2] or 1)
        if left < 0:
            return found[1]
    return ""


def _has_both(names: tuple[str, str], environment: Mapping[str, str], remedy: str) -> bool:
    found = [name for name in names if environment.get(name)]
    if len(found) == 1:
        missing = names[1] if found[0] == names[0] else names[0]
        raise ValueError(f"{found[0]} is set and {missing} is not: {remedy}")
    return bool(found)


def _numbers(names: tuple[str, str], environment: Mapping[str, str], remedy: str) -> tuple[int, int]:
    rank, size = (environment[name] for name in names)
    if not (_NUMBER.fullmatch(rank) and _NUMBER.fullmatch(size) and int(rank) < int(size)):
        raise ValueError(f"{names[0]}={rank!r} and {names[1]}={size!r}: a number from 0 and a larger one are expected{remedy}")
    return int(rank), int(size)
