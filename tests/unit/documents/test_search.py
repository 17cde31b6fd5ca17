"""Two ranked lists made into one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from answerbox.documents.search import Hit, fuse

CHUNKS = st.sampled_from("abcdefgh")


def order(dense: list[tuple[str, float]], lexical: list[str], limit: int = 10) -> list[str]:
    return [hit.chunk_id for hit in fuse(dense, lexical, {}, limit)]


def test_what_both_lists_have_comes_first() -> None:
    assert order([("a", 0.9), ("b", 0.8)], ["b", "c"])[0] == "b"


def test_one_list_alone_keeps_its_order() -> None:
    assert order([("b", 0.9), ("a", 0.8)], []) == ["b", "a"]
    assert order([], ["c", "a", "b"]) == ["c", "a", "b"]


def test_nothing_found_gives_nothing() -> None:
    assert fuse([], [], {}, 5) == []


def test_equal_ranks_are_ordered_by_id() -> None:
    assert order([("b", 0.9)], ["a"]) == ["a", "b"]


def test_relevance_is_the_better_of_meaning_and_words() -> None:
    found = fuse([("a", 0.9), ("b", 0.1)], ["b", "c"], {"a": 0.2, "b": 0.7, "c": 0.5}, 5)
    assert {hit.chunk_id: hit.relevance for hit in found} == {"a": 0.9, "b": 0.7, "c": 0.5}


def test_relevance_stays_between_0_and_1() -> None:
    assert fuse([("a", 1.0000002)], [], {}, 5) == [Hit("a", 1.0)]
    assert fuse([("a", -0.3)], [], {}, 5) == [Hit("a", 0.0)]


@given(
    st.dictionaries(CHUNKS, st.floats(-1, 1.001), max_size=8),
    st.lists(CHUNKS, unique=True, max_size=8),
    st.integers(1, 10),
)
def test_every_chunk_comes_once_up_to_the_limit(cosine: dict[str, float], lexical: list[str], limit: int) -> None:
    dense = sorted(cosine.items(), key=lambda pair: -pair[1])
    found = fuse(dense, lexical, dict.fromkeys(lexical, 0.5), limit)
    ids = [hit.chunk_id for hit in found]
    assert len(set(ids)) == len(ids) == min(limit, len(set(cosine) | set(lexical)))
    assert all(0 <= hit.relevance <= 1 for hit in found)
