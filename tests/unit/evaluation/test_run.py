"""A run against a service in memory: each question is a row, also where it failed."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from answerbox.contracts import Citation, RagRequest, RagResponse, SearchRequest, SearchResponse
from answerbox.errors import InvalidRequest
from answerbox.evaluation import result as results
from answerbox.evaluation.run import Plan, count, evenly, quotes, run
from answerbox.evaluation.summary import summaries, summary
from tests.unit.evaluation.kit import ABOUT, OKAPI, ZEBRA, MemoryDoor, good_door, response, source, tiny, tiny_result

BROKEN = frozenset({"What does the zebra wear?"})


def figures(found: results.Result, language: str = "en") -> dict[str, float | None]:
    """Answers win over searches where both have a figure of that name."""
    one = summary(found, language)
    return {figure.label: figure.value for figure in (*one.search, *one.answers)}


def test_every_question_is_a_row() -> None:
    found = tiny_result()
    assert [(row.language, row.id, row.rank) for row in found.search] == [
        ("en", "q1", 1),
        ("en", "q2", 2),
        ("ru", "q1", 1),
    ]
    assert [(row.language, row.id, row.right) for row in found.answers] == [
        ("en", "q1", True),
        ("en", "q2", False),
        ("en", "u1", True),
        ("ru", "q1", True),
    ]
    assert found.failed == []
    assert found.languages == ["en", "ru"]


def test_the_figures_are_those_of_the_rows() -> None:
    english = figures(tiny_result())
    expected = {
        "hit@1": 0.5,
        "hit@3": 1.0,
        "MRR@10": 0.75,
        "answerable questions": 2,
        "unanswerable questions": 1,
        "contains an accepted answer": 0.5,
        "exact match": 0.0,
        "right document among the sources": 1.0,
        "answerable but refused": 0.0,
        "unanswerable and refused": 1.0,
        "quoted spans": 1,
        "quoted spans verbatim": 1.0,
        "tokens in all": 36,
    }
    assert {label: english[label] for label in expected} == expected
    assert figures(tiny_result(), "ru")["exact match"] == 1.0
    assert figures(tiny_result(), "ru")["unanswerable and refused"] is None


def test_a_question_sees_only_the_documents_of_its_language() -> None:
    door = good_door()
    run(tiny(), door, Plan(mode="words", top_k=2, max_tokens=16), ABOUT)
    assert {(request.mode, str(request.filter)) for request in door.searched} == {
        ("words", "{'eval_language': 'en'}"),
        ("words", "{'eval_language': 'ru'}"),
    }
    assert {(request.top_k, request.options.max_tokens) for request in door.asked} == {(2, 16)}
    assert [request.filter for request in door.asked if request.question == "Что носит зебра?"] == [
        {"eval_language": "ru"}
    ]


def test_a_failed_request_is_named_and_counts_as_a_miss() -> None:
    found = tiny_result(replace(good_door(), broken=BROKEN))
    assert [(row.language, row.id) for row in found.failed] == [("en", "q1"), ("en", "q1")]
    assert {row.error for row in found.failed} == {"overloaded: Too much waits."}
    english = figures(found)
    assert (english["failed requests"], english["hit@1"], english["contains an accepted answer"]) == (1, 0.0, 0.0)
    assert english["answerable but refused"] == 0.0
    assert english["tokens in all"] == 24


def test_a_failure_that_is_a_bug_ends_the_run() -> None:
    class Buggy(MemoryDoor):
        def search(self, request: SearchRequest) -> SearchResponse:
            raise KeyError(request.query)

    with pytest.raises(KeyError):
        run(tiny(), Buggy(), Plan(), ABOUT)


def test_no_more_requests_than_allowed_run_at_a_time() -> None:
    class Pairs(MemoryDoor):
        """Each search waits until another one is there, and a third may not be."""

        meeting = threading.Barrier(2, timeout=20)
        inside = 0
        most = 0

        def search(self, request: SearchRequest) -> SearchResponse:
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
            self.meeting.wait()
            with self.lock:
                self.inside -= 1
            return super().search(request)

        def ask(self, request: RagRequest) -> RagResponse:
            raise AssertionError(request)

    english = tiny().languages[0]
    door = Pairs()
    dataset = replace(tiny(), languages=[replace(english, questions=english.questions * 4)])
    found = run(dataset, door, Plan(answers=0, unanswerable=0, concurrency=2), ABOUT)
    assert (len(found.search), door.most) == (8, 2)


def test_a_part_of_the_questions_is_taken_evenly() -> None:
    assert evenly(list(range(10)), 3) == [0, 3, 6]
    assert evenly([1, 2], 5) == [1, 2]
    assert evenly([1, 2], None) == [1, 2]
    assert evenly([1, 2], 0) == []
    ticks: list[int] = []
    plan = Plan(searches=1, answers=1, unanswerable=0)
    found = run(tiny(), good_door(), plan, ABOUT, lambda: ticks.append(1))
    assert (len(found.search), len(found.answers)) == (2, 2)
    assert len(ticks) == count(tiny(), plan) == 4


@pytest.mark.parametrize(
    ("answer", "span", "place", "verbatim", "claimed", "broken"),
    [
        ("The zebra wears stripes.", (0, 24), (1, 0, 24), True, 1, 0),
        ("The zebra wears stripes. [1]", (0, 28), (1, 0, 24), True, 1, 0),
        ("The zebra wears stripes.[1][2]", (0, 30), (1, 0, 24), True, 1, 0),
        ("Stripes [1] are worn.", (0, 21), (1, 0, 24), True, 1, 1),
        ("The zebra wears stripes.", (0, 24), (1, 1, 24), True, 1, 1),
        ("The zebra wears stripes.", (0, 24), (2, 0, 24), True, 1, 1),
        ("The zebra wears stripes.", (0, 24), (9, 0, 24), True, 1, 1),
        ("", (0, 0), (1, 0, 0), True, 1, 1),
        ("Something else.", (0, 15), (1, 0, 24), False, 0, 0),
    ],
)
def test_a_quote_must_stand_in_its_source(
    answer: str, span: tuple[int, int], place: tuple[int, int, int], verbatim: bool, claimed: int, broken: int
) -> None:
    citation = Citation(
        source=place[0], start=span[0], end=span[1], source_start=place[1], source_end=place[2], verbatim=verbatim
    )
    found = quotes(response(answer, [source("a", ZEBRA), source("b", OKAPI)], [citation]))
    assert (found.claimed, len(found.broken)) == (claimed, broken)


def test_a_source_may_itself_end_with_a_marker() -> None:
    text = "Stripes are worn [1]"
    citation = Citation(source=1, start=0, end=20, source_start=0, source_end=20, verbatim=True)
    assert quotes(response(text, [source("a", text)], [citation])).broken == []


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    found = tiny_result(replace(good_door(), broken=BROKEN))
    results.write(found, tmp_path / "result.json")
    assert results.read(tmp_path / "result.json") == found
    bare = results.without_texts(found)
    assert summaries(bare) == summaries(found)
    assert ZEBRA not in results.dumped(replace(bare, answers=[bare.answers[1]]))


@pytest.mark.parametrize("text", ["{", "[]", '{"about": {}}'])
def test_a_file_that_is_no_result_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(InvalidRequest, match=r"other\.json' is no result"):
        results.read(tmp_path / "other.json")
    with pytest.raises(InvalidRequest, match=r"nothing\.json' cannot be read"):
        results.read(tmp_path / "nothing.json")
