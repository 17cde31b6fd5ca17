"""The `agent` pipeline: the model thinks, calls tools, reads what they tell, and answers.

A model that cannot call tools gets a plan that always searches first, and answers as in the `rag` pipeline.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from answerbox.agent_graph import AgentGraph
from answerbox.contracts import (
    AgentMeta,
    AgentPlan,
    AgentRequest,
    AgentResponse,
    Citation,
    CitationEvent,
    CorrectionEvent,
    DoneEvent,
    Event,
    Grounding,
    MetaEvent,
)
from answerbox.errors import Unavailable
from answerbox.pipelines.agents.run import AgentRun, Bounds
from answerbox.pipelines.agents.search import Shelf, search_documents
from answerbox.pipelines.agents.toolbox import Toolbox, as_material
from answerbox.pipelines.citing import cite
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.drafting import CUT
from answerbox.pipelines.grounding import failed_checks, whole_words
from answerbox.pipelines.material import shown
from answerbox.pipelines.prompts import agent_messages, system_prompt
from answerbox.pipelines.rag import RagPipeline
from answerbox.ports import GeneratorInfo
from answerbox.sessions import SessionKey, Sessions, Turn
from answerbox.text import language_of, visible
from answerbox.tools import Tool, ToolServers

TOOL_CALLING = "tool_calling"
SESSION = "session"
TOOLS = "tools"
"""What `degraded` names; of tools that cannot be had, with their server: `tools:tickets`."""
SHARE_FOR_LISTING = 0.25
"""Of the time that is left, at most, to learn which tools others serve."""
MOST_HISTORY_CHARS = 12_000


@dataclass(frozen=True)
class AgentLimits:
    """`steps`, `tokens`: see `Bounds`. `tool_timeout_s`: seconds. `allowed`: names of tools with side effects."""

    steps: int
    tokens: int
    tool_timeout_s: float
    allowed: frozenset[str] = frozenset()


@dataclass
class AgentPipeline:
    """`rag` is what answers for a model that calls no tools; its model and documents are the agent's, too."""

    rag: RagPipeline
    graph: AgentGraph
    tools: Sequence[Tool]
    limits: AgentLimits
    sessions: Sessions | None = None
    servers: ToolServers | None = None
    _running: dict[str, AgentRun] = field(default_factory=dict, init=False)

    def cancel(self, request_id: str) -> bool:
        """Ends the answer of that request, where this process makes it. Whether there was one."""
        run = self._running.get(request_id)
        if run:
            run.cancel()
        return run is not None

    async def stream(self, request: AgentRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        model = await context.deadline.run(self.rag.generator.info())
        events = self._with_tools(request, context, model) if model.tools else self._search_first(request, context)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _with_tools(
        self, request: AgentRequest, context: RequestContext, model: GeneratorInfo
    ) -> AsyncGenerator[Event, None]:
        tools = await self._offered(context)
        run = self._run(request, context, model, await self._history(request, context, model), tools)
        yield MetaEvent(request_id=context.request_id, pipeline="agent", model=model.model)
        self._running[context.request_id] = run
        try:
            async with aclosing(self.graph.run(run, run.bounds.steps + 1)) as events:
                async for event in events:
                    yield event
        finally:
            self._running.pop(context.request_id, None)
        grounding = _grounding(run)
        if grounding and "links" in grounding.failed:
            run.result.text = shown(run.result.text)
            yield CorrectionEvent(text=run.result.text)
        citations = cite(run.result.text, run.shelf.sources, request.question)
        for citation in citations:
            yield CitationEvent(citation=citation)
        await self._remember(request, context, run.result.text)
        yield DoneEvent(response=_response(run, grounding, citations))

    async def _search_first(self, request: AgentRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        context.degrade(TOOL_CALLING)
        async with aclosing(self.rag.stream(request, context)) as events:
            async for event in events:
                if isinstance(event, MetaEvent):
                    yield event.model_copy(update={"pipeline": "agent"})
                elif isinstance(event, DoneEvent):
                    await self._remember(request, context, event.response.answer)
                    told = event.response.meta.model_dump()
                    plan: AgentPlan = "search_first"
                    turns = sum(step.name == "generate" for step in context.steps)
                    more = {"pipeline": "agent", "degraded": context.degraded, "session_id": request.session_id}
                    meta = AgentMeta(**{**told, **more}, plan=plan, turns=turns, ended_by="answer")
                    yield DoneEvent(response=AgentResponse(answer=event.response.answer, meta=meta))
                else:
                    yield event

    def _run(
        self,
        request: AgentRequest,
        context: RequestContext,
        model: GeneratorInfo,
        history: list[Turn],
        tools: Sequence[Tool],
    ) -> AgentRun:
        language = language_of(request.question)
        if model.languages and language and language not in model.languages:
            context.degrade(f"model_does_not_speak:{language}")
        context.prompt = system_prompt("agent", language, self.rag.prompts)
        said = [(turn.question, turn.answer) for turn in history]
        messages = list(agent_messages(request.question, request.context, said, language, context.prompt))
        shelf = Shelf()
        search = search_documents(
            self.rag.retriever,
            shelf,
            request,
            context,
            top_k=self.rag.default_top_k,
            min_relevance=self.rag.min_relevance,
            min_coverage=self.rag.min_coverage,
        )
        limits = self.limits
        return AgentRun(
            request=request,
            context=context,
            model=model,
            generator=self.rag.generator,
            toolbox=Toolbox((search, *tools), context, limits.tool_timeout_s, limits.allowed),
            shelf=shelf,
            bounds=Bounds(
                steps=min(request.max_steps or limits.steps, limits.steps),
                tokens=limits.tokens,
                answer_tokens=self.rag.default_max_tokens,
            ),
            language=language,
            messages=messages,
            history=len(messages) - 2,
        )

    async def _offered(self, context: RequestContext) -> Sequence[Tool]:
        """The tools of this process, and those that others serve at the moment."""
        if self.servers is None:
            return self.tools
        offer = await self.servers.offer(context.deadline.remaining() * SHARE_FOR_LISTING)
        for name in offer.missing:
            context.degrade(f"{TOOLS}:{name}")
        own = {tool.spec.name for tool in self.tools}
        return [*self.tools, *(as_material(tool) for tool in offer.tools if tool.spec.name not in own)]

    async def _history(self, request: AgentRequest, context: RequestContext, model: GeneratorInfo) -> list[Turn]:
        """The newest turns of the session that fit into a part of the model's window."""
        if not (self.sessions and request.session_id):
            return []
        try:
            turns = await context.deadline.run(self.sessions.turns(_key(request, request.session_id)))
        except Unavailable:
            context.degrade(SESSION)
            return []
        room, kept = min(MOST_HISTORY_CHARS, model.context_tokens), list[Turn]()
        for turn in reversed(turns):
            room -= len(turn.question) + len(turn.answer)
            if room < 0:
                break
            kept.insert(0, turn)
        return kept

    async def _remember(self, request: AgentRequest, context: RequestContext, answer: str) -> None:
        if not (self.sessions and request.session_id):
            return
        turn = Turn(request.question, answer)
        try:
            await self.sessions.add(_key(request, request.session_id), turn)
        except Unavailable:
            context.degrade(SESSION)


def _key(request: AgentRequest, session_id: str) -> SessionKey:
    return SessionKey(session_id, request.user_id)


def _grounding(run: AgentRun) -> Grounding | None:
    """What the checks say of an answer that documents were searched for; what any tool has told is evidence."""
    result, request = run.result, run.request
    evidence = "\n".join([*run.told, *(source.text for source in run.shelf.sources), request.context or ""])
    written = whole_words(result.text) if result.finish_reason in CUT else result.text
    failed = failed_checks(written, request.question, visible(evidence), strict=False)
    if not run.shelf.sources:
        failed = [check for check in failed if check == "links"]
        if not failed:
            return None
    return Grounding(mode="generated", refused=False, score=run.shelf.best_score, failed=failed)


def _response(run: AgentRun, grounding: Grounding | None, citations: list[Citation]) -> AgentResponse:
    context, result = run.context, run.result
    meta = AgentMeta(
        request_id=context.request_id,
        pipeline="agent",
        model=run.model.model,
        finish_reason=result.finish_reason,
        latency_ms=context.elapsed_ms(),
        usage=run.usage,
        steps=context.steps,
        degraded=context.degraded,
        trace_id=context.trace.trace_id,
        prompt=context.prompt_used,
        sources=run.shelf.sources,
        citations=citations,
        grounding=grounding,
        plan="tools",
        turns=run.turns,
        ended_by=run.ended_by,
        tool_calls=run.uses,
        session_id=run.request.session_id,
    )
    return AgentResponse(answer=result.text, meta=meta)
