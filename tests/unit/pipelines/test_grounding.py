"""The checks of a generated answer, one by one, in both languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerbox.contracts import Check
from answerbox.pipelines.grounding import failed_checks, whole_words

EN = (
    "When was the tower built?",
    "The tower was built by Gustave Eiffel in 1889 and cost 1,000 francs. It has two lifts.",
)
RU = ("Когда построили башню?", "Башню построил Гюстав Эйфель в 1889 году, она стоила 1 000 франков. В ней три лифта.")


def failed(answer: str, of: tuple[str, str], strict: bool) -> list[Check]:
    return failed_checks(answer, *of, strict=strict)


BORNE = [
    pytest.param("It was built in 1889.", EN, id="a-fact"),
    pytest.param("Gustave Eiffel's tower was built in 1889 [1].", EN, id="marked"),
    pytest.param("1. It cost 1000 francs.", EN, id="number-in-another-writing"),
    pytest.param("2 lifts", EN, id="number-word"),
    pytest.param("It was built by the Eiffel.", EN, id="name"),
    pytest.param("Её построил Эйфель в 1889 году.", RU, id="ru-a-fact"),
    pytest.param("Стоимость: 1000 франков, лифтов 3", ("Когда?", RU[1] + " стоимость лифтов"), id="ru-numbers"),
    pytest.param("Башню построили для Гюстава Эйфеля.", (RU[0], RU[1] + " для"), id="ru-name-in-another-case"),
    pytest.param("IBM", ("Кто это сделал?", "Это сделала компания IBM."), id="ru-name-in-latin"),
    pytest.param("Песня Павла", ("Чья песня?", "Её написал Павел."), id="ru-fleeting-vowel"),
]


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "tolerant"])
@pytest.mark.parametrize(
    ("answer", "fails"),
    [
        ("It was built in 1889, see https://tower.example/1889.", False),
        ("It was built in 1889, see https://tower.example/1889?q=built.", True),
        ("It was built in 1889. ![1889](https://tower.example/1889)", True),
    ],
)
def test_addresses_must_stand_in_the_evidence_and_images_nowhere(answer: str, fails: bool, strict: bool) -> None:
    evidence = EN[1] + " See https://tower.example/1889"
    assert ("links" in failed(answer, (EN[0], evidence), strict)) is fails


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "tolerant"])
@pytest.mark.parametrize(("answer", "of"), BORNE)
def test_an_answer_that_the_evidence_bears_passes(answer: str, of: tuple[str, str], strict: bool) -> None:
    assert failed(answer, of, strict) == []


FAILS = [
    pytest.param("Башня построена в 1889.", EN, "language", id="language"),
    pytest.param("Paris is the capital.", ("Какая столица?", "Paris is the capital."), "language", id="ru-language"),
    pytest.param("It was built in 1890.", EN, "numbers", id="number"),
    pytest.param("It has three lifts.", EN, "numbers", id="number-word"),
    pytest.param("Её построили в 1890 году.", RU, "numbers", id="ru-number"),
    pytest.param("It was built by Alexandre in 1889.", EN, "names", id="name"),
    pytest.param("Её построил Александр в 1889 году.", RU, "names", id="ru-name"),
    pytest.param("Lyon.", EN, "words", id="word"),
    pytest.param("It was a hideous idea, hated everywhere.", EN, "words", id="words"),
    pytest.param("Лион.", RU, "words", id="ru-word"),
    pytest.param("When was the tower built?", EN, "nothing_new", id="the-question"),
    pytest.param("The tower was built by Eiffel when?", EN, "nothing_new", id="a-question"),
    pytest.param("The tower was built.", EN, "nothing_new", id="the-question-as-answer"),
    pytest.param("", EN, "nothing_new", id="nothing"),
    pytest.param("[1]", EN, "nothing_new", id="only-a-mark"),
    pytest.param("Башню построили.", RU, "nothing_new", id="ru-the-question"),
]


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "tolerant"])
@pytest.mark.parametrize(("answer", "of", "check"), FAILS)
def test_an_answer_that_it_does_not_bear_fails(answer: str, of: tuple[str, str], check: Check, strict: bool) -> None:
    assert check in failed(answer, of, strict)


@pytest.mark.parametrize(
    ("answer", "of"),
    [
        pytest.param("In fact, Gustave Eiffel built it in 1889, for francs.", EN, id="own-words"),
        pytest.param("Yes, Gustave Eiffel built it.", EN, id="yes"),
        pytest.param("Итак, Эйфель построил её в 1889 году.", RU, id="ru-own-words"),
        pytest.param("The passages do not mention that.", EN, id="declines"),
        pytest.param("There's no information in these documents.", EN, id="no-information"),
        pytest.param("В отрывках об этом ничего не сказано.", RU, id="ru-declines"),
    ],
)
def test_only_a_capable_model_may_use_its_own_words(answer: str, of: tuple[str, str]) -> None:
    assert failed(answer, of, strict=False) == []
    assert failed(answer, of, strict=True) != []


def test_one_sentence_from_nowhere_is_not_hidden_by_others() -> None:
    long = f"{EN[1]} Tourists queue there all summer."
    assert failed(long, EN, strict=False) == ["words"]


def test_who_declines_may_still_not_invent() -> None:
    assert failed("The passages do not say, but it was in 1890.", EN, strict=False) == ["numbers"]


def test_several_checks_are_named() -> None:
    assert failed("It was made by Alexandre in 1890.", EN, strict=True) == ["numbers", "names", "words"]


@pytest.mark.parametrize(
    ("text", "whole"),
    [("It was built in 18", "It was built in"), ("One  tw", "One"), ("One", ""), ("One ", "One"), ("", "")],
)
def test_a_cut_text_is_judged_by_its_whole_words(text: str, whole: str) -> None:
    assert whole_words(text) == whole


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.booleans())
def test_a_check_answers_for_any_text(answer: str, question: str, evidence: str, strict: bool) -> None:
    assert len(failed_checks(answer, question, evidence, strict)) <= 5


@given(st.sampled_from([EN, RU]), st.booleans())
def test_the_evidence_bears_itself(of: tuple[str, str], strict: bool) -> None:
    assert failed(of[1], of, strict) == []
