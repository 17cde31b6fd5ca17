"""The conventions of the code, as tests: who may import whom, which vendor where, how large a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import answerbox

PACKAGE = Path(answerbox.__file__).parent
TESTS = Path(__file__).parents[1]
MAX_LINES = 400

# An hourglass: a module imports only what stands on a lower floor, or in its own package.
FLOORS = (
    {"__init__"},
    {"errors", "filters"},
    {"contracts", "settings", "text", "validation", "retrying", "breaker", "log_text", "plugins", "tools"},
    {"keys", "traces"},
    {"logs"},
    {"ports", "evaluation", "porting"},
    {"ledger", "feedback", "sessions", "agent_graph"},
    {"pipelines", "documents", "adapters"},
    {"app", "client"},
    {"run", "service", "cli"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}

VENDORS = {
    "torch": ("adapters/",),
    "transformers": ("adapters/",),
    "openvino": ("adapters/silent_openvino.py",),
    "openvino_genai": ("adapters/silent_openvino.py",),
    "chromadb": ("adapters/chroma_",),
    "bentoml": ("service/", "adapters/model_store.py", "adapters/bento_remote.py", "adapters/bento_generator.py"),
    "starlette": ("service/",),
    "httpx": ("cli/", "client/", "adapters/chroma_errors.py", "adapters/chroma_http.py", "adapters/langfuse_"),
    "httpx_sse": ("client/",),
    "httpx2": ("adapters/openai_generator.py", "adapters/openai_errors.py", "adapters/mcp_"),
    "mcp": ("service/mcp_server.py", "adapters/mcp_tools.py"),
    "mcp_types": ("service/mcp_server.py", "adapters/mcp_tools.py"),
    "sse_starlette": ("service/mcp_server.py",),
    "jsonschema": ("adapters/mcp_tools.py",),
    "langgraph": ("adapters/langgraph_graph.py",),
    "langsmith": ("adapters/langgraph_graph.py",),
    "simpleeval": ("pipelines/agents/calculator.py",),
    "opentelemetry": ("adapters/otlp_", "adapters/trace_spans.py", "logs.py"),
    "structlog": ("logs.py",),
    "prometheus_client": ("service/",),
    "langfuse": ("adapters/langfuse_",),
    "limits": ("adapters/rate_limits.py",),
    "openai": ("adapters/openai_generator.py", "adapters/openai_errors.py"),
    "pypdfium2": ("documents/formats/pdf.py",),
    "mammoth": ("documents/formats/word.py",),
    "bs4": ("documents/formats/web.py",),
    "markdownify": ("documents/formats/web.py",),
    "pptx": ("documents/formats/slides.py",),
    "openpyxl": ("documents/formats/sheets.py",),
    "defusedxml": ("documents/formats/archive.py",),
    "charset_normalizer": ("documents/formats/encoding.py",),
}
ABSOLUTE = re.compile(r"/(home|tmp|work|usr|opt|etc|root|mnt|Users)(/|$)")


@dataclass(frozen=True)
class Module:
    path: Path
    tree: ast.Module

    @property
    def place(self) -> str:
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def name(self) -> str:
        parts = ("answerbox", *self.path.relative_to(PACKAGE).with_suffix("").parts)
        return ".".join(parts).removesuffix(".__init__")

    @property
    def part(self) -> str:
        """The piece of the floor plan that the module belongs to."""
        return self.path.relative_to(PACKAGE).with_suffix("").parts[0]

    def imports(self, lazy: bool = True) -> Iterator[str]:
        """Full names of what is imported; without `lazy` only what the import of the module itself loads."""
        nodes = ast.walk(self.tree) if lazy else _at_import(self.tree)
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.place} has a relative import"
                assert node.module
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield full if full in NAMES else node.module


def _at_import(tree: ast.Module) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


MODULES = [Module(path, ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))]
NAMES = {module.name for module in MODULES}
EACH = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.place)


def _part(name: str) -> str | None:
    """Of an import: the piece of the floor plan, None for another package."""
    head, _, rest = name.partition(".")
    if head != "answerbox":
        return None
    return rest.partition(".")[0] or "__init__"


@EACH
def test_a_module_imports_only_lower_floors_or_its_own_package(module: Module) -> None:
    assert module.part in FLOOR, f"{module.part} has no floor"
    # The command line prints the service's OpenAPI document; it loads the service only then.
    allowed = {"service"} if module.part == "cli" else set()
    wrong = [
        name
        for name in module.imports()
        if (part := _part(name)) is not None
        and part != module.part
        and FLOOR[part] >= FLOOR[module.part]
        and part not in allowed
    ]
    assert not wrong


@EACH
def test_the_command_line_loads_the_service_only_when_it_needs_it(module: Module) -> None:
    if module.part == "cli":
        assert not [name for name in module.imports(lazy=False) if _part(name) == "service"]
    else:
        assert not [name for name in module.imports() if _part(name) == "cli"]


def test_the_imports_have_no_cycle() -> None:
    graph = {
        module.name: {name for name in module.imports() if name in NAMES and name != module.name} for module in MODULES
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as exc:
        pytest.fail(f"a cycle: {exc.args[1]}")
    assert set(order) == NAMES


@EACH
def test_a_vendor_is_imported_only_where_it_belongs(module: Module) -> None:
    wrong = [
        name
        for name in module.imports()
        if (places := VENDORS.get(name.partition(".")[0])) and not module.place.startswith(places)
    ]
    assert not wrong


@pytest.mark.parametrize("name", ["answerbox.app", "answerbox.service.gateway", "answerbox.cli.main"])
def test_a_process_without_a_model_loads_no_heavy_library(name: str) -> None:
    code = f"import sys, {name}; print(*sorted(set(sys.modules) & {{'torch', 'chromadb', 'transformers'}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("names", "heavy"),
    [
        ("answerbox.pipelines.rag, answerbox.documents.library, answerbox.ports", "bentoml starlette torch httpx"),
        ("answerbox.client", "bentoml starlette torch transformers chromadb openvino langfuse opentelemetry"),
    ],
    ids=["core", "client"],
)
def test_the_core_and_the_client_load_no_framework(names: str, heavy: str) -> None:
    code = f"import sys, {names}; print(*sorted(set(sys.modules) & set('{heavy}'.split())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@EACH
def test_every_function_is_typed(module: Module) -> None:
    untyped = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        own = node.args
        every = [*own.posonlyargs, *own.args, *own.kwonlyargs, own.vararg, own.kwarg]
        bare = [arg.arg for arg in every if arg and arg.annotation is None and arg.arg not in ("self", "cls")]
        if bare or node.returns is None:
            untyped.append(f"{node.name} (line {node.lineno})")
    assert not untyped


@EACH
def test_every_module_says_what_it_is_for(module: Module) -> None:
    assert ast.get_docstring(module.tree)


@EACH
def test_nothing_is_printed(module: Module) -> None:
    prints = [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not prints


FILES = [*sorted(PACKAGE.rglob("*.py")), *sorted(TESTS.rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_file_stays_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_no_file_names_a_folder_of_one_machine(path: Path) -> None:
    found = [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ABSOLUTE.match(node.value)
    ]
    assert not found
