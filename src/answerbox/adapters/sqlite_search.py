"""Searching the ledger: BM25 by FTS5 (Robertson, Zaragoza 2009; k1 1.2, b 0.75) and rows by id."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from answerbox.adapters.sqlite_file import marks, parts
from answerbox.adapters.sqlite_filter import condition
from answerbox.ledger import Match, Scope, StoredChunk, Words
from answerbox.ports import Chunk, Vector
from answerbox.text import beginning

SENTENCE = " . "
POSTINGS = 10_000
"""Chunks that have the terms of a question, term by term, of which FTS5 may rank the union: 8 ms. The rarest terms come
first; the others cost most of the time and tell little. Of a hundred thousand passages this bound kept 0.96 of the
ten best, and took the slowest twentieth of the questions from 20 ms to 13."""
LEAST_TERMS = 2
COMMON = 200
"""Chunks; a more frequent term is not counted anew for every question, which reads all its postings."""
DRIFT = 0.01
"""The share of new chunks after which it is."""


class Frequencies:
    """How many chunks have a common term, as it was when it was last counted."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[int, int]] = {}

    def known(self, term: str, total: int) -> int | None:
        count, then = self._counted.get(term, (None, 0))
        return count if count is not None and abs(total - then) <= DRIFT * then else None

    def learn(self, counts: Mapping[str, int], total: int) -> None:
        self._counted |= {term: (count, total) for term, count in counts.items() if count >= COMMON}


class SqliteSnapshot:
    def __init__(self, db: sqlite3.Connection, frequencies: Frequencies) -> None:
        self._db = db
        self._frequencies = frequencies

    def match(self, terms: Sequence[str], limit: int, scope: Scope) -> list[Match]:
        if not terms:
            return []
        clause, values = condition(scope)
        scoped = (
            "SELECT words.rowid AS number, bm25(words) AS rank FROM words JOIN chunks c ON c.number = words.rowid "
            f"JOIN documents d ON d.id = c.document_id WHERE words MATCH ? {clause}"
        )
        every = "SELECT rowid AS number, rank FROM words WHERE words MATCH ?"  # sorted inside FTS5
        rows = self._db.execute(
            f"SELECT c.id, -best.rank, w.terms FROM ({scoped if clause else every} ORDER BY rank LIMIT ?) best "
            "JOIN chunks c ON c.number = best.number JOIN words w ON w.rowid = best.number "
            "ORDER BY best.rank, best.number",
            (self._expression(terms), *values, limit),
        )
        return [Match(id_, score, unpacked(words)) for id_, score, words in rows.fetchall()]

    def rows(self, terms: Sequence[str], ids: Sequence[str]) -> list[Match]:
        if not ids:
            return []
        rows = self._db.execute(
            f"SELECT c.id, c.number, w.terms FROM chunks c JOIN words w ON w.rowid = c.number "
            f"WHERE c.id IN ({marks(ids)})",
            tuple(ids),
        ).fetchall()
        scores = self._scores(terms, [number for _, number, _ in rows])
        return [Match(id_, scores.get(number, 0.0), unpacked(words)) for id_, number, words in rows]

    def _scores(self, terms: Sequence[str], numbers: Sequence[int]) -> dict[int, float]:
        if not terms or not numbers:
            return {}
        return dict(
            self._db.execute(
                # Without the plus FTS5 would search once for each number.
                f"SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? AND +rowid IN ({marks(numbers)})",
                (self._expression(terms), *numbers),
            )
        )

    def weights(self, terms: Sequence[str]) -> dict[str, float]:
        total = self._total()
        having = self._having(terms, total)
        return {term: math.log1p((total + 1) / (having.get(term, 0) + 1)) for term in terms}

    def chunks(self, ids: Sequence[str], scope: Scope) -> dict[str, StoredChunk]:
        clause, values = condition(scope)
        found: dict[str, StoredChunk] = {}
        for part in parts(ids):
            for row in self._db.execute(
                "SELECT c.id, c.document_id, c.ordinal, c.text, c.start, c.end, c.headings, c.page, "
                "d.name, d.owner, d.title, d.uri, d.metadata "
                f"FROM chunks c JOIN documents d ON d.id = c.document_id WHERE c.id IN ({marks(part)}) {clause}",
                (*part, *values),
            ):
                found[row[0]] = _stored(row)
        return {id_: found[id_] for id_ in ids if id_ in found}

    def vectors(self, ids: Sequence[str], fingerprint: str) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        for part in parts(ids):
            rows = self._blobs(part, fingerprint)
            found |= {id_: np.frombuffer(blob, dtype="<f4").tolist() for id_, blob in rows}
        return found

    def _blobs(self, ids: Sequence[str], fingerprint: str) -> list[tuple[str, bytes]]:
        return self._db.execute(
            # The plus keeps SQLite from the index by model, which would read every vector there is.
            "SELECT c.id, v.vector FROM chunks c JOIN vectors v ON v.number = c.number "
            f"WHERE +v.fingerprint = ? AND c.id IN ({marks(ids)})",
            (fingerprint, *ids),
        ).fetchall()

    def scoped(self, scope: Scope, limit: int) -> list[str] | None:
        clause, values = condition(scope)
        rows = self._db.execute(
            f"SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document_id WHERE 1 {clause} LIMIT ?",
            (*values, limit + 1),
        ).fetchall()
        return None if len(rows) > limit else [row[0] for row in rows]

    def cosines(self, ids: Sequence[str], vector: Vector, fingerprint: str) -> dict[str, float]:
        rows = [row for part in parts(ids) for row in self._blobs(part, fingerprint)]
        if not rows:
            return {}
        matrix = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f4").reshape(len(rows), -1)
        near = matrix @ np.asarray(vector, dtype="<f4")
        return {row[0]: float(cosine) for row, cosine in zip(rows, near, strict=True)}

    def _total(self) -> int:
        # Numbers are given out in order: an upper bound that costs no count of a large table.
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM chunks").fetchone()[0])

    def _having(self, terms: Sequence[str], total: int) -> dict[str, int]:
        known = {term: count for term in terms if (count := self._frequencies.known(term, total)) is not None}
        asked = [term for term in terms if term not in known]
        counted = dict(
            self._db.execute(
                f"SELECT term, doc FROM vocabulary WHERE col = 'terms' AND term IN ({marks(asked)})", tuple(asked)
            )
        )
        self._frequencies.learn(counted, total)
        return known | counted

    def _expression(self, terms: Sequence[str]) -> str:
        total = self._total()
        if total * len(terms) > POSTINGS:
            terms = _rarest(terms, self._having(terms, total))
        beginnings = list(dict.fromkeys(beginning(term) for term in terms))
        return " OR ".join([f'terms:"{term}"' for term in terms] + [f'parts:"{part}"' for part in beginnings])


def _rarest(terms: Sequence[str], having: Mapping[str, int]) -> list[str]:
    chosen: list[str] = []
    postings = 0
    for term in sorted(terms, key=lambda term: having.get(term, 0)):
        postings += having.get(term, 0)
        if len(chosen) >= LEAST_TERMS and postings > POSTINGS:
            break
        chosen.append(term)
    return chosen


def packed(words: Words) -> tuple[str, str]:
    """The two columns of the index."""
    stems = SENTENCE.join(" ".join(sentence) for sentence in words.sentences)
    return stems, " ".join(beginning(stem) for sentence in words.sentences for stem in sentence)


def unpacked(terms: str) -> Words:
    return Words(tuple(tuple(sentence.split()) for sentence in terms.split(SENTENCE)))


def blob(vector: Vector) -> bytes:
    return np.asarray(vector, dtype="<f4").tobytes()


def _stored(row: Sequence[Any]) -> StoredChunk:
    id_, document, ordinal, text, start, end, headings, page = row[:8]
    chunk = Chunk(id_, document, ordinal, text, start, end, tuple(json.loads(headings)), page)
    return StoredChunk(chunk, row[8], row[9] or None, row[10], row[11], json.loads(row[12]))
