"""Every setting: its environment variable (`ANSWERBOX_` + the upper-case name, or its alias), default and bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from answerbox.errors import SetupError

FAKE = "fake"
"""The model name that chooses the deterministic double shipped in `adapters/fakes.py`."""

BUILTIN = "builtin"
"""The pipeline name that chooses Answerbox's own."""

PARTS = frozenset({"generator", "embedder", "index", "reranker"})

PREFIX = "ANSWERBOX_"
HTTP = r"^https?://"
HTTP_LIST = r"^https?://[^, ]+(,https?://[^, ]+)*$"
SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,23}")
HEADER = re.compile(r"[A-Za-z0-9-]{1,64}: *[!-~][ -~]{0,4000}")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, populate_by_name=True)

    generator_model: str = Field(
        "smollm2-135m-instruct", description="Language model: a tag of BentoML's model store, or `fake`."
    )
    embedder_model: str = Field(
        "all-minilm-l6-v2", description="Embedding model: a tag of BentoML's model store, or `fake`."
    )
    llm_base_url: str | None = Field(
        None,
        pattern=HTTP,
        description="An OpenAI-compatible server (`http://host:8000/v1`) that generates instead of a local model.",
    )
    llm_model: str | None = Field(None, description="Model name there; without one, the first that it lists.")
    llm_api_key: SecretStr | None = Field(None, description="Key for that server.")
    llm_context_tokens: int = Field(
        8_192, ge=256, description="Window of the model there, in tokens, where the server does not tell."
    )
    llm_tools: bool = Field(
        True, description="Whether the model there calls tools; servers do not tell. Without, the agent searches first."
    )
    llm_connect_timeout_s: float = Field(5.0, gt=0, le=60, description="Longest wait for a connection there, seconds.")
    llm_silence_timeout_s: float = Field(
        60.0, gt=0, le=500, description="Longest silence of that server while it answers, seconds."
    )
    llm_concurrency: int = Field(
        64, ge=1, le=10_000, description="Requests to that server at a time; more are refused."
    )

    generator_url: str | None = Field(
        None,
        pattern=HTTP_LIST,
        description="Where a `Generator` of its own runs (`http://generator:3000`), not beside this one. Several, with "
        "commas between them, share the work.",
    )
    embedder_url: str | None = Field(
        None, pattern=HTTP_LIST, description="The same for `Embedder`; `Index` needs it too."
    )
    index_url: str | None = Field(
        None, pattern=HTTP, description="The same for `Index`, which is one for all gateways."
    )
    reranker_url: str | None = Field(None, pattern=HTTP, description="The same for `Reranker`.")

    data_dir: Path = Field(
        Path.home() / ".answerbox",
        description="Folder of the documents and their index. One service owns it.",
    )
    seed_docs: bool = Field(True, description="Index Answerbox's own documentation at the first start.")

    needed_parts: frozenset[Literal["generator", "embedder", "index"]] = Field(
        frozenset({"generator", "embedder", "index"}),
        description="Without which of its parts the service is not ready, as JSON. Without the embedder words are "
        "searched, without the index `/llm_query` answers.",
    )
    llm_pipeline: str = Field(
        "builtin", description="What answers /llm_query: `builtin`, or your own `module:run_model`."
    )
    rag_pipeline: str = Field(
        "builtin", description="What answers /rag_query: `builtin`, or your own `module:run_model`."
    )
    custom_pipeline: str | None = Field(
        None, pattern=":", description="What answers /custom_query: your own `module:run_model`."
    )
    custom_concurrency: int = Field(
        1, ge=1, le=64, description="Calls of such a function, if it blocks, at a time in each process; others wait."
    )
    pipelines: frozenset[Literal["llm", "rag", "agent", "custom"]] = Field(
        frozenset({"llm", "rag", "agent", "custom"}),
        description='Which are served, as JSON. What none of them needs is not started: with `["custom"]` neither '
        "the models nor the documents.",
    )

    agent_max_steps: int = Field(
        6, ge=1, le=50, description="Turns of the agent's model in which it may call tools, at most."
    )
    agent_token_budget: int = Field(
        24_000, ge=500, description="Tokens, read and made, after which the agent must answer with what it has."
    )
    tools: tuple[str, ...] = Field(
        (), description='Functions of your own that the agent may call, as JSON: `["my_tools:weather"]`.'
    )
    allowed_tools: frozenset[str] = Field(
        frozenset(), description="Names of tools with side effects that the agent may call all the same, as JSON."
    )
    tool_timeout_s: float = Field(
        15.0, gt=0, le=300, description="Longest time of a tool that sets none itself, seconds."
    )
    mcp: bool = Field(True, description="Whether MCP is spoken at `/mcp`.")
    mcp_servers: dict[str, str] = Field(
        {},
        description="MCP servers (streamable HTTP) whose tools the agent may call, by name, as JSON: "
        '`{"tickets": "https://tickets.example.org/mcp"}`.',
    )
    mcp_headers: dict[str, SecretStr] = Field(
        {},
        description="A header for each of them that asks for a key, as JSON: "
        '`{"tickets": "Authorization: Bearer ..."}`.',
    )
    session_s: float = Field(
        86_400.0,
        ge=1,
        le=31_536_000,
        description="A conversation is forgotten after so long without a question, seconds.",
    )

    env: Literal["development", "production"] = Field(
        "development", description="In `production` the service starts only with API keys."
    )
    keys_file: Path | None = Field(
        None,
        description="API keys, as hashes; `answerbox keys` writes it. None: `keys.json` in the data folder. "
        "Once it is there every request needs a key.",
    )
    open_routes: frozenset[Literal["docs", "health", "metrics"]] = Field(
        frozenset({"docs"}), description='What needs no key where others do, as JSON: `["docs", "health", "metrics"]`.'
    )
    cors_origins: tuple[str, ...] = Field(
        (), description='Pages of other origins that may call, as JSON: `["https://example.org"]`, or `["*"]`.'
    )
    cors_credentials: bool = Field(False, description="Whether such pages may send cookies; not together with `*`.")
    requests_per_minute: int = Field(0, ge=0, description="Requests of a key in a minute; 0: any number.")
    tokens_per_day: int = Field(0, ge=0, description="Tokens, read and made, of a key in a day (UTC); 0: any number.")
    limits_url: str = Field(
        "memory://",
        pattern=r"^(memory|rediss?)://",
        description="Where both are counted: `memory://` (each process by itself), or `redis://host:6379` for all "
        "replicas together.",
    )
    max_requests: int = Field(2_000, ge=1, description="Requests at a time, in each process; more are refused.")
    max_key_requests: int = Field(500, ge=1, description="Requests of a key at a time, in each process.")
    max_key_streams: int = Field(200, ge=1, description="Streams of a key at a time, in each process.")

    request_timeout_s: float = Field(120.0, gt=0, le=500, description="Deadline of a request, seconds.")
    max_request_timeout_s: float = Field(
        500.0,
        gt=0,
        le=500,
        description="Longest deadline that a request may ask for (`X-Request-Timeout`), seconds.",
    )
    shutdown_s: float = Field(
        25.0, ge=0, le=500, description="After SIGTERM, requests that run have so long to end, seconds."
    )
    body_silence_s: float = Field(
        20.0,
        gt=0,
        le=600,
        description="Longest wait for a request's head, and longest silence while its body is sent, seconds.",
    )
    reader_silence_s: float = Field(
        60.0, gt=0, le=600, description="A client that takes nothing of its answer for so long is cut off, seconds."
    )
    max_body_bytes: int = Field(8 * 2**20, ge=1024, description="Longest request body, bytes.")
    stream_heartbeat_s: float = Field(
        10.0, gt=0, le=60, description="Silence after which a stream sends a comment line, seconds."
    )

    default_max_tokens: int = Field(
        256, ge=1, le=4096, description="Longest answer where the request sets no `max_tokens`."
    )
    default_top_k: int = Field(3, ge=1, le=20, description="Passages where the request sets no `top_k`.")
    min_relevance: float = Field(
        0.41, ge=0, le=1, description="A passage of lower relevance is not given to the model."
    )
    min_coverage: float = Field(
        0.36, ge=0, le=1, description="The same where only the words were searched, not the meaning."
    )
    chunk_tokens: int = Field(220, ge=32, le=2000, description="Longest passage, in tokens of the embedding model.")
    chunk_overlap: int = Field(0, ge=0, le=500, description="Tokens that a passage shares with the one before it.")
    isolation: bool = Field(
        False,
        description="Whether documents with a `user_id` are found by that user's questions only, and listed to "
        "no other.",
    )
    chroma_url: str | None = Field(
        None, pattern=HTTP, description="A Chroma server that holds the vectors instead of the data folder."
    )
    chroma_timeout_s: float = Field(
        5.0, gt=0, le=120, description="Longest wait for an answer of that server, seconds."
    )
    embedder_timeout_s: float = Field(
        3.0, gt=0, le=60, description="Longest wait for a question's vector; then only words are searched, seconds."
    )
    index_timeout_s: float = Field(
        10.0, gt=0, le=120, description="Longest wait for a search; then the index counts as down, seconds."
    )
    index_patience_s: float = Field(
        0.0,
        ge=0,
        le=120,
        description="How long a search waits for an index that is down, because it is being restarted, seconds.",
    )
    reranker_timeout_s: float = Field(
        10.0, gt=0, le=120, description="Longest wait for the reranker; then the order stays as it is, seconds."
    )
    reranker_model: str | None = Field(
        None, description="A cross-encoder of BentoML's model store that orders the best passages anew, or `fake`."
    )
    max_upload_bytes: int = Field(
        32 * 2**20, ge=1024, le=2**31, description="Longest multipart body of files for POST /documents, bytes."
    )
    reading_timeout_s: float = Field(60.0, ge=1, le=3_600, description="Longest time to read one file, seconds.")
    reading_memory_mb: int = Field(
        1_024, ge=256, le=65_536, description="Most memory that the process which reads files may take, MiB."
    )

    engine: Literal["auto", "openvino", "transformers", "continuous"] = Field(
        "auto",
        description="What runs the language model: `openvino` (fastest on a CPU, for models with a GGUF file in the "
        "store), `continuous` (transformers' continuous batching, for GPUs), `transformers` (any model).",
    )
    generator_batch: int = Field(16, ge=1, le=256, description="Requests that generate at the same time.")
    generator_tokens: int = Field(
        16_384, ge=512, le=10_000_000, description="Tokens, prompts and answers, that they may have in memory together."
    )
    generator_queue_tokens: int = Field(
        32_000, ge=1_000, description="Tokens of work that may wait; a token that is only read counts an eighth."
    )
    generator_queue_wait_s: float = Field(
        15.0, gt=0, le=500, description="Longest wait for the language model; what would wait longer is refused."
    )
    generator_stall_s: float = Field(
        60.0, ge=1, le=3_600, description="A language model that makes nothing for so long is restarted, seconds."
    )
    embedder_batch: int = Field(64, ge=2, le=512, description="Texts embedded in one batch.")
    device: str = Field("auto", description="Where models run: `auto`, `cpu`, `cuda`, `cuda:1`.")
    fake_token_delay_s: float = Field(0.0, ge=0, le=10, description="Time per token of the `fake` model.")
    langfuse_public_key: str | None = Field(
        None, validation_alias="LANGFUSE_PUBLIC_KEY", description="With both keys every request is traced in Langfuse."
    )
    langfuse_secret_key: SecretStr | None = Field(
        None, validation_alias="LANGFUSE_SECRET_KEY", description="Secret key of the same project."
    )
    langfuse_base_url: str = Field(
        "https://cloud.langfuse.com",
        validation_alias="LANGFUSE_BASE_URL",
        pattern=HTTP,
        description="Langfuse's address: a server of your own (v4.59 or newer), or its cloud.",
    )
    prompt_label: str = Field(
        "production", description="Prompts of Langfuse's with this label take the place of those in the code."
    )
    prompt_refresh_s: float = Field(
        60.0, ge=1, le=86_400, description="How often they are asked for, beside the requests, seconds."
    )
    otlp_endpoint: str | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        pattern=HTTP,
        description="Any backend that takes OTLP over HTTP gets the same traces, at `/v1/traces` below this address.",
    )
    trace_sample: float = Field(1.0, ge=0, le=1, description="Share of the requests that are traced; failures always.")
    trace_content: bool = Field(True, description="Whether traces have questions, passages and answers in them.")
    trace_chars: int = Field(8_000, ge=100, le=100_000, description="Longest text in a trace, characters.")
    trace_mask: str | None = Field(
        None,
        description="Your own `module:function`, text to text, over every text of a trace, after keys, addresses "
        "of e-mail and telephone numbers have been taken out.",
    )
    prices: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description='US dollars for a million tokens read and a million made, as JSON: `{"gpt-5": [1.25, 10]}`.',
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged, at least.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="A line of JSON for each event, or text for people; `auto`: text on a terminal."
    )
    log_sample: float = Field(
        1.0, ge=0, le=1, description="Share of the requests that went well that are logged; failures always."
    )
    log_content: bool = Field(False, description="Whether the log has questions and answers in it.")
    page: bool = Field(True, description="Whether there is a page for people at `/`.")
    gateway_workers: int = Field(1, ge=1, le=64, description="Processes that take HTTP requests.")

    def mcp_header(self, server: str) -> dict[str, str]:
        """The header that this MCP server asks for, by its name; none where none is set."""
        if server not in self.mcp_headers:
            return {}
        name, _, value = self.mcp_headers[server].get_secret_value().partition(":")
        return {name.strip(): value.strip()}

    @property
    def keys_path(self) -> Path:
        return self.keys_file or self.data_dir / "keys.json"

    @property
    def served(self) -> frozenset[str]:
        """The pipelines that are served, and the `PARTS` that these need."""
        pipelines = self.pipelines if self.custom_pipeline else self.pipelines - {"custom"}
        own = {"llm": self.llm_pipeline != BUILTIN, "rag": self.rag_pipeline != BUILTIN, "agent": False, "custom": True}
        builtin = {name for name in pipelines if not own[name]}
        parts = PARTS if builtin & {"rag", "agent"} else {"generator"} if builtin else set[str]()
        return pipelines | (parts if self.reranker_model else parts - {"reranker"})

    @property
    def models_here(self) -> dict[str, str]:
        """The models that this machine's store must have, by what they are for: those of parts that run here."""
        tags = {
            "generator": None if self.llm_base_url or self.generator_url else self.generator_model,
            "embedder": None if self.embedder_url else self.embedder_model,
            "reranker": None if self.reranker_url else self.reranker_model,
        }
        return {kind: tag for kind, tag in tags.items() if tag and tag != FAKE and kind in self.served}

    @property
    def langfuse_keys(self) -> tuple[str, str] | None:
        """The public and the secret one; None where they are not both set."""
        if not (self.langfuse_public_key and self.langfuse_secret_key):
            return None
        return self.langfuse_public_key, self.langfuse_secret_key.get_secret_value()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.cors_credentials and "*" in self.cors_origins:
            raise ValueError('ANSWERBOX_CORS_CREDENTIALS with ANSWERBOX_CORS_ORIGINS=["*"]: name the origins')
        if self.request_timeout_s > self.max_request_timeout_s:
            raise ValueError("ANSWERBOX_REQUEST_TIMEOUT_S is above ANSWERBOX_MAX_REQUEST_TIMEOUT_S")
        if self.embedder_timeout_s >= self.index_timeout_s:
            raise ValueError("ANSWERBOX_EMBEDDER_TIMEOUT_S must be below ANSWERBOX_INDEX_TIMEOUT_S")
        if not self.served:
            raise ValueError("ANSWERBOX_PIPELINES names none that is there; `custom` needs ANSWERBOX_CUSTOM_PIPELINE")
        self._check_mcp()
        return self

    def _check_mcp(self) -> None:
        for name, url in self.mcp_servers.items():
            if not SERVER_NAME.fullmatch(name):
                raise ValueError(f"ANSWERBOX_MCP_SERVERS: the name {name!r} is not 1 to 24 of a-z, 0-9, - and _")
            if not re.match(r"https?://[^/]", url):
                raise ValueError(f"ANSWERBOX_MCP_SERVERS: the address of {name!r} is none of http or https")
        for name, header in self.mcp_headers.items():
            if name not in self.mcp_servers:
                raise ValueError(f"ANSWERBOX_MCP_HEADERS: there is no server {name!r} in ANSWERBOX_MCP_SERVERS")
            if not HEADER.fullmatch(header.get_secret_value()):
                raise ValueError(f"ANSWERBOX_MCP_HEADERS: that of {name!r} is not `Name: value`")


def variable(name: str) -> str:
    """The environment variable of a setting: its own, or the one that the whole world has for it."""
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def load_settings() -> Settings:
    """The settings of this process, from its environment.

    Raises:
        SetupError: a variable has a wrong value; `errors` lists all of them.
    """
    try:
        return Settings()
    except SettingsError as exc:  # a list that is no JSON
        raise SetupError(f"Wrong settings. {exc}.", hint="Lists are written as JSON.") from None
    except ValidationError as exc:
        faults = [{"field": _place(e["loc"]), "message": e["msg"]} for e in exc.errors()]
        lines = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
        raise SetupError(f"Wrong settings. {lines}", errors=faults) from None


def _place(place: tuple[int | str, ...]) -> str:
    """The environment variable that a fault belongs to; a fault of several has no place."""
    if not place:
        return "together"
    return variable(str(place[0])) if place[0] in Settings.model_fields else str(place[0])
