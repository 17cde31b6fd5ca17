"""The operator's own prompts: known after a refresh, and kept through an outage."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import pytest

from answerbox.adapters.langfuse_prompts import LangfusePrompts
from answerbox.ports import Prompt
from tests.live import free_port
from tests.otlp_receiver import Receiver, otlp_receiver

NAMES = ("answerbox-llm-en", "answerbox-llm-ru")
TEXT = "Answer like a pirate. {{x}} stays as it is."


@pytest.fixture(scope="module")
def server() -> Iterator[Receiver]:
    with otlp_receiver() as made:
        yield made


@pytest.fixture
async def prompts(server: Receiver) -> AsyncIterator[LangfusePrompts]:
    server.mode, server.prompts, server.prompt_version = "ok", {"answerbox-llm-en": TEXT}, 3
    found = LangfusePrompts(server.url, ("pk-lf-1", "sk-lf-1"), NAMES, "production")
    yield found
    await found.close()


async def test_nothing_is_known_before_it_was_asked_for(prompts: LangfusePrompts) -> None:
    assert prompts.get("answerbox-llm-en") is None


async def test_a_prompt_that_is_there_takes_the_place_of_ours_and_the_others_stay(prompts: LangfusePrompts) -> None:
    await prompts.refresh()
    assert prompts.get("answerbox-llm-en") == Prompt("answerbox-llm-en", TEXT, 3)
    assert prompts.get("answerbox-llm-ru") is None


async def test_a_new_version_and_an_end_are_seen_at_the_next_refresh(
    prompts: LangfusePrompts, server: Receiver
) -> None:
    await prompts.refresh()
    server.prompt_version = 4
    await prompts.refresh()
    assert prompts.get("answerbox-llm-en") == Prompt("answerbox-llm-en", TEXT, 4)
    server.prompts = {}
    await prompts.refresh()
    assert prompts.get("answerbox-llm-en") is None


async def test_it_asks_by_label_and_with_the_keys(prompts: LangfusePrompts, server: Receiver) -> None:
    await prompts.refresh()
    asked = [request for request in server.requests if "/prompts/" in request.path][-1]
    assert "label=production" in asked.path
    assert asked.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("mode", ["status:500", "status:401", "hang", "retryafter:30"])
async def test_an_outage_changes_nothing_and_is_over_soon(
    prompts: LangfusePrompts, server: Receiver, mode: str
) -> None:
    await prompts.refresh()
    server.mode = mode
    began = time.monotonic()
    await prompts.refresh()
    assert time.monotonic() - began < 5
    assert prompts.get("answerbox-llm-en") == Prompt("answerbox-llm-en", TEXT, 3)


async def test_where_nothing_listens_ours_are_used() -> None:
    prompts = LangfusePrompts(f"http://127.0.0.1:{free_port()}", ("pk", "sk"), NAMES, "production")
    await prompts.refresh()
    assert prompts.get("answerbox-llm-en") is None
    await prompts.close()
