"""Conditions on a document's metadata: `{"year": {"$gte": 2020}, "$or": [{"team": "a"}, {"team": "b"}]}`.

The operators are those of MongoDB's query language that Chroma has too. A key alone with a value means `$eq`; several
keys of one object must all hold. What a key that a document lacks does: `$ne` and `$nin` hold, all others do not.
Numbers are only like numbers, texts like texts, truths like truths: `1` is not `true`.

`parsed` makes a tree of two kinds of nodes, which each adapter translates; `matches` is what they must all mean.
"""

from __future__ import annotations

import math
import operator as operators
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Scalar = str | bool | int | float
Comparison = Literal["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"]

COMPARISONS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin")
_ORDERS = {"$gt": operators.gt, "$gte": operators.ge, "$lt": operators.lt, "$lte": operators.le}
ORDERED = tuple(_ORDERS)
LISTED = ("$in", "$nin")
KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MAX_DEPTH = 5
MAX_CONDITIONS = 64
MAX_VALUES = 200
MAX_TEXT = 1_000


@dataclass(frozen=True)
class Test:
    """One comparison. `value` is a tuple of scalars for `$in` and `$nin`, else one scalar."""

    __test__: ClassVar[bool] = False  # pytest would take it for one of its own
    key: str
    operator: Comparison
    value: Any


@dataclass(frozen=True)
class Group:
    """All (`$and`) or at least one (`$or`) of the parts, which are never empty."""

    operator: Literal["$and", "$or"]
    parts: tuple[Test | Group, ...]


Filter = Test | Group


def parsed(raw: Mapping[str, Any] | None) -> Filter | None:
    """The tree of a filter; None where it has no condition.

    Raises:
        ValueError: it is no filter; the message says where and what to write instead.
    """
    if not raw:
        return None
    tree = _object(raw, "filter", 1)
    if _size(tree) > MAX_CONDITIONS:
        raise ValueError(f"a filter has at most {MAX_CONDITIONS} conditions")
    return tree


def both(*filters: Filter | None) -> Filter | None:
    """A filter that holds where all of these hold."""
    parts = tuple(part for part in filters if part is not None)
    return Group("$and", parts) if len(parts) > 1 else next(iter(parts), None)


def prefixed(tree: Filter | None, prefix: str) -> Filter | None:
    """The same filter on keys that have the prefix before them."""
    return _prefixed(tree, prefix) if tree else None


def matches(tree: Filter | None, metadata: Mapping[str, Any]) -> bool:
    """Whether the metadata of a document fulfils the filter."""
    if tree is None:
        return True
    if isinstance(tree, Group):
        quantifier = all if tree.operator == "$and" else any
        return quantifier(matches(part, metadata) for part in tree.parts)
    return _compare(tree, metadata.get(tree.key))


def _prefixed(tree: Filter, prefix: str) -> Filter:
    if isinstance(tree, Group):
        return Group(tree.operator, tuple(_prefixed(part, prefix) for part in tree.parts))
    return Test(prefix + tree.key, tree.operator, tree.value)


def _object(raw: Any, place: str, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise ValueError(f"{place}: nested deeper than {MAX_DEPTH}")
    if not isinstance(raw, Mapping) or not raw:
        raise ValueError(f"{place}: an object with at least one condition is needed")
    parts = [_entry(key, value, place, depth) for key, value in raw.items()]
    return parts[0] if len(parts) == 1 else Group("$and", tuple(parts))


def _entry(key: str, value: Any, place: str, depth: int) -> Filter:
    here = f"{place}.{key}"
    if key in ("$and", "$or"):
        if not isinstance(value, list) or not value:
            raise ValueError(f"{here}: a list of conditions is needed")
        parts = tuple(_object(part, f"{here}.{number}", depth + 1) for number, part in enumerate(value))
        return parts[0] if len(parts) == 1 else Group("$and" if key == "$and" else "$or", parts)
    if key.startswith("$"):
        raise ValueError(f"{here}: there is no such operator here; $and and $or join conditions")
    if not KEY.fullmatch(key):
        raise ValueError(f"{here}: a key has 1 to 64 letters, digits, '_', '-' or '.'")
    if not isinstance(value, Mapping):
        return Test(key, "$eq", _scalar(value, here))
    if not value:
        raise ValueError(f'{here}: a comparison is needed, such as {{"$gte": 3}}')
    tests = [_test(key, operator, operand, here) for operator, operand in value.items()]
    return tests[0] if len(tests) == 1 else Group("$and", tuple(tests))


def _test(key: str, operator: str, operand: Any, place: str) -> Test:
    here = f"{place}.{operator}"
    if operator not in COMPARISONS:
        raise ValueError(f"{here}: there is no such comparison; there are {', '.join(COMPARISONS)}")
    if operator in LISTED:
        if not isinstance(operand, list) or not 1 <= len(operand) <= MAX_VALUES:
            raise ValueError(f"{here}: a list of 1 to {MAX_VALUES} values is needed")
        values = tuple(_scalar(value, here) for value in operand)
        if len({_kind(value) for value in values}) > 1:
            raise ValueError(f"{here}: the values must be all texts, all numbers or all truths")
        return Test(key, operator, values)  # type: ignore[arg-type]
    value = _scalar(operand, here)
    if operator in ORDERED and _kind(value) != "number":
        raise ValueError(f"{here}: only numbers have an order")
    return Test(key, operator, value)  # type: ignore[arg-type]


def _scalar(value: Any, place: str) -> Scalar:
    if not isinstance(value, Scalar):
        raise ValueError(f"{place}: a text, a number or a truth is needed")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ValueError(f"{place}: a text has at most {MAX_TEXT} characters")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place}: a number that is finite is needed")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{place}: whole numbers are of 64 bits")
    return value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"


def _compare(test: Test, have: Any) -> bool:
    if test.operator == "$in":
        return any(_same(have, value) for value in test.value)
    if test.operator == "$nin":
        return not any(_same(have, value) for value in test.value)
    if test.operator == "$eq":
        return _same(have, test.value)
    if test.operator == "$ne":
        return not _same(have, test.value)
    if have is None or _kind(have) != "number":
        return False
    return bool(_ORDERS[test.operator](have, test.value))


def _same(have: Any, value: Any) -> bool:
    return have is not None and _kind(have) == _kind(value) and bool(have == value)


def _size(tree: Filter) -> int:
    return 1 if isinstance(tree, Test) else sum(_size(part) for part in tree.parts)
