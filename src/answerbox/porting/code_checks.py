"""What goes well in a notebook and not in a service: found in the text of the exported cells, which is not run."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from answerbox.porting.code import Code, Function, Spot, dotted
from answerbox.porting.findings import Finding, error, warning
from answerbox.porting.notebook import RUN_MODEL

NETWORK = re.compile(
    r"(requests|httpx)\.(get|post|put|head|request|stream)|urllib\.request\.\w+|urlopen|urlretrieve|aiohttp\.\w+|nltk\.download"
)
DOWNLOAD = re.compile(r"(^|\.)(hf_hub_download|snapshot_download|load_dataset|cached_download|torch\.hub\.load)$")
LOADS_MODEL = re.compile(r"(^|\.)(from_pretrained|SentenceTransformer|CrossEncoder|pipeline)$")
CHANGES = {"append", "extend", "insert", "add", "update", "pop", "clear", "remove", "discard", "setdefault", "popitem"}
GUARDS = ("is_available", "device_count")


def code_findings(code: Code) -> list[Finding]:
    return [
        *_signature(code),
        *_each(code.in_requests(), _in_request(code)),
        *_each(code.at_import(), _at_import),
        *_each(code.everything(), _anywhere(code)),
        *_changed_globals(code),
    ]


Look = Callable[[Spot], Iterator[Finding]]


def _each(spots: Iterator[Spot], look: Look) -> Iterator[Finding]:
    for spot in spots:
        yield from look(spot)


def _signature(code: Code) -> Iterator[Finding]:
    if RUN_MODEL not in code.names:
        hint = "Write `def run_model(request): ...`: a dict with `question` in, a dict with `answer` out."
        yield error("no_run_model", "No cell defines `run_model`.", hint)
        return
    if code.run_model is None:
        return
    cell, node = code.run_model
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = len(positional) - len(arguments.defaults)
    named = [arg for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None]
    if needed > 1 or named or not (positional or arguments.vararg):
        hint = "It is called with one dict, the request: `def run_model(request)`. Give others a default."
        yield error("signature", "`run_model` cannot be called with one argument.", hint, cell.number, node.lineno)
    returns = [n for n in _own(node) if isinstance(n, ast.Return) and n.value is not None]
    yields = [n for n in _own(node) if isinstance(n, ast.Yield | ast.YieldFrom)]
    if not returns and not yields:
        hint = "Return a dict with `answer`, or yield pieces of the text."
        yield error("signature", "`run_model` gives nothing back.", hint, cell.number, node.lineno)


def _own(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def _in_request(code: Code) -> Look:
    is_async = code.run_model is not None and isinstance(code.run_model[1], ast.AsyncFunctionDef)

    def look(spot: Spot) -> Iterator[Finding]:
        if not isinstance(spot.node, ast.Call):
            return
        name = dotted(spot.node.func)
        if name in ("input", "getpass", "getpass.getpass"):
            hint = "Take it from the request, or from an environment variable."
            yield error("input", "Nobody sits at a service to answer `input`.", hint, *spot.where)
        elif name in ("exit", "quit", "sys.exit", "os._exit"):
            hint = "Return a dict with `answer`, or raise an exception."
            yield error("exit", f"`{name}` in a request ends more than the request.", hint, *spot.where)
        elif name == "os.chdir":
            hint = "Use whole paths: the folder is one for all requests."
            yield error("chdir", "`os.chdir` changes the folder under other requests.", hint, *spot.where)
        elif name in ("asyncio.run", "nest_asyncio.apply") or name.endswith(".run_until_complete"):
            yield _own_loop(name, is_async, spot)
        elif name == "time.sleep" and is_async:
            yield error("sleep", "`time.sleep` stops all requests.", "Use `await asyncio.sleep`.", *spot.where)
        elif name == "time.sleep":
            hint = "Leave it out; to wait for another service use its time-outs."
            yield warning("sleep", "`time.sleep` holds up this request and those that wait.", hint, *spot.where)
        elif name == "print":
            hint = "Return it beside `answer`, or use `logging`."
            yield warning("print", "What is printed goes to the service's log, not to the caller.", hint, *spot.where)

    return look


def _own_loop(name: str, is_async: bool, spot: Spot) -> Finding:
    hint = "Write `async def run_model` and `await`: the service has a loop."
    if is_async or name == "nest_asyncio.apply":
        return error("event_loop", f"`{name}` fails in the service's event loop.", hint, *spot.where)
    return warning("event_loop", f"`{name}` makes an event loop for each request.", hint, *spot.where)


def _at_import(spot: Spot) -> Iterator[Finding]:
    if not isinstance(spot.node, ast.Call):
        return
    name = dotted(spot.node.func)
    if name in ("input", "getpass", "getpass.getpass"):
        hint = "Read an environment variable instead."
        yield error("input", "The service waits for ever for `input` when it starts.", hint, *spot.where)
    elif NETWORK.fullmatch(name):
        hint = "Keep what it fetches in a file beside the notebook; else the service starts only with that network."
        yield warning("network", f"`{name}` asks the network when the service starts.", hint, *spot.where)
    elif DOWNLOAD.search(name) or (LOADS_MODEL.search(name) and _hub_id(spot.node)):
        hint = "Put the model into the image or on a volume: each start, and each replica, fetches it anew."
        yield warning("download", f"`{name}` may download when the service starts.", hint, *spot.where)
    elif name == "os.chdir":
        hint = "Leave it out: the service finds its own files after that no more."
        yield error("chdir", "`os.chdir` moves the whole service to another folder.", hint, *spot.where)
    elif name == "print":
        hint = "Leave it out."
        yield warning("print", "This prints when the service starts.", hint, *spot.where)
    elif name == "nest_asyncio.apply":
        hint = "Leave it out, and write `async def run_model` where you await."
        yield error("event_loop", "`nest_asyncio` changes the service's event loop.", hint, *spot.where)


def _hub_id(call: ast.Call) -> bool:
    """Whether it names a model as the Hugging Face hub does, and no folder."""
    texts = [a.value for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Constant)]
    return any(isinstance(t, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", t) and not t.startswith(".") for t in texts)


def _anywhere(code: Code) -> Look:
    asked = {cell.number for cell, _ in code.trees if any(guard in cell.code for guard in GUARDS)}

    def look(spot: Spot) -> Iterator[Finding]:
        match spot.node:
            case ast.ImportFrom(level=level) if level:
                hint = "Import by the module's name; a file beside the notebook is copied."
                yield error("relative_import", "A notebook is in no package, so this import fails.", hint, *spot.where)
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                hint = "Name what you need: what it defines cannot be checked."
                yield warning("star_import", "`import *` hides which names there are.", hint, *spot.where)
            case ast.Call() as call if _is_cuda(call) and spot.cell.number not in asked:
                hint = 'Choose: `device = "cuda" if torch.cuda.is_available() else "cpu"`.'
                yield warning("gpu", "This fails on a machine without an NVIDIA GPU.", hint, *spot.where)
            case ast.Call(func=func) if dotted(func) in ("plt.show", "pyplot.show", "matplotlib.pyplot.show"):
                hint = "Leave it out, or return the figure as text (base64)."
                yield warning("plot", "Nobody sees what `plt.show` draws.", hint, *spot.where)
            case ast.Call(func=ast.Name(id="get_ipython")):
                hint = "Leave it out: the service has no IPython."
                yield error("notebook_only", "`get_ipython` is there only in a notebook.", hint, *spot.where)

    return look


def _is_cuda(call: ast.Call) -> bool:
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    named = any(isinstance(a, ast.Constant) and isinstance(a.value, str) and a.value.startswith("cuda") for a in given)
    own = isinstance(call.func, ast.Attribute) and call.func.attr == "cuda" and not call.args
    return named or own


def _changed_globals(code: Code) -> Iterator[Finding]:
    hint = "Keep it in the call, or in a database: each process has its own, and a restart loses it."
    for spot in code.in_requests():
        if not isinstance(spot.node, Function):
            continue
        local = _locals(spot.node)
        for node in _own(spot.node):
            name = _changes(node)
            if name and name in code.names and name not in local:
                where = (spot.cell.number, getattr(node, "lineno", None))
                yield warning("shared_state", f"`{name}` is changed by a request and shared by all.", hint, *where)


def _locals(function: Function) -> set[str]:
    said = {name for node in _own(function) if isinstance(node, ast.Global) for name in node.names}
    stored = {n.id for n in _own(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    given = {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}
    return (stored | given) - said


def _changes(node: ast.AST) -> str:
    """The name of what a statement or call changes in place or, where `global` says so, binds anew."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in CHANGES:
            return name
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            return name
        case ast.Name(id=name, ctx=ast.Store()):
            return name
        case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store()):
            return name
    return ""
