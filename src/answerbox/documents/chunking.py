"""Cutting a text into passages along its structure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from semantic_text_splitter import MarkdownSplitter

from answerbox.ports import Chunk

Measure = Callable[[str], int]
"""Length of a text in tokens of the embedding model."""


class Chunker:
    """Passages of at most `capacity` tokens, cut at headings, paragraphs, sentences, words, in that order.

    A heading opens a new passage and stays with its text. Chunk ids are hashes of document id, place and text:
    the same document gives the same ids.
    """

    def __init__(self, measure: Measure, capacity: int) -> None:
        self._splitter = MarkdownSplitter.from_callback(measure, capacity)

    def chunks(self, document_id: str, text: str) -> list[Chunk]:
        found = []
        pieces = [(start, piece) for start, piece in self._splitter.chunk_indices(text) if piece.strip()]
        for ordinal, (start, piece) in enumerate(pieces):
            found.append(
                Chunk(
                    id=chunk_id(document_id, ordinal, piece),
                    document_id=document_id,
                    ordinal=ordinal,
                    text=piece,
                    start=start,
                    end=start + len(piece),
                )
            )
        return found


def chunk_id(document_id: str, ordinal: int, text: str) -> str:
    return hashlib.sha256(f"{document_id}\0{ordinal}\0{text}".encode()).hexdigest()[:32]
