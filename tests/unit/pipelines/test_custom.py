"""A `run_model` of your own in the place of a pipeline."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from answerbox.contracts import LlmRequest, LlmResponse, RagRequest, RagResponse
from answerbox.errors import Conflict, DeadlineExceeded, InternalError, SetupError
from answerbox.pipelines.base import answer
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.custom import CustomPipeline, Name, load
from answerbox.pipelines.own_code import OwnCode, RunModel

REQUEST = LlmRequest(question="Who?", user_id="ada")


def context(timeout_s: float = 30.0) -> RequestContext:
    return RequestContext("request-1", timeout_s)


async def custom(function: RunModel, name: Name = "llm") -> CustomPipeline:
    pipeline = CustomPipeline(OwnCode(lambda: function), name, "mine:run_model")
    await pipeline.loaded()
    return pipeline


async def respond(function: RunModel, request: LlmRequest = REQUEST) -> LlmResponse:
    response = await answer(await custom(function), request, context())
    assert isinstance(response, LlmResponse)
    return response


async def test_a_blocking_function_runs_in_a_thread_and_its_dict_is_the_answer() -> None:
    threads = []

    def run_model(request: dict[str, Any]) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return {"answer": f"You are {request['user_id']}.", "mood": "good"}

    response = await respond(run_model)
    assert response.answer == "You are ada."
    assert (response.meta.model, response.meta.finish_reason) == ("mine:run_model", "custom")
    assert response.meta.custom == {"mood": "good"}
    assert [step.name for step in response.meta.steps] == ["run_model"]
    assert threads != [threading.main_thread()]


async def test_an_async_function_runs_in_the_loop() -> None:
    async def run_model(request: dict[str, Any]) -> dict[str, Any]:
        asyncio.get_running_loop()
        return {"answer": request["question"]}

    response = await respond(run_model)
    assert (response.answer, response.meta.custom) == ("Who?", None)


async def test_the_function_sees_what_the_caller_sent_and_no_nulls() -> None:
    seen: list[dict[str, Any]] = []

    def run_model(request: dict[str, Any]) -> dict[str, Any]:
        seen.append(request)
        return {"answer": ""}

    await respond(run_model)
    assert seen == [
        {"question": "Who?", "user_id": "ada", "options": {"temperature": 0.0, "top_p": 1.0, "stop": []}},
    ]


async def test_a_rag_pipeline_of_your_own_answers_in_the_shape_of_rag() -> None:
    pipeline = await custom(lambda request: {"answer": request["question"]}, "rag")
    response = await answer(pipeline, RagRequest(question="Who?"), context())
    assert isinstance(response, RagResponse)
    assert (response.meta.pipeline, response.meta.sources, response.meta.grounding) == ("rag", [], None)


@pytest.mark.parametrize(
    "result",
    [None, "text", {}, {"answer": None}, {"answer": 7}, [("answer", "x")]],
    ids=["none", "text", "empty", "null", "number", "pairs"],
)
async def test_a_result_without_a_text_answer_is_the_services_failure(result: object) -> None:
    with pytest.raises(InternalError, match="did not return a dict"):
        await respond(lambda _: result)


async def test_an_exception_of_the_function_stays_inside() -> None:
    def run_model(_: dict[str, Any]) -> None:
        raise ValueError("password is hunter2")

    with pytest.raises(InternalError) as caught:
        await respond(run_model)
    assert "hunter2" not in str(caught.value.to_wire())
    assert isinstance(caught.value.__cause__, ValueError)


async def test_an_answerbox_error_of_the_function_goes_to_the_caller() -> None:
    def run_model(_: dict[str, Any]) -> None:
        raise Conflict("not now")

    with pytest.raises(Conflict, match="not now"):
        await respond(run_model)


async def test_a_blocking_function_gets_one_call_at_a_time() -> None:
    lock, crowded = threading.Lock(), []

    def run_model(_: dict[str, Any]) -> dict[str, Any]:
        crowded.append(not lock.acquire(blocking=False))
        threading.Event().wait(0.01)
        lock.release()
        return {"answer": "ok"}

    pipeline = await custom(run_model)
    await asyncio.gather(*(answer(pipeline, REQUEST, context()) for _ in range(5)))
    assert crowded == [False] * 5


async def test_a_call_that_runs_past_its_deadline_keeps_the_next_one_waiting() -> None:
    release, running, most = threading.Event(), 0, 0

    def run_model(_: dict[str, Any]) -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        release.wait(5)
        running -= 1
        return {"answer": "ok"}

    pipeline = await custom(run_model)
    try:
        for _ in range(2):
            with pytest.raises(DeadlineExceeded):
                await answer(pipeline, REQUEST, context(0.1))
        assert most == 1
    finally:
        release.set()


async def test_a_function_is_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebook_model.py").write_text("def run_model(request):\n    return {'answer': 'hi'}\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        pipeline = load("llm", "notebook_model:run_model")
        await pipeline.loaded()
        response = await answer(pipeline, REQUEST, context())
    finally:
        sys.modules.pop("notebook_model", None)
    assert (response.answer, response.meta.model) == ("hi", "notebook_model:run_model")


@pytest.mark.parametrize(
    "target",
    [
        "no_such_module:run_model",
        "json:no_such_function",
        "json",
        "",
        ":run_model",
        "answerbox:__version__",
        "json:",
    ],
)
async def test_a_target_that_is_no_function_is_told_by_its_setting(target: str) -> None:
    with pytest.raises(SetupError, match="ANSWERBOX_RAG_PIPELINE"):
        await load("rag", target).loaded()


@pytest.mark.parametrize("fault", ["raise RuntimeError('no licence file')", "raise SystemExit(2)", "import no_such"])
async def test_a_module_that_fails_to_load_is_told(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_model.py").write_text(fault)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SetupError, match="ANSWERBOX_CUSTOM_PIPELINE"):
        await load("custom", "broken_model:run_model").loaded()
