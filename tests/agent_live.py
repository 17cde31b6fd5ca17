"""What came of an agent's tools: as a live service says, and as its scripted model was told."""

from __future__ import annotations

from typing import Any

from tests.openai_server import OpenAIServer


def uses(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(use["name"], use["status"]) for use in answer["meta"]["tool_calls"]]


def told(script: OpenAIServer) -> list[str]:
    """What the model was told by tools, in its last turn."""
    return [message["content"] for message in script.asked[-1]["messages"] if message["role"] == "tool"]
