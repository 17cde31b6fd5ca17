"""What the model store has."""

from __future__ import annotations

import pytest

from answerbox.adapters.model_store import every, exists, find
from answerbox.errors import ModelMissing


@pytest.mark.parametrize(("name", "kind"), [("smollm2-135m-instruct", "generator"), ("all-minilm-l6-v2", "embedder")])
def test_an_embedded_model_is_found_by_name_and_by_tag(name: str, kind: str) -> None:
    stored = find(name)
    assert (stored.name, stored.metadata["kind"], stored.metadata["languages"]) == (name, kind, ["en"])
    assert (stored.path / "tokenizer.json").is_file()
    assert find(stored.tag) == stored
    assert stored in every()


@pytest.mark.parametrize("tag", ["no-such-model", "smollm2-135m-instruct:nonsense", "", "a b", "../x", "UPPER:"])
def test_a_model_that_is_not_there_is_told_with_the_way_out(tag: str) -> None:
    with pytest.raises(ModelMissing) as caught:
        find(tag)
    assert "answerbox models pull" in (caught.value.hint or "")
    assert not exists(tag)
