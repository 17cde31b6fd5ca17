"""The `llm` pipeline: the language model alone, with the caller's own context."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from answerbox.contracts import (
    DoneEvent,
    Event,
    LlmMeta,
    LlmRequest,
    LlmResponse,
    MetaEvent,
    StepEvent,
    TokenEvent,
)
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.generation import Generation, generate, generation_request
from answerbox.pipelines.prompts import llm_messages
from answerbox.ports import Generator
from answerbox.text import language_of


class LlmPipeline:
    def __init__(self, generator: Generator, default_max_tokens: int) -> None:
        self._generator = generator
        self._default_max_tokens = default_max_tokens

    async def stream(self, request: LlmRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        info = await context.deadline.run(self._generator.info())
        language = language_of(request.question)
        if info.languages and language and language not in info.languages:
            context.degraded.append(f"model_does_not_speak:{language}")
        yield MetaEvent(request_id=context.request_id, pipeline="llm", model=info.model)

        messages = llm_messages(request.question, request.context, language)
        result = Generation()
        with context.step("generate") as step:
            asked = generation_request(request, context, messages, self._default_max_tokens)
            async with aclosing(generate(self._generator, asked, context, result)) as pieces:
                async for text in pieces:
                    yield TokenEvent(text=text)
        yield StepEvent(step=step)

        meta = LlmMeta(
            request_id=context.request_id,
            pipeline="llm",
            model=info.model,
            finish_reason=result.finish_reason,
            latency_ms=context.elapsed_ms(),
            usage=result.usage,
            steps=context.steps,
            degraded=context.degraded,
        )
        yield DoneEvent(response=LlmResponse(answer=result.text, meta=meta))
