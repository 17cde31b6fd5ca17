"""Ids made from content."""

from __future__ import annotations

from typing import Any

import pytest

from answerbox.contracts import DocumentIn
from answerbox.documents.identity import content_hash, document_id

DOCUMENT = DocumentIn(text="Мы открыты с девяти.", title="FAQ", metadata={"team": "a", "size": 1})


def test_a_document_without_an_id_gets_one_from_its_content() -> None:
    assert document_id(DOCUMENT) == document_id(DOCUMENT.model_copy()) == "doc-" + content_hash(DOCUMENT)[:32]


def test_an_id_of_the_callers_is_kept() -> None:
    assert document_id(DOCUMENT.model_copy(update={"id": "faq-1"})) == "faq-1"


def test_the_id_is_no_content() -> None:
    assert content_hash(DOCUMENT.model_copy(update={"id": "faq-1"})) == content_hash(DOCUMENT)


def test_the_order_of_metadata_is_no_content() -> None:
    turned = DOCUMENT.model_copy(update={"metadata": {"size": 1, "team": "a"}})
    assert content_hash(turned) == content_hash(DOCUMENT)


@pytest.mark.parametrize(
    "change",
    [
        {"text": "Мы открыты с десяти."},
        {"title": "Questions"},
        {"title": None},
        {"uri": "https://example.org"},
        {"language": "ru"},
        {"metadata": {}},
        {"metadata": {"team": "a", "size": True}},
        {"metadata": {"team": "a", "size": "1"}},
    ],
    ids=str,
)
def test_a_change_of_content_is_another_hash(change: dict[str, Any]) -> None:
    assert content_hash(DOCUMENT.model_copy(update=change)) != content_hash(DOCUMENT)
