"""The exported cells as one program: what runs when it is imported, and what a request runs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from answerbox.porting.examples import sample_statements
from answerbox.porting.magics import blanked
from answerbox.porting.notebook import RUN_MODEL, Cell, bound_names

Function = ast.FunctionDef | ast.AsyncFunctionDef
AT_ONCE = {"__init__", "__post_init__", "__new__", "__enter__", "__call__"}
"""Methods that making an object, or calling one, runs."""


@dataclass(frozen=True)
class Spot:
    """A node of the tree and the cell that it stands in."""

    cell: Cell
    node: ast.AST

    @property
    def where(self) -> tuple[int, int | None]:
        return self.cell.number, getattr(self.node, "lineno", None)


class Code:
    """`texts` have what is written into the package: example calls are left out of it."""

    def __init__(self, exported: Sequence[Cell]) -> None:
        parsed = [(cell, cell.tree) for cell in exported if cell.tree is not None]
        self.texts = {cell.number: blanked(cell.code, sample_statements(tree)) for cell, tree in parsed}
        self.trees = [(cell, ast.parse(self.texts[cell.number])) for cell, _ in parsed]
        self.names: set[str] = set().union(*(bound_names(tree) for _, tree in self.trees))
        self._defined: dict[str, tuple[Cell, Function | ast.ClassDef]] = {}
        for cell, tree in self.trees:
            for node in _level(tree.body):
                if isinstance(node, Function | ast.ClassDef):
                    self._defined[node.name] = (cell, node)

    @property
    def run_model(self) -> tuple[Cell, Function] | None:
        """The last definition; None where it is none by `def`."""
        match self._defined.get(RUN_MODEL):
            case (cell, ast.FunctionDef() | ast.AsyncFunctionDef() as node):
                return cell, node
        return None

    def everything(self) -> Iterator[Spot]:
        for cell, tree in self.trees:
            yield from (Spot(cell, node) for node in ast.walk(tree))

    def at_import(self) -> Iterator[Spot]:
        """What the module's own level runs, with the functions that it calls by name."""
        level = [Spot(cell, node) for cell, tree in self.trees for node in _outside_functions(tree.body)]
        yield from level
        yield from self._reached(_called(level), whole_classes=False)

    def in_requests(self) -> Iterator[Spot]:
        """What `run_model` reaches by name, and every method: which object it has cannot be told from the text."""
        start = {RUN_MODEL} | {name for name, (_, node) in self._defined.items() if isinstance(node, ast.ClassDef)}
        yield from self._reached(start, whole_classes=True)

    def _reached(self, names: Iterable[str], whole_classes: bool) -> Iterator[Spot]:
        waiting, seen = sorted(names), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._defined:
                continue
            seen.add(name)
            cell, node = self._defined[name]
            spots = [Spot(cell, inner) for part in _parts(node, whole_classes) for inner in ast.walk(part)]
            yield from spots
            waiting += sorted(_called(spots) if not whole_classes else _loaded(spots))


def dotted(node: ast.AST) -> str:
    """`torch.cuda.is_available` of such an expression; of a call in it only the name; empty for all else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{inner}.{name}" if (inner := dotted(value)) else f".{name}"
        case ast.Call(func=func):
            return dotted(func)
    return ""


def _parts(node: Function | ast.ClassDef, whole_classes: bool) -> list[ast.stmt]:
    if isinstance(node, ast.ClassDef) and not whole_classes:
        return [inner for inner in node.body if isinstance(inner, Function) and inner.name in AT_ONCE]
    return [node]


def _level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of the module's level, also inside `if` and `try` there."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _level([inner for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.stmt)])


def _outside_functions(body: list[ast.stmt]) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Function):
            waiting += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)]
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _called(spots: Iterable[Spot]) -> set[str]:
    return {s.node.func.id for s in spots if isinstance(s.node, ast.Call) and isinstance(s.node.func, ast.Name)}


def _loaded(spots: Iterable[Spot]) -> set[str]:
    return {s.node.id for s in spots if isinstance(s.node, ast.Name) and isinstance(s.node.ctx, ast.Load)}
