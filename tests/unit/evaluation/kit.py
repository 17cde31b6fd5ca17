"""A data set of a few questions and a service in memory that answers them from a table."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from answerbox.contracts import (
    Citation,
    Grounding,
    LlmMeta,
    LlmRequest,
    LlmResponse,
    RagMeta,
    RagRequest,
    RagResponse,
    SearchRequest,
    SearchResponse,
    Source,
    Usage,
)
from answerbox.errors import Overloaded
from answerbox.evaluation.dataset import Dataset, Language, Passage, Question, Unanswerable
from answerbox.evaluation.result import About, Result
from answerbox.evaluation.run import Plan, run

ABOUT = About(made="2026-11-24", dataset="tiny", version="1", models={"generator": "double"})
ZEBRA = "The zebra wears stripes. It lives in Africa."
OKAPI = "The okapi hides in the forest."


def source(document_id: str, text: str, score: float = 0.9) -> Source:
    return Source(document_id=document_id, chunk_id=f"{document_id}#0", text=text, score=score)


def response(
    answer: str,
    sources: list[Source] | None = None,
    citations: list[Citation] | None = None,
    refused: bool = False,
) -> RagResponse:
    grounding = Grounding(mode="refused" if refused else "quoted", refused=refused, score=0.5)
    meta = RagMeta(
        request_id="r",
        pipeline="rag",
        model="double",
        finish_reason="refused" if refused else "quoted",
        latency_ms=1,
        usage=Usage(prompt_tokens=10, completion_tokens=2, total_tokens=12),
        sources=sources or [],
        citations=citations or [],
        grounding=grounding,
    )
    return RagResponse(answer=answer, meta=meta)


def tiny() -> Dataset:
    english = Language(
        "en",
        [Passage(id="zebra", text=ZEBRA), Passage(id="okapi", text=OKAPI)],
        [
            Question(id="q1", question="What does the zebra wear?", document_id="zebra", answers=["stripes"]),
            Question(id="q2", question="Where does the okapi hide?", document_id="okapi", answers=["in the forest"]),
        ],
        [Unanswerable(id="u1", question="Who is the king?")],
    )
    russian = Language(
        "ru",
        [Passage(id="zebra", text="Зебра носит полосы.")],
        [Question(id="q1", question="Что носит зебра?", document_id="zebra", answers=["полосы"])],
        [],
    )
    return Dataset("tiny", [english, russian])


@dataclass
class MemoryDoor:
    """Answers by the question's text; what the tables lack is refused, or found nowhere."""

    found: Mapping[str, list[str]] = field(default_factory=dict)
    answers: Mapping[str, RagResponse] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    searched: list[SearchRequest] = field(default_factory=list)
    asked: list[RagRequest] = field(default_factory=list)
    alone: str = "I do not know."
    asked_alone: list[LlmRequest] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def search(self, request: SearchRequest) -> SearchResponse:
        with self.lock:
            self.searched.append(request)
        self._fail(request.query)
        return SearchResponse(hits=[source(name, "text") for name in self.found.get(request.query, [])])

    def ask(self, request: RagRequest) -> RagResponse:
        with self.lock:
            self.asked.append(request)
        self._fail(request.question)
        return self.answers.get(request.question, response("The documents do not tell.", refused=True))

    def ask_alone(self, request: LlmRequest) -> LlmResponse:
        with self.lock:
            self.asked_alone.append(request)
        self._fail(request.question)
        meta = LlmMeta(request_id="r", pipeline="llm", model="double", finish_reason="stop", latency_ms=1)
        return LlmResponse(answer=self.alone, meta=meta)

    def _fail(self, question: str) -> None:
        if question in self.broken:
            raise Overloaded("Too much waits.")


def good_door() -> MemoryDoor:
    zebra, okapi = source("eval/en/zebra", ZEBRA), source("eval/en/okapi", OKAPI)
    quote = Citation(source=1, start=0, end=24, source_start=0, source_end=24, verbatim=True)
    return MemoryDoor(
        found={
            "What does the zebra wear?": ["eval/en/zebra", "eval/en/okapi"],
            "Where does the okapi hide?": ["eval/en/zebra", "eval/en/zebra", "eval/en/okapi"],
            "Что носит зебра?": ["eval/ru/zebra"],
        },
        answers={
            "What does the zebra wear?": response("The zebra wears stripes. [1]", [zebra], [quote]),
            "Where does the okapi hide?": response("It lives in Africa.", [zebra, okapi]),
            "Что носит зебра?": response("Полосы.", [source("eval/ru/zebra", "Зебра носит полосы.")]),
        },
    )


def tiny_result(door: MemoryDoor | None = None) -> Result:
    return run(tiny(), door or good_door(), Plan(), ABOUT)
