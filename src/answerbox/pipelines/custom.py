"""Your own `run_model(request_dict) -> response_dict` in the place of a built-in pipeline."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from answerbox import plugins
from answerbox.contracts import (
    DoneEvent,
    Event,
    LlmMeta,
    LlmRequest,
    LlmResponse,
    MetaEvent,
    PipelineName,
    RagMeta,
    RagResponse,
    StepEvent,
    TokenEvent,
)
from answerbox.errors import AnswerboxError, InternalError
from answerbox.pipelines.context import RequestContext

RunModel = Callable[[dict[str, Any]], Any]


class CustomPipeline:
    """Calls a function of yours; a blocking one runs in a thread, one call at a time.

    The function gets the request as a dict (`question`, `context`, `user_id`, ...) and returns a dict with
    `answer`; whatever else it returns stands in `meta.custom`. An exception of its own is a failure of the service
    (500), and its text stays in the log; an `AnswerboxError` goes to the caller as it is.
    """

    def __init__(self, run_model: RunModel, name: PipelineName, label: str) -> None:
        self._run_model = run_model
        self._name = name
        self._label = label
        self._one_at_a_time = ThreadPoolExecutor(1, thread_name_prefix="run_model")

    async def stream(self, request: LlmRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        yield MetaEvent(request_id=context.request_id, pipeline=self._name, model=self._label)
        with context.step("run_model"):
            answer, custom = self._checked(await context.deadline.run(self._call(request)))
        yield StepEvent(step=context.steps[-1])
        yield TokenEvent(text=answer)
        meta: dict[str, Any] = {
            "request_id": context.request_id,
            "pipeline": self._name,
            "model": self._label,
            "finish_reason": "custom",
            "latency_ms": context.elapsed_ms(),
            "steps": context.steps,
            "degraded": context.degraded,
            "trace_id": context.trace.trace_id,
            "custom": custom or None,
        }
        if self._name == "rag":
            yield DoneEvent(response=RagResponse(answer=answer, meta=RagMeta(**meta)))
        else:
            yield DoneEvent(response=LlmResponse(answer=answer, meta=LlmMeta(**meta)))

    async def _call(self, request: LlmRequest) -> Any:
        payload = request.model_dump(mode="json", exclude_none=True)
        try:
            if inspect.iscoroutinefunction(self._run_model):
                return await self._run_model(payload)
            # A call that outlives its deadline goes on in the thread, and the next one waits for it.
            work = functools.partial(contextvars.copy_context().run, self._run_model, payload)
            return await asyncio.get_running_loop().run_in_executor(self._one_at_a_time, work)
        except AnswerboxError:
            raise
        except Exception as exc:
            raise InternalError("The service's own run_model failed.") from exc

    def _checked(self, result: Any) -> tuple[str, dict[str, Any]]:
        if not isinstance(result, dict) or not isinstance(result.get("answer"), str):
            raise InternalError("The service's own run_model did not return a dict with a text `answer`.")
        return result["answer"], {key: value for key, value in result.items() if key != "answer"}


def load(name: Literal["llm", "rag"], target: str) -> CustomPipeline:
    """The pipeline around `module:function`.

    Raises:
        SetupError: there is no such module or function, or the module fails.
    """
    return CustomPipeline(plugins.load(f"ANSWERBOX_{name.upper()}_PIPELINE", target), name, target)
