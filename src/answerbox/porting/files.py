"""The files that a notebook names: which stand beside it and go along, and which are on its author's machine only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from answerbox.porting.code import Code, Spot, dotted
from answerbox.porting.findings import Finding, error, warning

AUTHORS = re.compile(r"(?:/(?:home|Users|root|content|kaggle|dbfs)/|[A-Za-z]:[\\/](?!/)|~[/\\])")
ABSOLUTE = re.compile(r"/(?:tmp|mnt|data|opt|var|srv|media|scratch|usr|work)/\w")
OPENS = re.compile(
    r"(^|\.)(open|Path|PurePath|read_\w+|load\w*|from_pretrained|PersistentClient|connect|listdir|glob|rglob|"
    r"scandir|join|ZipFile|imread|loadtxt|genfromtxt|fromfile|memmap|InferenceSession|joblib\.load|Image\.open)$"
)
READS = re.compile(r"(^|\.)(open|read_(?:csv|json|parquet|excel|table|pickle|feather|text|bytes)|loadtxt|genfromtxt)$")
MODE = re.compile(r"[rwaxbt+]{1,3}")
PATHLIKE = re.compile(r"[^\n\t\0<>|*?\"]{1,200}")
LARGE = 200 * 2**20


@dataclass(frozen=True)
class Data:
    """A literal that names a file beside the notebook. Lines of its cell count from 1, columns from 0, in bytes."""

    cell: int
    line: int
    start: int
    end: int
    name: str


def data_of(code: Code, folder: Path) -> list[Data]:
    """Literals that name what is there and are given to a function, or to a name."""
    found = []
    for spot in code.everything():
        for node, is_opened in _candidates(spot.node):
            text = _path_text(node)
            if text and node.lineno == node.end_lineno and _stands(folder, text, is_opened):
                end = node.end_col_offset or 0
                found.append(Data(spot.cell.number, node.lineno, node.col_offset, end, text))
    return sorted(set(found), key=lambda data: (data.cell, data.line, data.start))


def file_findings(code: Code, folder: Path) -> Iterator[Finding]:
    for spot in code.everything():
        yield from _authors_own(spot)
        yield from _not_there(spot, folder)
    for data in data_of(code, folder):
        if (size := _size(folder / data.name)) > LARGE:
            hint = "Keep it outside the package, and let an environment variable say where."
            message = f"{data.name} has {size / 2**20:.0f} MiB, and each copy of the package has it."
            yield warning("large_file", message, hint, data.cell, data.line)


def _authors_own(spot: Spot) -> Iterator[Finding]:
    match spot.node:
        case ast.Constant(value=str(text)) if AUTHORS.match(text):
            hint = "Put the file beside the notebook and name it from there, such as `data/prices.csv`."
            yield error("authors_path", "This path is on your machine only.", hint, *spot.where)
        case ast.Constant(value=str(text)) if ABSOLUTE.match(text):
            hint = "Put the file beside the notebook, or let an environment variable say where it is."
            yield warning("absolute_path", "This path must be the same on every machine.", hint, *spot.where)
        case ast.Call(func=func) if dotted(func) in ("Path.home", "os.path.expanduser", "expanduser"):
            hint = "Put the file beside the notebook: a service has another home, or none."
            yield warning("authors_path", "The home folder of the service is another one.", hint, *spot.where)


def _not_there(spot: Spot, folder: Path) -> Iterator[Finding]:
    opened = _opened(spot.node)
    if opened is None:
        return
    text, modes = opened
    if "://" in text or AUTHORS.match(text) or ABSOLUTE.match(text):
        return
    if any(_writes(mode) for mode in modes):
        hint = "A package may stand where nothing can be written: use a folder that a setting names."
        yield warning("writes", f"The service writes {text!r} where it is started.", hint, *spot.where)
    elif not (folder / text).exists():
        hint = "Put it beside the notebook."
        yield error("no_file", f"The file {text!r} is not there.", hint, *spot.where)


def _opened(node: ast.AST) -> tuple[str, list[ast.expr]] | None:
    """The path that a call opens, and what may be its mode."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Call(args=[ast.Constant(value=str(text))]) as path, attr=method)):
            if dotted(path).rpartition(".")[2] == "Path" and method in ("open", "read_text", "read_bytes"):
                return text, [*node.args[:1], *_modes(node)]
        case ast.Call(func=func, args=[ast.Constant(value=str(text)), *rest]) if READS.search(dotted(func)):
            if not (isinstance(func, ast.Attribute) and MODE.fullmatch(text)):  # `path.open("wb")`
                return text, [*rest[:1], *_modes(node)]
    return None


def _modes(call: ast.Call) -> list[ast.expr]:
    return [keyword.value for keyword in call.keywords if keyword.arg == "mode"]


def _writes(mode: ast.expr) -> bool:
    text = mode.value if isinstance(mode, ast.Constant) else None
    return isinstance(text, str) and bool(MODE.fullmatch(text)) and bool(set(text) & set("wax"))


def _candidates(node: ast.AST) -> Iterator[tuple[ast.Constant, bool]]:
    """Literals, and whether the function that they are given to opens files."""
    match node:
        case ast.Call(func=func, args=args, keywords=keywords):
            opens = bool(OPENS.search(dotted(func)))
            for given in [*args, *(keyword.value for keyword in keywords)]:
                if isinstance(given, ast.Constant):
                    yield given, opens
        case ast.Assign(value=ast.Constant() as value) | ast.AnnAssign(value=ast.Constant() as value):
            yield value, False


def _path_text(node: ast.Constant) -> str:
    text = node.value
    if not isinstance(text, str) or not PATHLIKE.fullmatch(text) or "://" in text:
        return ""
    path = PurePosixPath(text)
    return "" if path.is_absolute() or ".." in path.parts or text.strip("./") == "" else text


def _stands(folder: Path, text: str, is_opened: bool) -> bool:
    """A folder's name is often a word of another kind, so it counts only where it is opened."""
    place = folder / text
    return place.is_file() if "." in text and not is_opened else is_opened and place.exists()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
