"""From which score on a passage tells: XQuAD over HTTP. Writes docs/calibration.md.

A question is refused when the best passage that is found for it scores below a threshold. The rule: the lowest
threshold, in hundredths, at which in every language three of four unanswerable questions are refused. What is
answerable is refused the more often the higher the threshold, so it is the best one that keeps to that bound.

There are two thresholds, because there are two kinds of scores: with the meaning and without. A search by words alone
gives the second kind. So does a hybrid search in a language that the embedding model does not speak; it is
told by its scores, which are those of the words alone.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tests.conftest import XQUAD
from tests.live import Live, serving

from answerbox import __version__

LANGUAGES = {"en": "English", "ru": "Russian"}
REFUSED_AT_LEAST = 0.75
TOP_K = 3
"""As many passages as an answer is made from by default."""
STEPS = [step / 100 for step in range(101)]
PAGE = Path(__file__).parent.parent / "docs" / "calibration.md"


@dataclass(frozen=True)
class Scores:
    """The best score of each question."""

    answerable: list[float]
    unanswerable: list[float]


Kind = Mapping[str, Scores]
"""By language."""


def load(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (XQUAD / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def add_documents(live: Live, language: str) -> None:
    documents = [
        {
            "id": f"{language}/{row['id']}",
            "title": row["title"],
            "text": row["text"],
            "language": language,
            "metadata": {"language": language},
        }
        for row in load(f"documents.{language}")
    ]
    job = live.index(documents)
    assert job["status"] == "succeeded", job


def refused(scores: Sequence[float], threshold: float) -> float:
    return sum(score < threshold for score in scores) / len(scores)


def chosen(kind: Kind) -> float:
    """The threshold by the rule above."""
    return next(
        step for step in STEPS if all(refused(one.unanswerable, step) >= REFUSED_AT_LEAST for one in kind.values())
    )


def area(scores: Scores) -> float:
    """Under the ROC curve: how often an answerable question scores above an unanswerable one; half for a tie."""
    pairs = [(one > other) + (one == other) / 2 for one in scores.answerable for other in scores.unanswerable]
    return math.fsum(pairs) / len(pairs)


def best_score(client: httpx.Client, question: str, language: str, mode: str) -> float:
    body = {"query": question, "top_k": TOP_K, "filter": {"language": language}, "mode": mode}
    answer = client.post("/search", json=body)
    answer.raise_for_status()
    return max((hit["score"] for hit in answer.json()["hits"]), default=0.0)


def measured(client: httpx.Client, language: str, mode: str) -> Scores:
    def scores(name: str) -> list[float]:
        return [best_score(client, row["question"], language, mode) for row in load(f"{name}.{language}")]

    return Scores(scores("questions"), scores("unanswerable"))


def section(title: str, setting: str, kind: Kind) -> str:
    threshold = chosen(kind)
    names = [LANGUAGES[language] for language in kind]
    heads = [f"{name}: {what} refused" for name in names for what in ("answerable", "unanswerable")]
    lines = [f"| threshold | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for step in sorted({*STEPS[::5], threshold}):
        shares = [f"{refused(part, step):.3f}" for one in kind.values() for part in (one.answerable, one.unanswerable)]
        mark = "**" if step == threshold else ""
        lines.append(f"| {mark}{step:.2f}{mark} | {' | '.join(shares)} |")
    areas = ", ".join(f"{name} {area(one):.3f}" for name, one in zip(names, kind.values(), strict=True))
    table = "\n".join(lines)
    return f"## {title}\n\n`{setting}={threshold:.2f}`. Area under the ROC curve: {areas}.\n\n{table}\n"


def main() -> None:
    hybrid: dict[str, Scores] = {}
    words: dict[str, Scores] = {}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as live, live.client() as client:
        for language in LANGUAGES:
            add_documents(live, language)
            words[language] = measured(client, language, "words")
            both = measured(client, language, "hybrid")
            if both != words[language]:
                hybrid[language] = both
        models = live.get("/health").json()["models"]
    sections = []
    for title, setting, kind in (
        ("Meaning and words", "ANSWERBOX_MIN_RELEVANCE", hybrid),
        ("Words alone", "ANSWERBOX_MIN_COVERAGE", words),
    ):
        if kind:
            sections.append(section(title, setting, kind))
            print(f"{setting}={chosen(kind):.2f}")
    page = f"""# Calibration

Made by `make calibrate` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {models["embedder"]}.
Data: XQuAD, the development half: the questions that its passages answer, and questions about articles that are not
among them.

A question is refused when its best passage scores below the threshold. The rule: the lowest threshold at which in
every language at least {REFUSED_AT_LEAST:.0%} of the unanswerable questions are refused.

{chr(10).join(sections)}"""
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
