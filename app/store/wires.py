"""Connections to PostgreSQL that notice when the network between went silent."""

import socket
from typing import Any

import asyncpg

END_SECONDS = 2.0
"""How long a server may take to end a connection."""

SILENT_SECONDS = 15
"""How long the network may leave unconfirmed what was sent."""

_KEPT_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": SILENT_SECONDS * 1000}
"""Seconds of silence before the system asks, between its questions, how many; milliseconds for what was sent."""


class Wire(asyncpg.Connection):
    """The driver's connection, told lost where nobody is at its other end any more, and whose end has a limit.

    The driver leaves keeping alive to the system, where it is off: what waits for an answer then waits for ever. And a
    pool that is left gives its connections no limit to their end.
    """

    def __init__(self, protocol: Any, transport: Any, *given: Any) -> None:
        super().__init__(protocol, transport, *given)
        found = transport.get_extra_info("socket")
        if found is None or found.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEPT_ALIVE.items():
            if hasattr(socket, name):  # Not every system has all of them.
                found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the driver's name.
        await super().close(timeout=END_SECONDS if timeout is None else timeout)
