"""How passages are ordered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerbox.documents.ranking import Candidate, Question, candidates, coverage, distinct, lexical_score
from answerbox.ledger import Match, Words
from answerbox.text import content_pairs, content_terms, terms

LETTERS = "abcdefgh"


def question(text: str) -> Question:
    stems = {stem for pair in content_pairs(text) for stem in pair} | set(content_terms(text))
    return Question.of(text, dict.fromkeys(stems, 1.0))


def match(name: str, *sentences: str, score: float = 0.0) -> Match:
    return Match(name, score, Words(tuple(tuple(terms(sentence)) for sentence in sentences)))


def candidate(name: str, score: float, stems: str) -> Candidate:
    return Candidate(name, score, 0.5, frozenset(stems.split()))


def test_one_sentence_that_has_it_all_beats_words_that_are_spread() -> None:
    asked = question("When was the castle built?")
    together = match("together", "The castle was built in 1200.", "It is old.", score=1.0)
    spread = match("spread", "The castle is old.", "The bridge was built in 1200.", score=1.0)
    assert lexical_score(asked, together) > lexical_score(asked, spread)


def test_words_that_stand_together_beat_the_same_words_apart() -> None:
    asked = question("the Norman castle")
    assert lexical_score(asked, match("a", "A Norman castle stands here today.")) > lexical_score(
        asked, match("b", "A castle that is not Norman stands.")
    )


def test_russian_words_count_in_other_forms() -> None:
    assert lexical_score(question("рыцарский замок"), match("a", "Рыцарем построен замка двор.")) > lexical_score(
        question("рыцарский замок"), match("b", "Рыбаком построен замка двор.")
    )


def test_meaning_decides_where_words_are_alike() -> None:
    asked = question("bread")
    rows = [match("near", "Bread.", score=1.0), match("far", "Bread.", score=1.0)]
    found = candidates(asked, rows, {"near": 0.9, "far": 0.1}, by_meaning=True)
    assert [one.chunk_id for one in found] == ["near", "far"]


def test_a_half_that_does_not_serve_the_question_does_not_spoil_the_other() -> None:
    asked = question("bread")
    rows = [match("word", "Bread.", score=2.0), match("none", "Fish.", score=0.0)]
    found = candidates(asked, rows, {"none": 0.9}, by_meaning=False)
    assert [one.chunk_id for one in found] == ["word", "none"]
    assert [one.relevance for one in found] == [1.0, 0.0]


def test_relevance_is_the_better_of_meaning_and_words_and_stays_between_0_and_1() -> None:
    rows = [match("a", "Fish."), match("b", "Bread and butter."), match("c", "Milk.")]
    found = {
        one.chunk_id: one.relevance
        for one in candidates(question("bread butter milk tea"), rows, {"a": 1.0000002, "c": -0.3}, by_meaning=True)
    }
    assert found == {"a": 1.0, "b": 0.5, "c": 0.25}


def test_coverage_weighs_by_rarity() -> None:
    asked = Question(("rare", "usual"), frozenset(), {"rare": 3.0, "usual": 1.0})
    assert coverage(asked, frozenset({"rare"})) == pytest.approx(0.75)
    assert coverage(asked, frozenset({"usual"})) == pytest.approx(0.25)


def test_near_duplicates_are_one() -> None:
    ranked = [candidate("a", 1.0, "one two three"), candidate("b", 0.9, "one two three"), candidate("c", 0.5, "four")]
    owner = {"a": "x", "b": "y", "c": "z"}
    assert [one.chunk_id for one in distinct(ranked, owner, 3)] == ["a", "c"]


def test_another_document_is_preferred_where_it_is_nearly_as_good() -> None:
    ranked = [
        candidate("a1", 1.0, "one"),
        candidate("a2", 0.99, "two"),
        candidate("b1", 0.97, "three"),
        candidate("c1", 0.2, "four"),
    ]
    owner = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    assert [one.chunk_id for one in distinct(ranked, owner, 3)] == ["a1", "b1", "a2"]


def test_what_is_not_stored_is_left_out() -> None:
    assert distinct([candidate("gone", 1.0, "one")], {}, 3) == []


@given(st.dictionaries(st.sampled_from(LETTERS), st.floats(-1, 2), max_size=8), st.integers(1, 10))
def test_every_chunk_comes_once_up_to_the_limit(scores: dict[str, float], limit: int) -> None:
    ranked = [candidate(name, score, name) for name, score in scores.items()]
    found = distinct(ranked, {name: name for name in scores}, limit)
    assert len({one.chunk_id for one in found}) == len(found) == min(limit, len(scores))
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
