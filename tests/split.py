"""The parts as services of their own, as in a cluster: each with a port, a home and a working folder of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from tests.live import Live, Place, start, stop

MODULE = "answerbox.service"
GATEWAY = "Answerbox"
NEEDS: Mapping[str, tuple[str, ...]] = {"Embedder": (), "Generator": (), "Index": ("Embedder",)}
"""Each part, and whom it asks. The gateway asks all of them."""


TWINNED = ("Embedder", "Generator")
"""Parts of which there may be several; `Index` is one, and gateways are counted apart."""


Places = Callable[[str], Place]


def anywhere(_: str) -> Place:
    return Place()


@dataclass
class Split:
    """`parts` are by their names; the gateways are `Answerbox-1` and so on, and so are twins."""

    folder: Path
    settings: Mapping[str, str]
    places: Places
    """Where the part of a name runs that is started from now on."""
    parts: dict[str, Live] = field(default_factory=dict)

    def start(self, name: str, port: str | None = None) -> Live:
        """Waits until it is ready; one that was there before gets its port and its folder."""
        service = _service(name)
        needs = NEEDS.get(service, tuple(NEEDS))
        urls = {f"{need.lower()}_url": ",".join(self._urls(need)) for need in needs}
        place = replace(self.places(name), port=port)
        self.parts[name] = start(self.folder / name, f"{MODULE}:{service}", place, **self.settings, **urls)
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

    def _urls(self, service: str) -> list[str]:
        return [part.url for name, part in self.parts.items() if _service(name) == service]


@contextmanager
def split(
    folder: Path, gateways: int = 1, twins: int = 1, places: Places = anywhere, /, **settings: str
) -> Iterator[Split]:
    """Serves until the block ends. Settings as in `start`."""
    running = Split(folder, settings, places)
    with ExitStack() as stack:
        for name in _names(gateways, twins):
            running.start(name)
            stack.callback(running.stop, name)
        yield running


def _names(gateways: int, twins: int) -> Iterator[str]:
    for name in NEEDS:
        yield from _numbered(name, twins) if name in TWINNED and twins > 1 else [name]
    yield from _numbered(GATEWAY, gateways)


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(1, count + 1)]


def _service(name: str) -> str:
    return name.partition("-")[0]
