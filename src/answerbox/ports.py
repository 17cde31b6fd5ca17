"""What the core needs from the world, as protocols. Who implements them: `adapters/`, `documents/library.py`.

Failures cross these borders only as classes of `errors.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from answerbox.contracts import (
    Document,
    DocumentIn,
    DocumentPage,
    Job,
    Source,
)

Vector = list[float]
TextKind = Literal["query", "passage"]


@dataclass(frozen=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class GenerationRequest:
    """What to generate. `max_tokens` counts new tokens; temperature 0 is greedy.

    The text ends before the first of the `stop` strings. Work is shared fairly between values of `user_id`. After
    `timeout_s` seconds what there is is the answer; work that would not start before that is refused.
    """

    request_id: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    user_id: str | None = None
    timeout_s: float | None = None

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_wire(data: dict[str, Any]) -> GenerationRequest:
        messages = tuple(Message(**message) for message in data["messages"])
        return GenerationRequest(**{**data, "messages": messages, "stop": tuple(data["stop"])})


@dataclass(frozen=True)
class Piece:
    """Text that follows what came before; never half a character."""

    text: str


@dataclass(frozen=True)
class Finish:
    """The last item of every generation that did not raise. Counts are in tokens of the model."""

    reason: Literal["stop", "length", "deadline", "cancelled"]
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class GeneratorInfo:
    """`languages` are ISO 639-1 codes; empty means that the model speaks any.

    A `small` model gets sentences instead of passages, and its rag answers are checked before they are shown.
    """

    model: str
    context_tokens: int
    languages: tuple[str, ...] = ()
    small: bool = False


@dataclass(frozen=True)
class EmbedderInfo:
    """`fingerprint` changes whenever the same text would get another vector."""

    model: str
    fingerprint: str
    dimension: int
    languages: tuple[str, ...] = ()
    query_prefix: str = ""
    passage_prefix: str = ""

    def prefixed(self, texts: Sequence[str], kind: TextKind) -> list[str]:
        prefix = self.query_prefix if kind == "query" else self.passage_prefix
        return [prefix + text for text in texts]


@dataclass(frozen=True)
class IndexInfo:
    documents: int
    chunks: int
    embedded: int
    waiting: int
    embedder: str


@dataclass(frozen=True)
class SearchQuery:
    """`vector` is the embedded text; without one only the words count."""

    text: str
    top_k: int
    vector: Vector | None = None
    filter: dict[str, Any] | None = None

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)


class Generator(Protocol):
    async def info(self) -> GeneratorInfo: ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        """Pieces as they are made, then one `Finish`. Closing the generator cancels the work.

        Raises:
            PromptTooLong: before the first piece.
            Overloaded: before the first piece; `extra["retry_after_s"]` says when there may be room.
            DeadlineExceeded: the time was up before the first token.
            GeneratorUnavailable, BadUpstream: at any time.
        """
        ...

    async def cancel(self, request_id: str) -> bool:
        """Ends the generations of that request: what they have made is their answer. Whether there was one."""
        ...


class Embedder(Protocol):
    async def info(self) -> EmbedderInfo: ...

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        """One vector of length `info().dimension` and norm 1 for each text, in order.

        Raises:
            EmbedderUnavailable
        """
        ...


class DocumentStore(Protocol):
    async def info(self) -> IndexInfo: ...

    async def search(self, query: SearchQuery) -> list[Source]:
        """The `top_k` most relevant passages, best first. Raises: IndexUnavailable."""
        ...

    async def add(self, documents: Sequence[DocumentIn]) -> Job:
        """Takes the documents over (they survive a crash from here on) and indexes them in the background."""
        ...

    async def job(self, job_id: str) -> Job:
        """Raises: JobNotFound."""
        ...

    async def cancel(self, job_id: str) -> Job:
        """Raises: JobNotFound, Conflict (the job has ended)."""
        ...

    async def documents(self, after: str | None, limit: int) -> DocumentPage: ...

    async def document(self, document_id: str) -> Document:
        """Raises: DocumentNotFound."""
        ...

    async def delete(self, document_id: str) -> None:
        """No search that starts afterwards finds it. Raises: DocumentNotFound."""
        ...


@dataclass(frozen=True)
class Chunk:
    """A passage of a document. `start` and `end` are its characters in the document's text."""

    id: str
    document_id: str
    ordinal: int
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Claimed:
    """A document of a job, taken for work."""

    job_id: str
    seq: int
    document_id: str
    document: DocumentIn


@dataclass(frozen=True)
class Ranked:
    """A chunk with its rank's reason: BM25 (higher is better) and the share of the query it covers (0 to 1)."""

    chunk_id: str
    score: float
    coverage: float


@dataclass(frozen=True)
class StoredChunk:
    chunk: Chunk
    title: str | None
    uri: str | None
    metadata: dict[str, Any] = field(default_factory=dict)


class Ledger(Protocol):
    """The source of truth: documents, chunks, words and jobs. Blocking; safe to call from several threads."""

    def enqueue(self, documents: Sequence[tuple[str, DocumentIn]]) -> Job: ...
    def claim(self, limit: int) -> list[Claimed]: ...
    def unchanged(self, document_id: str, content_hash: str) -> bool: ...
    def finish(self, item: Claimed, error: str | None) -> None: ...
    def resume(self) -> None:
        """Puts work that a dead process had claimed back into the queue."""
        ...

    def job(self, job_id: str) -> Job: ...
    def cancel(self, job_id: str) -> Job: ...

    def replace(
        self,
        document_id: str,
        document: DocumentIn,
        content_hash: str,
        chunks: Sequence[Chunk],
        terms: Sequence[str],
    ) -> list[str]:
        """Switches the document to its new content in one transaction; returns chunk ids that are gone."""
        ...

    def delete(self, document_id: str) -> list[str]:
        """Returns the chunk ids that are gone. Raises: DocumentNotFound."""
        ...

    def document(self, document_id: str) -> Document: ...
    def documents(self, after: str | None, limit: int) -> DocumentPage: ...
    def chunks(self, ids: Sequence[str]) -> dict[str, StoredChunk]: ...
    def chunk_ids(self) -> list[str]: ...
    def match(self, terms: Sequence[str], limit: int, filter: dict[str, Any] | None) -> list[Ranked]: ...
    def coverage(self, terms: Sequence[str], ids: Sequence[str]) -> dict[str, float]: ...
    def counts(self) -> tuple[int, int, int]:
        """Documents, chunks, documents that wait in jobs."""
        ...

    def remember(self, key: str, value: str) -> None: ...
    def recall(self, key: str) -> str | None: ...
    def close(self) -> None: ...


class VectorStore(Protocol):
    """Vectors by chunk id, for one embedding model. Blocking; safe to call from several threads."""

    def upsert(self, ids: Sequence[str], vectors: Sequence[Vector], metadatas: Sequence[dict[str, Any]]) -> None: ...
    def delete(self, ids: Sequence[str]) -> None: ...
    def query(self, vector: Vector, limit: int, filter: dict[str, Any] | None) -> list[tuple[str, float]]:
        """(chunk id, cosine similarity), best first."""
        ...

    def ids(self) -> set[str]: ...
    def close(self) -> None: ...
