"""Your own `run_model(request_dict) -> response_dict`: as the pipeline `custom`, or in the place of a built-in one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, Literal

from answerbox import plugins
from answerbox.contracts import (
    CorrectionEvent,
    CustomMeta,
    CustomRequest,
    CustomResponse,
    DoneEvent,
    Event,
    FinishReason,
    LlmMeta,
    LlmResponse,
    MetaEvent,
    QuestionRequest,
    RagMeta,
    RagResponse,
    StepEvent,
    TokenEvent,
)
from answerbox.errors import InternalError
from answerbox.pipelines.base import Response
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.own_code import END, NO_ANSWER, OwnCode

Name = Literal["llm", "rag", "custom"]


class CustomPipeline:
    """Asks a function of yours. It gets the request as a dict: `question`, `context`, `user_id`, ..., and the members
    of `parameters` beside them.

    It returns a dict with `answer`; whatever else is in it stands in `meta.custom`. Or it is a generator, whose texts
    are the answer as it is made; a dict that it yields says the rest, and its `answer` stands in the place of the
    texts. An exception of its own is a failure of the service (500), and its text stays in the log; an
    `AnswerboxError` goes to the caller as it is. On the deadline, and when it is cancelled, the texts that there
    are are the answer.
    """

    def __init__(self, code: OwnCode, name: Name, label: str) -> None:
        self._code = code
        self._name = name
        self._label = label
        self._running: dict[str, Run] = {}

    async def loaded(self) -> None:
        """Waits until the function is there.

        Raises:
            SetupError: there is no such module or function, or the module fails.
        """
        await self._code.loaded()

    def close(self) -> None:
        self._code.close()

    def cancel(self, request_id: str) -> bool:
        """Ends the answer of that request, where this process makes it. Whether there was one."""
        run = self._running.get(request_id)
        if run:
            run.cancel()
        return run is not None

    async def stream(self, request: QuestionRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        yield MetaEvent(request_id=context.request_id, pipeline=self._name, model=self._label)
        said = Said()
        with context.step("run_model") as step, self._run(context) as run:
            async with aclosing(self._code.items(_told(request))) as items:
                while (item := await run.next(items, said.is_begun)) is not END:
                    if text := said.take(item):
                        step.detail.setdefault("first_token_ms", round(context.elapsed_ms() - step.start_ms, 1))
                        yield TokenEvent(text=text)
            answer, custom = said.whole(is_cut=run.reason != "custom")
        yield StepEvent(step=context.steps[-1])
        if answer != said.text:
            yield CorrectionEvent(text=answer) if said.text else TokenEvent(text=answer)
        yield DoneEvent(response=self._response(answer, custom, run.reason, context))

    @contextmanager
    def _run(self, context: RequestContext) -> Iterator[Run]:
        run = self._running[context.request_id] = Run(context)
        try:
            yield run
        finally:
            self._running.pop(context.request_id, None)

    def _response(self, answer: str, custom: dict[str, Any], reason: FinishReason, context: RequestContext) -> Response:
        meta: dict[str, Any] = {
            "request_id": context.request_id,
            "pipeline": self._name,
            "model": self._label,
            "finish_reason": reason,
            "latency_ms": context.elapsed_ms(),
            "steps": context.steps,
            "degraded": context.degraded,
            "trace_id": context.trace.trace_id,
            "custom": custom or None,
        }
        if self._name == "custom":
            return CustomResponse(answer=answer, meta=CustomMeta(**meta))
        if self._name == "rag":
            return RagResponse(answer=answer, meta=RagMeta(**meta))
        return LlmResponse(answer=answer, meta=LlmMeta(**meta))


class Run:
    """A call, and how it ended."""

    def __init__(self, context: RequestContext) -> None:
        self.reason: FinishReason = "custom"
        self._deadline = context.deadline
        self._limit: asyncio.Timeout | None = None

    def cancel(self) -> None:
        self.reason = "cancelled"
        if self._limit:
            self._limit.reschedule(0)

    async def next(self, items: AsyncGenerator[Any, None], is_begun: bool) -> Any:
        """The next item, or END. In the task of whoever asks: what the code has open may belong to it.

        Raises:
            DeadlineExceeded: the time is up, and nothing `is_begun` that could be the answer.
        """
        if self.reason == "cancelled":
            return END
        try:
            async with asyncio.timeout(self._deadline.remaining()) as self._limit:
                return await anext(items, END)
        except TimeoutError:
            if self._limit is None or not self._limit.expired():
                raise
        finally:
            self._limit = None
        if self.reason == "custom":
            if not is_begun:
                raise self._deadline.exceeded()
            self.reason = "deadline"
        return END


class Said:
    """What has been made so far: texts, and the members of dicts."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._members: dict[str, Any] = {}

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def is_begun(self) -> bool:
        return bool(self._texts) or "answer" in self._members

    def take(self, item: str | dict[str, Any]) -> str:
        """The text to show now."""
        if isinstance(item, dict):
            self._members |= item
            return ""
        _check_text(item)
        self._texts.append(item)
        return item

    def whole(self, is_cut: bool) -> tuple[str, dict[str, Any]]:
        """The answer, and what was made beside it, as JSON says it. Raises: InternalError for what it cannot say."""
        answer = self._members.get("answer", self.text if self._texts or is_cut else None)
        if not isinstance(answer, str):
            raise InternalError(NO_ANSWER)
        _check_text(answer)
        rest = {name: value for name, value in self._members.items() if name != "answer"}
        try:
            said: dict[str, Any] = json.loads(json.dumps(rest, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as exc:
            raise InternalError(f"What the service's own run_model made is not what JSON can say: {exc}.") from exc
        return answer, said


def load(name: Name, target: str, concurrency: int = 1) -> CustomPipeline:
    """The pipeline around `module:function`, which is being loaded; so many blocking calls run at a time."""
    variable = f"ANSWERBOX_{name.upper()}_PIPELINE"
    return CustomPipeline(OwnCode(partial(plugins.load, variable, target), concurrency), name, target)


def _told(request: QuestionRequest) -> dict[str, Any]:
    told = request.model_dump(mode="json", exclude_none=True)
    return told | told.pop("parameters") if isinstance(request, CustomRequest) else told


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InternalError("The service's own run_model made text that is not Unicode.") from exc
