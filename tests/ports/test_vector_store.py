"""Every `VectorStore` keeps the port's promises: Chroma in a folder, and the double of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from answerbox.adapters.chroma_vectors import ChromaVectors
from answerbox.errors import IndexUnavailable
from answerbox.ports import Vector, VectorStore
from tests.doubles import MemoryVectors

X, Y, Z = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
NEAR_X = [0.8, 0.6, 0.0]


@pytest.fixture(params=["memory", "chroma"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    store: VectorStore = MemoryVectors() if request.param == "memory" else ChromaVectors(tmp_path, "model-1")
    yield store
    store.close()


def put(store: VectorStore, **rows: tuple[Vector, dict[str, Any]]) -> None:
    vectors = [vector for vector, _ in rows.values()]
    metadatas = [{"document_id": "doc", **{f"m.{k}": v for k, v in meta.items()}} for _, meta in rows.values()]
    store.upsert(list(rows), vectors, metadatas)


def found(store: VectorStore, vector: Vector = X, limit: int = 10, **filter: Any) -> list[str]:
    return [id_ for id_, _ in store.query(vector, limit, filter or None)]


def test_an_empty_store_finds_nothing(store: VectorStore) -> None:
    assert store.query(X, 5, None) == []
    assert store.ids() == set()


def test_the_nearest_come_first_with_their_cosine(store: VectorStore) -> None:
    put(store, y=(Y, {}), near=(NEAR_X, {}), x=(X, {}))
    ranked = store.query(X, 10, None)
    assert [id_ for id_, _ in ranked] == ["x", "near", "y"]
    assert [cosine for _, cosine in ranked] == pytest.approx([1.0, 0.8, 0.0], abs=1e-4)


@pytest.mark.parametrize("limit", [1, 2, 3, 99])
def test_no_more_than_the_limit_is_found(limit: int, store: VectorStore) -> None:
    put(store, x=(X, {}), near=(NEAR_X, {}), y=(Y, {}))
    assert found(store, limit=limit) == ["x", "near", "y"][:limit]


def test_an_upsert_takes_the_place_of_what_was_there(store: VectorStore) -> None:
    put(store, a=(X, {"team": "a"}), b=(Y, {}))
    put(store, a=(Z, {"team": "b"}))
    assert store.ids() == {"a", "b"}
    assert store.query(Z, 1, None)[0][1] == pytest.approx(1.0, abs=1e-4)
    assert found(store, Z)[0] == "a"
    assert found(store, team="a") == []
    assert found(store, team="b") == ["a"]


def test_an_upsert_leaves_no_old_metadata(store: VectorStore) -> None:
    put(store, a=(X, {"old": "yes"}))
    put(store, a=(X, {"new": "yes"}))
    assert found(store, new="yes") == ["a"]
    assert found(store, old="yes") == []


def test_what_was_deleted_is_gone_and_unknown_ids_do_no_harm(store: VectorStore) -> None:
    put(store, a=(X, {}), b=(Y, {}))
    store.delete(["a", "never-there"])
    store.delete([])
    assert store.ids() == {"b"}
    assert found(store) == ["b"]


FILTERS: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
    ("text", {"v": "a"}, {"v": "a"}, True),
    ("other-text", {"v": "a"}, {"v": "b"}, False),
    ("case", {"v": "a"}, {"v": "A"}, False),
    ("cyrillic", {"v": "Ёлка"}, {"v": "Ёлка"}, True),
    ("number", {"v": 1}, {"v": 1}, True),
    ("number-and-its-float", {"v": 1}, {"v": 1.0}, True),
    ("fraction", {"v": 1.5}, {"v": 1.5}, True),
    ("true", {"v": True}, {"v": True}, True),
    ("false", {"v": False}, {"v": False}, True),
    ("true-is-not-false", {"v": True}, {"v": False}, False),
    ("1-is-not-true", {"v": 1}, {"v": True}, False),
    ("true-is-not-1", {"v": True}, {"v": 1}, False),
    ("1-is-not-text", {"v": 1}, {"v": "1"}, False),
    ("text-is-not-1", {"v": "1"}, {"v": 1}, False),
    ("missing", {}, {"v": 1}, False),
    ("both", {"v": 1, "w": "x"}, {"v": 1, "w": "x"}, True),
    ("only-one", {"v": 1, "w": "x"}, {"v": 1, "w": "y"}, False),
    ("dots-in-key", {"a.b-c": 1}, {"a.b-c": 1}, True),
    ("empty-text", {"v": ""}, {"v": ""}, True),
]


@pytest.mark.parametrize(("metadata", "filter", "matches"), [pytest.param(*case, id=name) for name, *case in FILTERS])
def test_a_filter_is_equality_of_value_and_kind(
    metadata: dict[str, Any], filter: dict[str, Any], matches: bool, store: VectorStore
) -> None:
    put(store, a=(X, metadata), other=(Y, {}))
    assert found(store, **filter) == (["a"] if matches else [])


def test_many_vectors_are_kept_apart(store: VectorStore) -> None:
    ids = [f"v{number}" for number in range(120)]
    vectors = [[1.0, number / 120, 0.0] for number in range(120)]
    for start in range(0, 120, 50):
        part = slice(start, start + 50)
        store.upsert(ids[part], vectors[part], [{"document_id": "d"}] * len(ids[part]))
    assert store.ids() == set(ids)
    assert len(found(store, limit=50)) == 50


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], ChromaVectors]]:
    stores: list[ChromaVectors] = []

    def open_(fingerprint: str) -> ChromaVectors:
        stores.append(ChromaVectors(tmp_path / "chroma", fingerprint))
        return stores[-1]

    yield open_
    stores[-1].close()


def test_vectors_are_there_after_a_reopening(opened: Callable[[str], ChromaVectors]) -> None:
    store = opened("model-1")
    put(store, a=(X, {"team": "a"}), b=(Y, {}))
    store.delete(["b"])
    store.close()
    again = opened("model-1")
    assert again.ids() == {"a"}
    assert found(again, team="a") == ["a"]


def test_vectors_of_another_model_are_not_seen(opened: Callable[[str], ChromaVectors]) -> None:
    store = opened("model-1")
    put(store, a=(X, {}))
    store.close()
    other = opened("model-2")
    assert other.ids() == set()
    assert found(other) == []


def test_a_vector_of_another_length_is_an_unavailable_index(opened: Callable[[str], ChromaVectors]) -> None:
    store = opened("model-1")
    put(store, a=(X, {}))
    with pytest.raises(IndexUnavailable):
        store.query([1.0, 0.0], 1, None)


def test_a_broken_folder_is_an_unavailable_index(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(IndexUnavailable):
        ChromaVectors(tmp_path, "model-1")
