"""A function of the operator's own that a setting names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from answerbox.errors import SetupError


def load(variable: str, target: str) -> Callable[..., Any]:
    """The function of `module:function`; `variable` is the environment variable that names it.

    Raises:
        SetupError: there is no such module or function, or the module fails.
    """
    module, _, name = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as exc:  # whatever a module of yours raises while it is imported
        raise SetupError(
            f"{variable}={target!r} cannot be loaded: {exc}.",
            hint="Write it as module:function, and make the module importable (PYTHONPATH).",
        ) from exc
    if not callable(found):
        raise SetupError(f"{variable}={target!r} is not a function.")
    function: Callable[..., Any] = found
    return function


def installed(group: str) -> list[Callable[..., Any]]:
    """The functions that installed packages offer under an entry point group, by name.

    Raises:
        SetupError: one of them cannot be loaded.
    """
    found = sorted(entry_points(group=group), key=lambda entry: entry.name)
    return [load(f"entry point {entry.name} of {group}", entry.value) for entry in found]
