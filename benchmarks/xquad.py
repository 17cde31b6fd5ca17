"""XQuAD over HTTP: what a search finds, and what an answer holds. Writes docs/evaluation.md.

The service is a real one with the embedded models and an empty data folder. An answer holds an accepted answer
when, both normalised as SQuAD's script does (lower case, no punctuation, no articles), the one contains the other.
"""

from __future__ import annotations

import json
import re
import statistics
import string
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from tests.conftest import XQUAD
from tests.live import Live, serving

from answerbox import __version__

CONCURRENCY = 8
ANSWERS = 100
PAGE = Path(__file__).parent.parent / "docs" / "evaluation.md"
Row = dict[str, Any]


def load(name: str) -> list[Row]:
    return [json.loads(line) for line in (XQUAD / name).read_text(encoding="utf-8").splitlines()]


def normalised(text: str) -> str:
    """Rajpurkar et al., EMNLP 2016, evaluation script; the articles are English."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation + "«»—–“”„"))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def holds(answer: str, accepted: list[str]) -> bool:
    return any(normalised(text) in normalised(answer) for text in accepted)


def add_documents(live: Live, language: str) -> None:
    documents = [
        {
            "id": f"{language}/{row['id']}",
            "title": row["title"],
            "language": language,
            "text": row["text"],
            "metadata": {"language": language},
        }
        for row in load(f"documents.{language}.jsonl")
    ]
    job = live.index(documents)
    assert job["status"] == "succeeded", job


def search_figures(client: httpx.Client, language: str) -> Row:
    ranks = []
    took = []
    for row in load(f"questions.{language}.jsonl"):
        began = time.perf_counter()
        body = {"query": row["question"], "top_k": 10, "filter": {"language": language}}
        answer = client.post("/search", json=body)
        took.append(time.perf_counter() - began)
        answer.raise_for_status()
        found = list(dict.fromkeys(hit["document_id"] for hit in answer.json()["hits"]))
        wanted = f"{language}/{row['document_id']}"
        ranks.append(found.index(wanted) + 1 if wanted in found else 0)
    count = len(ranks)
    return {
        "questions": count,
        "hit@1": sum(rank == 1 for rank in ranks) / count,
        "hit@5": sum(0 < rank <= 5 for rank in ranks) / count,
        "MRR@10": sum(1 / rank for rank in ranks if rank) / count,
        "median ms": statistics.median(took) * 1000,
    }


def ask(client: httpx.Client, question: str, language: str) -> Row:
    body = {"question": question, "filter": {"language": language}, "options": {"max_tokens": 64}}
    answer = client.post("/rag_query", json=body)
    answer.raise_for_status()
    data: Row = answer.json()
    return data


def answer_figures(client: httpx.Client, language: str, count: int) -> Row:
    rows = load(f"questions.{language}.jsonl")
    rows = rows[:: max(1, len(rows) // count)][:count]
    strangers = load(f"unanswerable.{language}.jsonl")
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        answers = list(pool.map(lambda row: ask(client, row["question"], language), rows))
        refusals = list(pool.map(lambda row: ask(client, row["question"], language), strangers))
    correct = [holds(a["answer"], row["answers"]) for a, row in zip(answers, rows, strict=True)]
    right = [
        f"{language}/{row['document_id']}" in {source["document_id"] for source in a["meta"]["sources"]}
        for a, row in zip(answers, rows, strict=True)
    ]
    return {
        "questions": len(rows),
        "answers that hold an accepted answer": sum(correct) / len(rows),
        "the right passage among the sources": sum(right) / len(rows),
        "written by the model": sum(a["meta"]["grounding"]["mode"] == "generated" for a in answers) / len(rows),
        "answerable but refused": sum(a["meta"]["grounding"]["refused"] for a in answers) / len(rows),
        "unanswerable and refused": sum(a["meta"]["grounding"]["refused"] for a in refusals) / len(strangers),
        f"median s ({CONCURRENCY} at a time)": statistics.median(a["meta"]["latency_ms"] for a in answers) / 1000,
        "wrong": [(row["question"], a["answer"]) for a, row, ok in zip(answers, rows, correct, strict=True) if not ok],
    }


def table(title: str, columns: dict[str, Row]) -> str:
    names = [name for name in next(iter(columns.values())) if name != "wrong"]
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name in names:
        cells = [f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name]) for row in columns.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    searches: dict[str, Row] = {}
    answers: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as live, live.client() as client:
        for language, name in (("en", "English"), ("ru", "Russian")):
            add_documents(live, language)
            searches[name] = search_figures(client, language)
            print(name, searches[name])
            answers[name] = answer_figures(client, language, ANSWERS)
            print(name, {key: value for key, value in answers[name].items() if key != "wrong"})
            for question, answer in answers[name]["wrong"][: 10 if "--show" in sys.argv else 0]:
                print("  ", question, "->", answer)
        models = live.get("/health").json()["models"]
    page = f"""# Evaluation

Made by `make eval` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {models["generator"]} and
{models["embedder"]}, on a CPU. Data: XQuAD, the development half (120 passages a language), posted over HTTP to a
service with an empty data folder. How it is counted: `benchmarks/xquad.py`.

{table("`/search`", searches)}

{table("`/rag_query`", answers)}

The language model is small and speaks English only: English answers are checked against the sentences it was given
and replaced by them where they fail, Russian ones are sentences of the sources, word for word, found by
their words alone (`meta.grounding.mode`).
"""
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
