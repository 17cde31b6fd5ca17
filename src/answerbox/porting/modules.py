"""What the exported cells import: of the standard library, installed, or beside the notebook."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from answerbox.porting.code import Code
from answerbox.porting.findings import Finding, error, warning
from answerbox.porting.notebook import Notebook

OWN = "answerbox"
NOTEBOOK_ONLY = {"IPython", "ipywidgets", "google.colab", "nest_asyncio"}


@dataclass
class Imports:
    """`local`: files and folders beside the notebook; `installed`: distribution names."""

    local: dict[str, Path] = field(default_factory=dict)
    installed: set[str] = field(default_factory=set)
    missing: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Where each module that is nowhere is imported first: the cell and the line."""


def imports_of(code: Code, folder: Path) -> Imports:
    found = Imports()
    distributions = _distributions()
    waiting = [(name, (spot.cell.number, line)) for spot in code.everything() for name, line in _imported(spot.node)]
    while waiting:
        name, where = waiting.pop(0)
        if name in sys.stdlib_module_names or name in found.local or name == OWN:
            continue
        if local := _beside(folder, name):
            found.local[name] = local
            waiting += [(inner, where) for inner in _imports_of_files(local)]
        elif name in distributions and importlib.util.find_spec(name):
            found.installed.add(canonicalize_name(distributions[name][0]))
        else:
            found.missing.setdefault(name, where)
    return found


def import_findings(code: Code, notebook: Notebook) -> Iterator[Finding]:
    imports = imports_of(code, notebook.folder)
    for name, where in imports.missing.items():
        hint = f"Install it here (`pip install {name}`, if its package has that name), or put {name}.py beside."
        yield error("not_installed", f"The module `{name}` is not installed.", hint, *where)
    for text, cell in notebook.requirements.items():
        yield from _installs(text, cell)
    for spot in code.everything():
        for name, line in _imported(spot.node):
            if name in NOTEBOOK_ONLY:
                hint = "Leave it out: only a notebook needs it."
                yield warning("notebook_only", f"`{name}` is for notebooks.", hint, spot.cell.number, line)


def installed_requirements(notebook: Notebook) -> set[str]:
    """Of what the notebook installs for itself, the distributions that are here."""
    names = [_requirement(text) for text in notebook.requirements]
    return {canonicalize_name(found.name) for found in names if found and _version(found.name)}


def _installs(text: str, cell: int) -> Iterator[Finding]:
    wanted = _requirement(text)
    if wanted is None:
        hint = "Name a package of an index, with its version."
        yield warning("requirement", f"`pip install {text}` cannot be pinned.", hint, cell)
        return
    here = _version(wanted.name)
    if here is None:
        hint = f"Install it here (`pip install {wanted.name}`): the package pins the version that was tried."
        yield error(
            "not_installed", f"The notebook installs `{wanted.name}`, and it is not installed here.", hint, cell
        )
    elif not wanted.specifier.contains(here, prereleases=True):
        hint = "Install that version here, or change the line; what is pinned is what was tried."
        yield warning("requirement", f"The notebook wants {text}, and {here} is installed here.", hint, cell)


@cache
def _distributions() -> Mapping[str, list[str]]:
    """By module; it reads a list of every file that is installed."""
    return packages_distributions()


def _requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _imported(node: ast.AST) -> Iterator[tuple[str, int]]:
    match node:
        case ast.Import(names=names):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in names)
        case ast.ImportFrom(module=str(module), level=0):
            yield module.partition(".")[0], node.lineno


def _beside(folder: Path, name: str) -> Path | None:
    if (file := folder / f"{name}.py").is_file():
        return file
    package = folder / name
    return package if package.is_dir() and any(package.glob("*.py")) else None


def _imports_of_files(local: Path) -> Iterator[str]:
    for file in sorted(local.rglob("*.py")) if local.is_dir() else [local]:
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, OSError):
            continue  # `local_findings` of `check` says so
        yield from (name for node in ast.walk(tree) for name, _ in _imported(node))
