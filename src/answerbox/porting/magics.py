"""What is IPython in a cell and not Python: taken out, line by line, so that line numbers stay."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from answerbox.porting.findings import Finding, error, warning

INSTALL = re.compile(r"(?:pip3?|python3? -m pip|uv pip) install (.+)")
HARMLESS = {"time", "timeit", "capture", "matplotlib", "load_ext", "reload_ext", "autoreload", "config", "pylab", "pip"}
KEEP_THE_REST = {"time", "timeit", "capture", "prun", "memit"}
"""Cell magics whose cell is Python all the same."""
ASSIGNED = re.compile(r"^\s*[\w., ]+=\s*[%!]")
HELP = re.compile(r"^\s*(\?{1,2}[\w.]+|[\w.]+\?{1,2})\s*$")
TAKES_A_VALUE = {"-r", "--requirement", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-c", "-e"}


@dataclass(frozen=True)
class Cleaned:
    """`code` has the lines of the cell. `tree` is None where it is no Python; a finding then says where."""

    code: str
    tree: ast.Module | None
    requirements: tuple[str, ...]
    findings: tuple[Finding, ...]


def clean(source: str, number: int) -> Cleaned:
    cleaning = _Cleaning(number)
    code, tree = cleaning.parsed(source)
    if tree is not None:
        shown = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and _shows(node)]
        for node in shown:
            cleaning.note(node.lineno, "`display` is left out: only a notebook has it.")
        if shown:
            code, tree = cleaning.parsed(blanked(code, shown))
    return Cleaned(code, tree, tuple(cleaning.requirements), tuple(cleaning.findings))


def blanked(code: str, nodes: Sequence[ast.stmt]) -> str:
    """The code with `pass` in the place of these statements, and a comment that shows what stood there."""
    lines = code.split("\n")
    for node in nodes:
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        indent = re.match(r"\s*", lines[first])
        space = indent.group() if indent else ""
        lines[first] = f"{space}pass  # {lines[first].strip()}"
        for place in range(first + 1, last + 1):
            lines[place] = f"{space}# {lines[place].strip()}"
    return "\n".join(lines)


def _shows(node: ast.Expr) -> bool:
    call = node.value
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "display"


class _Cleaning:
    def __init__(self, number: int) -> None:
        self._number = number
        self.requirements: list[str] = []
        self.findings: list[Finding] = []

    def note(self, line: int, message: str) -> None:
        hint = "Nothing, unless the code after it needs what it did."
        self.findings.append(warning("magic", message, hint, self._number, line))

    def parsed(self, source: str) -> tuple[str, ast.Module | None]:
        try:
            return source, ast.parse(source)
        except SyntaxError:  # also what a null character or IPython's own words are
            pass
        except ValueError:
            self._no_python(None, "a character that no source may have")
            return source, None
        code = self._without_magics(source)
        try:
            return code, ast.parse(code)
        except SyntaxError as exc:
            self._no_python(exc.lineno, exc.msg)
            return code, None

    def _no_python(self, line: int | None, reason: str) -> None:
        hint = "Put the cell right, run it, and save the notebook."
        self.findings.append(error("syntax", f"The cell is no Python: {reason}.", hint, self._number, line))

    def _without_magics(self, source: str) -> str:
        lines = source.split("\n")
        first = next((place for place, line in enumerate(lines) if line.strip()), 0)
        if lines[first].startswith("%%"):
            name = lines[first][2:].split()[0] if lines[first][2:].split() else ""
            if name not in KEEP_THE_REST:
                self._whole_cell(name, first + 1)
                return "\n".join(f"# {line}" for line in lines)
        return "\n".join(self._line(place, line) for place, line in enumerate(lines, 1))

    def _whole_cell(self, name: str, line: int) -> None:
        message = f"A cell of `%%{name}` is no Python and is left out."
        hint = "Write what it does in Python, or put the file that it makes beside the notebook."
        self.findings.append(warning("magic", message, hint, self._number, line))

    def _line(self, place: int, line: str) -> str:
        text = line.strip()
        space = line[: len(line) - len(line.lstrip())]
        if ASSIGNED.match(line):
            hint = "Write it in Python (`subprocess`, `pathlib`): the service has no IPython."
            self.findings.append(error("magic", "A shell line or magic gives a value.", hint, self._number, place))
            return f"{space}pass  # {text}"
        if not text.startswith(("%", "!")) and not HELP.match(line):
            return line
        self._magic(place, text)
        return f"{space}pass  # {text}" if space else f"# {text}"

    def _magic(self, place: int, text: str) -> None:
        command = text.lstrip("%!").strip()
        if install := INSTALL.match(command):
            self.requirements += requirements(install.group(1))
            return
        name = command.split()[0] if command.split() else ""
        if text.startswith("!"):
            hint = "What it fetched or made must stand beside the notebook, or be made in Python."
            finding = warning("shell", f"The shell line `{name}` is left out.", hint, self._number, place)
            self.findings.append(finding)
        elif name not in HARMLESS and not HELP.match(text):
            self.note(place, f"The magic `%{name}` is left out.")


def requirements(arguments: str) -> list[str]:
    """What `pip install` is given, without its options."""
    try:
        words = shlex.split(arguments.partition(" #")[0])
    except ValueError:  # a quote that is not closed
        words = arguments.split()
    found, skip = [], False
    for word in words:
        if skip or word.startswith("-"):
            skip = not skip and word in TAKES_A_VALUE
            continue
        if word in ("&&", ";", "|", ">", "2>&1"):
            break
        found.append(word)
    return found
