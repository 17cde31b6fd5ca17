"""What a part needs of the machine when it is served alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from answerbox.cli.parts import Part
from answerbox.errors import SetupError
from answerbox.settings import Settings

HERE = Settings(generator_model="llm", embedder_model="minilm", reranker_model="cross")
APART = HERE.model_copy(update={f"{part}_url": f"http://{part}:3000" for part in ("index", "embedder", "generator")})


@pytest.mark.parametrize(
    ("part", "beside", "apart"),
    [
        (Part.gateway, {"llm", "minilm", "cross"}, {"cross"}),
        (Part.index, {"minilm"}, set()),
        (Part.embedder, {"minilm"}, {"minilm"}),
        (Part.generator, {"llm"}, {"llm"}),
        (Part.reranker, {"cross"}, {"cross"}),
    ],
)
def test_a_part_needs_the_models_that_it_loads_and_those_of_parts_without_an_address(
    part: Part, beside: set[str], apart: set[str]
) -> None:
    assert (set(part.models(HERE)), set(part.models(APART))) == (beside, apart)


def test_the_doubles_are_in_no_model_store() -> None:
    doubles = Settings(generator_model="fake", embedder_model="fake", reranker_model="fake")
    assert [part.models(doubles) for part in Part] == [[]] * len(Part)


def test_the_data_folder_is_of_the_index_and_of_a_gateway_that_has_none_elsewhere() -> None:
    assert [part for part in Part if part.owns_data(HERE)] == [Part.gateway, Part.index]
    assert [part for part in Part if part.owns_data(APART)] == [Part.index]


def test_a_part_without_a_model_says_which_setting_it_needs() -> None:
    with pytest.raises(SetupError, match="ANSWERBOX_LLM_BASE_URL"):
        Part.generator.models(Settings(llm_base_url="http://vllm:8000/v1"))
    with pytest.raises(SetupError, match="ANSWERBOX_RERANKER_MODEL"):
        Part.reranker.models(Settings())


def _imported(part: Part, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """As `bentoml serve` does it, in production without a key."""
    env = {**os.environ, "ANSWERBOX_ENV": "production", "ANSWERBOX_DATA_DIR": str(tmp_path)}
    env |= {
        "BENTOML_HOME": str(tmp_path / "home"),
        "ANSWERBOX_GENERATOR_MODEL": "fake",
        "ANSWERBOX_EMBEDDER_MODEL": "fake",
    }
    code = f"import answerbox.service; print(answerbox.service.{part.service}.name)"
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("part", [Part.index, Part.generator])
def test_in_production_an_inner_part_needs_no_api_keys(part: Part, tmp_path: Path) -> None:
    done = _imported(part, tmp_path)
    assert done.stdout.strip() == part.service, done.stderr[-2000:]


def test_in_production_the_gateway_needs_api_keys(tmp_path: Path) -> None:
    done = _imported(Part.gateway, tmp_path)
    assert done.returncode == 1
    assert "ANSWERBOX_ENV=production needs API keys" in done.stderr
