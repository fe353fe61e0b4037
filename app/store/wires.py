"""Connections to PostgreSQL that notice when the network between went silent."""

import asyncio
import math
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import asyncpg

END_SECONDS = 2.0
"""How long a server may take to end a connection."""

SILENT_SECONDS = 15
"""How long the network may leave unconfirmed what was sent."""

CONNECT_SECONDS = 5.0
"""How long a new connection may take."""

ANSWER_SECONDS = 2.0
"""How long after a statement's own time its answer may take: the server has ended it by then."""

PROBE_SECONDS = 1.0
"""How long a connection may take to show that somebody is at its other end."""

REST_SECONDS = 10.0
"""After how long without an answer that is to be shown before anything is asked on a connection."""

BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver says of a connection by which nothing can be asked; the latter where its end is just being told."""

_KEPT_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": SILENT_SECONDS * 1000}
"""Seconds of silence before the system asks, between its questions, how many; milliseconds for what was sent."""


class Network:
    """What is known of the way to a database: since when connections may lead nowhere, and since when some do.

    A network that forgot a connection says nothing: what is asked there is never answered. So where one question went
    unanswered, each other connection is asked for a sign before it is used, and where one gave none, those that have
    not been heard since are ended unasked.
    """

    def __init__(self) -> None:
        self._doubted_at = self._silent_at = -math.inf
        self.wire: type[Wire] = type("Wire", (Wire,), {"network": self})
        """What connections by this network are made of."""

    def arguments(self, statement_seconds: float) -> Mapping[str, Any]:
        """asyncpg's, for a connection whose server ends statements after this time."""
        return {
            "connection_class": self.wire,
            "timeout": CONNECT_SECONDS,
            "command_timeout": statement_seconds + ANSWER_SECONDS,
        }

    def doubt(self) -> None:
        """Something that was asked was not answered; it may have been slow."""
        self._doubted_at = time.monotonic()

    def fell_silent(self, at: float) -> None:
        """A connection that was asked for a sign at this moment gave none."""
        self._silent_at = max(self._silent_at, at)

    def is_silent(self, wire: "Wire") -> bool:
        """Whether a connection has not been heard since another one gave no sign."""
        return wire.heard_at <= self._silent_at

    def is_doubtful(self, wire: "Wire") -> bool:
        """Whether a connection that nobody uses is to show that somebody is at its other end."""
        return wire.heard_at <= self._doubted_at or time.monotonic() - wire.heard_at > REST_SECONDS

    async def answers(self, wire: "Wire") -> bool:
        """Whether somebody is at the other end of a connection; one where nobody is, is ended."""
        begun = time.monotonic()
        try:
            if not self.is_silent(wire):
                async with asyncio.timeout(PROBE_SECONDS):
                    await wire.execute("SELECT 1")
                wire.heard_at = time.monotonic()
                return True
        except TimeoutError:
            self.fell_silent(begun)
        except (OSError, asyncpg.PostgresError, *BROKEN):
            self.doubt()
        except BaseException:
            wire.terminate()
            raise
        wire.terminate()
        return False


class Wire(asyncpg.Connection):
    """The driver's connection, told lost where nobody is at its other end any more, and whose end has a limit.

    The driver leaves keeping alive to the system, where it is off: what waits for an answer then waits for ever. And a
    pool that is left gives its connections no limit to their end.
    """

    network: ClassVar[Network | None] = None

    def __init__(self, protocol: Any, transport: Any, *given: Any) -> None:
        super().__init__(protocol, transport, *given)
        self.heard_at = time.monotonic()
        """When its last answer came, as far as who uses it has noted."""
        found = transport.get_extra_info("socket")
        if found is None or found.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEPT_ALIVE.items():
            if hasattr(socket, name):  # Not every system has all of them.
                found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    async def rows_of(self, prepared: Any, given: Sequence[Any], most: int = 0) -> Sequence[Any]:
        """The rows of a prepared statement, so many at most; 0: all.

        As its own `fetch` does, without the four calls that lie between there; they are dear for a small question.
        """
        try:
            protocol: Any = self._protocol  # type: ignore[attr-defined]  # The stubs leave it out.
            rows, _, _ = await protocol.bind_execute(prepared._state, given, "", most, True, timeout=None)  # noqa: SLF001 - the driver's.
        except asyncpg.OutdatedSchemaCacheError:
            await self.reload_schema_state()
            raise
        found: Sequence[Any] = rows
        return found

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the driver's name.
        network = self.network
        if network is not None and network.is_silent(self):
            self.terminate()
            return
        begun = time.monotonic()
        try:
            await super().close(timeout=END_SECONDS if timeout is None else timeout)
        except TimeoutError:  # It is ended all the same.
            if network is not None:
                network.fell_silent(begun)
