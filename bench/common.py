"""What every bench needs: CPU time of a process tree, steady-state measuring, alternating sides, medians, CSV and table."""

from __future__ import annotations

import csv
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PROGRAMS = HERE.parent / "build" / "bench"  # where build() puts them
SECONDS_PER_TICK = 1 / os.sysconf("SC_CLK_TCK")
Result = TypeVar("Result")
Contestant = TypeVar("Contestant")


@dataclass(frozen=True)
class Measurement:
    """What one side took for `items` of its work, warm-up excluded."""

    items: int
    wall_s: float
    cpu_s: float  # user + system, of the measuring process and all its descendants

    @property
    def items_per_s(self) -> float:
        return self.items / self.wall_s

    @property
    def cpu_ms_per_item(self) -> float:
        return self.cpu_s * 1e3 / self.items


@dataclass(frozen=True)
class Row:
    bench: str
    side: str
    repetition: int
    items: int
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Side:
    """One contestant: `measure(**arguments)` runs in a fresh process, so it is a module's function with picklable arguments."""

    name: str
    measure: Callable[..., Measurement]
    arguments: dict[str, Any]


def build(program: Path) -> None:
    """Build one of PROGRAMS, a target of CMakeLists.txt, from the tree as it is."""
    cmake = shutil.which("cmake", path=f"/usr/bin:{os.environ['PATH']}") or "cmake"
    for words in (["-S", HERE.parent, "-B", PROGRAMS, "-DCROPRING_TESTS=OFF"], ["--build", PROGRAMS, "--target", program.name]):
        done = subprocess.run([cmake, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{program.name} cannot be built; bench/README.md names the packages it takes\n{done.stdout}{done.stderr}")


def process_cpu_seconds(pid: int) -> float:
    """User + system time so far of all threads of a living process."""
    return time.clock_gettime((~pid << 3) | 2)  # the clock that clock_getcpuclockid(3) names on Linux


def process_tree(root_pid: int | None = None) -> Iterator[int]:
    """A process (default: this one) and its living descendants."""
    pending = [root_pid or os.getpid()]
    while pending:
        pid = pending.pop()
        yield pid
        try:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                pending.extend(map(int, (thread / "children").read_text().split()))
        except OSError:
            continue  # it ended meanwhile


def tree_cpu_seconds(root_pid: int | None = None) -> float:
    """User + system time so far of a process (default: this one), its living descendants, and those already waited for."""
    cpu_s = 0.0
    for pid in process_tree(root_pid):
        try:
            # proc(5): the fields after the name in parentheses start with number 3; 16 and 17 are cutime and cstime.
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu_s += process_cpu_seconds(pid) + sum(map(int, after_name[13:15])) * SECONDS_PER_TICK
        except OSError:
            continue  # it ended meanwhile; its parent's cutime has it
    return cpu_s


def tree_memory_bytes(root_pid: int | None = None) -> int:
    """Memory of a process (default: this one) and its living descendants: what they share with each other counts once (PSS, proc(5))."""
    memory_bytes = 0
    for pid in process_tree(root_pid):
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    memory_bytes += int(line.split()[1]) * 1024
        except OSError:
            continue  # it ended meanwhile
    return memory_bytes


def measure_epochs(run_epoch: Callable[[], int], epochs: int) -> Measurement:
    """Measure `epochs` calls, each of which returns its number of items, after one call that is not counted."""
    run_epoch()
    cpu_before_s, wall_before_s = tree_cpu_seconds(), time.monotonic()
    items = sum(run_epoch() for _ in range(epochs))
    return Measurement(items, time.monotonic() - wall_before_s, tree_cpu_seconds() - cpu_before_s)


def in_fresh_process(function: Callable[..., Result], *arguments: Any, **named_arguments: Any) -> Result:
    """What a module's function returns; arguments and result must be picklable."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **named_arguments).result()


def in_turns(sides: Iterable[Contestant], repetitions: int) -> Iterator[tuple[int, Contestant]]:
    """Repetition and side; every second round runs backwards: a machine that slows down favours nobody."""
    for repetition in range(repetitions):
        for side in list(sides)[:: 1 if repetition % 2 == 0 else -1]:
            yield repetition, side


def alternate(bench: str, sides: Sequence[Side], repetitions: int) -> list[Row]:
    """Measure all sides in turn, as often as told."""
    rows = []
    for repetition, side in in_turns(sides, repetitions):
        measured = in_fresh_process(side.measure, **side.arguments)
        rows.append(Row(bench, side.name, repetition, measured.items, round(measured.wall_s, 4), round(measured.cpu_s, 4)))
        print(f"  {side.name}: {measured.items_per_s:.0f} /s, {measured.cpu_ms_per_item:.3f} CPU ms each", file=sys.stderr)
    return rows


def medians(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Side -> (items per second, CPU ms per item), in the order of first appearance."""
    names = dict.fromkeys(row.side for row in rows)
    per_side = {name: [Measurement(row.items, row.wall_s, row.cpu_s) for row in rows if row.side == name] for name in names}
    return {
        name: (
            statistics.median(measured.items_per_s for measured in all_measured),
            statistics.median(measured.cpu_ms_per_item for measured in all_measured),
        )
        for name, all_measured in per_side.items()
    }


def machine_facts(packages: Sequence[str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    facts = {"processor": _processor_name(), "processors": str(len(os.sched_getaffinity(0)))}
    facts |= {"kernel": platform.release().partition("-")[0], "python": platform.python_version(), "commit": _commit()}
    for package in packages:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def _processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def write_csv(name: str, rows: Sequence[Any], facts: dict[str, str]) -> None:
    """results/<name>.csv: every row (dataclasses), below the facts as comment lines (pandas: `read_csv(path, comment="#")`)."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {key}: {value}\n" for key, value in facts.items())
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, rows))
    print(f"every measurement: {path.relative_to(HERE.parent)}", file=sys.stderr)


def in_a_line(error: BaseException, *paths: Path) -> str:
    """What a peer says that cannot be measured: the last line, which in nested errors is the cause, without this machine's folders."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if len(lines) > 1 else f"{type(error).__name__}: {error}"
    for path in (*paths, HERE.parent):
        text = text.replace(str(path), path.name)
    return text if len(text) <= 240 else f"{text[:239]}…"


def print_table(rows: Sequence[Row], *, item: str, base: str) -> None:
    """Medians as a Markdown table; the last column is the CPU time as a ratio to the side named `base`."""
    result = medians(rows)
    print(f"| side | {item}s/s | CPU ms per {item} | CPU, {base} = 1 |\n|---|---|---|---|")
    for name, (per_s, cpu_ms) in result.items():
        print(f"| {name} | {per_s:.0f} | {cpu_ms:.3f} | {cpu_ms / result[base][1]:.2f} |")
