"""API keys: made once, kept as hashes, read again when their file changes."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from answerbox import keys
from answerbox.errors import SetupError
from answerbox.keys import KeyRing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "keys.json"


def test_a_key_opens_what_its_scopes_say(path: Path) -> None:
    text, made = keys.create(path, "ada", ["query", "metrics"])
    found = KeyRing(path).holder(text)
    assert found == made
    assert found.allows("query")
    assert found.allows("metrics")
    assert not found.allows("documents:write")
    assert not found.allows("admin")


def test_admin_may_everything(path: Path) -> None:
    _, key = keys.create(path, "root", ["admin"])
    assert all(key.allows(scope) for scope in keys.SCOPES)


def test_the_file_has_no_key_in_the_clear_and_is_its_owners(path: Path) -> None:
    text, _ = keys.create(path, "ada", ["query"])
    assert text.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), id="last-letter"),
        pytest.param(lambda text: text + "A", id="longer"),
        pytest.param(lambda text: text.replace("ab_", "ab_0", 1), id="other-id"),
        pytest.param(lambda text: text.split("_")[1], id="id-alone"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda text: f" {text}", id="blank"),
        pytest.param(lambda _: "ab_00000000_" + "ё" * 43, id="not-ascii"),
        pytest.param(lambda text: keys.digest(text), id="its-hash"),
    ],
)
def test_what_is_not_the_key_opens_nothing(path: Path, change: object) -> None:
    text, _ = keys.create(path, "ada", ["query"])
    assert callable(change)
    assert KeyRing(path).holder(change(text)) is None


def test_a_revoked_key_and_a_new_one_are_seen_at_once(path: Path) -> None:
    old, _ = keys.create(path, "ada", ["query"])
    ring = KeyRing(path)
    assert ring.holder(old)
    new, _ = keys.create(path, "ada-2", ["query"])
    assert ring.holder(new)
    keys.revoke(path, "ada")
    assert (ring.holder(old), ring.holder(new) is not None) == (None, True)


def test_an_expired_key_opens_nothing(path: Path) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    text, _ = keys.create(path, "ada", ["query"], expires_at=past)
    assert KeyRing(path).holder(text) is None


def test_a_key_can_be_revoked_by_its_id(path: Path) -> None:
    _, key = keys.create(path, "ada", ["query"])
    assert keys.revoke(path, key.id).name == "ada"
    assert keys.read(path) == []


def test_keys_that_cannot_be_are_refused_with_what_to_change(path: Path) -> None:
    with pytest.raises(SetupError, match="documents:write"):
        keys.create(path, "ada", ["everything"])
    with pytest.raises(SetupError, match="name"):
        keys.create(path, "a\nb", ["query"])
    keys.create(path, "ada", ["query"])
    with pytest.raises(SetupError, match="'ada'"):
        keys.create(path, "ada", ["query"])
    with pytest.raises(SetupError, match="'bob'"):
        keys.revoke(path, "bob")


def test_keys_made_at_the_same_time_are_all_kept(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: keys.create(path, f"key{number}", ["query"]), range(24)))
    assert {key.name for key in keys.read(path)} == {f"key{number}" for number in range(24)}


def test_a_file_that_breaks_while_the_service_runs_locks_nobody_out(path: Path) -> None:
    text, _ = keys.create(path, "ada", ["query"])
    ring = KeyRing(path)
    assert ring.holder(text)
    path.write_text("[{")
    assert ring.holder(text)
    with pytest.raises(SetupError, match="no file of API keys"):
        KeyRing(path).holder(text)


def test_a_missing_file_has_no_keys_and_production_wants_some(path: Path) -> None:
    assert not KeyRing(path).wanted()
    assert keys.required(path, "development") == []
    with pytest.raises(SetupError, match="answerbox keys create"):
        keys.required(path, "production")
    keys.create(path, "ada", ["query"])
    assert len(keys.required(path, "production")) == 1
    keys.revoke(path, "ada")
    assert KeyRing(path).wanted()
