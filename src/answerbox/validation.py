"""From data to a contract, and from pydantic's errors to ours. Both doors use it, so both say the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from answerbox.errors import InvalidRequest, MalformedBody

ModelT = TypeVar("ModelT", bound=BaseModel)

ONE_OBJECT = "Send one JSON object."


def validated(contract: type[ModelT], data: Any) -> ModelT:
    """`data`, which must be what JSON can say, as an instance of the contract.

    It goes through JSON, so that a dict and a body are held to the same rules.

    Raises:
        InvalidRequest: `errors` lists every fault.
        MalformedBody: JSON cannot say it (a NaN, a set, an object of yours).
    """
    try:
        body = json.dumps(data, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise MalformedBody(f"The request cannot be written as JSON: {exc}.", hint=ONE_OBJECT) from None
    return validated_json(contract, body)


def validated_json(contract: type[ModelT], body: str | bytes) -> ModelT:
    """The JSON text as an instance of the contract. Raises as `validated` does."""
    try:
        return contract.model_validate_json(body or b"{}")
    except ValidationError as exc:
        raise invalid(exc.errors()) from None


def invalid(faults: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """Pydantic's list of errors as one of ours."""
    listed = [{"field": _field(fault), "message": str(fault["msg"])} for fault in faults]
    if any(fault.get("type") == "json_invalid" for fault in faults):
        return MalformedBody(f"The body is not JSON: {listed[0]['message']}.", hint=ONE_OBJECT)
    return invalid_request(listed)


def invalid_request(faults: list[dict[str, str]]) -> InvalidRequest:
    listed = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return InvalidRequest(f"The request breaks the contract. {listed}", errors=faults)


def _field(fault: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in fault["loc"]) or "body"
