"""The service that owns the documents: one process, the only one that opens the data folder."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import sys
from dataclasses import asdict
from typing import Any

import bentoml

from answerbox import logs
from answerbox.adapters.data_folder import DataFolder
from answerbox.adapters.sqlite_sessions import SqliteSessions
from answerbox.app import feedback_desk, library, session_store
from answerbox.contracts import DocumentIn
from answerbox.documents.library import Library
from answerbox.documents.manual import seed
from answerbox.errors import AnswerboxError, EmbedderUnavailable, IndexUnavailable, NotReady, StorageFull
from answerbox.feedback import Feedback, FeedbackDesk
from answerbox.ports import Embedder as Embeds
from answerbox.ports import FileIn, SearchQuery
from answerbox.service.envelope import INNER, enveloped
from answerbox.service.inference import Embedder
from answerbox.service.late import Late
from answerbox.service.parts import depends_on, embedder_of
from answerbox.service.pinned import pinned
from answerbox.service.reporting import SLOWER_S, index_figures, process_figures, report_every
from answerbox.sessions import SessionKey, Turn
from answerbox.settings import load_settings

log = logging.getLogger(__name__)
settings = load_settings()
logs.install_in_server(settings)

RETRY_S = 0.5
SWITCH_S = 0.0005
"""A search has two threads beside the event loop; with Python's 5 ms each of them waits for the other two."""


@bentoml.service(name="Index", **INNER)
@depends_on("embedder", Embedder, settings.embedder_url)
class Index:
    def __init__(self) -> None:
        sys.setswitchinterval(SWITCH_S)
        self._folder = DataFolder(settings.data_dir)
        self._library: Library | None = None
        self._feedback = Late("Feedback", self._open_desk)
        self._sessions = Late("Conversations", self._open_sessions)
        self._opening: asyncio.Task[None] | None = None
        self._failure: IndexUnavailable | None = None
        self._reporting: asyncio.Task[None] | None = None

    @bentoml.on_startup
    async def open(self) -> None:
        self._opening = asyncio.create_task(self._open())
        await self._feedback.try_now()
        await self._sessions.try_now()
        documents = index_figures(lambda: self._library, self._folder)
        self._reporting = report_every(SLOWER_S, process_figures("Index"), documents)

    @bentoml.on_shutdown
    async def close(self) -> None:
        for task in (self._opening, self._reporting):
            if task:
                task.cancel()
        if self._library:
            await self._library.stop()
        if self._feedback.found:
            await self._feedback.found.stop()
        if self._sessions.found:
            await asyncio.to_thread(self._sessions.found.close)
        self._folder.release()

    @bentoml.api
    async def describe(self) -> dict[str, Any]:
        return await self._describe()

    @bentoml.api
    async def search(self, query: dict[str, Any]) -> dict[str, Any]:
        return await self._search(query)

    @bentoml.api
    async def add(self, documents: list[dict[str, Any]], idempotency_key: str) -> dict[str, Any]:
        return await self._add(documents, idempotency_key)

    @bentoml.api
    async def put_upload(self, upload_id: str, offset: int, data: str) -> dict[str, Any]:
        return await self._put_upload(upload_id, offset, data)

    @bentoml.api
    async def add_files(self, files: list[dict[str, Any]], idempotency_key: str) -> dict[str, Any]:
        return await self._add_files(files, idempotency_key)

    @bentoml.api
    async def job(self, job_id: str) -> dict[str, Any]:
        return await self._job(job_id)

    @bentoml.api
    async def cancel_job(self, job_id: str) -> dict[str, Any]:
        return await self._cancel_job(job_id)

    @bentoml.api
    async def reindex(self) -> dict[str, Any]:
        return await self._reindex()

    @bentoml.api
    async def documents(self, after: str, limit: int, user_id: str) -> dict[str, Any]:
        return await self._documents(after, limit, user_id)

    @bentoml.api
    async def document(self, document_id: str, user_id: str) -> dict[str, Any]:
        return await self._document(document_id, user_id)

    @bentoml.api
    async def delete(self, document_id: str, user_id: str) -> dict[str, Any]:
        return await self._delete(document_id, user_id)

    @bentoml.api
    async def add_feedback(self, feedback: dict[str, Any]) -> dict[str, Any]:
        return await self._add_feedback(feedback)

    @bentoml.api
    async def session_turns(self, key: dict[str, Any]) -> dict[str, Any]:
        return await self._session_turns(key)

    @bentoml.api
    async def add_session_turn(self, key: dict[str, Any], turn: dict[str, Any]) -> dict[str, Any]:
        return await self._add_session_turn(key, turn)

    @bentoml.api
    async def delete_session(self, key: dict[str, Any]) -> dict[str, Any]:
        return await self._delete_session(key)

    async def _open(self) -> None:
        """Waits for the embedder, for the vectors depend on its model, and for room on the disk."""
        embedder = embedder_of(self)
        try:
            while self._library is None:
                with contextlib.suppress(EmbedderUnavailable):
                    await embedder.info()
                    self._library = await self._opened(embedder)
                    return
                await asyncio.sleep(RETRY_S)
        except Exception as exc:
            log.exception("the documents cannot be opened")
            reason = exc.message if isinstance(exc, AnswerboxError) else "an unexpected failure"
            self._failure = IndexUnavailable(f"The documents cannot be opened: {reason}.")

    async def _opened(self, embedder: Embeds) -> Library:
        while True:
            try:
                return await self._started(library(pinned(settings, Index), self._folder, embedder))
            except StorageFull as exc:
                log.warning("the documents cannot be opened: %s", exc)
                self._failure = StorageFull(exc.message)
                await asyncio.sleep(RETRY_S)

    async def _started(self, opened: Library) -> Library:
        try:
            await opened.start()
            if settings.seed_docs:
                await seed(opened)
        except BaseException:
            await opened.stop()
            raise
        return opened

    async def _open_desk(self) -> FeedbackDesk:
        desk = await asyncio.to_thread(feedback_desk, settings, self._folder)
        desk.start()
        return desk

    async def _open_sessions(self) -> SqliteSessions:
        return await asyncio.to_thread(session_store, settings, self._folder)

    def _ready(self) -> Library:
        if self._library is None and self._failure:
            raise self._failure
        if self._library is None:
            raise NotReady("The documents are still being opened.", hint="Try again in a few seconds.")
        return self._library

    @enveloped
    async def _describe(self) -> dict[str, Any]:
        return asdict(await self._ready().info())

    @enveloped
    async def _search(self, query: dict[str, Any]) -> dict[str, Any]:
        found = await self._ready().search(SearchQuery(**query))
        return {
            "sources": [hit.model_dump() for hit in found.sources],
            "degraded": found.degraded,
            "by_words": found.by_words,
            "steps": [step.model_dump() for step in found.steps],
        }

    @enveloped
    async def _add(self, documents: list[dict[str, Any]], idempotency_key: str) -> dict[str, Any]:
        given = [DocumentIn.model_validate(document) for document in documents]
        return (await self._ready().add(given, idempotency_key or None)).model_dump()

    @enveloped
    async def _put_upload(self, upload_id: str, offset: int, data: str) -> None:
        await self._ready().put_upload(upload_id, offset, base64.b64decode(data))

    @enveloped
    async def _add_files(self, files: list[dict[str, Any]], idempotency_key: str) -> dict[str, Any]:
        given = [FileIn(**file) for file in files]
        return (await self._ready().add_files(given, idempotency_key or None)).model_dump()

    @enveloped
    async def _job(self, job_id: str) -> dict[str, Any]:
        return (await self._ready().job(job_id)).model_dump()

    @enveloped
    async def _cancel_job(self, job_id: str) -> dict[str, Any]:
        return (await self._ready().cancel(job_id)).model_dump()

    @enveloped
    async def _reindex(self) -> dict[str, Any]:
        return (await self._ready().reindex()).model_dump()

    @enveloped
    async def _documents(self, after: str, limit: int, user_id: str) -> dict[str, Any]:
        return (await self._ready().documents(after or None, limit, user_id or None)).model_dump()

    @enveloped
    async def _document(self, document_id: str, user_id: str) -> dict[str, Any]:
        return (await self._ready().document(document_id, user_id or None)).model_dump()

    @enveloped
    async def _delete(self, document_id: str, user_id: str) -> None:
        await self._ready().delete(document_id, user_id or None)

    @enveloped
    async def _add_feedback(self, feedback: dict[str, Any]) -> None:
        desk = await self._feedback.get()
        await desk.add(Feedback(**feedback))

    @enveloped
    async def _session_turns(self, key: dict[str, Any]) -> list[dict[str, Any]]:
        sessions = await self._sessions.get()
        return [asdict(turn) for turn in await sessions.turns(SessionKey(**key))]

    @enveloped
    async def _add_session_turn(self, key: dict[str, Any], turn: dict[str, Any]) -> None:
        sessions = await self._sessions.get()
        await sessions.add(SessionKey(**key), Turn(**turn))

    @enveloped
    async def _delete_session(self, key: dict[str, Any]) -> None:
        sessions = await self._sessions.get()
        await sessions.delete(SessionKey(**key))
