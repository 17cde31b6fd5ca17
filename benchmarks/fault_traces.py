"""Langfuse, or another backend for traces, that hangs, is gone, refuses, or is slow: nobody who asks may notice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.live import serving
from tests.otlp_receiver import Receiver, otlp_receiver

from benchmarks.fault_clients import questions
from benchmarks.fault_kit import FAKES, WELL, Case, Fault, Row, answers, measure

ASKING = questions("Say it.", None)
MODES = {
    "hangs": "hang",
    "is overloaded (503)": "status:503",
    "allows no more (429)": "retryafter:60",
    "refuses the key (401)": "status:401",
    "takes a second for each batch": "slow:1",
}
LASTS_S = 10.0


def misbehaving(receiver: Receiver, mode: str) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        receiver.mode = mode
        try:
            yield
        finally:
            receiver.mode = "ok"

    return fault


def with_backend(folder: Path) -> list[Row]:
    with otlp_receiver() as receiver:
        keys = {"langfuse_public_key": "pk-lf-test", "langfuse_secret_key": "sk-lf-test"}
        with serving(folder, langfuse_base_url=receiver.url, **keys, **FAKES) as live:
            return [
                measure(
                    live,
                    Case(
                        f"Langfuse {what}, {LASTS_S:.0f} s",
                        misbehaving(receiver, mode),
                        WELL,
                        WELL,
                        LASTS_S,
                        ASKING,
                        answers(ASKING),
                    ),
                )
                for what, mode in MODES.items()
            ]
