#!/usr/bin/env python3
"""One training, cut into parts by stops, each part by one process or by two: are the losses those of one process, to the bit?

    python tests/distributed/halves.py [--trials 20] [--seed N] [--launcher fork|spawn|torchrun]

A step's batch is B samples of the global order.  Two processes take B/2 each, rank 1 every second one, train with
DistributedDataParallel over gloo, and write down the bits of their losses.  One process does the same sums: it goes through the two halves
of its rows one after the other, and adds half of each gradient.  A sum of two numbers does not depend on their order, and half of a
number is exact, so whatever the processes are, the losses and the weights are the same, if each step had the same samples, cut
alike, in the same rows.  After each part the model, the optimizer and the loader's state (of rank 0; the others' must be the same)
are all that the next part has.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cropring.torch
import torch
import torch._dynamo  # which optimizers import when they are first used: here it is imported once for all that are forked
import torch.distributed as dist
import torch.multiprocessing
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

from train import small_cnn  # noqa: E402


@dataclass(frozen=True)
class Part:
    """Some steps of a training, from where the checkpoint in `folder` stands."""

    folder: str
    source: str = str(ROOT / "tests/data/photos")
    processes: int = 1
    per_node: bool = False
    steps: int = 4
    global_batch: int = 8
    tail: str = "pad"
    seed: int = 7
    threads: int = 2

    @property
    def checkpoint(self) -> Path:
        return Path(self.folder, "checkpoint.pt")

    def losses(self, rank: int) -> Path:
        """The bits of half `rank`'s losses, one line for each step."""
        return Path(self.folder, f"losses.{rank}")


def train(part: Part, rank: int) -> None:
    """What each of the part's processes does."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(part.seed)
    two = part.processes == 2
    rows = {"batch_size": part.global_batch // part.processes, "rank": rank, "world_size": part.processes}
    loader = cropring.torch.Loader(
        part.source, size=32, tail=part.tail, seed=part.seed, threads=part.threads, per_node=part.per_node, quiet=True, **rows
    )
    bare = small_cnn(len(loader.classes), width=8)
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.05, momentum=0.9)
    if part.checkpoint.exists():
        kept = torch.load(part.checkpoint)
        bare.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        loader.load_state_dict(kept["data"])
    model = DistributedDataParallel(bare) if two else bare
    halves = (rank,) if two else (0, 1)
    files = {half: part.losses(half).open("a") for half in halves}
    left = part.steps
    while left > 0:
        for images, labels in loader:
            inputs = images.to(torch.float32, memory_format=torch.contiguous_format) / 255
            optimizer.zero_grad()
            summed: list[torch.Tensor] = []
            for half in halves:
                ours = slice(None) if two else slice(half, None, 2)
                loss = cross_entropy(model(inputs[ours].contiguous()), labels[ours])
                print(loss.detach().numpy().tobytes().hex(), file=files[half])
                gradients = torch.autograd.grad(loss, list(bare.parameters())) if not two else ()
                summed = [a + b for a, b in zip(summed, (each / 2 for each in gradients))] if summed else [each / 2 for each in gradients]
            if two:
                loss.backward()  # DistributedDataParallel halves the gradients, and adds those of both processes
            else:
                for parameter, gradient in zip(bare.parameters(), summed):
                    parameter.grad = gradient
            optimizer.step()
            left -= 1
            if two:
                states: list[Any] = [None, None]
                dist.all_gather_object(states, loader.state_dict())
                assert states[0] == states[1], states
            if left == 0:
                break
    if rank == 0:
        torch.save({"model": bare.state_dict(), "optimizer": optimizer.state_dict(), "data": loader.state_dict()}, part.checkpoint)
    loader.close()


def train_as_rank(rank: int, part: Part) -> None:
    """With a launcher's variables, as torchrun has them."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = "0"  # for the Loader, which wants to know one run from another; the group meets at a file
    os.environ["TORCHELASTIC_RUN_ID"] = str(os.getppid())
    dist.init_process_group("gloo", init_method=f"file://{part.folder}/meeting", rank=rank, world_size=2)
    train(part, rank)
    dist.destroy_process_group()


def run(part: Part, launcher: str) -> None:
    """One part, in processes of its own."""
    Path(part.folder, "meeting").unlink(missing_ok=True)
    if launcher == "torchrun":
        words = ["-m", "torch.distributed.run", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "--nproc-per-node=2"] if part.processes == 2 else []
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, *words, __file__, "--part", json.dumps(asdict(part))], env=environment, check=True)
        return
    function, arguments = (train_as_rank, (part,)) if part.processes == 2 else (train_alone, (part,))
    torch.multiprocessing.start_processes(function, arguments, part.processes, start_method=launcher)


def train_alone(_rank: int, part: Part) -> None:
    train(part, 0)


def bits(part: Part) -> list[list[str]]:
    """Of the losses of both halves, and last of the weights."""
    weights = torch.load(part.checkpoint)["model"]
    return [part.losses(half).read_text().split() for half in (0, 1)] + [[value.numpy().tobytes().hex() for value in weights.values()]]


def same_bits(parts: list[Part], launcher: str) -> bool:
    """Runs all parts one after the other, and then one process alone, which never stops."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        parts = [replace(part, folder=folder) for part in parts]
        whole = replace(parts[0], folder=other, processes=1, per_node=False, steps=sum(part.steps for part in parts))
        for part in (*parts, whole):
            run(part, launcher)
        found, expected = bits(parts[0]), bits(whole)
        assert len(set(expected[0])) > whole.steps // 2, "the losses do not change"
        return found == expected


def described(parts: list[Part]) -> str:
    ways = [f"{part.steps} steps by {'two that share a worker' if part.per_node else ('one', 'two')[part.processes - 1]}" for part in parts]
    return f"B={parts[0].global_batch} tail={parts[0].tail} seed={parts[0].seed}: " + ", ".join(ways)


def fixed_parts() -> list[Part]:
    """Two processes, then one, then two that share a worker, with stops in the middle of an epoch of 5 steps."""
    part = Part("")
    return [replace(part, processes=2, steps=3), replace(part, steps=4), replace(part, processes=2, per_node=True, steps=7)]


def random_parts(rng: random.Random) -> list[Part]:
    common = Part("", global_batch=2 * rng.randint(1, 8), tail=rng.choice(("drop", "pad")), seed=rng.randrange(1000))
    processes = [1, 2, *rng.choices((1, 2), k=rng.randint(0, 2))]
    rng.shuffle(processes)
    return [
        replace(common, processes=count, per_node=count == 2 and rng.random() < 0.5, steps=rng.randint(1, 9), threads=rng.randint(1, 4))
        for count in processes
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--launcher", choices=("fork", "spawn", "torchrun"), default="fork")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        part = Part(**json.loads(arguments.part))
        if part.processes == 2:
            dist.init_process_group("gloo")
        train(part, dist.get_rank() if part.processes == 2 else 0)
        return
    rng = random.Random(arguments.seed)
    print(f"--seed {arguments.seed}")
    for trial in range(arguments.trials):
        parts = random_parts(rng) if trial > 0 else fixed_parts()
        ok = same_bits(parts, arguments.launcher)
        print(f"{trial + 1}: {'same bits' if ok else 'OTHER BITS'}: {described(parts)}", flush=True)
        if not ok:
            sys.exit(1)


if __name__ == "__main__":
    main()
