"""The process in which a package is tried: `python -m answerbox.porting.trial_child NAME EXAMPLES RESULTS`.

A line of JSON in RESULTS for the import, and one for each example: `error` or None, `seconds`, `response`.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from answerbox.porting.calling import answer_of
from answerbox.porting.notebook import RUN_MODEL


def main(name: str, examples: str, results: str) -> None:
    rows = json.loads(Path(examples).read_text(encoding="utf-8"))
    with Path(results).open("w", encoding="utf-8") as told:

        def tell(work: Callable[[], Any], shown: bool) -> Any:
            began = time.perf_counter()
            value, reason = None, None
            try:
                value = work()
                response = json.loads(json.dumps(value)) if shown else None
            except BaseException as exc:  # also what ends a process: it is the notebook's
                response, reason = None, f"{type(exc).__name__}: {exc}"
            seconds = time.perf_counter() - began
            told.write(json.dumps({"error": reason, "seconds": seconds, "response": response}) + "\n")
            told.flush()
            return value

        run_model = tell(lambda: getattr(importlib.import_module(f"{name}.pipeline"), RUN_MODEL), shown=False)
        for row in rows if run_model else []:
            tell(lambda row=row: answer_of(run_model, row["request"]), shown=True)  # type: ignore[misc]


if __name__ == "__main__":
    main(*sys.argv[1:])
