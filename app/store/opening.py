"""Opening a SQLite file by its driver, so that nobody waits for ever."""

import _thread
import asyncio
from threading import Thread
from typing import Any

import aiosqlite

OPENING_SECONDS = 8.0
"""How long a file may take to be opened."""


class _Worker:
    """Starts a connection's thread, and doesn't wait for it.

    A Thread's own start waits, in the event loop, until the thread runs. Where memory ends, one may never do so.
    """

    daemon = True

    def __init__(self, thread: Thread) -> None:
        self._thread = thread

    def start(self) -> None:
        _thread.start_new_thread(self._thread.run, ())


async def opened(file: str, **arguments: Any) -> aiosqlite.Connection:
    """A connection to a file.

    arguments: sqlite3's for it.

    Raises OSError where it can't be had, TimeoutError where nothing comes of it; what SQLite says, as sqlite3 does.
    """
    connection = aiosqlite.connect(file, **arguments)
    connection._thread = _Worker(connection._thread)  # type: ignore[assignment]  # noqa: SLF001 - it is but started.
    try:
        async with asyncio.timeout(OPENING_SECONDS):
            return await connection
    except RuntimeError as error:
        raise OSError("no thread can be started") from error
