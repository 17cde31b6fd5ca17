"""Questions that need two passages: the agent beside plain rag. Writes docs/multihop.md.

Each of `questions.jsonl` joins two questions of XQuAD, whose passages differ, in one sentence; their accepted answers
are XQuAD's. An answer is whole when it contains an accepted answer to both parts.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.live import Live, serving
from tests.openai_server import openai_server

from answerbox.evaluation import metrics
from answerbox.evaluation.tables import Table, language_name, markdown
from answerbox.settings import Settings
from benchmarks.machine import description
from benchmarks.multihop.planner import reply
from benchmarks.xquad import load

LANGUAGES = ("en", "ru")
QUESTIONS = Path(__file__).with_name("questions.jsonl")
PAGE = Path(__file__).parents[2] / "docs" / "multihop.md"
TOP_K = int(Settings.model_fields["default_top_k"].default)
PLANNER, EMBEDDED = "scripted planner", "embedded model"
HEADER = [
    "model",
    "pipeline",
    "language",
    "both passages",
    "whole answers",
    "at least one part",
    "median, ms",
]


@dataclass(frozen=True)
class Joined:
    """A question, and of each part the passage that tells and the accepted answers."""

    question: str
    language: str
    documents: tuple[str, ...]
    accepted: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Run:
    model: str
    pipeline: str
    top_k: int


@dataclass(frozen=True)
class Row:
    both_found: bool
    told: int
    seconds: float


def questions(language: str) -> list[Joined]:
    known = {row["id"]: row for row in load(f"questions.{language}.jsonl")}
    found = []
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        parts = [known[id_] for id_ in row["parts"]]
        documents = tuple(part["document_id"] for part in parts)
        assert len(set(documents)) == len(documents), row
        found.append(Joined(row[language], language, documents, tuple(tuple(part["answers"]) for part in parts)))
    return found


def ask(live: Live, run: Run, joined: Joined) -> Row:
    body = {"question": joined.question, "top_k": run.top_k, "options": {"max_tokens": 256}}
    answer = live.post(f"/{run.pipeline}_query", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    sources = {source["document_id"] for source in found["meta"]["sources"]}
    told = sum(metrics.contains(found["answer"], accepted, joined.language) for accepted in joined.accepted)
    return Row(sources.issuperset(joined.documents), told, answer.elapsed.total_seconds())


def measured(live: Live, runs: Sequence[Run]) -> list[list[str]]:
    """The documents of a language are alone in the index while its questions are asked."""
    lines = []
    for language in LANGUAGES:
        job = live.index(load(f"documents.{language}.jsonl"))
        assert job["status"] == "succeeded", job
        for run in runs:
            rows = [ask(live, run, joined) for joined in questions(language)]
            lines.append(_line(run, language, rows))
            print(" | ".join(lines[-1]), flush=True)
    return lines


def _line(run: Run, language: str, rows: list[Row]) -> list[str]:
    of = len(rows)
    return [
        run.model,
        f"{run.pipeline}, top_k {run.top_k}",
        language_name(language),
        f"{sum(row.both_found for row in rows)} of {of}",
        f"{sum(row.told == 2 for row in rows)} of {of}",
        f"{sum(row.told > 0 for row in rows)} of {of}",
        f"{(metrics.median([row.seconds for row in rows]) or 0) * 1_000:.0f}",
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with openai_server() as engine:
            engine.reply = reply
            with serving(Path(folder, "planner"), llm_base_url=engine.url) as live:
                runs = [Run(PLANNER, "rag", TOP_K), Run(PLANNER, "rag", 2 * TOP_K), Run(PLANNER, "agent", TOP_K)]
                lines = measured(live, runs)
        with serving(Path(folder, "embedded")) as live:
            lines += measured(live, [Run(EMBEDDED, pipeline, TOP_K) for pipeline in ("rag", "agent")])
    PAGE.write_text(page(lines), encoding="utf-8")


def page(lines: list[list[str]]) -> str:
    return f"""# Questions that need two passages

Made by `make multihop` on {datetime.now(UTC):%Y-%m-%d} on {description()}.

20 questions a language, each of which joins two of XQuAD's whose passages differ
([questions.jsonl](../benchmarks/multihop/questions.jsonl)), over the 120 passages of XQuAD's development half. They are
conjunctions of two facts: none needs the answer to one part in order to ask for the other.

- **{PLANNER}**: no language model, but a rule behind OpenAI's protocol. It takes the question apart, searches for each
  part, and tells the best sentence of what each search found; for rag it reads the same way from the passages that rag
  gives it. So the two differ in what is searched for, and the figures say what planning is worth, not how well a model
  plans.
- **{EMBEDDED}**: it calls no tools, so the agent searches once, for the whole question, and answers as rag does.

{markdown(Table("", HEADER, lines))}

"Whole answers" contain an accepted answer to both parts; "both passages" are among `meta.sources`.
"""


if __name__ == "__main__":
    main()
