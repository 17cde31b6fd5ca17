"""With isolation on no question of one user reaches another's documents, whatever it asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from answerbox.contracts import SearchMode
from answerbox.documents.library import Library
from answerbox.errors import DocumentNotFound
from answerbox.ports import SearchQuery
from tests.filter_kit import raw_filters
from tests.unit.documents.library_kit import Kit, add, document, send

TEXT = "The secret of {who} is a red key under the stone."
MODES: tuple[SearchMode, ...] = ("hybrid", "vectors", "words")


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    async with Kit(tmp_path, isolation=True).running() as library:
        await add(
            library,
            document(TEXT.format(who="everybody"), "notes", metadata={"a": 1}),
            document(TEXT.format(who="Ada"), "notes", user_id="ada", metadata={"a": 1, "b": "x"}),
            document(TEXT.format(who="Bob"), "notes", user_id="bob", metadata={"a": 1, "b": "x"}),
        )
        yield library


async def seen(library: Library, user_id: str | None, mode: SearchMode, filter: dict[str, Any] | None) -> set[str]:
    query = SearchQuery("secret red key stone", 10, filter, user_id, mode)
    return {hit.text.split(" is ")[0].removeprefix("The secret of ") for hit in (await library.search(query)).sources}


@pytest.mark.parametrize("mode", MODES)
async def test_each_user_sees_the_own_documents_and_everybodys(mode: SearchMode, library: Library) -> None:
    assert await seen(library, "ada", mode, None) == {"everybody", "Ada"}
    assert await seen(library, "bob", mode, {"b": "x"}) == {"Bob"}
    assert await seen(library, "carl", mode, None) == {"everybody"}
    assert await seen(library, None, mode, None) == {"everybody"}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw_filters(), st.sampled_from(MODES), st.sampled_from(["ada", "carl", "", "ada\x1f", "a' OR '1'='1", None]))
async def test_no_filter_opens_anothers_documents(
    library: Library, filter: dict[str, Any], mode: SearchMode, user_id: str | None
) -> None:
    assert "Bob" not in await seen(library, user_id, mode, filter)


async def test_the_same_id_is_anothers_document(library: Library) -> None:
    assert "Ada" in (await library.document("notes", "ada")).text
    assert "everybody" in (await library.document("notes")).text
    with pytest.raises(DocumentNotFound):
        await library.document("notes", "carl")
    await library.delete("notes", "ada")
    assert await seen(library, "ada", "hybrid", None) == {"everybody"}
    assert await seen(library, "bob", "hybrid", None) == {"everybody", "Bob"}
    with pytest.raises(DocumentNotFound):
        await library.delete("notes", "carl")


async def test_lists_show_no_other_users_documents(library: Library) -> None:
    for user_id, owners in (("ada", {None, "ada"}), (None, {None})):
        page = await library.documents(None, 10, user_id)
        assert {info.user_id for info in page.documents} == owners
        assert page.total == len(owners)


async def test_a_users_file_is_the_users(library: Library) -> None:
    await send(library, ("more.txt", TEXT.format(who="Carl")), user_id="carl")
    assert "Carl" in await seen(library, "carl", "hybrid", None)
    assert "Carl" not in await seen(library, "ada", "hybrid", None)


async def test_without_isolation_everybody_sees_everything(tmp_path: Path) -> None:
    async with Kit(tmp_path).running() as library:
        await add(library, document(TEXT.format(who="Ada"), "notes", user_id="ada"))
        assert await seen(library, "bob", "hybrid", None) == {"Ada"}
