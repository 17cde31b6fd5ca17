"""Vectors in a collection of Chroma, wherever it is: in a folder or on a server.

A collection a fingerprint of the embedding model: vectors of two models never mix. Nothing is remembered here: ids and
their number are always asked for, so that they are true whatever has become of the collection.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from chromadb.config import Settings

from answerbox.adapters.batches import batches
from answerbox.adapters.chroma_filter import where
from answerbox.filters import Filter
from answerbox.ports import Vector

SPACE = "cosine"
EF_CONSTRUCTION = 200
EF_SEARCH = 2_000
"""Of 100,000 passages 1,500 found 0.97 of the ten nearest in 6 ms, 200 found 0.84 in 2 ms (docs/scale.md)."""
MAX_NEIGHBORS = 16
SYNC_THRESHOLD = 1_000

ROWS = 300
BYTES = 10 * 2**20
BYTES_OF_A_NUMBER = 20
"""As JSON, which is the longest way to write one."""

T = TypeVar("T")
Row = tuple[str, Vector, dict[str, Any]]


class SealedSettings(Settings):  # type: ignore[misc]
    """Chroma's settings without the environment and `.env`, where names such as MIGRATIONS mean other things."""

    @classmethod
    def settings_customise_sources(cls, settings_cls: Any, init_settings: Any, **_: Any) -> tuple[Any, ...]:  # noqa: ARG003
        return (init_settings,)


class Access(Protocol):
    """How work on the collection is done: what is tried again, how long it may take, how failures are told."""

    def __call__(self, work: Callable[[Any], T], *, long: bool = False) -> T:
        """What `work` returns, which is given Chroma's collection. Raises: IndexUnavailable."""
        ...


def collection_name(fingerprint: str, installation: str = "") -> str:
    """`installation` tells two data folders on one server apart: each removes what it does not know."""
    return "-".join(part for part in ("chunks", installation, fingerprint[:32]) if part)


def definition(fingerprint: str, sync_threshold: int = SYNC_THRESHOLD, installation: str = "") -> dict[str, Any]:
    """What Chroma is told when it makes the collection; one that is there stays as it is."""
    return {
        "name": collection_name(fingerprint, installation),
        "configuration": {
            "hnsw": {
                "space": SPACE,
                "ef_construction": EF_CONSTRUCTION,
                "ef_search": EF_SEARCH,
                "max_neighbors": MAX_NEIGHBORS,
                "sync_threshold": sync_threshold,
            }
        },
        "metadata": {"fingerprint": fingerprint},
    }


def tuned(collection: Any) -> Any:
    """A collection that was made with other settings searches as carefully as one made today."""
    if collection.configuration_json["hnsw"]["ef_search"] != EF_SEARCH:
        collection.modify(configuration={"hnsw": {"ef_search": EF_SEARCH}})
    return collection


class ChromaCollection:
    def __init__(self, access: Access, rows: int = ROWS) -> None:
        self._access = access
        self._rows = rows

    def upsert(self, ids: Sequence[str], vectors: Sequence[Vector], metadatas: Sequence[dict[str, Any]]) -> None:
        for batch in _batches(list(zip(ids, vectors, metadatas, strict=True)), self._rows):
            self._access(partial(_replace, batch), long=True)

    def delete(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), self._rows):
            self._access(partial(_delete, list(ids[start : start + self._rows])), long=True)

    def query(self, vector: Vector, limit: int, filter: Filter | None) -> list[tuple[str, float]]:
        return self._access(partial(_nearest, vector, limit, filter))

    def ids(self) -> set[str]:
        return self._access(_ids, long=True)

    def count(self) -> int:
        return self._access(_count)


def _replace(rows: list[Row], collection: Any) -> None:
    # Chroma merges metadata; a key that is no longer there is set to None, which removes it.
    old = collection.get(ids=[id_ for id_, _, _ in rows], include=["metadatas"])
    gone = {id_: dict.fromkeys(was or {}) for id_, was in zip(old["ids"], old["metadatas"], strict=True)}
    collection.upsert(
        ids=[id_ for id_, _, _ in rows],
        embeddings=[vector for _, vector, _ in rows],
        metadatas=[{**gone.get(id_, {}), **metadata} for id_, _, metadata in rows],
    )


def _delete(ids: list[str], collection: Any) -> None:
    collection.delete(ids=ids)


def _nearest(vector: Vector, limit: int, filter: Filter | None, collection: Any) -> list[tuple[str, float]]:
    found = collection.query(query_embeddings=[vector], n_results=limit, where=where(filter), include=["distances"])
    return [(id_, 1.0 - distance) for id_, distance in zip(found["ids"][0], found["distances"][0], strict=True)]


def _ids(collection: Any) -> set[str]:
    # One call, because pages shift under a concurrent writer.
    return set(collection.get(include=[])["ids"])


def _count(collection: Any) -> int:
    return int(collection.count())


def _batches(rows: list[Row], most: int) -> Iterator[list[Row]]:
    return batches(rows, _bytes, most, BYTES)


def _bytes(row: Row) -> int:
    id_, vector, metadata = row
    return len(id_) + len(vector) * BYTES_OF_A_NUMBER + len(json.dumps(metadata))
