"""Questions about passages of XQuAD, in English: the same for every system that is measured."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from answerbox.pipelines.prompts import llm_messages
from answerbox.text import language_of
from benchmarks.xquad import Row, load


@dataclass(frozen=True)
class Prompt:
    """Number `number` of an endless series. The number stands in the passage, so that no two begin alike and a cache
    of prompts that were read before helps nobody."""

    number: int
    question: str
    context: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """What Answerbox tells its model."""
        messages = llm_messages(self.question, self.context, language_of(self.question))
        return [{"role": message.role, "content": message.content} for message in messages]


def prompt(number: int) -> Prompt:
    questions, passages = _data()
    row = questions[number % len(questions)]
    return Prompt(number, row["question"], f"Passage {number}. {passages[row['document_id']]}")


@cache
def _data() -> tuple[list[Row], dict[str, str]]:
    questions = load("questions.en.jsonl")
    random.Random(0).shuffle(questions)
    return questions, {row["id"]: row["text"] for row in load("documents.en.jsonl")}
