"""Who sends a request, as far as the code below the edge may ask."""

from __future__ import annotations

from dataclasses import dataclass

from answerbox.errors import Forbidden
from answerbox.keys import ApiKey


@dataclass(frozen=True)
class Caller:
    """`key` is None where no keys are asked for."""

    key: ApiKey | None = None

    def speaks_for(self, user_id: str | None) -> str | None:
        """The user in whose name the request is made: the given one, or the only one that the key may speak for.

        Raises:
            Forbidden
        """
        mine = self.key.user_id if self.key else None
        if mine is None or user_id == mine:
            return user_id
        if user_id is None:
            return mine
        raise Forbidden(
            f"This key speaks for the user {mine!r} only, not for {user_id!r}.",
            hint="Leave `user_id` out, or use a key of that user.",
        )


ANYBODY = Caller()
