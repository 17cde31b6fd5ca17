"""Documents come in, passages come out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from answerbox.documents.library import Library
from answerbox.errors import Conflict, DocumentNotFound, InvalidRequest, JobNotFound
from answerbox.ports import FileIn, SearchQuery
from tests.doubles import until
from tests.unit.documents.library_kit import Kit, add, document, ended, find, found_texts, send

NAMES = ["Ada", "Bob", "Carl", "Dora", "Emil", "Fritz", "Gina", "Hugo", "Ida"]


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


@pytest.fixture
async def library(kit: Kit) -> AsyncIterator[Library]:
    async with kit.running() as library:
        yield library


async def test_a_document_that_was_added_is_found_word_for_word(library: Library) -> None:
    job = await add(library, document("Мы открыты с девяти утра.", "faq", title="FAQ", uri="faq.md"))
    assert (job.status, job.done, job.total, job.errors) == ("succeeded", 1, 1, [])
    [hit] = await find(library, "Когда вы открыты?")
    assert (hit.document_id, hit.title, hit.uri) == ("faq", "FAQ", "faq.md")
    assert hit.text == "Мы открыты с девяти утра."
    assert 0 < hit.score <= 1


async def test_an_empty_library_finds_nothing(library: Library) -> None:
    assert await find(library, "anything") == []
    info = await library.info()
    assert (info.documents, info.chunks, info.embedded, info.waiting) == (0, 0, 0, 0)


async def test_words_alone_find_without_a_vector(library: Library) -> None:
    await add(library, document("Bread is baked at six.", "bread"), document("Fish is sold at noon.", "fish"))
    hits = (await library.search(SearchQuery("When is bread baked?", 5, mode="words"))).sources
    assert [hit.document_id for hit in hits] == ["bread"]
    assert hits[0].score == 1.0


async def test_the_words_of_a_title_find_the_document(library: Library) -> None:
    await add(library, document("It opens at nine.", "hours", title="Timetable"))
    assert [hit.document_id for hit in (await library.search(SearchQuery("timetable", 5, mode="words"))).sources] == [
        "hours"
    ]


async def test_no_more_is_found_than_was_asked_for(library: Library) -> None:
    await add(library, *(document(f"Bread number {n} of the baker {name}.", f"d{n}") for n, name in enumerate(NAMES)))
    assert len(await find(library, "bread", top_k=4)) == 4


async def test_a_filter_leaves_other_documents_out(library: Library) -> None:
    await add(
        library,
        document("Bread for all.", "a", metadata={"team": "a"}),
        document("Bread for none.", "b", metadata={"team": "b"}),
    )
    assert await found_texts(library, "bread", team="b") == ["Bread for none."]
    assert await found_texts(library, "bread", team="c") == []


async def test_the_same_document_twice_is_one_and_is_not_embedded_again(kit: Kit, library: Library) -> None:
    text = document("We open at nine.")
    await add(library, text)
    before = (await library.documents(None, 10)).documents[0], list(kit.embedder.embedded)
    job = await add(library, text)
    page = await library.documents(None, 10)
    assert (page.total, job.status, job.done) == (1, "succeeded", 1)
    assert (page.documents[0], kit.embedder.embedded) == before


async def test_a_new_version_takes_the_place_of_the_old(kit: Kit, library: Library) -> None:
    await add(library, document("The shop opens at nine.\n\n# More\n\nIt sells bread.", "shop"))
    created = (await library.document("shop")).created_at
    await add(library, document("The shop opens at ten.", "shop"))
    assert await found_texts(library, "shop opens bread") == ["The shop opens at ten."]
    stored = await library.document("shop")
    assert (stored.text, stored.chunks, stored.created_at) == ("The shop opens at ten.", 1, created)
    await until(lambda: kit.vectors.ids() == set(library.ledger.chunk_ids()), what="its vector alone")
    info = await library.info()
    assert (info.documents, info.chunks, info.embedded) == (1, 1, 1)


async def test_metadata_that_was_taken_away_no_longer_filters(library: Library) -> None:
    await add(library, document("Bread for all.", "a", metadata={"team": "a", "old": True}))
    await add(library, document("Bread for all.", "a", metadata={"team": "a"}))
    assert await found_texts(library, "bread", team="a") == ["Bread for all."]
    assert await found_texts(library, "bread", old=True) == []


async def test_a_deleted_document_is_found_no_more(kit: Kit, library: Library) -> None:
    await add(library, document("Bread.", "bread"), document("Fish.", "fish"))
    await library.delete("bread")
    assert await found_texts(library, "bread") == await found_texts(library, "bread") != ["Bread."]
    assert [hit.document_id for hit in await find(library, "bread fish")] == ["fish"]
    assert len(kit.vectors.ids()) == 1
    with pytest.raises(DocumentNotFound):
        await library.document("bread")
    with pytest.raises(DocumentNotFound):
        await library.delete("bread")


async def test_a_deleted_document_can_come_back(library: Library) -> None:
    text = document("Bread.", "bread")
    await add(library, text)
    await library.delete("bread")
    await add(library, text)
    assert await found_texts(library, "bread") == ["Bread."]


async def test_one_id_twice_in_a_request_is_refused_and_nothing_is_taken(library: Library) -> None:
    with pytest.raises(InvalidRequest, match="'a'") as caught:
        await library.add([document("one", "a"), document("two", "b"), document("three", "a")])
    assert caught.value.errors
    assert (await library.info()).waiting == 0


async def test_one_text_twice_in_a_request_is_refused(library: Library) -> None:
    with pytest.raises(InvalidRequest):
        await library.add([document("same"), document("same")])


async def test_a_text_without_words_fails_alone_and_is_told(library: Library) -> None:
    job = await add(library, document("Bread.", "good"), document(" \n ", "blank"))
    assert (job.status, job.done, job.total) == ("failed", 2, 2)
    assert [(error.document_id, bool(error.message)) for error in job.errors] == [("blank", True)]
    assert await found_texts(library, "bread") == ["Bread."]


async def test_many_documents_with_many_passages_are_all_there(kit: Kit, library: Library) -> None:
    many = [document("\n\n".join(f"Line {n} of text {d}." for n in range(60)), f"d{d:02}") for d in range(20)]
    job = await add(library, *many)
    info = await library.info()
    assert (job.status, job.done, info.documents) == ("succeeded", 20, 20)
    assert info.chunks == info.embedded == len(kit.vectors.ids()) > 20 * 50 / 3


async def test_later_versions_win_in_the_order_they_came(library: Library) -> None:
    for number in range(5):
        job = await library.add([document(f"Version {number}.", "doc")])
    await add(library, document("End.", "end"))
    assert (await library.job(job.job_id)).status == "succeeded"
    assert (await library.document("doc")).text == "Version 4."


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "AND",
        "a AND",
        "bread NEAR fish",
        "NEAR(",
        "bread*",
        "terms:bread",
        "-bread",
        "^bread",
        "'; DROP",
        "%_",
        "\x00",
        "(((",
        'bread" OR "fish',
        "🙂",
        "",
        "{bread}",
        "a" * 5_000,
    ],
    ids=lambda query: repr(query[:15]),
)
async def test_query_syntax_is_just_words(query: str, library: Library) -> None:
    await add(library, document("Bread, butter.", "bread"))
    hits = (await library.search(SearchQuery(query, 5, mode="words"))).sources
    assert {hit.document_id for hit in hits} == ({"bread"} if "bread" in query else set())


async def test_a_question_of_thousands_of_words_is_searched(library: Library) -> None:
    await add(library, document("Bread and butter.", "bread"))
    question = "bread " + " ".join(f"word{n}" for n in range(1_500))
    assert [hit.document_id for hit in (await library.search(SearchQuery(question, 5, mode="words"))).sources] == [
        "bread"
    ]


async def test_pages_walk_through_all_documents(library: Library) -> None:
    await add(library, *(document(f"Text {n}.", f"d{n}") for n in range(5)))
    seen, after = [], None
    while True:
        page = await library.documents(after, 2)
        assert page.total == 5
        seen += [info.document_id for info in page.documents]
        after = page.next_after
        if after is None:
            break
    assert seen == [f"d{n}" for n in range(5)]


async def test_a_job_that_has_ended_cannot_be_cancelled(library: Library) -> None:
    job = await add(library, document("Bread."))
    with pytest.raises(Conflict):
        await library.cancel(job.job_id)


async def test_an_unknown_job_is_not_found(library: Library) -> None:
    with pytest.raises(JobNotFound):
        await library.job("job-none")
    with pytest.raises(JobNotFound):
        await library.cancel("job-none")


async def test_a_file_is_read_and_found_with_its_place(library: Library) -> None:
    job = await send(library, ("guides/a.txt", "Bread is baked at six."), metadata={"team": "a"})
    assert (job.status, job.stage, job.done, job.total) == ("succeeded", "ended", 1, 1)
    [hit] = await find(library, "bread", team="a")
    assert (hit.document_id, hit.uri) == ("guides/a.txt", "guides/a.txt")
    stored = await library.document("guides/a.txt")
    assert stored.text[hit.start : hit.end] == hit.text


async def test_a_file_that_cannot_be_read_fails_by_name_and_the_rest_goes_on(kit: Kit, library: Library) -> None:
    job = await send(library, ("bad.txt", "broken"), ("good.txt", "Bread."))
    assert (job.status, job.counts) == ("failed", {"done": 1, "failed": 1})
    assert [(error.document_id, error.message) for error in job.errors] == [("bad.txt", "'bad.txt' is broken.")]
    assert await found_texts(library, "bread") == ["Bread."]
    assert list((kit.path / "uploads").iterdir()) == []


async def test_a_file_with_many_documents_counts_each(library: Library) -> None:
    lines = "\n".join(json.dumps({"id": f"d{n}", "text": f"Bread of {name}."}) for n, name in enumerate(NAMES))
    job = await send(library, ("all.jsonl", lines))
    assert (job.status, job.done, job.total) == ("succeeded", 9, 9)
    assert (await library.documents(None, 50)).total == 9


async def test_a_file_with_one_id_twice_fails(library: Library) -> None:
    job = await send(library, ("all.jsonl", '{"id": "a", "text": "1"}\n{"id": "a", "text": "2"}'))
    assert (job.status, "same id" in job.errors[0].message) == ("failed", True)


async def test_a_file_that_did_not_arrive_whole_is_refused(library: Library) -> None:
    await library.put_upload("a" * 32, 0, b"half")
    with pytest.raises(InvalidRequest, match="whole"):
        await library.add_files([FileIn("a" * 32, "a.txt", 8, "0" * 64)])
    with pytest.raises(InvalidRequest, match="whole"):
        await library.add_files([FileIn("b" * 32, "b.txt", 8, "0" * 64)])


@pytest.mark.parametrize("upload_id", ["../../etc/passwd", "", "A" * 32, "a" * 31, "a" * 32 + "/.."])
async def test_an_uploads_id_is_no_path(upload_id: str, library: Library) -> None:
    with pytest.raises(InvalidRequest):
        await library.put_upload(upload_id, 0, b"x")


async def test_a_repeated_request_is_the_same_job(kit: Kit, library: Library) -> None:
    one = await library.add([document("Bread.", "a")], "key")
    await ended(library, one.job_id)
    assert (await library.add([document("Bread.", "a")], "key")).job_id == one.job_id
    with pytest.raises(Conflict):
        await library.add([document("Fish.", "a")], "key")
    first = await send(library, ("a.txt", "Fish."), key="files")
    assert (await send(library, ("a.txt", "Fish."), key="files")).job_id == first.job_id
    assert list((kit.path / "uploads").iterdir()) == []


async def test_near_duplicates_are_shown_once(library: Library) -> None:
    await add(library, *(document("Bread is baked here every morning at six.", f"d{n}") for n in range(4)))
    await add(library, document("Bread is sold at the market.", "other"))
    assert len(await find(library, "When is bread baked?")) == 2


async def test_a_search_can_be_by_one_half_alone(library: Library) -> None:
    await add(library, document("Bread is baked at six.", "bread"), document("Fish is sold at noon.", "fish"))
    by_meaning = await library.search(SearchQuery("fish noon", 5, mode="vectors"))
    assert [hit.document_id for hit in by_meaning.sources] == ["fish", "bread"]
    assert not by_meaning.by_words
    assert {step.name for step in by_meaning.steps} == {"embed", "vectors", "words", "rank"}
    by_words = await library.search(SearchQuery("fish noon", 5, mode="words"))
    assert [hit.document_id for hit in by_words.sources] == ["fish"]
    assert by_words.by_words
    assert {step.name for step in by_words.steps} == {"words", "rank"}
