"""A planner and reader without a language model, as the server behind the agent: it shows what planning alone is worth.

It takes a question apart where a new one begins, searches for each part in one turn, and then tells for each part the
sentence of the passages that shares most words with it. Asked without tools, as rag asks, it reads in the same way
from the passages that it is given. So what differs between the two is what was searched for.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.openai_server import Answer, calling, saying

from answerbox.contracts import Source
from answerbox.pipelines.evidence import best_sentences

_NEXT = re.compile(
    r",\s+(?:and|и)\s+(?=(?:who|whom|what|which|when|where|why|how|in which|by which|to which"
    r"|кто|что|как\w*|когда|где|почему|скольк\w*|в как\w+|на как\w+|у как\w+)\b)",
    re.IGNORECASE,
)
_PASSAGE = re.compile(r"<passage \[(\d+)\]>\n(.*?)\n</passage>", re.DOTALL)
UNKNOWN = "The passages do not tell."


def parts_of(question: str) -> list[str]:
    return [f"{part.strip().rstrip('?')}?" for part in _NEXT.split(question)]


def reply(body: dict[str, Any]) -> Answer:
    """The answer to a request for a chat completion."""
    messages = body["messages"]
    last = max(place for place, message in enumerate(messages) if message["role"] == "user")
    told = [message["content"] for message in messages[last:] if message["role"] == "tool"]
    parts = parts_of(messages[last]["content"].rsplit("\n\n", 1)[-1])
    if told:
        return saying(_read(parts, told))
    if body.get("tools"):
        return calling(*(("search_documents", json.dumps({"query": part}, ensure_ascii=False)) for part in parts))
    return saying(_read(parts, [messages[last]["content"]] * len(parts)))


def _read(parts: list[str], told: list[str]) -> str:
    found = [_best(part, text) for part, text in zip(parts, told, strict=True)]
    return " ".join(dict.fromkeys(filter(None, found))) or UNKNOWN


def _best(part: str, told: str) -> str | None:
    """The sentence, with the number of its passage. Passages of rank 1 have the number 1, in each search."""
    passages = sorted((int(number), text) for number, text in _PASSAGE.findall(told))
    sources = [Source(document_id="", chunk_id="", text=text, score=1) for _, text in passages]
    for found in best_sentences(part, sources, 1):
        return f"{found.text} [{passages[found.source - 1][0]}]"
    return None
