"""GraphQL over HTTP: a request is understood, handed on, and its answer sent with the right status.

Source of the rules: GraphQL over HTTP (draft) as the graphql-http audit suite reads it.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal
from app.web import bodies
from app.web.bodies import ClientGoneError, JsonReader, SlowBodyError, asked_from, asked_from_url, bad
from app.web.negotiation import Media, chosen, is_json
from app.web.operations import Answered, Asked, Run

_log = structlog.get_logger(__name__)

BODY_MAX = 8_000_000
"""Bytes of a request's body."""
BODY_SECONDS = 30.0
"""How long a body may take to arrive."""
RETRY_SECONDS = 1
"""What Retry-After says where a refusal does not."""
_UNREAD_MAX = 65_536
"""Bytes of an unread body for which a connection is worth keeping."""

STATUSES: Mapping[Code, int] = {
    Code.UNAUTHENTICATED: 401,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.NOT_ACCEPTABLE: 406,
    Code.CONFLICT: 409,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.IDEMPOTENCY_KEY_REUSED: 422,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.TIMEOUT: 504,
}
"""Statuses of requests that did not run, whatever the client accepts. Of every other code: 400 for what is no
GraphQL request; for one that is, 400 with application/graphql-response+json and 200 with application/json."""

Headers: TypeAlias = Mapping[bytes, bytes]
"""Request headers by lower-case name; those sent several times are joined by ", "."""

_Pairs: TypeAlias = list[tuple[bytes, bytes]]


class Stream(Protocol):
    """Answers one request with server-sent events; it sends the whole response itself."""

    async def __call__(
        self, asked: Asked, caller: Caller, receive: Receive, send: Send, *, mutations: bool
    ) -> None: ...


class GraphQLView:
    """The ASGI app at /graphql; HTTP alone, no WebSocket.

    It runs each operation to its end. A client that goes away while its operation runs cancels nothing: what is running
    may be a mutation, and a cancelled transaction may or may not have been committed. Whoever runs operations bounds
    their time.

    run: runs operations.
    caller_of: who asks, by the headers; raises Refusal(UNAUTHENTICATED). May be a coroutine function.
    ide: answers a GET without a query whose Accept names text/html above all else; None: there is no page.
    stream: answers those who want text/event-stream above all else; None: such an answer does not exist.
    body_max: bytes of a body; more is PAYLOAD_TOO_LARGE, known from Content-Length before anything is read.
    body_seconds: how long a body may take to arrive; then status 408, and the connection is closed.
    get: whether queries by GET are answered.
    reader: reads the JSON of bodies and of URLs.
    """

    def __init__(
        self,
        run: Run,
        caller_of: Callable[[Headers], Caller | Awaitable[Caller]],
        *,
        ide: ASGIApp | None = None,
        stream: Stream | None = None,
        body_max: int = BODY_MAX,
        body_seconds: float = BODY_SECONDS,
        get: bool = True,
        reader: JsonReader | None = None,
    ) -> None:
        self._run = run
        self._caller_of = caller_of
        self._ide = ide
        self._stream = stream
        self._body_max = body_max
        self._body_seconds = body_seconds
        self._get = get
        self._reader = reader or JsonReader()
        self._allow = b"GET, POST" if get else b"POST"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope["headers"])
        media = Media.JSON
        body_is_read = False
        try:
            method = scope["method"]
            if method != "POST" and (method != "GET" or not self._get):
                await self._refuse_method(scope, headers, receive, send)
                return
            wanted = self._wanted(scope, headers)
            if wanted is Media.HTML:
                assert self._ide is not None
                await self._ide(scope, receive, send)
                return
            media = wanted
            if method == "POST":
                self._check_post(headers)
                caller = await self._caller(headers)
                body = await bodies.read_body(receive, self._body_max, self._body_seconds)
                body_is_read = True
                asked = asked_from(self._reader.read(body))
            else:
                _check_get(headers)
                caller = await self._caller(headers)
                asked = asked_from_url(scope["query_string"], self._reader)
        ...
