"""What is said where a package is missing that only a part of cropring needs."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("package, name", [("torch", "PyTorch"), ("jax", "JAX")])
def test_the_import_says_what_to_install(package: str, name: str) -> None:
    code = f"import sys; sys.modules['{package}'] = None; import cropring; print('imported'); import cropring.{package}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "imported\n"
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: cropring.{package} needs {name}: pip install {package}"
