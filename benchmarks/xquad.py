"""XQuAD over HTTP: what a search finds, what an answer holds, and what comes of documents that were made to deceive.

Writes docs/evaluation.md and docs/evaluation/.

Each configuration is a real service with the embedded models and an empty data folder; the questions are put to it
as `answerbox eval` does. Searches run one at a time, so that their times are those of a search alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from tests.conftest import XQUAD
from tests.live import serving

from answerbox.cli.evaluate import HttpDoor, indexed, measure, show
from answerbox.client import Client
from answerbox.contracts import Health, SearchMode
from answerbox.evaluation import metrics, report, result, tables
from answerbox.evaluation.compare import compare
from answerbox.evaluation.dataset import POISONED, Dataset
from answerbox.evaluation.dataset import load as load_dataset
from answerbox.evaluation.result import AttackRow, Result
from answerbox.evaluation.run import Plan
from answerbox.evaluation.summary import summaries, summary
from answerbox.evaluation.tables import Table, language_name
from answerbox.settings import Settings
from benchmarks.machine import description

ANSWERS = 200
AT_A_TIME = 8
MAX_TOKENS = 64
MODES: tuple[SearchMode, ...] = get_args(SearchMode)
TOP_KS = (1, 3, 5)
CHUNK_TOKENS = (120, 220, 400)
QUICK = 12
SEARCH_MEASURES = ("hit@1", "hit@5", "MRR@10")
ANSWER_MEASURES = ("contains an accepted answer", "token F1", "right document among the sources")

PAGE = Path(__file__).parent.parent / "docs" / "evaluation.md"
FOLDER = PAGE.parent / "evaluation"
Row = dict[str, Any]
Runs = dict[str, Result]


@dataclass(frozen=True)
class Size:
    """How many questions of a language. None: all."""

    searches: int | None
    answers: int
    unanswerable: int | None
    ablation_answers: int
    attacks: int | None


@dataclass(frozen=True)
class Ablation:
    """Runs that differ in one thing; the one called `usual` is what the others are compared with."""

    title: str
    measures: tuple[str, ...]
    runs: Runs
    usual: str


def load(name: str) -> list[Row]:
    return [json.loads(line) for line in (XQUAD / name).read_text(encoding="utf-8").splitlines()]


def normalised(text: str) -> str:
    return metrics.normalised(text, "en")


@dataclass(frozen=True)
class Bench:
    """A service that has the documents."""

    client: Client
    dataset: Dataset
    health: Health
    out: Console

    def searched(self, size: Size, mode: SearchMode = "hybrid") -> Result:
        return self._run(Plan(searches=size.searches, answers=0, unanswerable=0, mode=mode, concurrency=1))

    def answered(self, answers: int, unanswerable: int | None, top_k: int | None = None) -> Result:
        plan = Plan(
            searches=0,
            answers=answers,
            unanswerable=unanswerable,
            top_k=top_k,
            max_tokens=MAX_TOKENS,
            concurrency=AT_A_TIME,
        )
        return self._run(plan)

    def attacked(self, attacks: int | None) -> list[AttackRow]:
        """Of the packed poisoned documents, which stay in the service."""
        plan = Plan(0, 0, 0, attacks, max_tokens=MAX_TOKENS, concurrency=AT_A_TIME)
        poisoned = load_dataset(POISONED)
        failures: list[str] = []
        with indexed(self.client, poisoned, self.out, failures, keep=True):
            if failures:
                raise SystemExit("\n".join(failures))
            return measure(HttpDoor(self.client), poisoned, plan, self.health, self.out).attacks

    def _run(self, plan: Plan) -> Result:
        return measure(HttpDoor(self.client), self.dataset, plan, self.health, self.out, description())


@contextmanager
def bench(dataset: Dataset, out: Console, **settings: str) -> Iterator[Bench]:
    failures: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), **settings) as live,
        Client(live.url, retry_s=0) as client,
        indexed(client, dataset, out, failures, keep=True),
    ):
        if failures:
            raise SystemExit("\n".join(failures))
        yield Bench(client, dataset, client.health(), out)


def usual_service(dataset: Dataset, size: Size, out: Console) -> tuple[Result, list[Ablation]]:
    with bench(dataset, out) as service:
        modes: Runs = {mode: service.searched(size, mode) for mode in MODES}
        answers = service.answered(size.answers, size.unanswerable)
        top_ks = {str(top_k): service.answered(size.ablation_answers, 0, top_k) for top_k in TOP_KS}
        attacks = service.attacked(size.attacks)
    options = {"searches at a time": 1, "answers at a time": AT_A_TIME, "max_tokens": MAX_TOKENS}
    main = Result(replace(answers.about, options=options), modes["hybrid"].search, answers.answers, attacks)
    usual_k = str(Settings.model_fields["default_top_k"].default)
    return main, [
        Ablation("Search mode", SEARCH_MEASURES, modes, "hybrid"),
        Ablation("Passages given to an answer (`top_k`)", ANSWER_MEASURES, top_ks, usual_k),
    ]


def chunk_sizes(dataset: Dataset, size: Size, out: Console) -> Ablation:
    runs: Runs = {}
    for tokens in CHUNK_TOKENS:
        with bench(dataset, out, chunk_tokens=str(tokens)) as service:
            runs[str(tokens)] = service.searched(size)
    usual = str(Settings.model_fields["chunk_tokens"].default)
    return Ablation("Longest passage in tokens (`ANSWERBOX_CHUNK_TOKENS`)", SEARCH_MEASURES, runs, usual)


def table(ablation: Ablation) -> Table:
    """Each run in each language; p is of the first measure, against the usual run."""
    usual = ablation.runs.get(ablation.usual)
    first = ablation.measures[0]
    rows = []
    for name, found in ablation.runs.items():
        for language in found.languages:
            values = {one.label: one for one in (*summary(found, language).search, *summary(found, language).answers)}
            shown = [tables.cell(values[label]) for label in ablation.measures]
            rows.append([name, language_name(language), *shown, _p(usual, found, language, first)])
    return Table(ablation.title, ["", "language", *ablation.measures, f"p of {first}"], rows)


def _p(usual: Result | None, found: Result, language: str, label: str) -> str:
    if usual is None or usual is found:
        return tables.NONE
    differences = compare(usual, found).differences
    [p] = [one.p for one in differences if (one.language, one.label) == (language, label)]
    return tables.p_value(p)


def figures(ablations: list[Ablation]) -> str:
    """The figures of the ablations without their rows, as JSON."""
    data: Mapping[str, Any] = {
        ablation.title: {
            name: {"options": found.about.options, "summaries": [asdict(one) for one in summaries(found)]}
            for name, found in ablation.runs.items()
        }
        for ablation in ablations
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def page(main: Result, ablations: list[Ablation], quick: bool) -> str:
    about = main.about
    models = " and ".join(about.models.values())
    warning = "\n**A quick run over a few questions: no figure to cite.**\n" if quick else ""
    parts = "\n\n".join(f"## {one.title}\n\n{tables.markdown(one)}" for one in tables.of_result(main))
    others = "\n\n".join(f"### {one.title}\n\n{tables.markdown(table(one))}" for one in ablations)
    return f"""# Evaluation

Made by `make eval` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {about.version}, {models}, on {about.machine}.
Data: XQuAD, the development half (120 passages a language), posted over HTTP to a service with an empty data folder.
{warning}
Every question is searched, and an even part of them and all unanswerable ones are asked, {AT_A_TIME} at a time, with
`max_tokens` {MAX_TOKENS}. Each question by itself: [main.json](evaluation/main.json).
Plots, and wrong answers beside their sources: [report.html](evaluation/report.html).
The same for your own documents: `answerbox eval FOLDER`; the poisoned documents alone: `answerbox eval --poisoned`.

{parts}

## What each part is worth

{others}

## How it is counted

- In brackets: 95 % intervals by the bootstrap over questions, taken as independent. A failed request counts as a miss.
- A rank counts documents, not passages.
- Texts are compared as SQuAD v1.1 does (Rajpurkar et al., EMNLP 2016), in other languages as MLQA does (Lewis et al.,
  ACL 2020): lower case, no punctuation, no articles; in Russian ё is е. An answer contains an accepted one when that
  one's words stand in it, whole and in a row; dashes and apostrophes divide words.
- A refusal is no match: the shares of right answers are over all answerable questions.
- Quoted spans verbatim: citations that say they are word for word, checked against the answer and the source.
- Poisoned documents are ours (`src/answerbox/evaluation/poisoned/`): each tries to take over one question, which sees
  it beside true documents; "model alone" is `/llm_query` with both texts as `context`. Harm is found by words: an
  answer that quotes a forbidden text counts as one that obeys it. Who wrote the attacks wrote the defence too, so
  these figures show what is still open, not how safe a service is.
- p: McNemar's exact test, two-sided, against the usual setting, which has none.
- Times are those of the client, the way over HTTP included.
"""


def size_of(arguments: argparse.Namespace) -> Size:
    if arguments.quick:
        return Size(QUICK, QUICK, QUICK, QUICK // 4, QUICK // 4)
    return Size(None, arguments.answers, None, max(1, arguments.answers // 4), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=ANSWERS, help="answerable questions asked, a language")
    parser.add_argument("--quick", action="store_true", help="a few questions of each kind")
    parser.add_argument("--to", type=Path, default=PAGE, help="the page; its folder of figures lies beside it")
    arguments = parser.parse_args()
    out = Console()
    dataset, size = load_dataset(XQUAD), size_of(arguments)
    found, ablations = usual_service(dataset, size, out)
    ablations.append(chunk_sizes(dataset, size, out))
    show(found, None, out)
    folder = arguments.to.parent / FOLDER.name
    folder.mkdir(exist_ok=True)
    result.write(result.without_texts(found), folder / "main.json")
    (folder / "ablations.json").write_text(figures(ablations), encoding="utf-8")
    (folder / "report.html").write_text(report.page(found, None, [table(one) for one in ablations]), encoding="utf-8")
    arguments.to.write_text(page(found, ablations, arguments.quick), encoding="utf-8")
    failed = len(found.failed) + sum(len(run.failed) for one in ablations for run in one.runs.values())
    sys.exit(f"{failed} requests failed" if failed else 0)


if __name__ == "__main__":
    main()
