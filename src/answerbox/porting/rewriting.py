"""The code of the package's `pipeline.py`: the exported cells in their order, and paths that go with the package."""

from __future__ import annotations

import ast
from pathlib import Path

from answerbox.porting.code import Code
from answerbox.porting.files import Data, data_of

HERE = """from pathlib import Path as _Path

_HERE = _Path(__file__).parent
"""
FUTURE = "__future__"


def pipeline_text(code: Code, folder: Path, title: str) -> str:
    """Each cell under a heading with its number. Literals that name files beside the notebook name them here."""
    data = data_of(code, folder)
    features = sorted({name for _, tree in code.trees for name in _future_names(tree)})
    parts = [f'"""{title}"""\n']
    if features:
        parts.append(f"from {FUTURE} import {', '.join(features)}\n")
    if data:
        parts.append(HERE)
    for cell, tree in code.trees:
        text = moved(code.texts[cell.number], [found for found in data if found.cell == cell.number])
        parts.append(f"# cell {cell.number}\n{_without_future(text, tree).strip()}\n")
    return "\n".join(parts)


def moved(text: str, data: list[Data]) -> str:
    """The text with each of these literals as a path below the package's own folder."""
    lines = [line.encode() for line in text.split("\n")]
    for found in sorted(data, key=lambda one: (one.line, one.start), reverse=True):
        line = lines[found.line - 1]
        path = f'str(_HERE / "{Path(found.name).as_posix()}")'
        lines[found.line - 1] = line[: found.start] + path.encode() + line[found.end :]
    return b"\n".join(lines).decode()


def _future_names(tree: ast.Module) -> list[str]:
    return [alias.name for node in _future_imports(tree) for alias in node.names]


def _without_future(text: str, tree: ast.Module) -> str:
    """Python wants them at the top of the file."""
    gone = {line for node in _future_imports(tree) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    return "\n".join(line for number, line in enumerate(text.split("\n"), 1) if number not in gone)


def _future_imports(tree: ast.Module) -> list[ast.ImportFrom]:
    return [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == FUTURE]
