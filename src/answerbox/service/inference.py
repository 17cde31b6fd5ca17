"""The services that hold the models: `Generator` and `Embedder`, each alone in its process."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import bentoml

from answerbox.app import local_embedder, local_generator
from answerbox.errors import AnswerboxError, InternalError
from answerbox.ports import GenerationRequest, Piece
from answerbox.service.envelope import INNER, enveloped
from answerbox.service.pinned import pinned
from answerbox.settings import FAKE, load_settings

log = logging.getLogger(__name__)
settings = load_settings()

REMEMBERED_CANCELS = 1_000


def _reference(tag: str) -> Any:
    """The reference that makes `bentoml build` write the model's version into the Bento."""
    return None if tag == FAKE else bentoml.models.BentoModel(tag)


@bentoml.service(name="Embedder", **INNER)
class Embedder:
    model = _reference(settings.embedder_model)

    def __init__(self) -> None:
        self._embedder = local_embedder(pinned(settings, Embedder))

    @bentoml.api
    async def describe(self) -> dict[str, Any]:
        return {"result": asdict(await self._embedder.info())}

    @bentoml.api(batchable=True, max_batch_size=settings.embedder_batch, max_latency_ms=60_000)
    def embed(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._embedder.encode(texts)
        if len(vectors) != len(texts):  # BentoML would hand out the wrong rows without a word
            raise InternalError("The embedding model lost a row of the batch.")
        return vectors


@bentoml.service(name="Generator", **INNER)
class Generator:
    model = _reference(settings.generator_model)

    def __init__(self) -> None:
        self._generator = local_generator(pinned(settings, Generator))
        self._live: dict[str, asyncio.Task[None]] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()

    @bentoml.api
    async def describe(self) -> dict[str, Any]:
        return await self._describe()

    @bentoml.api
    async def stream(self, call_id: str, request: dict[str, Any]) -> AsyncGenerator[str, None]:
        """Lines of ASCII JSON: `piece`s, then `finish` or `error`."""
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        if self._cancelled.pop(call_id, "unknown") is None:
            return
        pump = asyncio.create_task(self._pump(request, lines))
        self._live[call_id] = pump
        try:
            while (line := await lines.get()) is not None:
                yield line + "\n"
        finally:
            pump.cancel()
            self._live.pop(call_id, None)

    @bentoml.api
    async def cancel(self, call_id: str) -> bool:
        """Ends a stream, also one that has not arrived yet. Whether it was running."""
        pump = self._live.get(call_id)
        if pump:
            return pump.cancel()
        self._cancelled[call_id] = None
        if len(self._cancelled) > REMEMBERED_CANCELS:
            self._cancelled.popitem(last=False)
        return False

    @enveloped
    async def _describe(self) -> dict[str, Any]:
        """The model, and how much it does: tokens made since the start, requests that run now."""
        info = await self._generator.info()
        return {**asdict(info), "generated": self._generator.generated, "running": len(self._live)}

    async def _pump(self, request: dict[str, Any], lines: asyncio.Queue[str | None]) -> None:
        try:
            async with aclosing(self._generator.generate(GenerationRequest.from_wire(request))) as items:
                async for item in items:
                    key = "piece" if isinstance(item, Piece) else "finish"
                    value = item.text if isinstance(item, Piece) else asdict(item)
                    lines.put_nowait(json.dumps({key: value}))
        except AnswerboxError as exc:
            lines.put_nowait(json.dumps({"error": exc.to_wire()}))
        except Exception:
            log.exception("a generation failed")
            error = InternalError("The language model failed on this request.")
            lines.put_nowait(json.dumps({"error": error.to_wire()}))
        finally:
            lines.put_nowait(None)
