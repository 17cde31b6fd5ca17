"""The ports over `bentoml.depends`: each call goes to a service in a process of its own.

What BentoML does by default and this file deals with: a dependency's error arrives without its class (so results
travel in an envelope), a stream is cut into pieces anywhere (so it is lines of ASCII JSON), closing a stream
here does not stop the work there (so `cancel` is called), and a session has 100 connections (so long calls
leave room for short ones).
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import aiohttp
from bentoml.exceptions import BentoMLException

from answerbox.contracts import Document, DocumentIn, DocumentPage, Job, Source
from answerbox.errors import (
    AnswerboxError,
    BadUpstream,
    EmbedderUnavailable,
    GeneratorUnavailable,
    IndexUnavailable,
    Unavailable,
    from_wire,
)
from answerbox.ports import (
    EmbedderInfo,
    Finish,
    GenerationRequest,
    GeneratorInfo,
    IndexInfo,
    Piece,
    SearchQuery,
    TextKind,
    Vector,
)

IN_FLIGHT = 64
"""Calls of one kind at a time; aiohttp gives a session 100 connections and makes the next call wait."""

VENDOR_ERRORS = (BentoMLException, aiohttp.ClientError, OSError, TimeoutError, EOFError)


class RemoteGenerator:
    def __init__(self, service: Any) -> None:
        self._service = service
        self._places = asyncio.Semaphore(IN_FLIGHT)
        self._cancels: set[asyncio.Task[Any]] = set()
        self._info: GeneratorInfo | None = None

    async def info(self) -> GeneratorInfo:
        if self._info is None:
            data = await self.probe()
            self._info = GeneratorInfo(data["model"], data["context_tokens"], tuple(data["languages"]), data["small"])
        return self._info

    async def probe(self) -> dict[str, Any]:
        """What the service says of itself now, not remembered."""
        return await _probe(self._service, GeneratorUnavailable)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        call_id = uuid.uuid4().hex
        finished = False
        async with self._places:
            try:
                stream = _method(self._service, "stream", GeneratorUnavailable)
                lines = _lines(stream(call_id=call_id, request=request.to_wire()))
                async with aclosing(lines):
                    async for line in lines:
                        item = _item(line)
                        finished = isinstance(item, Finish | AnswerboxError)
                        if isinstance(item, AnswerboxError):
                            raise item
                        yield item
            except VENDOR_ERRORS as exc:
                raise GeneratorUnavailable("The language model cannot be reached.") from exc
            finally:
                if not finished:
                    self._cancel(call_id)

    def _cancel(self, call_id: str) -> None:
        """In a task of its own, for the caller is itself being cancelled."""
        task = asyncio.ensure_future(_quietly(self._service.to_async.cancel(call_id=call_id)))
        self._cancels.add(task)
        task.add_done_callback(self._cancels.discard)


class RemoteEmbedder:
    def __init__(self, service: Any) -> None:
        self._service = service
        self._places = asyncio.Semaphore(IN_FLIGHT)
        self._info: EmbedderInfo | None = None

    async def info(self) -> EmbedderInfo:
        if self._info is None:
            data = await self.probe()
            self._info = EmbedderInfo(**{**data, "languages": tuple(data["languages"])})
        return self._info

    async def probe(self) -> dict[str, Any]:
        """What the service says of itself now, not remembered."""
        return await _probe(self._service, EmbedderUnavailable)

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        info = await self.info()
        async with self._places:
            try:
                embed = _method(self._service, "embed", EmbedderUnavailable)
                vectors: list[Vector] = await embed(texts=info.prefixed(texts, kind))
            except VENDOR_ERRORS as exc:
                raise EmbedderUnavailable("The embedding model cannot be reached.") from exc
        if len(vectors) != len(texts):
            raise BadUpstream("The embedding model gave another number of vectors than there were texts.")
        return vectors


class RemoteDocumentStore:
    def __init__(self, service: Any) -> None:
        self._service = service
        self._places = asyncio.Semaphore(IN_FLIGHT)

    async def info(self) -> IndexInfo:
        return IndexInfo(**await self.probe())

    async def probe(self) -> dict[str, Any]:
        return await _probe(self._service, IndexUnavailable)

    async def search(self, query: SearchQuery) -> list[Source]:
        hits = await self._do("search", query=query.to_wire())
        return [Source.model_validate(hit) for hit in hits]

    async def add(self, documents: Sequence[DocumentIn]) -> Job:
        wire = [document.model_dump(mode="json") for document in documents]
        return Job.model_validate(await self._do("add", documents=wire))

    async def job(self, job_id: str) -> Job:
        return Job.model_validate(await self._do("job", job_id=job_id))

    async def cancel(self, job_id: str) -> Job:
        return Job.model_validate(await self._do("cancel_job", job_id=job_id))

    async def documents(self, after: str | None, limit: int) -> DocumentPage:
        page = await self._do("documents", after=after or "", limit=limit)
        return DocumentPage.model_validate(page)

    async def document(self, document_id: str) -> Document:
        return Document.model_validate(await self._do("document", document_id=document_id))

    async def delete(self, document_id: str) -> None:
        await self._do("delete", document_id=document_id)

    async def _do(self, method: str, **arguments: Any) -> Any:
        async with self._places:
            return await _call(self._service, method, IndexUnavailable, **arguments)


async def _probe(service: Any, down: type[Unavailable]) -> dict[str, Any]:
    described: dict[str, Any] = await _call(service, "describe", down)
    return described


async def _call(service: Any, method: str, down: type[Unavailable], **arguments: Any) -> Any:
    """The result in the envelope, or the error in it as its own class."""
    try:
        envelope = await _method(service, method, down)(**arguments)
    except VENDOR_ERRORS as exc:
        raise down(f"A part of the service cannot be reached ({down.code}).") from exc
    if "error" in envelope:
        raise from_wire(envelope["error"])
    return envelope["result"]


def _method(service: Any, name: str, down: type[Unavailable]) -> Callable[..., Any]:
    """A proxy has its methods only after BentoML has connected it, which start-up hooks do not wait for."""
    found: Callable[..., Any] | None = getattr(service.to_async, name, None)
    if found is None:
        raise down(f"A part of the service is not connected yet ({down.code}).")
    return found


async def _lines(pieces: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    rest = ""
    async for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            yield line
    if rest:
        raise BadUpstream("A stream ended in the middle of a line.")


def _item(line: str) -> Piece | Finish | AnswerboxError:
    data = json.loads(line)
    if "piece" in data:
        return Piece(data["piece"])
    if "finish" in data:
        return Finish(**data["finish"])
    return from_wire(data["error"])


async def _quietly(work: Awaitable[Any]) -> None:
    try:
        await work
    except VENDOR_ERRORS:
        return
