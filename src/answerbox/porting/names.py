"""Hidden state: names that the exported cells use and do not define, and cells that were run in another order."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterable, Iterator, Sequence

from answerbox.porting.code import Code
from answerbox.porting.findings import Finding, error, warning
from answerbox.porting.notebook import EXPORT, Cell, bound_names

KNOWN = set(dir(builtins)) | {"__name__", "__doc__", "__builtins__", "__annotations__"}
NOTEBOOK_ONLY = {"display", "get_ipython", "In", "Out", "_", "__", "___", "exit", "quit"}
DEFINE = "Define it in an exported cell that stands before."


def hidden_state(code: Code, exported: Sequence[Cell], every: Sequence[Cell]) -> list[Finding]:
    return [*_outside_functions(code), *_undefined(code, every), *_out_of_order(exported)]


def _outside_functions(code: Code) -> Iterator[Finding]:
    """What IPython takes and a module does not, such as `await` outside functions."""
    for cell, _ in code.trees:
        try:
            compile(code.texts[cell.number], "cell", "exec", dont_inherit=True)
        except SyntaxError as exc:
            hint = "Put it into a function; what the service needs at its start must not wait for anything."
            yield error("syntax", f"Only a notebook takes this: {exc.msg}.", hint, cell.number, exc.lineno)


def _undefined(code: Code, every: Sequence[Cell]) -> Iterator[Finding]:
    if any(_has_star(tree) for _, tree in code.trees):
        return  # then any name may be defined; `code_checks` says so
    everywhere = set().union(*(_defined(tree) for _, tree in code.trees))
    before: set[str] = set()
    for cell, tree in code.trees:
        own = _defined(tree)
        table = symtable.symtable(code.texts[cell.number], "cell", "exec")
        now = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()} - own - before
        later = set(_globals_of(table.get_children())) - everywhere
        for name in sorted((now | later) - KNOWN):
            yield _missing(name, cell, tree, every)
        before |= own


def _defined(tree: ast.Module) -> set[str]:
    """What the cell binds, also from inside functions that say `global`."""
    said = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    walrus = {node.target.id for node in ast.walk(tree) if isinstance(node, ast.NamedExpr)}
    return bound_names(tree) | said | walrus


def _globals_of(tables: Iterable[symtable.SymbolTable]) -> Iterator[str]:
    for table in tables:
        for symbol in table.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                yield symbol.get_name()
        yield from _globals_of(table.get_children())


def _missing(name: str, cell: Cell, tree: ast.Module, every: Sequence[Cell]) -> Finding:
    line = next((n.lineno for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name), None)
    if name in NOTEBOOK_ONLY:
        hint = "Leave it out: the service has no IPython."
        return error("notebook_only", f"`{name}` is there only in a notebook.", hint, cell.number, line)
    places = [other.number for other in every if other.tree is not None and name in bound_names(other.tree)]
    if places:
        hint = f"Cell {places[0]} defines it: move it up, or tag that cell `{EXPORT}`."
    else:
        hint = f"No cell of the notebook does: it is left from one that was changed or deleted. {DEFINE}"
    message = f"`{name}` is used, and no exported cell before it defines it."
    return error("undefined", message, hint, cell.number, line)


def _has_star(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names) for node in ast.walk(tree)
    )


def _out_of_order(exported: Sequence[Cell]) -> Iterator[Finding]:
    hint = "Restart the kernel, run all cells, look at the answers, and save."
    highest = 0
    if any(cell.executed for cell in exported):
        for cell in exported:
            if cell.executed is None:
                yield warning("order", "The cell was not run when the notebook was saved.", hint, cell.number)
            elif cell.executed < highest:
                yield warning("order", "The cell was run before one that stands above it.", hint, cell.number)
            highest = max(highest, cell.executed or 0)
