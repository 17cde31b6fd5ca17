"""The parts as services of their own, behind two gateways: what one takes the other has; what is lost comes back."""

from __future__ import annotations

import json
import pickle
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from tests.live import Live, wait_until
from tests.split import NEEDS, Split, split

LIMIT_S = 60.0
TEA = {"id": "tea", "title": "Tea", "text": "Green tea is best at 80 degrees."}
HOW_HOT = {"question": "How hot should green tea be?"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Split]:
    fake = {"generator_model": "fake", "embedder_model": "fake", "fake_token_delay_s": "0.02"}
    with split(tmp_path_factory.mktemp("split"), 2, index_timeout_s="5", **fake) as running:
        one, _ = _gateways(running)
        assert one.index([TEA])["status"] == "succeeded"
        yield running


def _gateways(parts: Split) -> tuple[Live, Live]:
    return parts.parts["Answerbox-1"], parts.parts["Answerbox-2"]


@pytest.mark.parametrize("pipeline", ["llm", "rag", "agent"])
def test_each_gateway_gives_the_same_answer(parts: Split, pipeline: str) -> None:
    answers = [gateway.post(f"/{pipeline}_query", HOW_HOT).json() for gateway in _gateways(parts)]
    assert answers[0]["answer"] == answers[1]["answer"]
    assert pipeline == "llm" or "80 degrees" in answers[0]["answer"]


def test_what_one_gateway_takes_the_other_has(parts: Split) -> None:
    one, other = _gateways(parts)
    session = uuid.uuid4().hex
    with one.client() as client:
        sent = client.post("/documents", files={"files": ("кофе.txt", "Эспрессо варят при 92 градусах.".encode())})
    job = wait_until(lambda: _ended(other, sent.json()["job_id"]), LIMIT_S, "the job has ended")
    assert job["status"] == "succeeded"
    assert "92" in other.post("/rag_query", {"question": "При скольких градусах варят эспрессо?"}).json()["answer"]
    one.post("/agent_query", {**HOW_HOT, "session_id": session})
    trace_id = one.post("/llm_query", HOW_HOT).json()["meta"]["trace_id"]
    assert other.post("/feedback", {"trace_id": trace_id, "score": 1}).status_code == 202
    with other.client() as client:
        assert client.delete(f"/sessions/{session}").status_code == 204


def _ended(gateway: Live, job_id: str) -> Any:
    job = gateway.get(f"/jobs/{job_id}").json()
    return job if job["finished_at"] else None


def test_a_generation_is_ended_through_another_gateway(parts: Split) -> None:
    one, other = _gateways(parts)
    request_id = uuid.uuid4().hex
    long = {"question": "word " * 1_500, "options": {"max_tokens": 1_500}}
    with ThreadPoolExecutor(1) as pool, one.client() as client, other.client() as ending:
        asked = pool.submit(client.post, "/llm_query", json=long, headers={"X-Request-Id": request_id})
        wait_until(lambda: ending.delete(f"/requests/{request_id}").status_code == 204, LIMIT_S, "it is ended")
        assert asked.result().json()["meta"]["finish_reason"] == "cancelled"


@pytest.mark.parametrize("name", [*NEEDS, "Answerbox-1"])
def test_no_part_takes_pickles(parts: Split, name: str) -> None:
    """A pickle is a program: whoever may send one to a part may do all that the part may."""
    body = pickle.dumps({"texts": ["a"], "query": {}, "channel_id": "a"})
    headers = {"Content-Type": "application/vnd.bentoml+pickle"}
    path = {"Embedder": "/embed", "Generator": "/submit", "Index": "/search"}.get(name, "/llm_query")
    with parts.parts[name].client() as client:
        assert client.post(path, content=body, headers=headers).status_code in (400, 415, 422)


@pytest.mark.parametrize(
    ("name", "path", "status", "code"),
    [
        ("Generator", "/llm_query", 503, "generator_unavailable"),
        ("Index", "/rag_query", 503, "index_unavailable"),
        ("Embedder", "/rag_query", 200, None),
    ],
)
def test_a_part_that_dies_is_missed_and_comes_back(
    parts: Split, name: str, path: str, status: int, code: str | None
) -> None:
    one, other = _gateways(parts)
    parts.kill(name)
    wait_until(lambda: one.get("/readyz").status_code == 503, LIMIT_S, "the gateway is not ready")
    without = other.post(path, HOW_HOT)
    assert (without.status_code, without.json().get("code")) == (status, code), without.text
    if name != "Generator":
        assert other.post("/llm_query", HOW_HOT).status_code == 200
    if status == 200:
        assert "vectors" in without.json()["meta"]["degraded"]
    parts.again(name)
    for gateway in (one, other):
        wait_until(partial(_is_whole, gateway, path), LIMIT_S, "all of it is back")


def _is_whole(gateway: Live, path: str) -> bool:
    if gateway.get("/readyz").status_code != 200:
        return False
    answer = gateway.post(path, HOW_HOT)
    return answer.status_code == 200 and not answer.json()["meta"]["degraded"]


def test_a_part_that_hangs_does_not_hold_its_callers(parts: Split) -> None:
    """Its port still takes connections, as that of a machine does whose process stands still."""
    one, _ = _gateways(parts)
    parts.signal("Index", signal.SIGSTOP)
    try:
        answer = one.post("/rag_query", HOW_HOT)
        assert (answer.status_code, answer.json()["code"]) == (503, "index_unavailable")
        assert answer.elapsed.total_seconds() < LIMIT_S / 2
    finally:
        parts.signal("Index", signal.SIGCONT)
    wait_until(lambda: _is_whole(one, "/rag_query"), LIMIT_S, "all of it is back")


def test_a_stream_is_told_that_its_model_died(parts: Split) -> None:
    one, _ = _gateways(parts)
    long = {"question": "word " * 1_000, "options": {"max_tokens": 1_000}}
    events: list[dict[str, Any]] = []
    with one.client() as client, client.stream("POST", "/llm_query/stream", json=long) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:"):
                events.append(json.loads(line.removeprefix("data:")))
            if sum("text" in event for event in events) == 3:
                parts.kill("Generator")
    assert events[-1]["problem"]["code"] == "generator_unavailable"
    parts.again("Generator")
    wait_until(lambda: _is_whole(one, "/llm_query"), LIMIT_S, "the model is back")


def test_nothing_of_a_dead_part_leaks(parts: Split) -> None:
    """Addresses of parts are the operator's business."""
    one, _ = _gateways(parts)
    parts.kill("Generator")
    try:
        answer: httpx.Response = one.post("/llm_query", HOW_HOT)
        assert answer.status_code == 503
        assert "127.0.0.1" not in answer.text
    finally:
        parts.again("Generator")
        wait_until(lambda: _is_whole(one, "/llm_query"), LIMIT_S, "the model is back")
