"""Metadata and filters for property tests: few keys and values, so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

KEYS = st.sampled_from(["a", "b", "c.d", "e-f"])
TEXTS = st.sampled_from(["", "x", "X", "ё", "1", "true", "it's", 'quo"te'])
NUMBERS = st.sampled_from([0, 1, 2, -1, 1.0, 0.5, 2.5, 1e300, 2**53])
TRUTHS = st.booleans()
VALUES = TEXTS | NUMBERS | TRUTHS


def metadatas() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(KEYS, VALUES, max_size=4)


def raw_filters() -> st.SearchStrategy[dict[str, Any]]:
    """Filters as a caller sends them, none of them empty."""
    lists = st.one_of(*(st.lists(values, min_size=1, max_size=3) for values in (TEXTS, NUMBERS, TRUTHS)))
    comparisons = st.one_of(
        VALUES,
        st.builds(lambda op, value: {op: value}, st.sampled_from(["$eq", "$ne"]), VALUES),
        st.builds(lambda op, value: {op: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), NUMBERS),
        st.builds(lambda op, value: {op: value}, st.sampled_from(["$in", "$nin"]), lists),
        st.builds(lambda low, high: {"$gte": low, "$lt": high}, NUMBERS, NUMBERS),
    )
    simple = st.dictionaries(KEYS, comparisons, min_size=1, max_size=2)
    return st.recursive(
        simple,
        lambda inner: st.builds(
            lambda joint, parts: {joint: parts},
            st.sampled_from(["$and", "$or"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=4,
    )
