"""Which rank of how many this process is, from whatever started it."""

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
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class World:
    """This process is number `rank` of `size`; `origin` names what says so: variables, or PyTorch."""

    rank: int = 0
    size: int = 1
    origin: str = ""


def find_world(rank: int | None, size: int | None, environment: Mapping[str, str] = os.environ) -> World:
    """What the keywords `rank` and `world_size` say, else PyTorch, else the environment, else one process alone.

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


def _process_group() -> World | None:
    """PyTorch's, if it was made before: processes of `torch.multiprocessing.spawn()` know their rank from an argument alone."""
    distributed: Any = sys.modules.get("torch.distributed")
    is_initialized = getattr(distributed, "is_initialized", None)  # a build without it has no such function
    if is_initialized is None or not is_initialized():
        return None
    return World(distributed.get_rank(), distributed.get_world_size(), "torch.distributed")


def _whole(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: a whole number is expected") from None


def _from(names: tuple[str, str], environment: Mapping[str, str]) -> World:
    rank, size = (environment[name] for name in names)
    if not (_NUMBER.fullmatch(rank) and _NUMBER.fullmatch(size) and int(rank) < int(size)):
        raise ValueError(f"{names[0]}={rank!r} and {names[1]}={size!r}: a number from 0 and a larger one are expected; or say rank= and world_size=")
    return World(int(rank), int(size), f"{names[0]} and {names[1]}")
