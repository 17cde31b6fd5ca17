"""A filter as a condition of SQL on the table `d` of documents, whose `metadata` is JSON."""

from __future__ import annotations

from typing import Any

from answerbox.filters import Filter, Group, Test
from answerbox.ledger import Scope

_TYPES = {"truth": "('true', 'false')", "text": "('text')", "number": "('integer', 'real')"}
_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


def condition(scope: Scope) -> tuple[str, list[Any]]:
    """SQL that starts with AND, or is empty, and its values."""
    clauses: list[str] = []
    values: list[Any] = []
    if scope.readers is not None:
        clauses.append(f"AND d.owner IN ({', '.join('?' * len(scope.readers))})")
        values += scope.readers
    if scope.filter is not None:
        sql, wanted = _sql(scope.filter)
        clauses.append(f"AND {sql}")
        values += wanted
    return " ".join(clauses), values


def _sql(tree: Filter) -> tuple[str, list[Any]]:
    if isinstance(tree, Group):
        found = [_sql(part) for part in tree.parts]
        joint = " AND " if tree.operator == "$and" else " OR "
        return "(" + joint.join(sql for sql, _ in found) + ")", [value for _, values in found for value in values]
    return _test(tree)


def _test(test: Test) -> tuple[str, list[Any]]:
    # Keys have passed `filters.KEY`: nothing in them ends the quotes.
    place = f"d.metadata, '$.\"{test.key}\"'"
    values = list(test.value) if isinstance(test.value, tuple) else [test.value]
    same_type = f"json_type({place}) IN {_TYPES[_kind(values[0])]}"
    have = f"json_extract({place})"
    if test.operator in _ORDER:
        return f"({same_type} AND {have} {_ORDER[test.operator]} ?)", values
    one_of = f"({same_type} AND {have} IN ({', '.join('?' * len(values))}))"
    if test.operator in ("$ne", "$nin"):
        # Without the key json_type is NULL, and so is the comparison.
        return f"(NOT coalesce({one_of}, 0))", values
    return f"coalesce({one_of}, 0)", values


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    return "text" if isinstance(value, str) else "number"
