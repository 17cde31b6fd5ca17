"""The half of the index that searches by meaning: the vector store, kept like the ledger, which has every vector too.

It opens in the background and again whenever the store was lost. Until it holds all that the ledger has, it does not
answer, and the words alone are searched. Each embedding model has a collection of its own; which one serves stands
in the ledger, and only a reindex changes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from answerbox.breaker import Breaker
from answerbox.documents.search import METADATA, OWNER, Embedded
from answerbox.errors import AnswerboxError, EmbedderUnavailable, IndexUnavailable
from answerbox.filters import Filter
from answerbox.ledger import Ledger, StoredChunk
from answerbox.ports import Chunk, Embedder, EmbedderInfo, TextKind, Vector, Vectors, VectorStore, VectorStores
from answerbox.retrying import RetryBudget, retrying
from answerbox.text import language_of

log = logging.getLogger(__name__)

ACTIVE = "embedding"
WRITE_BATCH = 50
"""Vectors per write: embedded Chroma freezes the process while it writes."""
COPY_BATCH = 200
RETRY_S = 1.0

Former = Callable[[str], Awaitable[Embedder]]
"""The embedding model of that tag, beside the present one. Raises: SetupError where it is gone."""
State = Literal["ready", "rebuilding", "unavailable"]


class VectorHalf:
    def __init__(
        self, stores: VectorStores, ledger: Ledger, embedder: Embedder, former: Former, patience_s: float
    ) -> None:
        """`patience_s`: so long a search waits for the embedding model; then it is by words."""
        self._stores = stores
        self._ledger = ledger
        self._present = embedder
        self._former = former
        self._store: VectorStore | None = None
        self._lost = asyncio.Event()
        self._reindex = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.state: State = "rebuilding"
        self.embedder = embedder
        """The model whose vectors serve."""
        self.fingerprint = ""
        self.model = ""
        self._patience_s = patience_s
        self._breaker = Breaker()
        self._retries = RetryBudget()
        self.writing = asyncio.Lock()
        """Held while vectors and ledger are brought from one state to the next."""

    async def present(self) -> EmbedderInfo:
        """The model that is set now. Raises: EmbedderUnavailable."""
        return await self._present.info()

    async def choose_model(self) -> None:
        """Decides which model's vectors serve: those of the ledger, or with an empty one the present model's.

        Raises:
            EmbedderUnavailable, IndexUnavailable
        """
        present = await self._present.info()
        note = await asyncio.to_thread(self._ledger.recall, ACTIVE)
        noted = json.loads(note or "{}")
        _, chunks, _ = await asyncio.to_thread(self._ledger.counts)
        if not noted or not chunks or noted["fingerprint"] == present.fingerprint:
            await self._activate(present)
            return
        log.warning(
            "The index was made with the embedding model %s, now %s is set: run `answerbox reindex`.",
            noted["model"],
            present.model,
        )
        self.fingerprint, self.model = noted["fingerprint"], noted["model"]
        try:
            self.embedder = await self._former(noted["model"])
        except AnswerboxError as exc:
            log.warning("Until then only words are searched: %s", exc)
            self.embedder = _Gone(noted["model"])

    async def keep(self) -> None:
        """Works for ever: opens the store, fills it, waits until it is lost or a reindex is asked for."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                if self._store is None:
                    self._lost.clear()
                    await self._open()
                if await asyncio.to_thread(self._ledger.reindexing):
                    await self._rebuild_with_present()
                await self._next_reason()
            except AnswerboxError as exc:
                log.warning("the vector index waits: %s", exc)
                self.state, self._store = "unavailable", None
                await asyncio.sleep(RETRY_S)

    def nearest(self, embedded: Embedded, limit: int, filter: Filter | None) -> list[tuple[str, float]]:
        """(chunk id, cosine), best first. Blocking. Raises: IndexUnavailable."""
        store = self._store
        if store is None or self.state != "ready" or embedded.fingerprint != self.fingerprint:
            raise IndexUnavailable("The vectors cannot be searched now.")
        try:
            found = store.query(embedded.vector, limit, filter)
            if not found and filter is None and self._was_emptied(store):
                raise IndexUnavailable("The vector store has lost its vectors.")
        except IndexUnavailable:
            if self._loop:
                self._loop.call_soon_threadsafe(self._lose)
            raise
        return found

    async def ingesting(self) -> tuple[Embedder, str]:
        """The model for new passages, and its fingerprint: the one that serves, unless it is gone."""
        if isinstance(self.embedder, _Gone):
            return self._present, (await self._present.info()).fingerprint
        return self.embedder, self.fingerprint

    def ask_reindex(self) -> None:
        self._reindex.set()

    async def meaning(self, text: str) -> Embedded | None:
        """The question's vector in the space that serves; None where the model does not speak its language.

        Raises: EmbedderUnavailable
        """
        with self._breaker.around():
            try:
                async with asyncio.timeout(self._patience_s):
                    async for attempt in retrying(self._retries):
                        with attempt:
                            return await self._embedded(text)
            except TimeoutError as exc:
                raise EmbedderUnavailable(f"The embedding model did not answer within {self._patience_s:g} s.") from exc
        raise AssertionError("tenacity either returns or raises")

    async def _embedded(self, text: str) -> Embedded | None:
        embedder = self.embedder
        info, language = await embedder.info(), language_of(text)
        if info.languages and language and language not in info.languages:
            return None
        found = await embedder.embed([text], "query")
        return Embedded(found[0], info.fingerprint, found.detail)

    async def put(self, fingerprint: str, rows: Mapping[str, tuple[Vector, dict[str, Any]]]) -> None:
        """Writes the vectors of chunks that the ledger is about to get. While the store is away, it is filled later."""
        store = self._store
        if store is None or fingerprint != self.fingerprint:
            return
        try:
            await _upsert(store, rows)
        except IndexUnavailable as exc:
            log.warning("vectors are written later: %s", exc)
            self._lose()

    async def forget(self, ids: Sequence[str]) -> None:
        store = self._store
        if store is None or not ids:
            return
        try:
            await asyncio.to_thread(store.delete, ids)
        except IndexUnavailable:
            self._lose()

    def count(self) -> int:
        """Vectors that can be searched. Blocking."""
        try:
            return self._store.count() if self._store and self.state == "ready" else 0
        except IndexUnavailable:
            return 0

    def close(self) -> None:
        self._stores.close()

    def _was_emptied(self, store: VectorStore) -> bool:
        """A server may lose a collection and say nothing."""
        return store.count() == 0 and self._ledger.counts()[1] > 0

    def _lose(self) -> None:
        """The store did not answer: it does not serve any more, and is opened again."""
        self._store, self.state = None, "unavailable"
        self._lost.set()

    async def _activate(self, info: EmbedderInfo) -> None:
        note = json.dumps({"fingerprint": info.fingerprint, "model": info.model})
        await asyncio.to_thread(self._ledger.remember, ACTIVE, note)
        self.embedder, self.fingerprint, self.model = self._present, info.fingerprint, info.model

    async def _open(self) -> None:
        store = await asyncio.to_thread(self._stores.open, self.fingerprint)
        self.state = "rebuilding"
        await self._fill(store, self.fingerprint, self.embedder)
        async with self.writing:
            await self._fill(store, self.fingerprint, self.embedder)
            self._store = store
            self.state = "unavailable" if isinstance(self.embedder, _Gone) else "ready"

    async def _next_reason(self) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._lost, self._reindex)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._reindex.clear()

    async def _fill(self, store: VectorStore, fingerprint: str, embedder: Embedder) -> None:
        """Puts what the store lacks, removes what the ledger lacks."""
        have = await asyncio.to_thread(store.ids)
        known = await asyncio.to_thread(self._ledger.chunk_ids)
        await asyncio.to_thread(store.delete, sorted(have - set(known)))
        missing = [id_ for id_ in known if id_ not in have]
        if len(missing) > COPY_BATCH:
            log.info("the vector index lacks %d of %d passages and is being filled", len(missing), len(known))
        for start in range(0, len(missing), COPY_BATCH):
            batch = missing[start : start + COPY_BATCH]
            stored = await asyncio.to_thread(self._ledger.stored, batch)
            vectors = await self._vectors(stored, fingerprint, embedder)
            await _upsert(store, {id_: (vectors[id_], metadata_of(stored[id_])) for id_ in stored if id_ in vectors})

    async def _vectors(
        self, stored: Mapping[str, StoredChunk], fingerprint: str, embedder: Embedder
    ) -> dict[str, Vector]:
        """From the ledger; what it has not yet is made, and kept there."""
        found = await asyncio.to_thread(self._ledger.get_vectors, list(stored), fingerprint)
        lacking = [id_ for id_ in stored if id_ not in found]
        if not lacking or isinstance(embedder, _Gone):
            return found
        made = await embedder.embed([passage(stored[id_].chunk, stored[id_].title) for id_ in lacking], "passage")
        new = dict(zip(lacking, made, strict=True))
        await asyncio.to_thread(self._ledger.put_vectors, fingerprint, new)
        return found | new

    async def _rebuild_with_present(self) -> None:
        """The reindex job: a shadow collection is filled while the old one serves, then takes its place."""
        info = await self._present.info()
        before = self.fingerprint
        shadow = await asyncio.to_thread(self._stores.open, info.fingerprint)
        await self._fill(shadow, info.fingerprint, self._present)
        async with self.writing:
            await self._fill(shadow, info.fingerprint, self._present)
            await self._activate(info)
            self._store, self.state = shadow, "ready"
        await asyncio.to_thread(self._ledger.end_reindex)
        if before != info.fingerprint:
            await asyncio.to_thread(self._ledger.drop_vectors, before)
            await asyncio.to_thread(self._stores.drop, before)
        log.info("the index now has the vectors of %s", info.model)


class _Gone:
    """Stands for a model that is no longer in the model store."""

    def __init__(self, model: str) -> None:
        self._error = EmbedderUnavailable(f"The embedding model {model!r} that made the index is gone.")

    async def info(self) -> EmbedderInfo:
        raise self._error

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:  # noqa: ARG002
        raise self._error


def passage(chunk: Chunk, title: str | None) -> str:
    """What is embedded of a chunk."""
    return f"{title}. {chunk.text}" if title and title not in chunk.text else chunk.text


def metadata_of(stored: StoredChunk) -> dict[str, Any]:
    """What the vector store can filter by."""
    own = {METADATA + key: value for key, value in stored.metadata.items()}
    return {"document_id": stored.chunk.document_id, OWNER: stored.user_id or "", **own}


async def _upsert(store: VectorStore, rows: Mapping[str, tuple[Vector, dict[str, Any]]]) -> None:
    ids = list(rows)
    for start in range(0, len(ids), WRITE_BATCH):
        part = ids[start : start + WRITE_BATCH]
        vectors, metadatas = [rows[id_][0] for id_ in part], [rows[id_][1] for id_ in part]
        await asyncio.to_thread(store.upsert, part, vectors, metadatas)
