"""From data to a contract, and from pydantic's faults to ours."""

from __future__ import annotations

from typing import Any

import pytest

from answerbox.contracts import LlmRequest
from answerbox.errors import InvalidRequest, MalformedBody
from answerbox.validation import invalid, validated, validated_json


def test_good_data_becomes_the_contract() -> None:
    assert validated(LlmRequest, {"question": "Кто?"}) == LlmRequest(question="Кто?")
    assert validated_json(LlmRequest, '{"question": "Кто?"}'.encode()) == LlmRequest(question="Кто?")


def test_the_message_names_every_field() -> None:
    with pytest.raises(InvalidRequest, match=r"contract\. .*options\.seed: .*; .*nonsense: ") as caught:
        validated(LlmRequest, {"question": "Who?", "options": {"seed": -1}, "nonsense": 1})
    assert [fault["field"] for fault in caught.value.errors] == ["options.seed", "nonsense"]


def test_the_cause_with_its_inputs_is_left_behind() -> None:
    with pytest.raises(InvalidRequest) as caught:
        validated(LlmRequest, {"question": 1})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "data",
    [{"question": b"Who?"}, {"question": {"a"}}, {"question": object()}, {"question": float("nan")}, {("a",): 1}],
    ids=["bytes", "set", "object", "nan", "tuple-key"],
)
def test_what_json_cannot_say_is_malformed(data: Any) -> None:
    with pytest.raises(MalformedBody, match="cannot be written as JSON"):
        validated(LlmRequest, data)


def test_data_that_contains_itself_is_malformed() -> None:
    data: dict[str, Any] = {"question": "Who?"}
    data["context"] = data
    with pytest.raises(MalformedBody):
        validated(LlmRequest, data)


@pytest.mark.parametrize("body", [b"{", b"{'a': 1}", b"\xff", b"[" * 100_000], ids=lambda b: ascii(b[:9]))
def test_a_body_that_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="not JSON"):
        validated_json(LlmRequest, body)


def test_an_empty_body_lacks_its_fields() -> None:
    with pytest.raises(InvalidRequest) as caught:
        validated_json(LlmRequest, b"")
    assert [fault["field"] for fault in caught.value.errors] == ["question"]


@pytest.mark.parametrize(
    ("place", "field"), [((), "body"), (("a",), "a"), (("documents", 3, "text"), "documents.3.text")]
)
def test_a_place_becomes_a_dotted_name(place: tuple[str | int, ...], field: str) -> None:
    assert invalid([{"loc": place, "msg": "wrong"}]).errors == [{"field": field, "message": "wrong"}]
