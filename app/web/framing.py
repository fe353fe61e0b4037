"""What the server's protocol shows of a request's target before an app sees it."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.guards import URL_MAX


class StrictProtocol(HttpToolsProtocol):
    """Keeps targets that name another place, or are too long to be parsed, from being taken for paths of ours.

    `POST http://elsewhere.example/graphql` would lose the host that it names, so it becomes a path that leads nowhere.
    A target of over 64 KB would be no HTTP at all; what is left of it is still too long for `FramingGuard`.
    """

    def on_headers_complete(self) -> None:
        if not self.url.startswith(b"/"):
            self.url = b"/" + self.url
        # The question mark before the query is not counted there.
        self.url = self.url[: URL_MAX + 2]
        super().on_headers_complete()
