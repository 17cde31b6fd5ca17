"""The load: so many readers of streams, each of whom asks again when an answer has ended.

One process and one thread; what it does for a piece of text is to note the time. Texts are looked at afterwards.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp

from benchmarks.percentiles import Spread
from benchmarks.prompts import Prompt
from benchmarks.speed.dialects import NOTHING, Dialect, line_of
from benchmarks.speed.results import HEAD_CHARS, Answer

ANSWER_LIMIT_S = 300.0
Counter = Callable[[str], int]


@dataclass
class Heard:
    """One answer while it comes: raw chunks and when they came."""

    prompt: int
    started: float
    status: int = 0
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    ended: float = 0.0
    failure: str | None = None


@dataclass(frozen=True)
class Measured:
    wall_s: float
    answers: list[Answer]
    pauses: Spread


def measure(
    url: str,
    dialect: Dialect,
    prompts: Sequence[Prompt],
    concurrency: int,
    max_tokens: int,
    limit_s: float,
    count: Counter,
) -> Measured:
    """Asks all prompts; after `limit_s` no more are begun. `count`: a text in tokens of the model."""
    heard = asyncio.run(_all(url, dialect, prompts, concurrency, max_tokens, limit_s))
    pauses: list[float] = []
    answers = [_answer(one, dialect, count, pauses) for one in heard]
    return Measured(max(one.ended for one in heard), answers, Spread.of(pauses))


async def _all(
    url: str, dialect: Dialect, prompts: Sequence[Prompt], concurrency: int, max_tokens: int, limit_s: float
) -> list[Heard]:
    bodies = [(prompt.number, dialect.body(prompt, max_tokens)) for prompt in prompts]
    waiting = iter(bodies)
    heard: list[Heard] = []
    timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_S)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:
        began = time.perf_counter()

        async def reader() -> None:
            for number, body in waiting:
                if heard and time.perf_counter() - began > limit_s:
                    return
                one = Heard(number, time.perf_counter() - began)
                heard.append(one)
                await _read(session, dialect.path, body, one, began)
                one.ended = time.perf_counter() - began

        await asyncio.gather(*(reader() for _ in range(concurrency)))
    return heard


async def _read(session: aiohttp.ClientSession, path: str, body: object, one: Heard, began: float) -> None:
    try:
        async with session.post(path, json=body) as response:
            one.status = response.status
            async for chunk in response.content.iter_any():
                one.chunks.append((time.perf_counter() - began, chunk))
    except (aiohttp.ClientError, TimeoutError) as exc:
        one.failure = type(exc).__name__


def _answer(one: Heard, dialect: Dialect, count: Counter, pauses: list[float]) -> Answer:
    """Appends the pauses between two arrivals of text to `pauses`."""
    times: list[float] = []
    texts: list[str] = []
    prompt_tokens = reported = 0
    error = one.failure or (None if one.status == 200 else _problem(one))
    for came, line in _lines(one.chunks) if error is None else ():
        data = line_of(line)
        said = dialect.read(data) if data is not None else NOTHING
        if said.text:
            texts.append(said.text)
            if not times or came > times[-1]:
                times.append(came)
        prompt_tokens, reported = said.prompt_tokens or prompt_tokens, said.tokens or reported
        error = error or said.error
    text = "".join(texts)
    if error is None and not text:
        error = "no text"
    pauses += [after - before for before, after in itertools.pairwise(times)]
    return Answer(
        prompt=one.prompt,
        started=one.started,
        ended=one.ended,
        first=times[0] if times else None,
        last=times[-1] if times else None,
        prompt_tokens=prompt_tokens,
        reported=reported,
        counted=count(text),
        head=text[:HEAD_CHARS],
        error=error,
    )


def _lines(chunks: list[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """The lines with the time when each was complete."""
    rest = b""
    for came, chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield came, line
    if rest and chunks:
        yield chunks[-1][0], rest


def _problem(one: Heard) -> str:
    return f"{one.status} {b''.join(chunk for _, chunk in one.chunks)[:200].decode(errors='replace')}"
