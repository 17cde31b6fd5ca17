"""The ports over `bentoml.depends`: each call goes to a service in a process of its own.

What BentoML does by default and this file deals with: a dependency's error arrives without its class (so results
travel in an envelope), and a session has 100 connections (so each kind of call takes at most 64). Generations have
a way of their own: `bento_generator.py`.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import aiohttp
from bentoml.exceptions import BentoMLException

from answerbox.breaker import Breaker
from answerbox.contracts import Document, DocumentIn, DocumentPage, Job, Source, Step
from answerbox.errors import (
    BadUpstream,
    EmbedderUnavailable,
    IndexUnavailable,
    RerankerUnavailable,
    Unavailable,
    from_wire,
)
from answerbox.feedback import Feedback
from answerbox.ports import (
    EmbedderInfo,
    FileIn,
    IndexInfo,
    SearchQuery,
    SearchResult,
    TextKind,
    Vectors,
)
from answerbox.sessions import SessionKey, Turn

IN_FLIGHT = 64
"""Calls of one kind at a time; aiohttp gives a session 100 connections and makes the next call wait."""

SEARCH_FAILURES = 2
"""In a row, after which the index rests: a search that is tried three times must not wait three times."""

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

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        info = await self.info()
        began = time.perf_counter()
        async with self._places:
            try:
                embed = method_of(self._service, "embed", EmbedderUnavailable)
                rows: list[dict[str, Any]] = await embed(texts=info.prefixed(texts, kind))
            except VENDOR_ERRORS as exc:
                raise EmbedderUnavailable("The embedding model cannot be reached.") from exc
        if len(rows) != len(texts):
            raise BadUpstream("The embedding model gave another number of vectors than there were texts.")
        return _vectors(rows, (time.perf_counter() - began) * 1000)

    async def measure(self, texts: Sequence[str], kind: TextKind) -> tuple[list[int], int]:
        """The length of each text in tokens, and how many the model reads; it cuts longer ones.

        Raises:
            EmbedderUnavailable
        """
        info = await self.info()
        async with self._places:
            prefixed = info.prefixed(texts, kind)
            found = await call_service(self._service, "measure", EmbedderUnavailable, texts=prefixed)
        return found["tokens"], found["max_tokens"]


class RemoteReranker:
    """`timeout_s` bounds a call, in seconds."""

    def __init__(self, service: Any, timeout_s: float) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(IN_FLIGHT)
        self._breaker = Breaker()

    async def score(self, question: str, texts: Sequence[str]) -> list[float]:
        async with self._places:
            with self._breaker.around():
                arguments = {"question": question, "texts": list(texts)}
                async with in_time(self._timeout_s, RerankerUnavailable):
                    scores: list[float] = await call_service(self._service, "score", RerankerUnavailable, **arguments)
        return scores


class RemoteDocumentStore:
    """`timeout_s` bounds a search, in seconds; what writes may take longer."""

    def __init__(self, service: Any, timeout_s: float) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(IN_FLIGHT)
        self._breaker = Breaker(SEARCH_FAILURES)

    async def info(self) -> IndexInfo:
        return IndexInfo(**await self.probe())

    async def probe(self) -> dict[str, Any]:
        return await probe_service(self._service, IndexUnavailable)

    async def search(self, query: SearchQuery) -> SearchResult:
        async with self._places:
            with self._breaker.around():
                async with in_time(self._timeout_s, IndexUnavailable):
                    found = await call_service(self._service, "search", IndexUnavailable, query=query.to_wire())
        return SearchResult(
            sources=[Source.model_validate(hit) for hit in found["sources"]],
            degraded=found["degraded"],
            by_words=found["by_words"],
            steps=[Step.model_validate(step) for step in found["steps"]],
        )

    async def add(self, documents: Sequence[DocumentIn], idempotency_key: str | None = None) -> Job:
        wire = [document.model_dump(mode="json") for document in documents]
        return Job.model_validate(await self._do("add", documents=wire, idempotency_key=idempotency_key or ""))

    async def add_files(self, files: Sequence[FileIn], idempotency_key: str | None = None) -> Job:
        wire = [asdict(file) for file in files]
        return Job.model_validate(await self._do("add_files", files=wire, idempotency_key=idempotency_key or ""))

    async def put_upload(self, upload_id: str, offset: int, data: bytes) -> None:
        text = base64.b64encode(data).decode("ascii")
        await self._do("put_upload", upload_id=upload_id, offset=offset, data=text)

    async def job(self, job_id: str) -> Job:
        return Job.model_validate(await self._do("job", job_id=job_id))

    async def cancel(self, job_id: str) -> Job:
        return Job.model_validate(await self._do("cancel_job", job_id=job_id))

    async def reindex(self) -> Job:
        return Job.model_validate(await self._do("reindex"))

    async def documents(self, after: str | None, limit: int, user_id: str | None = None) -> DocumentPage:
        page = await self._do("documents", after=after or "", limit=limit, user_id=user_id or "")
        return DocumentPage.model_validate(page)

    async def document(self, document_id: str, user_id: str | None = None) -> Document:
        found = await self._do("document", document_id=document_id, user_id=user_id or "")
        return Document.model_validate(found)

    async def delete(self, document_id: str, user_id: str | None = None) -> None:
        await self._do("delete", document_id=document_id, user_id=user_id or "")

    async def _do(self, method: str, **arguments: Any) -> Any:
        async with self._places:
            return await call_service(self._service, method, IndexUnavailable, **arguments)


class RemoteFeedback:
    """Hands feedback to the service that keeps it. `timeout_s` bounds that, in seconds."""

    def __init__(self, service: Any, timeout_s: float) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(IN_FLIGHT)

    async def add(self, feedback: Feedback) -> None:
        """Once this returns, a crash does not lose it. Raises: IndexUnavailable."""
        async with self._places, in_time(self._timeout_s, IndexUnavailable):
            await call_service(self._service, "add_feedback", IndexUnavailable, feedback=asdict(feedback))


class RemoteSessions:
    """Conversations, in the service that keeps them. `timeout_s` bounds each call, in seconds."""

    def __init__(self, service: Any, timeout_s: float) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(IN_FLIGHT)

    async def turns(self, key: SessionKey) -> list[Turn]:
        return [Turn(**turn) for turn in await self._do("session_turns", key=asdict(key))]

    async def add(self, key: SessionKey, turn: Turn) -> None:
        await self._do("add_session_turn", key=asdict(key), turn=asdict(turn))

    async def delete(self, key: SessionKey) -> None:
        await self._do("delete_session", key=asdict(key))

    async def _do(self, method: str, **arguments: Any) -> Any:
        async with self._places, in_time(self._timeout_s, IndexUnavailable):
            return await call_service(self._service, method, IndexUnavailable, **arguments)


def _vectors(rows: list[dict[str, Any]], took_ms: float) -> Vectors:
    """What the call took beyond the model's own time, it waited for a batch (and for the way there)."""
    if not rows:
        return Vectors()
    model_ms = max(row["model_ms"] for row in rows)
    queue_ms = round(max(0.0, took_ms - model_ms), 1)
    batch = max(row["batch"] for row in rows)
    return Vectors((row["vector"] for row in rows), batch=batch, model_ms=model_ms, queue_ms=queue_ms)


@asynccontextmanager
async def in_time(seconds: float, down: type[Unavailable]) -> AsyncIterator[None]:
    """Bounds the block; that the time was up is told as an error of ours."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise down(f"A part of the service did not answer within {seconds:g} s ({down.code}).") from exc


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
