"""Lanes: plain connections for statements that are known before, without a session, a pool or a result object.

A lane is a connection that one question has at a time. Lanes are opened as they are needed, up to a number, and the one
that was used last is used next, so few stay warm. A statement is prepared on a lane when it is first asked there.
"""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import nullcontext, suppress
from time import monotonic
from typing import Any, Generic, NamedTuple, NoReturn, Protocol, TypeVar

import aiosqlite
import asyncpg

from app.store.failures import Damage, RaceLost, told_of_commit, told_plainly
from app.store.opening import HeldFile
from app.store.places import Places
from app.store.wires import BROKEN, END_SECONDS, Network

PREPARED_MAX = 200
"""Statements that are kept prepared on a lane."""

_INTERRUPT_SECONDS = 0.02

C = TypeVar("C")


class Compiled(NamedTuple):
    """A statement in a database's own words, and how its parameters are made of named values."""

    sql: str
    parameters: Sequence[tuple[str, Callable[[Any], Any] | None]]

    def given(self, values: Mapping[str, Any]) -> list[Any]:
        """The parameters in order."""
        return [values[name] if process is None else process(values[name]) for name, process in self.parameters]


class Lanes(Protocol):
    """Answers statements that read one row."""

    async def row(self, statement: Compiled, values: Mapping[str, Any], *, writes: bool = False) -> Sequence[Any]:
        """A statement's one row. Raises Refusal TIMEOUT where it runs too long, UNAVAILABLE without an answer.

        `writes` says that it is a transaction: where its answer is lost, nobody knows whether it was committed, and
        the refusal says so.
        """
        ...

    async def rows(self, statement: Compiled, values: Mapping[str, Any]) -> Sequence[Any]:
        """All rows of a statement that reads. Raises as `row` does."""
        ...

    async def close(self) -> None: ...


class _Queue(Generic[C]):
    """Connections of which each is lent to one at a time."""

    def __init__(self, most: int, connect: Callable[[], Awaitable[C]]) -> None:
        self._places = Places(most)
        self._connect = connect
        self._free: list[C] = []
        self._endings: set[asyncio.Future[None]] = set()

    async def take(self) -> C:
        """A free connection, else a new one. Raises Refusal UNAVAILABLE where neither is to be had soon."""
        await self._places.take()
        if self._free:
            return self._free.pop()
        try:
            return await self._connect()
        except BaseException:
            self._places.give()
            raise

    def last(self) -> C | None:
        """The connection that was given back last, if it is free and nobody waits for it."""
        return self._free[-1] if self._free and self._places.left else None

    def take_last(self) -> C:
        self._places.left -= 1
        return self._free.pop()

    def give(self, connection: C) -> None:
        self._free.append(connection)
        self._places.give()

    def lose(self) -> None:
        """A connection that was taken is gone; another one may be opened."""
        self._places.give()

    def end(self, ending: Coroutine[Any, Any, None]) -> None:
        """Have a connection ended that nobody waits for."""
        task = asyncio.ensure_future(ending)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def drain(self) -> list[C]:
        """The connections that are free, when those that are being ended are gone."""
        while self._endings:
            await asyncio.wait(self._endings)
        free, self._free = self._free, []
        return free


class _PostgresLane(NamedTuple):
    connection: Any
    prepared: "OrderedDict[str, Any]"


class PostgresLanes:
    """Lanes to PostgreSQL.

    arguments: asyncpg's for a connection.
    network: what is known of the way to the server.
    damage: what is known of the database.
    """

    def __init__(self, arguments: Mapping[str, Any], most: int, network: Network, damage: Damage) -> None:
        self._arguments = arguments
        self._network = network
        self._damage = damage
        self._queue: _Queue[_PostgresLane] = _Queue(most, self._open)

    async def _open(self) -> _PostgresLane:
        # Without a cache of the driver's, statements would have no name, and PostgreSQL would plan them each time.
        connection = await asyncpg.connect(**self._arguments, statement_cache_size=PREPARED_MAX)
        return _PostgresLane(connection, OrderedDict())

    async def row(self, statement: Compiled, values: Mapping[str, Any], *, writes: bool = False) -> Sequence[Any]:
        rows = await self._answer(statement, values, most=1, writes=writes)
        found: Sequence[Any] = rows[0]
        return found

    def rows(self, statement: Compiled, values: Mapping[str, Any]) -> Coroutine[Any, Any, Sequence[Any]]:
        return self._answer(statement, values, most=0, writes=False)

    async def _answer(
        self, statement: Compiled, values: Mapping[str, Any], *, most: int, writes: bool
    ) -> Sequence[Any]:
        given = statement.given(values)
        lane = self._ready()
        if lane is None:
            with told_plainly(self._damage):
                lane = await self._taken()
        try:
            prepared = lane.prepared.get(statement.sql) or await self._prepared(lane, statement.sql)
            answer: Sequence[Any] = await lane.connection.rows_of(prepared, given, most)
        except asyncpg.InvalidCachedStatementError:
            # A migration has changed the tables; the statement is prepared anew.
            lane.prepared.clear()
            self._queue.give(lane)
            return await self._answer(statement, values, most=most, writes=writes)
        except BaseException as error:  # noqa: BLE001 - it is raised again.
            with told_plainly(self._damage):
                self._fail(lane, error, writes=writes)
        lane.connection.heard_at = monotonic()
        self._queue.give(lane)
        return answer

    def _fail(self, lane: _PostgresLane, error: BaseException, *, writes: bool) -> NoReturn:
        """Give a lane back, or up, and raise what is told of an error."""
        try:
            with told_of_commit(self._damage) if writes else nullcontext():
                raise error
        except BaseException as told:
            self._left(lane, told)
            raise

    def _ready(self) -> _PostgresLane | None:
        """The lane that was used last, where it is free and nothing speaks against it."""
        lane = self._queue.last()
        if lane is None or lane.connection.is_closed() or self._network.is_doubtful(lane.connection):
            return None
        return self._queue.take_last()

    async def _taken(self) -> _PostgresLane:
        """A lane that is open, as far as is known."""
        network = self._network
        while True:
            lane = await self._queue.take()
            wire = lane.connection
            try:
                if not wire.is_closed() and (not network.is_doubtful(wire) or await network.answers(wire)):
                    return lane
            except BaseException:
                self._queue.lose()
                raise
            self._queue.lose()

    async def _prepared(self, lane: _PostgresLane, sql: str) -> Any:
        prepared = lane.prepared[sql] = await lane.connection.prepare(sql)
        if len(lane.prepared) > PREPARED_MAX:
            lane.prepared.popitem(last=False)
        return prepared

    def _left(self, lane: _PostgresLane, error: BaseException) -> None:
        """Give a lane back after an error; one that is broken, or was left in the middle, is ended."""
        if isinstance(error, asyncpg.PostgresError | RaceLost) and not lane.connection.is_closed():
            self._queue.give(lane)
            return
        self._network.doubt()
        self._queue.end(self._ended(lane))

    async def _ended(self, lane: _PostgresLane) -> None:
        """End a lane; the server is told, also where it is at a statement that nobody waits for, and may be deaf."""
        try:
            with suppress(OSError, asyncpg.PostgresError, *BROKEN):  # It is aborted then.
                await lane.connection.close(timeout=END_SECONDS)
        finally:
            self._queue.lose()

    async def close(self) -> None:
        await asyncio.gather(*(self._ended(lane) for lane in await self._queue.drain()))


class SqliteLanes:
    """Lanes to a SQLite file, for reading alone.

    damage: what is known of the database.
    """

    def __init__(
        self,
        file: HeldFile,
        most: int,
        damage: Damage,
        *,
        pragmas: Sequence[str],
        seconds: float,
    ) -> None:
        self._damage = damage
        self._file = file
        self._pragmas = pragmas
        self._seconds = seconds
        self._queue: _Queue[aiosqlite.Connection] = _Queue(most, self._open)

    async def _open(self) -> aiosqlite.Connection:
        connection = await self._file.opened(isolation_level=None)
        try:
            for pragma in self._pragmas:
                await connection.execute_fetchall(f"PRAGMA {pragma}")
        except BaseException:
            self._queue.end(connection.close())
            raise
        return connection

    async def row(self, statement: Compiled, values: Mapping[str, Any], *, writes: bool = False) -> Sequence[Any]:
        assert not writes, "lanes to SQLite read"
        (row,) = await self.rows(statement, values)
        found: Sequence[Any] = row
        return found

    async def rows(self, statement: Compiled, values: Mapping[str, Any]) -> Sequence[Any]:
        given = statement.given(values)
        with told_plainly(self._damage):
            connection = await self._queue.take()
            timer = asyncio.get_running_loop().call_later(self._seconds, connection._conn.interrupt)  # noqa: SLF001
            try:
                rows = list(await connection.execute_fetchall(statement.sql, given))
            except asyncio.CancelledError:
                self._queue.end(self._left(connection))
                raise
            except BaseException:
                self._queue.give(connection)
                raise
            finally:
                timer.cancel()
            self._queue.give(connection)
        return rows

    async def _left(self, connection: aiosqlite.Connection) -> None:
        """End a connection that was left in the middle of a statement, which its thread may be yet to begin."""
        closing = asyncio.ensure_future(connection.close())
        try:
            while not closing.done():
                with suppress(sqlite3.ProgrammingError, ValueError):  # It is closed, and that is yet to be told.
                    connection._conn.interrupt()  # noqa: SLF001
                await asyncio.wait([closing], timeout=_INTERRUPT_SECONDS)
        finally:
            self._queue.lose()

    async def close(self) -> None:
        for connection in await self._queue.drain():
            await connection.close()
