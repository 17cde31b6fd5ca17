"""Vectors in an embedded ChromaDB. One process owns the folder; `DataFolder` in `data_folder.py` sees to that.

A collection a fingerprint of the embedding model: vectors of two models never mix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import chromadb
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import ChromaError

from answerbox.errors import IndexUnavailable
from answerbox.ports import Vector

PAGE = 5_000
T = TypeVar("T")


class ChromaVectors:
    def __init__(self, path: Path, fingerprint: str) -> None:
        path.mkdir(parents=True, exist_ok=True)

        def opened() -> Any:
            self._client = chromadb.PersistentClient(
                path=str(path), settings=ChromaSettings(anonymized_telemetry=False)
            )
            return self._client.get_or_create_collection(
                name=f"chunks-{fingerprint[:32]}",
                embedding_function=None,
                configuration={"hnsw": {"space": "cosine"}},
                metadata={"fingerprint": fingerprint},
            )

        self._collection = _translated(opened)
        self._ids = self._read_ids()

    def upsert(self, ids: Sequence[str], vectors: Sequence[Vector], metadatas: Sequence[dict[str, Any]]) -> None:
        known = [id_ for id_ in ids if id_ in self._ids]

        def replaced() -> None:
            # Chroma merges metadata; a key that is no longer there is set to None, which removes it.
            old = self._collection.get(ids=known, include=["metadatas"]) if known else {"ids": [], "metadatas": []}
            gone = {id_: dict.fromkeys(was or {}) for id_, was in zip(old["ids"], old["metadatas"], strict=True)}
            whole = [{**gone.get(id_, {}), **new} for id_, new in zip(ids, metadatas, strict=True)]
            self._collection.upsert(ids=list(ids), embeddings=list(vectors), metadatas=whole)

        _translated(replaced)
        self._ids.update(ids)

    def delete(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), PAGE):
            part = list(ids[start : start + PAGE])
            _translated(lambda part=part: self._collection.delete(ids=part))  # type: ignore[misc]
            self._ids.difference_update(part)

    def query(self, vector: Vector, limit: int, filter: dict[str, Any] | None) -> list[tuple[str, float]]:
        if not self._ids:
            return []
        found = _translated(
            lambda: self._collection.query(
                query_embeddings=[vector],
                n_results=min(limit, len(self._ids)),
                where=_where(filter),
                include=["distances"],
            )
        )
        return [(id_, 1.0 - distance) for id_, distance in zip(found["ids"][0], found["distances"][0], strict=True)]

    def ids(self) -> set[str]:
        return set(self._ids)

    def close(self) -> None:
        _translated(self._client.close)

    def _read_ids(self) -> set[str]:
        found: set[str] = set()
        while True:
            page = _translated(lambda: self._collection.get(limit=PAGE, offset=len(found), include=[]))["ids"]
            found.update(page)
            if len(page) < PAGE:
                return found


def _where(filter: dict[str, Any] | None) -> dict[str, Any] | None:
    parts: list[dict[str, Any]] = [{f"m.{key}": {"$eq": value}} for key, value in (filter or {}).items()]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else {"$and": parts}


def _translated(work: Callable[[], T]) -> T:
    try:
        return work()
    except (ChromaError, OSError, ValueError, RuntimeError) as exc:
        raise IndexUnavailable(f"The vector index cannot be used: {type(exc).__name__}.") from exc
