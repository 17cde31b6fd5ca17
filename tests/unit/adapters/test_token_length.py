"""The length of a text in tokens of the embedding model."""

from __future__ import annotations

import pytest

from answerbox.adapters.model_store import find
from answerbox.adapters.token_length import token_length


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("bread", 1), ("bread and butter", 3), ("bread " * 900, 900)])
def test_a_text_is_measured_without_being_cut(text: str, tokens: int) -> None:
    assert token_length(find("all-minilm-l6-v2"))(text) == tokens
