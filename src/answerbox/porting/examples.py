"""The notebook's own calls of `run_model`, with what came out of them when it was run."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from answerbox.porting.notebook import RUN_MODEL, Cell, Notebook

QUESTION = "question"
FIELDS = (QUESTION, "context", "user_id", "session_id")
"""Members of a request over HTTP; what else `run_model` takes goes into `parameters`."""


@dataclass(frozen=True)
class Example:
    """`shape` tells keys and types of what came out, as `shape_of` does; None where the notebook has not kept it."""

    request: dict[str, Any]
    shape: Any
    cell: int
    line: int

    @property
    def body(self) -> dict[str, Any]:
        """The same request over HTTP."""
        given = {name: self.request[name] for name in FIELDS if name in self.request}
        others = {name: value for name, value in self.request.items() if name not in FIELDS}
        return {**given, **({"parameters": others} if others else {})}


def examples(notebook: Notebook) -> list[Example]:
    """Calls with a literal dict that JSON can carry, each request once, in the order of the notebook."""
    found: list[Example] = []
    for cell in notebook.cells:
        for call, request in calls(cell):
            if any(example.request == request for example in found):
                continue
            found.append(Example(request, _shape(cell, call), cell.number, call.lineno))
    return found


def calls(cell: Cell) -> Iterator[tuple[ast.Call, dict[str, Any]]]:
    """Calls outside functions, with their requests."""
    for node in _outside_functions(cell.tree):
        if _is_call(node) and len(node.args) == 1 and not node.keywords:
            request = literal(node.args[0])
            if isinstance(request, dict) and _is_json(request):
                yield node, request


def sample_statements(tree: ast.Module) -> list[ast.stmt]:
    """Statements of the module's level that only show an answer: `run_model({...})`, also printed."""
    return [node for node in tree.body if isinstance(node, ast.Expr) and any(_is_call(n) for n in ast.walk(node))]


def literal(node: ast.AST) -> Any:
    """The value of a literal; None where it is none."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def shape_of(value: Any) -> Any:
    """The keys of a dict with the types of their values, `list` of what its first item is; else the type's name."""
    if isinstance(value, dict):
        return {str(name): shape_of(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shape_of(inner) for inner in value[:1]]
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__


def differences(shape: Any, value: Any, place: str = "response") -> list[str]:
    """Where a value has another form. It may have more keys; what was None, or empty, may be anything."""
    if shape in (None, [], "NoneType"):
        return []
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{place} is no dict"]
        lacking = [f"{place} has no {name!r}" for name in shape if name not in value]
        inner = (differences(shape[n], value[n], f"{place}[{n!r}]") for n in shape if n in value)
        return [*lacking, *(found for each in inner for found in each)]
    if isinstance(shape, list):
        if not isinstance(value, list | tuple):
            return [f"{place} is no list"]
        return [found for item in value[:1] for found in differences(shape[0], item, f"{place}[0]")]
    found = shape_of(value)
    return [] if found == shape else [f"{place} is {found}, not {shape}"]


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == RUN_MODEL


def _outside_functions(tree: ast.Module | None) -> Iterator[Any]:
    waiting: list[ast.AST] = [tree] if tree else []
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _is_json(value: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _shape(cell: Cell, call: ast.Call) -> Any:
    """From the stored output, where the cell's last statement shows this call and no other."""
    last = cell.tree.body[-1] if cell.tree and cell.tree.body else None
    if not isinstance(last, ast.Expr) or [node for node in ast.walk(last) if _is_call(node)] != [call]:
        return None
    value = _shown(cell)
    match _bare(last.value, call):
        case "whole" if isinstance(value, dict):
            return shape_of(value)
        case "pieces" if isinstance(value, list) and value:
            return {"answer": "str", **(shape_of(value[-1]) if isinstance(value[-1], dict) else {})}
        case ast.Constant(value=str(name)) if value is not None:
            return {name: shape_of(value)}
    return None


def _bare(node: ast.expr, call: ast.Call) -> ast.expr | str | None:
    """`whole`: the call as it is, awaited or printed; `pieces`: a list of it; or the key of `run_model(...)["key"]`."""
    match node:
        case ast.Call(func=ast.Name(id="print")) if len(node.args) == 1:
            return _bare(node.args[0], call)
        case ast.Call(func=ast.Attribute(attr="dumps")) if node.args:
            return _bare(node.args[0], call)
        case ast.Call(func=ast.Name(id="list"), args=[inner]) if _bare(inner, call) == "whole":
            return "pieces"
        case ast.Await(value=inner):
            return _bare(inner, call)
        case ast.Subscript(value=inner, slice=key) if _bare(inner, call) == "whole":
            return key
    return "whole" if node is call else None


def _shown(cell: Cell) -> Any:
    """The value that the cell's only output is written as, None where that cannot be told."""
    if len(cell.outputs) != 1:
        return None
    output = cell.outputs[0]
    text = output.get("text") or output.get("data", {}).get("text/plain")
    text = "".join(text) if isinstance(text, list) else text
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return literal_text(text)


def literal_text(text: str) -> Any:
    """A printed text that is no literal is a text all the same."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
