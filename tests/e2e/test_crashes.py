"""kill -9 in the middle of ingestion loses nothing. A few rounds; `make crashes` does many."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.crashes import rounds


@pytest.mark.parametrize(("count", "aimed"), [(1, False), (1, True)], ids=["random", "while-the-index-is-written"])
def test_a_kill_in_the_middle_of_ingestion_loses_nothing(count: int, aimed: bool, tmp_path: Path) -> None:
    outcome = rounds(tmp_path, count, aimed, seed=7)
    assert outcome.wrong == []
    assert outcome.rounds == count
    assert outcome.operations["put"] > 0
