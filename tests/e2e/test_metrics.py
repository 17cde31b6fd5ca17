"""The metrics of a loaded service, read by a real Prometheus: panels draw, rules run, every alert can fire."""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.live import Live, wait_until
from tests.prometheus_server import Prometheus, needs_prometheus, scraping

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
RULE_TESTS = sorted(RULES.parent.glob("*.test.yml"))
DASHBOARD = ROOT / "deploy" / "grafana" / "answerbox.json"
RUNBOOK = ROOT / "docs" / "runbook.md"
FIGURES_S = 12.0
"""Longest wait for what services report every few seconds."""
SCRAPE_S = 2.0
"""Of a scrape, also on a machine that has other things to do; `docs/observability.md` has what it usually takes."""

QUESTION = "Which fruit is yellow, grows in the tropics and is eaten by everybody?"


def rules(kind: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def panels() -> dict[str, list[str]]:
    """The queries of each panel, as Grafana would send them."""
    found = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    return {panel["title"]: [_filled(target["expr"]) for target in panel["targets"]] for panel in found}


def _filled(expression: str) -> str:
    filled = expression.replace("$__rate_interval", "1m")
    assert "$" not in filled
    return filled


@pytest.fixture(scope="module")
def loaded(fakes: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen the service answer all sorts of requests: some before and some between its scrapes."""
    ask_all_sorts(fakes)
    with scraping(tmp_path_factory.mktemp("prometheus"), fakes.url.removeprefix("http://"), RULES) as prometheus:
        before = wait_until(lambda: prometheus.scrapes, FIGURES_S, "a scrape")
        ask_all_sorts(fakes)
        wait_until(lambda: prometheus.scrapes >= before + 2, FIGURES_S, "scrapes of what was asked")
        yield prometheus


def ask_all_sorts(live: Live) -> None:
    live.index(
        [{"id": "fruit", "text": "Bananas are yellow fruit. They grow in the tropics, and everybody eats them."}]
    )
    with live.client() as client:
        for path in ("/llm_query", "/rag_query", "/llm_query/stream", "/rag_query/stream"):
            assert client.post(path, json={"question": QUESTION}).status_code == 200
        assert client.post("/search", json={"query": "banana"}).status_code == 200
        assert client.post("/llm_query", json={}).status_code == 422
        assert client.get("/documents").status_code == 200
        for number in range(50):
            assert client.get(f"/nowhere/{number}").status_code == 404
        with client.stream("POST", "/llm_query/stream", json={"question": "a word " * 200}) as left:
            next(left.iter_text())


@needs_prometheus
def test_every_panel_of_the_dashboard_draws(loaded: Prometheus) -> None:
    silent = {(title, query) for title, queries in panels().items() for query in queries}

    def all_draw() -> bool:
        silent.difference_update({panel for panel in silent if drawn(panel[1])})
        return not silent

    def drawn(query: str) -> bool:
        return any(not math.isnan(value) for value in loaded.values(query))

    with contextlib.suppress(AssertionError):
        wait_until(all_draw, FIGURES_S, "every panel has data")
    assert silent == set()


@needs_prometheus
def test_every_rule_runs_and_no_alert_fires_on_a_service_that_works(loaded: Prometheus) -> None:
    def recorded() -> bool:
        return all(loaded.values(rule["record"]) for rule in rules("record"))

    wait_until(recorded, FIGURES_S, "every recording rule has a value")
    for rule in rules("alert"):
        loaded.values(rule["expr"])
    groups = loaded.get("rules")["groups"]
    assert [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"] == []
    assert [alert["labels"] for alert in loaded.get("alerts")["alerts"] if alert["state"] == "firing"] == []


@needs_prometheus
def test_every_alert_has_a_test_that_makes_it_fire_and_one_that_does_not() -> None:
    tests = [test for file in RULE_TESTS for test in yaml.safe_load(file.read_text())["tests"]]
    checks = [check for test in tests for check in test["alert_rule_test"]]
    names = {rule["alert"] for rule in rules("alert")}
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == names
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == names
    done = subprocess.run(["promtool", "test", "rules", *RULE_TESTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_the_configuration_and_the_names_are_as_prometheus_wants_them(fakes: Live) -> None:
    for command, given in (
        (["check", "config", "prometheus.yml"], ""),
        (["check", "metrics"], _ours(fakes.get("/metrics").text)),
    ):
        done = subprocess.run(
            ["promtool", *command], cwd=RULES.parent, input=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _ours(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if "answerbox_" in line)


def test_every_alert_says_how_bad_it_is_and_has_a_section_in_the_runbook() -> None:
    sections = set(re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    alerts = {rule["alert"]: rule for rule in rules("alert")}
    assert sections == set(alerts)
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"


def test_the_gateway_has_the_figures_of_all_services(fakes: Live) -> None:
    services = {"Answerbox", "Embedder", "Engine", "Generator", "Index"}

    def shown() -> set[str]:
        return set(re.findall(r'answerbox_process_threads{service="(\w+)"}', fakes.get("/metrics").text))

    wait_until(lambda: shown() == services, FIGURES_S, "figures of every service")


def test_a_scan_of_paths_adds_nothing_to_what_a_scrape_reads(fakes: Live) -> None:
    def names(client: httpx.Client) -> set[str]:
        text = client.get("/metrics").text
        return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}

    with fakes.client() as client:
        client.get("/not/there")
        client.get("/metrics")
        before = names(client)
        for number in range(100):
            client.get(f"/scan/{number}")
            client.get(f"/documents/{number}")
        began = time.monotonic()
        grown = names(client) - before
        assert time.monotonic() - began < SCRAPE_S
    assert not [name for name in grown if "scan" in name or re.search(r"documents/\d", name)]
    assert len(grown) < 100
