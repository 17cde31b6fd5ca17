"""Asking the language model inside a request's deadline."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from answerbox.contracts import FinishReason, LlmRequest, Usage
from answerbox.errors import DeadlineExceeded, GeneratorUnavailable
from answerbox.pipelines.context import RequestContext
from answerbox.ports import Finish, GenerationRequest, Generator, Message, Piece

GRACE_S = 0.5
"""For the generator's own end at the deadline, which knows how many tokens were made."""


@dataclass
class Generation:
    """What came of a generation; filled while its pieces are read."""

    text: str = ""
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)


def generation_request(
    request: LlmRequest, context: RequestContext, messages: tuple[Message, ...], default_max_tokens: int
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
    )


async def generate(
    generator: Generator, request: GenerationRequest, context: RequestContext, result: Generation
) -> AsyncGenerator[str, None]:
    """Yields the text as it is made and fills `result`.

    When the deadline passes after the first piece, what there is stands, with the reason `deadline`. The generator
    keeps it; one that does not is left after `GRACE_S`.

    Raises:
        DeadlineExceeded: nothing was generated in time.
        GeneratorUnavailable, PromptTooLong: from the generator.
    """
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
            if isinstance(item, Finish):
                result.finish_reason = item.reason
                result.usage = usage(item)
                return
            assert isinstance(item, Piece)
            result.text += item.text
            yield item.text


def usage(finish: Finish) -> Usage:
    return Usage(
        prompt_tokens=finish.prompt_tokens,
        completion_tokens=finish.completion_tokens,
        total_tokens=finish.prompt_tokens + finish.completion_tokens,
    )
