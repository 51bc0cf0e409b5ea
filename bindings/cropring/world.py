"""Which rank of how many this process is, from the variables of whatever started it."""

from __future__ import annotations

import logging
import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class World:
    """This process is number `rank` of `size`; `origin` names the variables that say so, if any do."""

    rank: int = 0
    size: int = 1
    origin: str = ""


def find_world(rank: int | None, size: int | None, environment: Mapping[str, str] = os.environ) -> World:
    """What the keywords `rank` and `world_size` say, else the environment, else one process alone.

    `ValueError` when only one of two that belong together is there, or they are no such numbers.
    """
    if rank is not None and size is not None:
        return World(_whole("rank", rank), _whole("world_size", size))
    if rank is not None or size is not None:
        given, missing = ("rank", "world_size") if size is None else ("world_size", "rank")
        raise ValueError(f"{given}={rank if size is None else size} without {missing}: give both, or none to take them from the environment")
    for names in _PAIRS:
        found = [name for name in names if environment.get(name)]
        if len(found) == 1:
            missing = names[1] if found[0] == names[0] else names[0]
            raise ValueError(f"{found[0]} is set and {missing} is not: set both, or say rank= and world_size=")
        if found:
            return _from(names, environment)
    if all(environment.get(name) for name in _SLURM):
        return _from(_SLURM, environment)
    return World()


def log_world(world: World) -> None:
    """Says once in a process what was taken from where."""
    if world.origin and world not in _told:
        _told.add(world)
        _log.info("rank %d of %d, from %s", world.rank, world.size, world.origin)


_told: set[World] = set()


def _whole(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: a whole number is expected") from None


def _from(names: tuple[str, str], environment: Mapping[str, str]) -> World:
    rank, size = (environment[name] for name in names)
    if not (rank.isascii() and rank.isdigit() and size.isascii() and size.isdigit() and int(rank) < int(size)):
        raise ValueError(f"{names[0]}={rank} and {names[1]}={size}: a number from 0 and a larger one are expected; or say rank= and world_size=")
    return World(int(rank), int(size), f"{names[0]} and {names[1]}")
