"""Arithmetic for the agent. Bounded: a short expression, numbers of bounded size, no names but those listed."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from simpleeval import InvalidExpression, SimpleEval

from answerbox.pipelines.agents.functions import tool_of
from answerbox.tools import Tool, ToolError

MAX_CHARS = 500
MAX_DIGITS = 300
"""Of a whole number. What Python can multiply in a microsecond."""
LARGEST = 10**MAX_DIGITS
SHOWN_DIGITS = 15
Number = int | float


def bounded(value: Any) -> Number:
    """Raises: ToolError, where it is no number, or too large a one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ToolError("Only numbers can be calculated with.")
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise ToolError(f"A number has more than {MAX_DIGITS} digits.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolError("The result is no number.")
    return value


def _power(base: Number, exponent: Number) -> Number:
    bounded(base), bounded(exponent)
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) > 1 and exponent * math.log10(abs(base)) > MAX_DIGITS:
            raise ToolError(f"A number has more than {MAX_DIGITS} digits.")
        return int(base**exponent)
    result = base**exponent
    if isinstance(result, complex):
        raise ToolError("The result is no real number.")
    return float(result)


def _rounded(number: Number, digits: Number = 0) -> Number:
    return round(number, int(digits)) if digits else round(number)


def _factorial(number: Number) -> int:
    if number != int(number) or not 0 <= number <= 150:
        raise ToolError("A factorial is of a whole number from 0 to 150.")
    return math.factorial(int(number))


def _checked(function: Callable[..., Number]) -> Callable[..., Number]:
    def checked(*numbers: Number) -> Number:
        return bounded(function(*(bounded(number) for number in numbers)))

    return checked


OPERATORS: dict[type[ast.AST], Callable[..., Number]] = {
    ast.Add: _checked(operator.add),
    ast.Sub: _checked(operator.sub),
    ast.Mult: _checked(operator.mul),
    ast.Div: _checked(operator.truediv),
    ast.FloorDiv: _checked(operator.floordiv),
    ast.Mod: _checked(operator.mod),
    ast.Pow: _checked(_power),
    ast.USub: _checked(operator.neg),
    ast.UAdd: _checked(operator.pos),
}
_PLAIN: dict[str, Callable[..., Number]] = {
    "abs": abs,
    "round": _rounded,
    "min": min,
    "max": max,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "floor": math.floor,
    "ceil": math.ceil,
    "factorial": _factorial,
}
FUNCTIONS = {name: _checked(function) for name, function in _PLAIN.items()}
KNOWN = (ast.Expr, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Constant)
NAMES = {"pi": math.pi, "e": math.e}


def calculate(expression: str) -> str:
    """Raises: ToolError."""
    evaluator = SimpleEval(operators=OPERATORS, functions=FUNCTIONS, names=NAMES)
    evaluator.nodes = {kind: handler for kind, handler in evaluator.nodes.items() if kind in KNOWN}
    try:
        result = bounded(evaluator.eval(expression.replace("^", "**").replace("−", "-").replace("×", "*")))
    except ToolError:
        raise
    except ZeroDivisionError:
        raise ToolError("Something is divided by zero.") from None
    except (InvalidExpression, SyntaxError, ValueError, ArithmeticError, TypeError, RecursionError, MemoryError):
        raise ToolError(
            "This is no arithmetic. Numbers with a point, + - * / // % **, brackets, pi, e and "
            f"{', '.join(sorted(FUNCTIONS))} are known."
        ) from None
    return str(result) if isinstance(result, int) else format(result, f".{SHOWN_DIGITS}g")


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expression: str = Field(
        min_length=1, max_length=MAX_CHARS, description="Arithmetic, such as (1250 - 980) / 980 * 100 or sqrt(2)."
    )


def calculator() -> Tool:
    async def call(arguments: _Arguments) -> str:
        return calculate(arguments.expression)

    return tool_of("calculator", "Calculates the value of an arithmetic expression exactly.", _Arguments, call)
