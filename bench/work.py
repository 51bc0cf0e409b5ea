"""What the sides of bench/peers.py and bench/neighbour.py are asked for: the same for all, and for the processes that they run in."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plan import Plan


@dataclass(frozen=True)
class Work:
    plan_path: str
    folder: str  # class folders of JPEGs
    converted: str  # a folder with the same pictures in the forms that some sides want: set.pack, set-NNNN.tar, set.beton
    batch_size: int = 64
    size: int = 224
    seed: int = 1
    parallel: int = 1  # threads that decode, or worker processes
    # For the loader's own processes, where it has some:
    nice: int = 0
    cpus: tuple[int, ...] = ()  # () is all of them

    def plan(self) -> Plan:
        return Plan.load(Path(self.plan_path))

    def loader_arguments(self) -> dict[str, Any]:
        """Of cropring.Loader."""
        places = {"nice": self.nice, "cpus": ",".join(map(str, self.cpus)) or None}
        return {"batch_size": self.batch_size, "size": self.size, "seed": self.seed, "threads": self.parallel, **places}

    def step_back(self, *_: Any) -> None:
        """What cropring's worker does by its flags; for the worker processes of others, which call this when they start."""
        if self.nice:
            os.nice(self.nice)
        if self.cpus:
            os.sched_setaffinity(0, self.cpus)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
