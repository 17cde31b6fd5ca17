"""Questions about the news, over HTTP: with filters, with their traces, scored.

    make serve                             # in one terminal, with LANGFUSE_* or OTEL_EXPORTER_OTLP_ENDPOINT
    .venv/bin/python examples/news/ask.py  # in another; needs only httpx

It puts `news.jsonl` into the service, asks what stands in `questions.jsonl`, compares the answers with what they should
be, and gives each trace its score. The exit code is 1 where too few answers are right.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
URL = os.environ.get("ANSWERBOX_URL", "http://127.0.0.1:3000")
KEY = os.environ.get("ANSWERBOX_API_KEY")
TODAY = date(2026, 10, 12)
"""A Monday. The news is of the six weeks before it; with news of your own this is `date.today()`."""
COLLECTION = {"collection": "news"}
"""In the metadata of every item and in every filter, so that other documents of the service stay out."""
ENOUGH = 0.7
"""Share of right answers, below it the exit code is 1. The embedded models give 30 of 37, which is 0.81."""
AT_A_TIME = 4
START_S, INDEX_S, ANSWER_S = 300, 120, 120


@dataclass(frozen=True)
class Case:
    """A line of `questions.jsonl`. Any of `documents` is right; where there is none, the service is to refuse."""

    kind: str
    question: str
    documents: list[str]
    answers: list[str]
    when: str | None = None
    filter: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    case: Case
    condition: dict[str, Any]
    answer: str
    sources: list[str]
    trace_id: str
    verdict: str


def main() -> int:
    run = f"news-{uuid.uuid4().hex[:8]}"
    headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}
    with httpx.Client(base_url=URL, headers=headers, timeout=ANSWER_S) as service:
        wait_until_ready(service)
        ingest(service, list(lines("news.jsonl")))
        cases = [Case(**line) for line in lines("questions.jsonl")]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            results = list(pool.map(lambda case: ask(service, case, run), cases))
    for result in results:
        show(result)
    show_table(results)
    show_traces(run, results)
    right = sum(result.verdict == "right" for result in results)
    return 0 if right >= ENOUGH * len(results) else 1


def lines(name: str) -> Iterator[dict[str, Any]]:
    with (HERE / name).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


# The service.


def wait_until_ready(service: httpx.Client) -> None:
    end = time.monotonic() + START_S
    while not is_ready(service):
        if time.monotonic() > end:
            sys.exit(f"There is no service at {URL}: `make serve` starts one, ANSWERBOX_URL says where it is.")
        time.sleep(0.5)


def is_ready(service: httpx.Client) -> bool:
    try:
        return service.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def ingest(service: httpx.Client, documents: list[dict[str, Any]]) -> None:
    """They have ids of their own, so doing this again changes nothing, and a text that has changed is replaced."""
    job = call(service, "POST", "/documents", {"documents": documents})
    end = time.monotonic() + INDEX_S
    while not job["finished_at"]:
        if time.monotonic() > end:
            sys.exit(f"The job {job['job_id']} has not ended within {INDEX_S} s.")
        time.sleep(0.1)
        job = call(service, "GET", f"/jobs/{job['job_id']}")
    if job["status"] != "succeeded":
        sys.exit(f"The job {job['job_id']} has {job['status']}: {job['errors']}")
    print(f"{len(documents)} documents are indexed.\n")


def call(service: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    """What the service answers. A failure is a problem document, which says what is wrong and what to do."""
    answer = service.request(method, path, json=body)
    if answer.is_error:
        sys.exit(f"{method} {path} is answered with {answer.status_code}: {answer.text}")
    return answer.json()


# A question.


def ask(service: httpx.Client, case: Case, run: str) -> Result:
    condition = filter_of(case)
    body = {"question": case.question, "filter": condition, "user_id": "news-example", "session_id": run}
    answer = call(service, "POST", "/rag_query", body)
    sources = [source["document_id"] for source in answer["meta"]["sources"]]
    refused, trace_id = answer["meta"]["grounding"]["refused"], answer["meta"]["trace_id"]
    verdict = judged(case, answer["answer"], sources, refused)
    score = 1 if verdict == "right" else -1
    call(service, "POST", "/feedback", {"trace_id": trace_id, "score": score, "comment": f"{case.kind}: {verdict}"})
    return Result(case, condition, answer["answer"], sources, trace_id, verdict)


def filter_of(case: Case) -> dict[str, Any]:
    """Several conditions must all hold. Only numbers have an order, so a day is one: 20261012."""
    condition = COLLECTION | case.filter
    if case.when:
        first, last = period(case.when, TODAY)
        condition["day"] = {"$gte": number(first), "$lte": number(last)}
    return condition


def period(when: str, today: date) -> tuple[date, date]:
    """First and last day. A week begins on Monday; `2026-09-21/2026-09-27` is any period."""
    monday, first = today - timedelta(today.weekday()), today.replace(day=1)
    if when == "last week":
        return monday - timedelta(7), monday - timedelta(1)
    if when == "this month":
        return first, today
    if when == "last month":
        end = first - timedelta(1)
        return end.replace(day=1), end
    start, _, end_ = when.partition("/")
    return date.fromisoformat(start), date.fromisoformat(end_)


def number(day: date) -> int:
    return int(f"{day:%Y%m%d}")


def judged(case: Case, answer: str, sources: list[str], refused: bool) -> str:
    if not case.documents:
        return "right" if refused else "not refused"
    if refused:
        return "refused"
    if not set(case.documents) & set(sources):
        return "wrong document"
    said = answer.lower()
    return "right" if any(accepted.lower() in said for accepted in case.answers) else "wrong answer"


# What came of it.


def show(result: Result) -> None:
    print(result.case.question)
    print("  filter ", json.dumps(result.condition, ensure_ascii=False))
    print("  answer ", result.answer)
    print("  sources", ", ".join(result.sources) or "none")
    print("  trace  ", result.trace_id)
    print("  verdict", result.verdict, end="\n\n")


def show_table(results: list[Result]) -> None:
    print(f"{'kind':<16}{'asked':>6}{'right':>6}")
    for kind in [*dict.fromkeys(result.case.kind for result in results), "all"]:
        verdicts = [result.verdict for result in results if kind in (result.case.kind, "all")]
        print(f"{kind:<16}{len(verdicts):>6}{verdicts.count('right'):>6}")


def show_traces(run: str, results: list[Result]) -> None:
    """Where they are in Langfuse; another backend finds them by the ids above."""
    base = os.environ.get("LANGFUSE_BASE_URL", "https://cloud.langfuse.com").rstrip("/")
    public, secret = os.environ.get("LANGFUSE_PUBLIC_KEY"), os.environ.get("LANGFUSE_SECRET_KEY")
    if not public or not secret:
        return
    try:
        answer = httpx.get(f"{base}/api/public/projects", auth=(public, secret), timeout=10).raise_for_status()
    except httpx.HTTPError as exc:
        print(f"\nLangfuse does not tell where the traces are ({exc}); `answerbox trace-check` says more.")
        return
    project = f"{base}/project/{answer.json()['data'][0]['id']}"
    print(f"\nAll traces of this run: {project}/sessions/{run}")
    print(f"The first one: {project}/traces/{results[0].trace_id}")


if __name__ == "__main__":
    sys.exit(main())
