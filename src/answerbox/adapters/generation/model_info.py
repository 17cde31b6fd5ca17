"""What a stored language model says of itself."""

from __future__ import annotations

import json

from answerbox.adapters.model_store import StoredModel
from answerbox.ports import GeneratorInfo

DEFAULT_CONTEXT_TOKENS = 2_048


def generator_info(stored: StoredModel, has_tool_template: bool = False) -> GeneratorInfo:
    """A small model gets lost in tools, whatever its template knows."""
    config = json.loads((stored.path / "config.json").read_text(encoding="utf-8"))
    own = int(config.get("max_position_embeddings", DEFAULT_CONTEXT_TOKENS))
    small = bool(stored.metadata.get("small", False))
    return GeneratorInfo(
        model=stored.tag,
        context_tokens=min(own, int(stored.metadata.get("context_tokens", own))),
        languages=tuple(stored.metadata.get("languages", ())),
        small=small,
        tools=has_tool_template and not small,
    )
