"""The files of `deploy/bentocloud`, read as `bentoml deploy -f` reads them, without the cloud."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from bentoml._internal.cloud.deployment import CreateDeploymentSchemaV2, DeploymentAPI, get_args_from_config
from bentoml._internal.cloud.schemas.modelschemas import DeploymentStrategy
from bentoml._internal.utils.cattr import bentoml_cattr

from answerbox import __version__
from answerbox.service import Answerbox
from tests import environment

FOLDER = Path(__file__).parents[2] / "deploy" / "bentocloud"
FILES = sorted(FOLDER.glob("*.yaml"))
BY_SECRET = {"answerbox-keys": {}, "answerbox-llm": {"ANSWERBOX_LLM_API_KEY": "a-key"}}
"""Secrets that the operator makes, as README.md there says, and the variables in them."""


def _given(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def _read(given: dict[str, Any]) -> dict[str, Any]:
    """What BentoML sends to the cloud. It drops keys that it does not know, without a word."""
    schema = bentoml_cattr.structure(deepcopy(given), CreateDeploymentSchemaV2)
    DeploymentAPI._fix_and_validate_schema(schema)
    found: dict[str, Any] = bentoml_cattr.unstructure(schema)
    return found


def _lost(given: Any, read: Any, place: str = "") -> list[str]:
    """Places of what the reader has dropped or changed."""
    if isinstance(given, dict) and isinstance(read, dict):
        return [fault for key in given for fault in _lost(given[key], read.get(key), f"{place}/{key}")]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        return [fault for old, new in zip(given, read, strict=True) for fault in _lost(old, new, place)]
    return [] if given == read or _is_default(given, read) else [place]


def _is_default(given: Any, read: Any) -> bool:
    """BentoML leaves out what is its default."""
    return given is False and read is None


def _env(items: list[dict[str, str]]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in items}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_bentoml_reads_all_of_a_file(path: Path) -> None:
    given = _given(path)

    assert get_args_from_config(config_file=str(path)) == ("answerbox", f"answerbox:{__version__}", None)
    assert _lost(given, _read(given)) == []


@pytest.mark.parametrize(
    "spoilt",
    [
        {"secret": ["a"]},
        {"services": {"Index": {"scaling": {"min": 1}}}},
        {"services": {"Index": {"instance": "cpu.1"}}},
        {"envs": [{"name": "A", "value": "1", "secret": True}]},
    ],
)
def test_key_that_bentoml_drops_is_seen(spoilt: dict[str, Any]) -> None:
    given = {**_given(FILES[0]), **spoilt}

    assert _lost(given, _read(given))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_services_are_those_of_the_bento(path: Path) -> None:
    given = _given(path)
    entry: Any = Answerbox
    there = set(entry.all_services())
    if "ANSWERBOX_LLM_BASE_URL" in _env(given["envs"]):
        there.remove("Generator")

    assert given["services"].keys() == there


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_must_be_one_is_one_and_others_are_rolled(path: Path) -> None:
    """`Index` owns its folder; `Generator` has its answers and cancels by the instance that was asked."""
    for name, service in _given(path)["services"].items():
        low, high = service["scaling"]["min_replicas"], service["scaling"]["max_replicas"]
        one = name in ("Index", "Generator")
        strategy = DeploymentStrategy(service["deployment_strategy"])

        assert (low, high) == (1, 1) if one else 1 <= low < high
        assert strategy is (DeploymentStrategy.Recreate if one else DeploymentStrategy.RollingUpdate)
        assert service["instance_type"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_settings_are_taken_and_secrets_are_references(path: Path) -> None:
    given = _given(path)
    assert set(given["secrets"]) <= BY_SECRET.keys()
    secret = {name: value for kept in given["secrets"] for name, value in BY_SECRET[kept].items()}
    everybody = _env(given["envs"])
    for service in given["services"].values():
        own = _env(service.get("envs", []))

        assert not (everybody | own).keys() & {"ANSWERBOX_LLM_API_KEY", "LANGFUSE_SECRET_KEY"}
        assert list(environment.faults(everybody | own | secret)) == []


def test_setting_that_there_is_not_is_seen() -> None:
    assert list(environment.faults({"ANSWERBOX_ENV": "production", "ANSWERBOX_DATADIR": "/data"}))
    assert list(environment.faults({"ANSWERBOX_ENV": "production", "ANSWERBOX_SHUTDOWN_S": "long"}))
    assert list(environment.faults({}))
