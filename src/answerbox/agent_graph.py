"""The border between what an agent decides at each step and what takes it from step to step."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from answerbox.contracts import Event


class AgentSteps(Protocol):
    """What an agent does for one question. It decides by itself when it has done enough."""

    def think(self) -> AsyncGenerator[Event, None]:
        """The model's next turn: an answer, or tools that it wants called."""
        ...

    def act(self) -> AsyncGenerator[Event, None]:
        """Calls those tools."""
        ...

    def wants_tools(self) -> bool:
        """Whether the last turn asked for tools that are to be called."""
        ...


class AgentGraph(Protocol):
    def run(self, steps: AgentSteps, most_turns: int) -> AsyncGenerator[Event, None]:
        """Thinks and acts in turn until no tools are wanted; closing the generator ends what runs.

        What a step raises comes out as it is. Raises: InternalError (after `most_turns`, which no agent may need).
        """
        ...
