"""The plot of a run, throughput and time to first token by concurrency. Runs in .venv-bench, which has matplotlib.

Run as `python -m benchmarks.speed.plot FIGURES.json PLOT.svg`; the figures come from `page.py`.
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "answerbox"  # the same figures make the same file

from matplotlib import pyplot as plt  # noqa: E402 (after the choice of a backend)
from matplotlib.ticker import LogLocator  # noqa: E402

AXES = {"tokens_per_s": "tokens per second", "to_first_p95": "time to first token, p95, seconds"}


def draw(series: list[dict[str, Any]], target: Path) -> None:
    figure, axes = plt.subplots(1, len(AXES), figsize=(11, 4.2))
    for axis, (name, label) in zip(axes, AXES.items(), strict=True):
        levels = sorted({level for system in series for level in system["levels"]})
        for system in series:
            heavy = {"linewidth": 2.6, "zorder": 3} if system["key"] == "a" else {"linewidth": 1.4}
            axis.plot(system["levels"], system[name], marker="o", label=f"{system['key']}: {system['title']}", **heavy)
        axis.set_xscale("log", base=2)
        axis.set_xticks(levels, [str(level) for level in levels])
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_minor_formatter("")
        axis.set_xlabel("requests at a time")
        axis.set_title(label)
        axis.grid(alpha=0.3, which="both")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
