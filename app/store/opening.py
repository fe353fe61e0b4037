"""Opening a SQLite file by its driver, so that nobody waits for ever, or writes where nobody reads."""

import _thread
import asyncio
from contextlib import suppress
from pathlib import Path
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


class HeldFile:
    """A SQLite database's file, and whether it is still the one that was opened first.

    Whoever has a file open goes on with it when it is removed, or another one takes its place: what is written then
    is answered, and nobody will ever find it. The same holds of the log beside it; and a log that is made anew beside
    a file in use may destroy it. SQLite does not look for that with a write-ahead log.

    A connection of our own keeps the log from being removed as long as the file is in use, since SQLite's last
    connection does that: so a log that is another one is so by others' doing. (Each connection could look for its own
    files instead, but one that is opened later would use a log that the others don't have.)
    """

    def __init__(self, file: str, path: Path | None, **arguments: Any) -> None:
        """file: by its driver's name for it; path: where it is, None for one that is no file; arguments: sqlite3's."""
        self._file = file
        self._arguments = arguments
        self._path = path
        self._seen: dict[Path, tuple[int, int]] = {}
        self._holder: aiosqlite.Connection | None = None
        self._holding = asyncio.Lock()

    @property
    def is_in_place(self) -> bool:
        """Whether all files are those that were opened. They may be back, when they were not."""
        return all(_identity(each) == seen for each, seen in self._seen.items())

    async def opened(self, **arguments: Any) -> aiosqlite.Connection:
        """A connection. Raises as the function does, and OSError where the file is not in its place."""
        async with self._holding:
            if self._holder is None and self._path is not None:
                self._holder = await self._held(self._path)
        self._refuse_another()
        connection = await opened(self._file, **self._arguments, **arguments)
        try:
            self._refuse_another()
        except OSError:
            await connection.close()
            raise
        return connection

    def _refuse_another(self) -> None:
        if not self.is_in_place:
            raise OSError("the file was removed or replaced")

    async def _held(self, path: Path) -> aiosqlite.Connection:
        connection = await opened(self._file, **self._arguments, isolation_level=None)
        try:
            with suppress(aiosqlite.OperationalError):  # One that can't be written to needs no log.
                await connection.execute_fetchall("PRAGMA journal_mode=WAL")
            await connection.execute_fetchall("PRAGMA wal_autocheckpoint=0")
            await connection.execute_fetchall("PRAGMA query_only=ON")
            await connection.execute_fetchall("PRAGMA schema_version")  # Only one that has read uses the log.
        except BaseException:
            await connection.close()
            raise
        self._see(path)
        return connection

    def _see(self, path: Path) -> None:
        real = path.resolve()  # Its log is beside the file itself.
        for each in (path, real.with_name(f"{real.name}-wal"), real.with_name(f"{real.name}-shm")):
            identity = _identity(each)
            if identity is not None:
                self._seen[each] = identity

    async def close(self) -> None:
        """Let go of the file. SQLite leaves alone the log of one that took its place."""
        if self._holder is not None:
            await self._holder.close()
        self._holder = None
        self._seen.clear()


def _identity(file: Path) -> tuple[int, int] | None:
    """What a file is known by, whatever its name; None where it can't be told, as of one that is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
