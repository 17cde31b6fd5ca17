"""What the core needs from the world, as protocols. Who implements them: `adapters/`, `documents/library.py`.

Failures cross these borders only as classes of `errors.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from answerbox.contracts import Document, DocumentIn, DocumentPage, Job, SearchMode, Source, Step
from answerbox.filters import Filter
from answerbox.tools import ToolCall, ToolSpec
from answerbox.traces import Trace

Vector = list[float]
TextKind = Literal["query", "passage"]


@dataclass(frozen=True)
class Message:
    """`tool_calls` are those that an assistant's message made; a message of a `tool` answers the one of its id."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @staticmethod
    def from_wire(data: dict[str, Any]) -> Message:
        calls = tuple(ToolCall(**call) for call in data.get("tool_calls", ()))
        return Message(data["role"], data["content"], calls, data.get("tool_call_id"))


@dataclass(frozen=True)
class GenerationRequest:
    """What to generate. `max_tokens` counts new tokens; temperature 0 is greedy.

    The text ends before the first of the `stop` strings. Work is shared fairly between values of `user_id`. After
    `timeout_s` seconds what there is is the answer; work that would not start before that is refused. `tools` are for
    models whose `GeneratorInfo` says that they call tools; others take no notice. `must_call` is the name of the one
    that has to be called, or `ANY_TOOL`; a model that does not obey it takes no notice.
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
    tools: tuple[ToolSpec, ...] = ()
    must_call: str | None = None

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_wire(data: dict[str, Any]) -> GenerationRequest:
        messages = tuple(Message.from_wire(message) for message in data["messages"])
        tools = tuple(ToolSpec(**tool) for tool in data.get("tools", ()))
        return GenerationRequest(**{**data, "messages": messages, "stop": tuple(data["stop"]), "tools": tools})


@dataclass(frozen=True)
class Piece:
    """Text that follows what came before; never half a character."""

    text: str


@dataclass(frozen=True)
class Finish:
    """The last item of every generation that did not raise. Counts are in tokens of the model.

    `tool_calls`: what the model wants done before it goes on; only of a request with `tools`.
    """

    reason: Literal["stop", "length", "deadline", "cancelled"]
    prompt_tokens: int
    completion_tokens: int
    detail: dict[str, float] = field(default_factory=dict, compare=False)
    """What the engine tells of its work: `queue_ms`, `first_token_ms` (since it was asked), `batch` (rows, at most)."""
    tool_calls: tuple[ToolCall, ...] = ()

    @staticmethod
    def from_wire(data: dict[str, Any]) -> Finish:
        return Finish(**{**data, "tool_calls": tuple(ToolCall(**call) for call in data.get("tool_calls", ()))})


@dataclass(frozen=True)
class GeneratorInfo:
    """`languages` are ISO 639-1 codes; empty means that the model speaks any.

    A `small` model gets sentences instead of passages, and its rag answers are checked before they are shown.
    `tools`: whether it calls tools; `obeys_tool_choice`: whether it can be made to.
    """

    model: str
    context_tokens: int
    languages: tuple[str, ...] = ()
    small: bool = False
    tools: bool = False
    obeys_tool_choice: bool = False


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
    """`embedded` chunks of `chunks` can be found by meaning; `vectors` says how that half is."""

    documents: int
    chunks: int
    embedded: int
    waiting: int
    embedder: str
    vectors: Literal["ready", "rebuilding", "unavailable"] = "ready"


@dataclass(frozen=True)
class SearchQuery:
    """`filter` is as in the contract.

    `user_id` is who searches: with isolation on, only that user's documents and those that are nobody's are searched.
    """

    text: str
    top_k: int
    filter: dict[str, Any] | None = None
    user_id: str | None = None
    mode: SearchMode = "hybrid"

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SearchResult:
    """`degraded` names the halves that could not be searched: `vectors`.

    `by_words`: the meaning was not searched, so scores are shares of the question's words only. `steps` are counted
    from the beginning of the search.
    """

    sources: list[Source]
    degraded: list[str] = field(default_factory=list)
    by_words: bool = False
    steps: list[Step] = field(default_factory=list)


class Vectors(list[Vector]):
    """`detail`: what the model tells of its work, such as `batch` (texts in it, at most) and `model_ms`."""

    def __init__(self, vectors: Iterable[Vector] = (), **detail: float) -> None:
        super().__init__(vectors)
        self.detail = detail


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

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """One vector of length `info().dimension` and norm 1 for each text, in order.

        Raises:
            EmbedderUnavailable
        """
        ...


class Reranker(Protocol):
    async def score(self, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the question: higher is better, for the same question only.

        Raises:
            RerankerUnavailable
        """
        ...


class DocumentStore(Protocol):
    async def info(self) -> IndexInfo: ...

    async def search(self, query: SearchQuery) -> SearchResult:
        """The `top_k` most relevant passages, best first. Raises: IndexUnavailable."""
        ...

    async def add(self, documents: Sequence[DocumentIn], idempotency_key: str | None = None) -> Job:
        """Takes the documents over (they survive a crash from here on) and indexes them in the background.

        The same key with the same documents is the same job. Raises: Conflict (the same key with others).
        """
        ...

    async def add_files(self, files: Sequence[FileIn], idempotency_key: str | None = None) -> Job:
        """The same for files that `put_upload` has taken. Raises: InvalidRequest (an upload that is not there)."""
        ...

    async def put_upload(self, upload_id: str, offset: int, data: bytes) -> None:
        """A piece of a file, at that place; once `add_files` has been called the file belongs to its job."""
        ...

    async def job(self, job_id: str) -> Job:
        """Raises: JobNotFound."""
        ...

    async def cancel(self, job_id: str) -> Job:
        """Raises: JobNotFound, Conflict (the job has ended)."""
        ...

    async def reindex(self) -> Job:
        """Makes the vectors of every chunk anew with the current model while the old ones serve, then switches."""
        ...

    async def documents(self, after: str | None, limit: int, user_id: str | None = None) -> DocumentPage: ...

    async def document(self, document_id: str, user_id: str | None = None) -> Document:
        """The document of that id that belongs to the user, or to nobody. Raises: DocumentNotFound."""
        ...

    async def delete(self, document_id: str, user_id: str | None = None) -> None:
        """No search that starts afterwards finds it. Raises: DocumentNotFound."""
        ...


@dataclass(frozen=True)
class Prompt:
    """What a model is told to be; `version` is None for the words that stand in the code."""

    name: str
    text: str
    version: int | None = None


class Prompts(Protocol):
    """The operator's own words in the place of those in the code."""

    def get(self, name: str) -> Prompt | None:
        """As they are known now; None where there are none. Never waits."""
        ...

    async def refresh(self) -> None:
        """Asks for all of them, for some seconds at most; what cannot be had stays as it was. Never raises."""
        ...


class Tracer(Protocol):
    """Takes the traces of requests that have ended to where people look at them."""

    def record(self, trace: Trace) -> None:
        """Returns at once and never raises: what cannot be sent is dropped and counted."""
        ...

    def close(self) -> None:
        """Sends what is left, for two seconds at most. Blocking."""
        ...


@dataclass(frozen=True)
class FileIn:
    """A file as it was sent. `name` may have folders in it; it is a label, never a path on this machine."""

    upload_id: str
    name: str
    size: int
    sha256: str
    language: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    user_id: str | None = None


class FileReader(Protocol):
    def read(self, path: Path, file: FileIn) -> list[DocumentIn]:
        """The documents in a file; its name says the format. Blocking; safe to call from several threads.

        Reading happens in another process, within bounds of time and memory.

        Raises:
            InvalidRequest: the file cannot be read; the message names the file and says why.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Chunk:
    """A passage of a document. `start` and `end` are its characters in the document's text.

    `headings` stand above it, outermost first; `page` is the one on which it starts, from 1.
    """

    id: str
    document_id: str
    ordinal: int
    text: str
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None


class VectorStore(Protocol):
    """Vectors by chunk id, made by one embedding model. Blocking; safe to call from several threads.

    Every method raises IndexUnavailable where the store cannot be used.
    """

    def upsert(self, ids: Sequence[str], vectors: Sequence[Vector], metadatas: Sequence[dict[str, Any]]) -> None:
        """The metadata replaces what was there. A repeated call changes nothing."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Ids that are not there are passed over."""
        ...

    def query(self, vector: Vector, limit: int, filter: Filter | None) -> list[tuple[str, float]]:
        """(chunk id, cosine similarity), best first; the filter is on the metadata given to `upsert`."""
        ...

    def ids(self) -> set[str]: ...
    def count(self) -> int: ...


class VectorStores(Protocol):
    """Where vectors are kept: a collection for each embedding model's fingerprint. Blocking."""

    def open(self, fingerprint: str) -> VectorStore:
        """The collection, made where there is none.

        A damaged one is put aside and an empty one is made: what is missing shows in `ids`.

        Raises:
            IndexUnavailable: it cannot be reached now; a later call may work.
        """
        ...

    def drop(self, fingerprint: str) -> None:
        """Removes the collection; none there is no error. Raises: IndexUnavailable."""
        ...

    def close(self) -> None: ...
