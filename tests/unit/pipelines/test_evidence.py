"""Quoting sentences and citing sources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerbox.pipelines.evidence import cite, quote
from tests.doubles import source

PARIS = source("Paris is the capital of France. It lies on the Seine. Bread is good there.")
BERLIN = source("Berlin is the capital of Germany. It lies on the Spree.")
SHOP = source("Магазин открыт с девяти утра. В воскресенье магазин закрыт.")


def test_the_sentences_that_share_most_are_quoted_with_their_source() -> None:
    quoted = quote("What is the capital of Germany?", [PARIS, BERLIN], count=1)
    assert quoted == [(2, "Berlin is the capital of Germany.")]


def test_quotes_come_in_the_order_of_the_text() -> None:
    quoted = quote("Which river does Berlin lie on, the Spree?", [PARIS, BERLIN])
    assert quoted == [(2, "Berlin is the capital of Germany."), (2, "It lies on the Spree.")]


def test_a_russian_question_is_quoted_by_its_stems() -> None:
    assert quote("Закрыт ли магазин в воскресенье?", [SHOP], count=1) == [(1, "В воскресенье магазин закрыт.")]


def test_no_more_is_quoted_than_there_is() -> None:
    assert quote("Where?", [source("One line only")], count=5) == [(1, "One line only")]
    assert quote("Where?", []) == []


@given(st.lists(st.text(min_size=1, max_size=80), max_size=4), st.text(max_size=40))
def test_a_quote_stands_word_for_word_in_its_source(texts: list[str], question: str) -> None:
    sources = [source(text) for text in texts]
    for place, sentence in quote(question, sources):
        assert sentence in sources[place - 1].text


def cited(answer: str) -> list[tuple[int, str]]:
    return [(found.source, answer[found.start : found.end]) for found in cite(answer, [PARIS, BERLIN])]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("Bread is good [2].", [(2, "Bread is good [2].")], id="named"),
        pytest.param("Berlin is the capital.", [(2, "Berlin is the capital.")], id="by-words"),
        pytest.param(
            "Paris lies on the Seine. Berlin lies on the Spree.",
            [(1, "Paris lies on the Seine."), (2, "Berlin lies on the Spree.")],
            id="each-sentence",
        ),
        pytest.param("Elephants never forget.", [], id="unsupported"),
        pytest.param("Elephants never forget [7].", [], id="no-such-source"),
        pytest.param("Berlin [0] capital [9].", [(2, "Berlin [0] capital [9].")], id="wrong-marker-falls-back"),
        pytest.param("", [], id="empty"),
        pytest.param("…!", [], id="no-words"),
    ],
)
def test_a_sentence_is_cited_by_marker_or_by_words(answer: str, expected: list[tuple[int, str]]) -> None:
    assert cited(answer) == expected


def test_without_sources_nothing_is_cited() -> None:
    assert cite("Paris is the capital [1].", []) == []


@given(st.text(max_size=120))
def test_a_citation_lies_inside_the_answer(answer: str) -> None:
    for found in cite(answer, [PARIS, BERLIN]):
        assert 0 <= found.start < found.end <= len(answer)
        assert found.source in (1, 2)


FAQ = source(
    "## Which port is used?\n\nThe service listens on port\n3000 of 127.0.0.1.\n\n## Who may ask?\n\nAnybody may.", 0.9
)


def test_a_heading_is_no_evidence_but_speaks_for_the_sentence_below() -> None:
    assert quote("Who may ask?", [FAQ], 1) == [(1, "Anybody may.")]


def test_a_question_in_the_text_is_no_evidence_and_a_wrapped_line_is_whole() -> None:
    asked = source("Which port is used? People ask that.", 0.9)
    assert quote("Which port is used?", [asked, FAQ], 1) == [(2, "The service listens on port\n3000 of 127.0.0.1.")]
