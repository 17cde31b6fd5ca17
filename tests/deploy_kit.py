"""What the tests of `deploy/` share: how a file there is read, and whether Answerbox would take its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from answerbox.settings import Settings, load_settings, variable
from tests.live import OURS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
CHAINED_STOP_S = 15.0
"""What a stop may take beyond ANSWERBOX_SHUTDOWN_S (`answerbox serve`)."""


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def settings(environment: Mapping[str, str]) -> Settings:
    """As a service with these variables would have them. One that is no setting fails, as does a wrong value."""
    ours = {name: value for name, value in environment.items() if name.startswith(OURS)}
    known = {variable(name) for name in Settings.model_fields}
    assert set(ours) <= known, f"no settings: {set(ours) - known}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ours.items():
            patch.setenv(name, value)
        return load_settings()


def longest_stop_s(environment: Mapping[str, str]) -> float:
    """Within which a service with these variables ends after SIGTERM, seconds."""
    return settings(environment).shutdown_s + CHAINED_STOP_S
