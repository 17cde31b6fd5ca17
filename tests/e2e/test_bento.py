"""The Bento: built, looked into, and served by its tag from an empty folder, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.live import BIN, home_with_models, serving, usual_home, wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Built:
    tag: str
    folder: Path
    home: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    home = home_with_models(tmp_path_factory.mktemp("bento") / "home")
    env = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
    env["PATH"] = f"{BIN}:{env['PATH']}"
    done = subprocess.run(
        [str(BIN / "bentoml"), "build", "--output", "tag"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tag = done.stdout.strip().rpartition("__tag__:")[2]
    name, _, version = tag.partition(":")
    return Built(tag, home / "bentos" / name / version, home)


def test_the_bento_holds_code_and_documents_and_nothing_private(built: Built) -> None:
    files = {path.relative_to(built.folder).as_posix() for path in built.folder.rglob("*") if path.is_file()}
    assert {"src/answerbox/service/gateway.py", "src/answerbox/ui/index.html", "src/answerbox/ui/main.js"} <= files
    assert {"src/README.md", "src/docs/architecture.md"} <= files
    words = ("test", ".env", "var/", ".sqlite3", ".ipynb", "_cache/", "xquad")
    private = [name for name in files if any(word in name for word in words)]
    assert private == []


def test_the_bento_pins_models_and_packages(built: Built) -> None:
    described = yaml.safe_load((built.folder / "bento.yaml").read_text())
    models = {model["tag"] for service in described["services"] for model in service["models"]}
    assert any(tag.startswith("smollm2-135m-instruct:b179") for tag in models)
    assert any(tag.startswith("all-minilm-l6-v2:53aa") for tag in models)
    assert {service["name"] for service in described["services"]} == {"Answerbox", "Index", "Embedder", "Generator"}
    requirements = (built.folder / "env" / "python" / "requirements.txt").read_text()
    lines = [line for line in requirements.splitlines() if line and not line.startswith(("#", "-"))]
    assert "torch==2.13.0" in lines
    assert all("==" in line for line in lines)


def test_the_bento_serves_by_its_tag_from_an_empty_folder(built: Built, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    _newer_and_broken_model(folder / "home" / "models")
    (folder / "home" / "bentos").symlink_to(built.home / "bentos")
    with serving(folder, target=built.tag, seed_docs="true") as live:
        answer = live.post("/llm_query", {"question": "What is the capital of France?"}).json()
        assert "Paris" in answer["answer"]
        assert answer["meta"]["model"].startswith("smollm2-135m-instruct:b179")
        wait_until(lambda: live.get("/documents?limit=1").json()["total"] > 1, 120, "the manual is accepted")
        wait_until(lambda: _waiting(live.get("/health").json()) == 0, 120, "the manual is indexed")
        body = {"question": "Which port does Answerbox use?", "options": {"max_tokens": 16}}
        sources = live.post("/rag_query", body).json()["meta"]["sources"]
        assert "3000" in " ".join(source["text"] for source in sources)


def _newer_and_broken_model(models: Path) -> None:
    """The usual models, and a `latest` that the Bento was not built with and that cannot be loaded."""
    for version in (usual_home() / "models").glob("*/*/"):
        link = models / version.relative_to(usual_home() / "models")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(version)
    name = models / "smollm2-135m-instruct"
    (name / "broken").mkdir()
    shutil.copy(next(name.glob("b179*")) / "model.yaml", name / "broken")
    (name / "latest").write_text("broken")
    (models / "all-minilm-l6-v2" / "latest").write_text(next((models / "all-minilm-l6-v2").glob("53aa*")).name)


def _waiting(health: dict[str, dict[str, dict[str, dict[str, int]]]]) -> int:
    return health["dependencies"]["index"]["detail"]["waiting"]
