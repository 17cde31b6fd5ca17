"""What a tool of MCP's door tells in words, beside its structured result: for models and people that read only text."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlencode

from answerbox.contracts import (
    AgentResponse,
    DocumentInfo,
    DocumentPage,
    LlmResponse,
    RagResponse,
    SearchResponse,
    Source,
)
from answerbox.errors import AnswerboxError
from answerbox.service import problems

ROOT = "answerbox://documents/"
OWNER = "?user_id="


def answer_text(response: LlmResponse | RagResponse | AgentResponse) -> str:
    """The answer, then each source under the number by which the answer cites it, with the sentences that bear it."""
    if isinstance(response, LlmResponse) or not response.meta.sources:
        return response.answer
    lines = [response.answer, "", "Sources:"]
    for number, source in enumerate(response.meta.sources, 1):
        lines.append(f"[{number}] {_place(source)}")
        bearing = [
            source.text[citation.source_start : citation.source_end]
            for citation in response.meta.citations
            if citation.source == number
        ]
        lines += [f"    {sentence!r}" for sentence in dict.fromkeys(bearing)]
    return "\n".join(lines)


def hits_text(response: SearchResponse) -> str:
    if not response.hits:
        return "No passage was found."
    hits = (f"[{n}] {_place(hit)} (relevance {hit.score:.2f})\n{hit.text}" for n, hit in enumerate(response.hits, 1))
    return "\n\n".join(hits)


def page_text(page: DocumentPage) -> str:
    lines = [f"{len(page.documents)} of {page.total} documents."]
    lines += [f"- {document.title or document.document_id}: {uri_of(document)}" for document in page.documents]
    if page.next_after is not None:
        lines.append("There are more: call again with `after` set to `next_after` of this result.")
    return "\n".join(lines)


def failure_text(error: AnswerboxError) -> str:
    """Code, message and hint, as far as a caller may know them."""
    told = problems.problem(error, "", "")
    return " ".join(filter(None, [f"{told['code']}:", told["detail"], told.get("hint")]))


def uri_of(document: DocumentInfo) -> str:
    """The document as a resource: `answerbox://documents/{document_id}{?user_id}`, with its owner where it has one."""
    return _uri(document.document_id, document.user_id)


def parsed_uri(uri: str) -> tuple[str, str | None] | None:
    """Id and owner of a resource's document; None where the address is not one of a document."""
    if not uri.startswith(ROOT):
        return None
    name, found, owner = uri.removeprefix(ROOT).partition(OWNER)
    return (unquote(name), unquote(owner) if found else None) if name else None


def _uri(document_id: str, user_id: str | None) -> str:
    owner = f"?{urlencode({'user_id': user_id})}" if user_id else ""
    return f"{ROOT}{quote(document_id, safe='')}{owner}"


def _place(source: Source) -> str:
    parts = [source.title or source.document_id]
    if source.page:
        parts.append(f"page {source.page}")
    return f"{', '.join(parts)} <{source.uri or _uri(source.document_id, None)}>"
