"""Two Generators and two Embedders: while one of them is dead nobody notices, not even in the middle of a stream."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.live import Live, wait_until
from tests.split import Split, split

LIMIT_S = 60.0
TEA = {"id": "tea", "title": "Tea", "text": "Green tea is best at 80 degrees."}
HOW_HOT = {"question": "How hot should green tea be?"}
WORDS = " ".join(f"word{number}" for number in range(400))
LONG = {"question": WORDS, "options": {"max_tokens": 1_000}}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Split]:
    fake = {"generator_model": "fake", "embedder_model": "fake", "fake_token_delay_s": "0.02"}
    with split(tmp_path_factory.mktemp("twins"), 1, 2, index_patience_s="30", **fake) as running:
        assert _gateway(running).index([TEA])["status"] == "succeeded"
        yield running


def _gateway(parts: Split) -> Live:
    return parts.parts["Answerbox-1"]


GENERATORS = ("Generator-1", "Generator-2")


def _running(parts: Split) -> list[int]:
    """How many generations each of them runs."""
    return [parts.parts[name].post("/describe", {}).json()["result"]["running"] for name in GENERATORS]


def _working(parts: Split, name: str) -> int:
    working: int = _gateway(parts).get("/health").json()["dependencies"][name]["detail"]["working"]
    return working


def _back(parts: Split, name: str) -> None:
    parts.again(name)
    part = name.partition("-")[0].lower()
    wait_until(lambda: _working(parts, part) == 2, LIMIT_S, f"{name} is back")


def test_a_stream_goes_on_where_its_generator_dies(parts: Split) -> None:
    text, events, killed = "", list[dict[str, Any]](), ""
    with _gateway(parts).client() as client, client.stream("POST", "/llm_query/stream", json=LONG) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data:"):
                continue
            events.append(json.loads(line.removeprefix("data:")))
            text += events[-1].get("text", "")
            if not killed and len(text) > 100:
                killed = GENERATORS[_running(parts).index(1)]
                parts.kill(killed)
    assert killed
    assert events[-1]["response"]["answer"] == text == WORDS
    assert _gateway(parts).get("/readyz").status_code == 200
    assert _working(parts, "generator") == 1
    _back(parts, killed)


def test_a_generator_that_is_told_to_stop_ends_what_it_has_and_takes_no_more(parts: Split) -> None:
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(_gateway(parts).post, "/llm_query", LONG) for _ in range(2)]
        wait_until(lambda: _running(parts) == [1, 1], LIMIT_S, "each has one of them")
        parts.stop("Generator-2")
        for _ in range(3):
            assert _gateway(parts).post("/llm_query", {"question": "one two"}).json()["answer"] == "one two"
        assert [answer.result().json()["answer"] for answer in asked] == [WORDS, WORDS]
    _back(parts, "Generator-2")


def test_no_answer_is_worse_while_an_embedder_is_dead(parts: Split) -> None:
    parts.kill("Embedder-1")
    for _ in range(4):
        answer = _gateway(parts).post("/rag_query", HOW_HOT).json()
        assert "80 degrees" in answer["answer"]
        assert answer["meta"]["degraded"] == []
    assert _gateway(parts).get("/readyz").status_code == 200
    _back(parts, "Embedder-1")


def test_generations_are_shared_and_each_can_be_ended(parts: Split) -> None:
    ids = [uuid.uuid4().hex for _ in range(2)]
    with ThreadPoolExecutor(2) as pool, _gateway(parts).client() as client:
        asked = [pool.submit(client.post, "/llm_query", json=LONG, headers={"X-Request-Id": id_}) for id_ in ids]
        wait_until(lambda: _running(parts) == [1, 1], LIMIT_S, "each has one of them")
        for id_ in ids:
            assert client.delete(f"/requests/{id_}").status_code == 204
        reasons = [answer.result().json()["meta"]["finish_reason"] for answer in asked]
    assert reasons == ["cancelled", "cancelled"]


def test_a_question_waits_for_an_index_that_is_restarted(parts: Split) -> None:
    parts.kill("Index")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_gateway(parts).post, "/rag_query", HOW_HOT)
        parts.again("Index")
        answer = asked.result()
    assert answer.status_code == 200, answer.text
    assert "80 degrees" in answer.json()["answer"]
