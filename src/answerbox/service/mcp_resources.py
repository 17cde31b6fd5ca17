"""The documents as resources of MCP: a page of them, and the text of one."""

from __future__ import annotations

import bentoml

from answerbox.contracts import Document, DocumentPage
from answerbox.errors import DocumentNotFound
from answerbox.service import exchange
from answerbox.service.exchange import within_deadline
from answerbox.service.mcp_text import OWNER, ROOT, parsed_uri

PAGE = 100
TEMPLATE = f"{ROOT}{{document_id}}{{?user_id}}"
MEDIA_TYPE = "text/plain"


async def page_of_documents(after: str | None) -> DocumentPage:
    """Raises: IndexUnavailable, and as `within_deadline` does."""
    user_id = exchange.current.get().caller.speaks_for(None)
    page: DocumentPage = await within_deadline(bentoml.get_current_service().store.documents(after, PAGE, user_id))
    return page


async def document_at(uri: str) -> Document:
    """The document of that resource: the caller's own or, where it names no owner, one that is nobody's.

    Raises:
        DocumentNotFound: also where the address is none of a document.
        Forbidden: the key speaks for another user.
        IndexUnavailable, and as `within_deadline` does.
    """
    found = parsed_uri(uri)
    if found is None:
        raise DocumentNotFound(
            f"There is no resource {uri[:200]!r}.", hint=f"Documents are {ROOT}ID, of an owner {ROOT}ID{OWNER}OWNER."
        )
    document_id, owner = found
    mine = exchange.current.get().caller.speaks_for(owner)
    try:
        return await _document(document_id, mine)
    except DocumentNotFound:
        if owner is not None or mine is None:
            raise
        return await _document(document_id, None)


async def _document(document_id: str, user_id: str | None) -> Document:
    found: Document = await within_deadline(bentoml.get_current_service().store.document(document_id, user_id))
    return found
