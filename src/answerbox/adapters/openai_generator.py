"""The `Generator` port over any OpenAI-compatible server: vLLM, SGLang, Ollama, llama.cpp, a hosted one.

Of the server it knows only the protocol: streamed chat completions and the list of models. What goes wrong there is
logged; our callers are told what it means for them, never in the words of the server.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeAlias, TypeVar

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk
from pydantic import ValidationError

from answerbox.adapters.generation.stop_strings import StopStrings
from answerbox.adapters.openai_errors import (
    CONNECTION_ERRORS,
    NONSENSE,
    VENDOR_ERRORS,
    is_down,
    overloaded,
    translated,
)
from answerbox.adapters.openai_wire import CallPieces, Chunk, Models, ServedModel, TokenCounts, options
from answerbox.breaker import Breaker
from answerbox.errors import AnswerboxError, BadUpstream, DeadlineExceeded, GeneratorUnavailable
from answerbox.ports import Finish, GenerationRequest, GeneratorInfo, Piece
from answerbox.retrying import RetryBudget, retrying

log = logging.getLogger(__name__)
T = TypeVar("T")
_Stream: TypeAlias = openai.AsyncStream[ChatCompletionChunk]

CUT = "The language model stopped in the middle of an answer."
CLOSED = "The connection to the language model's server is closed."

TAIL_S = 1.0
"""Longest wait for the usage after the last token: a server that forgets to hang up costs no more."""
SPARE_CONNECTIONS = 16
"""For questions about the models while as many generations run as may."""
NO_KEY = "none"
"""Without any the client would send OPENAI_API_KEY, which is for another server."""
NO_LIST = (404, 405, 501)
"""Statuses of a server that does not list its models."""
LOGGED_CHARACTERS = 500
HIDDEN = "***"


class OpenAIGenerator:
    """At most `concurrency` generations at a time; the next is refused. `close` it in the loop that used it."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str | None = None,
        api_key: str | None = None,
        context_tokens: int,
        connect_timeout_s: float,
        silence_timeout_s: float,
        concurrency: int,
        tools: bool = False,
    ) -> None:
        """`tools`: whether the model there calls tools; servers do not tell."""
        self._model = model
        self._api_key = (api_key or "").strip()
        self._context_tokens = context_tokens
        self._silence_timeout_s = silence_timeout_s
        self._concurrency = concurrency
        self._tools = tools
        self._calls: set[_Call] = set()
        self._info: GeneratorInfo | None = None
        self._breaker = Breaker(counts=is_down)
        self._retries = RetryBudget()
        self._short = openai.Timeout(silence_timeout_s, connect=connect_timeout_s)
        limits = httpx2.Limits(max_connections=concurrency + SPARE_CONNECTIONS)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=self._api_key or NO_KEY,
            max_retries=0,
            timeout=openai.Timeout(None, connect=connect_timeout_s, pool=connect_timeout_s),  # silence: see `_Call`
            http_client=openai.DefaultAsyncHttpxClient(limits=limits),
        )

    async def info(self) -> GeneratorInfo:
        """Raises: GeneratorUnavailable, BadUpstream, Overloaded."""
        with self._translating():
            return await self._remembered()

    async def probe(self) -> dict[str, Any]:
        """What the server says of itself now, not remembered. Raises as `info` does."""
        with self._translating():
            found = await self._asked()
        return {"model": found.model, "context_tokens": found.context_tokens}

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        call = self._admit(request)
        try:
            with self._translating(request), suppress(_Interrupted):
                text = await self._first(call)
                while text:
                    yield Piece(text)
                    text = await call.read()
        finally:
            self._calls.discard(call)
            await call.close()
        if rest := call.rest():
            yield Piece(rest)
        yield call.finish()

    async def cancel(self, request_id: str) -> bool:
        found = [call for call in self._calls if call.request.request_id == request_id]
        for call in found:
            await call.cancel()
        return bool(found)

    async def close(self) -> None:
        """Hangs up; what runs fails as unavailable."""
        await self._client.close()

    def _admit(self, request: GenerationRequest) -> _Call:
        self._check_open()
        if len(self._calls) >= self._concurrency:
            raise overloaded("The language model's server has as many requests of Answerbox as it may have.")
        call = _Call(request, self._silence_timeout_s)
        self._calls.add(call)
        return call

    async def _first(self, call: _Call) -> str | None:
        """The first text. Until it is there nobody has seen anything, so a connection that fails is tried again."""
        again = retrying(self._retries, CONNECTION_ERRORS, call.request.timeout_s or math.inf, call.pause)
        with self._breaker.around(), self._translating(call.request):
            text: str | None = await again(call.open, lambda: self._create(call.request))
        return text

    async def _create(self, request: GenerationRequest) -> _Stream:
        model = self._model or (await self._remembered()).model
        try:
            stream: _Stream = await self._client.chat.completions.create(
                model=model, stream=True, stream_options={"include_usage": True}, **options(request)
            )
        except openai.NotFoundError:
            self._info = None  # another model may be served there by now
            raise
        return stream

    async def _remembered(self) -> GeneratorInfo:
        if self._info is None:
            self._info = await self._asked()
        return self._info

    async def _asked(self) -> GeneratorInfo:
        self._check_open()
        models = await self._listed()
        names = [model.id for model in models]
        name = self._model or next(iter(names), None)
        if name is None:
            raise GeneratorUnavailable("The language model's server has no model.")
        window = models[names.index(name)].window if name in names else None
        return GeneratorInfo(name, window or self._context_tokens, tools=self._tools, obeys_tool_choice=self._tools)

    async def _listed(self) -> list[ServedModel]:
        try:
            answer = await self._client.models.with_raw_response.list(timeout=self._short)
        except openai.APIStatusError as exc:
            if self._model and exc.status_code in NO_LIST:
                return []
            raise
        try:
            return Models.model_validate_json(answer.content).data or []
        except ValidationError as exc:
            raise BadUpstream(NONSENSE) from exc

    def _check_open(self) -> None:
        if self._client.is_closed():
            raise GeneratorUnavailable(CLOSED)

    @contextmanager
    def _translating(self, request: GenerationRequest | None = None) -> Iterator[None]:
        """The client's errors as ours, and their details into the log."""
        try:
            yield
        except VENDOR_ERRORS as exc:
            details = f"{type(exc).__name__}: {exc} {getattr(exc, 'body', None) or ''} {exc.__cause__ or ''}"
            for text in filter(None, [self._api_key, *_repeated(request)]):
                details = details.replace(text, HIDDEN)
            log.warning("the language model's server: %s", details[:LOGGED_CHARACTERS])
            raise translated(exc, request) from exc


def _repeated(request: GenerationRequest | None) -> list[str]:
    """How a server may repeat what it was asked; the longest first, for one may be a part of another."""
    messages = request.messages if request else ()
    texts = {text for one in messages for text in (one.content, *(call.arguments for call in one.tool_calls))}
    forms = {form for text in texts if text for form in (text, repr(text)[1:-1], json.dumps(text)[1:-1])}
    return sorted(forms, key=len, reverse=True)


class _Interrupted(Exception):
    """A generation has ended before the server ended it; `_Call.reason` says why."""


class _Call:
    """One generation: its stream, its clock, and what has come so far."""

    def __init__(self, request: GenerationRequest, silence_timeout_s: float) -> None:
        self.request = request
        self.reason: Literal["stop", "length", "deadline", "cancelled"] | None = None
        self._silence_timeout_s = silence_timeout_s
        self._loop = asyncio.get_running_loop()
        self._ends = math.inf if request.timeout_s is None else self._loop.time() + request.timeout_s
        self._waiting: asyncio.Timeout | None = None
        self._stream: _Stream | None = None
        self._tokens = 0
        self._usage = TokenCounts()
        self._text = StopStrings(request.stop)
        self._calls = CallPieces()

    async def open(self, create: Callable[[], Awaitable[_Stream]]) -> str | None:
        """The first text, of a new stream."""
        await self.close()
        self._tokens = 0
        self._text = StopStrings(self.request.stop)
        self._calls = CallPieces()
        self._stream = await self._within(create)
        return await self.read()

    async def read(self) -> str | None:
        """The next text; None where the server has ended the answer. Raises: `_Interrupted`, and the client's."""
        while (event := await self._event()) is not None:
            self._usage = event.usage or self._usage
            text = self._shown(event.text)
            self._calls.add(event.calls)
            if event.finish_reason:
                self._over("length" if event.finish_reason == "length" else "stop")
            if text:
                return text
        if self.reason is None:
            raise GeneratorUnavailable(CUT) if self._is_stream() else BadUpstream(NONSENSE)
        return None

    async def pause(self, seconds: float) -> None:
        await self._within(lambda: asyncio.sleep(seconds))

    async def cancel(self) -> None:
        """Ends the generation: at once where it waits for the server, else when it is next asked for text."""
        self.reason = self.reason or "cancelled"
        if not self._waiting:
            await self.close()
        elif not self._waiting.expired():
            self._waiting.reschedule(self._loop.time())

    async def close(self) -> None:
        """Hangs up, which tells the server to stop."""
        if self._stream:
            await self._stream.close()

    def rest(self) -> str:
        """Text at the end that might have become a stop string."""
        return self._text.rest()

    def finish(self) -> Finish:
        """Without the server's count an event with text is taken for a token."""
        usage, reason = self._usage, self.reason or "stop"
        calls = self._calls.whole() if reason == "stop" else ()
        tokens = usage.completion_tokens or self._tokens
        return Finish(reason, usage.prompt_tokens or 0, tokens, tool_calls=calls)

    def _shown(self, text: str) -> str:
        """What of it is the answer: some servers send the stop string too, or know of none."""
        if not text or self._text.hit:
            return ""
        self._tokens += 1
        shown = self._text.add(text)
        if self._text.hit:
            self._over("stop")
        return shown

    def _over(self, reason: Literal["stop", "length"]) -> None:
        """The answer is complete; only its usage may follow."""
        if self.reason is None:
            self.reason = reason
            self._ends = min(self._ends, self._loop.time() + TAIL_S)

    async def _event(self) -> Chunk | None:
        """The next event, None at the end of the stream. After the last token nothing is a failure any more."""
        try:
            return await self._checked_event()
        except (*VENDOR_ERRORS, AnswerboxError):
            if self.reason:
                return None
            raise

    async def _checked_event(self) -> Chunk | None:
        stream = self._stream
        assert stream
        try:
            chunk = await self._within(lambda: anext(stream, None))
            event = None if chunk is None else Chunk.model_validate(chunk, from_attributes=True)
        except ValueError as exc:  # not JSON, not UTF-8, not of this shape
            raise BadUpstream(NONSENSE) from exc
        if event and event.choices is None and event.usage is None:
            raise BadUpstream(NONSENSE)
        return event

    async def _within(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, unless the server is silent, the time is up or the generation is cancelled first."""
        self._check(self._loop.time())
        until = min(self._ends, self._loop.time() + self._silence_timeout_s)
        try:
            async with asyncio.timeout_at(until) as self._waiting:
                return await work()
        except TimeoutError:
            self._check(until)
            raise GeneratorUnavailable(
                f"The language model's server was silent for {self._silence_timeout_s:g} seconds."
            ) from None
        finally:
            self._waiting = None

    def _check(self, now: float) -> None:
        """Raises: _Interrupted; DeadlineExceeded where there is nothing to show for the time."""
        if self.reason == "cancelled":
            raise _Interrupted
        if now < self._ends:
            return
        if not self._tokens:
            raise DeadlineExceeded(
                "The time for the answer was up before its first word.",
                hint="Ask for fewer tokens, or try again when the service is less busy.",
            )
        self.reason = self.reason or "deadline"
        raise _Interrupted

    def _is_stream(self) -> bool:
        """Whether the answer at least says that it is a stream; a page of HTML reads as a stream without events."""
        return self._stream is not None and "event-stream" in self._stream.response.headers.get("content-type", "")
