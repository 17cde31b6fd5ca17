"""One core, two doors: `run_model` and HTTP agree, on answers and on errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from answerbox.errors import AnswerboxError
from answerbox.run import LocalAnswerbox
from answerbox.settings import Settings
from tests.live import Live

SET = {"set": "doors"}
DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": "doors/1",
        "title": "Tea",
        "metadata": SET,
        "text": "Green tea is brewed at eighty degrees for two minutes.",
    },
    {
        "id": "doors/2",
        "title": "Coffee",
        "metadata": SET,
        "text": "Espresso is pressed through the grounds at nine bar.",
    },
    {
        "id": "doors/3",
        "title": "Квас",
        "metadata": SET,
        "text": "Квас делают из ржаного хлеба. Он бродит два дня.",
    },
]
for row in DOCUMENTS:
    row["metadata"] = SET


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAnswerbox]:
    folder: Path = tmp_path_factory.mktemp("local")
    with LocalAnswerbox(Settings(data_dir=folder, seed_docs=False)) as box:
        assert box.add_documents(DOCUMENTS)["status"] == "succeeded"
        yield box


@pytest.fixture(scope="module")
def remote(real: Live) -> Live:
    assert real.index(DOCUMENTS)["status"] == "succeeded"
    return real


@pytest.mark.parametrize(
    ("pipeline", "request_"),
    [
        pytest.param("llm", {"question": "What is the capital of France?"}, id="llm"),
        pytest.param("llm", {"question": "Who am I?", "context": "I am Ada Lovelace.", "user_id": "a"}, id="context"),
        pytest.param("llm", {"question": "Name three seas.", "options": {"max_tokens": 12}}, id="cut-short"),
        pytest.param(
            "llm",
            {"question": "Tell me a story.", "options": {"max_tokens": 12, "temperature": 1, "seed": 3}},
            id="seed",
        ),
        pytest.param("llm", {"question": "Как дела?", "options": {"max_tokens": 12}}, id="russian-llm"),
        pytest.param("rag", {"question": "How hot is green tea brewed?"}, id="rag"),
        pytest.param("rag", {"question": "Из чего делают квас?"}, id="russian-rag"),
        pytest.param("rag", {"question": "Who won the chess cup of 1927?"}, id="refused"),
        pytest.param("rag", {"question": "How is espresso pressed?", "context": "At home.", "top_k": 1}, id="top-k"),
    ],
)
def test_both_doors_give_the_same_answer(
    local: LocalAnswerbox, remote: Live, pipeline: Any, request_: dict[str, Any]
) -> None:
    if pipeline == "rag":
        request_ = {**request_, "filter": SET}
    here = local.run_model(request_, pipeline)
    answer = remote.post(f"/{pipeline}_query", request_)
    assert answer.status_code == 200, answer.text
    there = answer.json()
    assert here["answer"] == there["answer"]
    for name in ("pipeline", "model", "finish_reason", "usage", "degraded", "citations", "grounding"):
        assert here["meta"].get(name) == there["meta"].get(name), name
    assert _sources(here) == _sources(there)
    assert set(here["meta"]) == set(there["meta"])


def _sources(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**source, "score": round(source["score"], 2)} for source in response["meta"].get("sources", [])]


@pytest.mark.parametrize(
    ("pipeline", "request_"),
    [
        pytest.param("llm", {"question": "  "}, id="blank"),
        pytest.param("llm", {}, id="no-question"),
        pytest.param("llm", {"question": 5}, id="a-number"),
        pytest.param("llm", {"question": "a", "options": []}, id="options-in-a-list"),
        pytest.param("llm", {"question": "a" * 8_001}, id="too-long"),
        pytest.param("llm", {"question": "a", "top_k": 3}, id="a-field-of-rag"),
        pytest.param("llm", {"question": "a", "options": {"temperature": 3}}, id="too-hot"),
        pytest.param("llm", {"question": "a", "user_id": "a b"}, id="a-user-with-a-blank"),
        pytest.param("rag", {"question": "a", "top_k": 0}, id="no-passages"),
        pytest.param("rag", {"question": "a", "filter": {"a": [1]}}, id="a-list-in-the-filter"),
        pytest.param("llm", {"question": "a", "context": "word " * 10_000}, id="over-the-window"),
    ],
)
def test_both_doors_refuse_with_the_same_code(
    local: LocalAnswerbox, remote: Live, pipeline: Any, request_: dict[str, Any]
) -> None:
    with pytest.raises(AnswerboxError) as raised:
        local.run_model(request_, pipeline)
    answer = remote.post(f"/{pipeline}_query", request_)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == raised.value.code
    assert problem["detail"] == raised.value.message
    assert problem.get("errors", []) == raised.value.errors
