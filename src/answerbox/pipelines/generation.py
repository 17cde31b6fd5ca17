"""Asking the language model inside a request's deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

from answerbox.contracts import FinishReason, LlmRequest, Usage
from answerbox.errors import DeadlineExceeded, GeneratorUnavailable
from answerbox.pipelines.context import RequestContext
from answerbox.ports import Finish, GenerationRequest, Generator, Message, Piece
from answerbox.tools import ToolCall, ToolSpec
from answerbox.traces import Observation

GRACE_S = 0.5
"""For the generator's own end at the deadline, which knows how many tokens were made."""
CHARS_PER_TOKEN = 4
"""Of English prose, about, with the vocabularies of today."""


@dataclass
class Generation:
    """What came of a generation; filled while its pieces are read."""

    text: str = ""
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    tool_calls: tuple[ToolCall, ...] = ()


def generation_request(
    request: LlmRequest,
    context: RequestContext,
    messages: tuple[Message, ...],
    default_max_tokens: int,
    tools: tuple[ToolSpec, ...] = (),
    must_call: str | None = None,
) -> GenerationRequest:
    options = request.options
    return GenerationRequest(
        request_id=context.request_id,
        messages=messages,
        max_tokens=options.max_tokens or default_max_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
        stop=tuple(options.stop),
        user_id=request.user_id,
        timeout_s=context.deadline.remaining(),
        tools=tools,
        must_call=must_call,
    )


async def generate(
    generator: Generator, model: str, request: GenerationRequest, context: RequestContext, result: Generation
) -> AsyncGenerator[str, None]:
    """Yields the text as it is made and fills `result`; the step `generate`.

    When the deadline passes after the first piece, what there is stands, with the reason `deadline`. The generator
    keeps it; one that does not is left after `GRACE_S`. What a generation has cost that is left before its end is
    estimated, and `estimated` says so in the step.

    Raises:
        DeadlineExceeded: nothing was generated in time.
        GeneratorUnavailable, PromptTooLong: from the generator.
    """
    with context.step("generate", "generation") as step:
        _describe(step, model, request)
        step.prompt = context.prompt
        pieces = 0
        try:
            async with aclosing(_items(generator, request, context, result)) as items:
                async for item in items:
                    if isinstance(item, Finish):
                        result.finish_reason = item.reason
                        result.usage = usage(item)
                        result.tool_calls = item.tool_calls
                        step.detail = dict(item.detail)
                        return
                    step.first_token_ms = step.first_token_ms or context.elapsed_ms()
                    result.text += item.text
                    pieces += 1
                    yield item.text
            _estimate(result, step, request, pieces)
        except (asyncio.CancelledError, GeneratorExit):
            _estimate(result, step, request, pieces)
            raise
        finally:
            spent = result.usage
            step.output = _said(result.text, result.tool_calls)
            step.usage = {"input": spent.prompt_tokens, "output": spent.completion_tokens, "total": spent.total_tokens}


async def _items(
    generator: Generator, request: GenerationRequest, context: RequestContext, result: Generation
) -> AsyncGenerator[Piece | Finish, None]:
    """What the generator makes, within the deadline; without a `Finish` where that has passed after the first piece."""
    async with aclosing(generator.generate(request)) as items:
        while True:
            try:
                item = await context.deadline.run(anext(items), GRACE_S)
            except StopAsyncIteration:
                raise GeneratorUnavailable("The language model stopped in the middle of an answer.") from None
            except DeadlineExceeded:
                if not result.text:
                    raise
                result.finish_reason = "deadline"
                return
            yield item
            if isinstance(item, Finish):
                return


def _describe(step: Observation, model: str, request: GenerationRequest) -> None:
    step.model = model
    step.input = [_shown(message) for message in request.messages]
    step.parameters = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": list(request.stop),
        **({"tools": [tool.name for tool in request.tools]} if request.tools else {}),
    }


def _estimate(result: Generation, step: Observation, request: GenerationRequest, pieces: int) -> None:
    """For a generation whose end nobody has waited for: a piece is a token, about."""
    prompt = estimated_tokens(request.messages)
    result.usage = Usage(prompt_tokens=prompt, completion_tokens=pieces, total_tokens=prompt + pieces)
    step.detail = {**step.detail, "estimated": True}


def _shown(message: Message) -> dict[str, Any]:
    """A message as a trace shows it."""
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = [asdict(call) for call in message.tool_calls]
    return found


def _said(text: str, calls: tuple[ToolCall, ...]) -> Any:
    return {"content": text, "tool_calls": [asdict(call) for call in calls]} if calls else text


def estimated_tokens(messages: Sequence[Message]) -> int:
    """Of a prompt that nobody has counted."""
    return sum(len(message.content) for message in messages) // CHARS_PER_TOKEN


def usage(finish: Finish) -> Usage:
    return Usage(
        prompt_tokens=finish.prompt_tokens,
        completion_tokens=finish.completion_tokens,
        total_tokens=finish.prompt_tokens + finish.completion_tokens,
    )
