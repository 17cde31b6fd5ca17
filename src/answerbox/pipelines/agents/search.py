"""The agent's way into the documents: `search_documents`, and the passages that it has found for one question."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from answerbox.contracts import AgentRequest, Source
from answerbox.errors import AnswerboxError
from answerbox.pipelines.agents.functions import tool_of
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.material import fenced
from answerbox.pipelines.retrieval import Retriever
from answerbox.tools import Tool, ToolError

SEARCH = "search_documents"
MAX_QUERY_CHARS = 1_000
MOST_SOURCES = 40
"""Of one question."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    query: str = Field(
        min_length=1,
        max_length=MAX_QUERY_CHARS,
        description="What to look for, as a short question or a few words in the language of the documents.",
    )


class Shelf:
    """The passages that were found, in the order of their numbers; each has one number, however often it is found."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.best_score = 0.0

    def place(self, sources: list[Source]) -> tuple[list[int], list[Source]]:
        """The number of each, from 1, and those that are new."""
        numbers, new = [], []
        for source in sources:
            place = next((n for n, known in enumerate(self.sources, 1) if known.chunk_id == source.chunk_id), None)
            if place is None:
                if len(self.sources) == MOST_SOURCES:
                    continue
                self.sources.append(source)
                new.append(source)
                place = len(self.sources)
            numbers.append(place)
            self.best_score = max(self.best_score, source.score)
        return numbers, new


def search_documents(
    retriever: Retriever,
    shelf: Shelf,
    request: AgentRequest,
    context: RequestContext,
    *,
    top_k: int,
    min_relevance: float,
    min_coverage: float,
) -> Tool:
    """With the filter and in the name of the user of the request, whatever the model asks for."""

    async def call(arguments: _Arguments) -> str:
        try:
            found = await retriever.retrieve(
                arguments.query, request.top_k or top_k, request.filter, context, user_id=request.user_id
            )
        except AnswerboxError as exc:
            raise ToolError("The documents cannot be searched at the moment.") from exc
        threshold = min_coverage if found.by_words else min_relevance
        kept = [source for source in found.sources if source.score >= threshold]
        numbers, _ = shelf.place(kept)
        if not numbers:
            return "No passage of the documents is relevant to this. Try other words, or another part of the question."
        return "\n\n".join(_told(shelf.sources[number - 1], number) for number in numbers)

    return tool_of(
        SEARCH,
        "Searches the documents by meaning and by words. Returns the most relevant passages, each with its number.",
        _Arguments,
        call,
    )


def _told(source: Source, number: int) -> str:
    """The title is the document's own text too, so it stands inside the fence."""
    text = f"{source.title}\n{source.text}" if source.title else source.text
    return fenced("passage", text, number)
