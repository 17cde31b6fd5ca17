"""One question of the agent: what it knows so far, and what it does at each step.

Nothing here can go on for ever. Each turn of the model counts against `max_steps`, the tokens against a budget, all of
it against the request's deadline; a call that was made before is not made again, and who repeats himself is stopped.
When one of the bounds is reached the model is told to answer with what it has, once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from answerbox.contracts import (
    AgentEnd,
    AgentRequest,
    CorrectionEvent,
    Event,
    StepEvent,
    TokenEvent,
    ToolCallEvent,
    ToolResultEvent,
    ToolUse,
    Usage,
)
from answerbox.errors import PromptTooLong
from answerbox.pipelines.agents.search import SEARCH, Shelf
from answerbox.pipelines.agents.toolbox import Outcome, Toolbox
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.generation import Generation, estimated_tokens, generate, generation_request
from answerbox.pipelines.prompts import enough, nothing_said
from answerbox.ports import Generator, GeneratorInfo, Message

MOST_REPETITIONS = 2
RESERVE = 0.25
"""Share of a request's time that is kept for the answer ..."""
MOST_RESERVE_S = 15.0
"""... but no more than that."""
SHOWN_CHARS = 2_000
"""Of a result, in a stream."""
NAME_CHARS = 64
LEAST_RESULT_CHARS = 400
PASSAGE = "\n\n<passage ["


@dataclass(frozen=True)
class Bounds:
    """`steps`: turns in which tools may be called; `tokens`: read and made, in all turns together."""

    steps: int
    tokens: int
    answer_tokens: int


@dataclass
class AgentRun:
    """`messages`: the conversation with the model. The `history` of them after the first are of earlier questions."""

    request: AgentRequest
    context: RequestContext
    model: GeneratorInfo
    generator: Generator
    toolbox: Toolbox
    shelf: Shelf
    bounds: Bounds
    language: str | None
    messages: list[Message]
    history: int = 0
    result: Generation = field(default_factory=Generation)
    usage: Usage = field(default_factory=Usage)
    uses: list[ToolUse] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """What tools have told."""
    turns: int = 0
    ended_by: AgentEnd = "answer"
    _last: bool = False
    _spent: int = 0
    _steps_told: int = 0
    _sources_told: int = 0

    def wants_tools(self) -> bool:
        return bool(self.result.tool_calls) and not self._last and self.ended_by != "cancelled"

    def cancel(self) -> None:
        """No tool and no turn begins any more; a generation that runs is its generator's to end."""
        self.ended_by = "cancelled"
        self.toolbox.stop()

    async def think(self) -> AsyncGenerator[Event, None]:
        if self.ended_by == "cancelled":
            self.result = Generation(text=nothing_said(self.language), finish_reason="cancelled")
            yield TokenEvent(text=self.result.text)
            return
        if bound := self._bound_reached():
            self._last, self.ended_by = True, bound
            self.messages.append(Message("user", enough(self.language)))
        self.turns += 1
        async with aclosing(self._texts()) as texts:
            async for text in texts:
                yield TokenEvent(text=text)
        self._count()
        for event in self._new_steps():
            yield event
        if self.wants_tools() and self.result.text:
            yield CorrectionEvent(text="")
        elif not self.wants_tools() and not self.result.text.strip():
            self.result.text = nothing_said(self.language)
            yield TokenEvent(text=self.result.text)

    async def act(self) -> AsyncGenerator[Event, None]:
        calls = tuple(replace(call, id=f"call-{len(self.uses) + n}") for n, call in enumerate(self.result.tool_calls))
        self.messages.append(Message("assistant", self.result.text, calls))
        for call in calls:
            yield ToolCallEvent(id=call.id, name=call.name[:NAME_CHARS], arguments=call.parsed())
        async with aclosing(self.toolbox.call(calls, self._time_for_tools())) as outcomes:
            async for outcome in outcomes:
                self._take(outcome)
                yield self._told(outcome)
                for event in self._new_steps():
                    yield event

    def _bound_reached(self) -> AgentEnd | None:
        if self.turns >= self.bounds.steps:
            return "max_steps"
        if self._spent >= self.bounds.tokens:
            return "token_budget"
        if self.turns and not self._time_for_tools():
            return "time"
        return "repetition" if self.toolbox.repetitions >= MOST_REPETITIONS else None

    def _time_for_tools(self) -> float:
        """Seconds."""
        deadline = self.context.deadline
        return max(0.0, deadline.remaining() - min(MOST_RESERVE_S, RESERVE * deadline.seconds))

    async def _texts(self) -> AsyncGenerator[str, None]:
        """The text of a turn; where the prompt is too long, with less of what is oldest and longest."""
        tools = () if self._last else self.toolbox.specs()
        while True:
            self.result = Generation()
            asked = generation_request(
                self.request, self.context, tuple(self.messages), self.bounds.answer_tokens, tools
            )
            try:
                texts = generate(self.generator, self.model.model, asked, self.context, self.result)
                async with aclosing(texts):
                    async for text in texts:
                        yield text
                return
            except PromptTooLong:
                if not self._shorten():
                    raise

    def _count(self) -> None:
        spent = self.result.usage
        read = spent.prompt_tokens or estimated_tokens(self.messages)  # some servers do not count
        self._spent += read + spent.completion_tokens
        self.usage = Usage(
            prompt_tokens=self.usage.prompt_tokens + spent.prompt_tokens,
            completion_tokens=self.usage.completion_tokens + spent.completion_tokens,
            total_tokens=self.usage.total_tokens + spent.total_tokens,
        )

    def _take(self, outcome: Outcome) -> None:
        call = outcome.call
        self.messages.append(Message("tool", outcome.content, tool_call_id=call.id))
        if outcome.status == "ok":
            self.told.append(outcome.content)
        elif call.name == SEARCH and outcome.status in ("failed", "timeout"):
            self.context.degrade("search")
        self.uses.append(
            ToolUse(
                id=call.id,
                name=call.name[:NAME_CHARS],
                arguments=call.parsed(),
                status=outcome.status,
                duration_ms=outcome.duration_ms,
            )
        )

    def _told(self, outcome: Outcome) -> ToolResultEvent:
        new = self.shelf.sources[self._sources_told :]
        self._sources_told += len(new)
        return ToolResultEvent(
            id=outcome.call.id,
            name=outcome.call.name[:NAME_CHARS],
            status=outcome.status,
            content=outcome.shown[:SHOWN_CHARS],
            sources=new,
            duration_ms=outcome.duration_ms,
        )

    def _new_steps(self) -> Iterator[StepEvent]:
        new = self.context.steps[self._steps_told :]
        self._steps_told += len(new)
        for step in new:
            yield StepEvent(step=step)

    def _shorten(self) -> bool:
        """Takes something out of the conversation; whether there was something left to take."""
        if self.history:
            del self.messages[1 : 1 + self.history]
            self.history = 0
            self.context.degrade("history_dropped")
            return True
        results = [place for place, message in enumerate(self.messages) if message.role == "tool"]
        longest = max(results, key=lambda place: len(self.messages[place].content), default=None)
        if longest is None or len(self.messages[longest].content) < LEAST_RESULT_CHARS:
            return False
        message = self.messages[longest]
        self.messages[longest] = replace(message, content=_shorter(message.content))
        self.context.degrade("results_shortened")
        return True


def _shorter(content: str) -> str:
    """Without its last passage; else its first half, with the fence closed again."""
    rest, found, _ = content.rpartition(PASSAGE)
    if found:
        return rest
    half = content[: len(content) // 2]
    return f"{half}\n</passage>" if content.endswith("</passage>") else half
