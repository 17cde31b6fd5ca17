"""The OpenAPI document: committed, whole, and true to the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from answerbox import __version__, contracts
from answerbox.service.openapi import EXAMPLES, openapi
from answerbox.validation import validated

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_committed_document_is_the_one_of_the_code() -> None:
    assert json.loads(COMMITTED.read_text("utf-8")) == openapi(), "a change of the contract: run `make openapi`"


def test_the_document_has_the_version_of_the_package() -> None:
    assert (openapi()["openapi"], openapi()["info"]["version"]) == ("3.1.0", __version__)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere() -> None:
    known = {f"#/components/schemas/{name}" for name in openapi()["components"]["schemas"]}
    assert set(references(openapi())) <= known


@pytest.mark.parametrize("path", openapi()["paths"])
def test_every_operation_tells_its_failures_in_the_shape_of_its_door(path: str) -> None:
    shape = "application/json" if path.startswith("/v1/") else "application/problem+json"
    for operation in openapi()["paths"][path].values():
        failures = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert ("401" in failures) == ("security" in operation)
        assert "500" in failures
        assert all(list(answer["content"]) == [shape] for answer in failures.values())
        assert operation["summary"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_keeps_its_contract(name: str) -> None:
    assert validated(getattr(contracts, name), EXAMPLES[name])


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_a_request_takes_no_unknown_fields(name: str) -> None:
    assert openapi()["components"]["schemas"][name]["additionalProperties"] is False
