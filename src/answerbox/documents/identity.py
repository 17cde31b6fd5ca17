"""Ids made from content, so that the same document twice is one document."""

from __future__ import annotations

import hashlib
import json

from answerbox.contracts import DocumentIn


def content_hash(document: DocumentIn) -> str:
    """sha256 over everything that a change of would change an answer: text, title, uri, language, metadata."""
    content = document.model_dump(mode="json", exclude={"id"})
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def document_id(document: DocumentIn) -> str:
    return document.id or "doc-" + content_hash(document)[:32]
