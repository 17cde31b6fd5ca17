"""Every `Ledger` keeps the port's promises on documents and searching. There is one so far: SQLite."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from answerbox.errors import DocumentNotFound
from answerbox.filters import matches as fulfils
from answerbox.filters import parsed
from answerbox.ledger import Ledger, Scope
from tests.filter_kit import metadatas, raw_filters
from tests.ports.ledger_kit import found, put


def test_a_document_is_kept_as_it_came(ledger: Ledger) -> None:
    put(ledger, "a", "Хлеб 🙂.", title="Т", uri="u", language="ru", metadata={"n": 1, "b": True, "f": 1.5, "s": "ё"})
    document = ledger.document("a")
    assert (document.document_id, document.text, document.title) == ("a", "Хлеб 🙂.", "Т")
    assert (document.uri, document.language, document.chunks, document.characters) == ("u", "ru", 1, 7)
    assert document.metadata == {"n": 1, "b": True, "f": 1.5, "s": "ё"}
    assert [type(value) for value in document.metadata.values()] == [int, bool, float, str]
    assert document.content_hash == "hash-Хлеб 🙂."


def test_a_replacement_returns_the_chunks_that_are_gone(ledger: Ledger) -> None:
    assert put(ledger, "a", "Bread.", "Fish.") == []
    assert put(ledger, "a", "Bread.", "Milk.") == ["a-1-Fish."]
    assert set(ledger.chunk_ids()) == {"a-0-Bread.", "a-1-Milk."}
    assert ledger.counts() == (1, 2, 0)


def test_unchanged_knows_the_content_that_is_there(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    assert ledger.unchanged("a", "hash-Bread.", "recipe")
    assert not ledger.unchanged("a", "hash-Bread.", "another recipe")
    assert not ledger.unchanged("a", "hash-Fish.", "recipe")
    assert not ledger.unchanged("b", "hash-Bread.", "recipe")


def test_a_deleted_document_is_gone_with_all_its_chunks(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Fish.")
    put(ledger, "b", "Bread.")
    assert ledger.delete("a") == ["a-0-Bread.", "a-1-Fish."]
    assert found(ledger, "bread") == ["b-0-Bread."]
    for look in (ledger.document, ledger.delete):
        with pytest.raises(DocumentNotFound):
            look("a")


def test_chunks_come_in_the_order_asked_and_unknown_ones_are_left_out(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Fish.", title="T", uri="u", metadata={"n": 1})
    stored = ledger.stored(["a-1-Fish.", "none", "a-0-Bread."])
    assert list(stored) == ["a-1-Fish.", "a-0-Bread."]
    fish = stored["a-1-Fish."]
    assert (fish.chunk.document_id, fish.chunk.ordinal, fish.chunk.text) == ("a", 1, "Fish.")
    assert (fish.chunk.start, fish.chunk.end) == (7, 12)
    assert (fish.title, fish.uri, fish.metadata) == ("T", "u", {"n": 1})


def test_words_match_by_their_stems_best_first(ledger: Ledger) -> None:
    put(ledger, "a", "Bread is baked with flour and water every morning.")
    put(ledger, "b", "Bread, bread and baked bread.")
    put(ledger, "c", "Рыбу привозят утром.")
    assert found(ledger, "baking breads") == ["b-0-Bread, bread and baked bread.", "a-0-" + ledger.document("a").text]
    assert found(ledger, "рыба") == ["c-0-Рыбу привозят утром."]
    assert found(ledger, "baking breads", limit=1) == ["b-0-Bread, bread and baked bread."]
    assert found(ledger, "unicorn") == []


def test_without_terms_nothing_matches(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    with ledger.snapshot() as now:
        assert now.match([], 5, Scope()) == []
        assert [(row.chunk_id, row.score) for row in now.rows([], ["a-0-Bread.", "none"])] == [("a-0-Bread.", 0.0)]


def test_rows_have_the_score_of_a_match_and_0_without_one(ledger: Ledger) -> None:
    put(ledger, "a", "Bread and butter.", "Fish.")
    with ledger.snapshot() as now:
        [match] = now.match(["bread"], 5, Scope())
        rows = {row.chunk_id: row for row in now.rows(["bread"], ["a-0-Bread and butter.", "a-1-Fish."])}
    assert rows["a-0-Bread and butter."].score == pytest.approx(match.score)
    assert rows["a-1-Fish."].score == 0.0
    assert rows["a-1-Fish."].words.sentences == (("fish",),)


def test_beginnings_of_words_match_where_stems_differ(ledger: Ledger) -> None:
    put(ledger, "a", "Немецкого рыцаря звали Карл.")
    assert found(ledger, "рыцарский") == ["a-0-Немецкого рыцаря звали Карл."]


def test_a_rare_word_weighs_more_than_a_common_one(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Bread, fish.")
    with ledger.snapshot() as now:
        weights = now.weights(["bread", "fish", "unicorn"])
    assert 0 < weights["bread"] < weights["fish"] < weights["unicorn"]


def test_a_snapshot_sees_one_state(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    with ThreadPoolExecutor(1) as other, ledger.snapshot() as now:
        other.submit(put, ledger, "a", "Fish.").result()
        assert [match.chunk_id for match in now.match(["bread"], 5, Scope())] == ["a-0-Bread."]
        assert list(now.chunks(["a-0-Bread.", "a-0-Fish."], Scope())) == ["a-0-Bread."]
        assert list(now.cosines(["a-0-Bread.", "a-0-Fish."], [0.0, 1.0], "model")) == ["a-0-Bread."]
    assert found(ledger, "bread") == []
    assert found(ledger, "fish") == ["a-0-Fish."]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadatas(), raw_filters())
def test_a_filter_means_what_it_means_everywhere(
    ledger: Ledger, metadata: dict[str, Any], filter: dict[str, Any]
) -> None:
    put(ledger, "a", "Bread.", metadata=metadata)
    put(ledger, "other", "Fish.")
    expected = ["a-0-Bread."] if fulfils(parsed(filter), metadata) else []
    assert found(ledger, "bread", scope=Scope(parsed(filter))) == expected
    with ledger.snapshot() as now:
        assert list(now.chunks(["a-0-Bread."], Scope(parsed(filter)))) == expected


def test_a_reader_sees_the_own_documents_and_those_that_are_nobodys(ledger: Ledger) -> None:
    for owner in (None, "ada", "bob"):
        put(ledger, f"{owner}\x1fdoc" if owner else "doc", f"Bread of {owner}.", user_id=owner)
    readers = ("", "ada")
    texts = {id_.rpartition("-")[2] for id_ in found(ledger, "bread", scope=Scope(readers=readers))}
    assert texts == {"Bread of None.", "Bread of ada."}
    page = ledger.documents(None, 10, readers)
    assert [(info.document_id, info.user_id) for info in page.documents] == [("doc", "ada"), ("doc", None)]
    assert page.total == 2
    with ledger.snapshot() as now:
        assert now.chunks(["bob\x1fdoc-0-Bread of bob."], Scope(readers=readers)) == {}
    assert ledger.has_owners()


def test_pages_walk_through_all_documents_in_order(ledger: Ledger) -> None:
    names = sorted(["a", "B", "b/1", "Ё", "я", "z z"])
    for name in names:
        put(ledger, name, "Bread.")
    seen: list[str] = []
    after: str | None = None
    for _ in range(len(names)):
        page = ledger.documents(after, 4, None)
        assert page.total == len(names)
        seen += [info.document_id for info in page.documents]
        after = page.next_after
        if after is None:
            break
    assert seen == names


def test_a_page_that_ends_exactly_has_no_next(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    put(ledger, "b", "Fish.")
    assert ledger.documents(None, 2, None).next_after is None
    assert ledger.documents("b", 2, None).documents == []


def test_vectors_are_kept_by_model(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Fish.")
    assert ledger.get_vectors(["a-1-Fish.", "none"], "model") == {"a-1-Fish.": [1.0, 1.0]}
    ledger.put_vectors("new", {"a-0-Bread.": [0.5, 0.25], "gone": [1.0, 1.0]})
    assert ledger.get_vectors(["a-0-Bread.", "gone"], "new") == {"a-0-Bread.": [0.5, 0.25]}
    ledger.drop_vectors("model")
    assert ledger.get_vectors(["a-0-Bread.", "a-1-Fish."], "model") == {}


def test_few_passages_of_a_scope_are_listed_and_compared(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Fish.", metadata={"n": 1})
    put(ledger, "b", "Milk.", metadata={"n": 2})
    with ledger.snapshot() as now:
        few = now.scoped(Scope(parsed({"n": 1})), 2)
        assert few == ["a-0-Bread.", "a-1-Fish."]
        assert now.scoped(Scope(parsed({"n": 1})), 1) is None
        assert now.cosines(few, [1.0, 0.0], "model") == {"a-0-Bread.": 0.0, "a-1-Fish.": 1.0}
        assert now.cosines(few, [1.0, 0.0], "another") == {}
