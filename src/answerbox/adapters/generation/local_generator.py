"""The `Generator` port over an engine in a process of its own.

Requests wait in a fair and bounded line and join the running batch between two steps. A thread reads what the engine
makes, turns it into text and hands it out. An engine that dies or stands still is replaced; what it was working
on goes on in the new one.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

from answerbox.adapters.generation.batch import Batch
from answerbox.adapters.generation.engine import EngineSpec, Failed, Made, Ready
from answerbox.adapters.generation.process import EngineGone, EngineProcess
from answerbox.adapters.generation.tool_text import with_tool_calls
from answerbox.adapters.generation.waiting_line import WaitingLine
from answerbox.adapters.generation.work import AnswerText, Listener, Post, Reason, Work
from answerbox.errors import AnswerboxError, DeadlineExceeded, GeneratorUnavailable, PromptTooLong
from answerbox.ports import Finish, GenerationRequest, GeneratorInfo, Message, Piece
from answerbox.tools import ToolSpec

log = logging.getLogger(__name__)

START_LIMIT_S = 600.0
TICK_S = 0.05
BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
STOPPED = "The language model has stopped."
FAILED = "The language model failed on this request."


class Tokenizer(Protocol):
    ends: frozenset[int]

    def prompt(self, messages: tuple[Message, ...], tools: tuple[ToolSpec, ...] = ()) -> list[int]: ...
    def decode(self, ids: Any) -> str: ...


@dataclass(frozen=True)
class Limits:
    """`queue_tokens`: tokens of work that may wait; `queue_wait_s`: longest wait that is promised, seconds;
    `notice_s`, `stall_s`: an engine that makes nothing for so long is not ready, and is replaced, seconds."""

    queue_tokens: float = 32_000
    queue_wait_s: float = 15.0
    stall_s: float = 60.0
    notice_s: float = 10.0


class LocalGenerator:
    """`generated` counts the tokens that the engine has made, also those that nobody read.

    Raises:
        SetupError, ModelMissing: the model cannot be loaded.
    """

    def __init__(self, info: GeneratorInfo, tokenizer: Tokenizer, spec: EngineSpec, limits: Limits) -> None:
        self._info = info
        self._tokenizer = tokenizer
        self._spec = spec
        self._limits = limits
        self._ids = itertools.count()
        self._lock = threading.RLock()
        self._line: WaitingLine[Work] = WaitingLine(limits.queue_tokens, limits.queue_wait_s)
        self._stopping = threading.Event()
        self._restarts_failed = 0
        self.restarts = 0
        self.generated = 0
        self._engine = EngineProcess(spec)
        self._up = True
        self._progress = time.monotonic()
        self._batch = Batch(self._engine.wait_ready(START_LIMIT_S), self._line)
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
        self._thread.start()

    async def info(self) -> GeneratorInfo:
        self._check_alive()
        if not self._up:
            raise GeneratorUnavailable("The language model is being restarted.")
        if self._stalled_for() > self._limits.notice_s:
            raise GeneratorUnavailable("The language model makes no progress.")
        return self._info

    def status(self) -> dict[str, Any]:
        """For people and metrics: what runs, what waits, how fast it is."""
        with self._lock:
            return {
                "engine": self._batch.info.name,
                "engine_pid": self._engine.pid,
                "restarts": self.restarts,
                "generated": self.generated,
                "running": len(self._batch.running),
                "rows": self._batch.rows,
                "waiting": len(self._line) + len(self._batch.again),
                "waiting_tokens": round(self._line.tokens),
                "waiting_tokens_limit": round(self._limits.queue_tokens),
                "cache_tokens": self._batch.tokens,
                "cache_tokens_limit": self._batch.info.tokens,
                "tokens_per_second": self._line.rate.value,
            }

    def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        items = self._items(request)
        calls = request.tools or any(message.tool_calls for message in request.messages)
        return with_tool_calls(items) if calls else items

    async def _items(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        self._check_alive()
        with self._lock:  # before any work is spent on it
            self._line.check(request.user_id or "", 1, request.timeout_s)
        work = await self._work(request)
        try:
            self._enter(work)
            while True:
                for item in await work.listener.next():
                    if isinstance(item, AnswerboxError):
                        raise item
                    yield item
                    if isinstance(item, Finish):
                        return
        finally:
            self._leave(work)

    async def cancel(self, request_id: str) -> bool:
        post = Post()
        with self._lock:
            found = [work for work in self._everyone() if work.request.request_id == request_id]
            for work in found:
                self._end(work, "cancelled", post)
            self._dispatch()
        post.send()
        return bool(found)

    def close(self) -> None:
        """Ends the engine; what runs or waits fails as unavailable."""
        self._stopping.set()
        self._thread.join(timeout=30)

    def _check_alive(self) -> None:
        if self._stopping.is_set() or not self._thread.is_alive():
            raise GeneratorUnavailable(STOPPED)

    def _stalled_for(self) -> float:
        return time.monotonic() - self._progress if self._batch.running else 0.0

    async def _work(self, request: GenerationRequest) -> Work:
        began = time.monotonic()
        prompt = await asyncio.to_thread(self._tokenizer.prompt, request.messages, request.tools)
        window = min(self._info.context_tokens, self._batch.info.tokens)
        if len(prompt) >= window:
            raise PromptTooLong(
                f"The prompt has {len(prompt)} tokens; the model takes {window - 1}.",
                hint="Shorten the question or the context, or ask for fewer passages (top_k).",
                extra={"prompt_tokens": len(prompt), "limit": window - 1},
            )
        return Work(
            id=next(self._ids),
            request=request,
            prompt=prompt,
            max_tokens=min(request.max_tokens, window - len(prompt)),
            text=AnswerText(self._tokenizer.decode, request.stop),
            listener=Listener(),
            began=began,
        )

    def _enter(self, work: Work) -> None:
        if work.overdue:
            raise _too_late()
        with self._lock:
            if not self._up and self._restarts_failed:
                raise GeneratorUnavailable("The language model cannot be restarted at the moment.")
            self._line.enter(work, work.request.timeout_s)
            self._dispatch()

    def _leave(self, work: Work) -> None:
        """The caller has gone, or has all it wanted."""
        with self._lock:
            self._drop(work)
            self._dispatch()

    def _drop(self, work: Work) -> bool:
        """Out of the line, or out of the batch. Whether it was there."""
        if self._line.leave(work):
            return True
        place = self._batch.remove(work)
        if place == "running":
            self._engine.send(self._batch.cancel(work))
        return place is not None

    def _dispatch(self) -> None:
        """Fills the batch from the line."""
        if not self._up:
            return
        if not self._batch.running:
            self._progress = time.monotonic()  # an idle engine is not a slow one
        if command := self._batch.fill():
            self._engine.send(command)

    # From here on: the thread.

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._attend()
                except EngineGone:
                    log.error("the language model's process ended")
                    self._replace_engine()
        except Exception:
            log.exception("the generation thread failed")
        finally:
            self._end_all()
            self._engine.close()

    def _attend(self) -> None:
        """Handles reports until the generator is stopped. Raises: EngineGone."""
        checked = 0.0
        while not self._stopping.is_set():
            report = self._engine.receive(TICK_S)
            post = Post()
            with self._lock:
                if isinstance(report, list):
                    self._hand_out(report, post)
                elif isinstance(report, Failed):
                    self._progress = time.monotonic()
                    for work in self._batch.fail(report):
                        post.add(work, GeneratorUnavailable(FAILED))
                if (now := time.monotonic()) - checked >= TICK_S:
                    checked = now
                    self._end_overdue(post)
                self._dispatch()
            post.send()
            if self._stalled_for() > self._limits.stall_s:
                log.error("the language model made nothing for %.0f s", self._limits.stall_s)
                self._engine.kill()
                raise EngineGone

    def _hand_out(self, report: list[Made], post: Post) -> None:
        now = time.monotonic()
        saturated, took, done = len(self._line) > 0, now - self._progress, 0.0
        self._progress = now
        for made in report:
            self.generated += len(made.tokens)
            work = self._batch.running.get(made.id)
            if work is None:  # it was cancelled while the step ran
                continue
            done += self._batch.credit(work, made)
            work.first = work.first or now
            ended = made.ended == "stop" and made.tokens and made.tokens[-1] in self._tokenizer.ends
            tokens = made.tokens[:-1] if ended else made.tokens
            work.made += tokens
            if text := work.text.add(tokens):
                post.add(work, Piece(text))
            if made.ended == "failed":
                self._batch.remove(work)
                post.add(work, GeneratorUnavailable(FAILED))
            elif made.ended:
                self._batch.remove(work)
                self._finish(work, made.ended, post)
            elif work.text.stopped:
                self._end(work, "stop", post)
        if saturated:
            self._line.rate.add(done, took)

    def _finish(self, work: Work, reason: Reason, post: Post) -> None:
        if rest := work.text.rest():
            post.add(work, Piece(rest))
        post.add(work, work.finish("stop" if work.text.stopped else reason))

    def _end(self, work: Work, reason: Reason, post: Post) -> None:
        """Ends a work that the engine would go on with."""
        self._drop(work)
        self._finish(work, reason, post)

    def _end_overdue(self, post: Post) -> None:
        for work in self._everyone():
            if work.overdue and work.made:
                self._end(work, "deadline", post)
            elif work.overdue:
                self._drop(work)
                post.add(work, _too_late())

    def _everyone(self) -> list[Work]:
        return [*self._batch.running.values(), *self._batch.again, *self._line.everyone()]

    def _replace_engine(self) -> None:
        """Blocks until there is an engine again, or the generator is stopped."""
        post = Post()
        with self._lock:
            self._up = False
            for work in self._batch.fail(None):
                post.add(work, GeneratorUnavailable(FAILED))
        post.send()
        self._engine.kill()
        for attempt in itertools.count():
            try:
                self._engine = EngineProcess(self._spec)
                info = self._engine.wait_ready(START_LIMIT_S)
                break
            except AnswerboxError:
                log.exception("the language model could not be restarted")
                self._restarts_failed += 1
                if self._stopping.wait(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]):
                    return
        with self._lock:
            self.restarts += 1
            self._restarts_failed = 0
            self._progress = time.monotonic()
            self._batch.renew(Ready(info))
            self._up = True
            self._dispatch()
        log.warning("the language model's process was restarted")

    def _end_all(self) -> None:
        post = Post()
        with self._lock:
            self._up = False
            for work in self._everyone():
                self._line.leave(work)
                self._batch.remove(work)
                post.add(work, GeneratorUnavailable(STOPPED))
        post.send()


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The time for the answer was up before its first word.",
        hint="Ask for fewer tokens, or try again when the service is less busy.",
    )
