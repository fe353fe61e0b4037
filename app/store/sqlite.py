"""SQLite: one file, one writer, many readers beside it."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import (
    ColumnElement,
    ExceptionContext,
    FromClause,
    LargeBinary,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    event,
    func,
    insert,
    literal,
    literal_column,
    make_url,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app.store.dialects import Page, Rows
from app.store.failures import Damage
from app.store.files import Place, database_file
from app.store.lanes import SqliteLanes
from app.store.opening import HeldFile
from app.store.types import Number
from app.store.written import EVERY_ROW, only

BUSY_SECONDS = 8
"""How long a writer waits for one of another process."""

LOG_BYTES_MAX = 64_000_000
"""Bytes of the write-ahead log above which somebody else keeps it from being used anew."""
LOG_TELL_SECONDS = 60.0

CHECKPOINT_PAGES = 1_000
"""After how many pages of the log they are brought into the file."""


_log = structlog.get_logger("balance_gateway")


class Sqlite:
    """SQLite's ways. See app.store.dialects.Dialect."""

    name = "sqlite"
    short_list = 50
    """Of a list of parameters SQLite knows the length, and so that an index on the column beats a walk in another
    order."""

    record = None

    def __init__(self, url: str) -> None:
        self._place = database_file(url)
        self._file = _file(url, self._place)

    @property
    def is_in_place(self) -> bool:
        return self._file.is_in_place

    def engines(self, url: str, *, connections: int, statement_seconds: float) -> tuple[AsyncEngine, AsyncEngine]:
        """A pool of readers that can't write, and one writer.

        WAL lets readers go on beside the writer; synchronous=FULL puts a commit on the disk before it is answered.
        Only the writer checkpoints: SQLite before 3.51.3 could damage a file in which two connections did at once.
        """
        del statement_seconds  # A reading that runs too long is interrupted by the store.
        connect = self._file.opened
        readers = create_async_engine(
            url,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            isolation_level="AUTOCOMMIT",
            async_creator=connect,
        )
        writer = create_async_engine(
            url, poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0, async_creator=connect
        )
        event.listen(readers.sync_engine, "connect", _prepare_reader)
        event.listen(readers.sync_engine, "handle_error", _interrupt_cancelled)
        place = None if self._place is None else Place(self._place, "checkpoint")
        checkpoints = _Checkpoints(place, self._place)
        event.listen(writer.sync_engine, "connect", _prepare_writer)
        event.listen(writer.sync_engine, "begin", checkpoints.begin)
        event.listen(writer.sync_engine, "engine_disposed", checkpoints.end)
        return readers, writer

    def lanes(self, url: str, *, connections: int, statement_seconds: float, damage: Damage) -> SqliteLanes:
        del url  # The file is known.
        return SqliteLanes(self._file, connections, damage, pragmas=_READING, seconds=statement_seconds)

    async def close(self) -> None:
        await self._file.close()

    def contains(self, folded: ColumnElement[Any], text: ColumnElement[Any]) -> ColumnElement[bool]:
        return func.instr(folded, text) > 0

    def ends_with(self, folded: ColumnElement[Any], text: ColumnElement[Any]) -> ColumnElement[bool]:
        return func.substr(folded, -func.length(text)) == text

    def among(self, column: ColumnElement[Any], given: ColumnElement[Any]) -> ColumnElement[bool]:
        return column.in_(select(self.each(given).c.key))

    def each(self, given: ColumnElement[Any]) -> FromClause:
        rows = func.json_each(given).table_valued("value", name="each_given")
        return select(rows.c.value.label("key")).subquery()

    def first_of_each(self, parents: FromClause, page: Page) -> Select[Any]:
        # SQLite has no LATERAL; a correlated IN over ids is walked in the same way, an index for each parent.
        statement = page.all_among(page.numbered(parents), parents)
        return statement.order_by(parents.c.key, *page.ordering(statement.selected_columns))

    def as_bytes(self, text: ColumnElement[str]) -> ColumnElement[bytes]:
        return cast(text, LargeBinary)

    def quoted(self, text: ColumnElement[Any]) -> ColumnElement[str]:
        return func.json_quote(text, type_=Text)

    def hex(self, text: ColumnElement[Any]) -> ColumnElement[str]:
        return func.lower(func.hex(text))

    def money_text(self, amount: ColumnElement[Any]) -> ColumnElement[str]:
        return _exact_text(type_coerce(amount, Number))

    def units_text(self, amount: ColumnElement[Any]) -> ColumnElement[str]:
        return cast(type_coerce(amount, Number), Text)

    def difference_text(self, amount: ColumnElement[Any], less: ColumnElement[Any]) -> ColumnElement[str]:
        difference = type_coerce(amount, Number) - type_coerce(less, Number)
        # Beyond 64 bits it is no whole number any more; the least of them has no absolute value.
        is_exact = and_(func.typeof(difference) == literal_column("'integer'"), difference > _LEAST)
        return case((is_exact, _exact_text(difference)))

    def sum_text(self, amount: ColumnElement[Any]) -> ColumnElement[str]:
        above, below = self.halves(amount)
        high = type_coerce(above, Number) + type_coerce(below, Number).op(">>")(32)
        low = type_coerce(below, Number).op("&")(0xFFFFFFFF)
        total = type_coerce(high * literal_column("4294967296") + low, Number)
        return case((func.abs(high) < literal_column("2147483647"), _exact_text(total)))

    def instant_text(self, at: ColumnElement[Any]) -> ColumnElement[str]:
        micros = type_coerce(at, Number)
        fraction = ((micros % _MICROS) + _MICROS) % _MICROS
        seconds = (micros - fraction) // _MICROS
        written = func.strftime(
            literal_column("'%Y-%m-%dT%H:%M:%S'"), seconds, literal_column("'unixepoch'"), type_=Text
        )
        digits = func.rtrim(func.printf(literal_column("'.%06d'"), fraction), literal_column("'0'"), type_=Text)
        behind = case((fraction == literal_column("0"), literal_column("''", Text())), else_=digits)
        return written + behind + literal_column("'Z'", Text())

    def micros_text(self, at: ColumnElement[Any]) -> ColumnElement[str]:
        return cast(type_coerce(at, Number), Text)

    def gathered(self, text: ColumnElement[str], between: str) -> Any:
        return func.group_concat(text, literal_column(f"'{between}'", Text()), type_=Text)

    def items(self, listed: ColumnElement[Any]) -> FromClause:
        rows = func.json_each(listed).table_valued("value", "key")
        return select(rows.c.value.label("number"), rows.c.key.label("place")).subquery()

    def side_by_side(self, listed: ColumnElement[Any], other: ColumnElement[Any]) -> FromClause:
        numbers, rows = self.items(listed), func.json_each(other).table_valued("value", "key")
        # Its limit keeps it a table of its own, which SQLite makes an index for; else each number looks at all others.
        others = select(rows.c.value.label("other"), rows.c.key.label("place")).limit(only(EVERY_ROW)).subquery()
        joined = numbers.join(others, others.c.place == numbers.c.place)
        return select(numbers.c.number, others.c.other, numbers.c.place).select_from(joined).subquery()

    def least(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.min(one, other)

    def halves(self, amount: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        units = type_coerce(amount, Number)
        return func.sum(units.op(">>")(32)), func.sum(units.op("&")(0xFFFFFFFF))

    def locked(self, statement: Select[Any], table: FromClause) -> Select[Any]:
        del table  # The one writer holds them all.
        return statement

    async def wait_at_most(self, connection: AsyncConnection, seconds: float) -> None:
        del connection, seconds  # The transaction has all locks that there are.

    async def log_numbers(self, connection: AsyncConnection, count: int) -> Sequence[int]:
        drawn = text("UPDATE sqlite_sequence SET seq = seq + :count WHERE name = 'entries' RETURNING seq")
        last = int((await connection.execute(drawn, {"count": count})).scalar_one())
        return range(last - count + 1, last + 1)

    async def log_number_of_each(
        self, connection: AsyncConnection, count: int, order: ColumnElement[Any]
    ) -> ColumnElement[int]:
        first = (await self.log_numbers(connection, count))[0]
        return literal(first - 1, Number) + func.row_number().over(order_by=order)

    async def skip_numbers(self, connection: AsyncConnection, count: int) -> int:
        await connection.execute(_BEGIN_ALL)
        await connection.execute(text("UPDATE sqlite_sequence SET seq = seq + :count"), {"count": count})
        return await self.horizon(connection)

    async def horizon(self, connection: AsyncConnection) -> int:
        # One writer at a time: what is there was committed in order of its numbers.
        last = text("SELECT seq FROM sqlite_sequence WHERE name = 'entries'")
        return int((await connection.execute(last)).scalar_one())

    async def insert(self, connection: AsyncConnection, table: Table, rows: Rows) -> None:
        await connection.execute(insert(table), list(rows))

    async def insert_new(self, connection: AsyncConnection, table: Table, rows: Rows) -> None:
        await connection.execute(insert(table).prefix_with("OR IGNORE"), list(rows))

    async def update(self, connection: AsyncConnection, table: Table, key: str, rows: Rows) -> None:
        names = [name for name in rows[0] if name != key]
        changes = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
        statement = update(table).where(table.c[key] == bindparam("of")).values(changes)
        given = [{"of": row[key], **{f"new_{name}": row[name] for name in names}} for row in rows]
        await connection.execute(statement, given)


_BEGIN_ALL = text("""INSERT INTO sqlite_sequence (name, seq) SELECT name, 0 FROM sqlite_schema WHERE type = 'table'
    AND sql LIKE '%AUTOINCREMENT%' AND name NOT IN (SELECT name FROM sqlite_sequence)""")
"""A table whose first number is yet to be given has no row there."""

_MICROS = literal_column("1000000", Number)
_TEN_THOUSAND = literal_column("10000", Number)
_LEAST = literal_column("-9223372036854775807 - 1", Number).self_group()


def _exact_text(units: ColumnElement[Any]) -> ColumnElement[str]:
    """Ten-thousandths as an amount, without trailing zeros."""
    size = func.abs(units, type_=Number)
    whole, rest = size // _TEN_THOUSAND, size % _TEN_THOUSAND
    sign = case((units < literal_column("0"), literal_column("'-'")), else_=literal_column("''"))
    written = func.rtrim(
        func.printf(literal_column("'%s%d.%04d'"), sign, whole, rest), literal_column("'0'"), type_=Text
    )
    is_whole = rest == literal_column("0")
    # What is formatted of a missing value is a zero.
    return case((is_whole, cast(units // _TEN_THOUSAND, Text)), (units.is_not(None), written))


class _Checkpoints:
    """Whether the writer of this process checkpoints: one of all processes that have the file open does.

    SQLite before 3.51.3 could damage a file in which two connections checkpointed at once.
    """

    def __init__(self, place: Place | None, file: Path | None) -> None:
        self._place = place
        self._is_ours = False
        self._log = None if file is None else file.with_name(f"{file.name}-wal")
        self._told_at = -LOG_TELL_SECONDS

    def begin(self, connection: Any) -> None:
        if not self._is_ours and (self._place is None or self._place.try_take()):
            self._is_ours = True
        pages = CHECKPOINT_PAGES if self._is_ours else 0
        if connection.info.get("checkpoints") != pages:
            connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={pages}")
            connection.info["checkpoints"] = pages
        self._tell_of_log()
        # A transaction that reads first and asks to write later would be refused, not made to wait.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def _tell_of_log(self) -> None:
        """Say so where a reader that does not end keeps the log from being used anew, so that it grows."""
        if self._log is None or time.monotonic() - self._told_at < LOG_TELL_SECONDS:
            return
        try:
            size = self._log.stat().st_size
        except OSError:
            return
        if size > 2 * LOG_BYTES_MAX:
            self._told_at = time.monotonic()
            _log.warning("write_ahead_log_grows", bytes=size)

    def end(self, _engine: Any) -> None:
        if self._place is not None and self._is_ours:
            self._place.leave()
        self._is_ours = False


_READING = ("foreign_keys=ON", "query_only=ON", "wal_autocheckpoint=0", "cache_size=-65536")


def _interrupt_cancelled(failure: ExceptionContext) -> None:
    """Stop the statement of a reading that was cancelled: the driver's thread, which runs it, does not hear of that."""
    if isinstance(failure.original_exception, asyncio.CancelledError) and failure.connection is not None:
        driver: Any = failure.connection.connection.driver_connection
        driver._conn.interrupt()  # noqa: SLF001 - the driver would wait for its thread.


def _file(url: str, path: Path | None) -> HeldFile:
    """A file by its driver's name for it, and what the driver is given to open it."""
    driver: Any = create_async_engine(url).dialect
    (file,), given = driver.create_connect_args(make_url(url))
    return HeldFile(file, path, uri=given.get("uri", False), timeout=BUSY_SECONDS)


def _prepare_reader(connection: Any, _record: Any) -> None:
    _pragmas(connection, *_READING)


def _prepare_writer(connection: Any, _record: Any) -> None:
    # The driver begins transactions by itself, and too late: SQLAlchemy's "begin" does it here.
    connection.isolation_level = None
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=0", "cache_size=-65536")
    # What a log grew to, it is cut to when it is used anew.
    _pragmas(connection, *pragmas, f"journal_size_limit={LOG_BYTES_MAX}")


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


SQLITE_VERSION = sqlite3.sqlite_version
