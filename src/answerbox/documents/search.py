"""Two ranked lists, one by meaning and one by words, made into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RRF_K = 60
"""Constant of reciprocal rank fusion: Cormack, Clarke, Büttcher, SIGIR 2009."""


@dataclass(frozen=True)
class Hit:
    """`relevance` (0 to 1) is the better of cosine similarity and covered share of the query's words."""

    chunk_id: str
    relevance: float


def fuse(
    dense: Sequence[tuple[str, float]], lexical: Sequence[str], coverage: dict[str, float], limit: int
) -> list[Hit]:
    """Reciprocal rank fusion of chunk ids; both lists best first."""
    points: dict[str, float] = {}
    for ranking in ([chunk for chunk, _ in dense], list(lexical)):
        for rank, chunk in enumerate(ranking, start=1):
            points[chunk] = points.get(chunk, 0.0) + 1 / (RRF_K + rank)
    cosine = dict(dense)
    order = sorted(points, key=lambda chunk: (-points[chunk], chunk))[:limit]
    return [Hit(chunk, round(min(1.0, max(cosine.get(chunk, 0.0), coverage.get(chunk, 0.0))), 4)) for chunk in order]
