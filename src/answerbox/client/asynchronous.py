"""The client for asyncio."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

import httpx
from httpx_sse import EventSource
from tenacity import AsyncRetrying

from answerbox.client import calls, wire
from answerbox.client.calls import Call, File
from answerbox.client.fields import AgentFields, CustomFields, FeedbackFields, LlmFields, RagFields, SearchFields
from answerbox.contracts import (
    AgentRequest,
    AgentResponse,
    CustomRequest,
    CustomResponse,
    Document,
    DocumentIn,
    DocumentPage,
    DoneEvent,
    Event,
    FeedbackResponse,
    Health,
    Job,
    LlmRequest,
    LlmResponse,
    RagRequest,
    RagResponse,
    SearchRequest,
    SearchResponse,
)
from answerbox.retrying import RetryBudget, as_told, rules

T = TypeVar("T")


class AsyncClient:
    """`Client`, but for asyncio: the same methods, which are awaited, and the same failures."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        deadline_s: float | None = None,
        timeout_s: float = 600,
        retry_s: float = 10,
    ) -> None:
        """As `Client`."""
        self._http = httpx.AsyncClient(**wire.arguments(url, key, deadline_s, timeout_s))
        self._retry_s = retry_s
        self._retries = RetryBudget()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def llm(self, question: str | LlmRequest, **fields: Unpack[LlmFields]) -> LlmResponse:
        return await self._do(calls.llm(question, fields))

    async def rag(self, question: str | RagRequest, **fields: Unpack[RagFields]) -> RagResponse:
        return await self._do(calls.rag(question, fields))

    async def agent(self, question: str | AgentRequest, **fields: Unpack[AgentFields]) -> AgentResponse:
        return await self._do(calls.agent(question, fields))

    async def custom(self, question: str | CustomRequest, **fields: Unpack[CustomFields]) -> CustomResponse:
        return await self._do(calls.custom(question, fields))

    def stream_llm(
        self, question: str | LlmRequest, **fields: Unpack[LlmFields]
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return self._stream(calls.llm(question, fields))

    def stream_rag(
        self, question: str | RagRequest, **fields: Unpack[RagFields]
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return self._stream(calls.rag(question, fields))

    def stream_agent(
        self, question: str | AgentRequest, **fields: Unpack[AgentFields]
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return self._stream(calls.agent(question, fields))

    def stream_custom(
        self, question: str | CustomRequest, **fields: Unpack[CustomFields]
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        return self._stream(calls.custom(question, fields))

    async def search(self, query: str | SearchRequest, **fields: Unpack[SearchFields]) -> SearchResponse:
        return await self._do(calls.search(query, fields))

    async def feedback(self, score: float, **fields: Unpack[FeedbackFields]) -> FeedbackResponse:
        return await self._do(calls.feedback(score, fields))

    async def cancel(self, request_id: str) -> None:
        await self._do(calls.cancel(request_id))

    async def add_documents(self, documents: Sequence[DocumentIn], *, idempotency_key: str | None = None) -> Job:
        return await self._do(calls.add_documents(documents, idempotency_key))

    async def upload(
        self,
        files: Sequence[File | Path],
        *,
        metadata: Mapping[str, Any] | None = None,
        language: str | None = None,
        user_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        return await self._do(calls.upload(files, metadata, language, user_id, idempotency_key))

    async def documents(self, after: str | None = None, limit: int = 50, user_id: str | None = None) -> DocumentPage:
        return await self._do(calls.documents(after, limit, user_id))

    async def document(self, document_id: str, user_id: str | None = None) -> Document:
        return await self._do(calls.document(document_id, user_id))

    async def delete_document(self, document_id: str, user_id: str | None = None) -> None:
        await self._do(calls.delete_document(document_id, user_id))

    async def job(self, job_id: str) -> Job:
        return await self._do(calls.job(job_id))

    async def cancel_job(self, job_id: str) -> Job:
        return await self._do(calls.cancel_job(job_id))

    async def wait(
        self,
        job: Job,
        within_s: float = math.inf,
        poll_s: float = 0.2,
        watch: Callable[[Job], None] = lambda _: None,
    ) -> Job:
        """As `Client.wait`."""
        end = time.monotonic() + within_s
        while not job.finished_at:
            watch(job)
            if time.monotonic() > end:
                raise calls.unfinished(job)
            await asyncio.sleep(poll_s)
            job = await self.job(job.job_id)
        return calls.ended(job)

    async def reindex(self) -> Job:
        return await self._do(calls.reindex())

    async def delete_session(self, session_id: str, user_id: str | None = None) -> None:
        await self._do(calls.delete_session(session_id, user_id))

    async def health(self) -> Health:
        return await self._do(calls.health())

    async def _do(self, call: Call[T]) -> T:
        return await self._again(call)(self._once, call)

    def _again(self, call: Call[Any]) -> AsyncRetrying:
        return AsyncRetrying(**rules(self._retries, call.again, self._retry_s), wait=as_told)

    async def _once(self, call: Call[T]) -> T:
        with call.opened() as options, wire.answering(self._http.base_url):
            response = await self._http.request(call.method, call.path, **options)
        return call.read(wire.good(response))

    @asynccontextmanager
    async def _stream(self, call: Call[Any]) -> AsyncIterator[AsyncIterator[Event]]:
        response: httpx.Response = await self._again(call)(self._begun, call)
        async with aclosing(response), aclosing(self._events(response)) as events:
            yield events

    async def _begun(self, call: Call[Any]) -> httpx.Response:
        request = self._http.build_request(call.method, f"{call.path}/stream", **call.options)
        with wire.answering(self._http.base_url):
            response = await self._http.send(request, stream=True)
            if response.is_success:
                return response
            async with aclosing(response):
                await response.aread()
        raise wire.problem(response)

    async def _events(self, response: httpx.Response) -> AsyncGenerator[Event, None]:
        ended = False
        try:
            async with aclosing(EventSource(response).aiter_sse()) as sents:
                async for sent in sents:
                    if event := wire.event_of(sent):
                        ended = ended or isinstance(event, DoneEvent)
                        yield event
        except httpx.HTTPError as exc:
            if not ended:
                raise wire.broken(exc) from exc
        if not ended:
            raise wire.broken()
