"""The ports over `bentoml.depends`: each call goes to a service in a process of its own.

What BentoML does by default and this file deals with: a dependency's error arrives without its class (so results
travel in an envelope), and a session has 100 connections (so each kind of call takes at most 64). Generations have
a way of their own: `bento_generator.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
from bentoml.exceptions import BentoMLException

from answerbox.contracts import Document, DocumentIn, DocumentPage, Job, Source
from answerbox.errors import (
    BadUpstream,
    EmbedderUnavailable,
    IndexUnavailable,
    Unavailable,
    from_wire,
)
from answerbox.ports import (
    EmbedderInfo,
    IndexInfo,
    SearchQuery,
    TextKind,
    Vector,
)

IN_FLIGHT = 64
"""Calls of one kind at a time; aiohttp gives a session 100 connections and makes the next call wait."""

VENDOR_ERRORS = (BentoMLException, aiohttp.ClientError, OSError, TimeoutError, EOFError)


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
        return await probe_service(self._service, EmbedderUnavailable)

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        info = await self.info()
        async with self._places:
            try:
                embed = method_of(self._service, "embed", EmbedderUnavailable)
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
        return await probe_service(self._service, IndexUnavailable)

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
            return await call_service(self._service, method, IndexUnavailable, **arguments)


async def probe_service(service: Any, down: type[Unavailable]) -> dict[str, Any]:
    described: dict[str, Any] = await call_service(service, "describe", down)
    return described


async def call_service(service: Any, method: str, down: type[Unavailable], **arguments: Any) -> Any:
    """The result in the envelope, or the error in it as its own class."""
    try:
        envelope = await method_of(service, method, down)(**arguments)
    except VENDOR_ERRORS as exc:
        raise down(f"A part of the service cannot be reached ({down.code}).") from exc
    if "error" in envelope:
        raise from_wire(envelope["error"])
    return envelope["result"]


def method_of(service: Any, name: str, down: type[Unavailable]) -> Callable[..., Any]:
    """A proxy has its methods only after BentoML has connected it, which start-up hooks do not wait for."""
    found: Callable[..., Any] | None = getattr(service.to_async, name, None)
    if found is None:
        raise down(f"A part of the service is not connected yet ({down.code}).")
    return found
