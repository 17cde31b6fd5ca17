"""Writes the table of the metrics in docs/observability.md: `python -m answerbox.service.metrics_table FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from answerbox.service import metrics

BEGIN, END = "<!-- metrics -->\n", "<!-- end of the metrics -->\n"


def table() -> str:
    """A row for each metric, in the order of `metrics.py`."""
    found = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
    rows = ["| name | type | labels | meaning |", "|---|---|---|---|", *map(_row, found)]
    return "\n".join(rows) + "\n"


def filled(page: str) -> str:
    """The page with the table between the two marks."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def _row(metric: MetricWrapperBase) -> str:
    [described] = metric.describe()
    name = described.name + ("_total" if described.type == "counter" else "")
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{name}` | {described.type} | {labels} | {described.documentation} |"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(filled(path.read_text()))
