"""`answerbox eval --langfuse` over real HTTP, between a small service and what takes Langfuse's place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from answerbox.cli.main import app
from answerbox.errors import SetupError
from answerbox.evaluation import result
from tests.live import free_port
from tests.otlp_receiver import Receiver, otlp_receiver
from tests.unit.evaluation.kit import good_door
from tests.unit.evaluation.stub import Served

SECRET = "sk-lf-very-secret"


@pytest.fixture
def langfuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with otlp_receiver() as made:
        monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-1")
        monkeypatch.setenv("LANGFUSE_SECRET_KEY", SECRET)
        monkeypatch.setenv("LANGFUSE_BASE_URL", made.url)
        yield made


def evaluated(served: Served, folder: Path, *options: str | Path) -> Result:
    arguments = ["eval", str(folder), "--url", served.url, "--langfuse", *map(str, options)]
    done = CliRunner().invoke(app, arguments)
    assert SECRET not in done.output
    return done


def lines(done: Result, start: str) -> list[str]:
    return [line for line in done.output.splitlines() if line.startswith(start)]


def test_a_run_is_kept_as_an_experiment_for_each_language(served: Served, folder: Path, langfuse: Receiver) -> None:
    done = evaluated(served, folder)
    assert done.exit_code == 0, done.output
    english, russian = lines(done, "Langfuse, dataset ")
    assert english.startswith("Langfuse, dataset tiny-en, run double 2")
    assert ": 3 of 3 questions (3 new or changed), 3 of 3 answers, 19 of 19 scores: http" in english
    assert "tiny-ru" in russian
    assert "hit@10" in done.output
    assert len(langfuse.datasets.items) == len(langfuse.spans) == 4


def test_the_answers_steps_stand_below_the_item(
    served: Served, folder: Path, langfuse: Receiver, tmp_path: Path
) -> None:
    done = evaluated(served, folder, "--json", tmp_path / "result.json")
    assert done.exit_code == 0, done.output
    rows = {row.trace_id for row in result.read(tmp_path / "result.json").answers}
    assert rows == set(langfuse.traces())
    assert len(rows) == 4


def test_a_second_model_has_the_same_questions_and_another_run(
    served: Served, folder: Path, langfuse: Receiver
) -> None:
    assert evaluated(served, folder, "--langfuse-run", "first").exit_code == 0
    done = evaluated(served, folder, "--langfuse-run", "second")
    assert "run second: 3 of 3 questions (0 new or changed)" in done.output
    names = {span.attributes["langfuse.experiment.name"] for span in langfuse.spans}
    assert (names, len(langfuse.datasets.items)) == ({"first", "second"}, 4)


def test_the_dataset_may_have_another_name(served: Served, folder: Path, langfuse: Receiver) -> None:
    assert evaluated(served, folder, "--langfuse-dataset", "звери / тест").exit_code == 0
    assert set(langfuse.datasets.sets) == {"звери / тест-en", "звери / тест-ru"}
    assert "(0 new or changed)" in evaluated(served, folder, "--langfuse-dataset", "звери / тест").output


def test_a_question_that_failed_is_kept_with_the_trace_of_its_failure(
    served: Served, folder: Path, langfuse: Receiver, tmp_path: Path
) -> None:
    served.stub.door = replace(good_door(), broken=frozenset({"What does the zebra wear?"}))
    done = evaluated(served, folder, "--json", tmp_path / "result.json")
    assert done.exit_code == 1
    failed = [row for row in result.read(tmp_path / "result.json").answers if row.error]
    assert [row.question for row in failed] == ["What does the zebra wear?"]
    assert failed[0].trace_id
    [span] = langfuse.traces()[failed[0].trace_id]
    assert span.status == (2, "overloaded")
    assert "3 of 3 answers" in done.output


@pytest.mark.parametrize(
    ("mode", "words"), [("status:401", "HTTP 401. Check LANGFUSE_PUBLIC_KEY"), ("status:500", "HTTP 500.")]
)
def test_the_report_is_there_whatever_becomes_of_langfuse(
    served: Served, folder: Path, langfuse: Receiver, tmp_path: Path, mode: str, words: str
) -> None:
    langfuse.mode = mode
    done = evaluated(served, folder, "--json", tmp_path / "result.json", "--html", tmp_path / "report.html")
    assert done.exit_code == 1
    [warned] = lines(done, "Langfuse may get nothing of this run: ")
    assert words in warned
    failures = lines(done, "failed: not all of tiny-")
    assert len(failures) == 2
    assert all(words in line for line in failures)
    assert "hit@10" in done.output
    assert len(result.read(tmp_path / "result.json").answers) == 4
    assert (tmp_path / "report.html").exists()


def test_a_langfuse_that_is_not_there_costs_the_report_nothing(
    served: Served, folder: Path, langfuse: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFUSE_BASE_URL", f"http://127.0.0.1:{free_port()}")
    done = evaluated(served, folder)
    assert done.exit_code == 1
    assert "failed: not all of tiny-en is in Langfuse: Langfuse cannot be reached" in done.output
    assert langfuse.requests == []


@pytest.mark.parametrize("name", ["LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"])
def test_without_both_keys_nothing_is_asked(
    served: Served, folder: Path, langfuse: Receiver, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    done = evaluated(served, folder)
    assert isinstance(done.exception, SetupError)
    assert "Set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY" in str(done.exception)
    assert served.stub.indexed == []
    assert langfuse.requests == []


def test_names_without_langfuse_are_a_mistake(served: Served, folder: Path) -> None:
    done = CliRunner().invoke(app, ["eval", str(folder), "--url", served.url, "--langfuse-run", "first"])
    assert done.exit_code == 2
    assert "go with --langfuse" in done.output
    assert served.stub.indexed == []
