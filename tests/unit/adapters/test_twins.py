"""Several services behind one port: whom is asked, and what becomes of a generation whose service is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from answerbox.adapters.fakes import FakeEmbedder
from answerbox.adapters.twins import TwinEmbedders, TwinGenerators
from answerbox.errors import (
    AnswerboxError,
    BadUpstream,
    EmbedderUnavailable,
    GeneratorUnavailable,
    Overloaded,
    PromptTooLong,
)
from answerbox.ports import Finish, GenerationRequest, Message, Piece, TextKind, Vectors
from tests.doubles import Clock, ScriptedGenerator, until

LOST = GeneratorUnavailable("lost")
REQUEST = GenerationRequest("r", (Message("user", "Where is Paris?"),), max_tokens=100)
Script = Sequence[str | AnswerboxError | asyncio.Event]


class Twin(ScriptedGenerator):
    """A generator that can be probed; it is down where its script begins with an error."""

    hangs = False
    probed = 0

    @property
    def _down(self) -> AnswerboxError | None:
        return self.script[0] if isinstance(self.script[0], AnswerboxError) else None

    async def probe(self) -> dict[str, Any]:
        if self.hangs:
            await asyncio.Event().wait()
        if self._down:
            raise self._down
        self.probed += 1
        return {"model": "scripted"}

    async def cancel(self, request_id: str) -> bool:
        if self.hangs:
            await asyncio.Event().wait()
        if self._down:
            raise self._down
        return any(request.request_id == request_id for request in self.asked)

    async def close(self) -> None:
        self.closed += 1


def twins(*scripts: Script) -> tuple[TwinGenerators, list[Twin]]:
    made = [Twin(script=script) for script in scripts]
    return TwinGenerators(made), made


async def text_of(generator: TwinGenerators, request: GenerationRequest = REQUEST) -> str:
    *pieces, last = [item async for item in generator.generate(request)]
    assert isinstance(last, Finish)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece))


async def test_requests_are_shared() -> None:
    generator, made = twins(("a",), ("a",), ("a",))
    for _ in range(6):
        await text_of(generator)
    assert [len(one.asked) for one in made] == [2, 2, 2]


async def test_the_one_with_least_to_do_is_asked() -> None:
    generator, (busy, free) = twins(("a", asyncio.Event()), ("a", "b"))
    async with aclosing(generator.generate(REQUEST)) as items:
        await anext(items)
        for _ in range(3):
            await text_of(generator)
    assert (len(busy.asked), len(free.asked)) == (1, 3)


@pytest.mark.parametrize(
    "begins",
    [(LOST,), ("Par", LOST), ("Paris", " is i", LOST), ("Paris is it.", LOST), (Overloaded("full"),)],
    ids=["before it begins", "in a piece", "in the middle", "at its end", "too busy"],
)
async def test_what_one_loses_another_ends_and_nothing_is_said_twice(begins: Script) -> None:
    generator, _ = twins(begins, ("Pari", "s is", " it", "."))
    assert await text_of(generator) == "Paris is it."


@pytest.mark.parametrize("again", [("London", " is."), ("Par",)], ids=["otherwise", "less"])
async def test_a_generation_that_cannot_be_gone_on_with_fails(again: Script) -> None:
    generator, _ = twins(("Paris", LOST), again)
    with pytest.raises(BadUpstream, match="in the middle"):
        await text_of(generator)


async def test_one_that_was_lost_rests() -> None:
    generator, (lost, other) = twins((LOST,), ("a",))
    for _ in range(4):
        await text_of(generator)
    assert (len(lost.asked), len(other.asked)) == (1, 4)


async def test_one_that_works_again_is_asked_again() -> None:
    lost, other = Twin(script=(LOST,)), Twin(script=("a",))
    generator = TwinGenerators([lost, other], rest_s=0.01)
    await text_of(generator)
    lost.script = ("a",)
    await until(lambda: lost.probed)
    for _ in range(4):
        await text_of(generator)
    assert (len(lost.asked), len(other.asked)) == (3, 3)


async def test_one_that_answers_a_probe_is_asked_again_at_once() -> None:
    generator, (one, other) = twins((LOST,), ("a",))
    await text_of(generator)
    one.script = ("a",)
    await generator.probe()
    for _ in range(2):
        await text_of(generator)
    assert (len(one.asked), len(other.asked)) == (2, 2)


async def test_one_that_is_lost_is_asked_where_nobody_else_answers() -> None:
    """It may just have come back."""
    generator, (one, other) = twins((LOST,), ("a",))
    await text_of(generator)
    one.script, other.script = ("b",), (LOST,)
    assert await text_of(generator) == "b"


async def test_one_that_is_only_busy_is_not_lost() -> None:
    generator, (full, other) = twins((Overloaded("full"),), ("a",))
    for _ in range(4):
        await text_of(generator)
    assert len(full.asked) > 1
    assert len(other.asked) == 4


async def test_where_all_are_lost_the_last_failure_is_told() -> None:
    generator, _ = twins((LOST,), (GeneratorUnavailable("the last"),))
    with pytest.raises(GeneratorUnavailable, match="the last"):
        await text_of(generator)


async def test_what_is_the_requests_own_fault_is_not_tried_elsewhere() -> None:
    generator, (_, other) = twins((PromptTooLong("too long"),), ("a",))
    with pytest.raises(PromptTooLong):
        await text_of(generator)
    assert other.asked == []


async def test_the_second_try_has_the_time_that_is_left() -> None:
    clock = Clock()

    class Slow(Twin):
        async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
            clock.now += 2
            async for item in super().generate(request):
                yield item

    made = [Slow(script=(LOST,)), Slow(script=("a",))]
    await text_of(TwinGenerators(made, clock=clock), GenerationRequest("r", REQUEST.messages, 100, timeout_s=5.0))
    assert [one.asked[0].timeout_s for one in made] == [5.0, 3.0]


async def test_a_request_is_ended_wherever_it_runs() -> None:
    generator, _ = twins((LOST,), ("a", asyncio.Event()), ("a",))
    async with aclosing(generator.generate(REQUEST)) as items:
        await anext(items)
        assert await generator.cancel("r")
        assert not await generator.cancel("another")


async def test_it_works_while_one_does() -> None:
    generator, (down, hanging, _) = twins((LOST,), ("a",), ("a",))
    hanging.hangs = True
    assert await generator.probe() == {"model": "scripted", "working": 1, "twins": 3}
    down.script = ("a",)
    assert (await generator.probe())["working"] == 2


async def test_it_is_down_where_all_are() -> None:
    generator, _ = twins((LOST,), (LOST,))
    with pytest.raises(GeneratorUnavailable):
        await generator.probe()
    with pytest.raises(GeneratorUnavailable):
        await generator.cancel("r")


async def test_where_all_hang_a_request_cannot_be_ended_and_that_is_told() -> None:
    generator, made = twins(("a",), ("a",))
    for one in made:
        one.hangs = True
    with pytest.raises(GeneratorUnavailable):
        await generator.cancel("r")


async def test_all_are_closed() -> None:
    generator, made = twins(("a",), ("a",))
    await generator.close()
    assert [one.closed for one in made] == [1, 1]


class EmbedderTwinDouble(FakeEmbedder):
    down = False
    asked = 0

    async def probe(self) -> dict[str, Any]:
        return {"model": "fake"}

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        self.asked += 1
        if self.down:
            raise EmbedderUnavailable("lost")
        return await super().embed(texts, kind)

    async def measure(self, texts: Sequence[str], kind: TextKind) -> tuple[list[int], int]:  # noqa: ARG002
        return self.lengths(texts), self.max_tokens


async def test_texts_are_embedded_by_another_where_one_is_lost() -> None:
    lost, other = EmbedderTwinDouble(), EmbedderTwinDouble()
    embedder = TwinEmbedders([lost, other])
    lost.down = True
    expected = await FakeEmbedder().embed(["bread"], "query")
    for _ in range(3):
        assert list(await embedder.embed(["bread"], "query")) == list(expected)
    assert (lost.asked, other.asked) == (1, 3)
    assert await embedder.measure(["two words"], "query") == ([2], 512)
    assert (await embedder.info()).model == "fake"


async def _closed_early(items: AsyncGenerator[Any, None]) -> None:
    async with aclosing(items):
        await anext(items)


async def test_a_caller_who_leaves_leaves_no_work_behind() -> None:
    generator, (one, _) = twins(("a", "b"), ("a",))
    await _closed_early(generator.generate(REQUEST))
    assert one.closed == 1
    await _closed_early(generator.generate(REQUEST))
    await _closed_early(generator.generate(REQUEST))
    assert len(one.asked) == 2, "it has nothing to do any more"
