"""The tools of one question, and how they are called: whatever a model asks for, there is a result to tell it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from answerbox.contracts import CallStatus
from answerbox.pipelines.agents.search import SEARCH
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.material import harmless
from answerbox.tools import ForeignFailure, Tool, ToolCall, ToolError, ToolSpec, WrongArguments

log = logging.getLogger(__name__)

MOST_AT_ONCE = 8
"""Calls of one turn."""
MAX_RESULT_CHARS = 8_000
"""Of a tool's result; what is longer is cut, and the model is told so."""
FAILED = "The tool failed."
CUT = "\n[The rest was cut: the result is too long.]"


@dataclass(frozen=True)
class Outcome:
    """What came of a call. `content` is for the model, and for a caller too unless it is `private`."""

    call: ToolCall
    status: CallStatus
    content: str
    duration_ms: float = 0.0
    private: bool = False

    @property
    def shown(self) -> str:
        """What a caller is told."""
        return FAILED if self.private else self.content


class Toolbox:
    """`allowed` names the tools with side effects that may be called; the others of these are not offered."""

    def __init__(
        self, tools: Iterable[Tool], context: RequestContext, timeout_s: float, allowed: frozenset[str]
    ) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._context = context
        self._timeout_s = timeout_s
        self._allowed = allowed
        self._made: set[str] = set()
        self._stopped = asyncio.Event()
        self.repetitions = 0

    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(tool.spec for tool in self._tools.values() if self._may_call(tool))

    def stop(self) -> None:
        """What runs ends at once, and nothing is called any more."""
        self._stopped.set()

    async def call(self, calls: Sequence[ToolCall], within_s: float) -> AsyncGenerator[Outcome, None]:
        """Calls them together; what came of them, in their order. Closing the generator ends what runs.

        Nothing is called twice: a tool that failed is not tried again, for it may have done its work.
        """
        tasks = [
            asyncio.create_task(self._outcome(call, self._objection(call, number), within_s))
            for number, call in enumerate(calls)
        ]
        try:
            for task in tasks:
                yield await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _may_call(self, tool: Tool) -> bool:
        return not tool.side_effects or tool.spec.name in self._allowed

    def _objection(self, call: ToolCall, number: int) -> tuple[CallStatus, str] | None:
        """Why it is not called at all."""
        tool = self._tools.get(call.name)
        if tool is None:
            return "unknown", f"There is no such tool. There are: {', '.join(spec.name for spec in self.specs())}."
        if not self._may_call(tool):
            return "refused", "This tool is not allowed here."
        if number >= MOST_AT_ONCE:
            return "refused", f"At most {MOST_AT_ONCE} tools are called at once."
        arguments = call.parsed()
        if arguments is None:
            return "invalid", "Wrong arguments. They must be one JSON object."
        written = json.dumps([call.name, arguments], sort_keys=True)
        if written in self._made:
            self.repetitions += 1
            return (
                "repeated",
                "You have made this call before; its result stands above. Use it, or ask for something else.",
            )
        self._made.add(written)
        return None

    async def _outcome(self, call: ToolCall, objection: tuple[CallStatus, str] | None, within_s: float) -> Outcome:
        if objection:
            return Outcome(call, *objection)
        began = time.monotonic()
        with self._context.step("tool", "tool") as step, self._context.inside(step):
            step.input = {"tool": call.name, "arguments": call.parsed()}
            outcome = await self._tried(call, self._tools[call.name], within_s)
            step.output = outcome.content
            step.detail = {"tool": call.name, "status": outcome.status}
        return replace(outcome, duration_ms=round((time.monotonic() - began) * 1000, 1))

    async def _tried(self, call: ToolCall, tool: Tool, within_s: float) -> Outcome:
        """A failure's own words stay in the log: they may tell of the inside."""
        seconds = min(tool.timeout_s or self._timeout_s, within_s)
        work = asyncio.ensure_future(tool.call(call.parsed() or {}))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            # Not `asyncio.timeout`, which would wait for a tool that does not let itself be cancelled.
            await asyncio.wait({work, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and stopped.done():
                return Outcome(call, "failed", "The request was cancelled.")
            if not work.done():
                return Outcome(call, "timeout", f"The tool gave no result within {seconds:.3g} seconds.")
            return Outcome(call, "ok", _result_as_material(tool.spec.name, work.result()))
        except WrongArguments as exc:
            return Outcome(call, "invalid", str(exc))
        except ForeignFailure as exc:
            return Outcome(call, "failed", _result_as_material(tool.spec.name, str(exc)), private=True)
        except ToolError as exc:
            return Outcome(call, "failed", str(exc))
        except asyncio.CancelledError:
            if not work.cancelled() or _we_are_cancelled():
                raise
            return Outcome(call, "failed", FAILED)
        except Exception:
            log.exception("the tool %s failed", tool.spec.name)
            return Outcome(call, "failed", FAILED)
        finally:
            work.cancel()
            stopped.cancel()


def _we_are_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def as_material(tool: Tool) -> Tool:
    """A tool that others describe, so that the description cannot open a turn of the conversation."""
    spec = tool.spec
    return replace(tool, spec=ToolSpec(spec.name, harmless(spec.description), _harmless_within(spec.parameters)))


def _harmless_within(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _harmless_within(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_harmless_within(each) for each in value]
    return harmless(value) if isinstance(value, str) else value


def _result_as_material(name: str, content: str) -> str:
    """What others wrote, so that it cannot end the turn or open another. Passages stand in their fences already."""
    if name == SEARCH:
        return content
    text = harmless(content.encode("utf-8", "replace").decode())  # half a character cannot be sent on
    return text if len(text) <= MAX_RESULT_CHARS else text[:MAX_RESULT_CHARS] + CUT
