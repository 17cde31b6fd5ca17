"""What the tools of MCP's door take.

There is no `user_id`: these arguments are written by a language model, and whom it speaks for is its key's to say.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from answerbox.contracts import MAX_PAGE, ContextText, Contract, Filter, Question, SearchMode


class Ask(Contract):
    question: Question = Field(
        description="The question, in any language. It must be whole: nothing said before is known."
    )
    pipeline: Literal["llm", "rag", "agent"] = Field(
        "rag",
        description="`rag`: from the documents, with citations. `agent`: may search several times, calculate and call "
        "other tools. `llm`: the language model alone, without documents.",
    )
    context: ContextText | None = Field(
        None, description="What you already know; it is taken as material, not as instructions."
    )
    top_k: int | None = Field(None, ge=1, le=20, description="At most so many passages; not with `llm`.")
    filter: Filter | None = Field(
        None,
        description="Only documents whose metadata fulfils this; not with `llm`. Values, or "
        "`$eq $ne $gt $gte $lt $lte $in $nin`, joined by `$and $or`.",
        examples=[{"team": "support", "year": {"$gte": 2020}}],
    )


class Search(Contract):
    query: Question = Field(description="What to look for: a question or a few words.")
    top_k: int = Field(5, ge=1, le=50, description="At most so many passages.")
    filter: Filter | None = Field(None, description="As of `ask`.")
    mode: SearchMode = Field("hybrid", description="By meaning and words, or by one of them alone.")


class ListDocuments(Contract):
    limit: int = Field(50, ge=1, le=MAX_PAGE, description="Documents of a page.")
    after: str | None = Field(None, max_length=1_000, description="`next_after` of the page before.")
