"""The access log: one line for each request, with who asked for which operation, and what became of it.

No value of a request is in it: no token, no variable, no literal, no query of an address.
"""

import asyncio
import itertools
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from time import perf_counter
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = b"x-request-id"

TEXT_MAX = 100
"""Characters of a client's text, such as the name of an operation, that a line repeats."""

Write = Callable[[bytes], None]

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
_START = secrets.token_hex(4).encode("ascii")
_NUMBERS = itertools.count(1)


class Request:
    """A request as the log tells it; whoever learns something of it writes it here."""

    __slots__ = ("begun", "caller", "code", "cost", "id", "name", "status", "type")

    def __init__(self, id: str = "") -> None:
        self.id = id
        self.begun = perf_counter()
        self.caller: str | None = None
        self.name: str | None = None
        """The operation's."""
        self.type: str | None = None
        """query, mutation or subscription."""
        self.cost: int | None = None
        self.status: int | None = None
        """Of HTTP, or the code of a WebSocket's close."""
        self.code: str | None = None
        """Of the answer's first error."""


_AT_HAND: ContextVar[Request | None] = ContextVar("request", default=None)
_WORKS_FOR = "request "


def at_hand() -> Request:
    """The request that is being answered; outside of any, one that nobody reads."""
    return _AT_HAND.get() or Request()


def carry(task: asyncio.Future[Any]) -> None:
    """Name a task after the request that is being answered, for which it works."""
    if isinstance(task, asyncio.Task):
        request = at_hand()
        task.set_name(f"{_WORKS_FOR}{request.id} {_bounded(request.name) or ''}")


def carried(task: asyncio.Task[Any]) -> tuple[str, str | None] | None:
    """The id and the operation's name of the request that a task was named after, as a line may hold them."""
    name = task.get_name()
    if not name.startswith(_WORKS_FOR):
        return None
    id, _, operation_name = name.removeprefix(_WORKS_FOR).partition(" ")
    return id, operation_name or None


def told(request: Request) -> tuple[str, str | None]:
    """The same of a request."""
    return request.id, _bounded(request.name)


class AccessLog:
    """Gives each request an id, sends it back as X-Request-Id, and writes a line when the request is answered.

    The client's own id counts where it is well-formed: 1 to 128 letters, digits and ._:+/=-
    write: takes the line; None: there is none.
    """

    def __init__(self, app: ASGIApp, write: Write | None) -> None:
        self._app = app
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        type_ = scope["type"]
        if type_ == "lifespan":
            await self._app(scope, receive, send)
            return
        id = _id(scope["headers"])
        request = begin(id)

        def sending(message: Message) -> Any:
            kind = message["type"]
            if kind == "http.response.start":
                request.status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID, id)]
            elif kind == "websocket.accept":
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID, id)]
            elif kind == "websocket.close":
                request.status = message.get("code", 1000)
            return send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            self.end(request, scope["method"] if type_ == "http" else None, scope["path"])

    def end(self, request: Request, method: str | None, path: str) -> None:
        """Write the line of a request that is answered."""
        if self._write is not None:
            self._write(_line("request", request, method, path))


def begin(id: bytes) -> Request:
    """A request that begins to be answered, and is the one at hand from now on."""
    request = Request(id.decode("ascii"))
    _AT_HAND.set(request)
    return request


def new_id() -> bytes:
    """An id for a request that brings none."""
    return b"%b-%x" % (_START, next(_NUMBERS))


@contextmanager
def operation(name: str | None, write: Write | None) -> Iterator[None]:
    """Make an operation over a socket the one at hand, and write its line when it ends; one task for each."""
    socket = at_hand()
    request = Request(socket.id)
    request.caller, request.name = socket.caller, name
    _AT_HAND.set(request)
    task = asyncio.current_task()
    if task is not None:
        carry(task)
    try:
        yield
    finally:
        if write is not None:
            write(_line("operation", request))


def _line(event: str, request: Request, *where: str | None) -> bytes:
    """A line; `where` is of a request of HTTP, its method and its path."""
    line = {
        "duration_ms": round((perf_counter() - request.begun) * 1000, 3),
        "cost": request.cost,
        "status": request.status,
        "code": request.code,
        "event": event,
        "level": "info",
        "timestamp": datetime.now(UTC),
    }
    said = _said(request.name, request.type, request.caller, *where)
    measured = orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    # An id is well-formed.
    return b'{"request_id":"%b",%b,%b' % (request.id.encode(), said, measured[1:])


@lru_cache(maxsize=256)
def _said(name: str | None, type_: str | None, caller: str | None, *where: str | None) -> bytes:
    """What a line says of all requests that are alike."""
    told = dict(zip(("method", "path"), map(_bounded, where), strict=False))
    told |= {"operation": _bounded(name), "type": type_, "caller": _bounded(caller)}
    return orjson.dumps(told)[1:-1]


def _id(headers: list[tuple[bytes, bytes]]) -> bytes:
    for name, value in headers:
        if name == REQUEST_ID and _WELL_FORMED.fullmatch(value) is not None:
            return value
    return new_id()


def _bounded(text: str | None) -> str | None:
    """A client's text as a line may hold it: cut, and printable ASCII alone."""
    if text is None:
        return None
    if len(text) > TEXT_MAX:
        text = text[:TEXT_MAX] + "..."
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
