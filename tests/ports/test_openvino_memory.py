"""What the engine of OpenVINO keeps in memory."""

from __future__ import annotations

import psutil

from answerbox.adapters.generation.local_generator import LocalGenerator
from tests.ports.test_generator import ask, run

TOKEN_BYTES = 30 * 3 * 64 * 2 * 4
"""Of the embedded model's cache: 30 layers with 3 heads of 64 keys and 64 values, 4 bytes each."""


async def test_memory_follows_what_runs_at_a_time_and_not_what_has_run(openvino: LocalGenerator) -> None:
    """A cache of a fixed size is used round and round, and in the end all of it is resident."""
    engine = psutil.Process(openvino.status()["engine_pid"])
    long = "one two three four " * 150
    await run(openvino, ask(long, 2))
    before, read = engine.memory_info().rss, 0
    for _ in range(4):
        _, finish = await run(openvino, ask(long, 2))
        read += finish.prompt_tokens
    assert read > 2_000
    assert engine.memory_info().rss - before < read * TOKEN_BYTES / 2
