"""A real server around an ASGI app, and clients that send exactly what they are told."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, NamedTuple

import uvicorn
from starlette.types import ASGIApp

SECONDS = 20
"""How long a test waits for what has to come."""

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"


class Reply(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the only error of an answer without data."""
        assert list(self.json) == ["errors"]
        (error,) = self.json["errors"]
        code: str = error["extensions"]["code"]
        return code

    @property
    def message(self) -> str:
        message: str = self.json["errors"][0]["message"]
        return message

    @property
    def media(self) -> str:
        return self.headers["content-type"].partition(";")[0]


class Served:
    """An app that listens on a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None) -> Reply:
        """Send these headers and no others, save Host and Content-Length where they are not among them."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            names = {name.lower() for name, _ in headers}
            connection.putrequest(method, path, skip_host="host" in names, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None and not names & {"content-length", "transfer-encoding"}:
                connection.putheader("Content-Length", str(len(body)))
            # An answer may come before all was sent, and the connection be ended then.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(body)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, received, response.read())
        finally:
            connection.close()

    def post(self, value: Any, *headers: tuple[str, str], accept: str | None = GRAPHQL) -> Reply:
        """Post JSON; bytes are sent as they are."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        accepted = [] if accept is None else [("Accept", accept)]
        return self.ask("POST", "/graphql", [("Content-Type", JSON), *accepted, *headers], body)

    def raw(self, sent: bytes) -> Reply:
        """Send bytes and read one answer, whether or not more bytes were announced."""
        with self.connected() as connection:
            connection.send(sent)
            return connection.reply()

    @contextmanager
    def connected(self) -> Iterator["Connection"]:
        address = ("127.0.0.1", self.port)
        with socket.create_connection(address, timeout=SECONDS) as made, made.makefile("rb") as arriving:
            yield Connection(made, arriving)


class Connection:
    """Bytes that go, and answers that come one after another."""

    def __init__(self, connection: socket.socket, arriving: BinaryIO) -> None:
        self._arriving = arriving
        self.send = connection.sendall
        self.read = arriving.read

    def reply(self) -> Reply:
        status = int(self._arriving.readline().split(b" ")[1])
        headers = {name.lower(): value for name, value in http.client.parse_headers(self._arriving).items()}
        return Reply(status, headers, self.read(int(headers["content-length"])))

    def is_closed(self) -> bool:
        """Whether the server ends the connection; waits for it."""
        try:
            return self.read(1) == b""
        except ConnectionResetError:
            return True


@contextmanager
def serving(app: ASGIApp, protocol: Any = "httptools") -> Iterator[Served]:
    """Serve an app as the gateway is served, in a thread of its own, on a port that the system chooses.

    protocol: what connections are made of.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            app, http=protocol, loop="uvloop", lifespan="off", log_config=None, access_log=False, server_header=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            # The socket listens already, so a client that comes too early is queued.
            yield Served(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
