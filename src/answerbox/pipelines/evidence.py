"""Which sentences of the sources bear on a question, and which source bears a sentence of an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from answerbox.contracts import Citation, Source
from answerbox.text import content_terms, is_heading, sentences, terms

MARKER = re.compile(r"\[(\d{1,2})\]")
SUPPORT = 0.5
"""Share of a sentence's content words that must stand in a source for the source to bear it."""


def quote(question: str, sources: Sequence[Source], count: int = 2) -> list[tuple[int, str]]:
    """The `count` sentences that share most with the question: (place of the source from 1, sentence).

    They come in the order of the text. A question's rare words count more: a word's weight is the inverse of
    the number of candidate sentences that have it. Headings and questions tell nothing themselves; the words of a
    heading count for the sentences below it.
    """
    wanted = content_terms(question)
    candidates = [
        (number, sentence, words)
        for number, source in enumerate(sources, start=1)
        for sentence, words in _candidates(source.text)
    ]
    weight = {word: 1 / (1 + sum(word in words for _, _, words in candidates)) for word in wanted}

    def score(place: int) -> tuple[float, int]:
        return sum(weight[word] for word in wanted if word in candidates[place][2]), -place

    best = sorted(range(len(candidates)), key=score, reverse=True)[:count]
    return [candidates[place][:2] for place in sorted(best)]


def _candidates(text: str) -> list[tuple[str, set[str]]]:
    """The sentences that can be an answer, each with its words and those of the heading above it."""
    every = [text[start:end] for start, end in sentences(text)]
    found: list[tuple[str, set[str]]] = []
    heading: set[str] = set()
    for sentence in every:
        if is_heading(sentence):
            heading = set(terms(sentence))
        elif not sentence.endswith("?"):
            found.append((sentence, set(terms(sentence)) | heading))
    return found or [(sentence, set(terms(sentence))) for sentence in every]


def supported(answer: str, question: str, evidence: str) -> bool:
    """Whether the answer says something that the question does not, and all of it stands in the evidence.

    Word by word, by stems: a name or a number that the evidence lacks is enough to fail. It does not see a wrong
    combination of right words.
    """
    asked, known = set(terms(question)), set(terms(evidence))
    said = [word for word in content_terms(answer) if word not in asked]
    return bool(said) and all(word in known for word in said)


def cite(answer: str, sources: Sequence[Source]) -> list[Citation]:
    """For each sentence of the answer the source that it names (`[2]`), else the one that shares most words."""
    words = [set(terms(source.text)) for source in sources]
    found = []
    for start, end in sentences(answer):
        place = _named(answer[start:end], len(sources)) or _bearing(answer[start:end], words)
        if place:
            found.append(Citation(source=place, start=start, end=end))
    return found


def _named(sentence: str, count: int) -> int | None:
    for marker in MARKER.finditer(sentence):
        if 1 <= int(marker[1]) <= count:
            return int(marker[1])
    return None


def _bearing(sentence: str, sources: Sequence[set[str]]) -> int | None:
    wanted = content_terms(sentence)
    if not wanted or not sources:
        return None
    shares = [sum(word in having for word in wanted) / len(wanted) for having in sources]
    best = max(range(len(shares)), key=shares.__getitem__)
    return best + 1 if shares[best] >= SUPPORT else None
