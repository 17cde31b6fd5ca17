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
from answerbox.pipelines.chat import ChatRequest, ChatResponse, check_tools, system_of, with_turns
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.generation import Generation, generate, generation_request
from answerbox.pipelines.prompts import llm_messages, system_prompt
from answerbox.ports import Generator, Prompts
from answerbox.text import language_of


class LlmPipeline:
    def __init__(self, generator: Generator, default_max_tokens: int, prompts: Prompts | None = None) -> None:
        self._generator = generator
        self._default_max_tokens = default_max_tokens
        self._prompts = prompts

    async def stream(self, request: LlmRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        info = await context.deadline.run(self._generator.info())
        check_tools(request, info)
        language = language_of(request.question)
        if info.languages and language and language not in info.languages:
            context.degrade(f"model_does_not_speak:{language}")
        yield MetaEvent(request_id=context.request_id, pipeline="llm", model=info.model)

        context.prompt = system_of(request) or system_prompt("llm", language, self._prompts)
        messages = with_turns(llm_messages(request.question, request.context, language, context.prompt), request)
        result = Generation()
        tools = (request.tools, request.must_call) if isinstance(request, ChatRequest) else ((), None)
        asked = generation_request(request, context, messages, self._default_max_tokens, *tools)
        async with aclosing(generate(self._generator, info.model, asked, context, result)) as pieces:
            async for text in pieces:
                yield TokenEvent(text=text)
        yield StepEvent(step=context.steps[-1])

        meta = LlmMeta(
            request_id=context.request_id,
            pipeline="llm",
            model=info.model,
            finish_reason=result.finish_reason,
            latency_ms=context.elapsed_ms(),
            usage=result.usage,
            steps=context.steps,
            degraded=context.degraded,
            trace_id=context.trace.trace_id,
            prompt=context.prompt_used,
        )
        if result.tool_calls:
            yield DoneEvent(response=ChatResponse(answer=result.text, meta=meta, tool_calls=result.tool_calls))
        else:
            yield DoneEvent(response=LlmResponse(answer=result.text, meta=meta))
