"""A conversation with a running service, line by line."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, get_args

from rich.console import Console

from answerbox.cli.answers import CONTROL, aside, streamed_answer, title
from answerbox.cli.line_editing import line_editing
from answerbox.client import Client
from answerbox.contracts import PipelineName, RagMeta, Source
from answerbox.errors import AnswerboxError, PromptTooLong
from answerbox.log_text import escaped
from answerbox.pipelines.chat import Turn, transcript

HELP = """\
/help              this list
/new               begin a new conversation; the one before is forgotten
/pipeline [NAME]   which pipeline answers, or another one (llm, rag, agent, custom), which begins a new conversation
/sources           the passages behind the last answer
/quit              end; so does Ctrl-D
The first letter is enough (/q). Ctrl-C stops an answer. Anything else is a question."""
NAMES: tuple[PipelineName, ...] = get_args(PipelineName)


@dataclass
class Chat:
    """`llm` is told the earlier turns, the service keeps those of `agent`, and each question of `rag` stands alone:
    what was said before must not pass for something that the documents tell."""

    client: Client
    pipeline: PipelineName
    user_id: str | None = None
    err: Console = field(default_factory=aside)
    session_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    turns: list[Turn] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    ended: bool = False
    _is_kept: bool = False

    def take(self, line: str) -> None:
        """Obeys a command, or answers a question. Raises: AnswerboxError."""
        line = line.strip()
        if line.startswith("/"):
            self._obey(*line.split(maxsplit=1))
        elif line:
            self._ask(line)

    def forget(self) -> None:
        """Begins anew; what the service keeps of the conversation is deleted."""
        if self._is_kept:
            with suppress(AnswerboxError):  # it forgets by itself, later
                self.client.delete_session(self.session_id, self.user_id)
        self.session_id, self.turns, self.sources, self._is_kept = uuid.uuid4().hex, [], [], False

    def _obey(self, word: str, rest: str = "") -> None:
        commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: self._say(HELP),
            "/new": self._new,
            "/pipeline": self._choose,
            "/sources": lambda _: self._show_sources(),
            "/quit": self._quit,
        }
        found = [command for name, command in commands.items() if len(word) > 1 and name.startswith(word)]
        if found:
            found[0](rest)
        else:
            self._say(f"There is no command {word!r}; /help lists them.")

    def _new(self, _: str) -> None:
        self.forget()
        self._say("A new conversation.")

    def _choose(self, name: str) -> None:
        if name in NAMES:
            self.forget()
            self.pipeline = name
        elif name:
            self._say(f"There is no pipeline {name!r}; there are {', '.join(NAMES)}.")
            return
        self._say(f"{self.pipeline} answers.")

    def _show_sources(self) -> None:
        for number, source in enumerate(self.sources, start=1):
            self._say(title(number, source))
            self._say(source.text)
        if not self.sources:
            self._say("The last answer has no sources.")

    def _quit(self, _: str) -> None:
        self.ended = True

    def _ask(self, question: str) -> None:
        self._is_kept = self._is_kept or self.pipeline == "agent"
        self.sources = []
        while True:
            try:
                answer = streamed_answer(self.client, self.pipeline, question, self._fields())
                break
            except PromptTooLong:
                if not self.turns:
                    raise
                del self.turns[: 2 * max(1, len(self.turns) // 4)]
                self._say("(the oldest part of the conversation is left out)")
        self.turns += [Turn(role="user", content=question), Turn(role="assistant", content=answer.answer)]
        self.sources = answer.meta.sources if isinstance(answer.meta, RagMeta) else []

    def _fields(self) -> dict[str, Any]:
        fields = {"session_id": self.session_id, "user_id": self.user_id}
        if self.pipeline == "llm":
            fields["context"] = transcript(self.turns)
        return {name: value for name, value in fields.items() if value is not None}

    def _say(self, text: str) -> None:
        self.err.print(CONTROL.sub("", text), style="dim")


def run(chat: Chat) -> None:
    """Takes lines until there are no more, from a person or from a pipe.

    Raises:
        AnswerboxError: of a pipe; a person is told, and may go on.
    """
    is_person = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        for line in _typed(chat) if is_person else sys.stdin:
            try:
                chat.take(line)
            except KeyboardInterrupt:
                if not is_person:
                    raise
                chat.err.print("\n(stopped)", style="dim")
            except AnswerboxError as exc:
                if not is_person:
                    raise
                chat.err.print(f"answerbox: {escaped(str(exc))}", style="red")
            if chat.ended:
                break
    finally:
        chat.forget()


def _typed(chat: Chat) -> Iterator[str]:
    """Lines as a person types them, until Ctrl-D; Ctrl-C drops the line."""
    chat.err.print(f"{chat.pipeline} answers. /help tells more, Ctrl-D ends.", style="dim")
    with line_editing():
        while True:
            try:
                yield input(f"{chat.pipeline}> ")
            except KeyboardInterrupt:
                chat.err.print()
            except EOFError:
                chat.err.print()
                return
