"""The models of OpenAI's door: each is a pipeline."""

from __future__ import annotations

import time
from dataclasses import dataclass

from answerbox.contracts import AgentRequest, LlmRequest, RagRequest
from answerbox.errors import ModelNotFound
from answerbox.service.openai_contract import ModelCard, ModelList

EMBEDDING = "answerbox-embedding"
STARTED = int(time.time())


@dataclass(frozen=True)
class Served:
    """`pipeline` is its name, and an attribute of the gateway; `contract` is what it takes.

    `is_checked`: its words may be taken back once they have been checked. This protocol has no way to say that, so they
    are kept back until then.
    """

    pipeline: str
    contract: type[LlmRequest]
    is_checked: bool = False


CHAT = {
    "answerbox-llm": Served("llm", LlmRequest),
    "answerbox-rag": Served("rag", RagRequest, is_checked=True),
    "answerbox-agent": Served("agent", AgentRequest, is_checked=True),
}
NAMES = (*CHAT, EMBEDDING)


def chat_model(name: str) -> Served:
    """Raises: ModelNotFound."""
    if name not in CHAT:
        raise not_found(name, tuple(CHAT))
    return CHAT[name]


def card(name: str) -> ModelCard:
    """Raises: ModelNotFound."""
    if name not in NAMES:
        raise not_found(name, NAMES)
    return ModelCard(id=name, created=STARTED)


def cards() -> ModelList:
    return ModelList(data=[card(name) for name in NAMES])


def not_found(name: str, known: tuple[str, ...]) -> ModelNotFound:
    return ModelNotFound(
        f"There is no model {name!r} here.",
        hint=f"There is {', '.join(known)}.",
        errors=[{"field": "model", "message": "unknown"}],
    )
