"""Pages of other origins that may read answers (CORS, Fetch standard), where the operator names them."""

import re
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.guards import SAFE_HEADERS

PREFLIGHT_SECONDS = 600
"""How long a browser may remember that it was allowed."""

METHODS = b"GET, POST"
REQUEST_HEADERS = (
    b"Accept, Authorization, Content-Type, Idempotency-Key, X-Request-Id, GraphQL-Require-Preflight, "
    b"Apollo-Require-Preflight, X-Apollo-Operation-Name, GraphQL-Cost, GraphQL-Plan"
)
ANSWER_HEADERS = b"X-Request-Id, Retry-After, Idempotency-Replayed"

_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9-]+(?:\.[a-z0-9-]+)*)(?::[1-9][0-9]{0,4})?")
_VARY = (b"vary", b"Origin")


def is_origin(text: str) -> bool:
    """Whether a text is an origin as a browser sends it: scheme, host and a port that is not the usual one."""
    usual = ":80" if text.startswith("http:") else ":443"
    return _ORIGIN.fullmatch(text) is not None and not text.endswith(usual)


class Cors:
    """Lets pages of the named origins read answers, and answers the question that browsers ask before.

    An origin is compared whole and byte for byte. There are no credentials and no wildcard: a caller is known by the
    token that a page's own script sends. Everybody else is answered as if there were no CORS.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode("ascii") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = self._allowed(scope)
        if allowed is not None and _is_preflight(scope):
            await _allow(send, [_VARY, (b"access-control-allow-origin", allowed)])
            return
        more = self.more(scope)

        def sending(message: Message) -> Any:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *more]
            return send(message)

        await self._app(scope, receive, sending)

    def more(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """The headers of the answer to a request, beside its own."""
        allowed = self._allowed(scope)
        if allowed is None:
            return [_VARY]
        return [
            _VARY,
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", ANSWER_HEADERS),
        ]

    def _allowed(self, scope: Scope) -> bytes | None:
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        return origins[0] if len(origins) == 1 and origins[0] in self._origins else None


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


async def _allow(send: Send, more: list[tuple[bytes, bytes]]) -> None:
    headers = [
        *SAFE_HEADERS.items(),
        *more,
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", REQUEST_HEADERS),
        (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
