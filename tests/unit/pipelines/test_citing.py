"""Which sentence of which source bears a piece of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerbox.pipelines.citing import cite, mark, quoted_answer, without_markers
from answerbox.pipelines.evidence import quote
from answerbox.pipelines.material import shown
from tests.doubles import source
from tests.unit.pipelines.test_evidence import PIECES, TEXTS

PARIS = source("Paris is the capital of France. It lies on the Seine. Bread is good there.")
BERLIN = source("Berlin is the capital of Germany. It lies on the Spree.")
BOTH = [PARIS, BERLIN]


def cited(answer: str) -> list[tuple[int, str, str]]:
    """(source, piece of the answer, sentence of the source)"""
    return [
        (
            one.source,
            answer[one.start : one.end],
            BOTH[one.source - 1].text[one.source_start : one.source_end],
        )
        for one in cite(answer, BOTH)
    ]


BREAD, CAPITAL, SPREE = "Bread is good there.", "Berlin is the capital of Germany.", "It lies on the Spree."


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("Bread is good [1].", [(1, "Bread is good [1].", BREAD)], id="named"),
        pytest.param("Bread is good. [1]", [(1, "Bread is good.", BREAD)], id="named-after-the-stop"),
        pytest.param("Berlin is the capital.", [(2, "Berlin is the capital.", CAPITAL)], id="by-words"),
        pytest.param(
            "Bread is good. Berlin lies on the Spree.",
            [(1, "Bread is good.", BREAD), (2, "Berlin lies on the Spree.", SPREE)],
            id="each-sentence",
        ),
        pytest.param(
            "Bread is good.[1] It lies on the Spree.[2]",
            [(1, "Bread is good.", BREAD), (2, "It lies on the Spree.", SPREE)],
            id="no-space",
        ),
        pytest.param(
            "[1] Bread is good. [2] Berlin lies on the Spree.",
            [(1, "Bread is good.", BREAD), (2, "Berlin lies on the Spree.", SPREE)],
            id="marks-before",
        ),
        pytest.param(
            "The capital is good [1, 2].",
            [
                (1, "The capital is good [1, 2].", "Paris is the capital of France."),
                (2, "The capital is good [1, 2].", CAPITAL),
            ],
            id="two-sources",
        ),
        pytest.param("1. Bread is good [1]", [(1, "Bread is good", BREAD)], id="list"),
        pytest.param("Elephants never forget. [2]", [(2, "Elephants never forget.", BERLIN.text)], id="nothing-shared"),
        pytest.param("Elephants never forget.", [], id="unsupported"),
        pytest.param("Elephants never forget [7].", [], id="no-such-source"),
        pytest.param("Berlin [0] capital [9].", [(2, "Berlin [0] capital [9].", CAPITAL)], id="wrong-mark"),
        pytest.param("", [], id="empty"),
        pytest.param("…!", [], id="no-words"),
        pytest.param("[1]", [], id="only-a-mark"),
    ],
)
def test_a_sentence_is_cited_by_mark_or_by_words(answer: str, expected: list[tuple[int, str, str]]) -> None:
    assert cited(answer) == expected


@pytest.mark.parametrize(
    ("answer", "verbatim"),
    [
        pytest.param("It lies on the Spree. [2]", True, id="mark-after"),
        pytest.param("It lies on the Spree [2].", True, id="mark-inside"),
        pytest.param("It lies on the Spree", False, id="no-stop"),
        pytest.param("It lies on the river Spree. [2]", False, id="a-word-more"),
    ],
)
def test_verbatim_is_word_for_word(answer: str, verbatim: bool) -> None:
    assert [one.verbatim for one in cite(answer, BOTH)] == [verbatim]


def test_of_two_sentences_with_the_word_the_one_that_was_asked_for_is_cited() -> None:
    text = "Denver is cold. Denver won the game in 2016."
    found = cite("Denver.", [source(text)], "Who won the game?")
    assert text[found[0].source_start : found[0].source_end] == "Denver won the game in 2016."


def test_without_sources_nothing_is_cited() -> None:
    assert cite("Paris is the capital [1].", []) == []


@pytest.mark.parametrize(
    ("answer", "marked"),
    [
        pytest.param("Berlin is it.", "Berlin is it. [2]", id="one"),
        pytest.param("Bread is good. Berlin too!", "Bread is good. [1] Berlin too! [2]", id="each"),
        pytest.param("Berlin [1]. Spree [9]", "Berlin. [2] Spree [2]", id="own-marks"),
        pytest.param("Elephants.", "Elephants.", id="nobodys"),
        pytest.param("- Bread\n- Berlin", "- Bread [1]\n- Berlin [2]", id="list"),
        pytest.param("", "", id="empty"),
    ],
)
def test_each_sentence_gets_the_mark_of_its_source(answer: str, marked: str) -> None:
    assert mark(answer, BOTH) == marked
    assert mark(marked, BOTH) == marked


ANSWERS = st.lists(st.sampled_from(["[1]", "[2]", "[3]", "[1, 2]", " ", ". "]) | PIECES, max_size=8).map("".join)


@given(ANSWERS | st.text(max_size=120), TEXTS)
def test_a_citation_lies_inside_the_answer_and_inside_the_source(answer: str, texts: list[str]) -> None:
    sources = [source(text) for text in texts]
    for one in cite(answer, sources, "Who?"):
        assert 0 <= one.start < one.end <= len(answer)
        assert 1 <= one.source <= len(sources)
        assert 0 <= one.source_start < one.source_end <= len(sources[one.source - 1].text)


def test_a_quoted_answer_shows_no_mark_or_image_of_the_document() -> None:
    text = "Bread [7] is good ![b](https://x.example/b).\u200b"
    answer, [citation] = quoted_answer(quote("Bread?", [source(text)]))
    assert answer == "Bread is good b. [1]"
    assert not citation.verbatim
    assert (citation.start, citation.end) == (0, 16)


@given(TEXTS, PIECES)
def test_a_quoted_answer_is_verbatim_and_cites_every_quote(texts: list[str], question: str) -> None:
    sources = [source(text) for text in texts]
    quotes = quote(question, sources)
    answer, citations = quoted_answer(quotes)
    assert len(citations) == len(quotes)
    for one in citations:
        quoted = sources[one.source - 1].text[one.source_start : one.source_end]
        assert one.verbatim == (answer[one.start : one.end] == quoted)
        assert one.verbatim or without_markers(shown(quoted)) != quoted
        assert answer[one.end :].startswith(f" [{one.source}]")
