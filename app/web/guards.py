"""Guards before every app: requests that HTTP allows and the gateway does not, and headers that every answer has."""

import re
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.refusals import Code
from app.web.access import at_hand
from app.web.bodies import error_body

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""The hosts that a gateway without a key answers for, so that no name of another site can be pointed at it."""

_HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE)

HEADERS_MAX = 100
HEADER_BYTES_MAX = 32_768
"""Bytes of all names and values together."""
URL_MAX = 16_384
"""Bytes of a request's path and query."""


SAFE_HEADERS: Mapping[bytes, bytes] = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
"""What every answer has, so that no browser takes one for something else, frames it or keeps it."""

Fault = tuple[int, str]
"""A status, and what is told with it."""

_JSON_HEADERS = [(b"content-type", b"application/json; charset=utf-8"), *SAFE_HEADERS.items()]


async def send_json(send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
    """Send a whole JSON answer; `more` are headers beside the usual ones."""
    headers = [*_JSON_HEADERS, (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(scope: Scope, send: Send, status: int, message: str, *, kept: bool = False) -> None:
    """Answer BAD_REQUEST with a status, or close a WebSocket.

    Unless `kept` it ends the connection: its rest may not mean what it seems to.
    """
    at_hand().code = Code.BAD_REQUEST
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": message})
        return
    closing = () if kept else ((b"connection", b"close"),)
    await send_json(send, status, error_body(Code.BAD_REQUEST, message), *closing)


class HostGuard:
    """Lets through what has exactly one Host header, a well-formed one, and refuses the rest with 400.

    hosts: the names that are answered, in lower case and without a port (any will do); None: every name.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._hosts = None if hosts is None else frozenset(host.encode("ascii") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        fault = self.fault(scope)
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, send, *fault)

    def fault(self, scope: Scope) -> Fault | None:
        """What is wrong with a request; None: nothing."""
        values = [value for name, value in scope["headers"] if name == b"host"]
        if len(values) != 1:
            return 400, "A request has exactly one Host header."
        match = _HOST.fullmatch(values[0])
        if match is None:
            return 400, "The Host header is malformed."
        if self._hosts is not None and match[1].lower() not in self._hosts:
            return 400, "This host is not served here."
        return None


class FramingGuard:
    """Refuses what is too big before its body comes, or expects what is not done.

    431: more than `headers_max` headers, or `header_bytes_max` bytes of them. 414: a path and query of more than
    `url_max` bytes. 417: an expectation other than 100-continue (RFC 9110, section 10.1.1). 501: a transfer coding
    beside chunked, which the server's parser takes and does not undo (RFC 9112, section 6.1); every other doubtful
    framing it refuses itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        headers_max: int = HEADERS_MAX,
        header_bytes_max: int = HEADER_BYTES_MAX,
        url_max: int = URL_MAX,
    ) -> None:
        self._app = app
        self._headers_max = headers_max
        self._header_bytes_max = header_bytes_max
        self._url_max = url_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        fault = self.fault(scope)
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, send, *fault)

    def fault(self, scope: Scope) -> Fault | None:
        """What is wrong with a request; None: nothing."""
        pairs = scope["headers"]
        if len(pairs) > self._headers_max:
            return 431, f"A request has at most {self._headers_max} headers."
        if sum([len(name) + len(value) for name, value in pairs]) > self._header_bytes_max:
            return 431, f"A request's headers have at most {self._header_bytes_max} bytes."
        if len(scope["raw_path"]) + len(scope["query_string"]) > self._url_max:
            return 414, f"A request's path and query have at most {self._url_max} bytes."
        for name, value in pairs:
            if name == b"expect" and value.lower() != b"100-continue":
                return 417, "The only expectation that is met is 100-continue."
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                return 501, "The only transfer coding that is undone is chunked."
        return None


class SecurityHeaders:
    """Gives HTTP answers the headers of SAFE_HEADERS that they do not have; a page brings its own policy.

    For apps of others: what this package answers itself has these headers from the start.
    """

    def __init__(self, app: ASGIApp, headers: Mapping[bytes, bytes] = SAFE_HEADERS) -> None:
        self._app = app
        self._headers = list(headers.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                message["headers"] = own + [pair for pair in self._headers if pair[0] not in names]
            await send(message)

        await self._app(scope, receive, sending)


class Paths:
    """Finds the app of an exact path by one look-up; nothing is redirected, as a redirect would repeat the Host.

    http, websocket: apps by path.
    rest: answers all other paths, and the lifespan.
    """

    def __init__(self, rest: ASGIApp, *, http: Mapping[str, ASGIApp], websocket: Mapping[str, ASGIApp]) -> None:
        self._rest = rest
        self._by_type = {"http": dict(http), "websocket": dict(websocket)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        by_path = self._by_type.get(scope["type"])
        app = self._rest if by_path is None else by_path.get(scope["path"], self._rest)
        await app(scope, receive, send)


async def not_found(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers what no path leads to: 404, or the end of a WebSocket's handshake."""
    await refuse(scope, send, 404, "Not found.", kept=True)
