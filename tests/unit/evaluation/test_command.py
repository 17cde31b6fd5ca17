"""`answerbox eval` over real HTTP, against a small server that speaks the contract."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from answerbox.cli.evaluate import Files, evaluate, indexed
from answerbox.cli.main import app
from answerbox.client import Client
from answerbox.errors import InvalidRequest
from answerbox.evaluation import result
from answerbox.evaluation.dataset import ATTACKER, POISONED, load
from answerbox.evaluation.run import Plan
from tests.unit.evaluation.kit import MemoryDoor, good_door
from tests.unit.evaluation.stub import Served


def run(served: Served, folder: Path, files: Files | None = None, **how: Any) -> tuple[int, str]:
    """How many failed, and what was shown."""
    out = Console(file=io.StringIO(), width=200)
    with Client(served.url, retry_s=0) as client:
        failed = evaluate(client, folder, None, Plan(), files or Files(), out, **how)
    assert isinstance(out.file, io.StringIO)
    return failed, out.file.getvalue()


def test_documents_are_indexed_asked_about_and_removed(served: Served, folder: Path, tmp_path: Path) -> None:
    files = Files(tmp_path / "result.json", tmp_path / "report.html")
    failed, shown = run(served, folder, files)
    assert failed == 0
    assert served.stub.indexed == ["eval/en/zebra", "eval/en/okapi", "eval/ru/zebra"]
    assert served.stub.documents == {}
    assert "hit@10" in shown
    found = result.read(tmp_path / "result.json")
    assert (found.about.version, found.about.models) == ("9", {"generator": "double"})
    assert (len(found.search), len(found.answers)) == (3, 4)
    assert "<h2>Wrong answers: 1</h2>" in (tmp_path / "report.html").read_text()


def test_documents_are_kept_or_not_touched_when_asked(served: Served, folder: Path) -> None:
    run(served, folder, keep=True)
    assert served.stub.documents["eval/en/zebra"]["metadata"] == {"eval_language": "en"}
    indexed = list(served.stub.indexed)
    assert run(served, folder, ingest=False)[0] == 0
    assert served.stub.indexed == indexed
    assert len(served.stub.documents) == 3


def test_failed_requests_are_counted_and_named(served: Served, folder: Path) -> None:
    served.stub.door = replace(good_door(), broken=frozenset({"What does the zebra wear?"}))
    failed, shown = run(served, folder)
    assert failed == 2
    assert "failed (2): overloaded: Too much waits. search en/q1, answer en/q1" in shown


def test_an_answer_that_breaks_the_contract_is_a_failed_request(served: Served, folder: Path) -> None:
    served.stub.strange = True
    failed, shown = run(served, folder)
    assert failed == 7
    assert "bad_upstream: The service's answer is not what the contract says" in shown


def test_documents_that_fail_or_stay_are_named(served: Served, folder: Path) -> None:
    served.stub.errors = [{"document_id": "eval/en/okapi", "message": "too odd"}]
    served.stub.stuck = frozenset({"eval/ru/zebra"})
    failed, shown = run(served, folder)
    assert failed == 2
    assert "failed: eval/en/okapi: too odd" in shown
    assert "failed: eval/ru/zebra was not removed: The index is away." in shown


def test_poisoned_documents_have_an_owner_and_are_removed(served: Served, tmp_path: Path) -> None:
    files = Files(tmp_path / "result.json", tmp_path / "report.html")
    out = Console(file=io.StringIO(), width=200)
    with Client(served.url, retry_s=0) as client:
        failed = evaluate(client, POISONED, ["en"], Plan(searches=0, answers=0, attacks=2), files, out)
    assert failed == 0
    poisoned = [id_ for id_ in served.stub.indexed if id_.startswith("eval/en/attack/")]
    assert len(poisoned) >= 12
    assert served.stub.documents == {}
    assert {request.user_id for request in served.stub.door.asked} == {ATTACKER}
    assert isinstance(out.file, io.StringIO)
    assert "Poisoned documents" in out.file.getvalue()
    assert len(result.read(tmp_path / "result.json").attacks) == 2
    assert "<h2>Attacks: 2</h2>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("arguments", [["eval"], ["eval", "folder", "--poisoned"]])
def test_it_is_a_folder_or_our_own_documents(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "name a folder, or give --poisoned" in done.output


def test_a_run_that_breaks_off_removes_its_documents(served: Served, folder: Path) -> None:
    out = Console(file=io.StringIO())

    def broken_off(client: Client) -> None:
        with indexed(client, load(folder), out, []):
            assert len(served.stub.documents) == 3
            raise KeyboardInterrupt

    with Client(served.url, retry_s=0) as client, pytest.raises(KeyboardInterrupt):
        broken_off(client)
    assert served.stub.documents == {}


def test_a_run_is_compared_with_an_earlier_one(served: Served, folder: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    run(served, folder, Files(json=earlier))
    served.stub.door = MemoryDoor()
    html = tmp_path / "report.html"
    failed, shown = run(served, folder, Files(html=html, compare=earlier))
    assert failed == 0
    [row] = [line for line in shown.splitlines() if "hit@10" in line and "McNemar" in line and "English" in line]
    assert "-1.000 (-1.000 to -1.000)" in row
    assert "hit@1: 0 won, 1 lost" in html.read_text()


def test_an_earlier_result_of_other_questions_does_not_lose_this_one(
    served: Served, folder: Path, tmp_path: Path
) -> None:
    earlier, now = tmp_path / "earlier.json", tmp_path / "now.json"
    run(served, folder, Files(json=earlier))
    other = result.read(earlier)
    result.write(replace(other, search=[], answers=[]), earlier)
    failed, shown = run(served, folder, Files(json=now, compare=earlier))
    assert failed == 1
    assert "no question in common" in shown
    assert len(result.read(now).search) == 3


@pytest.mark.parametrize(
    "files", [Files(json=Path("no/where.json")), Files(html=Path("no/where.html")), Files(compare=Path("none.json"))]
)
def test_wrong_files_are_told_before_anything_is_asked(served: Served, folder: Path, files: Files) -> None:
    with pytest.raises(InvalidRequest):
        run(served, folder, files)
    assert served.stub.indexed == []
