"""From pydantic's errors to ours; both doors use it, so both say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from answerbox.errors import InvalidRequest

ModelT = TypeVar("ModelT", bound=BaseModel)


def validated(contract: type[ModelT], data: Any) -> ModelT:
    """`data` as an instance of the contract.

    Raises:
        InvalidRequest: `errors` lists every fault.
    """
    try:
        return contract.model_validate(data)
    except ValidationError as exc:
        raise invalid_request([validation_fault(fault) for fault in exc.errors()]) from None


def invalid_request(faults: list[dict[str, str]]) -> InvalidRequest:
    listed = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return InvalidRequest(f"The request breaks the contract. {listed}", errors=faults)


def validation_fault(fault: Mapping[str, Any]) -> dict[str, str]:
    """One of pydantic's errors as field and message."""
    field = ".".join(str(part) for part in fault["loc"]) or "body"
    return {"field": field, "message": str(fault["msg"])}
