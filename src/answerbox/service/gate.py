"""Who may come in, and how much of it: API keys, scopes, rates, places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from answerbox.adapters.rate_limits import RateLimits, Window
from answerbox.errors import Forbidden, Overloaded, RateLimited, Unauthorized
from answerbox.keys import ApiKey, KeyRing, required
from answerbox.service import metrics
from answerbox.service.caller import ANYBODY, Caller
from answerbox.service.routes import Route
from answerbox.settings import Settings

Headers = dict[bytes, bytes]
BUSY_RETRY_S = 1


class Gate:
    def __init__(self, settings: Settings) -> None:
        """Raises: SetupError (see `keys.required`)."""
        self._settings = settings
        required(settings.keys_path, settings.env)
        self._keys = KeyRing(settings.keys_path)
        self._rates = RateLimits(settings.limits_url)
        self._inside = 0
        metrics.PLACES_LIMIT.set(settings.max_requests)
        self._of_key: Counter[str] = Counter()
        self._streams_of_key: Counter[str] = Counter()

    def caller(self, route: Route, headers: Headers) -> Caller:
        """Raises: Unauthorized, Forbidden."""
        if self._is_open(route) or not self._asks_for_keys():
            return ANYBODY
        key = self._keys.holder(_presented(headers))
        if key is None:
            raise Unauthorized(
                "This needs an API key, and the request has none that is known.",
                hint="Send it as `Authorization: Bearer ...` or as `X-API-Key`.",
            )
        assert route.scope
        if not key.allows(route.scope):
            raise Forbidden(
                f"The key {key.name!r} does not have the scope {route.scope!r}.",
                hint=f"It has {', '.join(sorted(key.scopes))}.",
            )
        return Caller(key)

    async def count(self, caller: Caller) -> Window | None:
        """Counts a request of the key; what it has left of its rate, None where it has no bound.

        Raises:
            RateLimited
        """
        key = caller.key
        if key is None:
            return None
        await self._check_tokens(key)
        limit = _bound(key.requests_per_minute, self._settings.requests_per_minute)
        if not limit:
            return None
        allowed, window = await self._rates.request(key.id, limit)
        if not allowed:
            raise RateLimited(
                f"The key {key.name!r} has had its {limit} requests of a minute.",
                hint=f"Wait {window.reset_s} s.",
                extra={"limit": limit, "remaining": window.remaining, "retry_after_s": window.reset_s},
            )
        return window

    async def spend(self, caller: Caller, tokens: int) -> None:
        if caller.key and tokens and (limit := self._tokens_per_day(caller.key)):
            await self._rates.spend(caller.key.id, limit, tokens)

    @contextmanager
    def place(self, caller: Caller, route: Route) -> Iterator[None]:
        """Holds a place while a request is worked on. Raises: Overloaded, RateLimited."""
        if route.is_probe:
            yield
            return
        self._check_room(caller)
        self._inside += 1
        metrics.PLACES.inc()
        try:
            with _counted(self._of_key, caller), self.stream(caller) if route.streams else nullcontext():
                yield
        finally:
            self._inside -= 1
            metrics.PLACES.dec()

    @contextmanager
    def stream(self, caller: Caller) -> Iterator[None]:
        """Holds one of the key's streams. Raises: RateLimited."""
        _check_running(caller, "streams", self._streams_of_key, self._settings.max_key_streams)
        with _counted(self._streams_of_key, caller):
            yield

    def _asks_for_keys(self) -> bool:
        return self._settings.env == "production" or self._keys.wanted()

    def _is_open(self, route: Route) -> bool:
        return route.scope is None or route.open_as in self._settings.open_routes

    async def _check_tokens(self, key: ApiKey) -> None:
        limit = self._tokens_per_day(key)
        if not limit:
            return
        window = await self._rates.tokens_left(key.id, limit)
        if not window.remaining:
            raise RateLimited(
                f"The key {key.name!r} has had its {limit} tokens of today.",
                hint=f"There are new ones in {window.reset_s} s.",
                extra={"limit": limit, "retry_after_s": window.reset_s},
            )

    def _tokens_per_day(self, key: ApiKey) -> int:
        return _bound(key.tokens_per_day, self._settings.tokens_per_day)

    def _check_room(self, caller: Caller) -> None:
        settings = self._settings
        if self._inside >= settings.max_requests:
            raise Overloaded(
                f"{settings.max_requests} requests are being answered.",
                hint="Try again shortly.",
                extra={"limit": settings.max_requests, "retry_after_s": BUSY_RETRY_S},
            )
        _check_running(caller, "requests", self._of_key, settings.max_key_requests)


def _check_running(caller: Caller, what: str, running: Counter[str], limit: int) -> None:
    if caller.key and running[caller.key.id] >= limit:
        raise RateLimited(
            f"The key {caller.key.name!r} has {limit} {what} running.",
            hint="Wait for one of them to end.",
            extra={"limit": limit, "retry_after_s": BUSY_RETRY_S},
        )


@contextmanager
def _counted(counter: Counter[str], caller: Caller) -> Iterator[None]:
    id_ = caller.key.id if caller.key else ""
    counter[id_] += 1
    try:
        yield
    finally:
        counter[id_] -= 1
        if not counter[id_]:
            del counter[id_]


def _presented(headers: Headers) -> str:
    kind, _, bearer = headers.get(b"authorization", b"").partition(b" ")
    given = bearer.strip() if kind.lower() == b"bearer" else headers.get(b"x-api-key", b"")
    return given.decode("latin-1")


def _bound(own: int | None, usual: int) -> int:
    return usual if own is None else own
