"""GraphQL over HTTP: a request is understood, handed on, and its answer sent with the right status.

Source of the rules: GraphQL over HTTP (draft), as the graphql-http audit suite reads it.
"""

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal, outcome_unknown
from app.web.access import at_hand
from app.web.bodies import (
    HELD_MIN,
    BodyReader,
    ClientGoneError,
    JsonReader,
    asked_from,
    asked_from_url,
    bad,
    error_body,
    too_large,
)
from app.web.guards import SAFE_HEADERS
from app.web.idempotency import REPLAYED, with_key
from app.web.negotiation import Media, chosen, is_json
from app.web.operations import Asked, Run
from app.web.running import REQUEST_SECONDS, Running

_log = structlog.get_logger(__name__)

BODY_MAX = 8_000_000
"""Bytes of a request's body."""
BODY_SECONDS = 30.0
"""How long a body may take to arrive."""
LARGE_BODY = 400_000
"""Bytes of a body that is decoded in a thread: the event loop is not held for longer than some milliseconds."""
RETRY_SECONDS = 1
"""What Retry-After says where a refusal does not."""

_UNREAD_DIGITS_MAX = 5
"""Digits of the length of a body that is dropped unread for the sake of its connection."""
_UNREAD_SECONDS = 1.0
_OF_UNREAD_BODIES = frozenset({Code.PAYLOAD_TOO_LARGE, Code.TIMEOUT, Code.UNAVAILABLE})
_LENGTH_DIGITS_MAX = 18

STATUSES: Mapping[Code | None, int] = {
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
"""Statuses of requests that did not run, whatever the client accepts. Every other code is 400 for what is no GraphQL
request; for one that is, 400 with application/graphql-response+json and 200 with application/json."""

Headers: TypeAlias = Mapping[bytes, bytes]
"""Request headers by lower-case name; one that was sent several times has its values joined by ", "."""

Pairs: TypeAlias = list[tuple[bytes, bytes]]
"""Headers of an answer."""

_JSON: Pairs = [(b"content-type", b"application/json; charset=utf-8"), *SAFE_HEADERS.items()]
_GRAPHQL: Pairs = [(b"content-type", b"application/graphql-response+json; charset=utf-8"), *SAFE_HEADERS.items()]

CLOSING = (b"connection", b"close")
"""The header of an answer that ends its connection."""

_TEXTS = frozenset({Media.JSON, Media.GRAPHQL})

_PREFLIGHT = (b"graphql-require-preflight", b"apollo-require-preflight", b"x-apollo-operation-name")
"""Headers that a page of another site can't send without the browser asking the gateway first."""


class Stream(Protocol):
    """Answers one request with server-sent events; it sends the whole response itself."""

    async def __call__(
        self, asked: Asked, caller: Caller, receive: Receive, send: Send, *, mutations: bool
    ) -> None: ...


class Head(NamedTuple):
    """What the head of a POST says, for every request that has the same."""

    headers: Headers
    media: Media
    length: int
    """Bytes of the body."""


class Reply(NamedTuple):
    """An answer before it is sent."""

    status: int
    body: bytes
    more: Pairs
    """Headers beside those that every answer has."""


class GraphQLView:
    """The ASGI app at /graphql; HTTP alone, no WebSocket.

    An operation that takes too long is cancelled, and so is one whose client has gone; whoever runs operations decides
    what that means. A mutation is not torn: a cancelled transaction may have been committed or not.

    run: runs operations.
    caller_of: who asks, by the headers; raises Refusal(UNAUTHENTICATED). May be a coroutine function.
    ide: answers a GET without a query whose Accept names text/html above all else; None: there is no page.
    stream: answers requests whose Accept names text/event-stream above all else; None: there is no such answer.
    body_max: bytes of a body; more is PAYLOAD_TOO_LARGE, before anything is read where Content-Length tells.
    body_seconds: how long a body may take to arrive; then the status is 408.
    bodies_max: bytes of all bodies that are read or worked on; more is UNAVAILABLE for a while.
    request_seconds: how long an operation may take.
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
        bodies_max: int | None = None,
        request_seconds: float = REQUEST_SECONDS,
        get: bool = True,
        reader: JsonReader | None = None,
    ) -> None:
        self._run = run
        self._caller_of = caller_of
        self._ide = ide
        self._stream = stream
        self._body_max = body_max
        self._bodies = BodyReader(body_max, body_seconds, bodies_max)
        self._running = Running(request_seconds)
        self._dropped = BodyReader(10**_UNREAD_DIGITS_MAX, _UNREAD_SECONDS)
        self._methods = frozenset({"GET", "POST"} if get else {"POST"})
        self._reader = reader or JsonReader()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        finally:
            self._bodies.release()

    def head_of(self, scope: Scope) -> Head | None:
        """The head of a request, if whatever has the same can be answered by `reply`: a POST of some kilobytes."""
        headers = joined_headers(scope["headers"])
        media = self._media(scope, headers)
        if scope["method"] != "POST" or len(headers) != len(scope["headers"]) or media not in _TEXTS:
            return None
        try:
            self._check_post(headers)
        except Refusal:
            return None
        length = headers.get(b"content-length", b"0")
        # One with more digits is short only by the zeros before it, and not dropped unread.
        if len(length) > _UNREAD_DIGITS_MAX or not 0 < int(length) < HELD_MIN:
            return None
        return Head(headers, media, int(length))

    async def reply(self, head: Head, body: bytes, receive: Receive) -> Reply | None:
        """The answer to a request that is all there; None where nobody is there any more to be answered.

        receive: tells when the client is gone.
        """
        headers = head.headers
        try:
            caller = await self._caller(headers)
            asked = _with_wishes(with_key(asked_from(self._reader.read(body)), headers), headers)
        except Refusal as refusal:
            return self._refused(refusal, kept=refusal.code is not Code.PAYLOAD_TOO_LARGE)
        except Exception:  # noqa: BLE001 - whatever it is, the client is answered and told nothing of it.
            return _failed()
        return await self._ran(asked, caller, receive, head.media, mutations=True)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = joined_headers(scope["headers"])
        mutations = scope["method"] == "POST"
        media = self._media(scope, headers)
        if media is Media.HTML and self._ide is not None:
            await self._ide(scope, receive, send)
            return
        try:
            caller = await self._admitted(scope, headers, media)
        except Refusal as refusal:
            kept = await self._is_body_gone(headers, receive)
            await _send(send, media, self._refused(refusal, kept=kept))
            return
        except Exception:  # noqa: BLE001 - whatever it is, the client is answered and told nothing of it.
            await _send(send, media, _failed())
            return
        try:
            asked = _with_wishes(with_key(await self._asked(scope, receive), headers), headers)
        except ClientGoneError:
            return
        except Refusal as refusal:
            kept = refusal.code not in _OF_UNREAD_BODIES
            await _send(send, media, self._refused(refusal, kept=kept))
            return
        except Exception:  # noqa: BLE001 - as above.
            await _send(send, media, _failed())
            return
        if media is Media.EVENTS and self._stream is not None:
            at_hand().name = asked.operation_name
            await self._stream(asked, caller, receive, send, mutations=mutations)
            return
        reply = await self._ran(asked, caller, receive, media, mutations=mutations)
        if reply is not None:
            await _send(send, media, reply)

    async def _ran(
        self, asked: Asked, caller: Caller, receive: Receive, media: Media | None, *, mutations: bool
    ) -> Reply | None:
        """The answer to a GraphQL request; None where nobody is there any more to be answered."""
        request = at_hand()
        request.name = asked.operation_name
        answering = self._run(asked, caller, mutations=mutations)
        try:
            body, ran, code, extensions, is_replay = await self._running.run(answering, receive)
        except ClientGoneError:
            return None
        except Refusal as refusal:
            body, ran, code = error_body(refusal.code, refusal.message, refusal.extensions), False, refusal.code
            is_replay = False
            extensions = refusal.extensions
            request.code = code
        except asyncio.CancelledError:  # The process ends, and has waited as long as it may.
            return _given_up()
        except Exception:  # noqa: BLE001 - whatever it is, the client is answered and told nothing of it.
            return _failed()
        if ran:
            return Reply(200, body, [REPLAYED] if is_replay else [])
        status = STATUSES.get(code, 400 if media is Media.GRAPHQL else 200)
        return Reply(status, body, headers_for(code, extensions, allow="POST"))

    def _media(self, scope: Scope, headers: Headers) -> Media | None:
        page = self._ide is not None and scope["method"] == "GET" and not _has_query(scope["query_string"])
        return chosen(headers.get(b"accept"), events=self._stream is not None, page=page)

    async def _admitted(self, scope: Scope, headers: Headers, media: Media | None) -> Caller:
        """Who asks; raises Refusal for all that a request's method and headers say against it."""
        method = scope["method"]
        if method not in self._methods:
            raise Refusal(Code.METHOD_NOT_ALLOWED, "GraphQL is asked by POST, and queries by GET where that is on.")
        if media is None:
            raise Refusal(Code.NOT_ACCEPTABLE, f"Accept must allow {Media.GRAPHQL.value} or {Media.JSON.value}.")
        if method == "GET":
            _check_get(headers)
        else:
            self._check_post(headers)
        return await self._caller(headers)

    async def _caller(self, headers: Headers) -> Caller:
        found = self._caller_of(headers)
        caller = found if isinstance(found, Caller) else await found
        at_hand().caller = caller.subject
        return caller

    async def _asked(self, scope: Scope, receive: Receive) -> Asked:
        """What is asked; raises Refusal for what is no GraphQL request, and ClientGoneError."""
        if scope["method"] == "GET":
            return asked_from_url(scope["query_string"], self._reader)
        body = await self._bodies.read(receive)
        if not body:
            raise bad("There is no body.")
        if len(body) > LARGE_BODY:
            return asked_from(await asyncio.to_thread(self._reader.read, body))
        return asked_from(self._reader.read(body))

    def _check_post(self, headers: Headers) -> None:
        content_type = headers.get(b"content-type")
        if not is_json(content_type):
            if content_type is not None and b"," in content_type:
                raise bad("Content-Type stands twice.")
            raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json, in UTF-8.")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "A body comes without Content-Encoding.")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise bad("Content-Length is no number.")
        if len(length) > _LENGTH_DIGITS_MAX or int(length) > self._body_max:
            raise too_large(self._body_max)

    async def _is_body_gone(self, headers: Headers, receive: Receive) -> bool:
        """Whether the next request can follow on this connection: a short rest of the refused one is read and dropped.

        A server that goes on reading a body for nobody could be kept busy by it for ever.
        """
        length = headers.get(b"content-length", b"0")
        if length == b"0" and b"transfer-encoding" not in headers:
            return True
        if b"transfer-encoding" in headers or b"expect" in headers or len(length) > _UNREAD_DIGITS_MAX:
            return False
        try:
            await self._dropped.read(receive)
        except (Refusal, ClientGoneError):
            return False
        return True

    def _refused(self, refusal: Refusal, *, kept: bool) -> Reply:
        """The answer to what is no GraphQL request; `kept` says whether the connection is."""
        at_hand().code = refusal.code
        # A timeout before there is a request is the client's: its body did not come.
        status = 408 if refusal.code is Code.TIMEOUT else STATUSES.get(refusal.code, 400)
        more = headers_for(refusal.code, refusal.extensions, allow=", ".join(sorted(self._methods)))
        if not kept:
            more.append(CLOSING)
        return Reply(status, error_body(refusal.code, refusal.message, refusal.extensions), more)


async def _send(send: Send, media: Media | None, reply: Reply) -> None:
    status, body, more = reply
    headers = [*fixed_headers(media), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def fixed_headers(media: Media | None) -> Pairs:
    """The headers that every answer of a media type has."""
    return _GRAPHQL if media is Media.GRAPHQL else _JSON


def joined_headers(pairs: list[tuple[bytes, bytes]]) -> Headers:
    """A request's headers by name."""
    headers = dict(pairs)
    if len(headers) != len(pairs):
        headers = {}
        for name, value in pairs:
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def _with_wishes(asked: Asked, headers: Headers) -> Asked:
    """A request, and what its answer is to tell of itself."""
    if b"graphql-cost" in headers:
        asked = asked._replace(wants_cost=headers[b"graphql-cost"] == b"report")
    if b"graphql-plan" in headers:
        asked = asked._replace(wants_plan=headers[b"graphql-plan"] == b"show")
    return asked


def _has_query(query_string: bytes) -> bool:
    return query_string.startswith(b"query=") or b"&query=" in query_string


def _check_get(headers: Headers) -> None:
    """Raise CSRF_PREVENTION where a browser may have been made to send its cookies here by another site."""
    if b"cookie" not in headers or is_json(headers.get(b"content-type")):
        return
    if not any(headers.get(name) for name in _PREFLIGHT):
        message = "A GET with a Cookie header needs a GraphQL-Require-Preflight header too."
        raise Refusal(Code.CSRF_PREVENTION, message)


def headers_for(code: Code | None, extensions: Mapping[str, Any], *, allow: str) -> list[tuple[bytes, bytes]]:
    """The headers that a code calls for."""
    if code is Code.UNAUTHENTICATED:
        return [(b"www-authenticate", b"Bearer")]
    if code is Code.METHOD_NOT_ALLOWED:
        return [(b"allow", allow.encode("ascii"))]
    if code is Code.RATE_LIMITED or code is Code.UNAVAILABLE:
        return [(b"retry-after", b"%d" % math.ceil(extensions.get("retryAfter", RETRY_SECONDS)))]
    return []


def _given_up() -> Reply:
    """The answer to what was broken off: it may have been done, or not."""
    refusal = outcome_unknown(Code.UNAVAILABLE, "The gateway goes away")
    body = error_body(refusal.code, refusal.message, refusal.extensions)
    return Reply(503, body, [*headers_for(refusal.code, {}, allow=""), CLOSING])


def _failed() -> Reply:
    """The answer where the gateway itself failed, inside an `except`: the log holds what happened under the id."""
    id = secrets.token_hex(8)
    at_hand().code = Code.INTERNAL
    _log.exception("request_failed", id=id)
    return Reply(500, error_body(Code.INTERNAL, "Internal error", {"id": id}), [])
