"""The time, for the agent: a model does not know it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field

from answerbox.pipelines.agents.functions import tool_of
from answerbox.tools import Tool, ToolError


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    time_zone: str = Field(
        "UTC", max_length=64, description="IANA name of the time zone, such as Europe/Moscow or America/New_York."
    )


def current_time(now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Tool:
    async def call(arguments: _Arguments) -> str:
        try:
            zone = ZoneInfo(arguments.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ToolError(f"There is no time zone {arguments.time_zone!r}; use an IANA name.") from None
        there = now().astimezone(zone)
        return f"{there:%A}, {there.isoformat(timespec='seconds')}, week {there.isocalendar().week}"

    return tool_of("current_time", "Tells the date, the weekday and the time now.", _Arguments, call)
