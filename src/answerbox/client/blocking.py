"""The blocking client."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

import httpx
from httpx_sse import EventSource
from tenacity import Retrying

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


class Client:
    """Every method raises AnswerboxError: the service's problem as its own class, with `request_id` in `extra`;
    InvalidRequest for what breaks the contract, before it is sent; Unavailable where there is no service.

    Several threads may share one. A question is a text or a whole request, in which `fields` replace parts.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        deadline_s: float | None = None,
        timeout_s: float = 600,
        retry_s: float = 10,
    ) -> None:
        """`url` and `key` are those of ANSWERBOX_URL and ANSWERBOX_API_KEY where they are not given.

        `deadline_s` is what the service may take for an answer, `timeout_s` the longest silence on the connection.
        What was refused or lost is tried again where that does no harm, after the pause that the service asks for, if
        that is within `retry_s`; 0: never. All are seconds.
        """
        self._http = httpx.Client(**wire.arguments(url, key, deadline_s, timeout_s))
        self._retry_s = retry_s
        self._retries = RetryBudget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def llm(self, question: str | LlmRequest, **fields: Unpack[LlmFields]) -> LlmResponse:
        return self._do(calls.llm(question, fields))

    def rag(self, question: str | RagRequest, **fields: Unpack[RagFields]) -> RagResponse:
        return self._do(calls.rag(question, fields))

    def agent(self, question: str | AgentRequest, **fields: Unpack[AgentFields]) -> AgentResponse:
        return self._do(calls.agent(question, fields))

    def custom(self, question: str | CustomRequest, **fields: Unpack[CustomFields]) -> CustomResponse:
        return self._do(calls.custom(question, fields))

    def stream_llm(
        self, question: str | LlmRequest, **fields: Unpack[LlmFields]
    ) -> AbstractContextManager[Iterator[Event]]:
        """The events as they come, last `done`; an `error` is raised. The end of the block hangs up, and so cancels."""
        return self._stream(calls.llm(question, fields))

    def stream_rag(
        self, question: str | RagRequest, **fields: Unpack[RagFields]
    ) -> AbstractContextManager[Iterator[Event]]:
        """As `stream_llm`."""
        return self._stream(calls.rag(question, fields))

    def stream_agent(
        self, question: str | AgentRequest, **fields: Unpack[AgentFields]
    ) -> AbstractContextManager[Iterator[Event]]:
        """As `stream_llm`."""
        return self._stream(calls.agent(question, fields))

    def stream_custom(
        self, question: str | CustomRequest, **fields: Unpack[CustomFields]
    ) -> AbstractContextManager[Iterator[Event]]:
        """As `stream_llm`."""
        return self._stream(calls.custom(question, fields))

    def search(self, query: str | SearchRequest, **fields: Unpack[SearchFields]) -> SearchResponse:
        return self._do(calls.search(query, fields))

    def feedback(self, score: float, **fields: Unpack[FeedbackFields]) -> FeedbackResponse:
        return self._do(calls.feedback(score, fields))

    def cancel(self, request_id: str) -> None:
        """Ends a running answer; what there is of it is the answer."""
        self._do(calls.cancel(request_id))

    def add_documents(self, documents: Sequence[DocumentIn], *, idempotency_key: str | None = None) -> Job:
        return self._do(calls.add_documents(documents, idempotency_key))

    def upload(
        self,
        files: Sequence[File | Path],
        *,
        metadata: Mapping[str, Any] | None = None,
        language: str | None = None,
        user_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """`metadata`, `language` and `user_id` are those of all these files."""
        return self._do(calls.upload(files, metadata, language, user_id, idempotency_key))

    def documents(self, after: str | None = None, limit: int = 50, user_id: str | None = None) -> DocumentPage:
        return self._do(calls.documents(after, limit, user_id))

    def document(self, document_id: str, user_id: str | None = None) -> Document:
        return self._do(calls.document(document_id, user_id))

    def delete_document(self, document_id: str, user_id: str | None = None) -> None:
        self._do(calls.delete_document(document_id, user_id))

    def job(self, job_id: str) -> Job:
        return self._do(calls.job(job_id))

    def cancel_job(self, job_id: str) -> Job:
        return self._do(calls.cancel_job(job_id))

    def wait(
        self,
        job: Job,
        within_s: float = math.inf,
        poll_s: float = 0.2,
        watch: Callable[[Job], None] = lambda _: None,
    ) -> Job:
        """The job when it has ended, well or not; `watch` sees how it goes.

        Raises:
            Conflict: it was cancelled.
            DeadlineExceeded: it has not ended within so many seconds; it goes on.
        """
        end = time.monotonic() + within_s
        while not job.finished_at:
            watch(job)
            if time.monotonic() > end:
                raise calls.unfinished(job)
            time.sleep(poll_s)
            job = self.job(job.job_id)
        return calls.ended(job)

    def reindex(self) -> Job:
        return self._do(calls.reindex())

    def delete_session(self, session_id: str, user_id: str | None = None) -> None:
        self._do(calls.delete_session(session_id, user_id))

    def health(self) -> Health:
        return self._do(calls.health())

    def _do(self, call: Call[T]) -> T:
        found: T = self._again(call)(self._once, call)
        return found

    def _again(self, call: Call[Any]) -> Retrying:
        return Retrying(**rules(self._retries, call.again, self._retry_s), wait=as_told)

    def _once(self, call: Call[T]) -> T:
        with call.opened() as options, wire.answering(self._http.base_url):
            response = self._http.request(call.method, call.path, **options)
        return call.read(wire.good(response))

    @contextmanager
    def _stream(self, call: Call[Any]) -> Iterator[Iterator[Event]]:
        with closing(self._again(call)(self._begun, call)) as response, closing(self._events(response)) as events:
            yield events

    def _begun(self, call: Call[Any]) -> httpx.Response:
        request = self._http.build_request(call.method, f"{call.path}/stream", **call.options)
        with wire.answering(self._http.base_url):
            response = self._http.send(request, stream=True)
            if response.is_success:
                return response
            with closing(response):
                response.read()
        raise wire.problem(response)

    def _events(self, response: httpx.Response) -> Generator[Event, None, None]:
        ended = False
        try:
            for sent in EventSource(response).iter_sse():
                if event := wire.event_of(sent):
                    ended = ended or isinstance(event, DoneEvent)
                    yield event
        except httpx.HTTPError as exc:
            if not ended:
                raise wire.broken(exc) from exc
        if not ended:
            raise wire.broken()
