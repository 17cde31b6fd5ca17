"""In whose name a request may be made."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from answerbox.errors import Forbidden
from answerbox.keys import ApiKey, Scope
from answerbox.service.caller import ANYBODY, Caller

SCOPES: frozenset[Scope] = frozenset({"query"})


def caller(user_id: str | None) -> Caller:
    return Caller(ApiKey(id="1", name="n", sha256="", scopes=SCOPES, created_at=datetime.now(UTC), user_id=user_id))


@pytest.mark.parametrize("anyone", [ANYBODY, caller(None)], ids=["no-key", "key"])
def test_without_a_user_of_its_own_a_caller_speaks_for_whomever_it_names(anyone: Caller) -> None:
    assert (anyone.speaks_for("ada"), anyone.speaks_for(None)) == ("ada", None)


def test_a_key_of_a_user_speaks_for_no_other() -> None:
    assert (caller("ada").speaks_for(None), caller("ada").speaks_for("ada")) == ("ada", "ada")
    with pytest.raises(Forbidden, match="'ada'"):
        caller("ada").speaks_for("bob")
