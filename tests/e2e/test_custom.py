"""A `run_model` of your own behind `bentoml serve`: alone, without our models and documents, and beside them."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from answerbox.client import AsyncClient, Client
from answerbox.contracts import CorrectionEvent, CustomResponse, DoneEvent, Event, TokenEvent
from answerbox.run import LocalAnswerbox
from answerbox.settings import Settings
from tests.live import BIN, WHOLE, Live, Place, events, free_port, serving, start, stop, wait_until

OWN = """
import threading
from pathlib import Path

HERE = Path(__file__).parent
pause = threading.Event()
while not (HERE / "go").exists():  # a large model is being read
    pause.wait(0.05)


def run_model(request):
    return globals()[request.pop("kind", "whole")](request)


def whole(request):
    return {"answer": f"You asked: {request['question']}", "seen": request}


def words(request):
    for word in request["question"].split():
        pause.wait(0.2)
        yield word + " "
    yield {"words": len(request["question"].split())}


def corrected(request):
    yield "no"
    yield {"answer": "yes"}


def endless(request):
    try:
        while True:
            pause.wait(0.05)
            yield "on and "
    finally:
        (HERE / f"closed-{request['question']}").touch()


async def awaited(request):
    return {"answer": request["question"]}


def odd(request):
    return {"answer": "", "odd": object()}
"""
ALONE: dict[str, Any] = {"custom_pipeline": "own_model:run_model", "pipelines": '["custom"]', "stream_heartbeat_s": "1"}


def ask(live: Live, question: str, kind: str = "whole", **more: Any) -> httpx.Response:
    return live.post("/custom_query", {"question": question, "parameters": {"kind": kind, **more}})


def streamed(live: Live, question: str, kind: str) -> list[tuple[str, Any]]:
    body = {"question": question, "parameters": {"kind": kind}}
    with live.client() as client, client.stream("POST", "/custom_query/stream", json=body) as answer:
        assert answer.status_code == 200
        return list(events(answer))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Has `own_model.py`, which processes that are started in the block can import."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_model.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture(scope="module")
def loading(folder: Path) -> Iterator[tuple[dict[str, httpx.Response], Live]]:
    """What was answered while the module was being loaded, and then the service."""
    port = str(free_port())
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

        def lives() -> httpx.Response | None:
            try:
                answer = client.get("/livez")
            except httpx.TransportError:
                return None
            return answer if answer.is_success else None

        starting = pool.submit(start, folder, WHOLE, Place(port=port), **ALONE)
        try:
            found = {"/livez": wait_until(lives, 120, "the process lives")}
            found |= {path: client.get(path) for path in ("/readyz", "/health")}
            found["/custom_query"] = client.post("/custom_query", json={"question": "Who?"})
        finally:
            (folder / "go").touch()
        live = starting.result()
    try:
        yield found, live
    finally:
        stop(live.process)
    assert live.process.returncode == 0


@pytest.fixture(scope="module")
def alone(loading: tuple[dict[str, httpx.Response], Live]) -> Live:
    return loading[1]


def test_while_the_module_is_loaded_the_process_lives_and_is_not_ready(
    loading: tuple[dict[str, httpx.Response], Live],
) -> None:
    before, live = loading
    assert {path: answer.status_code for path, answer in before.items()} == {
        "/livez": 200,
        "/readyz": 503,
        "/health": 200,
        "/custom_query": 503,
    }
    assert before["/custom_query"].json()["code"] == "not_ready"
    assert before["/health"].json()["status"] == "starting"
    assert live.get("/readyz").status_code == 200
    found = live.get("/health").json()
    assert (found["status"], found["models"], found["dependencies"]) == ("ok", {"custom": "own_model:run_model"}, {})


def test_the_function_gets_the_parameters_beside_the_question(alone: Live) -> None:
    body = {"question": " Who? ", "user_id": "ada", "session_id": "s-1", "parameters": {"city": "Köln", "n": [1, None]}}
    answer = alone.post("/custom_query", body)
    assert answer.status_code == 200
    found = answer.json()
    assert found["answer"] == "You asked: Who?"
    seen = {"question": "Who?", "user_id": "ada", "session_id": "s-1", "city": "Köln", "n": [1, None]}
    assert found["meta"]["custom"] == {"seen": seen}
    assert (found["meta"]["pipeline"], found["meta"]["model"]) == ("custom", "own_model:run_model")


def test_a_coroutine_is_awaited(alone: Live) -> None:
    assert ask(alone, "Who?", "awaited").json()["answer"] == "Who?"


@pytest.mark.parametrize("name", ["question", "user_id", "parameters"])
def test_a_parameter_with_the_name_of_a_field_is_refused(name: str, alone: Live) -> None:
    answer = alone.post("/custom_query", {"question": "Who?", "parameters": {name: "x"}})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == ["parameters"]


def test_what_json_cannot_say_is_told_in_the_log_alone(alone: Live) -> None:
    answer = ask(alone, "Who?", "odd")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "object" not in answer.text
    wait_until(lambda: "is not what JSON can say" in alone.log.read_text(), 10, "the reason is in the log")


def test_a_generator_streams_and_the_plain_route_joins_it(alone: Live) -> None:
    found = streamed(alone, "one two three", "words")
    assert [name for name, _ in found] == ["meta", "token", "token", "token", "step", "done"]
    assert "".join(data["text"] for name, data in found if name == "token") == "one two three "
    whole = ask(alone, "one two three", "words").json()
    for response in (found[-1][1]["response"], whole):
        assert (response["answer"], response["meta"]["custom"]) == ("one two three ", {"words": 3})


def test_an_answer_that_differs_is_a_correction(alone: Live) -> None:
    found = streamed(alone, "Is it?", "corrected")
    assert [data["text"] for name, data in found if name in ("token", "correction")] == ["no", "yes"]
    assert found[-1][1]["response"]["answer"] == "yes"


def closed(alone: Live, question: str) -> None:
    """And the next call has the thread."""
    wait_until((alone.folder / f"closed-{question}").exists, 20, "the generator is closed")
    assert ask(alone, "Who?").status_code == 200


def test_a_client_that_hangs_up_closes_the_generator(alone: Live) -> None:
    body = {"question": "gone", "parameters": {"kind": "endless"}}
    with alone.client() as client, client.stream("POST", "/custom_query/stream", json=body) as answer:
        assert next(name for name, _ in events(answer) if name == "token")
    closed(alone, "gone")


def test_on_the_deadline_the_words_that_there_are_are_the_answer(alone: Live) -> None:
    body = {"question": "late", "parameters": {"kind": "endless"}}
    with alone.client() as client:
        found = client.post("/custom_query", json=body, headers={"X-Request-Timeout": "1"}).json()
    assert found["answer"].startswith("on and on")
    assert found["meta"]["finish_reason"] == "deadline"
    closed(alone, "late")


def test_a_cancelled_answer_is_what_there_is_of_it(alone: Live) -> None:
    body = {"question": "cancelled", "parameters": {"kind": "endless"}}
    with alone.client() as client, ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.post, "/custom_query", json=body, headers={"X-Request-Id": "order-4711"})
        wait_until(lambda: client.delete("/requests/order-4711").status_code == 204, 20, "it is cancelled")
        found = asking.result().json()
    assert found["meta"]["finish_reason"] == "cancelled"
    closed(alone, "cancelled")


@pytest.mark.parametrize("path", ["/llm_query", "/rag_query/stream", "/agent_query", "/search", "/documents", "/mcp"])
def test_what_is_not_served_says_so(path: str, alone: Live) -> None:
    answer = alone.post(path, {"question": "Who?"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_served")


def test_neither_models_nor_documents_are_there(alone: Live) -> None:
    assert not (alone.folder / "data" / "ledger.sqlite3").exists()
    services = {line.split('"')[1] for line in alone.get("/metrics").text.splitlines() if "process_threads{" in line}
    assert services == {"Answerbox"}
    assert alone.get("/").json()["ask"] == "POST /custom_query"


def test_its_requests_are_counted(alone: Live) -> None:
    ask(alone, "Who?")
    counted = 'answerbox_step_duration_seconds_count{pipeline="custom",step="run_model"}'
    wait_until(lambda: counted in alone.get("/metrics").text, 10, counted)


def test_the_clients_ask_it(alone: Live) -> None:
    with Client(alone.url) as client:
        found = client.custom("Who?", parameters={"city": "Köln"})
        with client.stream_custom("a b", parameters={"kind": "words"}) as stream:
            first = list(stream)

    async def asynchronous() -> tuple[CustomResponse, list[Event]]:
        async with AsyncClient(alone.url) as client:
            answer = await client.custom("Who?", parameters={"city": "Köln"})
            async with client.stream_custom("a b", parameters={"kind": "words"}) as stream:
                return answer, [event async for event in stream]

    same, second = asyncio.run(asynchronous())
    for answer in (found, same):
        assert type(answer) is CustomResponse
        assert answer.meta.custom == {"seen": {"question": "Who?", "city": "Köln"}}
    for stream_ in (first, second):
        assert [event.text for event in stream_ if isinstance(event, TokenEvent | CorrectionEvent)] == ["a ", "b "]
        assert isinstance(stream_[-1], DoneEvent)
        assert type(stream_[-1].response) is CustomResponse


def test_the_command_line_asks_it(alone: Live) -> None:
    words = ["ask", "a b", "-p", "custom", "--parameters", '{"kind": "words"}', "--url", alone.url]
    done = subprocess.run([BIN / "answerbox", *words], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "a b \n"), done.stderr


def test_openais_door_has_it_as_its_only_model(alone: Live) -> None:
    with closing(openai.OpenAI(base_url=f"{alone.url}/v1", api_key="none")) as client:
        assert [model.id for model in client.models.list()] == ["answerbox-custom"]
        found = client.chat.completions.create(
            model="answerbox-custom",
            messages=[{"role": "user", "content": "a b"}],
            temperature=0.5,
            extra_body={"parameters": {"kind": "words"}},
        )
        assert found.choices[0].message.content == "a b "
        assert found.model_extra
        assert found.model_extra["answerbox"]["ignored"] == ["temperature"]
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="answerbox-llm", messages=[{"role": "user", "content": "a"}])


def test_in_a_notebook_the_answer_is_the_same(alone: Live, folder: Path) -> None:
    settings = Settings(
        custom_pipeline="own_model:run_model", pipelines=frozenset({"custom"}), data_dir=folder / "none"
    )
    request = {"question": "Who?", "parameters": {"city": "Köln"}}
    with LocalAnswerbox(settings) as local:
        here = local.run_model(request, "custom")
        with pytest.raises(Exception, match="not served"):
            local.run_model(request, "rag")
    there = alone.post("/custom_query", request).json()
    for name in ("pipeline", "model", "finish_reason", "custom"):
        assert here["meta"][name] == there["meta"][name]
    assert here["answer"] == there["answer"]
    assert not (folder / "none").exists()


def test_beside_the_models_it_is_one_more_pipeline(folder: Path, tmp_path: Path) -> None:
    (folder / "go").touch()
    own = {"custom_pipeline": "own_model:run_model", "llm_pipeline": "own_model:run_model"}
    with serving(tmp_path, generator_model="fake", embedder_model="fake", **own) as live:
        assert ask(live, "Who?").json()["answer"] == "You asked: Who?"
        own_llm = live.post("/llm_query", {"question": "Who?"}).json()
        assert (own_llm["answer"], own_llm["meta"]["pipeline"]) == ("You asked: Who?", "llm")
        assert live.post("/rag_query", {"question": "Who?"}).status_code == 200
        assert set(live.get("/health").json()["dependencies"]) == {"generator", "embedder", "index"}


def test_where_none_is_set_there_is_none(fakes: Live) -> None:
    answer = fakes.post("/custom_query", {"question": "Who?"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_served")
