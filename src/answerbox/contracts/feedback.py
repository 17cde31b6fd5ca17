"""What a user says of an answer."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from answerbox.contracts.base import MAX_COMMENT_CHARS, Contract, Identifier

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
