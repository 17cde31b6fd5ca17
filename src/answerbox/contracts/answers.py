"""What is answered, and what is told about how the answer was made."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from answerbox.contracts.base import Contract

PipelineName = Literal["llm", "rag", "agent", "custom"]
FinishReason = Literal["stop", "length", "deadline", "cancelled", "refused", "quoted", "custom"]
GroundingMode = Literal["generated", "quoted", "refused"]
Check = Literal["model_language", "language", "names", "numbers", "links", "words", "nothing_new"]

CallStatus = Literal["ok", "failed", "timeout", "invalid", "unknown", "refused", "repeated"]
AgentPlan = Literal["tools", "search_first"]
AgentEnd = Literal["answer", "max_steps", "token_budget", "time", "repetition", "cancelled"]


class Usage(Contract):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class Step(Contract):
    name: str = Field(description="`words`, `embed`, `vectors`, `rank` (inside `search`), `search`, `generate`, ...")
    start_ms: float = Field(description="Since the request began.")
    duration_ms: float
    retries: int = 0
    detail: dict[str, Any] = Field(
        default_factory=dict, description="What the part tells of its work: `queue_ms`, `batch`, `first_token_ms`, ..."
    )


class Source(Contract):
    """A passage: a piece of a document, word for word. `start` and `end` are its place in the document's text."""

    document_id: str
    chunk_id: str
    title: str | None = None
    uri: str | None = None
    headings: list[str] = Field(default_factory=list, description="The headings above the passage, outermost first.")
    page: int | None = Field(None, description="Page of the document on which it starts, from 1.")
    start: int = Field(0, ge=0, description="First character in the document's text.")
    end: int = Field(0, ge=0, description="Character after it.")
    text: str
    score: float = Field(description="Relevance to the question, 0 to 1.")


class Citation(Contract):
    """A piece of the answer and what bears it: a sentence of a source, at its exact place."""

    source: int = Field(ge=1, description="Place in `sources`, from 1.")
    start: int = Field(ge=0, description="First character of the piece in `answer`.")
    end: int = Field(ge=0, description="Character after the piece.")
    source_start: int = Field(ge=0, description="First character of the bearing sentence in the source's `text`.")
    source_end: int = Field(ge=0, description="Character after it.")
    verbatim: bool = Field(description="Whether the piece is that sentence, word for word.")


class Grounding(Contract):
    mode: GroundingMode = Field(
        description="`generated`: the model wrote the answer from the sources. `quoted`: sentences of the "
        "sources, word for word, because the model does not speak the question's language, or because what it "
        "wrote is not borne by the sources. "
        "`refused`: the documents do not tell. Of the agent, where its model calls tools, it is always `generated`."
    )
    refused: bool
    score: float = Field(description="Relevance of the best passage found, 0 to 1.")
    failed: list[Check] = Field(
        default_factory=list,
        description="Which checks of the model's answer failed, so that it was replaced. `model_language`: it was not "
        "asked, for it does not speak the question's language. An agent's answer is not replaced: they are what its "
        "reader should know, and `links` means that images and addresses were taken out.",
    )


class LlmMeta(Contract):
    request_id: str
    pipeline: PipelineName
    model: str
    finish_reason: FinishReason
    latency_ms: float
    usage: Usage = Field(default_factory=Usage)
    steps: list[Step] = Field(default_factory=list)
    degraded: list[str] = Field(default_factory=list, description="What did not work as it should.")
    trace_id: str | None = Field(None, description="Under which the request's trace and its lines in the log stand.")
    prompt: str | None = Field(None, description="`name@version` of the operator's own prompt that the model got.")
    custom: dict[str, Any] | None = Field(None, description="What your own `run_model` added.")


class RagMeta(LlmMeta):
    sources: list[Source] = Field(
        default_factory=list,
        description="The passages that the answer was made from; where a model wrote it, what it was given.",
    )
    citations: list[Citation] = Field(default_factory=list)
    grounding: Grounding | None = None


class ToolUse(Contract):
    """A tool that the model wanted called, and what came of it."""

    id: str
    name: str
    arguments: dict[str, Any] | None = Field(None, description="None where the model gave no JSON object.")
    status: CallStatus = Field(
        description="`ok`; `failed`: it raised; `timeout`; `invalid`: wrong arguments; `unknown`: there is no such "
        "tool; `refused`: it has side effects and is not allowed, or too many were called at once; `repeated`: the "
        "same call had been made before. Whatever it is, the model was told, and went on."
    )
    duration_ms: float = 0.0


class AgentMeta(RagMeta):
    plan: AgentPlan = Field(
        description="`tools`: the model chose what to do. `search_first`: it cannot call tools, so the documents were "
        "searched and it answered from them, as `/rag_query` does; `degraded` then has `tool_calling`."
    )
    turns: int = Field(ge=0, description="Times that the model was asked.")
    ended_by: AgentEnd = Field(
        description="`answer`: the model had what it needed. Else it was told to answer with what it had: after so "
        "many turns (`max_steps`) or tokens, because the time was running out, or because it repeated itself. "
        "`cancelled`: nobody wanted it any more."
    )
    tool_calls: list[ToolUse] = Field(default_factory=list)
    session_id: str | None = None


class CustomMeta(LlmMeta):
    pipeline: Literal["custom"] = "custom"


class LlmResponse(Contract):
    answer: str
    meta: LlmMeta


class RagResponse(Contract):
    answer: str
    meta: RagMeta


class AgentResponse(Contract):
    answer: str
    meta: AgentMeta


class CustomResponse(Contract):
    answer: str
    meta: CustomMeta


class SearchResponse(Contract):
    hits: list[Source]
    degraded: list[str] = Field(default_factory=list)
