"""A sentence model of transformers, written in OpenVINO's form beside its weights."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from answerbox.adapters.silent_openvino import openvino

EXAMPLE = "A sentence that shows the shape of what goes in."
INPUTS = {"input_ids", "attention_mask", "token_type_ids"}

log = logging.getLogger(__name__)


def write_openvino(folder: Path, target: Path) -> bool:
    """Whether it could be written; not every architecture can. `folder` has the model, `target` gets the `.xml`."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        with _quiet(), torch.inference_mode():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            # Eager attention is the one that a trace sees whole.
            model = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype="float32",
                attn_implementation="eager",
            )
            example = dict(tokenizer([EXAMPLE, EXAMPLE], return_tensors="pt"))
            if not set(example) <= INPUTS:
                return False
            converted = openvino.convert_model(model.eval(), example_input=example)
            openvino.save_model(converted, target, compress_to_fp16=False)
    except Exception:
        log.debug("the model cannot be written for OpenVINO", exc_info=True)
        for file in (target, target.with_suffix(".bin")):
            file.unlink(missing_ok=True)
        return False
    finally:
        transformers_logging.set_verbosity(verbosity)
    return True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The tracer warns of every Python condition it passes."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
