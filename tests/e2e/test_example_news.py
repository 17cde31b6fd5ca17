"""The worked example as a newcomer runs it, with the embedded models; a receiver takes Langfuse's place."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from answerbox.filters import matches, parsed
from tests.live import OURS, Live, serving, wait_until
from tests.otlp_receiver import PROJECT, Receiver, Span, otlp_receiver

EXAMPLE = Path(__file__).parents[2] / "examples" / "news"
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-test", "LANGFUSE_SECRET_KEY": "sk-lf-0123456789abcdef"}
PERIODS = {
    "all": ("2026-08-31", "2026-10-11"),
    "last week": ("2026-10-05", "2026-10-11"),
    "this month": ("2026-10-01", "2026-10-12"),
    "last month": ("2026-09-01", "2026-09-30"),
}
MEASURED, MARGIN = 30, 3
"""Right answers of the embedded models, and how many fewer another machine's arithmetic may make of them."""
RUN_LIMIT_S = 240.0
BLOCK = re.compile(
    r"^(.+)\n  filter  (.+)\n  answer  (.+)\n  sources (.+)\n  trace   (.+)\n  verdict (.+)$", re.MULTILINE
)


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLE / name).read_text(encoding="utf-8").splitlines()]


NEWS = {item["id"]: item for item in lines("news.jsonl")}
QUESTIONS = lines("questions.jsonl")


@dataclass
class Shown:
    """What the example prints of a question."""

    question: str
    condition: dict[str, Any]
    answer: str
    sources: list[str]
    trace_id: str
    verdict: str


@dataclass
class Run:
    live: Live
    receiver: Receiver
    done: subprocess.CompletedProcess[str]
    shown: list[Shown]

    def root(self, shown: Shown) -> Span:
        [root] = wait_until(lambda: self.receiver.traces().get(shown.trace_id), 15, f"the trace {shown.trace_id}")
        found: Span = root
        return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("news")
    settings = {name.lower(): value for name, value in KEYS.items()}
    with otlp_receiver() as receiver, serving(folder, langfuse_base_url=receiver.url, **settings) as live:
        done = newcomer(EXAMPLE, live, receiver)
        yield Run(live, receiver, done, shown_in(done.stdout))


def newcomer(example: Path, live: Live, receiver: Receiver) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    env |= KEYS | {"LANGFUSE_BASE_URL": receiver.url, "ANSWERBOX_URL": live.url, "PYTHONUTF8": "1"}
    command = [sys.executable, str(example / "ask.py")]
    return subprocess.run(
        command, env=env, cwd=live.folder, capture_output=True, encoding="utf-8", timeout=RUN_LIMIT_S, check=False
    )


def shown_in(text: str) -> list[Shown]:
    return [
        Shown(question, json.loads(condition), answer, re.findall(r"[^ ,]+", sources), trace_id, verdict)
        for question, condition, answer, sources, trace_id, verdict in BLOCK.findall(text)
    ]


def filter_in(search: Span) -> Any:
    return json.loads(search.attributes["langfuse.observation.model.parameters"])["filter"]


def found_by(search: Span) -> list[str]:
    return [hit["document_id"] for hit in json.loads(search.attributes["langfuse.observation.output"])]


def test_it_runs_and_enough_answers_are_right(run: Run) -> None:
    assert run.done.returncode == 0, run.done.stdout[-2_000:] + run.done.stderr
    assert "42 documents are indexed." in run.done.stdout
    assert [shown.question for shown in run.shown] == [question["question"] for question in QUESTIONS]
    [(asked, right)] = re.findall(r"^all +(\d+) +(\d+)$", run.done.stdout, re.MULTILINE)
    assert (int(asked), int(right)) == (len(QUESTIONS), sum(shown.verdict == "right" for shown in run.shown))
    assert int(right) >= MEASURED - MARGIN


def test_every_question_is_one_trace_with_its_filter_in_it(run: Run) -> None:
    for shown in run.shown:
        root = run.root(shown)
        assert json.loads(root.attributes["langfuse.observation.input"])["question"] == shown.question
        assert root.attributes["langfuse.observation.output"] == shown.answer
        assert [child.name for child in root.children][:1] == ["search"]
        assert {child.name for child in root.children[0].children} >= {"words", "embed", "rank"}
        assert filter_in(root.children[0]) == shown.condition
    [session] = {run.root(shown).attributes["session.id"] for shown in run.shown}
    roots = [root for [root] in run.receiver.traces().values() if root.attributes.get("session.id") == session]
    assert len(roots) == len(QUESTIONS)
    assert f"{run.receiver.url}/project/{PROJECT['id']}/sessions/{session}" in run.done.stdout


def test_what_is_found_is_of_the_period_and_fulfils_the_filter(run: Run) -> None:
    for shown, question in zip(run.shown, QUESTIONS, strict=True):
        when = question.get("when", "all")
        first, last = PERIODS.get(when) or when.split("/")
        found = found_by(run.root(shown).children[0])
        assert found
        for document in found:
            metadata = NEWS[document]["metadata"]
            assert first <= metadata["date"] <= last
            assert matches(parsed(shown.condition), metadata)
        if shown.sources != ["none"]:
            assert set(shown.sources) <= set(found)


def test_what_is_expected_of_a_question_fulfils_its_filter(run: Run) -> None:
    for shown, question in zip(run.shown, QUESTIONS, strict=True):
        for document in question["documents"]:
            assert matches(parsed(shown.condition), NEWS[document]["metadata"]), (shown.question, document)


def test_the_score_of_every_answer_arrives_with_its_trace(run: Run) -> None:
    wanted = {shown.trace_id: 1 if shown.verdict == "right" else -1 for shown in run.shown}

    def arrived() -> bool:
        return {score["traceId"]: score["value"] for score in run.receiver.taken_scores}.items() >= wanted.items()

    wait_until(arrived, 30, "every score")


def test_once_more_with_another_question_adds_no_document_and_a_wrong_answer_fails(run: Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(EXAMPLE, tmp_path / "news"))
    wrong = {"kind": "own", "question": QUESTIONS[0]["question"], "documents": ["another"], "answers": ["eleven"]}
    (copy / "questions.jsonl").write_text(json.dumps(wrong))
    done = newcomer(copy, run.live, run.receiver)
    assert (done.returncode, [shown.verdict for shown in shown_in(done.stdout)]) == (1, ["wrong document"])
    assert run.live.get("/documents").json()["total"] == len(NEWS)


def test_the_news_are_short_dated_and_in_two_languages() -> None:
    for id_, item in NEWS.items():
        metadata = item["metadata"]
        assert id_.startswith(metadata["date"])
        assert metadata["day"] == int(metadata["date"].replace("-", ""))
        assert PERIODS["all"][0] <= metadata["date"] <= PERIODS["all"][1]
        assert (item["language"], metadata["collection"]) == (metadata["language"], "news")
        assert 60 <= len(item["text"].split()) <= 120
    languages = [item["language"] for item in NEWS.values()]
    assert {code: languages.count(code) for code in languages} == {"en": 21, "ru": 21}
    assert len({item["metadata"]["source"] for item in NEWS.values()}) == 4


def test_every_accepted_answer_stands_in_a_document_that_is_expected() -> None:
    for question in QUESTIONS:
        texts = [NEWS[document]["text"] for document in question["documents"]]
        for answer in question["answers"]:
            assert any(answer in text for text in texts), (question["question"], answer)
