"""Numbers, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerbox.pipelines.numerals import in_digits, numbers_borne


@pytest.mark.parametrize(
    ("answer", "evidence"),
    [
        pytest.param("1,000", "1000", id="comma"),
        pytest.param("1000", "1 000", id="space"),
        pytest.param("1\u00a0000", "1,000", id="hard-space"),
        pytest.param("1\u202f000\u202f000", "1,000,000", id="millions"),
        pytest.param("1,5", "1.5", id="fraction"),
        pytest.param("20", "the 20th century", id="ordinal"),
        pytest.param("in 1889 300 came", "1889, 300", id="side-by-side"),
        pytest.param("12 300", "300 and 12", id="not-one-number"),
        pytest.param("0 000.1", "0 000.1", id="spaces-and-a-fraction"),
        pytest.param("1 234,5", "1234.5", id="spaced-fraction"),
        pytest.param("5.1 000", "5.1 000", id="after-a-fraction"),
        pytest.param("none", "", id="no-number"),
    ],
)
def test_a_number_is_borne_in_any_writing(answer: str, evidence: str) -> None:
    assert numbers_borne(answer, evidence)


@pytest.mark.parametrize(
    ("answer", "evidence"),
    [
        pytest.param("1890", "1889", id="another"),
        pytest.param("18", "1889", id="a-part"),
        pytest.param("1.5", "15", id="fraction"),
        pytest.param("12 300", "12 and 400", id="half"),
        pytest.param("1,000", "1 and 000", id="parts"),
        pytest.param("7", "", id="none"),
    ],
)
def test_another_number_is_not_borne(answer: str, evidence: str) -> None:
    assert not numbers_borne(answer, evidence)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("Two of them", "2 of them"),
        ("трёх, двенадцать", "3, 12"),
        ("one, one of", "one, one of"),
        ("often twofold", "often twofold"),
    ],
)
def test_small_number_words_become_digits(text: str, digits: str) -> None:
    assert in_digits(text) == digits


@given(st.text(alphabet="0123456789., \u00a0aя", max_size=40))
def test_a_text_bears_its_own_numbers(text: str) -> None:
    assert numbers_borne(text, text)
