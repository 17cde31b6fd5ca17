"""The first use of the models, before the service says that it is ready."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from answerbox.errors import Unavailable
from answerbox.ports import Embedder, GenerationRequest, Generator, Message
from answerbox.service.health import HealthMonitor

log = logging.getLogger(__name__)

EMBEDDINGS = 12
"""BentoML's adaptive batching stalls among its first eleven calls, while it learns how long a batch takes."""
RETRY_S = 0.5


async def warm_up(generator: Generator | None, embedder: Embedder | None, health: HealthMonitor) -> None:
    while True:
        try:
            if embedder:
                for _ in range(EMBEDDINGS):
                    await embedder.embed(["warm-up"], "query")
            if generator:
                await _generate(generator)
            break
        except Unavailable:
            await asyncio.sleep(RETRY_S)
    health.warm = True
    log.info("warm")


async def _generate(generator: Generator) -> None:
    request = GenerationRequest("warm-up", (Message("user", "Hello"),), max_tokens=2)
    async with aclosing(generator.generate(request)) as items:
        async for _ in items:
            pass
