"""A chat of OpenAI's protocol as a request of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from answerbox.contracts import MAX_CONTEXT_CHARS, LlmRequest
from answerbox.errors import InvalidRequest
from answerbox.pipelines.chat import ChatRequest, Turn
from answerbox.service.openai_contract import MAX_CHAT_CHARS, ChatBody, ChatMessage
from answerbox.validation import invalid_request, validated

OPTIONS = ("temperature", "top_p", "seed", "stop")
OURS = ("top_k", "filter", "max_steps")
"""Fields of our contracts that a body may have where the pipeline takes them."""
ROLES = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant"}


@dataclass(frozen=True)
class Talk:
    """`place` is the question's in the messages. System messages, wherever they stand, are one text."""

    question: str
    place: int
    system: str
    turns: tuple[Turn, ...]

    @property
    def is_single(self) -> bool:
        return not self.system and not self.turns

    def transcript(self) -> str | None:
        """What was said before the question, as text; of a long talk, the end."""
        said = [f"{ROLES['system']}: {self.system}"] if self.system else []
        said += [f"{ROLES[turn.role]}: {turn.content}" for turn in self.turns]
        return "\n".join(said)[-MAX_CONTEXT_CHARS:] or None


def talk_of(messages: Sequence[ChatMessage]) -> Talk:
    """Raises: InvalidRequest."""
    last = len(messages) - 1
    if messages[last].role != "user":
        raise invalid_request([_fault(last, "role", "the last message is the question: its role must be `user`")])
    if sum(len(message.content) for message in messages) > MAX_CHAT_CHARS:
        raise invalid_request([{"field": "messages", "message": f"at most {MAX_CHAT_CHARS} characters in all"}])
    system = [message.content for message in messages if message.role in ("system", "developer")]
    turns: list[Turn] = []
    for message in messages[:last]:
        if message.role in ("user", "assistant") and message.content:
            _append(turns, message)
    return Talk(messages[last].content, last, "\n\n".join(filter(None, system)), tuple(turns))


def _append(turns: list[Turn], message: ChatMessage) -> None:
    """Neighbours of one role become one turn: many templates want the roles to take turns."""
    if turns and turns[-1].role == message.role:
        turns[-1] = Turn(role=turns[-1].role, content=f"{turns[-1].content}\n\n{message.content}")
    else:
        turns.append(Turn(role="user" if message.role == "user" else "assistant", content=message.content))


def request_of(body: ChatBody, talk: Talk, contract: type[LlmRequest]) -> LlmRequest:
    """Raises: InvalidRequest."""
    data: dict[str, Any] = {"question": talk.question, "options": _options(body)}
    data |= {"user_id": body.user, "session_id": body.session_id}
    extra = body.model_extra or {}
    data |= {name: extra[name] for name in OURS if name in contract.model_fields and name in extra}
    if contract is ChatRequest:
        data |= {"system": talk.system or None, "turns": [turn.model_dump() for turn in talk.turns]}
    else:
        data["context"] = talk.transcript()
    try:
        return validated(contract, data)
    except InvalidRequest as exc:
        raise _in_their_words(exc, talk.place) from None


def _options(body: ChatBody) -> dict[str, Any]:
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
