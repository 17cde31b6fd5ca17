"""What the engine of OpenVINO keeps in memory."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from answerbox.adapters.generation.local_generator import LocalGenerator
from tests.ports.conftest import engine
from tests.ports.test_generator import ask, run

TOKEN_BYTES = 30 * 3 * 64 * 2 * 4
"""Of the embedded model's cache: 30 layers with 3 heads of 64 keys and 64 values, 4 bytes each."""


@pytest.fixture
def untouched() -> Iterator[LocalGenerator]:
    """An engine of its own: what many requests at a time once made room for is touched bit by bit afterwards."""
    yield from engine("openvino")


async def test_memory_follows_what_runs_at_a_time_and_not_what_has_run(untouched: LocalGenerator) -> None:
    """A cache of a fixed size is used round and round, and in the end all of it is resident."""
    process = psutil.Process(untouched.status()["engine_pid"])
    long = "one two three four " * 150
    await run(untouched, ask(long, 2))
    before, read = process.memory_info().rss, 0
    for _ in range(8):
        _, finish = await run(untouched, ask(long, 2))
        read += finish.prompt_tokens
    assert read > 4_000
    assert process.memory_info().rss - before < read * TOKEN_BYTES / 2
