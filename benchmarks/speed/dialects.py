"""How each server is asked, and what its lines say. A stream is lines of JSON, bare or as server-sent events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.prompts import Prompt


@dataclass(frozen=True)
class Said:
    """What a line told: text, or how many tokens were read and made, or why the stream failed."""

    text: str = ""
    prompt_tokens: int = 0
    tokens: int = 0
    error: str | None = None


NOTHING = Said()


class Dialect(Protocol):
    path: str

    def body(self, prompt: Prompt, max_tokens: int) -> dict[str, Any]: ...

    def read(self, data: dict[str, Any]) -> Said: ...


class Answerbox:
    path = "/llm_query/stream"

    def body(self, prompt: Prompt, max_tokens: int) -> dict[str, Any]:
        return {"question": prompt.question, "context": prompt.context, "options": {"max_tokens": max_tokens}}

    def read(self, data: dict[str, Any]) -> Said:
        if "text" in data:
            return Said(text=data["text"])
        if response := data.get("response"):
            usage = response["meta"]["usage"]
            return Said(prompt_tokens=usage["prompt_tokens"], tokens=usage["completion_tokens"])
        if problem := data.get("problem"):
            return Said(error=f"{problem['status']} {problem['code']}")
        return NOTHING


class OpenAi:
    """OpenAI's chat completions; `model` is what the server calls its model."""

    path = "/v1/chat/completions"

    def __init__(self, model: str) -> None:
        self._model = model

    def body(self, prompt: Prompt, max_tokens: int) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": prompt.messages,
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def read(self, data: dict[str, Any]) -> Said:
        if error := data.get("error"):
            return Said(error=str(error)[:200])
        choice = (data.get("choices") or [{}])[0]
        usage = data.get("usage") or {}
        return Said(
            text=(choice.get("delta") or {}).get("content") or "",
            prompt_tokens=usage.get("prompt_tokens", 0),
            tokens=usage.get("completion_tokens", 0),
        )


class Lines:
    """Our own small servers: `{"text"}`, at the end `{"prompt_tokens", "completion_tokens"}`."""

    path = "/generate"

    def body(self, prompt: Prompt, max_tokens: int) -> dict[str, Any]:
        return {"messages": prompt.messages, "max_tokens": max_tokens}

    def read(self, data: dict[str, Any]) -> Said:
        return Said(data.get("text", ""), data.get("prompt_tokens", 0), data.get("completion_tokens", 0))


def line_of(raw: bytes) -> dict[str, Any] | None:
    """The JSON object of a line; None for lines that carry none."""
    start = raw.find(b"{")
    if start < 0 or raw.startswith((b":", b"event:", b"id:")):
        return None
    data = json.loads(raw[start:])
    return data if isinstance(data, dict) else None
