"""Documents on their way in, the jobs that index them, and what is told of them afterwards."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from answerbox.contracts.base import (
    MAX_DOCUMENT_CHARS,
    MAX_DOCUMENTS,
    Contract,
    DocumentId,
    Identifier,
    Language,
    Metadata,
)

JobStage = Literal["queued", "reading", "indexing", "ended"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


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
