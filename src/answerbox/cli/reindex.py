"""All vectors made anew by a running service, with a progress bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress

from answerbox.client import Client

POLL_S = 0.5


def reindex(client: Client, out: Console) -> bool:
    """Whether it failed. Raises: AnswerboxError."""
    job = client.reindex()
    with Progress(console=out, transient=True) as progress:
        bar = progress.add_task("making vectors", total=None)
        job = client.wait(
            job,
            poll_s=POLL_S,
            watch=lambda now: progress.update(bar, total=now.total or None, completed=now.done),
        )
    for error in job.errors:
        out.print(f"failed: {error.message}", markup=False, style="red")
    out.print(f"{job.done} of {job.total} passages have vectors of the present model")
    return job.status != "succeeded"
