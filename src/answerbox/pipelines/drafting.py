"""How the text of a rag answer is made: refused, quoted, or written by the model and checked against its evidence."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from answerbox.contracts import (
    Check,
    Citation,
    CorrectionEvent,
    Event,
    GroundingMode,
    MetaEvent,
    RagRequest,
    Source,
    StepEvent,
    TokenEvent,
)
from answerbox.errors import PromptTooLong
from answerbox.pipelines.citing import cite, mark, quoted_answer
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.evidence import Quote, best_sentences, in_order, quote
from answerbox.pipelines.generation import Generation, generate, generation_request
from answerbox.pipelines.grounding import failed_checks, whole_words
from answerbox.pipelines.prompts import Task, rag_messages, refusal, sentence_messages, system_prompt
from answerbox.ports import Generator, GeneratorInfo, Message, Prompt, Prompts
from answerbox.text import visible

SENTENCES = 3
"""What a small model is given: short prompts are read fast, and it gets lost in long ones."""
QUOTED = 2
"""Sentences of a quoted answer."""
CUT = ("length", "deadline", "cancelled")
"""Finish reasons of a text that may end inside a word."""


@dataclass
class Draft:
    """The answer while it is made."""

    request: RagRequest
    context: RequestContext
    model: GeneratorInfo
    language: str | None
    sources: list[Source]
    best_score: float
    prompts: Prompts | None = None
    mode: GroundingMode = "generated"
    failed: list[Check] = field(default_factory=list)
    result: Generation = field(default_factory=Generation)
    citations: list[Citation] = field(default_factory=list)

    def meta_event(self) -> MetaEvent:
        return MetaEvent(
            request_id=self.context.request_id, pipeline="rag", model=self.model.model, sources=self.sources
        )

    def fail(self, failed: Sequence[Check], quotes: Sequence[Quote]) -> None:
        """The quotes become the answer."""
        self.mode, self.failed = "quoted", list(failed)
        self.result.finish_reason = "quoted"
        self.result.text, self.citations = quoted_answer(quotes)

    def system(self, task: Task) -> Prompt:
        self.context.prompt = found = system_prompt(task, self.language, self.prompts)
        return found

    def cite(self) -> None:
        self.citations = cite(self.result.text, self.sources, self.request.question)


def write(draft: Draft, generator: Generator, default_max_tokens: int) -> AsyncGenerator[Event, None]:
    """The events from `meta` to the last piece of text or its correction; fills the draft."""
    if not draft.sources:
        return _refused(draft)
    if draft.model.languages and draft.language and draft.language not in draft.model.languages:
        return _quoted(draft)
    if draft.model.small:
        return _held(draft, generator, default_max_tokens)
    return _streamed(draft, generator, default_max_tokens)


async def _refused(draft: Draft) -> AsyncGenerator[Event, None]:
    draft.mode = "refused"
    draft.result = Generation(text=refusal(draft.language), finish_reason="refused")
    yield draft.meta_event()
    yield TokenEvent(text=draft.result.text)


async def _quoted(draft: Draft) -> AsyncGenerator[Event, None]:
    draft.fail(["model_language"], quote(draft.request.question, draft.sources, QUOTED))
    yield draft.meta_event()
    yield TokenEvent(text=draft.result.text)


async def _held(draft: Draft, generator: Generator, default_max_tokens: int) -> AsyncGenerator[Event, None]:
    """A small model's words where the best sentence bears them, else sentences. Nothing is shown before that."""
    request = draft.request
    evidence = _narrowed(draft)
    yield draft.meta_event()
    text = _joined(in_order(evidence))
    messages = sentence_messages(request.question, request.context, text, draft.language, draft.system("sentences"))
    async with aclosing(_texts(draft, generator, messages, default_max_tokens)) as texts:
        async for _ in texts:
            pass
    written = _checkable(draft)
    # Words of several sentences make wrong statements: on XQuAD 42 % of such answers are right, of one sentence 62 %.
    known = visible(f"{_joined(evidence[:1])}\n{request.context or ''}")
    failed = failed_checks(written, request.question, known, strict=True)
    if failed:
        draft.fail(failed, in_order(evidence[:QUOTED]))
    else:
        draft.result.text = mark(written.strip(), draft.sources, request.question)
        draft.cite()
    yield TokenEvent(text=draft.result.text)
    yield StepEvent(step=draft.context.steps[-1])


async def _streamed(draft: Draft, generator: Generator, default_max_tokens: int) -> AsyncGenerator[Event, None]:
    """A capable model's words as they come; where they are not borne after all, a correction."""
    async with aclosing(_from_passages(draft, generator, default_max_tokens)) as events:
        async for event in events:
            yield event
    failed = _failed_afterwards(draft)
    if not failed:
        draft.cite()
        return
    shown = draft.result.text
    draft.fail(failed, quote(draft.request.question, draft.sources, QUOTED))
    yield CorrectionEvent(text=draft.result.text) if shown else TokenEvent(text=draft.result.text)


async def _from_passages(draft: Draft, generator: Generator, default_max_tokens: int) -> AsyncGenerator[Event, None]:
    """Where the prompt is too long, the last-ranked passage is dropped, and so on."""
    request = draft.request
    while True:
        system = draft.system("rag")
        messages = rag_messages(request.question, request.context, draft.sources, draft.language, system)
        first = True
        try:
            async with aclosing(_texts(draft, generator, messages, default_max_tokens)) as texts:
                async for text in texts:
                    if first:  # only now is it certain which sources the model was given
                        yield draft.meta_event()
                        first = False
                    yield TokenEvent(text=text)
            break
        except PromptTooLong:
            if len(draft.sources) <= 1:
                raise
            draft.sources = draft.sources[:-1]
            draft.context.degrade("passages_dropped")
    if first:
        yield draft.meta_event()
    yield StepEvent(step=draft.context.steps[-1])


async def _texts(
    draft: Draft, generator: Generator, messages: tuple[Message, ...], default_max_tokens: int
) -> AsyncGenerator[str, None]:
    asked = generation_request(draft.request, draft.context, messages, default_max_tokens)
    async with aclosing(generate(generator, draft.model.model, asked, draft.context, draft.result)) as pieces:
        async for text in pieces:
            yield text


def _narrowed(draft: Draft) -> list[Quote]:
    """The sentences for a small model, best first; the sources become those that have them."""
    found = best_sentences(draft.request.question, draft.sources, SENTENCES)
    kept = sorted({one.source for one in found})
    draft.sources = [draft.sources[place - 1] for place in kept]
    return [Quote(kept.index(one.source) + 1, one.start, one.end, one.text) for one in found]


def _failed_afterwards(draft: Draft) -> list[Check]:
    request = draft.request
    written, cut = _checkable(draft), draft.result.finish_reason in CUT
    evidence = "\n".join([*(source.text for source in draft.sources), request.context or ""])
    failed = failed_checks(written, request.question, visible(evidence), strict=False)
    return [check for check in failed if not (cut and check == "nothing_new")]  # it had no time to say it


def _checkable(draft: Draft) -> str:
    result = draft.result
    return whole_words(result.text) if result.finish_reason in CUT else result.text


def _joined(quotes: Sequence[Quote]) -> str:
    return "\n".join(one.text for one in quotes)
