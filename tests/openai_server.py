"""A double of an OpenAI-compatible server: real HTTP on a free port, and it can be told to misbehave.

    with openai_server() as server:
        server.answers = [Answer(status=429, headers={"Retry-After": "7"}), Answer(["Par", "is"])]
        async with connected(server.url) as generator:
            ...

It knows no model: what it says is written in its `Answer`s. It remembers what it was asked and counts what it sent.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from answerbox.adapters.openai_generator import OpenAIGenerator
from tests.live import START_LIMIT_S, wait_until
from tests.threaded import in_thread

POLL_S = 0.01
LIMIT_S = 10.0
OWN_DELAY_S = 0.02
"""Before each word, of a server that is a process of its own."""


@dataclass(frozen=True)
class Answer:
    """What a request gets. A body, or a stream of `words`: each is an event, with its own `delay_s` before it.

    The stream stands still before the word number `hold_at`, until `release` is set; it breaks before the word number
    `cut_at`. Without a `finish` it just ends. `lines` are sent as they are instead of words. `calls` are names and
    arguments of tools that it wants called, after the words; they come in pieces, as from the real ones.
    """

    words: Sequence[str] = ("Paris", " is", " it", ".")
    calls: Sequence[tuple[str, str]] = ()
    finish: str | None = "stop"
    usage: Mapping[str, int] | None = field(default_factory=lambda: {"prompt_tokens": 11, "completion_tokens": 4})
    delay_s: float = 0.0
    hold_at: int | None = None
    release: threading.Event = field(default_factory=threading.Event)
    cut_at: int | None = None
    hang_up: bool = True
    """False: the connection stays open after the last event."""
    lines: Sequence[str] | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass
class OpenAIServer:
    url: str = ""
    answer: Answer = field(default_factory=Answer)
    """For every request for which `answers` has none."""
    reply: Callable[[dict[str, Any]], Answer] | None = None
    """Makes the answer from the request's body, where `answers` has none."""
    answers: list[Answer] = field(default_factory=list)
    models: Any = field(default_factory=lambda: {"object": "list", "data": [{"id": "scripted", "object": "model"}]})
    models_status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of the requests for completions."""
    headers: list[dict[str, str]] = field(default_factory=list)
    listed: int = 0
    """How often the models were asked for."""
    sent: int = 0
    """Words that have left."""
    running: int = 0
    gone: int = 0
    """Clients that hung up before the end of their stream."""

    def renew(self) -> None:
        """Forgets what it was told and asked, for the next test."""
        wait_until(lambda: not self.running, LIMIT_S, "the streams of the test before have ended")
        vars(self).update(vars(OpenAIServer(self.url)))

    def wait_until_warm(self, gateways: int) -> None:
        """Each process of a service asks once before it is ready; a late one would take a test's answer."""
        warm = "each process of the service has been warmed up"
        wait_until(lambda: len(self.asked) >= gateways and not self.running, START_LIMIT_S, warm)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._completions, methods=["POST"]),
            ]
        )

    async def _models(self, request: Request) -> Response:
        self.listed += 1
        self.headers.append(dict(request.headers))
        if isinstance(self.models, str):
            return Response(self.models, self.models_status, media_type="text/html")
        return JSONResponse(self.models, self.models_status)

    async def _completions(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        answer = self._answer_to(self.asked[-1])
        if answer.body is not None or answer.status != 200:
            return _body(answer)
        return StreamingResponse(self._stream(answer), headers=dict(answer.headers), media_type="text/event-stream")

    def _answer_to(self, body: dict[str, Any]) -> Answer:
        if self.answers:
            return self.answers.pop(0)
        return self.reply(body) if self.reply else self.answer

    async def _stream(self, answer: Answer) -> AsyncIterator[str]:
        self.running += 1
        try:
            async for line in self._lines(answer):
                yield f"data: {line}\n\n"
        except asyncio.CancelledError:
            self.gone += 1
            raise
        finally:
            self.running -= 1

    async def _lines(self, answer: Answer) -> AsyncIterator[str]:
        if answer.lines is not None:
            for line in answer.lines:
                yield line
            return
        yield _chunk({"role": "assistant", "content": ""})
        for number, word in enumerate(answer.words):
            await _obstacles(answer, number)
            self.sent += 1
            yield _chunk({"content": word})
        await _obstacles(answer, len(answer.words))
        for delta in _call_deltas(answer.calls):
            yield _chunk(delta)
        if answer.finish:
            yield _chunk({}, "tool_calls" if answer.calls and answer.finish == "stop" else answer.finish)
        if answer.usage is not None:
            yield json.dumps({"object": "chat.completion.chunk", "choices": [], "usage": dict(answer.usage)})
        if not answer.hang_up:
            await _released(answer.release)
        if answer.finish:
            yield "[DONE]"


class _Cut(Exception):
    """Starlette drops the connection of a stream that raises."""


def calling(*calls: tuple[str, str], words: Sequence[str] = ()) -> Answer:
    """An answer that wants these tools called."""
    return Answer(words, calls)


def saying(text: str) -> Answer:
    return Answer(re.findall(r"\S+\s*", text))


def _call_deltas(calls: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for number, (name, arguments) in enumerate(calls):
        head = {"index": number, "id": f"id-{number}", "type": "function", "function": {"name": name, "arguments": ""}}
        yield {"tool_calls": [head]}
        middle = len(arguments) // 2
        for piece in (arguments[:middle], arguments[middle:]):
            yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}


def _chunk(delta: Mapping[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def _body(answer: Answer) -> Response:
    headers = dict(answer.headers)
    if isinstance(answer.body, str):
        return Response(answer.body, answer.status, headers, media_type="text/html")
    return JSONResponse(answer.body or {}, answer.status, headers)


async def _obstacles(answer: Answer, number: int) -> None:
    await asyncio.sleep(answer.delay_s)
    if number == answer.cut_at:
        raise _Cut
    if number == answer.hold_at:
        await _released(answer.release)


async def _released(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(POLL_S)


@contextmanager
def openai_server() -> Iterator[OpenAIServer]:
    """Serves in a thread until the block ends; streams that are still held are dropped then."""
    double = OpenAIServer()
    with in_thread(double.app(), "openai-server") as address:
        double.url = f"{address}/v1"
        yield double


@asynccontextmanager
async def connected(url: str, **settings: Any) -> AsyncIterator[OpenAIGenerator]:
    """A generator that is closed in the end, with settings of your own or ones that suit a test."""
    usual: dict[str, Any] = {
        "model": "scripted",
        "context_tokens": 8_192,
        "connect_timeout_s": 1.0,
        "silence_timeout_s": 5.0,
        "concurrency": 4,
    }
    generator = OpenAIGenerator(base_url=url, **{**usual, **settings})
    try:
        yield generator
    finally:
        await generator.close()


def main() -> None:
    """A process of its own, which can be stopped and killed: `python -m tests.openai_server PORT WORD ...`."""
    port, *words = sys.argv[1:]
    double = OpenAIServer(answer=Answer(words, delay_s=OWN_DELAY_S))
    uvicorn.run(double.app(), host="127.0.0.1", port=int(port), log_level="critical", lifespan="off")


if __name__ == "__main__":
    main()
