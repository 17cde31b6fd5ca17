"""Shared by all tests. A folder is a marker: tests in `tests/e2e` are `e2e`, and run last."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import OURS, Live, serving

FOLDERS = ("unit", "ports", "http", "e2e")
XQUAD = Path(os.environ.get("ANSWERBOX_XQUAD", Path(__file__).parents[2] / "shared" / "data" / "xquad"))


def pytest_configure(config: pytest.Config) -> None:
    for folder in FOLDERS:
        config.addinivalue_line("markers", f"{folder}: tests in tests/{folder}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in FOLDERS:
            item.add_marker(folder)
    items.sort(key=lambda item: FOLDERS.index(item.path.relative_to(Path(__file__).parent).parts[0]))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Of a job in the background; what tests start would inherit it, and take no Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's own shell reaches a test."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def xquad() -> Path:
    if not XQUAD.is_dir():
        pytest.skip(f"no XQuAD data in {XQUAD}; ANSWERBOX_XQUAD says where it is")
    return XQUAD


@pytest.fixture(scope="session")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service with the deterministic doubles: 20 ms a token, so that a stream can be watched."""
    with serving(
        tmp_path_factory.mktemp("fakes"),
        generator_model="fake",
        embedder_model="fake",
        fake_token_delay_s="0.02",
        stream_heartbeat_s="1",
        generator_queue_wait_s="120",  # on a machine with other work a burst would be refused, rightly
    ) as live:
        yield live


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service with the embedded models."""
    with serving(tmp_path_factory.mktemp("real")) as live:
        yield live
