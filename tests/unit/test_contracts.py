"""The contract refuses what is out of bounds, unknown or no text, and never repeats what it was given."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from answerbox.contracts import (
    MAX_CONTEXT_CHARS,
    MAX_QUESTION_CHARS,
    CustomMeta,
    CustomRequest,
    CustomResponse,
    DocumentsRequest,
    DoneEvent,
    LlmMeta,
    LlmRequest,
    LlmResponse,
    Options,
    RagRequest,
    SearchRequest,
)
from answerbox.errors import InvalidRequest, MalformedBody
from answerbox.validation import validated

SECRET = "hunter2-\u0451\u0451"


def refused(contract: type[BaseModel], data: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        validated(contract, data)
    return caught.value


def fields(error: InvalidRequest) -> set[str]:
    assert error.errors, "every refusal says which field"
    return {fault["field"] for fault in error.errors}


def ask(**fields: Any) -> dict[str, Any]:
    return {"question": "Who?", **fields}


def test_a_question_alone_is_enough() -> None:
    request = validated(LlmRequest, {"question": "Who?"})
    assert (request.question, request.context, request.user_id, request.options) == ("Who?", None, None, Options())


def test_a_question_loses_the_blanks_around_it() -> None:
    assert validated(LlmRequest, {"question": " \n Кто? \t"}).question == "Кто?"


def test_a_context_is_kept_as_it_is() -> None:
    assert validated(LlmRequest, ask(context="  a\n b ")).context == "  a\n b "


@pytest.mark.parametrize(
    "question",
    [
        pytest.param("", id="empty"),
        pytest.param(" \t\n", id="blank"),
        pytest.param("\u00a0\u2003", id="unicode-blank"),
        pytest.param("x" * (MAX_QUESTION_CHARS + 1), id="too-long"),
        pytest.param(None, id="null"),
        pytest.param(7, id="number"),
        pytest.param(["Who?"], id="list"),
    ],
)
def test_a_question_that_is_none_is_refused(question: Any) -> None:
    assert fields(refused(LlmRequest, {"question": question})) == {"question"}


def test_the_longest_question_and_context_are_taken() -> None:
    request = validated(LlmRequest, ask(question="x" * MAX_QUESTION_CHARS, context="y" * MAX_CONTEXT_CHARS))
    assert len(request.question) == MAX_QUESTION_CHARS


@pytest.mark.parametrize("body", [None, [], "Who?", 1, True], ids=repr)
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    assert fields(refused(LlmRequest, body)) == {"body"}


@pytest.mark.parametrize(
    ("contract", "extra", "field"),
    [
        pytest.param(LlmRequest, {"temprature": 1}, "temprature", id="misspelt"),
        pytest.param(LlmRequest, {"options": {"best_of": 2}}, "options.best_of", id="in-options"),
        pytest.param(LlmRequest, {"top_k": 3}, "top_k", id="rag-field-for-llm"),
        pytest.param(RagRequest, {"max_steps": 3}, "max_steps", id="unknown-for-rag"),
    ],
)
def test_an_unknown_field_is_refused_by_name(contract: type[BaseModel], extra: dict[str, Any], field: str) -> None:
    assert fields(refused(contract, ask(**extra))) == {field}


OPTIONS: list[tuple[str, list[Any], list[Any]]] = [
    ("max_tokens", [1, 4096], [0, -1, 4097, 1.5, "many"]),
    ("temperature", [0, 0.7, 2], [-0.1, 2.1, 1e300]),
    ("top_p", [0.001, 1], [0, 1.01]),
    ("seed", [0, 2**63 - 1], [-1, 2**63]),
]


@pytest.mark.parametrize(("name", "value"), [pytest.param(n, v, id=f"{n}={v}") for n, good, _ in OPTIONS for v in good])
def test_an_option_inside_its_bounds_is_taken(name: str, value: float) -> None:
    assert getattr(validated(LlmRequest, ask(options={name: value})).options, name) == value


@pytest.mark.parametrize(("name", "value"), [pytest.param(n, v, id=f"{n}={v}") for n, _, bad in OPTIONS for v in bad])
def test_an_option_out_of_its_bounds_is_refused(name: str, value: object) -> None:
    assert fields(refused(LlmRequest, ask(options={name: value}))) == {f"options.{name}"}


@pytest.mark.parametrize("top_k", [0, -1, 21, "three", 2.5])
def test_a_top_k_out_of_bounds_is_refused(top_k: object) -> None:
    assert fields(refused(RagRequest, ask(top_k=top_k))) == {"top_k"}


@pytest.mark.parametrize("user", ["", "a b", "a\n", "x" * 129, "a/b", "<script>"], ids=repr)
def test_an_identifier_with_other_characters_is_refused(user: str) -> None:
    assert fields(refused(LlmRequest, ask(user_id=user))) == {"user_id"}


@pytest.mark.parametrize("user", ["ada", "Ада-7", "ada@example.org", "a.b:c+d~e", "x" * 128])
def test_an_identifier_in_bounds_is_taken(user: str) -> None:
    assert validated(LlmRequest, ask(user_id=user)).user_id == user


@pytest.mark.parametrize(
    "filter",
    [
        pytest.param({"a b": 1}, id="blank-in-key"),
        pytest.param({'x" OR 1': 1}, id="quote-in-key"),
        pytest.param({"": 1}, id="empty-key"),
        pytest.param({"ключ": 1}, id="cyrillic-key"),
        pytest.param({"team": None}, id="null"),
        pytest.param({"team": ["a"]}, id="list"),
        pytest.param({"team": {"$regex": "a"}}, id="unknown-operator"),
        pytest.param({"team": "x" * 1001}, id="long-value"),
        pytest.param({f"k{n}": n for n in range(65)}, id="65-keys"),
    ],
)
def test_a_filter_that_is_none_is_refused(filter: dict[str, Any]) -> None:
    assert all(name.startswith("filter") for name in fields(refused(RagRequest, ask(filter=filter))))


@pytest.mark.parametrize("value", ["support", True, False, 1, 1.5, 0])
def test_a_filter_value_keeps_its_type(value: object) -> None:
    found = (validated(RagRequest, ask(filter={"v": value})).filter or {})["v"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_a_number_that_json_has_not_is_refused(value: float) -> None:
    assert isinstance(refused(LlmRequest, ask(options={"temperature": value})), MalformedBody)
    with pytest.raises(ValidationError):
        RagRequest(question="Who?", filter={"size": value})


@pytest.mark.parametrize("text", ["a\ud800b", "\udfff"], ids=ascii)
def test_half_a_character_is_refused(text: str) -> None:
    refused(LlmRequest, {"question": text})
    refused(DocumentsRequest, {"documents": [{"text": text}]})
    refused(RagRequest, ask(filter={"k": text}))


def test_every_fault_is_listed() -> None:
    error = refused(RagRequest, {"question": " ", "top_k": 0, "options": {"top_p": 0}, "other": 1})
    assert fields(error) == {"question", "top_k", "options.top_p", "other"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ask(user_id=SECRET + " "), id="pattern"),
        pytest.param(ask(options={"temperature": SECRET}), id="number"),
        pytest.param(ask(options=SECRET), id="object"),
        pytest.param(ask(filter={"k": [SECRET]}), id="scalar"),
        pytest.param(ask(extra=SECRET), id="unknown"),
        pytest.param({"question": [SECRET]}, id="question"),
    ],
)
def test_a_refusal_does_not_repeat_what_was_sent(data: dict[str, Any]) -> None:
    error = refused(RagRequest, data)
    assert SECRET not in json.dumps(error.to_wire(), ensure_ascii=False)
    assert SECRET not in repr(error.__cause__)


@pytest.mark.parametrize("contract", [SearchRequest, DocumentsRequest], ids=lambda c: c.__name__)
def test_an_empty_object_is_refused(contract: type[BaseModel]) -> None:
    refused(contract, {})


def test_no_documents_are_refused() -> None:
    assert fields(refused(DocumentsRequest, {"documents": []})) == {"documents"}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        pytest.param({"text": ""}, "text", id="no-text"),
        pytest.param({"text": "a", "id": ""}, "id", id="empty-id"),
        pytest.param({"text": "a", "id": "x" * 257}, "id", id="long-id"),
        pytest.param({"text": "a", "id": "a\nb"}, "id", id="newline-in-id"),
        pytest.param({"text": "a", "id": "a\x00b"}, "id", id="nul-in-id"),
        pytest.param({"text": "a", "language": "Russian"}, "language", id="language"),
        pytest.param({"text": "a", "title": "x" * 501}, "title", id="long-title"),
    ],
)
def test_a_document_out_of_bounds_is_refused_with_its_place(document: dict[str, Any], field: str) -> None:
    error = refused(DocumentsRequest, {"documents": [{"text": "good"}, document]})
    assert fields(error) == {f"documents.1.{field}"}


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**100], ids=["2^63", "-2^63-1", "2^100"])
def test_a_metadata_number_that_no_database_holds_is_refused(number: int) -> None:
    error = refused(DocumentsRequest, {"documents": [{"text": "a", "metadata": {"n": number}}]})
    assert all(name.startswith("documents.0.metadata") for name in fields(error))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"user_id": "bob"}, "user_id"),
        ({"parameters": {}}, "parameters"),
        ({"a b": 1}, "pattern"),
        ({f"k{number}": 1 for number in range(33)}, "at most 32 keys"),
        ({"big": 2**63}, "64 bits"),
        ({"long": "x" * 64_001}, "characters"),
        (functools.reduce(lambda inner, _: {"in": [inner]}, range(9), {}), "levels"),
    ],
    ids=["shadows", "shadows-itself", "name", "many", "big", "long", "deep"],
)
def test_parameters_have_bounds_and_no_name_of_another_field(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validated(CustomRequest, {"question": "Who?", "parameters": parameters})
    assert words in str(caught.value)
    assert all(fault["field"].startswith("parameters") for fault in caught.value.errors)


def test_parameters_are_any_json_within_the_bounds() -> None:
    parameters = {"city": "Köln", "list": [1, 2.5, None, True, {"deep": [[[[]]]]}], "of_two-parts.1": {}}
    assert validated(CustomRequest, {"question": "Who?", "parameters": parameters}).parameters == parameters


def test_a_done_event_keeps_the_class_of_its_response() -> None:
    meta = {"request_id": "r", "model": "m", "finish_reason": "custom", "latency_ms": 1.0}
    for response in (
        CustomResponse(answer="a", meta=CustomMeta(**meta)),
        LlmResponse(answer="a", meta=LlmMeta(**meta, pipeline="llm")),
    ):
        again = DoneEvent.model_validate_json(DoneEvent(response=response).model_dump_json())
        assert again.response == response
        assert type(again.response) is type(response)
