"""Length of a text in tokens of a stored model, without torch."""

from __future__ import annotations

from collections.abc import Callable

from tokenizers import Tokenizer

from answerbox.adapters.model_store import StoredModel


def token_length(stored: StoredModel, with_special: bool = False) -> Callable[[str], int]:
    """`with_special`: with the tokens that the model is given around every text."""
    tokenizer = Tokenizer.from_file(str(stored.path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def length(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=with_special).ids)

    return length
