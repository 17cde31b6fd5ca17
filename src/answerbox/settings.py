"""Every setting: its environment variable (`ANSWERBOX_` + the upper-case name), default and bounds."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from answerbox.errors import SetupError

FAKE = "fake"
"""The model name that chooses the deterministic double shipped in `adapters/fakes.py`."""

BUILTIN = "builtin"
"""The pipeline name that chooses Answerbox's own."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ANSWERBOX_", extra="ignore", frozen=True)

    generator_model: str = Field(
        "smollm2-135m-instruct", description="Language model: a tag of BentoML's model store, or `fake`."
    )
    embedder_model: str = Field(
        "all-minilm-l6-v2", description="Embedding model: a tag of BentoML's model store, or `fake`."
    )
    data_dir: Path = Field(
        Path.home() / ".answerbox",
        description="Folder of the documents and their index. One service owns it.",
    )
    seed_docs: bool = Field(True, description="Index Answerbox's own documentation at the first start.")

    llm_pipeline: str = Field(
        "builtin", description="What answers /llm_query: `builtin`, or your own `module:run_model`."
    )
    rag_pipeline: str = Field(
        "builtin", description="What answers /rag_query: `builtin`, or your own `module:run_model`."
    )

    request_timeout_s: float = Field(120.0, gt=0, le=500, description="Deadline of a request, seconds.")
    max_body_bytes: int = Field(8 * 2**20, ge=1024, description="Longest request body, bytes.")
    stream_heartbeat_s: float = Field(
        10.0, gt=0, le=60, description="Silence after which a stream sends a comment line, seconds."
    )

    default_max_tokens: int = Field(
        256, ge=1, le=4096, description="Longest answer where the request sets no `max_tokens`."
    )
    default_top_k: int = Field(3, ge=1, le=20, description="Passages where the request sets no `top_k`.")
    min_relevance: float = Field(
        0.42, ge=0, le=1, description="A passage of lower relevance is not given to the model."
    )
    min_coverage: float = Field(
        0.3, ge=0, le=1, description="The same where only the words were searched, not the meaning."
    )
    chunk_tokens: int = Field(220, ge=32, le=2000, description="Longest passage, in tokens of the embedding model.")

    generator_batch: int = Field(16, ge=1, le=256, description="Requests that generate at the same time.")
    embedder_batch: int = Field(64, ge=2, le=512, description="Texts embedded in one batch.")
    device: str = Field("auto", description="Where models run: `auto`, `cpu`, `cuda`, `cuda:1`.")
    fake_token_delay_s: float = Field(0.0, ge=0, le=10, description="Time per token of the `fake` model.")
    gateway_workers: int = Field(1, ge=1, le=64, description="Processes that take HTTP requests.")


def load_settings() -> Settings:
    """The settings of this process, from its environment.

    Raises:
        SetupError: a variable has a wrong value; `errors` lists all of them.
    """
    try:
        return Settings()
    except ValidationError as exc:
        faults = [{"field": "ANSWERBOX_" + str(e["loc"][0]).upper(), "message": e["msg"]} for e in exc.errors()]
        lines = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
        raise SetupError(f"Wrong settings. {lines}", errors=faults) from None
