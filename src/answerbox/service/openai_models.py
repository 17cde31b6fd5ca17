"""The models of OpenAI's door: each is a pipeline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

from answerbox.contracts import AgentRequest, CustomRequest, LlmRequest, PipelineName, QuestionRequest, RagRequest
from answerbox.errors import ModelNotFound
from answerbox.service.openai_contract import ModelCard, ModelList
from answerbox.settings import load_settings

EMBEDDING = "answerbox-embedding"
STARTED = int(time.time())


@dataclass(frozen=True)
class Served:
    """`pipeline` is its name, and an attribute of the gateway; `contract` is what it takes.

    `is_checked`: its words may be taken back once they have been checked. This protocol has no way to say that, so they
    are kept back until then.
    """

    pipeline: PipelineName
    contract: type[QuestionRequest]
    is_checked: bool = False


CHAT = {
    "answerbox-llm": Served("llm", LlmRequest),
    "answerbox-rag": Served("rag", RagRequest, is_checked=True),
    "answerbox-agent": Served("agent", AgentRequest, is_checked=True),
    "answerbox-custom": Served("custom", CustomRequest),
}


@cache
def chat_models() -> dict[str, Served]:
    """Those whose pipeline is served, by name."""
    served = load_settings().served
    return {name: model for name, model in CHAT.items() if model.pipeline in served}


@cache
def names() -> tuple[str, ...]:
    return (*chat_models(), *([EMBEDDING] if "embedder" in load_settings().served else []))


def chat_model(name: str) -> Served:
    """Raises: ModelNotFound."""
    if name not in chat_models():
        raise not_found(name, tuple(chat_models()))
    return chat_models()[name]


def card(name: str) -> ModelCard:
    """Raises: ModelNotFound."""
    if name not in names():
        raise not_found(name, names())
    return ModelCard(id=name, created=STARTED)


def cards() -> ModelList:
    return ModelList(data=[card(name) for name in names()])


def not_found(name: str, known: tuple[str, ...]) -> ModelNotFound:
    return ModelNotFound(
        f"There is no model {name!r} here.",
        hint=f"There is {', '.join(known)}.",
        errors=[{"field": "model", "message": "unknown"}],
    )
