"""What the lexical index holds of a passage."""

from __future__ import annotations

from answerbox.ledger import Words
from answerbox.ports import Chunk
from answerbox.text import sentences, terms


def words_of(chunk: Chunk, title: str | None) -> Words:
    """The stems of each sentence; title and headings stand first, as one."""
    above = terms(" ".join([title or "", *chunk.headings]))
    body = [terms(chunk.text[start:end]) for start, end in sentences(chunk.text)]
    return Words(tuple(tuple(sentence) for sentence in [above, *body] if sentence))
