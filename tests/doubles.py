"""Hand-written doubles of the ports, and waiting without sleeping.

They stand beside the ones that the package ships (`answerbox/adapters/fakes.py`): these can be told to fail.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from answerbox.adapters.fakes import FakeEmbedder
from answerbox.contracts import Document, DocumentIn, DocumentPage, Job, Source
from answerbox.errors import AnswerboxError, EmbedderUnavailable, IndexUnavailable
from answerbox.filters import Filter, matches
from answerbox.ports import (
    EmbedderInfo,
    FileIn,
    Finish,
    GenerationRequest,
    GeneratorInfo,
    IndexInfo,
    Piece,
    SearchQuery,
    SearchResult,
    TextKind,
    Vector,
    Vectors,
)

POLL_S = 0.01


async def until(true: Callable[[], object], limit_s: float = 10.0, what: str = "the condition") -> None:
    """Lets the event loop run until `true()`; fails after `limit_s`."""
    end = time.monotonic() + limit_s
    never = asyncio.Event()
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s} s: {what}")
        await turn(never)


async def turn(event: asyncio.Event) -> None:
    """Waits for the event, but no longer than one poll."""
    try:
        await asyncio.wait_for(event.wait(), POLL_S)
    except TimeoutError:
        return


class Clock:
    """Stands still, in seconds, until it is moved."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ScriptedGenerator:
    """Says its script: text, an error to raise, or an event to wait for. Remembers what it was asked."""

    script: Sequence[str | AnswerboxError | asyncio.Event] = ("Paris", " is", " it", ".")
    languages: tuple[str, ...] = ()
    small: bool = False
    refuse_longer_than: int | None = None
    """Messages of more characters raise `too_long`."""
    too_long: AnswerboxError | None = None
    finish: bool = True
    asked: list[GenerationRequest] = field(default_factory=list)
    closed: int = 0

    async def info(self) -> GeneratorInfo:
        return GeneratorInfo("scripted", context_tokens=1_000, languages=self.languages, small=self.small)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        self.asked.append(request)
        try:
            size = sum(len(message.content) for message in request.messages)
            if self.too_long and self.refuse_longer_than is not None and size > self.refuse_longer_than:
                raise self.too_long
            for part in self.script:
                if isinstance(part, asyncio.Event):
                    await part.wait()
                elif isinstance(part, AnswerboxError):
                    raise part
                else:
                    yield Piece(part)
            if self.finish:
                yield Finish("stop", prompt_tokens=7, completion_tokens=len(self.script))
        finally:
            self.closed += 1

    async def cancel(self, request_id: str) -> bool:
        raise NotImplementedError


@dataclass
class MoodyEmbedder:
    """The shipped fake, but down for as long as `down` says so, or for the next `failures` calls."""

    down: bool = False
    failures: int = 0
    languages: tuple[str, ...] = ()
    embedded: list[str] = field(default_factory=list)
    refused: int = 0
    gate: asyncio.Event | None = None
    fingerprint: ClassVar[str] = "moody-1"

    async def info(self) -> EmbedderInfo:
        return EmbedderInfo(model="moody", fingerprint=self.fingerprint, dimension=64, languages=self.languages)

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        if self.gate:
            await self.gate.wait()
        if self.down or self.failures:
            self.failures = max(0, self.failures - 1)
            self.refused += 1
            raise EmbedderUnavailable("The embedder is down.")
        self.embedded += texts
        return await FakeEmbedder().embed(texts, kind)


@dataclass
class MemoryVectors:
    """A `VectorStore` in a dict."""

    rows: dict[str, tuple[Vector, dict[str, Any]]] = field(default_factory=dict)
    down: Callable[[], bool] = lambda: False

    def upsert(self, ids: Sequence[str], vectors: Sequence[Vector], metadatas: Sequence[dict[str, Any]]) -> None:
        self._fail_if_down()
        self.rows |= {id_: (vector, metadata) for id_, vector, metadata in zip(ids, vectors, metadatas, strict=True)}

    def delete(self, ids: Sequence[str]) -> None:
        self._fail_if_down()
        for id_ in ids:
            self.rows.pop(id_, None)

    def query(self, vector: Vector, limit: int, filter: Filter | None) -> list[tuple[str, float]]:
        self._fail_if_down()
        found = [(id_, _dot(vector, mine)) for id_, (mine, metadata) in self.rows.items() if matches(filter, metadata)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:limit]

    def ids(self) -> set[str]:
        self._fail_if_down()
        return set(self.rows)

    def count(self) -> int:
        self._fail_if_down()
        return len(self.rows)

    def _fail_if_down(self) -> None:
        if self.down():
            raise IndexUnavailable("The vectors are down.")


@dataclass
class MemoryStores:
    """`VectorStores` in a dict by fingerprint. While it is `down`, every call fails, those of open collections too."""

    collections: dict[str, MemoryVectors] = field(default_factory=dict)
    down: bool = False
    closed: bool = False

    def open(self, fingerprint: str) -> MemoryVectors:
        self._fail_if_down()
        return self.collections.setdefault(fingerprint, MemoryVectors(down=lambda: self.down))

    def drop(self, fingerprint: str) -> None:
        self._fail_if_down()
        self.collections.pop(fingerprint, None)

    def close(self) -> None:
        self._fail_if_down()
        self.closed = True

    def _fail_if_down(self) -> None:
        if self.down:
            raise IndexUnavailable("The vectors are down.")


def _dot(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@dataclass
class ShelfStore:
    """A `DocumentStore` that finds the same passages whatever is asked; the rest of the port it does not have.

    `by_words`: as if its embedder were down.
    """

    found: list[Source] = field(default_factory=list)
    failures: list[AnswerboxError] = field(default_factory=list)
    queries: list[SearchQuery] = field(default_factory=list)
    by_words: bool = False

    async def search(self, query: SearchQuery) -> SearchResult:
        self.queries.append(query)
        if self.failures:
            raise self.failures.pop(0)
        degraded = ["vectors"] if self.by_words else []
        return SearchResult(self.found[: query.top_k], degraded, by_words=self.by_words)

    async def info(self) -> IndexInfo:
        raise NotImplementedError

    async def add(self, documents: Sequence[DocumentIn], idempotency_key: str | None = None) -> Job:
        raise NotImplementedError

    async def add_files(self, files: Sequence[FileIn], idempotency_key: str | None = None) -> Job:
        raise NotImplementedError

    async def put_upload(self, upload_id: str, offset: int, data: bytes) -> None:
        raise NotImplementedError

    async def job(self, job_id: str) -> Job:
        raise NotImplementedError

    async def cancel(self, job_id: str) -> Job:
        raise NotImplementedError

    async def reindex(self) -> Job:
        raise NotImplementedError

    async def documents(self, after: str | None, limit: int, user_id: str | None = None) -> DocumentPage:
        raise NotImplementedError

    async def document(self, document_id: str, user_id: str | None = None) -> Document:
        raise NotImplementedError

    async def delete(self, document_id: str, user_id: str | None = None) -> None:
        raise NotImplementedError


def source(text: str, score: float = 0.9, name: str = "doc", title: str | None = None) -> Source:
    return Source(document_id=name, chunk_id=f"{name}-0", title=title, text=text, score=score)
