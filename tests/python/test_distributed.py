"""Two processes that train together, under real launchers: the losses of one process to the bit, and nothing left when one dies."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="trainings need PyTorch")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/train.py"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "--nproc-per-node=2"]  # --standalone needs to resolve names

# Trains several times in one process, which imports torch once.
TRAININGS = f"""
import runpy, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import doc_blocks
doc_blocks.prepare_torchvision()
for words in sys.argv[1:]:
    sys.argv[:] = [{str(EXAMPLE)!r}, *words.split()]
    runpy.run_path({str(EXAMPLE)!r}, run_name="__main__")
    print("--", flush=True)
"""

# torch alone takes long to import on a busy machine
pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("free_port")]


def run(words: list[str | Path], folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def test_two_processes_have_the_losses_of_one_to_the_bit(tmp_path: Path) -> None:
    """Two, one, and two that share a worker, each going on where the one before stopped; and two random sequences."""
    done = run([sys.executable, ROOT / "tests/distributed/halves.py", "--trials=3"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": same bits: ") == 3


def test_the_example_trains_by_torchrun_and_goes_on_alone(tmp_path: Path) -> None:
    """And with torch's own loader, where torchvision is there."""

    def losses(text: str) -> list[str]:
        return re.findall(r"epoch \d+: loss ([\d.]+), 32 images", text)

    together = run([*TORCHRUN, EXAMPLE, "--per-node", "--epochs=2", "--checkpoint=kept.pt"], tmp_path)
    assert together.returncode == 0 and "in 2 processes" in together.stdout, together.stderr
    commands = ["--epochs=4 --checkpoint=kept.pt", "--epochs=4"]
    if importlib.util.find_spec("torchvision"):
        commands.append("--epochs=1 --loader=dataloader")
    done = run([sys.executable, "-c", TRAININGS, *commands], tmp_path)
    assert done.returncode == 0, done.stderr
    alone, whole, *others = done.stdout.split("--\n")[:-1]
    assert len(losses(whole)) == 4 and losses(together.stdout) + losses(alone) == losses(whole)
    assert alone.splitlines()[-1] == whole.splitlines()[-1]
    assert [len(losses(other)) for other in others] == [1] * len(others)


def test_nothing_is_left_when_torchrun_ends_a_run_whose_local_rank_0_died(tmp_path: Path, photos: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"""
import os, cropring
with cropring.Loader({str(photos)!r}, batch_size=2, size=32, per_node=True) as loader:
    for number in range(10**6):
        for batch in loader:
            if number == 2 and os.environ["RANK"] == "0":
                os.kill(os.getpid(), 9)
""")
    done = run([*TORCHRUN, program], tmp_path)
    assert done.returncode != 0 and "local_rank: 0" in done.stderr
