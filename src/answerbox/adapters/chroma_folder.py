"""Vectors in an embedded ChromaDB. One process owns the folder; `DataFolder` in `data_folder.py` sees to that.

Chroma does not survive every crash, and touching what a crash has damaged ends the process. So a folder that was not
closed in an orderly way is looked at by a process of its own first, and put aside if that one fails.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import chromadb
from chromadb.errors import NotFoundError

from answerbox.adapters import chroma_files as files
from answerbox.adapters.chroma_collection import (
    SYNC_THRESHOLD,
    ChromaCollection,
    SealedSettings,
    collection_name,
    definition,
    tuned,
)
from answerbox.adapters.chroma_errors import translating
from answerbox.adapters.chroma_probe import fault
from answerbox.errors import StorageFull

ROWS = 50
"""A write holds Python's lock for about 2 ms a row."""

ROOM_BYTES = 8 * 2**20
"""Free on the disk, so that a folder can be opened and looked at."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class ChromaFolder:
    def __init__(
        self, path: Path, sync_threshold: int = SYNC_THRESHOLD, probe: Callable[[Path], str | None] = fault
    ) -> None:
        self._path = path
        self._sync_threshold = sync_threshold
        self._probe = probe
        self._client: Any = None
        self._lock = threading.Lock()

    def open(self, fingerprint: str) -> ChromaCollection:
        with self._lock, translating():
            wanted = definition(fingerprint, self._sync_threshold)
            collection = tuned(self._opened().get_or_create_collection(**wanted, embedding_function=None))
        return ChromaCollection(_Direct(collection), ROWS)

    def drop(self, fingerprint: str) -> None:
        with self._lock, translating(), suppress(NotFoundError):
            self._opened().delete_collection(collection_name(fingerprint))

    def close(self) -> None:
        with self._lock, translating():
            client, self._client = self._client, None
            if client is not None:
                client.close()
                files.mark_clean(self._path)

    def _opened(self) -> Any:
        if self._client is None:
            self._put_aside_if_damaged()
            self._path.mkdir(parents=True, exist_ok=True)
            files.unmark(self._path)
            files.sweep(self._path)
            settings = SealedSettings(anonymized_telemetry=False)
            self._client = chromadb.PersistentClient(path=str(self._path), settings=settings)
        return self._client

    def _put_aside_if_damaged(self) -> None:
        if not files.has_store(self._path) or files.is_clean(self._path):
            return
        if shutil.disk_usage(self._path).free < ROOM_BYTES:  # a good index would look damaged
            raise StorageFull("There is no room left on the disk.")
        if wrong := self._probe(self._path):
            kept = files.put_aside(self._path)
            log.warning(
                "The vector index in %s is damaged (%s). It was put aside as %s, and an empty one takes its place.",
                self._path,
                wrong,
                kept.name,
            )


class _Direct:
    """Access to a collection in this process: nothing is tried again."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __call__(self, work: Callable[[Any], T], *, long: bool = False) -> T:  # noqa: ARG002
        with translating():
            return work(self._collection)
