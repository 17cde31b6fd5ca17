"""Generation over HTTP: options, cancelling, overload, a dead engine, a remote engine. Real services, fake model."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.live import Live, events, serving, wait_until
from tests.openai_server import Answer, OpenAIServer, openai_server

WORDS = " ".join(f"w{number}" for number in range(30))
LONG = " ".join(["ж"] * 800)


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Two rows at a time, 5 ms a token, and room for little work to wait."""
    with serving(
        tmp_path_factory.mktemp("tight"),
        generator_model="fake",
        embedder_model="fake",
        fake_token_delay_s="0.005",
        generator_batch="2",
        generator_queue_tokens="1000",
        generator_queue_wait_s="3",
    ) as live:
        yield live


def body(question: str = WORDS, user: str | None = None, **options: Any) -> dict[str, Any]:
    return {"question": question, "user_id": user, "options": {"max_tokens": 50, **options}}


async def ask_all(live: Live, bodies: list[dict[str, Any]]) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=live.url, timeout=120, limits=limits) as client:
        return await asyncio.gather(*(client.post("/llm_query", json=each) for each in bodies))


def test_an_answer_ends_before_a_stop_string(tight: Live) -> None:
    answer = tight.post("/llm_query", body(stop=["w7"])).json()
    assert answer["answer"].strip() == "w0 w1 w2 w3 w4 w5 w6"
    assert answer["meta"]["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", [[""], ["x"] * 5, ["x" * 65], "x"])
def test_stop_strings_have_bounds(tight: Live, stop: Any) -> None:
    answer = tight.post("/llm_query", body(stop=stop))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("options.stop")


def test_a_running_request_can_be_cancelled_by_its_id(tight: Live) -> None:
    got: list[httpx.Response] = []

    def ask() -> None:
        with tight.client() as client:
            answer = client.post(
                "/llm_query", json=body(LONG, max_tokens=700), headers={"X-Request-Id": "mine-to-cancel"}
            )
            got.append(answer)

    before = detail(tight)["generated"]
    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: detail(tight)["generated"] > before, 10, "it runs")
    with tight.client() as client:
        assert client.delete("/requests/mine-to-cancel").status_code == 204
        asking.join(timeout=10)
        gone = client.delete("/requests/mine-to-cancel")
    assert (gone.status_code, gone.json()["code"]) == (404, "request_not_found")
    answer = got[0].json()
    assert answer["meta"]["finish_reason"] == "cancelled"
    assert 0 < answer["meta"]["usage"]["completion_tokens"] < 700
    assert len(answer["answer"].split()) == answer["meta"]["usage"]["completion_tokens"]
    wait_until(lambda: detail(tight)["running"] == 0, 10, "its place is free")


def test_too_much_is_refused_with_the_time_to_come_back_and_what_is_accepted_is_answered(tight: Live) -> None:
    answers = asyncio.run(ask_all(tight, [body(f"{number} {WORDS}") for number in range(60)]))
    refused = [answer for answer in answers if answer.status_code == 503]
    accepted = [answer for answer in answers if answer.status_code == 200]
    assert len(refused) + len(accepted) == 60
    assert len(refused) > 20
    assert {answer.json()["code"] for answer in refused} == {"overloaded"}
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
    assert all(answer.json()["retryable"] for answer in refused)
    assert all(answer.json()["answer"].endswith("w29") for answer in accepted)
    assert len(accepted) >= 8


def test_a_stream_that_is_refused_has_its_status(tight: Live) -> None:
    long = threading.Thread(target=lambda: asyncio.run(ask_all(tight, [body(LONG, max_tokens=500)] * 4)))
    long.start()
    wait_until(lambda: detail(tight)["running"] == 2, 10, "nothing is free")
    refusal = tight.post("/llm_query/stream", body(LONG, max_tokens=700))
    long.join()
    assert (refusal.status_code, refusal.json()["code"]) == (503, "overloaded")


def test_one_users_flood_does_not_starve_another(tight: Live) -> None:
    stop = threading.Event()

    async def ask_again_and_again() -> None:
        async with httpx.AsyncClient(base_url=tight.url, timeout=120) as client:
            while not stop.is_set():
                await client.post("/llm_query", json=body(user="flood"))

    async def flood() -> None:
        await asyncio.gather(*(ask_again_and_again() for _ in range(30)))

    flooding = threading.Thread(target=lambda: asyncio.run(flood()))
    flooding.start()
    try:
        wait_until(lambda: detail(tight)["waiting"] > 2, 20, "others wait")
        answers = [tight.post("/llm_query", body(user="light")) for _ in range(5)]
    finally:
        stop.set()
        flooding.join()
    assert [answer.status_code for answer in answers] == [200] * 5


def test_a_reader_that_does_not_read_holds_up_nobody(tight: Live) -> None:
    with tight.client() as client, client.stream("POST", "/llm_query/stream", json=body(LONG, max_tokens=700)) as slow:
        told = events(slow)
        next(told)
        assert tight.post("/llm_query", body()).json()["answer"] == WORDS
        got = list(told)
    assert got[-1][0] == "done"
    assert "".join(str(data["text"]) for name, data in got if name == "token") in LONG


def test_words_leave_when_they_are_made(tight: Live) -> None:
    body_ = body(LONG, max_tokens=300)
    with tight.client() as client, client.stream("POST", "/llm_query/stream", json=body_) as response:
        came = [(name, time.monotonic()) for name, _ in events(response)]
    first = next(when for name, when in came if name == "token")
    assert came[-1][0] == "done"
    assert came[-1][1] - first > 1.0, "300 tokens of 5 ms each take longer than that"
    assert sum(name == "token" for name, _ in came) > 30


def test_an_engine_that_is_killed_is_replaced_and_its_request_is_answered(tight: Live) -> None:
    before = detail(tight)
    got: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: got.append(tight.post("/llm_query", body(LONG, max_tokens=300))))
    asking.start()
    wait_until(lambda: detail(tight)["generated"] > before["generated"] + 10, 10, "it runs")
    os.kill(before["engine_pid"], signal.SIGKILL)
    asking.join(timeout=60)
    assert got[0].status_code == 200
    assert got[0].json()["answer"] == " ".join(["ж"] * 300)
    wait_until(lambda: detail(tight).get("restarts") == before["restarts"] + 1, 30, "the restart is told")
    assert detail(tight)["engine_pid"] != before["engine_pid"]


def detail(live: Live) -> dict[str, Any]:
    """What the generator says of itself; empty while it is not ready."""
    found: dict[str, Any] = live.get("/health").json()["dependencies"]["generator"]
    return dict(found["detail"]) if found["ready"] else {}


@pytest.fixture(scope="module")
def engine() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


@pytest.fixture(scope="module")
def over(engine: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service whose language model is another server."""
    folder = tmp_path_factory.mktemp("over")
    with serving(folder, llm_base_url=engine.url, embedder_model="fake", llm_api_key="secret-key") as live:
        yield live


def test_a_remote_engine_answers_and_no_model_is_loaded_here(over: Live, engine: OpenAIServer) -> None:
    engine.renew()
    answer = over.post("/llm_query", {"question": "Where?", "options": {"seed": 3, "stop": ["!"]}}).json()
    assert answer["answer"] == "Paris is it."
    assert answer["meta"]["model"] == "scripted"
    assert answer["meta"]["usage"] == {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
    assert engine.asked[-1]["seed"] == 3
    assert engine.asked[-1]["stop"] == ["!"]
    lines = [" ".join(child.cmdline()) for child in psutil.Process(over.process.pid).children(recursive=True)]
    assert not any("--service-name Generator" in line or "generation.host" in line for line in lines)


def test_a_remote_engine_streams(over: Live, engine: OpenAIServer) -> None:
    engine.renew()
    with over.client() as client, client.stream("POST", "/llm_query/stream", json={"question": "Where?"}) as response:
        got = list(events(response))
    assert [data["text"] for name, data in got if name == "token"] == ["Paris", " is", " it", "."]
    assert got[-1][0] == "done"


def test_a_busy_remote_engine_is_overload_and_its_key_stays_secret(over: Live, engine: OpenAIServer) -> None:
    engine.renew()
    engine.answer = Answer(status=429, headers={"Retry-After": "7"}, body={"error": {"message": "slow down"}})
    answer = over.post("/llm_query", {"question": "Where?"})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "7")
    assert "slow down" not in answer.text
    assert "secret-key" not in over.log.read_text()


def test_a_reader_who_hangs_up_ends_the_remote_stream(over: Live, engine: OpenAIServer) -> None:
    engine.renew()
    engine.answer = Answer(words=["word "] * 1_000, delay_s=0.02)
    with over.client() as client, client.stream("POST", "/llm_query/stream", json={"question": "Where?"}) as response:
        for name, _ in events(response):
            if name == "token":
                break
    wait_until(lambda: engine.gone == 1, 10, "the remote stream was closed")
    assert engine.sent < 500
