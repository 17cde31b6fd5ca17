"""The line, the batch and the process around an engine: what happens when an engine fails, and who is next."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from answerbox.adapters.fakes import FAKE_GENERATOR, FakeTokenizer
from answerbox.adapters.generation.engine import EngineSpec
from answerbox.adapters.generation.local_generator import Limits, LocalGenerator
from answerbox.errors import AnswerboxError, GeneratorUnavailable, ModelMissing, Overloaded, SetupError
from answerbox.ports import Finish, GenerationRequest, Message, Piece
from tests.doubles import until
from tests.engines import POISON
from tests.live import wait_until

Make = Callable[..., LocalGenerator]
FAULTY = "tests.engines:FaultyEngine"
WORDS = " ".join(f"word{number}" for number in range(12))


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[LocalGenerator] = []

    def maker(
        factory: str = "tests.engines:FaultyEngine", limits: Limits | None = None, **given: Any
    ) -> LocalGenerator:
        spec = EngineSpec(factory, given)
        made.append(LocalGenerator(FAKE_GENERATOR, FakeTokenizer(), spec, limits or Limits()))
        return made[-1]

    yield maker
    for generator in made:
        generator.close()


def slow(make: Make, token_delay_s: float, rows: int = 16, limits: Limits | None = None) -> LocalGenerator:
    return make("answerbox.adapters.fakes:FakeEngine", limits, token_delay_s=token_delay_s, rows=rows)


def ask(text: str = WORDS, max_tokens: int = 100, user: str | None = None) -> GenerationRequest:
    return GenerationRequest("r", (Message("user", text),), max_tokens, user_id=user)


async def answer(generator: LocalGenerator, request: GenerationRequest) -> str:
    *pieces, last = [item async for item in generator.generate(request)]
    assert isinstance(last, Finish)
    assert last.completion_tokens == min(len(request.messages[0].content.split()), request.max_tokens)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece))


async def answers(generator: LocalGenerator, *requests: GenerationRequest) -> list[Any]:
    return await asyncio.gather(*(answer(generator, request) for request in requests), return_exceptions=True)


@pytest.mark.parametrize("fault", ["raise", "die"])
async def test_a_poisoned_request_fails_alone(make: Make, fault: str) -> None:
    generator = make(fault=fault)
    good = [ask(f"{number} {WORDS}") for number in range(6)]
    *found, poisoned = await answers(generator, *good, ask(WORDS, POISON))
    assert isinstance(poisoned, GeneratorUnavailable)
    assert found == [request.messages[0].content for request in good]
    assert await answer(generator, ask("still there")) == "still there"


async def test_an_engine_that_dies_is_replaced_and_its_work_goes_on(make: Make) -> None:
    generator = slow(make, 0.01)
    work = asyncio.create_task(answers(generator, *(ask(f"{number} {WORDS}") for number in range(4))))
    await until(lambda: generator.generated >= 8)
    os.kill(generator.status()["engine_pid"], signal.SIGKILL)
    assert await work == [f"{number} {WORDS}" for number in range(4)]
    assert generator.status()["restarts"] == 1
    assert await generator.info()


async def test_a_dead_engine_is_not_ready(make: Make) -> None:
    generator = slow(make, 0.0)
    os.kill(generator.status()["engine_pid"], signal.SIGKILL)

    async def ready() -> bool:
        try:
            return bool(await generator.info())
        except GeneratorUnavailable:
            return False

    states: list[bool] = []
    for wanted in (False, True):
        while not states or states[-1] != wanted:
            states.append(await ready())
            await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0.005)
    assert generator.status()["restarts"] == 1


async def test_an_engine_that_hangs_is_noticed_and_replaced(make: Make, tmp_path: Path) -> None:
    generator = make(limits=Limits(stall_s=1.5, notice_s=0.3), fault="hang", once=tmp_path / "hung")
    work = asyncio.create_task(answer(generator, ask()))
    noticed = False
    while not work.done():
        await asyncio.wait([work], timeout=0.05)
        try:
            await generator.info()
        except GeneratorUnavailable:
            noticed = True
    assert noticed
    assert await work == WORDS
    assert generator.status()["restarts"] == 1


async def test_a_batch_that_does_not_fit_into_memory_is_split_and_nobody_fails(make: Make) -> None:
    generator = make(fault="memory", most_rows=3)
    requests = [ask(f"{number} {WORDS}") for number in range(10)]
    assert await answers(generator, *requests) == [request.messages[0].content for request in requests]
    assert 1 <= generator.status()["rows"] <= 3
    assert generator.status()["restarts"] == 0


async def test_one_row_that_does_not_fit_into_memory_fails_and_the_next_is_answered(make: Make, tmp_path: Path) -> None:
    generator = make(fault="memory", once=tmp_path / "failed")
    assert isinstance((await answers(generator, ask()))[0], GeneratorUnavailable)
    assert await answer(generator, ask()) == WORDS


@pytest.mark.parametrize(
    ("factory", "error"),
    [("missing", ModelMissing), ("broken", SetupError), ("dead", GeneratorUnavailable), ("no_such", SetupError)],
)
def test_an_engine_that_cannot_be_made_says_why(make: Make, factory: str, error: type[AnswerboxError]) -> None:
    with pytest.raises(error):
        make(f"tests.engines:{factory}")


async def test_a_stopped_generator_fails_what_runs_and_what_waits(make: Make) -> None:
    generator = slow(make, 0.01, rows=1)
    work = [asyncio.ensure_future(answer(generator, ask())) for _ in range(3)]
    await until(lambda: generator.generated)
    await asyncio.to_thread(generator.close)
    assert [type(failure) for failure in await asyncio.gather(*work, return_exceptions=True)] == [
        GeneratorUnavailable
    ] * 3
    with pytest.raises(GeneratorUnavailable):
        await answer(generator, ask())
    with pytest.raises(GeneratorUnavailable):
        await generator.info()


def test_an_engine_ends_with_the_process_that_started_it() -> None:
    code = (
        "from answerbox.settings import Settings; from answerbox.app import local_generator; import time\n"
        "print(local_generator(Settings(generator_model='fake')).status()['engine_pid'], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        engine = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{engine}/cmdline").exists(), 10, "the engine has ended")


async def test_one_users_flood_does_not_starve_another(make: Make) -> None:
    generator = slow(make, 0.002, rows=1)
    order: list[str] = []

    async def one(user: str) -> None:
        await answer(generator, ask(user=user))
        order.append(user)

    flood = [asyncio.create_task(one("flood")) for _ in range(20)]
    await until(lambda: generator.status()["waiting"] == 19)
    await asyncio.gather(one("light"), *flood)
    assert order.index("light") <= 2


async def test_too_much_work_is_refused_and_what_was_accepted_is_answered(make: Make) -> None:
    generator = slow(make, 0.005, rows=2, limits=Limits(queue_tokens=120))
    found = await answers(generator, *(ask(max_tokens=12) for _ in range(40)))
    refused = [failure for failure in found if isinstance(failure, Overloaded)]
    assert len(refused) >= 20
    assert all(failure.extra["retry_after_s"] >= 1 for failure in refused)
    assert [text for text in found if not isinstance(text, Overloaded)] == [WORDS] * (40 - len(refused))
    assert await answer(generator, ask()) == WORDS


async def test_a_reader_that_does_not_read_holds_up_nobody(make: Make) -> None:
    generator = slow(make, 0.002)
    async with aclosing(generator.generate(ask("a " * 60))) as items:
        await anext(items)
        assert await answer(generator, ask()) == WORDS


async def test_a_request_that_is_cancelled_while_it_waits_ends_at_once(make: Make) -> None:
    generator = slow(make, 0.02, rows=1)
    first = asyncio.create_task(answer(generator, ask()))
    await until(lambda: generator.generated)
    waiting = GenerationRequest("mine", (Message("user", WORDS),), 100)
    items = generator.generate(waiting)
    end = asyncio.ensure_future(anext(items))
    await until(lambda: generator.status()["waiting"] == 1)
    assert await generator.cancel("mine")
    assert await end == Finish("cancelled", 14, 0)
    assert not first.done()
    assert await first == WORDS
