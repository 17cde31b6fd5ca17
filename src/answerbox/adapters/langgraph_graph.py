"""The agent's graph on LangGraph: think → act → think → … → end.

LangGraph only takes the steps; what is done in one, and whether another follows, the steps say themselves. Its
checkpointer is not used: it would have every gateway process open one SQLite file, which belongs to `Index`, and it
knows neither owners nor expiry; conversations are in `sqlite_sessions.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypedDict

import langsmith
from langgraph.config import get_stream_writer
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph

from answerbox.agent_graph import AgentSteps
from answerbox.contracts import Event
from answerbox.errors import InternalError

THINK, ACT = "think", "act"


class _State(TypedDict):
    steps: Any


class LangGraphGraph:
    def __init__(self) -> None:
        graph = StateGraph(_State)
        graph.add_node(THINK, _node(lambda steps: steps.think()))
        graph.add_node(ACT, _node(lambda steps: steps.act()))
        graph.add_edge(START, THINK)
        graph.add_conditional_edges(THINK, _after_thinking, [ACT, END])
        graph.add_edge(ACT, THINK)
        self._graph = graph.compile()

    async def run(self, steps: AgentSteps, most_turns: int) -> AsyncGenerator[Event, None]:
        events = self._graph.astream({"steps": steps}, {"recursion_limit": 2 * most_turns + 1}, stream_mode="custom")
        async with aclosing(events):
            while (event := await _next(events)) is not None:
                yield event


async def _next(events: AsyncGenerator[Event, None]) -> Event | None:
    """What is asked and answered goes where the operator has set, never to LangSmith."""
    try:
        with langsmith.tracing_context(enabled=False):
            return await anext(events, None)
    except GraphRecursionError as exc:
        raise InternalError("The agent went on for longer than it may.") from exc


def _node(events_of: Callable[[AgentSteps], AsyncGenerator[Event, None]]) -> Callable[[_State], Awaitable[_State]]:
    async def node(state: _State) -> _State:
        write = get_stream_writer()
        async with aclosing(events_of(state["steps"])) as events:
            async for event in events:
                write(event)
        return state

    return node


def _after_thinking(state: _State) -> str:
    return ACT if state["steps"].wants_tools() else END
