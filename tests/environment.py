"""What the settings say of an environment that a file for deployment gives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from answerbox.errors import SetupError
from answerbox.settings import PREFIX, Settings, load_settings, variable

KNOWN = frozenset(variable(name) for name in Settings.model_fields)


def faults(given: Mapping[str, str]) -> Iterator[str]:
    """Variables that are no settings, values that are refused, and what is not fit for production."""
    yield from (f"{name} is no setting" for name in sorted(given) if name.startswith(PREFIX) and name not in KNOWN)
    with _environment(given):
        try:
            settings = load_settings()
        except SetupError as exc:
            yield str(exc)
            return
    if settings.env != "production":
        yield "these are not the settings of production"


@contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(given)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
