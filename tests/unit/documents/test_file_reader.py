"""Reading in another process: its bounds, and files that are made to do harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from answerbox.contracts import DocumentIn
from answerbox.documents.file_reader import ProcessFileReader
from answerbox.documents.reader_process import ReaderProcess
from answerbox.errors import InvalidRequest, Unavailable
from answerbox.ports import FileReader
from tests.file_kit import docx, file_in, paragraph, pdf, pdf_of_nested_forms, pptx, written, xlsx
from tests.live import wait_until

TIMEOUT_S = 1.0
MEMORY_MB = 256
SLOW = "<b>" * 1_000_000
HUGE = "<p>x</p>" * 2_000_000


@pytest.fixture(scope="module")
def shared() -> Iterator[ProcessFileReader]:
    reader = ProcessFileReader(30, MEMORY_MB)
    yield reader
    reader.close()


@pytest.fixture
def strict() -> Iterator[ProcessFileReader]:
    reader = ProcessFileReader(TIMEOUT_S, MEMORY_MB)
    yield reader
    reader.close()


def read(reader: FileReader, folder: Path, name: str, content: bytes | str) -> list[DocumentIn]:
    return reader.read(written(folder / "upload", content), file_in(name, metadata={"k": 1}))


def still_reads(reader: FileReader, folder: Path) -> bool:
    return [document.text for document in read(reader, folder, "fine.md", "fine")] == ["fine"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", pdf(["Привет"])),
        ("a.docx", docx(paragraph("Привет"))),
        ("a.pptx", pptx([("", ["Привет"], "")])),
        ("a.xlsx", xlsx({"S": [["Привет"]]})),
        ("a.html", "<p>Привет"),
        ("a.md", "Привет"),
        ("a.txt", "Привет".encode("cp1251")),
        ("a.csv", "Привет"),
        ("a.jsonl", '{"text": "Привет"}'),
    ],
)
def test_every_format_is_read_within_little_memory(
    name: str, content: bytes | str, shared: ProcessFileReader, tmp_path: Path
) -> None:
    [document] = read(shared, tmp_path, name, content)
    assert "Привет" in document.text
    assert document.metadata == {"k": 1}


def test_many_documents_of_one_file_come_in_order(shared: ProcessFileReader, tmp_path: Path) -> None:
    lines = "\n".join(f'{{"text": "{number}", "title": "t\u2028"}}' for number in range(2_000))
    assert [document.text for document in read(shared, tmp_path, "a.jsonl", lines)] == list(map(str, range(2_000)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdf", b"hello", "is not a PDF"),
        ("a.html", "<div>" * 100_000, "is nested too deeply"),
        ("a.docx", docx("<w:tbl><w:tr><w:tc>" * 5_000, "</w:tc></w:tr></w:tbl>" * 5_000), "is nested too deeply"),
        ("a.jsonl", '{"text": "x", "metadata": ' + '{"a": ' * 100_000, "line 1: .*recursion"),
        ("a.jsonl", '{"text": "x"}\n{"text": "x", "author": "y"}', "line 2: author"),
        ("a.xlsx", xlsx({"S": [["x" * 100] * 100] * 250}), "more than 2,000,000 characters"),
        ("a\nb.md", "x", "id: "),
    ],
    ids=["kind", "html", "docx", "jsonl", "field", "xlsx", "name"],
)
def test_a_file_that_is_refused_leaves_the_process_as_it_was(
    name: str, content: bytes | str, message: str, shared: ProcessFileReader, tmp_path: Path
) -> None:
    assert still_reads(shared, tmp_path)
    before = shared.pid
    with pytest.raises(InvalidRequest, match=message):
        read(shared, tmp_path, name, content)
    assert still_reads(shared, tmp_path)
    assert shared.pid == before


def test_a_file_that_takes_too_long_is_ended_and_the_next_is_read(strict: ProcessFileReader, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'a\.html' took longer than 1 s .*ANSWERBOX_READING_TIMEOUT_S"):
        read(strict, tmp_path, "a.html", SLOW)
    assert still_reads(strict, tmp_path)


def test_a_pdf_that_draws_itself_without_end_is_ended(strict: ProcessFileReader, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'a\.pdf' (took longer than 1 s|.*process that read it ended)"):
        read(strict, tmp_path, "a.pdf", pdf_of_nested_forms())
    assert still_reads(strict, tmp_path)


def test_a_file_that_needs_too_much_memory_is_told_so(tmp_path: Path) -> None:
    reader = ProcessFileReader(30, MEMORY_MB)
    try:
        with pytest.raises(InvalidRequest, match=r"'a\.html' needs more memory than 256 MiB .*READING_MEMORY_MB"):
            read(reader, tmp_path, "a.html", HUGE)
        assert still_reads(reader, tmp_path)
    finally:
        reader.close()


def test_a_process_that_was_killed_between_two_files_is_not_missed(shared: ProcessFileReader, tmp_path: Path) -> None:
    assert still_reads(shared, tmp_path)
    before = shared.pid
    assert before
    os.kill(before, signal.SIGKILL)
    assert still_reads(shared, tmp_path)
    assert shared.pid not in (None, before)


def test_a_file_is_not_to_blame_for_a_process_that_others_used(tmp_path: Path) -> None:
    reader = ProcessFileReader(20, 512)
    try:
        assert still_reads(reader, tmp_path)
        before = reader.pid
        assert before
        pipe = tmp_path / "upload"
        pipe.unlink()
        os.mkfifo(pipe)
        with ThreadPoolExecutor() as pool:
            reading = pool.submit(reader.read, pipe, file_in("a.md"))
            with pipe.open("wb"):  # opens when the process reads
                pipe.unlink()
                written(pipe, "fine")
                os.kill(before, signal.SIGKILL)
            assert [document.text for document in reading.result(20)] == ["fine"]
    finally:
        reader.close()


def test_a_process_is_replaced_after_so_many_files(tmp_path: Path) -> None:
    reader = ProcessFileReader(20, MEMORY_MB, files_each=2)
    try:
        pids = [reader.pid for _ in range(5) if still_reads(reader, tmp_path)]
        assert len(pids) == 5
        assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
    finally:
        reader.close()


def test_several_threads_may_read(shared: ProcessFileReader, tmp_path: Path) -> None:
    paths = [written(tmp_path / str(number), f"text {number}") for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: shared.read(path, file_in(f"{path.name}.md")), paths))
    assert [[document.text for document in documents] for documents in found] == [[f"text {n}"] for n in range(20)]


def test_closing_ends_the_process_in_the_middle_of_a_file(tmp_path: Path) -> None:
    reader = ProcessFileReader(60, 1_024)
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read, reader, tmp_path, "a.html", SLOW)
        pid = wait_until(lambda: reader.pid, 20, "the process is started")
        reader.close()
        with pytest.raises(Unavailable, match="closing"):
            reading.result(20)
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(Unavailable, match="closing"):
        read(reader, tmp_path, "a.md", "x")


def test_the_process_has_limits_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERBOX_LLM_API_KEY", "secret")
    process = ReaderProcess(MEMORY_MB, TIMEOUT_S)
    try:
        proc = Path(f"/proc/{process.pid}")
        assert b"secret" not in (proc / "environ").read_bytes()
        limits = {line[:25].strip(): line[25:46].strip() for line in (proc / "limits").read_text().splitlines()}
        assert limits["Max address space"] == str(MEMORY_MB * 2**20)
        assert limits["Max file size"] == limits["Max core file size"] == "0"
        assert os.getsid(process.pid) == process.pid
    finally:
        process.kill()


FORBIDDEN = """
import os, socket, subprocess, sys
from answerbox.documents.reader_host import _forbid
sys.addaudithook(_forbid)
tries = [lambda: socket.socket(), lambda: open("x", "w"), lambda: subprocess.run(["x"]), lambda: os.system("x"),
         lambda: os.remove(__import__("sys").executable + "x")]
for each in tries:
    try:
        each()
    except PermissionError:
        continue
    sys.exit(f"allowed: {each}")
open(os.devnull).close()
"""


def test_what_a_reader_needs_not_is_forbidden(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN], capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


PRINTING = """
import os, sys
from answerbox.documents.reader_host import _private_output, _send
replies = _private_output()
print("stray")
os.system("echo stray")
sys.stdout.flush()
_send(replies, {"ready": True})
"""


def test_what_a_library_prints_does_not_reach_the_parent() -> None:
    done = subprocess.run([sys.executable, "-c", PRINTING], capture_output=True, timeout=30, check=True)
    assert done.stdout == b'{"ready": true}\n'


ORPHANING = """
import os, sys, threading
from pathlib import Path
from answerbox.documents.file_reader import ProcessFileReader
from tests.file_kit import file_in
reader = ProcessFileReader(60, 1024)
reader.read(Path(sys.argv[1]), file_in("a.md"))
sys.stdout.write(f'{reader.pid}\\n')
sys.stdout.flush()
threading.Thread(target=reader.read, args=(Path(sys.argv[2]), file_in("a.html"))).start()
threading.Event().wait()
"""


@pytest.mark.parametrize("busy", [True, False])
def test_the_process_ends_with_its_parent(busy: bool, tmp_path: Path) -> None:
    first = written(tmp_path / "first", "x")
    second = written(tmp_path / "second", SLOW if busy else "x")
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANING, str(first), str(second)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, str(Path(__file__).parents[3])]))},
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not _runs(pid), 10, "the orphan has ended")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_parent_loads_none_of_the_libraries() -> None:
    code = (
        "import sys, answerbox.documents.file_reader, answerbox.documents.reading, answerbox.documents.formats;"
        "vendors = {'pypdfium2', 'mammoth', 'bs4', 'markdownify', 'pptx', 'openpyxl', 'lxml', 'charset_normalizer'};"
        "sys.exit(' '.join(vendors & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_waits_for_nothing_when_it_never_read() -> None:
    threads = threading.active_count()
    ProcessFileReader(1, MEMORY_MB).close()
    assert threading.active_count() == threads
