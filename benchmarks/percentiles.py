"""Medians and percentiles of what was measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""JSON has no nan: there it is null."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank); nan of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Iterable[float]) -> float:
    """Of the values that are numbers; nan where there is none."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


@dataclass(frozen=True)
class Spread:
    p50: Number
    p95: Number
    p99: Number

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(percentile(values, 0.5), percentile(values, 0.95), percentile(values, 0.99))

    @staticmethod
    def medians(spreads: Sequence[Spread]) -> Spread:
        """The median of each percentile over several rounds."""
        return Spread(
            median(spread.p50 for spread in spreads),
            median(spread.p95 for spread in spreads),
            median(spread.p99 for spread in spreads),
        )
