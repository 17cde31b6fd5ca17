"""A notebook as it stands in its file: code cells, which of them are exported, and where `run_model` is."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from answerbox.errors import SetupError
from answerbox.porting.magics import Cleaned, clean

RUN_MODEL = "run_model"
EXPORT = "export"
FORMAT = 4


@dataclass(frozen=True)
class Cell:
    """`number` counts code cells from 1. `code` is Python with the lines of `source`; None where that has a fault."""

    number: int
    source: str
    cleaned: Cleaned
    executed: int | None
    tags: frozenset[str] = frozenset()
    outputs: tuple[dict[str, Any], ...] = ()

    @property
    def code(self) -> str:
        return self.cleaned.code

    @property
    def tree(self) -> ast.Module | None:
        return self.cleaned.tree


@dataclass(frozen=True)
class Notebook:
    path: Path
    cells: tuple[Cell, ...] = field(repr=False)

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def exported(self) -> tuple[Cell, ...]:
        """Cells tagged `export`; without any, all up to and with the last one that defines `run_model`."""
        if tagged := tuple(cell for cell in self.cells if EXPORT in cell.tags):
            return tagged
        defining = [place for place, cell in enumerate(self.cells) if defines(cell.tree, RUN_MODEL)]
        return self.cells[: defining[-1] + 1] if defining else self.cells

    @property
    def requirements(self) -> dict[str, int]:
        """What the notebook installs for itself (`%pip install`), as it is written there, and in which cell."""
        found: dict[str, int] = {}
        for cell in self.cells:
            for name in cell.cleaned.requirements:
                found.setdefault(name, cell.number)
        return found


def defines(tree: ast.Module | None, name: str) -> bool:
    return tree is not None and name in bound_names(tree)


def bound_names(tree: ast.Module) -> set[str]:
    """The names that the module's own level binds: functions, classes, imports, assignments."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.add(node.name)
        if not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            waiting += ast.iter_child_nodes(node)
    return found


def read(path: Path) -> Notebook:
    """Raises: SetupError where it is no notebook of format 4 in Python."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        version, cells = data["nbformat"], data["cells"]
        language = data.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    except OSError as exc:
        raise SetupError(f"{path} cannot be read: {exc.strerror}.") from exc
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise SetupError(f"{path} is no notebook.", hint="Give the .ipynb file that Jupyter saves.") from exc
    if version != FORMAT:
        raise SetupError(f"{path} has notebook format {version}.", hint="Open and save it with a newer Jupyter.")
    if language != "python":
        raise SetupError(f"{path} is written in {language}, and only Python can be served.")
    code = [cell for cell in cells if cell.get("cell_type") == "code" and _text(cell.get("source")).strip()]
    return Notebook(path, tuple(_cell(number, cell) for number, cell in enumerate(code, 1)))


def _cell(number: int, data: dict[str, Any]) -> Cell:
    source = _text(data.get("source"))
    return Cell(
        number=number,
        source=source,
        cleaned=clean(source, number),
        executed=data.get("execution_count"),
        tags=frozenset(data.get("metadata", {}).get("tags", [])),
        outputs=tuple(data.get("outputs", [])),
    )


def _text(value: Any) -> str:
    """Jupyter writes a text as a list of lines, other programs as one."""
    return "".join(value) if isinstance(value, list) else str(value or "")
