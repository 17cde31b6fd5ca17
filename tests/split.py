"""The parts as services of their own, as in a cluster: each with a port, a home and a working folder of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.live import Live, start, stop

MODULE = "answerbox.service"
GATEWAY = "Answerbox"
NEEDS: Mapping[str, tuple[str, ...]] = {"Embedder": (), "Generator": (), "Index": ("Embedder",)}
"""Each part, and whom it asks. The gateway asks all of them."""


@dataclass
class Split:
    """`parts` are by their names; the gateways are `Answerbox-1` and so on."""

    folder: Path
    settings: Mapping[str, str]
    parts: dict[str, Live] = field(default_factory=dict)

    def start(self, name: str, port: str | None = None) -> Live:
        """Waits until it is ready; one that was there before gets its port and its folder."""
        service = name.partition("-")[0]
        needs = NEEDS.get(service, tuple(NEEDS))
        urls = {f"{need.lower()}_url": self.parts[need].url for need in needs}
        self.parts[name] = start(self.folder / name, f"{MODULE}:{service}", port=port, **self.settings, **urls)
        return self.parts[name]

    def stop(self, name: str) -> None:
        stop(self.parts[name].process)

    def kill(self, name: str) -> None:
        """All of its processes, at once, as when its machine is lost. One that is dead already may be killed again."""
        self.signal(name, signal.SIGKILL)
        self.parts[name].process.wait()

    def signal(self, name: str, number: int) -> None:
        """To all of its processes."""
        if self.parts[name].process.poll() is None:
            whole = psutil.Process(self.parts[name].process.pid)
            for process in (whole, *whole.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def again(self, name: str) -> Live:
        return self.start(name, self.parts[name].url.rpartition(":")[2])


@contextmanager
def split(folder: Path, gateways: int = 1, /, **settings: str) -> Iterator[Split]:
    """Serves until the block ends. Settings as in `start`."""
    running = Split(folder, settings)
    with ExitStack() as stack:
        for name in (*NEEDS, *(f"{GATEWAY}-{number}" for number in range(1, gateways + 1))):
            running.start(name)
            stack.callback(running.stop, name)
        yield running
