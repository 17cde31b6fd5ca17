"""What eight clients are told while something fails, whether that is what they should be told, and how long it lasts.

Real services; the doubles stand for the models where the row does not say otherwise, so that a start is that of the
processes and not of the weights. Writes docs/reliability.md. Ends with 1 where a row is not as it should be.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.load import CLIENTS

from answerbox import __version__
from benchmarks import fault_limits, fault_parts, fault_remote, fault_slow, fault_traces
from benchmarks.fault_kit import BROKEN, Row
from benchmarks.machine import description

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"
CHAPTERS = {
    "Parts that die or hang": [fault_parts.with_folder, fault_parts.with_server, fault_parts.with_models],
    "Another server's language model": [fault_remote.with_engine],
    "Langfuse": [fault_traces.with_backend],
    "Slow clients": [fault_slow.with_slow_clients],
    "What a machine runs out of, and its clock": [
        fault_limits.with_small_disk,
        fault_limits.with_few_files,
        fault_limits.with_faked_clock,
    ],
}


def page(chapters: dict[str, list[Row]]) -> str:
    tables = "\n".join(_table(name, rows) for name, rows in chapters.items())
    return f"""# Reliability

Made by `make faults` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {description()}.
{CLIENTS} clients ask without a break before, during and after each fault: `POST /search` with both halves; where the
row says "clients ask", with another server's language model, with Langfuse and while the clock jumps `/llm_query` and
`/llm_query/stream` in turn. The models are the doubles but where a row says "real models", so a start is that of the
processes.

What they may be told is fixed before. Any other answer, an answer of another shape, half an answer sold as whole, and
a 503 without a `Retry-After` fail the run. `degraded`: 200, by words alone, and said so. `202`: a document or a
file was taken. `done` and `error` are the last events of streams. A name that ends in `Error` is a connection that
broke, `cut off` a stream that did. "As usual" (ready, and a search gives both halves or a question its whole answer)
is counted from the end of the fault.
How: `benchmarks/faults.py`; the same promises are tested in `tests/e2e/test_faults.py` and `test_stopping.py`.
{tables}

What else must be so in these rows:

- Slow senders are told 408 (of a form 504) when their time is up. {fault_slow.SLOW} slow readers take less than
  {fault_slow.GROWTH_MB:.0f} MiB of the gateway's memory.
- After the disk was full, what was acknowledged is there, and documents can be written again without a restart.
- Out of files, the gateway lives, takes less than {fault_limits.SPIN:g} of a core when nobody asks, and does not flood
  its log. Idle connections are closed after `ANSWERBOX_BODY_SILENCE_S`, {fault_limits.SILENCE_S:.0f} s here, so that
  others get in.
- Before and after the clock jumps a job ends, a deadline of a second is one, and a key with {fault_limits.PER_MINUTE}
  requests a minute gets so many and then 429 with a `Retry-After` of a minute at most.
"""


def _table(name: str, rows: list[Row]) -> str:
    lines = [_line(row) for row in rows]
    head = (
        "| fault | may be told | the clients were told | slowest answer, s | as usual after, s |\n|---|---|---|---|---|"
    )
    return "\n".join([f"\n## {name}\n", head, *lines])


def _line(row: Row) -> str:
    if row.skipped:
        return f"| {row.name} | | not tried: {row.skipped} | | |"
    told = ", ".join(f"{count} × {what}" for what, count in sorted(row.told.items()))
    wrong = f" **Not as expected: {'; '.join(row.wrong)}**" if row.wrong else ""
    back = "–" if row.back_s is None else f"{row.back_s:.1f}"
    return f"| {row.name} | {_expected(row.may)} | {told}{wrong} | {row.slowest_s:.1f} | {back} |"


def _expected(may: frozenset[str]) -> str:
    broken = ["a broken connection"] if may >= BROKEN else []
    return ", ".join([*sorted(may - BROKEN if broken else may), *broken])


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the services are stopped too
    chapters = dict[str, list[Row]]()
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, parts) in enumerate(CHAPTERS.items()):
            chapters[name] = [row for part in parts for row in part(Path(folder) / f"{number}-{part.__name__}")]
    PAGE.write_text(page(chapters), encoding="utf-8")
    wrong = [row for rows in chapters.values() for row in rows if row.wrong]
    for row in wrong:
        print("NOT AS EXPECTED", row.name, *row.wrong, sep=": ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
