"""What OpenAI's door takes and gives: the part of that protocol which the service can keep.

Bodies are taken with parameters that stand in no class here: `openai_unsupported.py` says which are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from answerbox.contracts import Identifier, StopString

MAX_MESSAGES = 1_000
MAX_CHAT_CHARS = 512_000
MAX_INPUTS = 2_048
MAX_INPUT_CHARS = 512_000
MAX_TOOLS = 128
PART = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
}
CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": PART}, {"type": "null"}]}
STOP = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 4}, {"type": "null"}]}

ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def _text(value: Any) -> Any:
    """The text of a message's content, also where that is a list of parts."""
    if value is None:
        return ""
    return "\n".join(_part(part) for part in value) if isinstance(value, list) else value


def _part(part: Any) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise PydanticCustomError("no_text", "only parts of type `text` are read: no images, sounds or files")


def _is_none(value: Any) -> bool:
    return value is None


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _bounded(texts: list[str]) -> list[str]:
    if sum(map(len, texts)) > MAX_INPUT_CHARS:
        raise PydanticCustomError("too_long", f"at most {MAX_INPUT_CHARS} characters in one request")
    return texts


def _texts(value: Any) -> Any:
    listed = _listed(value)
    if isinstance(listed, list) and listed and not all(isinstance(one, str) for one in listed):
        raise PydanticCustomError(
            "no_texts",
            "a text or a list of texts: lists of tokens are another model's "
            "(OpenAIEmbeddings of LangChain sends texts with `check_embedding_ctx_length=False`)",
        )
    return listed


class Spoken(BaseModel):
    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, allow_inf_nan=False)


class FunctionBody(Spoken):
    """`strict` is passed over: no engine here can promise it."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON schema of an object.")


class ToolBody(Spoken):
    type: Literal["function"]
    function: FunctionBody


class FunctionName(Spoken):
    name: ToolName


class NamedTool(Spoken):
    type: Literal["function"]
    function: FunctionName


class CalledFunction(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    arguments: str = Field(description="JSON as the model wrote it; it need not fit the tool's schema.")


class ToolCallBody(BaseModel):
    """A call that the model wants made. The caller makes it, and answers with a message of the role `tool`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(Spoken):
    """`name` and what else a message may have is passed over."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, BeforeValidator(_text), WithJsonSchema(CONTENT)] = ""
    tool_calls: Annotated[list[ToolCallBody], Field(max_length=MAX_TOOLS)] | None = None
    tool_call_id: str | None = Field(None, description="Of a message of a tool: the call that it answers.")

    @property
    def length(self) -> int:
        return len(self.content) + sum(len(call.function.arguments) for call in self.tool_calls or ())


class StreamOptions(Spoken):
    include_usage: bool | None = None


TokenLimit = Annotated[int, Field(ge=1, le=4096)]


class ChatBody(Spoken):
    """A conversation to be continued. The last message is the question, or what a tool has told since.

    `top_k`, `filter`, `max_steps` and `session_id` are ours (`extra_body` of the client).
    """

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(examples=["answerbox-rag"])
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: TokenLimit | None = Field(None, description="The older name of `max_completion_tokens`.")
    max_completion_tokens: TokenLimit | None = None
    temperature: float | None = Field(None, ge=0, le=2, description="0 where there is none: the same answer each time.")
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stop: Annotated[
        Annotated[list[StopString], Field(max_length=4)] | None, BeforeValidator(_listed), WithJsonSchema(STOP)
    ] = None
    tools: Annotated[list[ToolBody], Field(max_length=MAX_TOOLS)] | None = Field(
        None, description="Yours to call; `answerbox-llm` tells its model of them, where that calls tools."
    )
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    user: Identifier | None = Field(None, description="`user_id` of the other routes.")
    session_id: Identifier | None = None


class EmbeddingsBody(Spoken):
    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(examples=["answerbox-embedding"])
    input: Annotated[
        list[Annotated[str, StringConstraints(min_length=1)]],
        BeforeValidator(_texts),
        AfterValidator(_bounded),
        Field(min_length=1, max_length=MAX_INPUTS),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {
                        "type": "array",
                        "items": {"type": "string", "minLength": 1},
                        "minItems": 1,
                        "maxItems": MAX_INPUTS,
                    },
                ]
            }
        ),
    ]
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="`base64`: the numbers as little-endian float32."
    )
    user: Identifier | None = None
    input_type: Literal["query", "passage"] | None = Field(
        None, description="Ours: what the texts are, for models that tell them apart. `passage` where there is none."
    )


class UrlCitation(BaseModel):
    start_index: int = Field(description="First character of the piece in `content`.")
    end_index: int = Field(description="Character after it.")
    title: str
    url: str = Field(description="The document's `uri`; without one, its path in this service.")


class Annotation(BaseModel):
    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class CompletionUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str | None = Field(description="null where there is nothing but calls.")
    refusal: None = None
    annotations: list[Annotation] = Field(default_factory=list)
    tool_calls: list[ToolCallBody] | None = Field(None, exclude_if=_is_none)


FinishReason = Literal["stop", "length", "tool_calls"]


class Choice(BaseModel):
    index: int = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: FinishReason


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage
    system_fingerprint: None = None
    answerbox: dict[str, Any] = Field(
        description="`meta` of our own routes, whole, and `ignored`: parameters that nothing was done with."
    )


class ToolCallPiece(ToolCallBody):
    """A call in a stream. Each comes whole, in one piece."""

    index: int


class Delta(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None
    annotations: list[Annotation] | None = None
    tool_calls: list[ToolCallPiece] | None = None


class ChunkChoice(BaseModel):
    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: FinishReason | None = None


class ChatChunk(BaseModel):
    """A piece of a stream; the one with the `finish_reason` has `answerbox`."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | None = None
    answerbox: dict[str, Any] | None = None


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["answerbox"] = "answerbox"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class EmbeddingsUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingRow(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    object: Literal["list"] = "list"
    data: list[EmbeddingRow]
    model: str
    usage: EmbeddingsUsage


class OpenAIFault(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(BaseModel):
    """Every answer under `/v1` that is not 2xx; in a stream, its last event."""

    error: OpenAIFault
