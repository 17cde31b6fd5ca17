"""What tests of the agent share: a model that follows a plan, and tools that misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from answerbox.adapters.langgraph_graph import LangGraphGraph
from answerbox.contracts import AgentRequest, AgentResponse, DoneEvent, Event
from answerbox.errors import AnswerboxError
from answerbox.pipelines.agent import AgentLimits, AgentPipeline
from answerbox.pipelines.agents.calculator import calculator
from answerbox.pipelines.agents.clock import current_time
from answerbox.pipelines.agents.functions import tool_from
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.rag import RagPipeline
from answerbox.pipelines.retrieval import Retriever
from answerbox.ports import Finish, GenerationRequest, Generator, GeneratorInfo, Piece
from answerbox.sessions import Sessions
from answerbox.tools import Tool, ToolCall, tool
from tests.doubles import ShelfStore

Turn = str | list[tuple[str, str]] | AnswerboxError
LEFT = threading.Event()
"""Set by a test's end, so that a tool which hangs in a thread is let go."""
SENT: list[str] = []


@dataclass
class Planner:
    """Says a turn each time it is asked: text, calls as (name, arguments), or a failure; the last one for ever."""

    turns: Sequence[Turn]
    info_: GeneratorInfo = field(default_factory=lambda: GeneratorInfo("planner", 8_000, tools=True))
    tokens: int = 10
    asked: list[GenerationRequest] = field(default_factory=list)

    async def info(self) -> GeneratorInfo:
        return self.info_

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        turn = self.turns[min(len(self.asked), len(self.turns) - 1)]
        self.asked.append(request)
        if isinstance(turn, AnswerboxError):
            raise turn
        calls: tuple[ToolCall, ...] = ()
        if isinstance(turn, str):
            for word in turn.split(" "):
                yield Piece(word if word == turn.split(" ")[0] else f" {word}")
        else:
            calls = tuple(ToolCall(f"c{n}", name, text) for n, (name, text) in enumerate(turn))
        yield Finish("stop", self.tokens, self.tokens, tool_calls=calls)

    async def cancel(self, request_id: str) -> bool:
        raise NotImplementedError


async def weather(city: str, days: int = 1) -> dict[str, Any]:
    """The weather in a city."""
    return {"city": city, "days": days, "sky": "clear"}


def broken() -> str:
    """Always fails."""
    raise RuntimeError("secret path /srv/inside")


def stuck() -> str:
    """Never returns."""
    LEFT.wait()
    return "late"


async def deaf() -> str:
    """Does not let itself be cancelled."""
    while not LEFT.is_set():
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            continue
    return "late"


@tool(name="send_mail", side_effects=True)
def send(text: str) -> str:
    """Sends a mail."""
    SENT.append(text)
    return "sent"


OWN: list[Callable[..., Any]] = [weather, broken, stuck, deaf, send]
TOOLS = [calculator(), current_time(), *map(tool_from, OWN)]


def agent(
    generator: Generator,
    store: ShelfStore | None = None,
    *,
    tools: Sequence[Tool] = TOOLS,
    sessions: Sessions | None = None,
    **limits: Any,
) -> AgentPipeline:
    rag = RagPipeline(
        generator=generator,
        retriever=Retriever(store or ShelfStore()),
        default_max_tokens=50,
        default_top_k=3,
        min_relevance=0.4,
        min_coverage=0.4,
    )
    usual: dict[str, Any] = {"steps": 6, "tokens": 5_000, "tool_timeout_s": 0.1}
    return AgentPipeline(rag, GRAPH, tools, AgentLimits(**{**usual, **limits}), sessions)


GRAPH = LangGraphGraph()


async def asked(
    pipeline: AgentPipeline, question: str = "How much?", timeout_s: float = 20.0, **fields: Any
) -> tuple[AgentResponse, list[Event]]:
    context = RequestContext("request-1", timeout_s)
    request = AgentRequest(question=question, **fields)
    events = [event async for event in pipeline.stream(request, context)]
    done = events[-1]
    assert isinstance(done, DoneEvent)
    assert isinstance(done.response, AgentResponse)
    return done.response, events
