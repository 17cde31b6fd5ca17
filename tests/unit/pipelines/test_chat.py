"""A conversation reaches the model turn by turn."""

from __future__ import annotations

from answerbox.pipelines.base import answer
from answerbox.pipelines.chat import ChatRequest, Turn
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.llm import LlmPipeline
from answerbox.ports import Message
from tests.doubles import ScriptedGenerator

TURNS = [Turn(role="user", content="I am Ada."), Turn(role="assistant", content="Hello.")]


async def told(request: ChatRequest) -> tuple[Message, ...]:
    generator = ScriptedGenerator()
    await answer(LlmPipeline(generator, 256), request, RequestContext("request-1", 30))
    return generator.asked[0].messages


async def test_turns_stand_between_the_system_message_and_the_question() -> None:
    messages = await told(ChatRequest(question="Who am I?", system="Be brief.", turns=TURNS))
    assert messages == (
        Message("system", "Be brief."),
        Message("user", "I am Ada."),
        Message("assistant", "Hello."),
        Message("user", "Who am I?"),
    )


async def test_without_a_system_message_of_the_callers_ours_stays() -> None:
    [system, *rest] = await told(ChatRequest(question="Who am I?", turns=TURNS))
    assert system.role == "system"
    assert "helpful assistant" in system.content
    assert len(rest) == 3
