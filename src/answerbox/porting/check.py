"""All that can be said of a notebook before it is served. Nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from answerbox.porting import secrets
from answerbox.porting.code import Code
from answerbox.porting.code_checks import code_findings
from answerbox.porting.examples import QUESTION, examples
from answerbox.porting.files import data_of, file_findings
from answerbox.porting.findings import Finding, Severity, error, in_order, warning
from answerbox.porting.modules import import_findings, imports_of
from answerbox.porting.names import hidden_state
from answerbox.porting.notebook import Cell, Notebook

READABLE = 2**20
"""Longer files are data, and keys are looked for in none of them."""
KEEP_OUT = "Read it from an environment variable (`os.environ`), take it out of the notebook, and have it made invalid."


def check(notebook: Notebook) -> list[Finding]:
    exported = notebook.exported
    code = Code(exported)
    return in_order(
        [
            *(finding for cell in exported for finding in cell.cleaned.findings),
            *code_findings(code),
            *hidden_state(code, exported, notebook.cells),
            *import_findings(code, notebook),
            *file_findings(code, notebook.folder),
            *_secrets(notebook),
            *_examples(notebook),
            *_secrets_beside(code, notebook.folder),
        ]
    )


def errors(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.error]


def _secrets(notebook: Notebook) -> Iterator[Finding]:
    written = {cell.number for cell in notebook.exported} | {example.cell for example in examples(notebook)}
    for cell in notebook.cells:
        for line, what in _secrets_of(cell):
            message = f"There is a secret here: {what}."
            if cell.number in written:
                yield error("secret", message, KEEP_OUT, cell.number, line)
            else:
                yield warning("secret", f"{message} The package does not get this cell.", KEEP_OUT, cell.number, line)


def _secrets_of(cell: Cell) -> Iterator[tuple[int, str]]:
    found = dict(secrets.in_text(cell.source))
    if cell.tree is not None:
        for line, name in secrets.assigned(cell.tree):
            found.setdefault(line, f"what `{name}` is set to")
    yield from found.items()


def _secrets_beside(code: Code, folder: Path) -> Iterator[Finding]:
    """In what is copied: data files and modules. A module with a fault in it is a finding too."""
    for file in _copied(code, folder):
        if file.name == ".env" or file.stat().st_size > READABLE:
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        for line, kind in secrets.in_text(text):
            name = file.relative_to(folder)
            yield error("secret", f"There is a secret in {name}, line {line}: {kind}.", KEEP_OUT)
        if file.suffix == ".py":
            yield from _module(file, text)


def _module(file: Path, text: str) -> Iterator[Finding]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as exc:
        yield error("syntax", f"{file.name} is no Python: {exc}.", "Put it right.")
        return
    for line, name in secrets.assigned(tree):
        yield error("secret", f"There is a secret in {file.name}, line {line}: what `{name}` is set to.", KEEP_OUT)


def _copied(code: Code, folder: Path) -> Iterator[Path]:
    places = [folder / data.name for data in data_of(code, folder)]
    for place in dict.fromkeys([*places, *imports_of(code, folder).local.values()]):
        yield from (file for file in sorted(place.rglob("*")) if file.is_file()) if place.is_dir() else [place]


def _examples(notebook: Notebook) -> Iterator[Finding]:
    found = examples(notebook)
    if not found:
        hint = 'Call it in a cell with a dict written out, such as `run_model({"question": "..."})`, and run that.'
        yield warning("no_example", "There is no example call, so the package has nothing to test.", hint)
    for example in found:
        if not isinstance(example.request.get(QUESTION), str) or not example.request[QUESTION].strip():
            hint = f"Over HTTP `{QUESTION}` is a text and must be there; let `run_model` read it."
            yield warning("no_question", f"This call has no `{QUESTION}`.", hint, example.cell, example.line)
        elif example.shape is None:
            hint = "Let it be the cell's last line, run it, and save: its keys and types are then tested."
            yield warning("no_output", "What came out of this call is not kept.", hint, example.cell, example.line)
