"""The fixed contract: what may be asked, what is answered, what a stream says.

Both doors (HTTP and `run_model`) validate with these classes. Unknown fields are refused. A change here
changes `docs/openapi.json` and is a change of version.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from answerbox.filters import parsed

MAX_QUESTION_CHARS = 8_000
MAX_CONTEXT_CHARS = 64_000
MAX_COMMENT_CHARS = 2_000
MAX_DOCUMENT_CHARS = 2_000_000
MAX_DOCUMENTS = 1_000

PipelineName = Literal["llm", "rag"]
FinishReason = Literal["stop", "length", "deadline", "cancelled", "refused", "quoted", "custom"]
GroundingMode = Literal["generated", "quoted", "refused"]
Check = Literal["model_language", "language", "names", "numbers", "links", "words", "nothing_new"]
SearchMode = Literal["hybrid", "vectors", "words"]
JobStage = Literal["queued", "reading", "indexing", "ended"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\w.@:+~-]+$")]
DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Anything printable. In a path it is percent-encoded."""

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Scalar = Annotated[str, StringConstraints(max_length=1_000)] | bool | int | float


def _small(mapping: dict[str, Any]) -> dict[str, Any]:
    if len(mapping) > 32:
        raise ValueError("at most 32 keys")
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in mapping.values()):
        raise ValueError("whole numbers are of 64 bits")
    return mapping


def _is_filter(raw: dict[str, Any]) -> dict[str, Any]:
    parsed(raw)
    return raw


Metadata = Annotated[dict[Key, Scalar], AfterValidator(_small)]
Filter = Annotated[dict[str, Any], AfterValidator(_is_filter)]
"""See `filters.py`."""


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class Options(Contract):
    """How to generate. Greedy, and so repeatable, unless a temperature is given."""

    max_tokens: int | None = Field(None, ge=1, le=4096, description="Longest answer, in tokens of the model.")
    temperature: float = Field(0.0, ge=0, le=2, description="0 picks the likeliest token every time.")
    top_p: float = Field(1.0, gt=0, le=1, description="Sample among the likeliest tokens of this total share.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="The same seed draws the same answer.")
    stop: list[StopString] = Field(
        default_factory=list,
        max_length=4,
        description="The answer ends before the first of these.",
        examples=[["\n\n"]],
    )


class LlmRequest(Contract):
    """A question for the language model alone."""

    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS)] = (
        Field(description="The question, in any language.", examples=["What is the capital of France?"])
    )
    context: Annotated[str, StringConstraints(max_length=MAX_CONTEXT_CHARS)] | None = Field(
        None, description="What the caller already knows; the model is told that it is material, not instructions."
    )
    user_id: Identifier | None = Field(None, description="Who asks, in the caller's own numbering.")
    session_id: Identifier | None = Field(None, description="The conversation that this question belongs to.")
    options: Options = Field(default_factory=Options)


class RagRequest(LlmRequest):
    """A question to be answered from the indexed documents."""

    top_k: int | None = Field(None, ge=1, le=20, description="At most so many passages are given to the model.")
    filter: Filter | None = Field(
        None,
        description="Only documents whose metadata fulfils this: values, or `$eq $ne $gt $gte $lt $lte $in $nin`, "
        "joined by `$and $or`.",
        examples=[{"team": "support", "year": {"$gte": 2020}}],
    )


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
        "`refused`: the documents do not tell."
    )
    refused: bool
    score: float = Field(description="Relevance of the best passage found, 0 to 1.")
    failed: list[Check] = Field(
        default_factory=list,
        description="Which checks of the model's answer failed, so that it was replaced. `model_language`: it was not "
        "asked, for it does not speak the question's language.",
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


class LlmResponse(Contract):
    answer: str
    meta: LlmMeta


class RagResponse(Contract):
    answer: str
    meta: RagMeta


class MetaEvent(Contract):
    """First event of a stream: what is known before the first word."""

    event: Literal["meta"] = "meta"
    request_id: str
    pipeline: PipelineName
    model: str
    sources: list[Source] = Field(default_factory=list)


class StepEvent(Contract):
    event: Literal["step"] = "step"
    step: Step


class TokenEvent(Contract):
    event: Literal["token"] = "token"
    text: str = Field(description="The next piece of the answer; all pieces together are the answer.")


class CitationEvent(Contract):
    event: Literal["citation"] = "citation"
    citation: Citation


class CorrectionEvent(Contract):
    """The words that were streamed are not borne by the sources; this is the answer in their place."""

    event: Literal["correction"] = "correction"
    text: str


class ErrorEvent(Contract):
    """Last event of a stream that failed; `problem` is what the same failure looks like over plain HTTP."""

    event: Literal["error"] = "error"
    problem: dict[str, Any]


class DoneEvent(Contract):
    """Last event of a stream that worked: the response that the plain route would have given."""

    event: Literal["done"] = "done"
    response: LlmResponse | RagResponse


Event = MetaEvent | StepEvent | TokenEvent | CorrectionEvent | CitationEvent | DoneEvent


class SearchRequest(Contract):
    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS)] = (
        Field(examples=["bring your own documents"])
    )
    top_k: int = Field(5, ge=1, le=50)
    filter: Filter | None = None
    user_id: Identifier | None = Field(None, description="Who searches; see `ANSWERBOX_ISOLATION`.")
    mode: SearchMode = Field("hybrid", description="By meaning and words, or by one of them alone.")


class SearchResponse(Contract):
    hits: list[Source]
    degraded: list[str] = Field(default_factory=list)


TraceId = Annotated[str, StringConstraints(min_length=32, max_length=32, pattern=r"^[0-9a-f]*[1-9a-f][0-9a-f]*$")]
RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{8,128}$")]


class FeedbackRequest(Contract):
    """What a user says of an answer. Either `request_id` or `trace_id` names it."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}}} for name in ("request_id", "trace_id")
            ]
        }
    )

    request_id: RequestId | None = Field(
        None,
        description="`X-Request-Id` of the answer. Where the question had a `traceparent` header, "
        "give `trace_id` instead.",
    )
    trace_id: TraceId | None = Field(None, description="`meta.trace_id` of the answer.")
    score: float = Field(ge=-1, le=1, strict=True, description="1 is good, -1 is bad.")
    comment: Annotated[str, StringConstraints(max_length=MAX_COMMENT_CHARS)] | None = None
    user_id: Identifier | None = Field(None, description="Whose word it is; a later one replaces it.")

    @model_validator(mode="after")
    def _names_one_answer(self) -> Self:
        if (self.request_id is None) == (self.trace_id is None):
            raise PydanticCustomError("one_of", "give either request_id or trace_id")
        return self


class FeedbackResponse(Contract):
    trace_id: str
    score_id: str = Field(description="The same for all that this user says of this answer.")


class DocumentIn(Contract):
    """A document to be indexed."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_DOCUMENT_CHARS)]
    id: DocumentId | None = Field(None, description="Yours; without one, it is made from the content.")
    title: Annotated[str, StringConstraints(max_length=500)] | None = None
    uri: Annotated[str, StringConstraints(max_length=2_000)] | None = None
    language: Language | None = None
    metadata: Metadata = Field(default_factory=dict)
    user_id: Identifier | None = Field(
        None,
        description="Whose it is; part of its identity. With `ANSWERBOX_ISOLATION` nobody else's question finds it.",
    )
    pages: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, max_length=100_000, description="Where each page starts in the text, in characters, in order."
    )


class DocumentsRequest(Contract):
    documents: list[DocumentIn] = Field(min_length=1, max_length=MAX_DOCUMENTS)


class JobError(Contract):
    document_id: str
    message: str


class Job(Contract):
    job_id: str
    status: JobStatus
    stage: JobStage = Field(description="What it is doing: files are read first, then documents are indexed.")
    done: int = Field(description="Documents and files dealt with so far.")
    total: int = Field(description="All that are known so far; a file may turn out to hold several documents.")
    counts: dict[str, int] = Field(
        default_factory=dict, description="How many are `queued`, `running`, `done`, `failed`, `cancelled`."
    )
    errors: list[JobError] = Field(default_factory=list)
    created_at: str = Field(description="ISO 8601, UTC.")
    finished_at: str | None = None


class DocumentInfo(Contract):
    document_id: str
    user_id: str | None = None
    title: str | None = None
    uri: str | None = None
    language: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    pages: int | None = None
    chunks: int
    characters: int
    content_hash: str = Field(description="sha256 of the content, hexadecimal.")
    created_at: str
    updated_at: str


class Document(DocumentInfo):
    text: str


class DocumentPage(Contract):
    documents: list[DocumentInfo]
    total: int
    next_after: str | None = Field(None, description="Pass it as `after` to get the next page.")


class DependencyHealth(Contract):
    ready: bool
    detail: dict[str, Any] = Field(default_factory=dict)


class Health(Contract):
    status: Literal["ok", "degraded", "starting"]
    version: str
    models: dict[str, str]
    dependencies: dict[str, DependencyHealth]


class Problem(BaseModel):
    """RFC 9457 problem details: the body of every answer that is not 2xx."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    trace_id: str | None = None
    retryable: bool
    hint: str | None = None
    errors: list[dict[str, str]] | None = None
