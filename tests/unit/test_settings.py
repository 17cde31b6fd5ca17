"""Settings come from the environment; all wrong ones are told at once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from answerbox.errors import SetupError
from answerbox.settings import Settings, load_settings


def test_without_variables_the_defaults_stand() -> None:
    settings = load_settings()
    assert settings.llm_pipeline == settings.rag_pipeline == "builtin"
    assert settings.gateway_workers == 1


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_explained(name: str) -> None:
    assert Settings.model_fields[name].description


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_default_keeps_its_own_bounds(name: str) -> None:
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    assert getattr(Settings(**{name: default}), name) == default


def test_variables_have_the_prefix_and_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANSWERBOX_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ANSWERBOX_SEED_DOCS", "false")
    monkeypatch.setenv("ANSWERBOX_GENERATOR_BATCH", "3")
    settings = load_settings()
    assert (settings.data_dir, settings.seed_docs, settings.generator_batch) == (tmp_path, False, 3)


def test_all_wrong_settings_are_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERBOX_REQUEST_TIMEOUT_S", "0")
    monkeypatch.setenv("ANSWERBOX_CHUNK_TOKENS", "many")
    monkeypatch.setenv("ANSWERBOX_MIN_RELEVANCE", "2")
    with pytest.raises(SetupError) as caught:
        load_settings()
    names = ["ANSWERBOX_CHUNK_TOKENS", "ANSWERBOX_MIN_RELEVANCE", "ANSWERBOX_REQUEST_TIMEOUT_S"]
    assert sorted(fault["field"] for fault in caught.value.errors) == names
    assert all(name in caught.value.message for name in names)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "501"])
def test_a_timeout_out_of_bounds_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERBOX_REQUEST_TIMEOUT_S", value)
    with pytest.raises(SetupError, match="ANSWERBOX_REQUEST_TIMEOUT_S"):
        load_settings()


def test_settings_cannot_be_changed_later() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.device = "cpu"  # type: ignore[misc]


def test_models_of_parts_that_run_elsewhere_are_not_needed_here() -> None:
    url = "http://10.0.0.2:3000"
    models: dict[str, Any] = {"generator_model": "a", "embedder_model": "b", "reranker_model": "c"}
    assert Settings(**models).models_here == {"generator": "a", "embedder": "b", "reranker": "c"}
    assert Settings(**models, generator_url=url, embedder_url=url).models_here == {"reranker": "c"}
    assert Settings(**models, llm_base_url=url, reranker_url=url).models_here == {"embedder": "b"}
    assert Settings(generator_model="fake", embedder_model="fake").models_here == {}


PARTS = {"generator", "embedder", "index"}


@pytest.mark.parametrize(
    ("given", "served"),
    [
        ({}, {"llm", "rag", "agent", *PARTS}),
        ({"custom_pipeline": "my:f", "reranker_model": "c"}, {"llm", "rag", "agent", "custom", *PARTS, "reranker"}),
        ({"pipelines": {"custom"}, "custom_pipeline": "my:f", "reranker_model": "c"}, {"custom"}),
        ({"pipelines": {"llm"}}, {"llm", "generator"}),
        ({"pipelines": {"llm"}, "llm_pipeline": "my:f"}, {"llm"}),
        ({"pipelines": {"rag", "custom"}}, {"rag", *PARTS}),
        ({"pipelines": {"llm", "rag"}, "llm_pipeline": "my:f", "rag_pipeline": "my:f"}, {"llm", "rag"}),
        ({"llm_pipeline": "my:f", "rag_pipeline": "my:f"}, {"llm", "rag", "agent", *PARTS}),
    ],
)
def test_what_no_pipeline_needs_is_not_there(given: dict[str, Any], served: set[str]) -> None:
    settings = Settings(**given)
    assert settings.served == served
    assert set(settings.models_here) == served & {"generator", "embedder", "reranker"}


@pytest.mark.parametrize("names", [[], ["custom"]])
def test_without_any_pipeline_there_is_no_service(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERBOX_PIPELINES", json.dumps(names))
    with pytest.raises(SetupError, match="ANSWERBOX_PIPELINES"):
        load_settings()


DESK = {"desk": "https://desk.example/mcp"}


@pytest.mark.parametrize(
    ("servers", "headers", "word"),
    [
        ({"Desk!": "https://desk.example/mcp"}, {}, "the name 'Desk!'"),
        ({"desk": "ftp://desk.example"}, {}, "the address of 'desk'"),
        (DESK, {"shop": "X-Key: 1"}, "no server 'shop'"),
        (DESK, {"desk": "hunter2"}, "not `Name: value`"),
        (DESK, {"desk": "X-Key: a\nX-Other: hunter2"}, "not `Name: value`"),
    ],
)
def test_wrong_servers_of_tools_are_refused_and_no_key_is_shown(
    servers: dict[str, str], headers: dict[str, str], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSWERBOX_MCP_SERVERS", json.dumps(servers))
    monkeypatch.setenv("ANSWERBOX_MCP_HEADERS", json.dumps(headers))
    with pytest.raises(SetupError, match=re.escape(word)) as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_a_server_of_tools_gets_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERBOX_MCP_SERVERS", json.dumps(DESK))
    monkeypatch.setenv("ANSWERBOX_MCP_HEADERS", json.dumps({"desk": "Authorization:  Bearer a:b"}))
    assert load_settings().mcp_header("desk") == {"Authorization": "Bearer a:b"}
    assert load_settings().mcp_header("shop") == {}
