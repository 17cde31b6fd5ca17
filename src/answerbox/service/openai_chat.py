"""A chat of OpenAI's protocol as a request of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from answerbox.contracts import LlmRequest, QuestionRequest
from answerbox.errors import InvalidRequest
from answerbox.pipelines.chat import ChatRequest, Turn, transcript
from answerbox.service.openai_contract import MAX_CHAT_CHARS, ChatBody, ChatMessage
from answerbox.service.openai_tools import call_of, loose_ends, must_call, specs
from answerbox.validation import invalid_request, validated

OPTIONS = ("temperature", "top_p", "seed", "stop")
OURS = ("top_k", "filter", "max_steps", "parameters")
"""Fields of our contracts that a body may have where the pipeline takes them."""
SYSTEM = ("system", "developer")
NO_QUESTION = "the last message is the question: its role must be `user`"
NO_TOOLS = "only answerbox-llm passes tools on: leave it out"


@dataclass(frozen=True)
class Talk:
    """`place` is the question's in the messages. System messages, wherever they stand, are one text.

    `since`: calls of tools that the question led to, and what the tools told.
    """

    question: str
    place: int
    system: str
    turns: tuple[Turn, ...]
    since: tuple[Turn, ...] = ()

    @property
    def is_single(self) -> bool:
        return not self.system and not self.turns


def talk_of(messages: Sequence[ChatMessage]) -> Talk:
    """Raises: InvalidRequest."""
    if faults := [*loose_ends(messages)]:
        raise invalid_request(faults)
    if sum(message.length for message in messages) > MAX_CHAT_CHARS:
        raise invalid_request([{"field": "messages", "message": f"at most {MAX_CHAT_CHARS} characters in all"}])
    last = len(messages) - 1
    place = max((place for place, message in enumerate(messages) if message.role == "user"), default=last)
    if messages[place].role != "user" or messages[last].role not in ("user", "tool"):
        raise invalid_request([_fault(last, "role", NO_QUESTION)])
    system = [message.content for message in messages if message.role in SYSTEM]
    before, since = _turns(messages[:place]), _turns(messages[place + 1 :])
    return Talk(messages[place].content, place, "\n\n".join(filter(None, system)), before, since)


def _turns(messages: Sequence[ChatMessage]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for message in messages:
        if message.role not in SYSTEM and (message.content or message.tool_calls or message.role == "tool"):
            _append(turns, _turn(message))
    return tuple(turns)


def _turn(message: ChatMessage) -> Turn:
    calls = tuple(map(call_of, message.tool_calls or ()))
    return Turn(role=message.role, content=message.content, tool_calls=calls, tool_call_id=message.tool_call_id)


def _append(turns: list[Turn], turn: Turn) -> None:
    """Neighbours of one role become one turn: many templates want the roles to take turns."""
    last = turns[-1] if turns else None
    if last and last.role == turn.role != "tool" and not (last.tool_calls or turn.tool_calls):
        turns[-1] = Turn(role=turn.role, content=f"{last.content}\n\n{turn.content}")
    else:
        turns.append(turn)


def request_of(body: ChatBody, talk: Talk, contract: type[QuestionRequest]) -> QuestionRequest:
    """Raises: InvalidRequest."""
    data: dict[str, Any] = {"question": talk.question}
    if issubclass(contract, LlmRequest):
        data["options"] = options_of(body)
    data |= {"user_id": body.user, "session_id": body.session_id}
    extra = body.model_extra or {}
    data |= {name: extra[name] for name in OURS if name in contract.model_fields and name in extra}
    if contract is not ChatRequest:
        _refuse_tools(body, talk)
        data["context"] = transcript(talk.turns, talk.system)
    try:
        request = validated(contract, data)
    except InvalidRequest as exc:
        raise _in_their_words(exc, talk.place) from None
    return _with_talk(request, body, talk) if contract is ChatRequest else request


def _with_talk(request: QuestionRequest, body: ChatBody, talk: Talk) -> QuestionRequest:
    said = {"system": talk.system or None, "turns": [*talk.turns], "since": [*talk.since]}
    return request.model_copy(update={**said, "tools": specs(body), "must_call": must_call(body)})


def _refuse_tools(body: ChatBody, talk: Talk) -> None:
    if specs(body) or must_call(body):
        raise invalid_request([{"field": "tools", "message": NO_TOOLS}])
    if talk.since:
        raise invalid_request([_fault(len(body.messages) - 1, "role", NO_QUESTION)])


def options_of(body: ChatBody) -> dict[str, Any]:
    """Those that are given. Raises: InvalidRequest."""
    if body.max_tokens and body.max_completion_tokens:
        message = "`max_tokens` is another name for it: give one of them"
        raise invalid_request([{"field": "max_completion_tokens", "message": message}])
    given = {name: getattr(body, name) for name in OPTIONS}
    given["max_tokens"] = body.max_completion_tokens or body.max_tokens
    return {name: value for name, value in given.items() if value is not None}


def _in_their_words(error: InvalidRequest, place: int) -> InvalidRequest:
    names = {"question": f"messages.{place}.content"}
    return invalid_request([{**fault, "field": names.get(fault["field"], fault["field"])} for fault in error.errors])


def _fault(place: int, field: str, message: str) -> dict[str, str]:
    return {"field": f"messages.{place}.{field}", "message": message}
