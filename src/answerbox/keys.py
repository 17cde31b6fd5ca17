"""API keys: who may do what. The file holds names, scopes and hashes; the key itself is shown once, when it is made.

A key is `ab_<id>_<secret>` with 256 random bits in the secret, so one round of SHA-256 is enough to keep it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from answerbox.contracts import Identifier
from answerbox.errors import SetupError

log = logging.getLogger(__name__)

Scope = Literal["query", "documents:write", "metrics", "admin"]
"""`query`: ask, search, read documents. `documents:write`: add and delete them, and their jobs. `metrics`: metrics and
health. `admin`: everything."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
FORM = re.compile(r"ab_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
MAKE_ONE = "Make one with `answerbox keys create NAME --scope query`."
NOBODY = "0" * 64
"""Compared with where there is no such key, so that it takes as long."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w.@:+~ -]+$")]


class ApiKey(BaseModel):
    """`user_id`: the only one in whose name the key may speak. Of the bounds, None means the setting's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: Name
    sha256: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    user_id: Identifier | None = None
    requests_per_minute: int | None = Field(None, ge=0)
    tokens_per_day: int | None = Field(None, ge=0)

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


_KEYS = TypeAdapter(list[ApiKey])


class KeyRing:
    """The keys of a file, read again whenever the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def wanted(self) -> bool:
        """Whether there is a file, if only an empty one: who revokes the last key lets nobody in."""
        return self._path.exists()

    def holder(self, presented: str) -> ApiKey | None:
        """The key that was presented; None where it is unknown, wrong or expired. Takes as long for each.

        Raises: SetupError
        """
        self._refresh()
        found = FORM.fullmatch(presented)
        key = self._keys.get(found[1]) if found else None
        right = hmac.compare_digest(digest(presented), key.sha256 if key else NOBODY)
        return key if key and right and not key.expired() else None

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        try:
            self._keys = {key.id: key for key in read(self._path)}
        except SetupError:
            if self._stamp is None:
                raise
            log.exception("the keys stay as they were")  # a typing error must not lock everybody out
        self._stamp = stamp


def create(
    path: Path,
    name: str,
    scopes: Sequence[str],
    *,
    user_id: str | None = None,
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
    tokens_per_day: int | None = None,
) -> tuple[str, ApiKey]:
    """Adds a key to the file; returns it in the clear, for the only time.

    Raises:
        SetupError: the name is taken, a value is wrong, or the file cannot be used.
    """
    id_, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    text = f"ab_{id_}_{secret}"
    try:
        key = ApiKey(
            id=id_,
            name=name,
            sha256=digest(text),
            scopes=frozenset(scopes),
            created_at=datetime.now(UTC),
            expires_at=expires_at,
            user_id=user_id,
            requests_per_minute=requests_per_minute,
            tokens_per_day=tokens_per_day,
        )
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'][:1]))}: {e['msg']}" for e in exc.errors())
        raise SetupError(f"The key cannot be made. {faults}", hint=f"Scopes are {', '.join(SCOPES)}.") from None
    with _locked(path):
        keys = read(path)
        if any(other.name == name for other in keys):
            raise SetupError(f"There is a key with the name {name!r}.", hint="Revoke it, or choose another name.")
        _write(path, [*keys, key])
    return text, key


def required(path: Path, env: str) -> list[ApiKey]:
    """The keys. Raises: SetupError in production without any, or where their file cannot be read."""
    found = read(path)
    if not found and env == "production":
        raise SetupError(f"ANSWERBOX_ENV=production needs API keys, and {path} has none.", hint=MAKE_ONE)
    return found


def revoke(path: Path, name: str) -> ApiKey:
    """Takes the key of that name or id out of the file. Raises: SetupError where there is none."""
    with _locked(path):
        keys = read(path)
        gone = [key for key in keys if name in (key.name, key.id)]
        if not gone:
            raise SetupError(f"There is no key {name!r}.", hint="`answerbox keys list` shows what there is.")
        _write(path, [key for key in keys if key not in gone])
    return gone[0]


def read(path: Path) -> list[ApiKey]:
    """The keys of the file, none where there is no file. Raises: SetupError where it is not one of keys."""
    try:
        return _KEYS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise SetupError(f"The keys in {path} cannot be read: {exc.strerror}.") from exc
    except ValidationError as exc:
        raise SetupError(f"{path} is no file of API keys.", hint="Restore it, or remove it and make new keys.") from exc


def digest(presented: str) -> str:
    return hashlib.sha256(presented.encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as exc:
        raise SetupError(f"The keys in {path} cannot be written: {exc.strerror}.") from exc


def _write(path: Path, keys: list[ApiKey]) -> None:
    """As a whole or not at all, and readable by its owner only."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump([key.model_dump(mode="json") for key in keys], file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
