"""Filling and searching a ledger."""

from __future__ import annotations

from typing import Any

from answerbox.contracts import DocumentIn
from answerbox.documents.words import words_of
from answerbox.filters import parsed
from answerbox.ledger import Ledger, Revision, Scope
from answerbox.ports import Chunk, FileIn
from answerbox.text import content_terms


def put(ledger: Ledger, name: str, *texts: str, **fields: Any) -> list[str] | None:
    whole = "\n".join(texts)
    return replace(ledger, name, DocumentIn(text=whole, **fields), *texts)


def replace(ledger: Ledger, name: str, document: DocumentIn, *texts: str) -> list[str] | None:
    ledger.enqueue([(name, document)], None)
    *_, item = ledger.claim(100)
    return ledger.replace(item, revision(name, document.text, *texts))


def revision(name: str, whole: str, *texts: str) -> Revision:
    chunks = [
        Chunk(f"{name}-{number}-{text}", name, number, text, whole.index(text), whole.index(text) + len(text))
        for number, text in enumerate(texts)
    ]
    return Revision(
        content_hash=f"hash-{whole}",
        recipe="recipe",
        chunks=chunks,
        words=[words_of(chunk, None) for chunk in chunks],
        fingerprint="model",
        vectors=[[float(number), 1.0] for number, _ in enumerate(chunks)],
    )


def found(ledger: Ledger, question: str, limit: int = 10, scope: Scope = Scope(), **filter: Any) -> list[str]:  # noqa: B008
    scope = Scope(parsed(filter)) if filter else scope
    with ledger.snapshot() as now:
        return [match.chunk_id for match in now.match(content_terms(question), limit, scope)]


def enqueue(ledger: Ledger, *names: str) -> str:
    return ledger.enqueue([(name, DocumentIn(text=f"Text of {name}.")) for name in names], None).job_id


def file(name: str) -> FileIn:
    return FileIn(upload_id="0" * 32, name=name, size=1, sha256="", metadata={"n": 1})
