"""What a machine runs out of: room on the disk, open files; and a clock that jumps."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import shutil
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import psutil
from tests.live import Live, serving, wait_until
from tests.load import PATIENCE_S, Ask, usual, worker

from answerbox import keys
from benchmarks.fault_clients import problem, questions, searching
from benchmarks.fault_kit import BROKEN, FAKES, NO_INDEX, SEARCHED, TEXTS, WELL, Case, Fault, Row, measure, skipped
from benchmarks.fault_parts import idle_connections

DISK = "64m"
FULL_S, RESTART_FULL_S = 15.0, 30.0
FULL = "507 storage_full"
WRITES_EVERY = 20
"""Requests, of which one adds a document and one sends a file."""
BLOCK = bytes(64 * 1024)

OPEN_FILES = 128
IDLE = 300
SILENCE_S = 5.0
SPIN_S = 3.0
SPIN = 0.5
"""Of a core; a process that spins takes all of one."""
LOG_BYTES = 2**20

CLOCK = Path(__file__).with_name("fault_clock.c")
JUMPS_S = {"a day forward": 86_400, "an hour back": -3_600}
WORDS = " ".join(f"w{number}" for number in range(100))
"""Two seconds at 20 ms a word."""
LONG = " ".join(f"w{number}" for number in range(1_000))
PER_MINUTE = 5


def with_small_disk(folder: Path) -> list[Row]:
    name = f"the disk is full for {FULL_S:.0f} s; one request in {WRITES_EVERY // 2} writes"
    disk = folder / "disk"
    disk.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        return [skipped(name, "no small disk can be mounted here")]
    try:
        with serving(folder, data_dir=str(disk / "data"), **FAKES) as live:
            live.index(TEXTS)
            writers = Writers()
            full = frozenset({FULL})
            may, usual_again = SEARCHED | {"202"}, writers.all_there
            case = Case(name, filled(disk), may, full, FULL_S, writers.ask, usual_again)
            name = f"kill -9 of Index while the disk is full for {RESTART_FULL_S:.0f} s"
            killing = Case(name, filled(disk, live), may | NO_INDEX, full, RESTART_FULL_S, writers.ask, usual_again)
            return [measure(live, case), measure(live, killing)]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class Writers:
    """Clients that search and now and then write, and what was acknowledged."""

    def __init__(self) -> None:
        self._turns = itertools.count()
        self._acknowledged = dict[str, str]()
        self._due = dict[str, str]()

    def ask(self, client: httpx.Client) -> str:
        turn = next(self._turns)
        if turn % WRITES_EVERY == 0:
            return self._write(client, f"written{turn}", as_file=False)
        if turn % WRITES_EVERY == WRITES_EVERY // 2:
            return self._write(client, f"written{turn}.txt", as_file=True)
        return searching(client)

    def all_there(self, live: Live) -> bool:
        """Whether both halves are searched, a document can be written, and each that was acknowledged can be read.

        Those count that were acknowledged before this was asked for the first time.
        """
        self._due = self._due or dict(self._acknowledged)
        with live.client(30) as client, contextlib.suppress(httpx.HTTPError):
            if not usual(live) or self._write(client, f"after{next(self._turns)}", as_file=False) != "202":
                return False
            found = {name: client.get(f"/documents/{name}") for name in self._due}
            lost = [name for name, answer in found.items() if answer.status_code != 200]
            return not lost and all(self._due[name] in answer.text for name, answer in found.items())
        return False

    def _write(self, client: httpx.Client, name: str, as_file: bool) -> str:
        text = f"Bread of {name} is baked at seven. " * 20
        if as_file:
            answer = client.post("/documents", files=[("files", (name, text.encode()))])
        else:
            answer = client.post("/documents", json={"documents": [{"id": name, "text": text}]})
        if answer.is_error:
            return problem(answer)
        self._acknowledged[name] = f"Bread of {name} is"
        return str(answer.status_code)


def filled(disk: Path, live: Live | None = None) -> Fault:
    """No byte is left on the disk; and the index of `live` has to start there."""

    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        filler = disk / "filler"
        try:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(BLOCK)
            if live:
                os.kill(worker(live, "Index"), signal.SIGKILL)
            yield
        finally:
            filler.unlink()

    return fault


def with_few_files(folder: Path) -> list[Row]:
    """The gateway alone: it is what strangers connect to."""
    with serving(folder, body_silence_s=str(SILENCE_S), **FAKES) as live:
        live.index(TEXTS)
        gateway = worker(live, "Answerbox")
        resource.prlimit(gateway, resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
        name = f"{IDLE} idle connections where the gateway may have {OPEN_FILES} open files"
        may = SEARCHED | NO_INDEX | BROKEN
        row = measure(live, Case(name, idle_connections(live, IDLE), may, lasts_s=15, ask=newcomer(live)))
        row.wrong += _spins(live, gateway)
        if worker(live, "Answerbox") != gateway:
            row.wrong.append("the gateway died")
        return [row]


def newcomer(live: Live) -> Ask:
    """Comes with a new connection each time."""

    def ask(_: httpx.Client) -> str:
        with live.client(PATIENCE_S) as client:
            return searching(client)

    return ask


def _spins(live: Live, pid: int) -> list[str]:
    """What is wrong with a gateway that cannot take another connection and has nothing else to do."""
    process, log = psutil.Process(pid), live.log.stat().st_size
    with idle_connections(live, IDLE)():
        before = process.cpu_times()
        threading.Event().wait(SPIN_S)
        after = process.cpu_times()
    share = (after.user + after.system - before.user - before.system) / SPIN_S
    wrong = [f"the gateway took {share:.2f} of a core"] if share > SPIN else []
    grown = live.log.stat().st_size - log
    return [*wrong, *([f"it logged {grown} bytes"] if grown > LOG_BYTES else [])]


def with_faked_clock(folder: Path) -> list[Row]:
    """The services see another time; the machine's clock is left alone."""
    names = {f"the clock jumps {jump}": offset for jump, offset in JUMPS_S.items()}
    compiler = shutil.which("cc")
    if compiler is None:
        return [skipped(name, "there is no C compiler") for name in names]
    folder.mkdir(parents=True)
    clock, library = folder / "clock", folder / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(CLOCK), "-ldl"], check=True)
    clock.write_bytes(bytes(8))
    faked = {"LD_PRELOAD": str(library), "FAULT_CLOCK": str(clock)}
    may_all, _ = keys.create(folder / "data" / "keys.json", "all", ["admin"])
    few, _ = keys.create(folder / "data" / "keys.json", "few", ["query"], requests_per_minute=PER_MINUTE)
    with _environment(faked), serving(folder, fake_token_delay_s="0.02", open_routes='["health"]', **FAKES) as live:
        asking = _with_key(questions(WORDS, WORDS), may_all)
        looks = Looks(live, clock, may_all, few)
        looks.at_all()
        return [
            measure(live, Case(name, looks.jumped(offset), WELL, lasts_s=3, ask=asking, usual=looks.usual))
            for name, offset in names.items()
        ]


class Looks:
    """Whether what depends on time goes on after the clock has jumped."""

    def __init__(self, live: Live, clock: Path, may_all: str, few: str) -> None:
        self._live = live
        self._clock = clock
        self._may_all = {"X-API-Key": may_all}
        self._few = {"X-API-Key": few}
        self._number = itertools.count()

    def jumped(self, seconds: int) -> Fault:
        """The clock stays there; the next jump is from there."""

        @contextlib.contextmanager
        def fault() -> Iterator[None]:
            before = self._time()
            self._jump(seconds)
            assert abs(self._time() - before - seconds) < 60, "the service does not see another time"
            self.at_all()
            yield

        return fault

    def at_all(self) -> None:
        self._job_is_done()
        self._deadline_holds()
        self._rate_holds()

    def usual(self, live: Live) -> bool:
        with live.client(30) as client, contextlib.suppress(httpx.HTTPError):
            client.headers.update(self._may_all)
            return searching(client) == "200"
        return False

    def _jump(self, seconds: int) -> None:
        """In place: the services have the file mapped."""
        with self._clock.open("r+b") as file:
            [offset] = struct.unpack("q", file.read())
            file.seek(0)
            file.write(struct.pack("q", offset + seconds))

    def _time(self) -> float:
        """The service's."""
        with self._live.client() as client:
            answer = client.post("/documents", json=self._document(), headers=self._may_all)
        return datetime.fromisoformat(answer.json()["created_at"]).timestamp()

    def _document(self) -> dict[str, object]:
        return {"documents": [{"id": f"bread{next(self._number)}", "text": "Bread is baked at six."}]}

    def _job_is_done(self) -> None:
        with self._live.client() as client:
            client.headers.update(self._may_all)
            job = client.post("/documents", json=self._document()).json()
            path = f"/jobs/{job['job_id']}"
            wait_until(lambda: client.get(path).json()["status"] == "succeeded", 20, "the job is done")

    def _deadline_holds(self) -> None:
        headers = {**self._may_all, "X-Request-Timeout": "1"}
        body = {"question": LONG, "options": {"max_tokens": 4_000}}
        began = time.monotonic()
        with self._live.client() as client:
            answer = client.post("/llm_query", json=body, headers=headers)
        took = time.monotonic() - began
        assert answer.json()["meta"]["finish_reason"] == "deadline", answer.text
        assert 0.9 < took < 5, f"a deadline of 1 s took {took:.1f} s"

    def _rate_holds(self) -> None:
        with self._live.client() as client:
            client.headers.update(self._few)
            answers = [client.post("/search", json={"query": "bread"}) for _ in range(2 * PER_MINUTE)]
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) <= {200, 429}, statuses
        assert statuses[-1] == 429, f"{2 * PER_MINUTE} requests of {PER_MINUTE} a minute: {statuses}"
        assert statuses.count(200) <= PER_MINUTE, statuses
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60, answers[-1].headers


def _with_key(ask: Ask, key: str) -> Ask:
    def keyed(client: httpx.Client) -> str:
        client.headers["X-API-Key"] = key
        return ask(client)

    return keyed


@contextlib.contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            del os.environ[name]
