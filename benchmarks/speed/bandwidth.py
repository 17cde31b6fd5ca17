"""How fast this machine reads memory: the limit of any model whose weights are read once for each token.

Run as `python -m benchmarks.speed.bandwidth`: prints GB/s by number of threads, as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from benchmarks import machine, processes

BYTES = 2**30
"""Much more than any cache holds."""

PASSES = 15


def measured() -> dict[str, float]:
    """By threads, in a process of its own, so that the memory is given back."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.bandwidth"],
        cwd=processes.ROOT,
        env=processes.environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return dict(json.loads(done.stdout))


def _read() -> dict[str, float]:
    import torch

    buffer = torch.ones(BYTES // 8, dtype=torch.int64)
    found = {}
    for threads in sorted({1, machine.cores()}):
        torch.set_num_threads(threads)
        took = []
        for _ in range(PASSES):
            began = time.perf_counter()
            buffer.sum()
            took.append(time.perf_counter() - began)
        found[str(threads)] = BYTES / statistics.median(took) / 1e9
    return found


if __name__ == "__main__":
    print(json.dumps(_read()))
