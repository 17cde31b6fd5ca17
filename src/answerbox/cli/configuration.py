"""`docs/configuration.md`: every setting with its variable, default, bounds and meaning.

    python -m answerbox.cli.configuration > docs/configuration.md

All of it comes from the class `Settings`. A test keeps the copy true.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from answerbox.settings import Settings, variable

HEAD = """\
# Configuration

Settings are environment variables, read once, when a process starts. A wrong one stops the start, and all wrong ones
are listed at once; `answerbox doctor` lists them too. Lists are written as JSON. This page is made from the code
(`src/answerbox/settings.py`) by `make docs`; do not edit it by hand.

| variable | default | allowed | meaning |
|---|---|---|---|
"""
KINDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
    SecretStr: "text, never shown",
}
BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}", "pattern": "matches `{}`"}


def page() -> str:
    rows = [_row(variable(name), field) for name, field in Settings.model_fields.items()]
    return HEAD + "".join(rows)


def _row(variable: str, field: FieldInfo) -> str:
    allowed = ", ".join([_kind(field.annotation), *map(_bound, field.metadata)])
    cells = (f"`{variable}`", _default(field.get_default(call_default_factory=True)), allowed, field.description or "")
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _kind(annotation: Any) -> str:
    """Raises: KeyError for a type that has no words yet."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_kind(argument) for argument in arguments if argument is not NoneType)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is dict:
        return "object of " + _kind(arguments[1])
    if origin in (frozenset, tuple):
        return f"list of {_kind(arguments[0])}"
    return KINDS[annotation]


def _bound(constraint: Any) -> str:
    """Raises: LookupError for a constraint that has no words yet."""
    found = [
        words.format(limit) for name, words in BOUNDS.items() if (limit := getattr(constraint, name, None)) is not None
    ]
    return found[0]


def _default(value: Any) -> str:
    """As one would write it into the variable."""
    if value is None or isinstance(value, SecretStr):
        return "none"
    return f"`{_written(value)}`"


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, frozenset | tuple):
        return json.dumps(sorted(value))
    if isinstance(value, Path) and value.is_relative_to(Path.home()):
        return f"~/{value.relative_to(Path.home()).as_posix()}"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.stdout.write(page())
