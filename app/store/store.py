"""Readings and works: one connection for each block, never shared, never kept."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from datetime import datetime
from itertools import compress
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.balances import NewEntry, Position, numbers_of
from app.domain.columns import Columns, Later
from app.domain.records import Entry
from app.domain.refusals import Code, Refusal
from app.domain.series import Movement
from app.store.accounts import Accounts
from app.store.answers import Answers, Asked, units_form
from app.store.balances import Balances, recorded
from app.store.closings import Closings
from app.store.dialects import Dialect
from app.store.directory import Directory
from app.store.failures import Damage, RaceLost, is_damage, told_of_commit, told_plainly, told_to_log
from app.store.gathering import Gathering
from app.store.histories import Histories
from app.store.idempotency import Idempotency
from app.store.lanes import Compiled
from app.store.log import Log, LogReader, LogWriter
from app.store.migrations import problem_of, revision_of
from app.store.pieces import SiteForm
from app.store.places import WRITERS_SECONDS, Places
from app.store.postgres import Postgres
from app.store.rates import Rates
from app.store.reads import Reads, Units
from app.store.receivers import Receivers
from app.store.recording import HOLDERS, batch_parameters, holder, holders_asked, parameters
from app.store.sqlite import SQLITE_VERSION, Sqlite
from app.store.standing import Standing
from app.threads import apart

READINGS_MAX = 8
"""Readings at once; fewer than the connections, so that a work always finds one."""

CONNECTIONS_MAX = 16
AGAIN_MAX = 5
"""How often a work is done again that lost a race; each time another one had won."""
PAUSE_SECONDS = 0.01
"""How long it waits at most before it is done again for the first time; twice as long before each further time."""

CLOSE_SECONDS = 2.0

_HINDERED = "The database takes no writes."
_THERE_AND_BACK = (
    text("UPDATE alembic_version SET version_num = version_num || '.'"),
    text("UPDATE alembic_version SET version_num = rtrim(version_num, '.')"),
)

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")


class Reading(Reads):
    """A look at all that is remembered."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, units: Units) -> None:
        super().__init__(connection, dialect, units)
        self.accounts = Accounts(connection, dialect, units)
        self.balances = Balances(connection, dialect)
        self.directory = Directory(connection, dialect, units)
        self.log = LogReader(connection, dialect, units)
        self.closings = Closings(connection, dialect)
        self.receivers = Receivers(connection, dialect, units)
        self.idempotency = Idempotency(connection, dialect)


class Work:
    """One transaction: what may be read in it, and what it writes."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, units: Units) -> None:
        self.reads = Reads(connection, dialect, units)
        self.accounts = Accounts(connection, dialect, units)
        self.balances = Balances(connection, dialect)
        self.directory = Directory(connection, dialect, units)
        self.histories = Histories(connection, dialect)
        self.closings = Closings(connection, dialect)
        self.log = LogWriter(connection, dialect)
        self.keeping = Log(connection, dialect)
        self.receivers = Receivers(connection, dialect, units)
        self.rates = Rates(connection)
        self.idempotency = Idempotency(connection, dialect)
        self._connection = connection

    async def try_to_write(self) -> None:
        """Write something, and take it back: SQLite writes no page that stays the same."""
        for statement in _THERE_AND_BACK:
            await self._connection.execute(statement)


class Store:
    """What is remembered, on SQLite or PostgreSQL."""

    def __init__(
        self,
        url: str,
        *,
        statement_seconds: float = 10.0,
        connections: int = CONNECTIONS_MAX,
        allow_async_commit: bool = False,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`allow_async_commit` leaves it to a PostgreSQL server whether a commit that is answered is on its disk.

        pause: waits so many seconds.
        """
        self.dialect: Dialect = (
            Sqlite(url) if url.startswith("sqlite") else Postgres(allow_async_commit=allow_async_commit)
        )
        self._statement_seconds = statement_seconds
        self._pause = pause
        self._readers, self._writer = self.dialect.engines(
            url, connections=connections, statement_seconds=statement_seconds
        )
        self._watching, _ = self.dialect.engines(url, connections=1, statement_seconds=statement_seconds)
        self._damage = Damage(lambda: self.dialect.is_in_place)
        self._lanes = self.dialect.lanes(
            url, connections=connections, statement_seconds=statement_seconds, damage=self._damage
        )
        self._answers = Answers(self.dialect, self._readers.dialect, self._lanes)
        self._standing = Standing()
        self._gatherings: dict[Any, Gathering[Any, Any]] = {}
        self.committed: Callable[[], None] = lambda: None
        """Called after each work; whoever waits for what is new sets it."""
        self._endings: set[asyncio.Future[Any]] = set()
        self._seats = Places(min(READINGS_MAX, connections - 1))
        is_sqlite = self.dialect.name == "sqlite"
        self._writers = Places(1, WRITERS_SECONDS) if is_sqlite else Places(connections)
        self._shared = None if is_sqlite else self._writers
        """What readings share with works: the connections of PostgreSQL."""

    @property
    def facts(self) -> dict[str, str]:
        """What whoever watches the gateway should know of the database's program: SQLite is part of this process."""
        return {"sqlite": SQLITE_VERSION} if self.dialect.name == "sqlite" else {}

    @property
    def engines(self) -> tuple[Any, Any]:
        """The engines below, for whoever counts or watches statements."""
        return self._readers.sync_engine, self._writer.sync_engine

    def make_ready(self) -> None:
        """Make the parts of all statements that write answers, so that no question waits for that."""
        self._answers.make_ready()

    def heard(self, hear: Callable[[str], None]) -> None:
        """Have somebody told each statement that writes an answer, before it is asked."""
        self._answers.heard = hear

    @asynccontextmanager
    async def reading(self, units: Units) -> AsyncIterator[Reading]:
        """A short look at what exists for a caller; each statement sees what was committed when it began.

        Raises Refusal TIMEOUT where a statement runs too long, UNAVAILABLE where the database doesn't answer, or too
        many others ask it.
        """
        async with self._seat():
            with told_plainly(self._damage):
                async with self._readers.connect() as connection, self._limited(connection):
                    yield Reading(connection, self.dialect, units)

    @asynccontextmanager
    async def _seat(self) -> AsyncIterator[None]:
        since = asyncio.get_running_loop().time()
        await self._seats.take()
        try:
            if self._shared is not None:
                await self._shared.take(since)
        except BaseException:
            self._seats.give()
            raise
        try:
            yield
        finally:
            if self._shared is not None:
                self._shared.give()
            self._seats.give()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Reading]:
        """The same for whoever watches the gateway: by a connection that nobody else uses."""
        with told_plainly(self._damage):
            async with self._watching.connect() as connection, self._limited(connection):
                yield Reading(connection, self.dialect, None)

    async def work(self, units: Units, act: Callable[[Work], Awaitable[T]]) -> T:
        """Do something in one transaction: committed when `act` returns, else nothing of it happened.

        `act` is done again, from the start, where it lost a race: a unique key that was free when it looked was taken
        when it wrote, or PostgreSQL broke a deadlock, or its connection. So rules are decided by what it reads, and
        constraints hold them. Before that it waits for a random moment, so that those who met don't meet again. Raises
        Refusal UNAVAILABLE where the database doesn't answer, too many others write, or the race is lost too often.
        Where the database went away during the commit, or anything else failed, the refusal says that the outcome is
        unknown.

        Cancelled before it commits, a work leaves nothing; once it has begun to commit, it does so to the end.
        Nothing is written any more once damage was found, or while the database's file is not in its place: that is
        UNAVAILABLE too.
        """
        for number in range(1 + AGAIN_MAX):
            if number:
                await self._pause(random.random() * PAUSE_SECONDS * 2 ** (number - 1))
            try:
                with self._damage.writing(), told_plainly(self._damage):
                    return await self._worked(units, act)
            except RaceLost:
                continue
        raise Refusal(Code.UNAVAILABLE, "Too many others write the same; try again.")

    def answer(
        self, asked: Asked, units: Units, forms: Sequence[SiteForm], values: Mapping[str, Any]
    ) -> Awaitable[list[bytes | None]]:
        """The JSON text of each root that is asked for, for a caller, by one statement.

        None where the database can't write it, and it is to be asked for in the other way. Raises as `reading` does.
        """
        return self._answers.of(asked, units, forms, values)

    async def movements(
        self, units: Units, since: Mapping[int, datetime], before: datetime, currency: str | None
    ) -> Mapping[int, Movement]:
        """How balances of accounts moved before an instant, each since its own, in a currency or each in its own.

        Of the accounts that exist for the caller. Raises as `reading` does.
        """
        return await self._answers.movements(units, since, before, currency)

    def movements_statement(self, units: Units, currency: str | None) -> str:
        """The SQL by which those are read, without values."""
        return self._answers.moved(units, currency).sql

    def statement(self, asked: Asked, units: Units, forms: Sequence[SiteForm]) -> str:
        """The SQL by which that is answered, without values."""
        return self._answers.statement(asked, units_form(units)[0], forms).sql

    async def together(self, asked: A, act: "Callable[[Store, Sequence[A]], Awaitable[Sequence[R]]]") -> R:
        """Have something done, with others of its kind that are asked for meanwhile. See app.store.gathering."""
        gathering = self._gatherings.get(act)
        if gathering is None:
            gathering = self._gatherings[act] = Gathering(lambda group: act(self, group))
        done: R = await gathering.ask(asked)
        return done

    async def see(self, accounts: Collection[int]) -> None:
        """Learn where accounts stand of which it is not remembered."""
        unknown = [number for number in accounts if number not in self._standing]
        if unknown:
            async with self.reading(None) as reads:
                self._standing.learn((await reads.accounts.positions_seen(unknown)).values())
                self._standing.learn_units(await reads.directory.every_unit())

    def position_seen(self, units: Units, account: int) -> Position | None:
        """Where an account was last seen to stand; None where it was not, or does not exist for a caller."""
        found = self._standing.by_numbers([account]).get(account)
        return found if found is not None and self._standing.is_seen(found, units) else None

    def unsee(self, accounts: Collection[int]) -> None:
        """Accounts were written to otherwise than by what was seen: where they stand is read when it is asked for."""
        self._standing.forget(accounts)

    @property
    def records_as_seen(self) -> bool:
        """Whether a statement records by what was seen."""
        return self.dialect.record is not None

    def is_busy(self, account: int) -> bool:
        """See app.store.standing.Standing.is_busy."""
        return self._standing.is_busy(account)

    def turn(self, accounts: Collection[int]) -> AbstractAsyncContextManager[None]:
        """See app.store.standing.Standing.turn."""
        return self._standing.turn(accounts)

    @property
    def accounts_seen(self) -> Mapping[tuple[int, str], Position]:
        """Accounts that were seen, by business unit and external id: who they are, and not where they stand by now.

        It grows as they are seen.
        """
        return self._standing.named

    async def units_seen(self, units: Units, names: Collection[str]) -> dict[str, int]:
        """The ids of those of some business units that exist for a caller, by name."""
        standing = self._standing
        if any(standing.unit_id(name) is None for name in names):
            async with self.reading(None) as reads:
                standing.learn_units(await reads.directory.every_unit())
        ids = {name: standing.unit_id(name) for name in names if units is None or name in units}
        return {name: number for name, number in ids.items() if number is not None}

    async def see_external(self, keys: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Position]:
        """Learn which accounts have external ids of business units; those that don't exist are left out."""
        accounts: dict[tuple[int, str], Position] = {}
        unseen: dict[int, set[str]] = {}
        for unit_id, external_id in keys:
            unseen.setdefault(unit_id, set()).add(external_id)
        async with self.reading(None) as reads:
            for unit_id, external_ids in unseen.items():
                found = await reads.accounts.positions_unlocked(unit_id, external_ids)
                accounts |= {(unit_id, external_id): position for external_id, position in found.items()}
        self._standing.learn_names(accounts)
        return accounts

    async def record_as_seen(
        self,
        entries: Sequence[NewEntry],
        became_current: Sequence[bool],
        positions: Mapping[int, Position],
        *,
        now: datetime,
        by: Sequence[str],
    ) -> list[Entry | None] | None:
        """Record entries in their order in one statement; none of them crosses a threshold.

        became_current: whether each becomes current.
        positions: where the accounts were seen to stand.
        by: whose each is, or one for all.
        None stands for an entry of an account that does not stand as it was seen; None for all where the database needs
        a work. Raises as `reading` does.
        """
        statements = self.dialect.record
        if statements is None:
            return None
        standing = self._standing
        seen = [positions[number] for number in {entry.account_id: None for entry in entries}]
        columns = Columns.of(NewEntry, entries)
        known_kinds = standing.known_kinds(columns)
        values = parameters(columns, became_current, known_kinds, seen, now=now, by=by)
        statement = statements.one if len(entries) == 1 else statements.each
        try:
            places, ids = await self._recorded(statement, values) or (None, None)
        except BaseException:
            standing.forget(positions)
            raise
        with told_of_commit(self._damage):  # What fails from here on was done all the same.
            numbers = self._numbered(entries, known_kinds, places, ids)
            if None in numbers:
                left = (number is None for number in numbers)
                standing.forget(entry.account_id for entry in compress(entries, left))
            last = {
                entry.account_id: (positions[entry.account_id], entry, number)
                for entry, number in compress(zip(entries, numbers, strict=True), became_current)
                if number is not None
            }
            standing.move(last.values())
            return recorded(numbers, columns, now=now, by=by)

    async def record_batch(
        self, entries: Columns[NewEntry], accounts: Mapping[int, Position], *, now: datetime, by: str
    ) -> tuple[Sequence[Entry | None], dict[tuple[int, str], Entry]] | None:
        """Record the entries of a batch in one statement, which decides by how their accounts stand then.

        accounts: those of the entries by number, and what they are called.
        Gives the recorded entries, None standing for one whose communication number is taken, and the holders of those
        numbers. None where nothing was recorded and it is to be done by a work: an account is called otherwise, a
        threshold is crossed, or the database can't. Raises as `reading` does.
        """
        statements = self.dialect.record
        if statements is None:
            return None
        standing, size = self._standing, len(entries)
        known_kinds = standing.known_kinds(entries)
        values = await apart(size, lambda: batch_parameters(entries, known_kinds, accounts, now=now, by=by))
        try:
            answer = await self._recorded(statements.batch, values)
        except BaseException:
            standing.forget(accounts)
            raise
        are_named, fits, places, ids = answer or (True, False, None, None)
        with told_of_commit(self._damage) if fits else nullcontext():  # What fails then was done all the same.
            standing.forget(accounts)
            if not are_named:
                standing.forget_names(accounts.values())
            if not fits:
                return None
            numbers = self._numbered(entries, known_kinds, places, ids)
            taken = numbers_of(entries.those([number is None for number in numbers]))
            holders = await self._lanes.rows(HOLDERS, holders_asked(taken)) if taken else ()
            added = Later(size, lambda: recorded(numbers, entries, now=now, by=[by]))
            return added, dict(map(holder, holders))

    async def _recorded(self, statement: Compiled, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """The answer of a statement that writes; None where it lost a race."""
        try:
            with self._damage.writing():
                answer = await self._lanes.row(statement, values, writes=True)
        except RaceLost:
            return None
        with told_of_commit(self._damage), told_to_log():
            self.committed()
        return answer

    def _numbered(
        self,
        entries: Sequence[NewEntry],
        known_kinds: Sequence[bool],
        places: Sequence[int] | None,
        ids: Sequence[int] | None,
    ) -> list[int | None]:
        """The number of each entry; None where it was not recorded. Kinds of what was are known from now on."""
        numbers: list[int | None] = [None] * len(entries)
        for place, number in zip(places or (), ids or (), strict=True):
            numbers[place - 1] = number
        is_new = [number is not None and not known for number, known in zip(numbers, known_kinds, strict=True)]
        if any(is_new):
            self._standing.learn_kinds(compress(entries, is_new))
        return numbers

    async def _worked(self, units: Units, act: Callable[[Work], Awaitable[T]]) -> T:
        if self.dialect.name != "sqlite":
            return await self._tried(units, act, lambda: True)
        # SQLite's driver can't break off a statement: a connection that is closed below one keeps the writer's lock.
        wanted = True
        working = self._kept(self._tried(units, act, lambda: wanted))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            wanted = False
            raise

    async def _tried(self, units: Units, act: Callable[[Work], Awaitable[T]], is_wanted: Callable[[], bool]) -> T:
        await self._writers.take()
        try:
            connection = await self._writer.connect()
        except BaseException:
            self._writers.give()
            raise
        try:
            await connection.begin()
            _check(is_wanted)
            done = await act(Work(connection, self.dialect, units))
            _check(is_wanted)
        except BaseException as error:
            await asyncio.shield(self._kept(self._end(connection)))  # Nothing of it is kept.
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise RaceLost from error
            raise
        await asyncio.shield(self._kept(self._commit(connection)))
        self._damage.doubt_commit()
        return done

    async def _commit(self, connection: AsyncConnection) -> None:
        try:
            with told_of_commit(self._damage):
                await connection.commit()
        except (Refusal, asyncio.CancelledError):
            with told_to_log():  # It may be in the middle of anything, with all its locks.
                await connection.invalidate()
            raise
        finally:
            with told_to_log():
                await self._end(connection)
        with told_to_log():
            self.committed()

    async def _end(self, connection: AsyncConnection) -> None:
        try:
            await _end(connection)
        finally:
            self._writers.give()

    def _kept(self, doing: Coroutine[Any, Any, T]) -> "asyncio.Future[T]":
        """Something that goes on to its end, also where who waits for it is cancelled."""
        task = asyncio.create_task(doing)
        current = asyncio.current_task()
        if current is not None:
            task.set_name(current.get_name())  # It goes on for the same.
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task

    async def problems(self) -> list[str]:
        """Why the store can't serve now; nothing where it can."""
        if self._damage.problems:
            return self._damage.problems
        try:
            async with self._watching.connect() as connection:
                revision = await connection.run_sync(revision_of)
        except (DBAPIError, OSError) as error:
            if is_damage(error):
                self._damage.seen(error)
                return self._damage.problems
            return [f"The database does not answer: {type(error).__name__}."]
        problem = problem_of(revision)
        return [] if problem is None else [problem]

    async def hindrances(self) -> list[str]:
        """Why nothing can be written to a store that can be read; where a write was not taken, another one is tried."""
        if not self._damage.has_refused:
            return []
        try:
            await self.work(None, lambda work: work.try_to_write())
        except Refusal:
            return [_HINDERED]
        self._damage.has_refused = False
        return []

    async def is_empty(self) -> bool:
        """Whether no business unit has come into being."""
        async with self._readers.connect() as connection:
            return (await connection.execute(text("SELECT 1 FROM units LIMIT 1"))).first() is None

    async def close(self) -> None:
        """Leave the database, when works that are about to end have done so; those that don't are broken off."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._endings:
                    await asyncio.wait(self._endings)
        for left in self._endings:
            left.cancel()
        await self._lanes.close()
        for engine in (self._readers, self._writer, self._watching):
            await engine.dispose()
        await self.dialect.close()

    @asynccontextmanager
    async def _limited(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Interrupt what runs too long on SQLite; PostgreSQL does that by itself."""
        if self.dialect.name != "sqlite":
            yield
            return
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        timer = asyncio.get_running_loop().call_later(self._statement_seconds, driver._conn.interrupt)  # noqa: SLF001
        try:
            yield
        finally:
            timer.cancel()


async def _end(connection: AsyncConnection) -> None:
    """Give a connection back; where that fails, as it does without memory, break it off: else it kept its locks."""
    try:
        await connection.close()
    except BaseException:
        if connection.sync_connection is not None:
            connection.sync_connection.invalidate()
        raise


def _check(is_wanted: Callable[[], bool]) -> None:
    if not is_wanted():
        raise asyncio.CancelledError
