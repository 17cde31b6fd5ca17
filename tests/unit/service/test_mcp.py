"""MCP's door in pieces: what tools say in words, the addresses of documents, and what a notification cancels."""

from __future__ import annotations

import jsonschema
import pytest

from answerbox.contracts import Citation, DocumentInfo, DocumentPage, RagMeta, RagResponse, SearchResponse
from answerbox.errors import IndexUnavailable, InternalError
from answerbox.keys import ApiKey
from answerbox.service.asgi import Message
from answerbox.service.caller import Caller
from answerbox.service.exchange import ClientGone, Exchange
from answerbox.service.mcp_door import WayOut
from answerbox.service.mcp_running import Running
from answerbox.service.mcp_text import answer_text, failure_text, hits_text, page_text, parsed_uri, uri_of
from answerbox.service.mcp_tools import TOOLS
from answerbox.service.problems import MARK
from tests.doubles import source


def document(document_id: str, user_id: str | None = None, title: str | None = None) -> DocumentInfo:
    return DocumentInfo(
        document_id=document_id,
        user_id=user_id,
        title=title,
        chunks=1,
        characters=1,
        content_hash="0",
        created_at="2026-01-01",
        updated_at="2026-01-01",
    )


@pytest.mark.parametrize("document_id", ["a", "docs/guide.md", "паром?user_id=eve", "100 %", "a#b&c"])
@pytest.mark.parametrize("user_id", [None, "ada+b@example.org"])
def test_the_address_of_a_document_leads_back_to_it(document_id: str, user_id: str | None) -> None:
    uri = uri_of(document(document_id, user_id))
    assert uri.isascii()
    assert parsed_uri(uri) == (document_id, user_id)


@pytest.mark.parametrize("uri", ["", "answerbox://documents/", "answerbox://documents", "file:///a", "documents/a"])
def test_what_is_no_address_of_a_document(uri: str) -> None:
    assert parsed_uri(uri) is None


def test_an_answer_has_its_sources_under_their_numbers_with_the_bearing_sentences() -> None:
    text = "Delivery costs 300 roubles. It takes a day."
    citation = Citation(source=2, start=0, end=4, source_start=0, source_end=27, verbatim=True)
    sources = [source("Nothing.", name="far"), source(text, name="price")]
    meta = RagMeta(
        request_id="r", pipeline="rag", model="m", finish_reason="stop", latency_ms=1, sources=sources,
        citations=[citation, citation],
    )  # fmt: skip
    lines = answer_text(RagResponse(answer="300 roubles [2].", meta=meta)).split("\n")
    assert lines[:3] == ["300 roubles [2].", "", "Sources:"]
    assert lines[3].startswith("[1] ")
    assert lines[4].startswith("[2] ")
    assert lines[5:] == ["    'Delivery costs 300 roubles.'"]
    assert answer_text(RagResponse(answer="No.", meta=meta.model_copy(update={"sources": []}))) == "No."


def test_hits_and_pages_in_words() -> None:
    assert hits_text(SearchResponse(hits=[])) == "No passage was found."
    assert "Tea." in hits_text(SearchResponse(hits=[source("Tea.", name="tea")]))
    page = DocumentPage(documents=[document("a", title="Чай"), document("b")], total=5, next_after="b")
    first, *rest = page_text(page).split("\n")
    assert first == "2 of 5 documents."
    assert rest[:2] == ["- Чай: answerbox://documents/a", "- b: answerbox://documents/b"]
    assert "`after`" in rest[2]


def test_a_failure_in_words_says_nothing_of_the_inside() -> None:
    assert failure_text(IndexUnavailable("Away.", hint="Wait.")) == "index_unavailable: Away. Wait."
    assert "hunter2" not in failure_text(InternalError("hunter2"))


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_the_schemas_are_schemas_of_objects(tool: object) -> None:
    found = TOOLS[tool.name]  # type: ignore[attr-defined]
    for schema in (found.input_schema(), found.output_schema()):
        assert schema["type"] == "object"
        jsonschema.Draft202012Validator.check_schema(schema)


def exchange_of(key_id: str) -> Exchange:
    key = ApiKey(
        id=key_id, name=key_id, scopes=frozenset({"query"}), sha256="0" * 64, created_at="2026-01-01T00:00:00Z"
    )
    return Exchange("request-1", "/mcp", 10, caller=Caller(key))


@pytest.mark.parametrize(
    ("key_id", "session", "id_", "ends"),
    [
        ("mine", "s", 1, True),
        ("mine", "s", "1", False),
        ("mine", "t", 1, False),
        ("mine", None, 1, False),
        ("other", "s", 1, False),
        ("mine", "s", [1], False),
        ("mine", "s", None, False),
    ],
)
def test_a_notification_cancels_the_request_of_its_key_session_and_id(
    key_id: str, session: str | None, id_: object, ends: bool
) -> None:
    running, mine = Running(), exchange_of("mine")
    with running.hold(mine, "s", 1):
        running.cancel(exchange_of(key_id), session, id_)
        assert mine.disconnected.is_set() is ends


def test_what_has_ended_is_not_cancelled_and_without_a_session_nothing_is() -> None:
    running, mine = Running(), exchange_of("mine")
    with running.hold(mine, "s", 1):
        pass
    with running.hold(mine, None, 1):
        running.cancel(mine, "s", 1)
    assert not mine.disconnected.is_set()


async def test_a_client_that_takes_nothing_counts_as_one_that_has_hung_up() -> None:
    async def deaf(_: object) -> None:
        raise ClientGone

    this = exchange_of("mine")
    way = WayOut(deaf, this)
    await way.send({"type": "http.response.start", "status": 200, "headers": []})
    assert this.gone
    assert this.disconnected.is_set()


async def test_failures_of_the_protocol_are_final_and_only_an_answer_begins_a_session() -> None:
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    for status in (200, 404):
        way = WayOut(keep, exchange_of("mine"))
        way.session = "s-1"
        await way.send({"type": "http.response.start", "status": status, "headers": []})
        await way.send({"type": "http.response.body", "body": b"{}"})
        assert (way.started, way.ended) == (True, True)
    assert sent[0]["headers"] == [(b"mcp-session-id", b"s-1")]
    assert sent[2]["headers"] == [(MARK.encode(), b"1")]
