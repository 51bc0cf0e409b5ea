#!/usr/bin/env python3
"""What `import cropring` costs a program that has NumPy already, beside the imports of NumPy itself and of torch."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys

import common

TIMED = """
import json, sys, time
{before}
wall_s, cpu_s = time.perf_counter(), time.process_time()
{line}
print(json.dumps([time.perf_counter() - wall_s, time.process_time() - cpu_s]))
"""


def measure(*, before: str, line: str) -> common.Measurement:
    """One item: the line, in a bare interpreter that has run what is before it."""
    code = TIMED.format(before=before, line=line)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wall_s, cpu_s = json.loads(done.stdout)
    return common.Measurement(1, wall_s, cpu_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=21)
    options = parser.parse_args()

    sides = [
        common.Side("numpy", measure, {"before": "", "line": "import numpy"}),
        common.Side("cropring after numpy", measure, {"before": "import numpy", "line": "import cropring"}),
    ]
    if importlib.util.find_spec("torch"):
        sides.append(common.Side("torch.utils.data after numpy", measure, {"before": "import numpy", "line": "import torch.utils.data"}))
    common.alternate("import_time", sides, 1)  # uncounted: the files come into the page cache, and compiled ones are written
    rows = common.alternate("import_time", sides, options.repetitions)
    print("| import | wall ms | CPU ms |\n|---|---|---|")
    for name, (per_s, cpu_ms) in common.medians(rows).items():
        print(f"| {name} | {1e3 / per_s:.0f} | {cpu_ms:.0f} |")
    common.write_csv("import_time", rows, common.machine_facts(("cropring", "numpy", "torch")))


if __name__ == "__main__":
    main()
