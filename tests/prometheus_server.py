"""A real Prometheus for the tests: it scrapes one address, and answers queries."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live import free_port, wait_until

START_LIMIT_S = 20.0
STOP_LIMIT_S = 10.0
BINARIES = ("prometheus", "promtool")
needs_prometheus = pytest.mark.skipif(
    not all(map(shutil.which, BINARIES)),
    reason="prometheus and promtool are not installed (Debian: apt-get install prometheus)",
)


@dataclass(frozen=True)
class Prometheus:
    client: httpx.Client

    def get(self, path: str, **query: str) -> Any:
        answer = self.client.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def values(self, expression: str) -> list[float]:
        """Of every series that the expression has now."""
        data = self.get("query", query=expression)
        assert data["resultType"] == "vector", expression
        return [float(series["value"][1]) for series in data["result"]]

    @property
    def scrapes(self) -> float:
        """That worked."""
        return sum(self.values("sum_over_time(up[1h])"))


@contextmanager
def scraping(folder: Path, address: str, rules: Path) -> Iterator[Prometheus]:
    """Scrapes `host:port` and evaluates the rules every two seconds until the block ends."""
    config = folder / "prometheus.yml"
    config.write_text(json.dumps(_config(address, rules)))  # JSON is YAML, too
    port = free_port()
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *arguments], stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until(lambda: _is_ready(client), START_LIMIT_S, "Prometheus is ready")
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_S)


def _config(address: str, rules: Path) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "answerbox", "static_configs": [{"targets": [address]}]}],
    }


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False
