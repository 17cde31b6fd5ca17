"""The `rag` pipeline: passages from the documents, an answer from the passages, or a refusal."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from answerbox.contracts import CitationEvent, DoneEvent, Event, Grounding, RagMeta, RagRequest, RagResponse, StepEvent
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.drafting import Draft, write
from answerbox.pipelines.retrieval import Retriever
from answerbox.ports import Generator, Prompts
from answerbox.text import language_of


@dataclass
class RagPipeline:
    generator: Generator
    retriever: Retriever
    default_max_tokens: int
    default_top_k: int
    min_relevance: float
    min_coverage: float
    prompts: Prompts | None = None

    async def stream(self, request: RagRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        draft = await self._retrieve(request, context)
        for step in context.steps:
            yield StepEvent(step=step)
        async with aclosing(write(draft, self.generator, self.default_max_tokens)) as events:
            async for event in events:
                yield event
        for citation in draft.citations:
            yield CitationEvent(citation=citation)
        yield DoneEvent(response=_response(draft))

    async def _retrieve(self, request: RagRequest, context: RequestContext) -> Draft:
        """The draft with the passages that are relevant enough."""
        model = await context.deadline.run(self.generator.info())
        top_k = request.top_k or self.default_top_k
        found = await self.retriever.retrieve(request.question, top_k, request.filter, context, user_id=request.user_id)
        threshold = self.min_coverage if found.by_words else self.min_relevance
        return Draft(
            request=request,
            context=context,
            model=model,
            language=language_of(request.question),
            sources=[source for source in found.sources if source.score >= threshold],
            best_score=max((source.score for source in found.sources), default=0.0),
            prompts=self.prompts,
        )


def _response(draft: Draft) -> RagResponse:
    context, result = draft.context, draft.result
    grounding = Grounding(mode=draft.mode, refused=draft.mode == "refused", score=draft.best_score, failed=draft.failed)
    meta = RagMeta(
        request_id=context.request_id,
        pipeline="rag",
        model=draft.model.model,
        finish_reason=result.finish_reason,
        latency_ms=context.elapsed_ms(),
        usage=result.usage,
        steps=context.steps,
        degraded=context.degraded,
        trace_id=context.trace.trace_id,
        prompt=context.prompt_used,
        sources=draft.sources,
        citations=draft.citations,
        grounding=grounding,
    )
    return RagResponse(answer=result.text, meta=meta)
