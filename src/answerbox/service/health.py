"""Whether the parts work: asked with a bound on time, and not more often than once a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from answerbox import __version__
from answerbox.contracts import DependencyHealth, Health
from answerbox.errors import AnswerboxError

log = logging.getLogger(__name__)

FRESH_S = 1.0
PROBE_TIMEOUT_S = 3.0
MISSES = 2
"""A part that worked is down after so many probes in a row without an answer: once may be a busy machine."""

Probe = Callable[[], Awaitable[dict[str, Any]]]


class HealthMonitor:
    """`warm` is set from outside, once the models have been used for the first time.

    Requests are taken while the `needed` parts work; what the others are for is left out of the answers.
    """

    def __init__(self, probes: dict[str, Probe], models: dict[str, str], needed: Collection[str]) -> None:
        self._probes = probes
        self._needed = needed
        self._models = models
        self._last: dict[str, DependencyHealth] = {}
        self._missed: Counter[str] = Counter()
        self._asked = float("-inf")
        self._asking = asyncio.Lock()
        self.warm = False

    async def ready(self) -> bool:
        return self.warm and all(part.ready for name, part in (await self._parts()).items() if name in self._needed)

    async def report(self) -> Health:
        parts = await self._parts()
        working = all(part.ready for part in parts.values())
        return Health(
            status="ok" if working and self.warm else "degraded" if self.warm else "starting",
            version=__version__,
            models=self._models,
            dependencies=parts,
        )

    async def _parts(self) -> dict[str, DependencyHealth]:
        async with self._asking:
            if time.monotonic() - self._asked > FRESH_S:
                found = await asyncio.gather(*(_ask(probe) for probe in self._probes.values()))
                self._last = {name: self._judged(name, part) for name, part in zip(self._probes, found, strict=True)}
                self._asked = time.monotonic()
        return self._last

    def _judged(self, name: str, found: DependencyHealth | None) -> DependencyHealth:
        last = self._last.get(name)
        self._missed[name] = 0 if found else self._missed[name] + 1
        if found is None:
            found = last if last and last.ready and self._missed[name] < MISSES else SILENT
        if self.warm and last and last.ready != found.ready:
            log.warning("%s %s", name, "works again" if found.ready else f"is not ready: {found.detail}")
        return found


SILENT = DependencyHealth(ready=False, detail={"code": "no_answer_in_time"})


async def _ask(probe: Probe) -> DependencyHealth | None:
    """None where there was no answer in time."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return DependencyHealth(ready=True, detail=await probe())
    except AnswerboxError as exc:
        return DependencyHealth(ready=False, detail={"code": exc.code})
    except TimeoutError:
        return None
