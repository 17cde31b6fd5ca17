"""Conditions on metadata."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given

from answerbox.filters import Group, Test, both, matches, parsed, prefixed
from tests.filter_kit import metadatas, raw_filters

META = {"team": "a", "year": 2020, "draft": False, "score": 1.5}


@pytest.mark.parametrize(
    ("raw", "holds"),
    [
        ({}, True),
        (None, True),
        ({"team": "a"}, True),
        ({"team": "b"}, False),
        ({"team": "a", "year": 2020}, True),
        ({"team": "a", "year": 2021}, False),
        ({"year": 2020.0}, True),
        ({"year": "2020"}, False),
        ({"draft": False}, True),
        ({"draft": 0}, False),
        ({"year": {"$gte": 2020, "$lt": 2021}}, True),
        ({"year": {"$gt": 2020}}, False),
        ({"score": {"$lte": 1.5}}, True),
        ({"team": {"$in": ["b", "a"]}}, True),
        ({"team": {"$nin": ["b", "a"]}}, False),
        ({"none": {"$ne": 1}}, True),
        ({"none": {"$nin": [1]}}, True),
        ({"none": {"$gt": 1}}, False),
        ({"team": {"$gt": 1}}, False),
        ({"$or": [{"team": "b"}, {"year": 2020}]}, True),
        ({"$and": [{"team": "a"}, {"$or": [{"year": 1}, {"year": 2}]}]}, False),
    ],
    ids=str,
)
def test_a_filter_holds_or_not(raw: dict[str, Any] | None, holds: bool) -> None:
    assert matches(parsed(raw), META) is holds


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"$not": {"a": 1}}, "$and and $or"),
        ({"a": {"$like": "x"}}, "$eq"),
        ({"a": {}}, "$gte"),
        ({"a": None}, "filter.a"),
        ({"a": [1]}, "filter.a"),
        ({"a": {"$in": []}}, "1 to 200"),
        ({"a": {"$in": [1, "x"]}}, "all texts"),
        ({"a": {"$gt": "x"}}, "only numbers"),
        ({"a": {"$gt": True}}, "only numbers"),
        ({"$and": []}, "filter.$and"),
        ({"$or": [{}]}, "filter.$or.0"),
        ({"$or": {"a": 1}}, "list"),
        ({'a"b': 1}, "letters"),
        ({"a": "x" * 1_001}, "1000"),
        ({"a": 2**63}, "64 bits"),
        ({"$and": [{"$and": [{"$and": [{"$and": [{"$and": [{"a": 1}]}]}]}]}]}, "deeper"),
        ({"$or": [{"a": n} for n in range(65)]}, "64 conditions"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_filter_is_told_with_its_place(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parsed(raw)


def test_filters_are_joined_and_prefixed() -> None:
    one, two = parsed({"a": 1}), parsed({"b": {"$in": ["x"]}})
    assert both(None, one) == one
    assert both(None, None) is None
    assert both(one, two) == Group("$and", (Test("a", "$eq", 1), Test("b", "$in", ("x",))))
    assert prefixed(both(one, two), "m.") == Group("$and", (Test("m.a", "$eq", 1), Test("m.b", "$in", ("x",))))
    assert prefixed(None, "m.") is None


@given(metadatas(), raw_filters())
def test_and_or_are_what_they_are_called(metadata: dict[str, Any], raw: dict[str, Any]) -> None:
    holds = matches(parsed(raw), metadata)
    assert matches(parsed({"$and": [raw, raw]}), metadata) is holds
    assert matches(parsed({"$or": [raw, {"a": {"$ne": "never there"}}]}), metadata) is True
    assert matches(parsed({"$and": [raw, {"a": {"$in": ["never there"]}}]}), metadata) is False
