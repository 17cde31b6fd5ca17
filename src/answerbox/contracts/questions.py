"""What may be asked of the pipelines and of the search."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from answerbox.contracts.base import (
    ContextText,
    Contract,
    Filter,
    Identifier,
    Parameters,
    Question,
    StopString,
)

SearchMode = Literal["hybrid", "vectors", "words"]


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


class QuestionRequest(Contract):
    """What every pipeline is asked with."""

    question: Question = Field(
        description="The question, in any language.", examples=["What is the capital of France?"]
    )
    context: ContextText | None = Field(
        None, description="What the caller already knows; the model is told that it is material, not instructions."
    )
    user_id: Identifier | None = Field(None, description="Who asks, in the caller's own numbering.")
    session_id: Identifier | None = Field(None, description="The conversation that this question belongs to.")


class LlmRequest(QuestionRequest):
    """A question for the language model alone."""

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


class AgentRequest(RagRequest):
    """A question for the agent, which may search several times and call other tools before it answers."""

    max_steps: int | None = Field(
        None,
        ge=1,
        le=50,
        description="At most so many turns of the model in which it may call tools; where the operator allows fewer "
        "(`ANSWERBOX_AGENT_MAX_STEPS`), those.",
    )


class CustomRequest(QuestionRequest):
    """A question for the operator's own `run_model`."""

    parameters: Parameters = Field(
        default_factory=dict,
        description="What that function takes beside a question; it gets each member beside `question`, so none may "
        "have the name of a field of this request.",
        examples=[{"city": "Berlin"}],
    )

    @field_validator("parameters")
    @classmethod
    def _shadow_nothing(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(parameters.keys() & cls.model_fields):
            raise ValueError(f"fields of the request have the names {', '.join(taken)}")
        return parameters


class SearchRequest(Contract):
    query: Question = Field(examples=["bring your own documents"])
    top_k: int = Field(5, ge=1, le=50)
    filter: Filter | None = None
    user_id: Identifier | None = Field(None, description="Who searches; see `ANSWERBOX_ISOLATION`.")
    mode: SearchMode = Field("hybrid", description="By meaning and words, or by one of them alone.")
