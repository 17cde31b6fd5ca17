"""A local language model with transformers: a thread that owns the running batch.

Requests join between two tokens, up to `batch` of them; the others wait in order. A request that is closed leaves
before the next token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from answerbox.adapters.detokenizer import Detokenizer
from answerbox.adapters.model_store import StoredModel
from answerbox.adapters.sampling import Sampler
from answerbox.adapters.torch_device import device_of
from answerbox.adapters.transformers_batch import Row, RunningBatch
from answerbox.errors import AnswerboxError, GeneratorUnavailable, PromptTooLong
from answerbox.ports import Finish, GenerationRequest, GeneratorInfo, Message, Piece

log = logging.getLogger(__name__)

PREFILL_TOKENS = 1_024
"""Prompt tokens that are read between two steps, padding counted; more would hold up who is already answering."""

Item = Piece | Finish | AnswerboxError


@dataclass(eq=False)
class Work:
    """A request on its way. `deliver` may be called from any thread."""

    row: Row
    deliver: Callable[[Item], None]
    detokenizer: Detokenizer
    cancelled: threading.Event = field(default_factory=threading.Event)


class TransformersGenerator:
    def __init__(self, stored: StoredModel, device: str, batch: int) -> None:
        self._device = device_of(device)
        self._tokenizer = AutoTokenizer.from_pretrained(stored.path, local_files_only=True)
        self._model = _load(stored, self._device)
        self._ends = _end_tokens(self._model, self._tokenizer)
        self._info = GeneratorInfo(
            model=stored.tag,
            context_tokens=_context_tokens(self._model, stored),
            languages=tuple(stored.metadata.get("languages", ())),
            small=bool(stored.metadata.get("small", False)),
        )
        self._batch_limit = batch
        self._batch = RunningBatch(self._model, self._tokenizer.pad_token_id or 0)
        self._works: dict[Row, Work] = {}
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self.generated = 0
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
        self._thread.start()

    async def info(self) -> GeneratorInfo:
        if not self._thread.is_alive():
            raise GeneratorUnavailable("The language model has stopped.")
        return self._info

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[Item] = asyncio.Queue()

        def deliver(item: Item) -> None:
            with contextlib.suppress(RuntimeError):  # nobody listens any more: the loop is closed
                loop.call_soon_threadsafe(items.put_nowait, item)

        prompt = await asyncio.to_thread(self._prompt, request.messages)
        row = Row(
            prompt=prompt,
            max_tokens=min(request.max_tokens, self._info.context_tokens - len(prompt)),
            sampler=Sampler(request.temperature, request.top_p, request.seed),
        )
        work = Work(
            row=row,
            deliver=deliver,
            detokenizer=Detokenizer(self._tokenizer),
        )
        try:
            self._submit(work)
            while True:
                item = await items.get()
                if isinstance(item, AnswerboxError):
                    raise item
                yield item
                if isinstance(item, Finish):
                    return
        finally:
            work.cancelled.set()

    def close(self) -> None:
        """Stops the thread; what runs fails as unavailable."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout=30)

    def _prompt(self, messages: tuple[Message, ...]) -> list[int]:
        chat = [{"role": message.role, "content": message.content} for message in messages]
        ids: list[int] = self._tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        limit = self._info.context_tokens - 1
        if len(ids) > limit:
            raise PromptTooLong(
                f"The prompt has {len(ids)} tokens; the model takes {limit}.",
                hint="Shorten the question or the context, or ask for fewer passages (top_k).",
                extra={"prompt_tokens": len(ids), "limit": limit},
            )
        return ids

    def _submit(self, work: Work) -> None:
        with self._changed:
            if self._stopped or not self._thread.is_alive():
                raise GeneratorUnavailable("The language model has stopped.")
            self._waiting.append(work)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._waiting or self._batch.rows)
                if self._stopped:
                    break
            try:
                self._turn()
            except Exception as exc:
                log.exception("a step of the language model failed")
                self._fail_batch(exc)
        self._fail_batch(None)
        for work in self._waiting:
            work.deliver(GeneratorUnavailable("The language model has stopped."))

    def _turn(self) -> None:
        """Between two tokens: who is done leaves, who waits joins; then one token for all."""
        self._leave(lambda work: work.cancelled.is_set())
        new = self._next_works()
        if new:
            for work in new:
                self._works[work.row] = work
            try:
                self._batch.admit([work.row for work in new])
            except Exception:
                log.exception("prompts could not be read")
                for work in new:
                    del self._works[work.row]
                    work.deliver(GeneratorUnavailable("The language model failed on this request."))
                return
            self._deliver(new)
        if self._batch.rows:
            self._batch.step()
            self._deliver([self._works[row] for row in self._batch.rows])

    def _next_works(self) -> list[Work]:
        """Who joins now: in order, while there is room; alone where rows cannot join a running batch."""
        chosen: list[Work] = []
        room = self._batch_limit if self._batch.mergeable else 1
        with self._changed:
            longest = 0
            while self._waiting and len(self._batch.rows) + len(chosen) < room:
                work = self._waiting[0]
                longest = max(longest, len(work.row.prompt))
                if chosen and longest * (len(chosen) + 1) > PREFILL_TOKENS:
                    break
                self._waiting.popleft()
                if not work.cancelled.is_set():
                    chosen.append(work)
        return chosen

    def _deliver(self, works: list[Work]) -> None:
        """Hands out the newest token of each and lets go of those that have ended."""
        ended: dict[Row, str] = {}
        for work in works:
            row = work.row
            self.generated += 1
            if row.made[-1] in self._ends:
                ended[row] = "stop"
                continue
            if text := work.detokenizer.add(row.made[-1]):
                work.deliver(Piece(text))
            if len(row.made) >= row.max_tokens:
                ended[row] = "length"
        for row, reason in ended.items():
            work = self._works[row]
            if rest := work.detokenizer.rest():
                work.deliver(Piece(rest))
            made = len(row.made) - (reason == "stop")
            work.deliver(Finish("stop" if reason == "stop" else "length", len(row.prompt), made))
        self._leave(lambda work: work.row in ended)

    def _leave(self, goes: Callable[[Work], bool]) -> None:
        gone = {place for place, row in enumerate(self._batch.rows) if goes(self._works[row])}
        if gone:
            for place in gone:
                del self._works[self._batch.rows[place]]
            self._batch.remove(gone)

    def _fail_batch(self, exc: Exception | None) -> None:
        message = "The language model failed on this request." if exc else "The language model has stopped."
        for work in self._works.values():
            work.deliver(GeneratorUnavailable(message))
        self._works.clear()
        self._batch.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _load(stored: StoredModel, device: torch.device) -> Any:
    dtype = "float32" if device.type == "cpu" else "auto"
    model = AutoModelForCausalLM.from_pretrained(
        stored.path, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=dtype
    )
    return model.to(device).eval()


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    found = set(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id}
    return {int(token) for token in found if token is not None}


def _context_tokens(model: Any, stored: StoredModel) -> int:
    own = int(getattr(model.config, "max_position_embeddings", 2048))
    return min(own, int(stored.metadata.get("context_tokens", own)))
