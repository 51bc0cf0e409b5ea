"""What `import cropring` brings along: NumPy, and nothing else that has to be installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import cropring
from conftest import PHOTOS, WATCHDOG_S

# Those of the standard library have taken much time to import: they wait until they are asked for.
UNWANTED = {"torch", "jax", "jaxlib", "rich", "matplotlib", "PIL", "pyarrow", "tqdm", "cv2", "asyncio", "importlib.metadata"}

LIST = "import sys, json; print(json.dumps(sorted(sys.modules)))"
USE = f"""
loader = cropring.Loader({str(PHOTOS)!r}, batch_size=4, size=32, threads=1)
for images, labels in loader:
    pass
loader.state_dict(), loader.stats(), loader.paths[0], loader.close()
"""


@pytest.mark.parametrize("use", ["", USE], ids=["import", "an epoch"])
def test_numpy_s_users_import_no_other_package(use: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import cropring\n{use}\n{LIST}"], capture_output=True, text=True, timeout=WATCHDOG_S)
    assert done.returncode == 0, done.stderr
    modules = set(json.loads(done.stdout))
    assert not modules & UNWANTED
    own = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    bare = subprocess.run([sys.executable, "-c", f"import numpy\n{LIST}"], capture_output=True, text=True, timeout=WATCHDOG_S, check=True)
    assert own - {name.partition(".")[0] for name in json.loads(bare.stdout)} == {"cropring"}


def test_the_version_is_there_when_it_is_asked_for() -> None:
    from importlib.metadata import version

    assert cropring.__version__ == version("cropring")
    with pytest.raises(AttributeError, match="module 'cropring' has no attribute 'Loade'"):
        _ = cropring.Loade  # type: ignore[attr-defined]
