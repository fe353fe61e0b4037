"""What the server's protocol makes of a request's head before an app sees it."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.guards import URL_MAX

_OF_BODIES = frozenset({b"content-length", b"transfer-encoding"})


class StrictProtocol(HttpToolsProtocol):
    """Keeps targets that name another place, or are too long to be parsed, from being taken for paths of ours.

    `POST http://elsewhere.example/graphql` would lose the host that it names, so it becomes a path that leads nowhere.
    A target of over 64 KB would be no HTTP at all; what is left of it is still too long for `FramingGuard`.

    And ends the connection after a request with a body that asks for a protocol that there is not: the parser takes
    the body for what follows the request, so that it would be read as the next one.
    """

    def on_headers_complete(self) -> None:
        if not self.url.startswith(b"/"):
            self.url = b"/" + self.url
        # The question mark before the query is not counted there.
        self.url = self.url[: URL_MAX + 2]
        super().on_headers_complete()
        if self.parser.should_upgrade() and not self._should_upgrade():
            has_body = not _OF_BODIES.isdisjoint([name for name, _ in self.headers])
            self.cycle.keep_alive = self.cycle.keep_alive and not has_body
