"""Tools from typed functions: the schema is made from the signature, the description is the docstring.

A blocking function runs in a thread. One that hangs is left behind, for a thread cannot be ended; a function has only
so many threads, so what hangs uses up no more than these.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from answerbox import plugins
from answerbox.errors import SetupError
from answerbox.tools import Tool, ToolError, ToolSpec, WrongArguments, mark_of

ArgumentsT = TypeVar("ArgumentsT", bound=BaseModel)
THREADS = 4
"""Of a blocking function, at a time."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
GROUP = "answerbox.tools"
VARIABLE = "ANSWERBOX_TOOLS"


def tool_of(
    name: str,
    description: str,
    arguments: type[ArgumentsT],
    call: Callable[[ArgumentsT], Awaitable[str]],
    *,
    side_effects: bool = False,
    timeout_s: float | None = None,
) -> Tool:
    """A tool that holds what the model gives it to the class `arguments`."""

    async def checked(given: dict[str, Any]) -> str:
        try:
            found = arguments.model_validate(given)
        except ValidationError as exc:
            raise WrongArguments(_faults(exc)) from None
        return await call(found)

    spec = ToolSpec(name, description, _schema(arguments))
    return Tool(spec, checked, side_effects, timeout_s)


def tool_from(function: Callable[..., Any]) -> Tool:
    """The tool around a function of the operator's own.

    Raises:
        SetupError: it has no name, no docstring or no types that a schema can be made of.
    """
    marked = mark_of(function)
    name = marked.name or str(getattr(function, "__name__", ""))
    description = inspect.cleandoc(getattr(function, "__doc__", None) or "")
    if not NAME.fullmatch(name):
        raise SetupError(f"The tool {name!r} needs a name of up to 64 letters, digits, - and _.")
    if not description:
        raise SetupError(f"The tool {name!r} has no docstring; the model is told by it what the tool is for.")
    arguments = _arguments(name, function)
    run = _runner(function)

    async def call(given: BaseModel) -> str:
        return _text(await run(**{field: getattr(given, field) for field in arguments.model_fields}))

    return tool_of(name, description, arguments, call, side_effects=marked.side_effects, timeout_s=marked.timeout_s)


def registered(targets: tuple[str, ...]) -> list[Tool]:
    """The operator's own tools: those that the setting names, then those of installed packages.

    Raises:
        SetupError: one cannot be loaded or is no tool.
    """
    functions = [plugins.load(VARIABLE, target) for target in targets]
    return [tool_from(function) for function in (*functions, *plugins.installed(GROUP))]


def _arguments(name: str, function: Callable[..., Any]) -> type[BaseModel]:
    try:
        hints = get_type_hints(function, include_extras=True)
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise SetupError(
                    f"The tool {name!r} has the parameter {parameter.name!r}; only named ones can be given."
                )
            if parameter.name not in hints:
                raise SetupError(f"The parameter {parameter.name!r} of the tool {name!r} has no type.")
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
        made: type[BaseModel] = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        _schema(made)
    except SetupError:
        raise
    except Exception as exc:  # of pydantic, or of evaluating the annotations
        raise SetupError(f"No schema can be made of the tool {name!r}: {exc}") from exc
    return made


def _schema(arguments: type[BaseModel]) -> dict[str, Any]:
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    for each in schema.get("properties", {}).values():
        each.pop("title", None)
    return {"properties": {}, **schema}


def _runner(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    if inspect.iscoroutinefunction(function):
        return function
    places = threading.BoundedSemaphore(THREADS)

    async def in_thread(**arguments: Any) -> Any:
        if not places.acquire(blocking=False):
            raise ToolError("The tool is busy.")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def tell(result: Any, error: BaseException | None) -> None:
            if done.done():  # nobody waits any more
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = context.run(function, **arguments)
            except BaseException as exc:
                error = exc if isinstance(exc, Exception) else RuntimeError(repr(exc))
            finally:
                places.release()
            try:
                loop.call_soon_threadsafe(tell, result, error)
            except RuntimeError:  # the loop is closed
                return

        context = copy_context()
        threading.Thread(target=work, name="tool", daemon=True).start()
        return await done

    return in_thread


def _text(result: Any) -> str:
    if isinstance(result, str):
        return result
    return json.dumps(TypeAdapter(Any).dump_python(result, mode="json", fallback=str), ensure_ascii=False)


def _faults(exc: ValidationError) -> str:
    faults = [f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in exc.errors()[:5]]
    return "Wrong arguments. " + "; ".join(faults)
