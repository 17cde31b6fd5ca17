"""From the rows of a run to an experiment: what stays the same from run to run, and what is scored."""

from __future__ import annotations

import re
from dataclasses import replace

from answerbox.evaluation.experiment import Experiment, Tried, experiments, run_name, span_id_of, trace_parent
from answerbox.evaluation.result import About, AnswerRow, Result, SearchRow
from answerbox.traces import trace_of
from tests.unit.evaluation.kit import ABOUT, good_door, tiny_result

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ROW = AnswerRow("en", "q1", "What?", "eval/en/a", ["this"], answer="this", asked_at=10.5, latency_ms=3.0)


def of(*rows: AnswerRow, search: list[SearchRow] | None = None, about: About = ABOUT) -> Experiment:
    [found] = experiments(Result(about, search or [], list(rows)), "tiny", "run")
    return found


def scores(tried: Tried) -> dict[str, float | bool]:
    return {score.name: score.value for score in tried.scores}


def test_each_language_is_an_experiment_over_a_dataset_of_its_own() -> None:
    english, russian = experiments(tiny_result(), "tiny", "double 12:00")
    assert (english.dataset, russian.dataset) == ("tiny-en", "tiny-ru")
    assert [tried.item.question_id for tried in english.tries] == ["q1", "q2", "u1"]
    assert {english.name, russian.name} == {"double 12:00"}
    assert "tiny (en), 3 questions" in english.description


def test_what_is_told_of_a_run_is_its_models_version_and_options() -> None:
    about = replace(ABOUT, models={"generator": "a", "embedder": "b"}, options={"mode": "hybrid", "top_k": None})
    assert of(ROW, about=about).about == {"version": "1", "generator": "a", "embedder": "b", "mode": "hybrid"}
    assert run_name(about, "2026-11-26 12:00:00 UTC") == "a 2026-11-26 12:00:00 UTC"
    assert run_name(replace(about, models={}), "now") == "answerbox now"


def test_a_question_has_the_same_key_whatever_its_number_and_answers() -> None:
    [one] = of(ROW).tries
    [again] = of(replace(ROW, id="q77", accepted=["that"], answer="that")).tries
    [elsewhere] = of(replace(ROW, wanted="eval/en/b")).tries
    [untold] = of(replace(ROW, wanted=None)).tries
    assert one.item.key == again.item.key
    assert len({one.item.key, elsewhere.item.key, untold.item.key}) == 3
    assert re.fullmatch(r"[0-9a-f]{32}", one.item.key)


def test_a_question_that_stands_there_twice_is_one() -> None:
    [only] = of(ROW, replace(ROW, id="q2", answer="that")).tries
    assert only.answer == "this"


def test_the_trace_is_the_answers_own_or_else_a_new_one() -> None:
    known, untold, strange = of(
        replace(ROW, trace_id=TRACE),
        replace(ROW, question="Why?"),
        replace(ROW, question="Who?", trace_id="request-1"),
    ).tries
    assert known.trace_id == TRACE
    assert len({untold.trace_id, strange.trace_id, TRACE}) == 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", tried.trace_id) for tried in (untold, strange))


def test_the_service_takes_the_trace_of_who_asks_for_its_own() -> None:
    first, second = (trace_of("rag_query", "r", trace_parent()) for _ in range(2))
    assert first.trace_id != second.trace_id
    assert first.parent_id == span_id_of(first.trace_id)
    [tried] = of(replace(ROW, trace_id=first.trace_id)).tries
    assert tried.span_id == first.parent_id


def test_an_answerable_question_is_scored_by_its_answer_and_its_search() -> None:
    row = replace(ROW, contains=True, exact=True, f1=0.8, right_source=True)
    [tried] = of(row, search=[SearchRow("en", "q1", "What?", "eval/en/a", rank=4)]).tries
    assert scores(tried) == {
        "contains": True,
        "exact_match": True,
        "f1": 0.8,
        "right_source": True,
        "refusal_right": True,
        "latency_ms": 3.0,
        "hit_at_1": False,
        "reciprocal_rank": 0.25,
    }


def test_only_a_question_that_the_documents_do_not_tell_is_refused_rightly() -> None:
    refused, told, wrong = of(
        replace(ROW, id="u1", wanted=None, refused=True, question="A?"),
        replace(ROW, id="u2", wanted=None, refused=False, question="B?"),
        replace(ROW, refused=True),
        search=[SearchRow("en", "u1", "A?", "eval/en/a", rank=1)],
    ).tries
    assert scores(refused) == {"refusal_right": True, "latency_ms": 3.0}
    assert scores(told) == {"refusal_right": False, "latency_ms": 3.0}
    assert scores(wrong)["refusal_right"] is False


def test_a_request_that_failed_is_a_miss_and_says_its_code_only() -> None:
    [tried] = of(replace(ROW, error="overloaded: Too much waits: What?", latency_ms=None, answer="")).tries
    assert (tried.error, tried.took_ms, tried.detail) == ("overloaded", 0, {})
    assert scores(tried) == {"contains": False, "exact_match": False, "f1": 0.0, "right_source": False}


def test_a_row_knows_when_it_was_asked_and_under_which_trace() -> None:
    door = good_door()
    question = "What does the zebra wear?"
    answered = door.answers[question]
    traced = answered.model_copy(update={"meta": answered.meta.model_copy(update={"trace_id": TRACE})})
    rows = tiny_result(replace(door, answers={**door.answers, question: traced})).answers
    assert [row.trace_id for row in rows] == [TRACE, None, None, None]
    assert all(row.asked_at and row.asked_at > 1_700_000_000 for row in rows)
