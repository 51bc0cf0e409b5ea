"""What arrives on a GPU, how fast, beside what, and whether it is right.  Runs from an installed cropring alone; see README.md here.

    python bench/gpu.py [--quick] [--device cuda]

Parts: `bus` (GB/s from the ring to the device), `check` (every batch by its checksum on the device, in few slots, under kills), `train`
(images/s, GPU idle, copies hidden, CPU of the training process, beside a DataLoader).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import logging
import os
import platform
import statistics
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import cropring
import cropring.torch
import gpu_checks
from cropring.torch.cuda import Cuda
from gpu_set import make_set

HERE = Path(__file__).resolve().parent
PARTS = ("bus", "check", "train")
BATCH, SIZE_PX, AHEAD = 256, 224, 4  # AHEAD: steps that the loop may queue beyond the one that the device is at
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Step = Callable[[torch.Tensor, torch.Tensor], None]


@dataclass
class Results:
    """Rows of the CSV, and of what is printed."""

    rows: list[tuple[str, str, str, str, float, str]]

    def add(self, part: str, case: str, side: str, what: str, value: float, unit: str) -> None:
        self.rows.append((part, case, side, what, value, unit))
        print(f"{part:6} {case:26} {side:24} {what:22} {value:12.4g} {unit}", flush=True)

    def write(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["part", "case", "side", "what", "value", "unit"])
            writer.writerows(self.rows)


class Machine:
    """The device, and how to wait for it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.has_gpu = device.type == "cuda"
        self.threads = len(os.sched_getaffinity(0))
        self._square = torch.randn(4096 if self.has_gpu else 256, 4096 if self.has_gpu else 256, device=device).to(torch.bfloat16)

    def synchronize(self) -> None:
        if self.has_gpu:
            torch.cuda.synchronize(self.device)

    def event(self) -> Any:
        """Recorded on the current stream."""
        return torch.cuda.current_stream(self.device).record_event(torch.cuda.Event(enable_timing=True)) if self.has_gpu else CpuEvent()

    def multiply(self, count: int) -> None:
        for _ in range(count):
            self._square @ self._square

    def multiplications_in(self, step_ms: float) -> int:
        """So many take about `step_ms`."""
        self.multiply(10)
        self.synchronize()
        begin = time.perf_counter()
        self.multiply(100)
        self.synchronize()
        return max(1, round(step_ms * 100 / ((time.perf_counter() - begin) * 1e3)))

    def words(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.has_gpu else "no GPU"
        return f"{name}; {self.threads} CPUs; Linux {platform.release()}; Python {platform.python_version()}; PyTorch {torch.__version__}; cropring {cropring.__version__}"


class CpuEvent:
    """A CPU has done what it was told."""

    def __init__(self) -> None:
        self._at = time.perf_counter()

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, later: CpuEvent) -> float:
        return (later._at - self._at) * 1e3


# ------------------------------------------------------------------ bus


def measure_bus(machine: Machine, source: Path, results: Results, rounds: int) -> None:
    """Copies of one batch's images from a slot, when the ring is full and the worker rests."""
    with cropring.torch.Loader(source, batch_size=BATCH, size=SIZE_PX, slots=4, quiet=True) as loader:
        loop = iter(loader)
        images = next(loop).images
        worker = loader._worker
        assert worker is not None
        address, byte_count = worker.ring.mapping
        while loader.stats()["slots_ready"] < 3:
            time.sleep(0.01)
        case = f"{images.numel() / 1e6:.1f} MB"
        cuda = Cuda(machine.device)
        pinning = ThreadPoolExecutor(1)  # what fails in CUDA is remembered for the thread that asked
        sides = {"slot, not registered": images, "torch pin_memory()": images.clone().pin_memory()}
        for side, tensor in sides.items():
            results.add("bus", case, side, "H2D", gigabytes_per_s(machine, tensor, rounds), "GB/s")
        begin = time.perf_counter()
        failure = pinning.submit(cuda.register, address, byte_count).result()
        results.add("bus", f"{byte_count / 1e6:.0f} MB", "slot, registered", "registering took", (time.perf_counter() - begin) * 1e3, "ms")
        if failure:
            print(f"bus    cannot be registered: {failure}")
            return
        results.add("bus", case, "slot, registered", "H2D", gigabytes_per_s(machine, images, rounds), "GB/s")
        pinning.submit(cuda.unregister, address).result()
        results.add("bus", case, "slot, unregistered again", "H2D", gigabytes_per_s(machine, images, rounds), "GB/s")


def gigabytes_per_s(machine: Machine, tensor: torch.Tensor, rounds: int) -> float:
    """The median of `rounds`, of 10 copies each."""
    room = torch.empty_like(tensor, device=machine.device)
    speeds = []
    for _ in range(rounds + 1):
        begin = machine.event()
        for _ in range(10):
            room.copy_(tensor, non_blocking=True)
        end = machine.event()
        machine.synchronize()
        speeds.append(10 * tensor.numel() * tensor.element_size() / begin.elapsed_time(end) / 1e6)
    return statistics.median(speeds[1:])


# ------------------------------------------------------------------ train


class TimedCuda(Cuda):
    """Knows when its copies began and ended."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.copies: list[tuple[Any, Any]] = []

    def copy(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], after: Any) -> Any:
        if after is not None:
            self._stream.wait_event(after)
        begin = self._stream.record_event(torch.cuda.Event(enable_timing=True))
        super().copy(pairs, None)
        end = self._stream.record_event(torch.cuda.Event(enable_timing=True))
        self.copies.append((begin, end))
        return end


@dataclass
class Run:
    """One side at one trainer: what was measured between the first and the last step."""

    images: int
    wall_s: float
    cpu_s: float
    steps: list[tuple[Any, Any]]
    copies: list[tuple[Any, Any]]


def train(machine: Machine, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], step: Step, seconds: float, copies: list[tuple[Any, Any]]) -> Run:
    """Steps for so long, after a fourth of that as warm-up; at most AHEAD of them are queued."""
    queued: deque[Any] = deque()
    steps: list[tuple[Any, Any]] = []
    images = 0
    wall = cpu = 0.0
    start = time.perf_counter()
    warm = False
    for pixels, labels in batches:
        begin = machine.event()
        step(pixels, labels)
        end = machine.event()
        queued.append(end)
        if len(queued) > AHEAD:
            queued.popleft().synchronize()
        now = time.perf_counter()
        if not warm and now - start > seconds / 4:
            machine.synchronize()
            warm, wall, cpu, images = True, time.perf_counter(), time.process_time(), 0
            steps.clear()
            copies.clear()
        elif warm:
            images += len(labels)
            steps.append((begin, end))
            if now - wall > seconds:
                break
    machine.synchronize()
    return Run(images, time.perf_counter() - wall, time.process_time() - cpu, steps, list(copies))


def report(machine: Machine, results: Results, case: str, side: str, run: Run) -> None:
    busy_s = sum(begin.elapsed_time(end) for begin, end in run.steps) / 1e3
    batches = max(1, len(run.steps))
    results.add("train", case, side, "images/s", run.images / run.wall_s, "")
    results.add("train", case, side, "device between steps", 100 * max(0.0, 1 - busy_s / run.wall_s), "%")
    results.add("train", case, side, "CPU of this process", run.cpu_s / batches * 1e3, "ms/batch")
    if run.copies and run.steps:
        results.add("train", case, side, "copy", statistics.median(begin.elapsed_time(end) for begin, end in run.copies), "ms/batch")
        results.add("train", case, side, "copy hidden", 100 * hidden_share(run), "%")


def hidden_share(run: Run) -> float:
    """The share of the copies' time in which a step ran."""
    origin = run.steps[0][0]
    steps = [(origin.elapsed_time(begin), origin.elapsed_time(end)) for begin, end in run.steps]
    copied = hidden = 0.0
    for begin, end in ((origin.elapsed_time(begin), origin.elapsed_time(end)) for begin, end in run.copies):
        if begin >= 0 and end <= steps[-1][1]:
            copied += end - begin
            hidden += sum(max(0.0, min(end, until) - max(begin, since)) for since, until in steps)
    return hidden / copied if copied else 0.0


def ours(machine: Machine, source: Path, pin: bool) -> Iterator[tuple[Iterable[tuple[torch.Tensor, torch.Tensor]], list[tuple[Any, Any]]]]:
    with cropring.torch.Loader(source, batch_size=BATCH, size=SIZE_PX, threads=machine.threads, tail="drop", quiet=True) as loader:
        on_device = loader.to_device(machine.device, dtype=torch.float32 if not machine.has_gpu else torch.float16, mean=MEAN, std=STD, pin=pin)
        copies: list[tuple[Any, Any]] = []
        if machine.has_gpu:
            assert on_device._way.carrier is not None
            on_device._way.carrier._device = timed = TimedCuda(machine.device)
            copies = timed.copies
        yield epochs(on_device), copies
        if on_device.stats()["pinned"] != (pin and machine.has_gpu):
            print("train  the ring could not be pinned")


def epochs(loader: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        for images, labels in loader:
            yield images, labels


def torchs(machine: Machine, source: Path) -> Iterator[tuple[Iterable[tuple[torch.Tensor, torch.Tensor]], list[tuple[Any, Any]]]]:
    """A DataLoader as good as its documents make it: uint8 over the bus, pinned, non_blocking, the same work on the device."""
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.RandomResizedCrop(SIZE_PX), transforms.RandomHorizontalFlip(), transforms.PILToTensor()])
    dataset = datasets.ImageFolder(source, transform)
    sampler = torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=10**7)
    loader = torch.utils.data.DataLoader(
        dataset, BATCH, sampler=sampler, num_workers=machine.threads, pin_memory=machine.has_gpu, prefetch_factor=4, drop_last=True
    )
    whole, mean, std = (torch.tensor(values, device=machine.device).view(1, -1, 1, 1) for values in ((255.0,), MEAN, STD))
    copies: list[tuple[Any, Any]] = []

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for images, labels in loader:
            begin = machine.event()
            images, labels = images.to(machine.device, non_blocking=True), labels.to(machine.device, non_blocking=True)
            copies.append((begin, machine.event()))
            exact = torch.div(images, whole).sub_(mean).div_(std)
            yield exact.to(torch.float16 if machine.has_gpu else torch.float32, memory_format=torch.channels_last), labels

    yield batches(), copies


def trainers(machine: Machine, quick: bool) -> Iterator[tuple[str, Step]]:
    for step_ms in (20,) if quick else (5, 20, 60):
        count = machine.multiplications_in(step_ms)

        def multiply(images: torch.Tensor, labels: torch.Tensor, count: int = count) -> None:
            machine.multiply(count)

        yield f"{step_ms} ms of matmul", multiply
    if not machine.has_gpu:
        return
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:
        print(f"train  no torchvision models: {error}")
        return
    for name in ("resnet18",) if quick else ("resnet18", "resnet50"):
        model = getattr(models, name)().to(machine.device, memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

        def fit(images: torch.Tensor, labels: torch.Tensor, model: Any = model, optimizer: Any = optimizer) -> None:
            with torch.autocast("cuda", torch.float16):
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        yield name, fit


def measure_training(machine: Machine, source: Path, results: Results, quick: bool) -> None:
    seconds = 1.5 if quick else 4.0
    torch.backends.cudnn.benchmark = True
    for case, step in trainers(machine, quick):
        device_only = train(machine, still(machine), step, seconds / 2, [])
        report(machine, results, case, "no loader", device_only)
        sides: dict[str, Callable[[], Any]] = {"cropring, pinned": lambda: ours(machine, source, True)}
        if machine.has_gpu:
            sides["cropring, not pinned"] = lambda: ours(machine, source, False)
        sides["DataLoader, pinned"] = lambda: torchs(machine, source)
        for side, open_side in sides.items():
            try:
                with contextlib.contextmanager(open_side)() as (batches, copies):
                    report(machine, results, case, side, train(machine, batches, step, seconds, copies))
            except (ImportError, RuntimeError) as error:
                if "DataLoader" not in side:
                    raise
                print(f"train  {side}: not measured: {error}")


def still(machine: Machine) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same batch again and again, on the device."""
    images = torch.randn(BATCH, 3, SIZE_PX, SIZE_PX, device=machine.device).to(memory_format=torch.channels_last)
    images = images.half() if machine.has_gpu else images
    while True:
        yield images, torch.zeros(BATCH, dtype=torch.int64, device=machine.device)


# ------------------------------------------------------------------ all


def run_checks(machine: Machine, source: Path, results: Results, quick: bool) -> int:
    sums = gpu_checks.expected_sums(source, machine.threads)
    lag = machine.multiplications_in(3)
    arrived = failed = count = 0
    for case in gpu_checks.cases(quick):
        batches, wrong = gpu_checks.check(case, source, machine.device, sums, machine.threads, lambda: machine.multiply(lag))
        arrived, failed, count = arrived + batches, failed + wrong, count + 1
        if wrong:
            print(f"check  {case}: {wrong} of {batches} wrong")
    results.add("check", f"{count} cases", "cropring", "batches", arrived, "")
    results.add("check", f"{count} cases", "cropring", "wrong or missing", failed, "")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=HERE.parent / "tests/data/photos", help="a folder of photographs, from which the set is made")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for gpu.csv")
    parser.add_argument("--set", type=Path, default=HERE / "data/gpu_set", help="folder for the set of JPEGs")
    parser.add_argument("--count", type=int, default=2000, help="JPEGs in the set [%(default)s]")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them [%(default)s]")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts {arguments.parts}: of {','.join(PARTS)}")
    if arguments.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(f"PyTorch {torch.__version__} finds no CUDA device here; --device cpu runs what needs none")
    machine = Machine(torch.device(arguments.device))
    print(machine.words())
    with contextlib.suppress(OSError):
        print(subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,pcie.link.gen.current,pcie.link.width.current", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip())
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = Results([])
    begin = time.perf_counter()
    source = make_set(arguments.photos, arguments.set, arguments.count)
    print(f"{arguments.count} JPEGs, {sum(path.stat().st_size for path in source.rglob('*.jpg')) / arguments.count / 1e3:.0f} KB each, after {time.perf_counter() - begin:.0f} s")
    logging.getLogger("cropring").setLevel(logging.ERROR)  # workers are killed here on purpose
    failed = 0
    if "bus" in parts:
        if machine.has_gpu:
            measure_bus(machine, source, results, 3 if arguments.quick else 9)
        else:
            print("bus    absent: there is no CUDA device")
    if "check" in parts:
        failed = run_checks(machine, source, results, arguments.quick)
    if "train" in parts:
        measure_training(machine, source, results, arguments.quick)
    results.write(arguments.out / "gpu.csv")
    print(f"{arguments.out / 'gpu.csv'}; {time.perf_counter() - begin:.0f} s in all")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
