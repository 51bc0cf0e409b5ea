"""Keywords on their way to the worker's command line."""

from __future__ import annotations

import inspect
import operator
import os
from collections.abc import Callable
from typing import Any


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The default of each parameter by name."""
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def checked(name: str, value: Any, default: Any) -> Any:
    """The value as the worker's command line will show it, of the type that the default has; `TypeError` names the keyword."""
    try:
        if name in ("mean", "std") and value is not None:
            return tuple(float(part) for part in value) if hasattr(value, "__iter__") else float(value)
        if isinstance(default, bool):
            return bool(value)
        if isinstance(default, int) and name != "size":
            return int(operator.index(value))
        if isinstance(default, float):
            return float(value)
    except TypeError:
        kind = "numbers are" if name in ("mean", "std") else "a number is" if isinstance(default, float) else "a whole number is"
        raise TypeError(f"{name}={value!r}: {kind} expected") from None
    return value


def working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None  # it was removed; absolute paths work all the same
