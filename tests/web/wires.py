"""Connections to a gateway without a network: what arrives, and when, is exactly what a test says."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.lifespan.on import LifespanOn
from uvicorn.server import ServerState

from app.web.connections import Connection, ConnectionLimits, Watch
from app.web.known import Known
from tests.web.servers import SECONDS

_CHANCE = re.compile(rb'x-request-id: [^\r]*\r\n|(?<="id":")[0-9a-f]{16}')


class Wire(asyncio.Transport):
    """A client's end of a connection, and the transport that the gateway's end writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: Connection
        self.fed: list[bytes] = []
        """What the gateway's parser was given."""
        self.received = 0
        """Segments that the gateway was given."""
        self.written = bytearray()
        self.reads = True
        """Whether the gateway does."""
        self.unread_max = float("inf")
        """More unread bytes than these keep the gateway from writing."""
        self.was_aborted = False
        self._unread = 0
        self._coming: deque[bytes] = deque()
        self._is_closing = False
        self._is_lost = False

    def send(self, *segments: bytes) -> None:
        """Have the gateway receive each of these by itself, as soon as it reads."""
        self._coming.extend(segments)
        self._deliver()

    def hang_up(self) -> None:
        """End the connection. A gateway that does not read hears nothing of it, as with a real one."""
        self._coming.append(b"")
        self._deliver()

    def read_all(self) -> bytes:
        """What came and was not read before."""
        read = bytes(self.written[len(self.written) - self._unread :])
        self._unread = 0
        if self._is_closing:
            self._lose(None)
        elif self.connection.flow.write_paused:
            self.connection.resume_writing()
        return read

    @property
    def waiting(self) -> int:
        """Segments that the gateway has not read."""
        return len(self._coming)

    def _deliver(self) -> None:
        while self._coming and self.reads and not self._is_closing:
            segment = self._coming.popleft()
            if segment:
                self.received += 1
                self.connection.data_received(segment)
            else:
                self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        self._is_closing = True
        if not self._is_lost:
            self._is_lost = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, error)

    def write(self, data: Any) -> None:
        self.written += data
        self._unread += len(data)
        if self._unread > self.unread_max:
            self.connection.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self._unread

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _NoSocket() if name == "socket" else default

    def close(self) -> None:
        """End the connection when all is read."""
        self._is_closing = True
        if not self._unread:
            self._lose(None)

    def abort(self) -> None:
        self.was_aborted = True
        self._lose(ConnectionAbortedError())

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True
        asyncio.get_running_loop().call_soon(self._deliver)


class _NoSocket:
    """What a wire has in place of a socket."""

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 0

    getsockname = getpeername

    def setsockopt(self, *_option: Any) -> None:
        return


class _Seen:
    """A parser, and a list of what it is fed."""

    def __init__(self, parser: Any, fed: list[bytes]) -> None:
        self._parser = parser
        self._fed = fed

    def feed_data(self, data: bytes) -> None:
        self._fed.append(data)
        self._parser.feed_data(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class Wired:
    """A gateway that wires lead to."""

    def __init__(self, app: ASGIApp, known: Known | None, limits: ConnectionLimits | None = None) -> None:
        self.app = app
        self.known = known
        self.watch = Watch(limits or ConnectionLimits(), known)
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        self.config = uvicorn.Config(
            app, http=self.watch.protocol, log_config=None, access_log=False, server_header=False, proxy_headers=False
        )

    def connected(self) -> Wire:
        wire = Wire()
        wire.connection = self.watch.protocol(self.config, self.state, {}, asyncio.get_running_loop())
        wire.connection.parser = _Seen(wire.connection.parser, wire.fed)  # type: ignore[assignment]  # It hands all on.
        wire.connection.connection_made(wire)
        return wire

    async def settled(self, *wires: Wire) -> None:
        """Wait until all that was sent over wires is answered, or never will be."""
        await turns(lambda: not self.state.tasks and all(not wire.waiting or wire.is_closing() for wire in wires))
        await asyncio.sleep(0)  # A connection that was closed hears of it.

    async def answers(self, wire: Wire, *segments: bytes) -> bytes:
        """What comes back for what is sent, beside what is different each time."""
        wire.send(*segments)
        await self.settled(wire)
        return alike(wire.read_all())

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """What the app does from its start to its end is done."""
        lifespan = LifespanOn(self.config)
        await lifespan.startup()
        try:
            yield
        finally:
            await lifespan.shutdown()


def alike(answers: bytes) -> bytes:
    """Answers without their ids."""
    return _CHANCE.sub(b"", answers)


async def turns(until: Callable[[], bool]) -> None:
    """Let the event loop turn until something is so."""
    async with asyncio.timeout(SECONDS):
        while not until():  # noqa: ASYNC110 - what is waited for knows of no event.
            await asyncio.sleep(0)
