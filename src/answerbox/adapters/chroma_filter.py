"""A filter as Chroma's `where`.

Chroma compares a number with whole numbers and with fractions, and for the former cuts off what follows the point:
`{"$eq": 1.5}` finds 1 too, and `{"$lt": 1.5}` misses it. So a bound that is a fraction has its neighbours put right.
Beyond 2**53, where floats have gaps, whole numbers are exact among themselves, but not compared with floats.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from answerbox.filters import LISTED, ORDERED, Filter, Group

Where = dict[str, Any]

SMALLEST, LARGEST = -(2**63), 2**63 - 1

_AMENDMENTS: dict[str, tuple[str, str, Callable[[float], int]]] = {
    "$gt": ("$or", "$gte", math.ceil),
    "$lt": ("$or", "$lte", math.floor),
    "$gte": ("$and", "$ne", math.floor),
    "$lte": ("$and", "$ne", math.ceil),
}
"""What is added to a comparison with a fraction, for the whole numbers next to it."""


def where(tree: Filter | None) -> Where | None:
    """What `filters.matches` says, in Chroma's words."""
    if tree is None:
        return None
    if isinstance(tree, Group):
        return _joined(tree.operator, [found for part in tree.parts if (found := where(part))])
    values = [_finite(value) for value in (tree.value if tree.operator in LISTED else [tree.value])]
    if tree.operator in ORDERED:
        return _ordered(tree.key, tree.operator, values[0])
    return _equal(tree.key, values) if tree.operator in ("$eq", "$in") else _unequal(tree.key, values)


def _equal(key: str, values: list[Any]) -> Where:
    plain, odd = _divided(values)
    ways = [_condition(key, "$in", plain)] if plain else []
    if odd:
        ways.append(_joined("$and", [_condition(key, "$in", odd), _condition(key, "$nin", _cut(odd))]))
    return _joined("$or", ways)


def _unequal(key: str, values: list[Any]) -> Where:
    plain, odd = _divided(values)
    ways = [_condition(key, "$nin", plain)] if plain else []
    if odd:
        ways.append(_joined("$or", [_condition(key, "$nin", odd), _condition(key, "$in", _cut(odd))]))
    return _joined("$and", ways)


def _ordered(key: str, operator: str, bound: Any) -> Where:
    right = _condition(key, operator, bound)
    if not _is_fraction(bound):
        return right
    joint, amendment, rounded = _AMENDMENTS[operator]
    return _joined(joint, [right, _condition(key, amendment, rounded(bound))])


def _divided(values: list[Any]) -> tuple[list[Any], list[float]]:
    """What may be asked as it is, in one type; and what Chroma confuses with a whole number."""
    odd = [value for value in values if isinstance(value, float) and not _is_whole(value)]
    return [int(value) if _is_whole(value) else value for value in values if value not in odd], odd


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer() and SMALLEST <= value <= LARGEST


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) and not value.is_integer()


def _cut(odd: list[float]) -> list[int]:
    return [max(SMALLEST, min(math.trunc(value), LARGEST)) for value in odd]


def _finite(value: Any) -> Any:
    """JSON, in which Chroma is asked, has no infinity."""
    if isinstance(value, float) and math.isinf(value):
        return math.copysign(sys.float_info.max, value)
    return value


def _condition(key: str, operator: str, value: Any) -> Where:
    return {key: {operator: value}}


def _joined(operator: str, conditions: list[Where]) -> Where:
    return conditions[0] if len(conditions) == 1 else {operator: conditions}
