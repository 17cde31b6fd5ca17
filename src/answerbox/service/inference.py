"""The services that hold the models: `Generator` and `Embedder`, each alone in its process."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import bentoml

from answerbox import logs
from answerbox.app import local_embedder, local_generator, local_reranker
from answerbox.errors import AnswerboxError, GeneratorUnavailable, InternalError
from answerbox.ports import GenerationRequest, Piece
from answerbox.service import metrics
from answerbox.service.envelope import INNER, enveloped
from answerbox.service.pinned import pinned
from answerbox.service.reporting import REPORT_S, engine_figures, process_figures, report_every
from answerbox.service.stopping import stands_alone, when_told_to_stop
from answerbox.settings import FAKE, load_settings

log = logging.getLogger(__name__)
settings = load_settings()
logs.install_in_server(settings)

REMEMBERED_CANCELS = 1_000


def _reference(tag: str) -> Any:
    """The reference that makes `bentoml build` write the model's version into the Bento."""
    return None if tag == FAKE else bentoml.models.BentoModel(tag)


@bentoml.service(name="Embedder", **INNER)
class Embedder:
    model = _reference(settings.embedder_model)

    def __init__(self) -> None:
        self._embedder = local_embedder(pinned(settings, Embedder))
        self._reporting: asyncio.Task[None] | None = None

    @bentoml.on_startup
    async def start(self) -> None:
        self._reporting = report_every(REPORT_S, process_figures("Embedder"))

    @bentoml.on_shutdown
    async def stop(self) -> None:
        if self._reporting:
            self._reporting.cancel()

    @bentoml.api
    async def describe(self) -> dict[str, Any]:
        return {"result": asdict(await self._embedder.info())}

    @bentoml.api
    async def measure(self, texts: list[str]) -> dict[str, Any]:
        return await self._measure(texts)

    @enveloped
    async def _measure(self, texts: list[str]) -> dict[str, Any]:
        """How many tokens each text has, and how many the model reads."""
        tokens = await asyncio.to_thread(self._embedder.lengths, texts)
        return {"tokens": tokens, "max_tokens": self._embedder.max_tokens}

    @bentoml.api(batchable=True, max_batch_size=settings.embedder_batch, max_latency_ms=60_000)
    def embed(self, texts: list[str]) -> list[dict[str, Any]]:
        """A row for each text: its vector, how many texts were in the batch and how long the model took for it."""
        began = time.perf_counter()
        vectors: list[list[float]] = self._embedder.encode(texts)
        if len(vectors) != len(texts):  # BentoML would hand out the wrong rows without a word
            raise InternalError("The embedding model lost a row of the batch.")
        batch, seconds = len(texts), time.perf_counter() - began
        metrics.EMBEDDING_TEXTS.observe(batch)
        metrics.EMBEDDING_SECONDS.observe(seconds)
        model_ms = round(seconds * 1000, 1)
        return [{"vector": vector, "batch": batch, "model_ms": model_ms} for vector in vectors]


@bentoml.service(name="Reranker", **INNER)
class Reranker:
    """Started only where `ANSWERBOX_RERANKER_MODEL` is set."""

    model = _reference(settings.reranker_model or FAKE)

    def __init__(self) -> None:
        self._reranker = local_reranker(pinned(settings, Reranker))
        self._reporting: asyncio.Task[None] | None = None

    @bentoml.on_startup
    async def start(self) -> None:
        self._reporting = report_every(REPORT_S, process_figures("Reranker"))

    @bentoml.on_shutdown
    async def stop(self) -> None:
        if self._reporting:
            self._reporting.cancel()

    @bentoml.api
    async def score(self, question: str, texts: list[str]) -> dict[str, Any]:
        return await self._score(question, texts)

    @enveloped
    async def _score(self, question: str, texts: list[str]) -> list[float]:
        scores: list[float] = await asyncio.to_thread(self._reranker.rank, question, texts)
        return scores


@bentoml.service(name="Generator", **INNER)
class Generator:
    """A gateway opens a channel with `listen` and submits generations to it; what they make comes in the channel."""

    model = None if settings.llm_base_url else _reference(settings.generator_model)

    def __init__(self) -> None:
        self._generator = local_generator(pinned(settings, Generator))
        self._channels: dict[str, Outbox] = {}
        self._live: dict[str, asyncio.Task[None]] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        self._stopping = False
        self._reporting: asyncio.Task[None] | None = None

    @bentoml.on_startup
    async def start(self) -> None:
        engine = engine_figures(self._generator.status)
        self._reporting = report_every(REPORT_S, process_figures("Generator"), engine)
        if stands_alone():
            when_told_to_stop(self._take_no_more)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        if self._reporting:
            self._reporting.cancel()
        await asyncio.to_thread(self._generator.close)

    @bentoml.api
    async def describe(self) -> dict[str, Any]:
        return await self._describe()

    @bentoml.api
    async def listen(self, channel_id: str) -> AsyncGenerator[str, None]:
        """Lines of ASCII JSON, each a list of `[call_id, item]`; items are `piece`s, then `finish` or `error`."""
        outbox = self._channels[channel_id] = Outbox()
        if self._stopping:
            outbox.end()
        try:
            while line := await outbox.line():
                yield line
        finally:
            del self._channels[channel_id]
            for call_id in outbox.calls:
                self._live[call_id].cancel()

    @bentoml.api
    async def end_channel(self, channel_id: str) -> dict[str, Any]:
        return await self._end_channel(channel_id)

    @bentoml.api
    async def submit(self, channel_id: str, call_id: str, request: dict[str, Any]) -> dict[str, Any]:
        return await self._submit(channel_id, call_id, GenerationRequest.from_wire(request))

    @bentoml.api
    async def cancel(self, call_id: str) -> dict[str, Any]:
        return await self._cancel(call_id)

    @bentoml.api
    async def cancel_request(self, request_id: str) -> dict[str, Any]:
        return await self._cancel_request(request_id)

    @enveloped
    async def _describe(self) -> dict[str, Any]:
        """The model, and how much it does."""
        info = await self._generator.info()
        return {**asdict(info), **self._generator.status()}

    @enveloped
    async def _end_channel(self, channel_id: str) -> None:
        """The stream ends with what has been made; its gateway submits nothing to it any more."""
        if outbox := self._channels.get(channel_id):
            outbox.end()

    @enveloped
    async def _submit(self, channel_id: str, call_id: str, request: GenerationRequest) -> None:
        outbox = self._channels.get(channel_id)
        if outbox is None or self._stopping:
            raise GeneratorUnavailable("The channel is closed.")
        if self._cancelled.pop(call_id, "unknown") is None:
            return
        outbox.calls.add(call_id)
        self._live[call_id] = asyncio.create_task(self._pump(call_id, request, outbox))

    @enveloped
    async def _cancel(self, call_id: str) -> bool:
        """Ends a call, also one that has not arrived yet. Whether it was running."""
        if pump := self._live.get(call_id):
            return pump.cancel()
        self._cancelled[call_id] = None
        if len(self._cancelled) > REMEMBERED_CANCELS:
            self._cancelled.popitem(last=False)
        return False

    @enveloped
    async def _cancel_request(self, request_id: str) -> bool:
        """Ends what the request has running or waiting; what was made is the answer. Whether there was something."""
        return await self._generator.cancel(request_id)

    async def _pump(self, call_id: str, request: GenerationRequest, outbox: Outbox) -> None:
        try:
            async with aclosing(self._generator.generate(request)) as items:
                async for item in items:
                    key = "piece" if isinstance(item, Piece) else "finish"
                    outbox.add(call_id, {key: item.text if isinstance(item, Piece) else asdict(item)})
        except AnswerboxError as exc:
            outbox.add(call_id, {"error": exc.to_wire()})
        except Exception:
            log.exception("a generation failed")
            error = InternalError("The language model failed on this request.")
            outbox.add(call_id, {"error": error.to_wire()})
        finally:
            outbox.done(call_id)
            del self._live[call_id]

    def _take_no_more(self) -> None:
        """The gateways' channels would never end by themselves, and the server waits for them."""
        self._stopping = True
        for outbox in self._channels.values():
            outbox.end_when_done()
        asyncio.get_running_loop().call_later(settings.shutdown_s, self._end_channels)

    def _end_channels(self) -> None:
        for outbox in self._channels.values():
            outbox.end()


class Outbox:
    """What has been made for one gateway and has not left yet."""

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self._items: list[tuple[str, dict[str, Any]]] = []
        self._filled = asyncio.Event()
        self._filled.set()  # the first line is empty: it says that the channel is open
        self._ended = self._last = False

    def add(self, call_id: str, item: dict[str, Any]) -> None:
        self._items.append((call_id, item))
        self._filled.set()

    def end(self) -> None:
        self._ended = True
        self._filled.set()

    def end_when_done(self) -> None:
        """With the last of the calls that there are."""
        self._last = True
        self._end_if_done()

    def done(self, call_id: str) -> None:
        self.calls.discard(call_id)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._last and not self.calls:
            self.end()

    async def line(self) -> str | None:
        """All that is there, as soon as there is something; None at the end."""
        await self._filled.wait()
        if self._ended and not self._items:
            return None
        if not self._ended:
            self._filled.clear()
        items, self._items = self._items, []
        return json.dumps(items) + "\n"
