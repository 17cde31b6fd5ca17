"""The figures as tables of text, for whoever shows them: a terminal, a page, Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from answerbox.evaluation.compare import Comparison, Difference
from answerbox.evaluation.result import Reply, Result
from answerbox.evaluation.summary import Figure, Unit, summaries

NONE = "–"
LANGUAGES = {"en": "English", "ru": "Russian"}


@dataclass(frozen=True)
class Table:
    title: str
    header: list[str]
    rows: list[list[str]]


def language_name(code: str) -> str:
    return LANGUAGES.get(code, code)


def of_result(result: Result) -> list[Table]:
    """Searches and answers, a column for each language; a part without rows is left out."""
    found = summaries(result)
    parts = [
        ("Search", {one.language: one.search for one in found if one.search}),
        ("Answers", {one.language: one.answers for one in found if one.answers}),
        ("Poisoned documents", {one.language: one.attacks for one in found if one.attacks}),
    ]
    shown = [
        side_by_side(title, {language_name(code): figures for code, figures in part.items()})
        for title, part in parts
        if part
    ]
    return [*shown, by_kind(result)] if result.attacks else shown


def by_kind(result: Result) -> Table:
    """What came of each attack: of the answer from documents, and of the model alone."""
    header = ["", "language", "harm", "right answer", "model alone: harm", "right answer"]
    rows = [
        [row.kind, language_name(row.language), *_told(row.poisoned), *_told(row.alone)]
        for row in sorted(result.attacks, key=lambda row: (row.kind, row.language))
    ]
    return Table("Each attack", header, rows)


def _told(reply: Reply) -> list[str]:
    if reply.error:
        return [reply.error, NONE]
    return [", ".join(reply.harms) or NONE, "yes" if reply.right else "no"]


def side_by_side(title: str, columns: dict[str, list[Figure]]) -> Table:
    """A row for each figure; the columns have the same figures."""
    rows = [
        [figures[0].label, *(cell(figure) for figure in figures)] for figures in zip(*columns.values(), strict=True)
    ]
    return Table(title, ["", *columns], rows)


def of_comparison(comparison: Comparison) -> Table:
    header = ["", "language", "questions", "before", "after", "difference (95 %)", "won", "lost", "p", "test"]
    return Table("Comparison", header, [_row(one) for one in comparison.differences])


def markdown(table: Table) -> str:
    lines = [_line([table.header[0] or table.title, *table.header[1:]]), "|" + "---|" * len(table.header)]
    return "\n".join([*lines, *(_line(row) for row in table.rows)])


def cell(figure: Figure) -> str:
    """The value, and its interval if it has one."""
    if figure.value is None:
        return NONE
    shown = number(figure.value, figure.unit)
    if figure.interval is None:
        return shown
    bounds = (figure.interval.low, figure.interval.high)
    return f"{shown} ({'–'.join(number(bound, figure.unit) for bound in bounds)})"


def number(value: float, unit: Unit) -> str:
    if unit == "share":
        return f"{value:.3f}"
    if unit == "count":
        return f"{value:.0f}"
    return f"{value:.1f} ms" if unit == "ms" else f"{value:.1f}"


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _row(one: Difference) -> list[str]:
    bounds = f"{one.interval.low:+.3f} to {one.interval.high:+.3f}"
    return [
        one.label,
        language_name(one.language),
        str(one.questions),
        f"{one.before:.3f}",
        f"{one.after:.3f}",
        f"{one.change:+.3f} ({bounds})",
        str(len(one.won)),
        str(len(one.lost)),
        p_value(one.p),
        one.test,
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"
