"""An answer as a person or a pipe gets it: its words on stdout as they come, everything else on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import typer
from rich.console import Console

from answerbox.client import Client
from answerbox.contracts import (
    AgentResponse,
    CorrectionEvent,
    CustomResponse,
    DoneEvent,
    Event,
    LlmResponse,
    PipelineName,
    RagMeta,
    RagResponse,
    Source,
    TokenEvent,
    ToolCallEvent,
    ToolResultEvent,
)

Answer = LlmResponse | RagResponse | AgentResponse | CustomResponse

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a model or a document could drive a terminal with."""
SHOWN_CHARS = 200
"""Of what a tool is given and tells."""
CUT = {
    "length": "The answer was cut: it is as long as it may be.",
    "deadline": "The answer was cut: its time was up.",
    "cancelled": "The answer was cancelled.",
}


def aside() -> Console:
    """Where all that is not an answer is said."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def whole_answer(client: Client, pipeline: PipelineName, question: str, fields: Mapping[str, Any]) -> Answer:
    asks: dict[PipelineName, Callable[..., Answer]] = {
        "llm": client.llm,
        "rag": client.rag,
        "agent": client.agent,
        "custom": client.custom,
    }
    return asks[pipeline](question, **fields)


def streamed_answer(client: Client, pipeline: PipelineName, question: str, fields: Mapping[str, Any]) -> Answer:
    """Shows the answer as it is made."""
    streams: dict[PipelineName, Callable[..., AbstractContextManager[Any]]] = {
        "llm": client.stream_llm,
        "rag": client.stream_rag,
        "agent": client.stream_agent,
        "custom": client.stream_custom,
    }
    screen = Screen.of(pipeline)
    found: Answer | None = None
    with streams[pipeline](question, **fields) as events:
        for event in events:
            screen.show(event)
            found = event.response if isinstance(event, DoneEvent) else found
    assert found is not None  # a stream without it is a failure that the client raises
    screen.end(found)
    return found


@dataclass
class Screen:
    """Where one answer appears.

    Words may be taken back, but for those of `llm`. A person sees that; a pipe cannot, so it gets nothing before
    the end then (`holds`).
    """

    is_terminal: bool
    holds: bool = False
    err: Console = field(default_factory=aside)
    _shown: str = ""

    @classmethod
    def of(cls, pipeline: PipelineName) -> Screen:
        is_terminal = sys.stdout.isatty()
        return cls(is_terminal, holds=pipeline != "llm" and not is_terminal)

    def show(self, event: Event) -> None:
        match event:
            case TokenEvent(text=text):
                self._say(text)
            case CorrectionEvent(text=text):
                if self._shown.strip():
                    self._note("(what stands above is taken back)")
                self._say(text)
            case ToolCallEvent(name=name, arguments=arguments):
                self._note(f"→ {name} {json.dumps(arguments, ensure_ascii=False)[:SHOWN_CHARS]}")
            case ToolResultEvent(name=name, status=status, content=content):
                self._note(f"← {name} {status}: {' '.join(content.split())[:SHOWN_CHARS]}")

    def end(self, answer: Answer) -> None:
        """Completes the answer, and tells its sources and how it went."""
        if self.holds or not self._shown:
            self.holds = False
            self._say(answer.answer)
        typer.echo()
        self._shown = ""
        if isinstance(answer.meta, RagMeta):
            for number, source in enumerate(answer.meta.sources, start=1):
                self._note(title(number, source))
        if cut := CUT.get(answer.meta.finish_reason):
            self._note(cut)
        if answer.meta.degraded:
            self._note(f"degraded: {', '.join(answer.meta.degraded)}")

    def _say(self, text: str) -> None:
        if text and not self.holds:
            typer.echo(CONTROL.sub("", text) if self.is_terminal else text, nl=False)
            self._shown += text

    def _note(self, text: str) -> None:
        if self.is_terminal and self._shown and not self._shown.endswith("\n"):
            self._say("\n")
        self.err.print(CONTROL.sub("", text), style="dim")


def title(number: int, source: Source) -> str:
    """A source as one line."""
    page = f", p. {source.page}" if source.page else ""
    uri = f" {source.uri}" if source.uri else ""
    return f"[{number}] {source.title or source.document_id}{page} ({source.score:.2f}){uri}"
