"""Tells the other processes of one database that something was written; on PostgreSQL by NOTIFY.

A signal says nothing but that a look is worth while, and may be lost: whoever waits for news looks by itself now and
then. It is sent after the commit, by one connection, and many commits share one signal: NOTIFY within a transaction
takes a lock of the whole cluster when that commits.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg
import structlog
from sqlalchemy import make_url

from app.store.wires import ANSWER_SECONDS, BROKEN, CONNECT_SECONDS, Wire

CHANNEL = "balance_gateway"
AGAIN_SECONDS = 2.0
REST_SECONDS = 0.02
"""How long it rests after a signal: many commits share one."""

_log = structlog.get_logger("balance_gateway")


class Signals:
    """Signals to and from the other processes of a PostgreSQL database."""

    def __init__(self, url: str, heard: Callable[[], None]) -> None:
        self._dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._heard = heard
        self._told = asyncio.Event()

    def tell(self) -> None:
        """Something was committed here."""
        self._told.set()

    async def run(self) -> None:
        """Pass signals on, until cancelled; connects anew where the connection is lost."""
        while True:
            try:
                await self._connected()
            except (OSError, asyncpg.PostgresError, *BROKEN) as error:
                _log.warning("signals_lost", error=type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _connected(self) -> None:
        settings = {"application_name": "balance-gateway signals"}
        connection: Any = await asyncpg.connect(
            self._dsn,
            server_settings=settings,
            connection_class=Wire,
            timeout=CONNECT_SECONDS,
            command_timeout=ANSWER_SECONDS,
        )
        lost = asyncio.Event()
        try:

            def ended(*_: Any) -> None:
                lost.set()
                self._told.set()

            connection.add_termination_listener(ended)
            await connection.add_listener(CHANNEL, lambda *_: self._heard())
            self._heard()  # What came while nobody listened.
            while not lost.is_set():
                await self._told.wait()
                self._told.clear()
                if not lost.is_set():
                    await connection.execute(f"NOTIFY {CHANNEL}")
                    await asyncio.sleep(REST_SECONDS)
        finally:
            with suppress(OSError, asyncpg.PostgresError, *BROKEN):
                await connection.close()
