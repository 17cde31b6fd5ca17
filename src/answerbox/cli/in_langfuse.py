"""An evaluation that is kept where models are compared, besides its own report and never instead of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console

from answerbox.errors import AnswerboxError
from answerbox.evaluation.experiment import Experiment, Keeper, Kept, experiments, run_name
from answerbox.evaluation.result import Result


@dataclass(frozen=True)
class InLangfuse:
    """Where (`make` makes it, in an event loop), and under which names where they are not the usual ones.

    `dataset` takes the place of the data set's name; the language follows it. `run` is the experiment's name.
    """

    make: Callable[[], Keeper]
    dataset: str | None = None
    run: str | None = None

    def look(self, out: Console) -> None:
        """Says at once what would be known only after the last question; the run goes on."""
        try:
            asyncio.run(self._check())
        except AnswerboxError as exc:
            _say(f"Langfuse may get nothing of this run: {exc}", out, "yellow")

    def keep(self, found: Result, out: Console) -> list[str]:
        """Returns what went wrong; shows the rest."""
        name = self.run or run_name(found.about, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        wanted = experiments(found, self.dataset or found.about.dataset, name)
        if not wanted:
            return ["nothing is in Langfuse: no question was asked for an answer"]
        with out.status("sending it to Langfuse"):
            ends = asyncio.run(self._keep(wanted))
        failures: list[str] = []
        for experiment, kept in zip(wanted, ends, strict=True):
            _say(_told(experiment, kept), out)
            failures += [f"not all of {experiment.dataset} is in Langfuse: {reason}" for reason in kept.failures]
        return failures

    async def _check(self) -> None:
        keeper = self.make()
        try:
            await keeper.check()
        finally:
            await keeper.close()

    async def _keep(self, wanted: list[Experiment]) -> list[Kept]:
        keeper = self.make()
        try:
            return [await keeper.keep(experiment) for experiment in wanted]
        finally:
            await keeper.close()


def _told(experiment: Experiment, kept: Kept) -> str:
    asked, scores = len(experiment.tries), sum(len(tried.scores) for tried in experiment.tries)
    return (
        f"Langfuse, dataset {experiment.dataset}, run {experiment.name}: {kept.items} of {asked} questions "
        f"({kept.added} new or changed), {kept.answers} of {asked} answers, {kept.scores} of {scores} scores"
        + (f": {kept.url}" if kept.url else ".")
    )


def _say(line: str, out: Console, style: str | None = None) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True, style=style)
