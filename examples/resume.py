#!/usr/bin/env python3
"""Stops a training anywhere, with kill -9, and goes on: it has then seen the same bytes as one that was never stopped.

    python examples/resume.py [--kills 4]

The "model" is a hash of every byte that it was ever shown, in that order: two runs end with the same one if they saw the same, and with
others if a single bit, or the order of two batches, differs.  Model and loader are saved together after each step.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cropring

PHOTOS = Path(__file__).parents[1] / "tests/data/photos"
EPOCHS = 6


def load(checkpoint: Path) -> dict[str, Any]:
    return json.loads(checkpoint.read_text()) if checkpoint.exists() else {"model": "", "data": {}, "steps": 0}


def save(checkpoint: Path, content: dict[str, Any]) -> None:
    """The old one or the new one is there at any time, and never a half."""
    new = checkpoint.with_suffix(".new")
    new.write_text(json.dumps(content))
    os.replace(new, checkpoint)


def train(checkpoint: Path) -> None:
    content = load(checkpoint)
    model, steps = content["model"], content["steps"]
    with cropring.Loader(PHOTOS, batch_size=4, size=64, seed=7, epochs=EPOCHS, quiet=True) as loader:
        loader.load_state_dict(content["data"])  # of the first run it is empty, and changes nothing
        for epoch in range(loader.state_dict()["epoch"], EPOCHS):
            for images, labels in loader:
                model = hashlib.sha256(model.encode() + images.tobytes() + labels.tobytes()).hexdigest()
                time.sleep(0.01)  # the GPU at work
                steps += 1
                save(checkpoint, {"model": model, "data": loader.state_dict(), "steps": steps})


def run(checkpoint: Path, until_step: int | None = None) -> None:
    """Trains in a process of its own, to the end, or until it is killed, soon after that step."""
    process = subprocess.Popen([sys.executable, __file__, "--train", checkpoint])
    while process.poll() is None:
        if until_step is not None and load(checkpoint)["steps"] >= until_step:
            time.sleep(random.uniform(0, 0.02))
            process.kill()
        time.sleep(0.002)


def report(what: str, checkpoint: Path) -> None:
    content = load(checkpoint)
    state = content["data"]
    print(f"{what}: {content['model'][:16]}  after {content['steps']} steps, epoch {state['epoch']}, {state['samples_consumed']} samples of it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=4, help="how often the second run is killed [%(default)s]")
    parser.add_argument("--train", type=Path, metavar="CHECKPOINT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.train)
        return
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole.json", Path(folder) / "killed.json"
        run(whole)
        report("never stopped", whole)
        for step in sorted(random.sample(range(1, load(whole)["steps"]), arguments.kills)):
            run(killed, until_step=step)
            report("killed -9    ", killed)
        run(killed)
        report("to the end   ", killed)
        if load(whole)["model"] != load(killed)["model"]:
            sys.exit("they did not see the same")


if __name__ == "__main__":
    main()
