"""The engine behind an OpenAI-compatible server, against a double of such a server that speaks real HTTP."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from answerbox.adapters.openai_generator import OpenAIGenerator
from answerbox.breaker import FAILURES
from answerbox.errors import AnswerboxError, DeadlineExceeded, GeneratorUnavailable, Overloaded
from answerbox.ports import Finish, GenerationRequest, Message, Piece
from tests.doubles import until
from tests.live import free_port
from tests.openai_server import Answer, OpenAIServer, connected

MESSAGES = (Message("system", "Be brief."), Message("user", "What is the capital of France?"))
ASK = GenerationRequest("r1", MESSAGES, max_tokens=16)
LONG = tuple(f" word{number}" for number in range(1_000))
QUICK_S = 2.0


@pytest.fixture
async def generator(server: OpenAIServer) -> AsyncIterator[OpenAIGenerator]:
    async with connected(server.url) as made:
        yield made


async def run(generator: OpenAIGenerator, request: GenerationRequest = ASK) -> tuple[list[str], Finish]:
    *pieces, last = [item async for item in generator.generate(request)]
    assert isinstance(last, Finish)
    assert all(isinstance(piece, Piece) and piece.text for piece in pieces)
    return [piece.text for piece in pieces if isinstance(piece, Piece)], last


async def test_a_generation_is_its_pieces_and_then_the_usage_of_the_server(generator: OpenAIGenerator) -> None:
    assert await run(generator) == (["Paris", " is", " it", "."], Finish("stop", 11, 4))


async def test_a_greedy_request_says_no_more_than_it_must(server: OpenAIServer, generator: OpenAIGenerator) -> None:
    await run(generator)
    assert server.asked == [
        {
            "model": "scripted",
            "messages": [{"role": message.role, "content": message.content} for message in MESSAGES],
            "max_tokens": 16,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


async def test_what_a_request_sets_is_sent(server: OpenAIServer, generator: OpenAIGenerator) -> None:
    await run(generator, replace(ASK, temperature=0.7, top_p=0.9, seed=0, stop=("\n\n", "Q:"), user_id="ada"))
    sent = {name: server.asked[0][name] for name in ("temperature", "top_p", "seed", "stop", "user")}
    assert sent == {"temperature": 0.7, "top_p": 0.9, "seed": 0, "stop": ["\n\n", "Q:"], "user": "ada"}


async def test_the_key_is_sent_and_a_key_for_another_server_is_not(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another")
    for key in ("sk-mine\n", None):
        async with connected(server.url, api_key=key) as generator:
            await run(generator)
    assert [headers["authorization"] for headers in server.headers] == ["Bearer sk-mine", "Bearer none"]


@pytest.mark.parametrize(
    ("told", "reason"), [("stop", "stop"), ("length", "length"), ("content_filter", "stop"), ("eos", "stop")]
)
async def test_why_it_ended_is_told(server: OpenAIServer, generator: OpenAIGenerator, told: str, reason: str) -> None:
    server.answer = Answer(finish=told)
    _, finish = await run(generator)
    assert finish.reason == reason


async def test_without_the_servers_usage_the_pieces_are_counted(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(usage=None)
    assert (await run(generator))[1] == Finish("stop", 0, 4)


async def test_events_without_text_are_no_pieces(server: OpenAIServer, generator: OpenAIGenerator) -> None:
    server.answer = Answer(
        lines=[
            '{"choices": []}',
            '{"choices": [{"delta": {"role": "assistant", "content": null}}]}',
            '{"choices": [{"delta": {"reasoning_content": "Hm."}}]}',
            '{"choices": [{"delta": {"content": ""}}]}',
            '{"choices": [{"delta": {"content": "Paris"}, "finish_reason": "stop"}], "usage": null}',
            '{"choices": [{}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}',
        ]
    )
    assert await run(generator) == (["Paris"], Finish("stop", 3, 2))


@pytest.mark.parametrize(
    ("words", "finish", "text"),
    [
        (("Par", "is", "\nQ", ": and"), "stop", "Paris"),
        (("Paris\nQ:", " and"), "length", "Paris"),
        (("Par", "is", "\n"), "stop", "Paris\n"),
        (("\nQ:",), "stop", ""),
    ],
)
async def test_the_text_ends_before_a_stop_string_also_where_the_server_sends_it(
    server: OpenAIServer, generator: OpenAIGenerator, words: tuple[str, ...], finish: str, text: str
) -> None:
    server.answer = Answer(words, finish=finish)
    pieces, last = await run(generator, replace(ASK, stop=("\nQ:", "never")))
    assert ("".join(pieces), last) == (text, Finish("stop", 11, 4))


async def test_a_server_that_goes_on_after_a_stop_string_is_hung_up_on(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(("Paris", "\nQ:", *LONG), delay_s=0.02)
    assert await run(generator, replace(ASK, stop=("\nQ:",))) == (["Paris"], Finish("stop", 0, 2))
    await until(lambda: server.gone, what="the server notices")
    assert server.sent < 100


async def test_what_may_become_a_stop_string_is_shown_when_the_time_is_up(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(("Paris", "\n"), hold_at=2)
    request = replace(ASK, stop=("\nQ:",), timeout_s=0.5)
    assert await run(generator, request) == (["Paris", "\n"], Finish("deadline", 0, 2))


async def test_an_empty_answer_is_an_answer(server: OpenAIServer, generator: OpenAIGenerator) -> None:
    server.answer = Answer(words=(), usage={"prompt_tokens": 11, "completion_tokens": 1})
    assert await run(generator) == ([], Finish("stop", 11, 1))


async def test_many_at_a_time_each_get_their_own(server: OpenAIServer) -> None:
    server.answers = [Answer([f"{number}", " and", " out"], delay_s=0.005) for number in range(20)]
    async with connected(server.url, concurrency=20) as generator:
        results = await asyncio.gather(*(run(generator) for _ in range(20)))
    assert sorted(int(pieces[0]) for pieces, _ in results) == list(range(20))
    assert all(pieces[1:] == [" and", " out"] for pieces, _ in results)


# What breaks


async def test_a_stream_that_just_ends_has_stopped_in_the_middle(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(finish=None)
    with pytest.raises(GeneratorUnavailable, match="in the middle"):
        await run(generator)


async def test_a_connection_that_breaks_after_the_first_token_is_not_tried_again(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(cut_at=2)
    items = generator.generate(ASK)
    assert [await anext(items), await anext(items)] == [Piece("Paris"), Piece(" is")]
    with pytest.raises(GeneratorUnavailable):
        await anext(items)
    assert len(server.asked) == 1


async def test_a_connection_that_breaks_before_the_first_token_is_tried_again(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answers = [Answer(cut_at=0), Answer(("Pa", "r"), cut_at=1)]
    pieces, _ = await run(generator, replace(ASK, stop=("Pasta",)))
    assert "".join(pieces) == "Paris is it.", "what the broken attempts left is forgotten"
    assert len(server.asked) == 3


async def test_after_three_attempts_the_server_is_unavailable(server: OpenAIServer, generator: OpenAIGenerator) -> None:
    server.answer = Answer(cut_at=0)
    with pytest.raises(GeneratorUnavailable):
        await run(generator)
    assert len(server.asked) == 3


async def test_a_server_that_keeps_failing_is_left_alone_for_a_while(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(status=500)
    for _ in range(FAILURES + 5):
        with pytest.raises(GeneratorUnavailable) as caught:
            await run(generator)
    assert len(server.asked) == FAILURES
    assert caught.value.extra["retry_after_s"] >= 1


async def test_requests_that_the_server_refuses_do_not_close_the_way_for_others(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answers = [Answer(status=400)] * (FAILURES + 5)
    for _ in range(FAILURES + 5):
        with pytest.raises(GeneratorUnavailable):
            await run(generator)
    assert (await run(generator))[1].reason == "stop"


async def test_a_connection_that_breaks_after_the_last_token_breaks_no_answer(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(lines=['{"choices": [{"delta": {"content": "Paris"}, "finish_reason": "stop"}]}', "{"])
    assert await run(generator) == (["Paris"], Finish("stop", 0, 1))


async def test_a_server_that_does_not_hang_up_does_not_hold_the_answer_back(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(hang_up=False)
    began = time.monotonic()
    assert (await run(generator))[1] == Finish("stop", 11, 4)
    assert time.monotonic() - began < QUICK_S


async def test_where_nothing_listens_the_server_is_unavailable() -> None:
    async with connected(f"http://127.0.0.1:{free_port()}/v1", model=None) as generator:
        for call in (run(generator), generator.info(), generator.probe()):
            with pytest.raises(GeneratorUnavailable):
                await call


async def test_a_connection_that_nobody_takes_is_given_up_in_time() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        with socket.create_connection(deaf.getsockname()):  # the only place in its queue
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
            async with connected(url, connect_timeout_s=0.1) as generator:
                began = time.monotonic()
                with pytest.raises(GeneratorUnavailable, match="connection"):
                    await run(generator)
                assert time.monotonic() - began < QUICK_S


@pytest.mark.parametrize("before", [0, 2])
async def test_a_silent_server_is_given_up_and_hung_up_on(server: OpenAIServer, before: int) -> None:
    server.answer = Answer(hold_at=before)
    async with connected(server.url, silence_timeout_s=0.4) as generator:
        items = generator.generate(ASK)
        assert [await anext(items) for _ in range(before)] == [Piece("Paris"), Piece(" is")][:before]
        with pytest.raises(GeneratorUnavailable, match="silent"):
            await anext(items)
        await until(lambda: server.gone, what="the server notices")
    assert len(server.asked) == 1


async def test_a_slow_server_is_not_a_silent_one(server: OpenAIServer) -> None:
    server.answer = Answer(["a"] * 8, delay_s=0.1)
    async with connected(server.url, silence_timeout_s=0.6) as generator:
        assert len((await run(generator))[0]) == 8


# Time that is up, and cancelling


async def test_when_the_time_is_up_what_there_is_is_the_answer(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(LONG, delay_s=0.02)
    pieces, finish = await run(generator, replace(ASK, timeout_s=0.4))
    assert finish == Finish("deadline", 0, len(pieces))
    assert 0 < len(pieces) < 40
    await until(lambda: server.gone, what="the server notices")


async def test_when_the_time_is_up_before_the_first_token_there_is_no_answer(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(hold_at=0)
    with pytest.raises(DeadlineExceeded, match="before its first word"):
        await run(generator, replace(ASK, timeout_s=0.1))
    await until(lambda: server.gone, what="the server notices")


async def test_the_time_runs_while_the_caller_is_slow(generator: OpenAIGenerator) -> None:
    began = time.monotonic()
    async with aclosing(generator.generate(replace(ASK, timeout_s=0.5))) as items:
        assert await anext(items) == Piece("Paris")
        await until(lambda: time.monotonic() - began > 0.6)
        assert await anext(items) == Finish("deadline", 0, 1)


async def test_attempts_end_with_the_time_of_the_request() -> None:
    async with connected(f"http://127.0.0.1:{free_port()}/v1") as generator:
        began = time.monotonic()
        with pytest.raises((GeneratorUnavailable, DeadlineExceeded)):
            await run(generator, replace(ASK, timeout_s=0.02))
        assert time.monotonic() - began < QUICK_S


async def test_closing_early_stops_the_server(server: OpenAIServer, generator: OpenAIGenerator) -> None:
    server.answer = Answer(LONG, delay_s=0.01)
    async with aclosing(generator.generate(ASK)) as items:
        assert await anext(items) == Piece(" word0")
    await until(lambda: server.gone == 1 and not server.running, what="the server notices")
    assert server.sent < 100


@pytest.mark.parametrize("hold_at", [0, 3])
async def test_cancelling_the_task_stops_the_server(
    server: OpenAIServer, generator: OpenAIGenerator, hold_at: int
) -> None:
    server.answer = Answer(LONG, hold_at=hold_at)
    task = asyncio.create_task(run(generator))
    await until(lambda: server.running and server.sent == hold_at, what="the server is at work")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.gone == 1, what="the server notices")


@pytest.mark.parametrize("hold_at", [0, 2])
async def test_a_request_that_is_cancelled_ends_with_what_it_has(
    server: OpenAIServer, generator: OpenAIGenerator, hold_at: int
) -> None:
    held = Answer(hold_at=hold_at)
    server.answers = [Answer(hold_at=hold_at), held]
    one = asyncio.create_task(run(generator))
    await until(lambda: server.running == 1 and server.sent == hold_at, what="the first is at work")
    other = asyncio.create_task(run(generator, replace(ASK, request_id="r2")))
    await until(lambda: server.running == 2 and server.sent == 2 * hold_at, what="the second is at work")
    assert await generator.cancel("r1")
    assert await one == (["Paris", " is"][:hold_at], Finish("cancelled", 0, hold_at))
    await until(lambda: server.gone == 1, what="the server notices")
    assert not await generator.cancel("r1")
    held.release.set()
    assert (await other)[1].reason == "stop"


async def test_cancelling_stops_the_server_also_while_nobody_reads(
    server: OpenAIServer, generator: OpenAIGenerator
) -> None:
    server.answer = Answer(LONG, delay_s=0.01)
    async with aclosing(generator.generate(ASK)) as items:
        await anext(items)
        assert await generator.cancel("r1")
        await until(lambda: server.gone == 1, what="the server notices")
        assert await anext(items) == Finish("cancelled", 0, 1)


async def test_nothing_runs_under_an_unknown_id(generator: OpenAIGenerator) -> None:
    assert not await generator.cancel("r1")


async def test_more_than_may_run_are_refused_at_once_until_there_is_room(server: OpenAIServer) -> None:
    held = Answer(hold_at=0)
    server.answer = held
    async with connected(server.url, concurrency=2) as generator:
        running = [asyncio.create_task(run(generator)) for _ in range(2)]
        await until(lambda: server.running == 2, what="both are at work")
        with pytest.raises(Overloaded) as caught:
            await run(generator)
        assert caught.value.extra["retry_after_s"] >= 1
        running[0].cancel()
        await asyncio.wait([running[0]])
        held.release.set()
        assert (await run(generator))[1].reason == "stop"
        await running[1]
    assert len(server.asked) == 3


async def test_after_closing_there_is_no_generator(server: OpenAIServer, generator: OpenAIGenerator) -> None:
    server.answer = Answer(LONG, hold_at=2)
    task = asyncio.create_task(run(generator))
    await until(lambda: server.sent == 2, what="the server is at work")
    await generator.close()
    with pytest.raises(AnswerboxError) as caught:
        await asyncio.wait_for(task, 5)
    assert isinstance(caught.value, GeneratorUnavailable)
    for call in (run(generator), generator.info()):
        with pytest.raises(GeneratorUnavailable):
            await call
