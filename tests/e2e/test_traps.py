"""What BentoML does wrong by default, and this service must not."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading

import httpx

from tests.live import Live, events, wait_until
from tests.load import worker

BURST = 500
LONG_WORDS = 3_300
"""At 20 ms a token over a minute: BentoML's default would cut the stream at 60.6 s."""


async def _burst(live: Live, path: str, bodies: list[dict[str, object]]) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=live.url, timeout=300, limits=limits) as client:
        return await asyncio.gather(*(client.post(path, json=body) for body in bodies))


def test_a_long_stream_is_whole_while_500_calls_burst(fakes: Live) -> None:
    words = [f"w{number}" for number in range(400)] + ["ж"] * (LONG_WORDS - 400)
    body = {"question": " ".join(words), "options": {"max_tokens": 4_096}}
    assert len(str(body["question"])) < 8_000
    got: list[tuple[str, dict[str, object]]] = []

    def read() -> None:
        with fakes.client() as client, client.stream("POST", "/llm_query/stream", json=body) as response:
            got.extend(events(response))

    reader = threading.Thread(target=read)
    reader.start()
    asked: list[dict[str, object]] = [
        {"question": f"number {number}", "options": {"max_tokens": 2}} for number in range(BURST)
    ]
    answers = asyncio.run(_burst(fakes, "/llm_query", asked))
    assert [answer.status_code for answer in answers] == [200] * BURST
    assert [answer.json()["answer"] for answer in answers] == [body["question"] for body in asked]
    queries: list[dict[str, object]] = [{"query": f"number {number}"} for number in range(BURST)]
    assert {answer.status_code for answer in asyncio.run(_burst(fakes, "/search", queries))} == {200}
    reader.join(timeout=180)
    assert got[-1][0] == "done"
    assert "".join(str(data["text"]) for name, data in got if name == "token").split() == words


def test_characters_survive_the_way_through_the_services(fakes: Live) -> None:
    question = "Ёлка 🎄 „кавычки“ \u2028 日本語 " * 60
    body = {"question": question, "options": {"max_tokens": 4_096}}
    expected = " ".join(question.split())
    assert fakes.post("/llm_query", body).json()["answer"] == expected
    with fakes.client() as client, client.stream("POST", "/llm_query/stream", json=body) as response:
        got = list(events(response))
    assert "".join(str(data["text"]) for name, data in got if name == "token") == expected


def _generated(live: Live) -> tuple[int, int]:
    detail = live.get("/health").json()["dependencies"]["generator"]["detail"]
    return detail["generated"], detail["running"]


def _stops_early(live: Live, before: int) -> None:
    """The work of a client that has gone ends long before its last token."""
    wait_until(lambda: _generated(live)[1] == 0, 10, "nothing runs any more")
    assert _generated(live)[0] - before < LONG_WORDS / 2


def test_a_reader_who_hangs_up_ends_the_generation(fakes: Live) -> None:
    before = _generated(fakes)[0]
    body = {"question": "ж " * LONG_WORDS, "options": {"max_tokens": 4_096}}
    with fakes.client() as client, client.stream("POST", "/llm_query/stream", json=body) as response:
        for name, _ in events(response):
            if name == "token":
                break
    _stops_early(fakes, before)


def test_a_caller_who_hangs_up_before_the_answer_ends_the_generation(fakes: Live) -> None:
    before = _generated(fakes)[0]
    body = {"question": "ж " * LONG_WORDS, "options": {"max_tokens": 4_096}}
    with httpx.Client(base_url=fakes.url, timeout=1.5) as client:
        try:
            client.post("/llm_query", json=body)
        except httpx.ReadTimeout:
            pass
        else:
            raise AssertionError("the answer came too early for this test")
    _stops_early(fakes, before)


def test_readiness_answers_in_time_while_a_part_hangs(fakes: Live) -> None:
    embedder = worker(fakes, "Embedder")
    os.kill(embedder, signal.SIGSTOP)
    try:
        response = wait_until(
            lambda: (got := fakes.get("/readyz")).status_code == 503 and got, 30, "readiness turns off"
        )
        assert response.json()["code"] == "not_ready"
        assert response.elapsed.total_seconds() < 5
        assert fakes.get("/livez").status_code == 200
        assert fakes.get("/health").json()["dependencies"]["embedder"]["ready"] is False
    finally:
        os.kill(embedder, signal.SIGCONT)
    wait_until(lambda: fakes.get("/readyz").status_code == 200, 30, "readiness returns")


def test_a_killed_worker_comes_back_and_calls_work_again(fakes: Live) -> None:
    os.kill(worker(fakes, "Generator"), signal.SIGKILL)

    def works() -> bool:
        answer = fakes.post("/llm_query", {"question": "are you there"})
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200

    wait_until(works, 60, "the language model is back")


def test_paths_and_ids_make_no_series_in_the_metrics(fakes: Live) -> None:
    for number in range(30):
        assert fakes.get(f"/scan/{number}").status_code == 404
        assert fakes.get(f"/documents/nobody-{number}").status_code == 404
    metrics = fakes.get("/metrics").text
    endpoints = set(re.findall(r'endpoint="([^"]*)"', metrics))
    assert "/documents/{document_id}" in endpoints
    assert not any("scan" in endpoint or "nobody" in endpoint for endpoint in endpoints)


def test_embeddings_are_batched_and_each_row_is_its_own(real: Live) -> None:
    topics = ["cats", "trains", "bread", "moon", "taxes", "chess", "rain", "gold"]
    documents = [
        {"id": f"t/{topic}", "text": f"This page is about {topic}.", "metadata": {"set": "t"}} for topic in topics
    ]
    assert real.index(documents)["status"] == "succeeded"
    bodies: list[dict[str, object]] = [
        {"query": f"What is written about {topic}?", "top_k": 3, "filter": {"set": "t"}} for topic in topics * 8
    ]
    alone = [real.post("/search", body).json()["hits"] for body in bodies[: len(topics)]]
    together = [answer.json()["hits"] for answer in asyncio.run(_burst(real, "/search", bodies))]
    for number, hits in enumerate(together):
        single = alone[number % len(topics)]
        assert [hit["chunk_id"] for hit in hits] == [hit["chunk_id"] for hit in single]
        assert all(abs(a["score"] - b["score"]) < 1e-3 for a, b in zip(hits, single, strict=True))
    sizes = re.findall(
        r'adaptive_batch_size_bucket\{le="1.0",.*?method_name="embed".*?\} (\S+)', real.get("/metrics").text
    )
    counts = re.findall(r'adaptive_batch_size_count\{.*?method_name="embed".*?\} (\S+)', real.get("/metrics").text)
    assert sum(map(float, counts)) > sum(map(float, sizes)), "no batch was larger than one"
