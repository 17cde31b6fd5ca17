"""Models in BentoML's model store: what is there, and where.

What Answerbox needs to know of a model stands in its metadata, written by `answerbox models pull`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from answerbox.errors import ModelMissing, SetupError

GGUF = "model.q8_0.gguf"
OPENVINO = "openvino_model.xml"


@dataclass(frozen=True)
class StoredModel:
    tag: str
    path: Path
    metadata: dict[str, Any]

    @property
    def gguf(self) -> Path | None:
        """The weights once more, as a GGUF file of Q8_0 blocks, for engines that read that."""
        file = self.path / GGUF
        return file if file.exists() else None

    @property
    def openvino(self) -> Path | None:
        """The model once more, in OpenVINO's form."""
        file = self.path / OPENVINO
        return file if file.exists() else None

    @property
    def name(self) -> str:
        return self.tag.partition(":")[0]


def find(tag: str) -> StoredModel:
    """The model of that tag; without a version, the newest.

    Raises:
        ModelMissing
    """
    try:
        model = bentoml.models.get(tag)
    except (BentoMLException, ValueError) as exc:  # ValueError: no tag by its form
        raise ModelMissing(
            f"There is no model {tag!r} in the model store.",
            hint="Put it there with `answerbox models pull`; `answerbox models list` shows what there is.",
        ) from exc
    return _stored(model)


def exists(tag: str) -> bool:
    try:
        find(tag)
    except ModelMissing:
        return False
    return True


def every() -> list[StoredModel]:
    return [_stored(model) for model in bentoml.models.list()]


@contextmanager
def create(tag: str, metadata: dict[str, Any]) -> Iterator[Path]:
    """A folder to fill. It becomes the model when the block ends well, and is removed when it does not.

    Where another process has stored that model meanwhile, its is kept.

    Raises:
        SetupError: the disk is full or the store cannot be written.
    """
    try:
        with bentoml.models.create(tag, metadata=metadata) as model:
            yield Path(model.path)
    except BentoMLException:
        if not exists(tag):
            raise
    except OSError as exc:
        raise SetupError(
            f"The model {tag!r} could not be stored: {exc.strerror or exc}.",
            hint="Make room on the disk, or choose another store with BENTOML_HOME.",
        ) from exc


def _stored(model: Any) -> StoredModel:
    return StoredModel(tag=str(model.tag), path=Path(model.path), metadata=dict(model.info.metadata))
