#!/usr/bin/env python3
"""Trains a small CNN on a folder with a sub-folder for each class: by one process, or by as many as torchrun starts.

    python examples/train.py [FOLDER]
    python examples/train.py --loader dataloader                    # with torch's DataLoader and torchvision instead, to compare
    python examples/train.py --checkpoint train.pt                  # stop it whenever you like: the same command goes on
    torchrun --nproc-per-node 2 examples/train.py --per-node        # two processes, and one worker that feeds both

The line to look at is in `batches_of()`.  All else is what such a script has anyway.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import cropring.torch
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

PHOTOS = Path(__file__).parents[1] / "tests/data/photos"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def small_cnn(class_count: int, width: int = 16) -> nn.Module:
    def halve(channels: int, out: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.GroupNorm(4, out), nn.ReLU()]

    layers = [*halve(3, width), *halve(width, 2 * width), *halve(2 * width, 4 * width)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, class_count))


def batches_of(job: argparse.Namespace, training: bool) -> Any:
    """Batches of float images and labels: random crops in another order each epoch, or the middle of each picture once."""
    if job.loader == "dataloader":
        return torchs_own(job, training)
    how = {} if training else {"crop": "center", "hflip": 0, "shuffle": False, "tail": "partial"}
    loader = cropring.torch.Loader(job.folder, batch_size=job.rank_batch, size=job.size, seed=job.seed, per_node=job.per_node, quiet=True, **how)
    return loader.to_device(job.device, mean=MEAN, std=STD)


def torchs_own(job: argparse.Namespace, training: bool) -> Any:
    from torchvision import datasets, transforms as tv

    look = [tv.RandomResizedCrop(job.size), tv.RandomHorizontalFlip()] if training else [tv.Resize(job.size * 8 // 7), tv.CenterCrop(job.size)]
    dataset = datasets.ImageFolder(job.folder, tv.Compose([*look, tv.ToTensor(), tv.Normalize(MEAN, STD)]))
    sampler = torch.utils.data.DistributedSampler(dataset, shuffle=training, seed=job.seed, drop_last=training) if dist.is_initialized() else None
    return torch.utils.data.DataLoader(
        dataset, job.rank_batch, shuffle=training and sampler is None, sampler=sampler, drop_last=training, num_workers=2, persistent_workers=True
    )


def summed(job: argparse.Namespace, *numbers: float) -> list[float]:
    """Over all processes."""
    total = torch.tensor(numbers, dtype=torch.float64, device=job.device)
    if dist.is_initialized():
        dist.all_reduce(total)
    return total.tolist()


def accuracy(job: argparse.Namespace, model: nn.Module) -> float:
    model.eval()
    right = count = 0
    with torch.no_grad():
        for images, labels in batches_of(job, training=False):
            right += (model(images.to(job.device)).argmax(1) == labels.to(job.device)).sum().item()
            count += len(labels)
    model.train()
    right, count = summed(job, right, count)  # each process has its own share of the pictures, and tail="partial" leaves none out
    return right / count


def save(job: argparse.Namespace, content: dict[str, Any]) -> None:
    """The old checkpoint or the new one is there at any time, and never a half.  A loader's state is the same on all ranks."""
    if job.rank == 0:
        torch.save(content, f"{job.checkpoint}.new")
        os.replace(f"{job.checkpoint}.new", job.checkpoint)


def train(job: argparse.Namespace) -> None:
    torch.manual_seed(job.seed)
    loader = batches_of(job, training=True)
    bare = small_cnn(len(loader.dataset.classes)).to(job.device)
    model = DistributedDataParallel(bare) if dist.is_initialized() else bare
    optimizer = torch.optim.AdamW(model.parameters(), lr=job.lr)
    first_epoch = 0
    if job.checkpoint and os.path.exists(job.checkpoint):
        kept = torch.load(job.checkpoint, map_location=job.device)
        bare.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        first_epoch = kept["data"]["epoch"]
        if hasattr(loader, "load_state_dict"):  # a DataLoader has none: it begins the epoch again
            loader.load_state_dict(kept["data"])
    for epoch in range(first_epoch, job.epochs):
        if hasattr(loader.sampler, "set_epoch"):
            loader.sampler.set_epoch(epoch)
        begin, images_seen, loss_sum = time.monotonic(), 0, 0.0
        for step, (images, labels) in enumerate(loader, 1):
            images, labels = images.to(job.device, non_blocking=True), labels.to(job.device, non_blocking=True)
            loss = cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            images_seen, loss_sum = images_seen + len(labels), loss_sum + loss.item() * len(labels)
            if job.checkpoint and step % job.save_every == 0:
                place = loader.state_dict() if hasattr(loader, "state_dict") else {"epoch": epoch}
                save(job, {"model": bare.state_dict(), "optimizer": optimizer.state_dict(), "data": place})
        seconds = time.monotonic() - begin
        total, loss_total = summed(job, images_seen, loss_sum)
        if job.rank == 0:
            print(f"epoch {epoch}: loss {loss_total / max(total, 1):.3f}, {total:.0f} images, {total / seconds:.0f} images/s", flush=True)
    right = accuracy(job, model)
    if job.rank == 0:
        print(f"{right:.0%} of the pictures recognised, in {job.world_size} process{'es' * (job.world_size > 1)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=str(PHOTOS))
    parser.add_argument("--loader", choices=("cropring", "dataloader"), default="cropring")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=16, help="of all processes together [%(default)s]")
    parser.add_argument("--size", type=int, default=64, help="of the images, in pixels [%(default)s]")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--per-node", action="store_true", help="one worker for all processes of this machine")
    parser.add_argument("--checkpoint", help="a file to go on from, and to save to")
    parser.add_argument("--save-every", type=int, default=2, metavar="STEPS")
    job = parser.parse_args()
    job.rank, job.world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    job.rank_batch = job.batch_size // job.world_size
    job.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")
    if job.world_size > 1:
        dist.init_process_group("nccl" if job.device.type == "cuda" else "gloo")
    train(job)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
