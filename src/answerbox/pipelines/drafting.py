"""How the text of a rag answer is made: refused, quoted, written by the model, or written and checked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from answerbox.contracts import Event, GroundingMode, MetaEvent, RagRequest, Source, StepEvent, TokenEvent
from answerbox.errors import PromptTooLong
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.evidence import quote, supported
from answerbox.pipelines.generation import Generation, generate, generation_request
from answerbox.pipelines.prompts import rag_messages, refusal, sentence_messages
from answerbox.ports import Generator, GeneratorInfo, Message

SENTENCES = 3
"""What a small model is given: short prompts are read fast, and it gets lost in long ones."""


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

    def meta_event(self) -> MetaEvent:
        return MetaEvent(
            request_id=self.context.request_id, pipeline="rag", model=self.model.model, sources=self.sources
        )


def write(draft: Draft, generator: Generator, default_max_tokens: int) -> AsyncGenerator[Event, None]:
    """The events from `meta` to the last piece of text; fills `draft.result`, and `draft.mode` where it changes."""
    if draft.mode == "refused":
        return _fixed(draft, refusal(draft.language), "refused")
    if draft.mode == "quoted":
        return _fixed(draft, _quoted(draft), "quoted")
    if draft.model.small:
        return _checked(draft, generator, default_max_tokens)
    return _written(draft, generator, default_max_tokens)


async def _written(draft: Draft, generator: Generator, default_max_tokens: int) -> AsyncGenerator[Event, None]:
    """The model's words. Where the prompt is too long, the last-ranked passage is dropped, and so on."""
    request = draft.request
    while True:
        messages = rag_messages(request.question, request.context, draft.sources, draft.language)
        try:
            async with aclosing(_pieces(draft, generator, messages, default_max_tokens)) as events:
                async for event in events:
                    yield event
            return
        except PromptTooLong:
            if len(draft.sources) <= 1:
                raise
            draft.sources = draft.sources[:-1]
            if "passages_dropped" not in draft.context.degraded:
                draft.context.degraded.append("passages_dropped")


async def _checked(draft: Draft, generator: Generator, default_max_tokens: int) -> AsyncGenerator[Event, None]:
    """A small model's words where the evidence bears them, else the evidence itself. Nothing is shown before that."""
    request = draft.request
    evidence = quote(request.question, draft.sources, SENTENCES)
    draft.sources = [draft.sources[place - 1] for place in sorted({place for place, _ in evidence})]
    text = "\n".join(sentence for _, sentence in evidence)
    messages = sentence_messages(request.question, request.context, text, draft.language)
    async with aclosing(_pieces(draft, generator, messages, default_max_tokens)) as events:
        held = [event async for event in events]
    if not supported(draft.result.text, request.question, f"{text} {request.context or ''}"):
        draft.mode = "quoted"
        draft.result.text, draft.result.finish_reason = _quoted(draft), "quoted"
        held = [event for event in held if not isinstance(event, TokenEvent)]
        held.append(TokenEvent(text=draft.result.text))
    for event in held:
        yield event


async def _pieces(
    draft: Draft, generator: Generator, messages: tuple[Message, ...], default_max_tokens: int
) -> AsyncGenerator[Event, None]:
    asked = generation_request(draft.request, draft.context, messages, default_max_tokens)
    with draft.context.step("generate") as step:
        async with aclosing(generate(generator, asked, draft.context, draft.result)) as pieces:
            first = True
            async for text in pieces:
                if first:  # only now is it certain which sources the model was given
                    yield draft.meta_event()
                    first = False
                yield TokenEvent(text=text)
    if first:
        yield draft.meta_event()
    yield StepEvent(step=step)


def _quoted(draft: Draft) -> str:
    return " ".join(f"{sentence} [{place}]" for place, sentence in quote(draft.request.question, draft.sources))


async def _fixed(draft: Draft, text: str, mode: GroundingMode) -> AsyncGenerator[Event, None]:
    draft.result = Generation(text=text, finish_reason="refused" if mode == "refused" else "quoted")
    yield draft.meta_event()
    yield TokenEvent(text=text)
