"""Connections: how many there may be, and how long one may take to send a request's head or to read its answer."""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, NamedTuple

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.domain.refusals import Code
from app.web.bodies import error_body
from app.web.framing import StrictProtocol
from app.web.graphql import Head
from app.web.guards import send_json
from app.web.known import Known

CONNECTIONS_MAX = 2_000
HEAD_SECONDS = 10.0
WRITE_SECONDS = 30.0
SURPLUS_HEAD_SECONDS = 2.0
"""How long a connection that is one too many may take to ask, and so to hear that it is."""
LOOK_SECONDS = 1
"""How often all connections are looked at."""

_log = logging.getLogger("uvicorn.error")

_AT_ONCE = struct.pack("ii", 1, 0)
_OTHER_FILES = 200
"""Files that a process has open beside its clients' connections."""


class ConnectionLimits(NamedTuple):
    """What clients may do with connections."""

    connections: int = CONNECTIONS_MAX
    head_seconds: float = HEAD_SECONDS
    """How long the head of a request may take, from the connection or from its first byte on."""
    write_seconds: float = WRITE_SECONDS
    """How long nothing of an answer may be read."""


class _Direct:
    """A request that is answered straight from its connection; it looks to uvicorn like one of its own."""

    __slots__ = ("disconnected", "flow", "keep_alive", "message_event", "response_complete")

    def __init__(self, flow: FlowControl, message_event: asyncio.Event) -> None:
        self.flow = flow
        self.message_event = message_event
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False

    async def receive(self) -> Message:
        """Wait until the client is gone; only who reads hears of that."""
        if not self.disconnected:
            self.flow.resume_reading()
        await self.message_event.wait()
        return {"type": "http.disconnect"}


class Connection(StrictProtocol):
    """One client's connection; uvicorn's, with the times that it does not keep, and a short way for known requests."""

    limits = ConnectionLimits()
    known: Known | None = None
    """Answers requests whose head is known; None: all go the long way."""
    head_since: float | None = None
    """Since when a head is waited for; None while a request is answered or the next one may still come."""
    idle_since: float | None = None
    """Since when nothing has come after an answer."""
    answering: RequestResponseCycle | _Direct | None = None
    """The request that is being answered; uvicorn forgets it when the next one has come."""
    is_surplus = False
    """Whether there were enough without it: whatever it asks is refused."""
    is_between = True
    """Whether all that came was whole requests."""
    begins: bytes | None = None
    """What a request began with whose head is not known."""
    early = b""
    """What came while a request was answered directly."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.head_since = self.loop.time()
        self.gone = asyncio.Event()
        self.context = copy_context()
        if len(self.connections) > self.limits.connections:
            self.is_surplus = True
            self.known = None
            self.app = _refuse

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answering is not None and not self.answering.response_complete:
            self.answering.disconnected = True
            self.answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.idle_since = None
        if self.known is not None and self.is_between:
            answering = self.answering
            if answering is None or answering.response_complete:
                found = self.known.find(data)
                if found is not None:
                    self._answer_directly(*found)
                    return
                self.begins = data
            elif isinstance(answering, _Direct):
                self.early += data
                self.flow.pause_reading()
                return
        super().data_received(data)
        self.begins = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.is_between = False
        if self.head_since is None:
            self.head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.head_since = None
        if self.begins is not None and self.known is not None and self.parser.should_keep_alive():
            self.known.learn(self.begins, dict(self.scope))
        self.begins = None

    def on_message_complete(self) -> None:
        self.is_between = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's; but one watch ends what is idle, in place of a timer for each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.idle_since = self.loop.time()

    def is_slow(self, now: float) -> bool:
        """Whether a head has taken too long. Bytes that are part of none don't keep a connection."""
        if self.head_since is None:
            is_idle = self.cycle is not None and self.cycle.response_complete and self.idle_since is None
            self.head_since = now if is_idle else None
            return False
        allowed = self.limits.head_seconds
        return now - self.head_since > (min(allowed, SURPLUS_HEAD_SECONDS) if self.is_surplus else allowed)

    def is_left(self, now: float) -> bool:
        """Whether no other request has come for a while after the last one was answered."""
        return self.idle_since is not None and now - self.idle_since > self.timeout_keep_alive

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    def _should_upgrade_to_ws(self) -> bool:
        return not self.is_surplus and super()._should_upgrade_to_ws()

    def _answer_directly(self, head: Head, more: bytes, body: bytes) -> None:
        self.head_since = None
        direct = self.answering = _Direct(self.flow, self.gone)
        self.cycle = direct  # type: ignore[assignment]  # It is read for what both have.
        self.tasks.add(self.loop.create_task(self._answered(direct, head, more, body)))

    async def _answered(self, direct: _Direct, head: Head, more: bytes, body: bytes) -> None:
        assert self.known is not None
        try:
            answer = await self.known.answer(head, more, body, direct.receive, self.server_state.default_headers)
            if self.flow.write_paused and not direct.disconnected:
                await self.flow.drain()
            if answer is not None and not direct.disconnected:
                # The process may end since the request came.
                ending = b"\r\n" if direct.keep_alive or answer.ends else b"connection: close\r\n\r\n"
                self.transport.write(b"".join((answer.head, ending, answer.body)))
                direct.keep_alive = direct.keep_alive and not answer.ends
        except asyncio.CancelledError:
            direct.keep_alive = False
            raise
        except Exception:  # noqa: BLE001 - the last line of defence: the view answers what fails in it.
            direct.keep_alive = False
            _log.exception("A request could not be answered")
        finally:
            direct.response_complete = True
            self.tasks.discard(asyncio.current_task())
            self._go_on(direct)

    def _go_on(self, direct: _Direct) -> None:
        """Take what came meanwhile, or wait for the next request."""
        if direct.disconnected:
            return
        if not direct.keep_alive:
            self.transport.close()
            return
        self.on_response_complete()
        early, self.early = self.early, b""
        if early and not self.transport.is_closing():
            # What comes of it is not this request's.
            self.context.run(self.data_received, early)


class Watch:
    """Drops the connections of slow senders and slow readers; WebSockets too."""

    def __init__(self, limits: ConnectionLimits, known: Known | None = None) -> None:
        self._seconds = limits.write_seconds
        self.protocol = type("LimitedConnection", (Connection,), {"limits": limits, "known": known})
        """What uvicorn makes connections of."""
        self._unread: dict[Any, tuple[int, float]] = {}
        """How much of an answer waits to be read, and since when it has not become less."""

    def look(self, connections: Iterable[Any], now: float) -> None:
        """Drop those that are slow at this moment of the event loop's time."""
        unread = {}
        for connection in list(connections):
            if isinstance(connection, Connection):
                if connection.is_slow(now):
                    _drop(connection.transport)
                    continue
                if connection.is_left(now):
                    # What waits to be read still does.
                    connection.transport.close()
            size = connection.transport.get_write_buffer_size()
            if not size:
                continue
            before, since = self._unread.get(connection, (size + 1, now))
            since = now if size < before else since
            if now - since > self._seconds:
                _drop(connection.transport)
            else:
                unread[connection] = (size, since)
        self._unread = unread


def _drop(transport: Any) -> None:
    """End a connection at once. The system too is to forget what nobody reads."""
    with suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


async def _refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
    body = error_body(Code.UNAVAILABLE, "Too many connections: try again.", {"retryAfter": 1})
    await send_json(send, 503, body, (b"retry-after", b"1"), (b"connection", b"close"))


def make_room(connections: int) -> None:
    """Let the process have so many connections open, as far as the system allows; else it could not refuse one."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not every system has it.

        wanted = 2 * connections + _OTHER_FILES
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
