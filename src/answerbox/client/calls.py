"""Every call of the service: where it goes, what it sends, how its answer is read, when it may be done again.

Nothing is sent here: both clients take their calls from this one place.
"""

from __future__ import annotations

import json
import mimetypes
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field

from answerbox.client.fields import AgentFields, CustomFields, FeedbackFields, LlmFields, RagFields, SearchFields
from answerbox.client.wire import read
from answerbox.contracts import (
    AgentRequest,
    AgentResponse,
    Contract,
    CustomRequest,
    CustomResponse,
    Document,
    DocumentIn,
    DocumentPage,
    DocumentsRequest,
    FeedbackRequest,
    FeedbackResponse,
    Health,
    Job,
    LlmRequest,
    LlmResponse,
    RagRequest,
    RagResponse,
    RequestId,
    SearchRequest,
    SearchResponse,
)
from answerbox.errors import (
    AnswerboxError,
    Conflict,
    DeadlineExceeded,
    InvalidRequest,
    NotReady,
    Overloaded,
    RateLimited,
    Unavailable,
)
from answerbox.validation import validated

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)
Failures = tuple[type[AnswerboxError], ...]

ALWAYS: Failures = (Unavailable, RateLimited)
"""Doing it twice is doing it once."""
IF_REFUSED: Failures = (NotReady, Overloaded, RateLimited)
"""Doing it twice would look like a failure, so only where the service says that it has not begun."""
IF_NOT_LET_IN: Failures = (RateLimited,)
"""Doing it twice would be two deeds: an agent's tools, or code of the operator's own, may have been called."""
HEADERS = {"request_id": "X-Request-Id", "deadline_s": "X-Request-Timeout", "traceparent": "traceparent"}


@dataclass(frozen=True)
class File:
    """A file to upload. `name` is the id of its document, `content` its bytes or where they are."""

    name: str
    content: Path | bytes


@dataclass(frozen=True)
class Call(Generic[T]):
    """`read` makes of a good answer's body what it says; `options` are what httpx is given beside `files`."""

    method: str
    path: str
    read: Callable[[bytes], T]
    again: Failures = ALWAYS
    options: dict[str, Any] = field(default_factory=dict)
    files: tuple[File, ...] = ()

    @contextmanager
    def opened(self) -> Iterator[dict[str, Any]]:
        """The options with the files, open until the block ends. Raises: InvalidRequest."""
        if not self.files:
            yield self.options
            return
        with ExitStack() as held:
            yield {**self.options, "files": [("files", _part(file, held)) for file in self.files]}


def llm(question: str | LlmRequest, fields: LlmFields) -> Call[LlmResponse]:
    return _post("/llm_query", LlmResponse, LlmRequest, _given("question", question), fields)


def rag(question: str | RagRequest, fields: RagFields) -> Call[RagResponse]:
    return _post("/rag_query", RagResponse, RagRequest, _given("question", question), fields)


def agent(question: str | AgentRequest, fields: AgentFields) -> Call[AgentResponse]:
    given = _given("question", question)
    return _post("/agent_query", AgentResponse, AgentRequest, given, fields, again=IF_NOT_LET_IN)


def custom(question: str | CustomRequest, fields: CustomFields) -> Call[CustomResponse]:
    given = _given("question", question)
    return _post("/custom_query", CustomResponse, CustomRequest, given, fields, again=IF_NOT_LET_IN)


def search(query: str | SearchRequest, fields: SearchFields) -> Call[SearchResponse]:
    return _post("/search", SearchResponse, SearchRequest, _given("query", query), fields)


def feedback(score: float, fields: FeedbackFields) -> Call[FeedbackResponse]:
    body = _body(FeedbackRequest, {"score": score, **fields})
    return Call("POST", "/feedback", _reader(FeedbackResponse), options={"json": body})


def add_documents(documents: Sequence[DocumentIn], key: str | None) -> Call[Job]:
    given = {"documents": [one.model_dump(mode="json", exclude_unset=True) for one in documents]}
    options = {"json": _body(DocumentsRequest, given), "headers": _idempotent(key)}
    return Call("POST", "/documents", _reader(Job), options=options)


def upload(
    files: Sequence[File | Path],
    metadata: Mapping[str, Any] | None,
    language: str | None,
    user_id: str | None,
    key: str | None,
) -> Call[Job]:
    if not files:
        raise InvalidRequest("There is no file to upload.")
    said = {"metadata": json.dumps(metadata) if metadata else None, "language": language, "user_id": user_id}
    form = {name: value for name, value in said.items() if value is not None}
    named = tuple(file if isinstance(file, File) else File(file.name, file) for file in files)
    options = {"data": form, "headers": _idempotent(key)}
    return Call("POST", "/documents", _reader(Job), options=options, files=named)


def documents(after: str | None, limit: int, user_id: str | None) -> Call[DocumentPage]:
    params = {**_params(user_id), "limit": str(limit), **({"after": after} if after is not None else {})}
    return Call("GET", "/documents", _reader(DocumentPage), options={"params": params})


def document(document_id: str, user_id: str | None) -> Call[Document]:
    path = _path("/documents/", document_id)
    return Call("GET", path, _reader(Document), options={"params": _params(user_id)})


def delete_document(document_id: str, user_id: str | None) -> Call[None]:
    return _delete(_path("/documents/", document_id), user_id)


def job(job_id: str) -> Call[Job]:
    return Call("GET", _path("/jobs/", job_id), _reader(Job))


def cancel_job(job_id: str) -> Call[Job]:
    return Call("DELETE", _path("/jobs/", job_id), _reader(Job), IF_REFUSED)


def reindex() -> Call[Job]:
    return Call("POST", "/reindex", _reader(Job), IF_REFUSED)


def cancel(request_id: str) -> Call[None]:
    return _delete(_path("/requests/", request_id))


def delete_session(session_id: str, user_id: str | None) -> Call[None]:
    return _delete(_path("/sessions/", session_id), user_id)


def health() -> Call[Health]:
    return Call("GET", "/health", _reader(Health))


def unfinished(job: Job) -> DeadlineExceeded:
    return DeadlineExceeded(f"The job {job.job_id} has not ended in time.", hint="It goes on; wait for it again.")


def ended(job: Job) -> Job:
    """The job that has ended. Raises: Conflict: it was cancelled."""
    if job.status == "cancelled":
        raise Conflict(f"The job {job.job_id} was cancelled.")
    return job


def _post(
    path: str,
    answer: type[ModelT],
    contract: type[BaseModel],
    given: dict[str, Any],
    fields: Mapping[str, Any],
    again: Failures = ALWAYS,
) -> Call[ModelT]:
    body = _body(contract, given | {name: _plain(value) for name, value in fields.items() if name not in HEADERS})
    about = _body(_About, {name: fields[name] for name in HEADERS if name in fields})
    headers = {HEADERS[name]: str(value) for name, value in about.items()}
    return Call("POST", path, _reader(answer), again, {"json": body, "headers": headers})


class _About(Contract):
    request_id: RequestId | None = None
    deadline_s: float | None = Field(None, gt=0)
    traceparent: str | None = Field(None, pattern=r"^[\x21-\x7e]+$")


def _given(name: str, said: str | BaseModel) -> dict[str, Any]:
    return said.model_dump(mode="json", exclude_unset=True) if isinstance(said, BaseModel) else {name: said}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_unset=True) if isinstance(value, BaseModel) else value


def _body(contract: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Raises: InvalidRequest, as the service would."""
    return validated(contract, dict(given)).model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _reader(contract: type[ModelT]) -> Callable[[bytes], ModelT]:
    return lambda content: read(contract, content)


def _delete(path: str, user_id: str | None = None) -> Call[None]:
    return Call("DELETE", path, lambda _: None, IF_REFUSED, {"params": _params(user_id)})


def _path(prefix: str, name: str) -> str:
    """Raises: InvalidRequest for a name that would make another path."""
    if name in ("", ".", ".."):
        raise InvalidRequest(f"{name!r} is the name of nothing.")
    return prefix + quote(name, safe="")


def _params(user_id: str | None) -> dict[str, str]:
    return {} if user_id is None else {"user_id": user_id}


def _idempotent(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key or uuid.uuid4().hex}


def _part(file: File, held: ExitStack) -> tuple[str, IO[bytes] | bytes, str]:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    if isinstance(file.content, bytes):
        return file.name, file.content, kind
    try:
        return file.name, held.enter_context(file.content.open("rb")), kind
    except OSError as exc:
        raise InvalidRequest(f"{file.name!r} cannot be opened ({exc.strerror}).") from exc
