"""What a row of `faults.py` is made of: a fault, what eight clients may be told, and when all is as usual again."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import httpx
from tests.live import Live, wait_until
from tests.load import CLIENTS, Ask, Clients, usual

from benchmarks.fault_clients import searching

FAKES = {"generator_model": "fake", "embedder_model": "fake"}
TEXTS = [{"id": f"d{number}", "text": f"Bread number {number} is baked at six."} for number in range(50)]
BACK_S = 120.0

Fault = Callable[[], AbstractContextManager[None]]
"""Raises AssertionError for what it sees go wrong by itself."""

WELL = frozenset({"200", "done"})
SEARCHED = frozenset({"200", "degraded"})
NO_INDEX = frozenset({"503 index_unavailable", "503 not_ready"})
NO_ENGINE = frozenset({"503 generator_unavailable", "error generator_unavailable"})
BROKEN = frozenset({"ConnectError", "ReadError", "WriteError", "RemoteProtocolError", "cut off"})
"""How connections to a process that is dead break."""


@dataclass(frozen=True)
class Case:
    """A fault that `lasts_s`, and what the clients may be told: `may`, and at least once one of `must`."""

    name: str
    fault: Fault
    may: frozenset[str]
    must: frozenset[str] = frozenset()
    lasts_s: float = 0.0
    ask: Ask = searching
    usual: Callable[[Live], bool] = usual


@dataclass
class Row:
    """`back_s` is counted from the end of the fault; `wrong` is empty where all was as expected."""

    name: str
    may: frozenset[str]
    told: Counter[str]
    slowest_s: float
    back_s: float | None
    wrong: list[str] = field(default_factory=list)
    skipped: str = ""


def measure(live: Live, case: Case) -> Row:
    """Clients ask before, during and after the fault."""
    wrong, back = list[str](), None
    with Clients(live, case.ask) as crowd:
        wait_until(lambda: sum(crowd.told[what] for what in WELL) > CLIENTS, 60, f"answers before {case.name}")
        crowd.forget()
        try:
            with case.fault():
                threading.Event().wait(case.lasts_s)
            ended = time.monotonic()
            wait_until(lambda: is_ready(live) and case.usual(live), BACK_S, "as usual again")
            back = time.monotonic() - ended
        except AssertionError as exc:
            wrong.append(str(exc).partition("\n")[0])
    row = Row(case.name, case.may | case.must, crowd.told, crowd.slowest_s, back, wrong + _unexpected(case, crowd.told))
    print(row, flush=True)
    return row


def skipped(name: str, reason: str) -> Row:
    row = Row(name, frozenset(), Counter(), 0.0, None, skipped=reason)
    print(row, flush=True)
    return row


def is_ready(live: Live) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return live.get("/readyz").status_code == 200
    return False


def answers(ask: Ask) -> Callable[[Live], bool]:
    """Whether a question is answered as it should."""

    def usual_again(live: Live) -> bool:
        with live.client(30) as client, contextlib.suppress(httpx.HTTPError):
            return ask(client) in WELL
        return False

    return usual_again


def _unexpected(case: Case, heard: Counter[str]) -> list[str]:
    wrong = [f"{count} × {what}" for what, count in heard.items() if what not in case.may | case.must]
    if case.must and not any(heard[what] for what in case.must):
        wrong.append(f"nobody was told {' or '.join(sorted(case.must))}")
    return wrong
