"""Words, stems, sentences and language, in English and Russian."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerbox.text import STOP_WORDS, content_terms, language_of, sentences, stem, terms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("connection", "connected", id="en"),
        pytest.param("running", "runs", id="en-ing"),
        pytest.param("документы", "документов", id="ru-case"),
        pytest.param("зелёный", "зеленый", id="ru-yo"),
        pytest.param("ёлка", "елки", id="ru-yo-first"),
    ],
)
def test_forms_of_a_word_have_one_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(("one", "other"), [("cat", "dog"), ("кот", "пёс"), ("мир", "mir")])
def test_different_words_have_different_stems(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_terms_stand_in_order_and_repeat() -> None:
    assert terms("Cats, cats — КОТЫ 42!") == ["cat", "cat", "кот", "42"]


def test_an_underscore_parts_words() -> None:
    assert terms("max_tokens") == terms("max tokens")


@pytest.mark.parametrize("text", ["", " \n", "?!… —", "🙂🙂"], ids=repr)
def test_a_text_without_words_has_no_terms(text: str) -> None:
    assert terms(text) == content_terms(text) == []


def test_content_terms_leave_grammar_out_and_come_once() -> None:
    assert content_terms("What is the capital of the capital of France?") == ["capit", "franc"]
    assert content_terms("Какая столица у Франции?") == [stem("столица"), stem("франции")]


def test_a_stop_word_written_with_yo_is_one_too() -> None:
    assert content_terms("её дом") == content_terms("ее дом") == ["дом"]


@pytest.mark.parametrize("text", ["Who is who?", "Кто это?"])
def test_a_question_of_grammar_alone_keeps_its_words(text: str) -> None:
    assert content_terms(text)
    assert set(content_terms(text)) <= set(terms(text))


def test_no_stop_word_is_written_with_yo() -> None:
    assert not [word for word in STOP_WORDS if "ё" in word], "they are compared after ё became е"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is this?", "en"),
        ("Что это?", "ru"),
        ("Что такое BentoML?", "ru"),
        ("What does «да» mean in Russian?", "en"),
        ("42 + 1 = ?", None),
        ("", None),
        ("日本語", None),
    ],
)
def test_the_language_is_that_of_most_letters(text: str, language: str | None) -> None:
    assert language_of(text) == language


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("One. Two! Three?", ["One.", "Two!", "Three?"], id="en"),
        pytest.param("Раз. Два! Три…", ["Раз.", "Два!", "Три…"], id="ru"),
        pytest.param("Version 1.2.3 is out.", ["Version 1.2.3 is out."], id="digits"),
        pytest.param("e.g. this one. Next.", ["e.g. this one.", "Next."], id="lower-case-goes-on"),
        pytest.param("A heading\n\nA line.\n", ["A heading", "A line."], id="lines"),
        pytest.param("  padded.  ", ["padded."], id="padded"),
        pytest.param("Она сказала. «Да» — ответ.", ["Она сказала.", "«Да» — ответ."], id="opening-quote"),
        pytest.param('He said "No." Then he left.', ['He said "No."', "Then he left."], id="closing-quote"),
        pytest.param("", [], id="empty"),
        pytest.param("\n \n", [], id="blank"),
    ],
)
def test_a_text_is_cut_into_its_sentences(text: str, expected: list[str]) -> None:
    assert split(text) == expected


@given(st.text(st.sampled_from('aA Я.!?…»«"\n1ё🙂'), max_size=60) | st.text(max_size=60))
def test_sentences_are_spans_in_order_without_blanks_around(text: str) -> None:
    spans = sentences(text)
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@given(st.text(max_size=60))
def test_no_word_is_lost_between_sentences(text: str) -> None:
    assert [word for sentence in split(text) for word in terms(sentence)] == terms(text)
