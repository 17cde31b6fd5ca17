"""Ids made from content, so that the same document twice is one document; and keys, which an owner is part of."""

from __future__ import annotations

import hashlib
import json

from answerbox.contracts import DocumentIn
from answerbox.ledger import OWNER_END


def content_hash(document: DocumentIn) -> str:
    """sha256 over everything that a change of would change an answer: text, title, uri, language, metadata."""
    content = document.model_dump(mode="json", exclude={"id"})
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def document_id(document: DocumentIn) -> str:
    return document.id or "doc-" + content_hash(document)[:32]


def key_of(document_id: str, user_id: str | None) -> str:
    """What the ledger knows the document by: two users may use the same id."""
    return f"{user_id}{OWNER_END}{document_id}" if user_id else document_id


def readers(user_id: str | None) -> tuple[str, ...]:
    """Owners whose documents the user may see, with isolation on; '' is nobody, whose documents are everybody's."""
    return ("", user_id) if user_id else ("",)
