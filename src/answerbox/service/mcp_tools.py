"""The tools of MCP's door: what each is for, and how it is done with the pipelines and documents of the other doors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import bentoml
from pydantic import BaseModel, TypeAdapter

from answerbox.contracts import (
    AgentRequest,
    AgentResponse,
    Contract,
    DocumentPage,
    Event,
    LlmRequest,
    LlmResponse,
    RagRequest,
    RagResponse,
    SearchRequest,
    SearchResponse,
    StepEvent,
    ToolCallEvent,
)
from answerbox.pipelines.base import Pipeline
from answerbox.pipelines.context import RequestContext
from answerbox.service import exchange
from answerbox.service.exchange import within_deadline
from answerbox.service.mcp_contract import Ask, ListDocuments, Search
from answerbox.service.mcp_text import answer_text, hits_text, page_text
from answerbox.validation import validated

TAG = "mcp"
REQUESTS: dict[str, type[LlmRequest]] = {"llm": LlmRequest, "rag": RagRequest, "agent": AgentRequest}

Tell = Callable[[str], Awaitable[None]]
"""Says how far it is."""


@dataclass(frozen=True)
class McpTool:
    """`call` gets an instance of `arguments` and gives one of `answers`, with the same in words.

    All of them only read, and need the scope `query`, as the routes that they stand for do.
    """

    name: str
    title: str
    description: str
    arguments: type[Contract]
    answers: Any
    call: Callable[[Any, Tell], Awaitable[tuple[BaseModel, str]]]

    def input_schema(self) -> dict[str, Any]:
        return self.arguments.model_json_schema()

    def output_schema(self) -> dict[str, Any]:
        """Of an object, as clients want it, also where there are several kinds of answers."""
        return {"type": "object", **TypeAdapter(self.answers).json_schema(mode="serialization")}


async def _ask(given: Ask, tell: Tell) -> tuple[BaseModel, str]:
    _note(f"{given.pipeline}_query")
    asked = validated(REQUESTS[given.pipeline], given.model_dump(exclude={"pipeline"}, exclude_none=True))
    service = bentoml.get_current_service()
    response = await service.answer(_Told(service.pipeline(given.pipeline), tell), asked)
    return response, answer_text(response)


async def _search(given: Search, _: Tell) -> tuple[BaseModel, str]:
    _note("search")
    found = await bentoml.get_current_service().found(validated(SearchRequest, given.model_dump(exclude_none=True)))
    return found, hits_text(found)


async def _list_documents(given: ListDocuments, _: Tell) -> tuple[BaseModel, str]:
    user_id = exchange.current.get().caller.speaks_for(None)
    page = await within_deadline(bentoml.get_current_service().store.documents(given.after, given.limit, user_id))
    return page, page_text(page)


TOOLS = {
    tool.name: tool
    for tool in (
        McpTool(
            "ask",
            "Ask",
            "Answers a question from the indexed documents, with citations; or by an agent, or by the language model "
            "alone. An answer that the documents do not tell is refused.",
            Ask,
            LlmResponse | RagResponse | AgentResponse,
            _ask,
        ),
        McpTool(
            "search",
            "Search",
            "Finds the passages of the indexed documents that are most relevant to a query, word for word.",
            Search,
            SearchResponse,
            _search,
        ),
        McpTool(
            "list_documents",
            "List documents",
            "Lists the indexed documents, page by page. Their texts are resources.",
            ListDocuments,
            DocumentPage,
            _list_documents,
        ),
    )
}


@dataclass(frozen=True)
class _Told:
    """A pipeline whose steps are told while it works."""

    pipeline: Pipeline[Any]
    tell: Tell

    async def stream(self, request: Any, context: RequestContext) -> AsyncGenerator[Event, None]:
        async with aclosing(self.pipeline.stream(request, context)) as events:
            async for event in events:
                if isinstance(event, StepEvent):
                    await self.tell(f"{event.step.name}: done")
                elif isinstance(event, ToolCallEvent):
                    await self.tell(f"{event.name}: called")
                yield event


def _note(name: str) -> None:
    this = exchange.current.get()
    this.is_traced, this.trace.name = True, name
    this.trace.tags.append(TAG)
