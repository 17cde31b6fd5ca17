"""Two runs over the same questions: what changed, for which questions, and whether chance would do it too.

Measures that are yes or no are compared by McNemar's exact test, the others by a paired bootstrap; both are two-sided.
The interval of a difference is by the paired bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np

from answerbox.errors import InvalidRequest
from answerbox.evaluation import metrics
from answerbox.evaluation.metrics import Interval
from answerbox.evaluation.result import Result
from answerbox.evaluation.summary import ANSWERS, ATTACKS, SEARCH

Test = Literal["McNemar", "bootstrap"]
Part = Literal["search", "answers", "attacks"]
Better = Literal["higher", "lower", "neither"]
Values = dict[str, float]
"""By the id of the question."""


@dataclass(frozen=True)
class Difference:
    """One measure in one language, over the questions that both runs have. `won` and `lost` are their ids."""

    language: str
    part: Part
    label: str
    questions: int
    before: float
    after: float
    interval: Interval
    p: float
    test: Test
    won: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def change(self) -> float:
        return self.after - self.before


@dataclass(frozen=True)
class Comparison:
    """`only_before` and `only_after`: rows that the other run lacks, such as `search en/17`."""

    differences: list[Difference]
    only_before: list[str]
    only_after: list[str]


def compare(before: Result, after: Result) -> Comparison:
    """Raises InvalidRequest: the runs have no question in common."""
    old, new = _names(before), _names(after)
    if not old & new:
        raise InvalidRequest("The two results have no question in common.", hint="Compare runs over the same data set.")
    return Comparison(list(_differences(before, after)), sorted(old - new), sorted(new - old))


def mcnemar(won: int, lost: int) -> float:
    """How likely a split at least as uneven is, if a change is as likely for the better as for the worse."""
    changed = won + lost
    tail = sum(math.comb(changed, few) for few in range(min(won, lost) + 1))
    return min(1.0, float(Fraction(2 * tail, 1 << changed)))


def paired_bootstrap(changes: Sequence[float]) -> float:
    """How likely a mean at least as far from 0 is, were there no difference."""
    if not any(changes):
        return 1.0
    means = metrics.resampled_means(changes)
    fewer = min(int(np.sum(means <= 0)), int(np.sum(means >= 0)))
    return min(1.0, 2 * (fewer + 1) / (len(means) + 1))


def _differences(before: Result, after: Result) -> Iterator[Difference]:
    for language in after.languages:
        for found in SEARCH:
            old, new = (
                {
                    row.id: value
                    for row in one.search
                    if row.language == language and (value := found.of(row)) is not None
                }
                for one in (before, after)
            )
            yield from _difference(language, "search", found.label, "higher", old, new)
        for said in ANSWERS:
            old, new = (
                {
                    row.id: value
                    for row in one.answers
                    if row.language == language and (value := said.of(row)) is not None
                }
                for one in (before, after)
            )
            yield from _difference(language, "answers", said.label, said.better, old, new)
        for done in ATTACKS:
            old, new = (
                {
                    row.id: value
                    for row in one.attacks
                    if row.language == language and (value := done.of(row)) is not None
                }
                for one in (before, after)
            )
            yield from _difference(language, "attacks", done.label, done.better, old, new)


def _difference(
    language: str, part: Part, label: str, better: Better, before: Values, after: Values
) -> Iterator[Difference]:
    ids = [id_ for id_ in after if id_ in before]
    if not ids:
        return
    old, new = [before[id_] for id_ in ids], [after[id_] for id_ in ids]
    changes = [b - a for a, b in zip(old, new, strict=True)]
    up = [id_ for id_, change in zip(ids, changes, strict=True) if change > 0]
    down = [id_ for id_, change in zip(ids, changes, strict=True) if change < 0]
    won, lost = (down, up) if better == "lower" else (up, down)
    binary = {*old, *new} <= {0.0, 1.0}
    bounds = metrics.interval(changes)
    assert bounds
    yield Difference(
        language=language,
        part=part,
        label=label,
        questions=len(ids),
        before=sum(old) / len(ids),
        after=sum(new) / len(ids),
        interval=bounds,
        p=mcnemar(len(won), len(lost)) if binary else paired_bootstrap(changes),
        test="McNemar" if binary else "bootstrap",
        won=won,
        lost=lost,
    )


def _names(result: Result) -> set[str]:
    searched = {f"search {row.language}/{row.id}" for row in result.search}
    answered = {f"answer {row.language}/{row.id}" for row in result.answers}
    return searched | answered | {f"attack {row.language}/{row.id}" for row in result.attacks}
