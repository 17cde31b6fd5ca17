"""How well a passage answers a question: by its words, by its meaning, by both. Pure.

Words: BM25 of the whole passage (from the ledger), plus its best sentence, plus pairs of words that stand together in
both. Both: the cosine plus a share of the lexical score that a perfect passage would have, a convex combination as
in Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023. The constants were chosen on
XQuAD's development half: see docs/evaluation.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from answerbox.ledger import Match, Words
from answerbox.text import beginning, content_pairs, content_terms

K1, B = 1.2, 0.75
"""BM25's constants, as FTS5 has them."""
SENTENCE_TERMS = 25
"""Usual length of a sentence."""
SENTENCE_WEIGHT = 1.0
PAIR_WEIGHT = 0.5
LEXICAL_WEIGHT = 0.25
SAME = 0.9
"""Passages that share so much of their words (Jaccard) are one."""
DIVERSITY = 0.95
"""What each passage of the same document that is already chosen leaves of a score."""


@dataclass(frozen=True)
class Question:
    """A question's stems without stop words, the pairs of neighbours in it, and how rare each stem is."""

    terms: tuple[str, ...]
    pairs: frozenset[tuple[str, str]]
    weights: Mapping[str, float]

    @staticmethod
    def of(text: str, weights: Mapping[str, float]) -> Question:
        return Question(tuple(content_terms(text)), frozenset(content_pairs(text)), weights)

    @property
    def ideal(self) -> float:
        return sum(self.weights[term] for term in self.terms) or 1.0


@dataclass(frozen=True)
class Candidate:
    """`score` orders; `relevance` (0 to 1) is the better of the cosine and the covered share of the question."""

    chunk_id: str
    score: float
    relevance: float
    stems: frozenset[str]


def candidates(
    question: Question, matches: Sequence[Match], cosines: Mapping[str, float], by_meaning: bool
) -> list[Candidate]:
    """Every passage of the matches, best first. With `by_meaning` the cosines count; those missing are 0."""
    found = []
    for match in matches:
        stems = frozenset(stem for sentence in match.words.sentences for stem in sentence)
        share = lexical_score(question, match) / question.ideal
        cosine = cosines.get(match.chunk_id, 0.0)
        score = cosine + LEXICAL_WEIGHT * share if by_meaning else share
        relevance = max(cosine if by_meaning else 0.0, coverage(question, stems))
        found.append(Candidate(match.chunk_id, score, round(min(1.0, max(0.0, relevance)), 4), stems))
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.chunk_id))


def lexical_score(question: Question, match: Match) -> float:
    sentence = max((_sentence_score(question, stems) for stems in match.words.sentences), default=0.0)
    pairs = sum(max(question.weights.get(stem, 0.0) for stem in pair) for pair in _pairs(match.words) & question.pairs)
    return match.score + SENTENCE_WEIGHT * sentence + PAIR_WEIGHT * pairs


def coverage(question: Question, stems: frozenset[str]) -> float:
    """The share of the question's terms, weighted by their rarity, that the passage has."""
    return sum(question.weights[term] for term in question.terms if term in stems) / question.ideal


def distinct(ranked: Sequence[Candidate], owner: Mapping[str, str], limit: int) -> list[Candidate]:
    """The best `limit`, without near-duplicates, and with less of one document the more of it there is already.

    `owner` is the document of each chunk; chunks that it lacks are left out.
    """
    left = [candidate for candidate in ranked if candidate.chunk_id in owner]
    chosen: list[Candidate] = []
    taken: dict[str, int] = {}
    while left and len(chosen) < limit:
        best = max(left, key=lambda one: _worth(one.score, taken.get(owner[one.chunk_id], 0)))
        left.remove(best)
        if any(_jaccard(best.stems, other.stems) >= SAME for other in chosen):
            continue
        chosen.append(best)
        taken[owner[best.chunk_id]] = taken.get(owner[best.chunk_id], 0) + 1
    return chosen


def _sentence_score(question: Question, stems: Sequence[str]) -> float:
    having = {beginning(stem) for stem in stems}
    norm = (K1 + 1) / (1 + K1 * (1 - B + B * len(stems) / SENTENCE_TERMS))
    return norm * sum(question.weights[term] for term in question.terms if beginning(term) in having)


def _pairs(words: Words) -> set[tuple[str, str]]:
    return {pair for sentence in words.sentences for pair in itertools.pairwise(sentence)}


def _worth(score: float, taken: int) -> float:
    return score * DIVERSITY**taken if score > 0 else score


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (len(one | other) or 1)
