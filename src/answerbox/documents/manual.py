"""Answerbox's own documentation as its first documents, so that a new service has something to tell."""

from __future__ import annotations

import hashlib
from pathlib import Path

from answerbox.contracts import DocumentIn
from answerbox.documents.library import Library
from answerbox.documents.reading import read

NOTE = "manual"
PAGES = ("architecture.md", "guide.md", "guide.ru.md")
"""Not the README: it shows questions with their answers, and so would be found for them first. No tables of figures."""


def manual() -> list[DocumentIn]:
    """The pages beside the package: in a checkout at its top, in a Bento next to the code; none elsewhere."""
    package = Path(__file__).resolve().parent.parent
    for root in package.parents[:2]:
        if (root / "docs" / "architecture.md").exists():
            files = [root / "docs" / page for page in PAGES]
            return [document for file in files for document in read(file, root)]
    return []


async def seed(library: Library) -> None:
    """Indexes the manual at the first start and after a change of it; a page deleted since stays deleted."""
    pages = manual()
    digest = hashlib.sha256("\0".join(page.text for page in pages).encode()).hexdigest()
    if pages and library.ledger.recall(NOTE) != digest:
        await library.add(pages)
        library.ledger.remember(NOTE, digest)
