"""Who is asking: a request's bearer token becomes a caller, and is remembered for a minute."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.callers import LOCAL, Caller
from app.domain.refusals import Refusal
from app.web.bodies import error_body
from app.web.graphql import STATUSES, Headers, headers_for, joined_headers
from app.web.guards import send_json
from app.web.keys import Keys
from app.web.tokens import Rules, caller_from, opened, refused

REMEMBERED_SECONDS = 60.0
"""How long a token is believed without a look at its signature; its expiry is looked at each time."""
REMEMBERED_MAX = 10_000
"""Tokens that are remembered."""

_BEARER = re.compile(r"bearer +([^ ]+)", re.IGNORECASE)
_IN_PAYLOAD = ("authorization", "Authorization")

Admission = Caller | Awaitable[Caller]


class Authentication(Protocol):
    """Says who is asking, by what a request or a socket brings. Raises Refusal(UNAUTHENTICATED)."""

    def of_headers(self, headers: Headers) -> Admission: ...

    def of_socket(self, headers: Headers, payload: Mapping[str, Any] | None) -> Admission:
        """By the payload of connection_init, else by the headers of the upgrade."""


class Nobody:
    """The gateway without a key: whoever reaches it may do everything."""

    def of_headers(self, _headers: Headers) -> Admission:
        return LOCAL

    def of_socket(self, _headers: Headers, _payload: Mapping[str, Any] | None) -> Admission:
        return LOCAL


class Bearers:
    """The gateway with keys: whoever brings a token that one of them has signed.

    now: the time, in seconds since the epoch.
    """

    def __init__(self, keys: Keys, rules: Rules, now: Callable[[], float]) -> None:
        self._keys = keys
        self._rules = rules
        self._now = now
        self._remembered: dict[bytes | str, tuple[Caller, float, float]] = {}

    def of_headers(self, headers: Headers) -> Admission:
        given = headers.get(b"authorization")
        if given is None:
            raise refused("A bearer token is needed.")
        known = self._recall(given)
        return self._admitted(given, given.decode("latin-1")) if known is None else known

    def of_socket(self, headers: Headers, payload: Mapping[str, Any] | None) -> Admission:
        given = [payload[name] for name in _IN_PAYLOAD if name in payload] if payload else []
        if not given:
            return self.of_headers(headers)
        if len(given) > 1 or not isinstance(given[0], str):
            raise refused("A bearer token is needed.")
        known = self._recall(given[0])
        return self._admitted(given[0], given[0]) if known is None else known

    def _recall(self, given: bytes | str) -> Caller | None:
        """Who brought this lately, where it is still good. A clock that was set back forgets."""
        found = self._remembered.get(given)
        if found is None:
            return None
        caller, since, until = found
        if since <= self._now() < until:
            return caller
        del self._remembered[given]
        return None

    async def _admitted(self, given: bytes | str, text: str) -> Caller:
        match = _BEARER.fullmatch(text)
        if match is None:
            raise refused("A bearer token is needed.")
        token = opened(match[1], self._rules)
        key = await self._keys.find(token.algorithm, token.key_name, self._now())
        now = self._now()
        caller = caller_from(token, key, self._rules, now)
        assert caller.expires_at is not None
        while len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[given] = (caller, now, min(caller.expires_at, now + REMEMBERED_SECONDS))
        return caller


class CallersOnly:
    """Lets HTTP requests of callers through to an app, and refuses others."""

    def __init__(self, app: ASGIApp, caller_of: Callable[[Headers], Admission]) -> None:
        self._app = app
        self._caller_of = caller_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = self._caller_of(joined_headers(scope["headers"]))
            if not isinstance(caller, Caller):
                await caller
        except Refusal as refusal:
            body = error_body(refusal.code, refusal.message, refusal.extensions)
            more = headers_for(refusal.code, refusal.extensions, allow="GET")
            await send_json(send, STATUSES[refusal.code], body, *more)
            return
        await self._app(scope, receive, send)
