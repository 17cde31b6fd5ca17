"""Every `VectorStore` keeps the port's promises: Chroma in a folder and on a server, and the double of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from answerbox import filters
from answerbox.adapters.chroma_folder import ChromaFolder
from answerbox.adapters.chroma_server import ChromaServer
from answerbox.errors import IndexUnavailable
from answerbox.filters import Filter, Group, both, matches, parsed
from answerbox.ports import Vector, VectorStore, VectorStores
from tests.doubles import MemoryStores
from tests.ports.chroma_run import chroma_run

X, Y, Z = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
NEAR_X = [0.8, 0.6, 0.0]
KINDS = ("memory", "folder", "server")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chroma_run(tmp_path_factory.mktemp("chroma-run")) as server:
        yield server.url


def stores_of(kind: str, path: Path, request: pytest.FixtureRequest) -> VectorStores:
    if kind == "memory":
        return MemoryStores()
    if kind == "folder":
        return ChromaFolder(path / "chroma")
    return ChromaServer(request.getfixturevalue("url"), timeout_s=20)


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStores]:
    made = stores_of(request.param, tmp_path, request)
    yield made
    made.close()


@pytest.fixture
def model() -> str:
    """A fingerprint that no other test has: they share the server."""
    return uuid4().hex


@pytest.fixture
def store(stores: VectorStores, model: str) -> VectorStore:
    return stores.open(model)


def put(store: VectorStore, **rows: tuple[Vector, dict[str, Any]]) -> None:
    vectors = [vector for vector, _ in rows.values()]
    metadatas = [{"document_id": "doc", **{f"m.{k}": v for k, v in meta.items()}} for _, meta in rows.values()]
    store.upsert(list(rows), vectors, metadatas)


def found(store: VectorStore, vector: Vector = X, limit: int = 10, **filter: Any) -> list[str]:
    tree = parsed({f"m.{key}": value for key, value in filter.items()})
    return [id_ for id_, _ in store.query(vector, limit, tree)]


def test_an_empty_store_finds_nothing(store: VectorStore) -> None:
    assert store.query(X, 5, None) == []
    assert store.ids() == set()
    assert store.count() == 0


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
    assert store.count() == 2
    assert store.query(Z, 1, None)[0][1] == pytest.approx(1.0, abs=1e-4)
    assert found(store, Z)[0] == "a"
    assert found(store, team="a") == []
    assert found(store, team="b") == ["a"]


def test_an_upsert_leaves_no_old_metadata(store: VectorStore) -> None:
    put(store, a=(X, {"old": "yes"}))
    put(store, a=(X, {"new": "yes"}))
    assert found(store, new="yes") == ["a"]
    assert found(store, old="yes") == []


def test_an_upsert_may_be_repeated(store: VectorStore) -> None:
    for _ in range(2):
        put(store, a=(X, {"team": "a"}), b=(Y, {}))
    assert store.count() == 2
    assert found(store, team="a") == ["a"]


def test_nothing_may_be_put_and_deleted(store: VectorStore) -> None:
    store.upsert([], [], [])
    store.delete([])
    assert store.count() == 0


def test_what_was_deleted_is_gone_and_unknown_ids_do_no_harm(store: VectorStore) -> None:
    put(store, a=(X, {}), b=(Y, {}))
    store.delete(["a", "never-there"])
    store.delete([])
    assert store.ids() == {"b"}
    assert store.count() == 1
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


EXACT = 2**53
"""Up to here every whole number is a float too."""
NUMBERS: list[int | float] = [*(-2, -1, 0, 1, 2, EXACT, -EXACT), *(-1.5, -1.0, -0.5, 0.0, 0.1, 0.5, 1.0, 1.5, 2.0**53)]
VALUES = [*NUMBERS, "", "1", "a", "Ёлка", True, False, None]
ROWS = {f"row-{number}": {"m.v": value} if value is not None else {} for number, value in enumerate(VALUES)}

numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(-EXACT, EXACT),
    st.floats(-EXACT, EXACT),
    st.sampled_from([float("inf"), float("-inf"), 1e300, 2**63 - 1, -(2**63)]),
)
texts = st.sampled_from(["", "1", "a", "Ёлка", "A"])
one_kind = st.sampled_from([numbers, texts, st.booleans()])
of_one_kind = one_kind.flatmap(lambda kind: st.lists(kind, min_size=1).map(tuple))
tests = st.one_of(
    st.builds(filters.Test, st.just("m.v"), st.sampled_from(["$eq", "$ne"]), st.one_of(numbers, texts, st.booleans())),
    st.builds(filters.Test, st.just("m.v"), st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), numbers),
    st.builds(filters.Test, st.just("m.v"), st.sampled_from(["$in", "$nin"]), of_one_kind),
)
trees = st.recursive(
    tests,
    lambda parts: st.builds(
        Group, st.sampled_from(["$and", "$or"]), st.lists(parts, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module", params=KINDS)
def mixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    """A row for each of `VALUES`."""
    stores = stores_of(request.param, tmp_path_factory.mktemp("mixed"), request)
    store = stores.open(uuid4().hex)
    store.upsert(list(ROWS), [X] * len(ROWS), [{"document_id": "d", **metadata} for metadata in ROWS.values()])
    yield store
    stores.close()


@given(tree=trees)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_filter_means_what_matches_says(mixed: VectorStore, tree: Filter) -> None:
    wanted = {id_ for id_, metadata in ROWS.items() if matches(tree, metadata)}
    assert {id_ for id_, _ in mixed.query(X, len(ROWS), tree)} == wanted


IDS = [2**63 - 1, 2**63 - 2, 2**53 + 1, 2**53, -(2**63), -(2**63) + 1]


@pytest.mark.parametrize("operator", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
def test_whole_numbers_of_64_bits_are_not_rounded(store: VectorStore, operator: filters.Comparison) -> None:
    put(store, **{str(id_): (X, {"v": id_}) for id_ in IDS})
    for id_ in IDS:
        tree = filters.Test("m.v", operator, id_)
        wanted = {str(other) for other in IDS if matches(tree, {"m.v": other})}
        assert {name for name, _ in store.query(X, 99, tree)} == wanted


def test_a_filter_may_be_as_large_as_the_contract_allows(mixed: VectorStore) -> None:
    values = tuple(range(200))
    tree = both(*(filters.Test(f"m.v{number}", "$nin", values) for number in range(64)))
    assert len(mixed.query(X, 99, tree)) == len(ROWS)


def test_many_vectors_are_kept_apart(store: VectorStore) -> None:
    ids = [f"v{number}" for number in range(700)]
    vectors = [[1.0, number / 700, 0.0] for number in range(700)]
    store.upsert(ids, vectors, [{"document_id": "d"}] * len(ids))
    assert store.ids() == set(ids)
    assert store.count() == 700
    assert len(found(store, limit=50)) == 50
    store.delete(ids[:650])
    assert store.ids() == set(ids[650:])


def test_vectors_of_another_model_are_not_seen(stores: VectorStores, model: str) -> None:
    put(stores.open(model), a=(X, {}))
    other = stores.open(uuid4().hex)
    assert other.ids() == set()
    assert found(other) == []
    assert stores.open(model).ids() == {"a"}


def test_a_dropped_collection_is_empty_when_opened_anew(stores: VectorStores, model: str) -> None:
    put(stores.open(model), a=(X, {}))
    stores.drop(model)
    stores.drop(model)
    store = stores.open(model)
    assert store.ids() == set()
    put(store, b=(Y, {}))
    assert found(store) == ["b"]


@pytest.mark.parametrize("kind", ["folder", "server"])
def test_vectors_are_there_after_a_reopening(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, model: str
) -> None:
    stores = stores_of(kind, tmp_path, request)
    store = stores.open(model)
    put(store, a=(X, {"team": "a"}), b=(Y, {}))
    store.delete(["b"])
    stores.close()
    again = stores_of(kind, tmp_path, request)
    assert again.open(model).ids() == {"a"}
    assert found(again.open(model), team="a") == ["a"]
    again.close()


@pytest.mark.parametrize("kind", ["folder", "server"])
def test_failures_are_an_unavailable_index(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, model: str
) -> None:
    stores = stores_of(kind, tmp_path, request)
    store = stores.open(model)
    put(store, a=(X, {}))
    with pytest.raises(IndexUnavailable):
        store.query([1.0, 0.0], 1, None)
    stores.close()
    with pytest.raises(IndexUnavailable):
        store.query(X, 1, None)
    with pytest.raises(IndexUnavailable):
        put(store, a=(X, {}))


def test_a_double_that_is_down_is_an_unavailable_index() -> None:
    stores = MemoryStores()
    store = stores.open("model")
    stores.down = True
    for call in (store.ids, store.count, stores.close, lambda: stores.open("model"), lambda: stores.drop("model")):
        with pytest.raises(IndexUnavailable):
            call()
