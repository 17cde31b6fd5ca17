"""What a check says: where, how bad, what it is and what to do about it. No finding has a secret's value in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """A notebook with an `error` is not ported: it would fail in production, or give something away."""

    error = "error"
    warning = "warning"


@dataclass(frozen=True, order=True)
class Finding:
    """`cell` counts code cells from 1, `line` the lines of the cell; None: the notebook as a whole."""

    cell: int | None
    line: int | None
    severity: Severity
    code: str
    message: str
    hint: str

    @property
    def place(self) -> str:
        if self.cell is None:
            return "notebook"
        return f"cell {self.cell}" if self.line is None else f"cell {self.cell}, line {self.line}"


def error(code: str, message: str, hint: str, cell: int | None = None, line: int | None = None) -> Finding:
    return Finding(cell, line, Severity.error, code, message, hint)


def warning(code: str, message: str, hint: str, cell: int | None = None, line: int | None = None) -> Finding:
    return Finding(cell, line, Severity.warning, code, message, hint)


def in_order(findings: list[Finding]) -> list[Finding]:
    """As a person reads the notebook, each once; what is said of it as a whole comes first."""
    return sorted(set(findings), key=lambda found: (found.cell or 0, found.line or 0, found.code, found.message))
