"""The `rag` pipeline: passages from the documents, an answer from the passages, or a refusal."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from answerbox.contracts import (
    CitationEvent,
    DoneEvent,
    Event,
    Grounding,
    GroundingMode,
    MetaEvent,
    RagMeta,
    RagRequest,
    RagResponse,
    Source,
    StepEvent,
    TokenEvent,
)
from answerbox.errors import PromptTooLong
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.evidence import cite, quote
from answerbox.pipelines.generation import Generation, generate, generation_request
from answerbox.pipelines.prompts import rag_messages, refusal
from answerbox.pipelines.retrieval import Retriever
from answerbox.ports import Generator, GeneratorInfo
from answerbox.text import language_of


@dataclass
class Draft:
    """The answer while it is made."""

    request: RagRequest
    context: RequestContext
    model: GeneratorInfo
    language: str | None
    sources: list[Source]
    best_score: float
    mode: GroundingMode
    result: Generation


@dataclass
class RagPipeline:
    generator: Generator
    retriever: Retriever
    default_max_tokens: int
    default_top_k: int
    min_relevance: float
    min_coverage: float

    async def stream(self, request: RagRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        draft = await self._retrieve(request, context)
        for step in context.steps:
            yield StepEvent(step=step)
        if draft.mode != "generated":
            yield self._meta_event(draft)
        async with aclosing(self._text(draft)) as events:
            async for event in events:
                yield event
        citations = cite(draft.result.text, draft.sources)
        for citation in citations:
            yield CitationEvent(citation=citation)
        meta = RagMeta(
            request_id=context.request_id,
            pipeline="rag",
            model=draft.model.model,
            finish_reason=draft.result.finish_reason,
            latency_ms=context.elapsed_ms(),
            usage=draft.result.usage,
            steps=context.steps,
            degraded=context.degraded,
            sources=draft.sources,
            citations=citations,
            grounding=Grounding(mode=draft.mode, refused=draft.mode == "refused", score=draft.best_score),
        )
        yield DoneEvent(response=RagResponse(answer=draft.result.text, meta=meta))

    async def _retrieve(self, request: RagRequest, context: RequestContext) -> Draft:
        model = await context.deadline.run(self.generator.info())
        language = language_of(request.question)
        top_k = request.top_k or self.default_top_k
        found = await self.retriever.retrieve(request.question, top_k, request.filter, context)
        threshold = self.min_coverage if found.by_words else self.min_relevance
        sources = [source for source in found.sources if source.score >= threshold]
        mode: GroundingMode = "generated"
        if not sources:
            mode = "refused"
        elif model.languages and language and language not in model.languages:
            mode = "quoted"
        return Draft(
            request=request,
            context=context,
            model=model,
            language=language,
            sources=sources,
            best_score=max((source.score for source in found.sources), default=0.0),
            mode=mode,
            result=Generation(),
        )

    def _text(self, draft: Draft) -> AsyncGenerator[Event, None]:
        if draft.mode == "refused":
            return _fixed(draft, refusal(draft.language), "refused")
        if draft.mode == "quoted":
            quoted = quote(draft.request.question, draft.sources)
            return _fixed(draft, " ".join(f"{sentence} [{place}]" for place, sentence in quoted), "quoted")
        return self._generated(draft)

    async def _generated(self, draft: Draft) -> AsyncGenerator[Event, None]:
        """The model's words. Where the prompt is too long, the last-ranked passage is dropped, and so on."""
        while True:
            try:
                async with aclosing(self._attempt(draft)) as events:
                    async for event in events:
                        yield event
                return
            except PromptTooLong:
                if len(draft.sources) <= 1:
                    raise
                draft.sources = draft.sources[:-1]
                if "passages_dropped" not in draft.context.degraded:
                    draft.context.degraded.append("passages_dropped")

    async def _attempt(self, draft: Draft) -> AsyncGenerator[Event, None]:
        request = draft.request
        messages = rag_messages(request.question, request.context, draft.sources, draft.language)
        asked = generation_request(request, draft.context, messages, self.default_max_tokens)
        with draft.context.step("generate") as step:
            async with aclosing(generate(self.generator, asked, draft.context, draft.result)) as pieces:
                first = True
                async for text in pieces:
                    if first:  # only now is it certain which sources the model was given
                        yield self._meta_event(draft)
                        first = False
                    yield TokenEvent(text=text)
        if first:
            yield self._meta_event(draft)
        yield StepEvent(step=step)

    def _meta_event(self, draft: Draft) -> MetaEvent:
        return MetaEvent(
            request_id=draft.context.request_id,
            pipeline="rag",
            model=draft.model.model,
            sources=draft.sources,
        )


async def _fixed(draft: Draft, text: str, reason: GroundingMode) -> AsyncGenerator[Event, None]:
    draft.result = Generation(text=text, finish_reason="refused" if reason == "refused" else "quoted")
    yield TokenEvent(text=text)
