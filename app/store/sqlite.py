"""SQLite: one file, one writer, many readers beside it."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Table,
    bindparam,
    event,
    func,
    insert,
    literal,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.sql.type_api import TypeEngine

from app.store.dialects import Page, Rows
from app.store.files import Place, database_file
from app.store.types import Listed, Number

BUSY_SECONDS = 30
"""How long a writer waits for one of another process; writers of this process queue before they ask."""

SHORT_LIST = 50

CHECKPOINT_PAGES = 1_000
"""After how many pages of the log they are brought into the file."""


class Sqlite:
    """SQLite's ways. See app.store.dialects.Dialect."""

    name = "sqlite"

    def engines(self, url: str, *, connections: int, statement_seconds: float) -> tuple[AsyncEngine, AsyncEngine]:
        """A pool of readers that can't write, and one writer.

        WAL lets readers go on beside the writer; synchronous=FULL puts a commit on the disk before it is answered.
        Only the writer checkpoints: SQLite before 3.51.3 could damage a file in which two connections did at once.
        """
        del statement_seconds  # A reading that runs too long is interrupted by the store.
        readers = create_async_engine(
            url,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": BUSY_SECONDS},
        )
        writer = create_async_engine(
            url,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            connect_args={"timeout": BUSY_SECONDS},
        )
        event.listen(readers.sync_engine, "connect", _prepare_reader)
        file = database_file(url)
        checkpoints = _Checkpoints(None if file is None else Place(file, "checkpoint"))
        event.listen(writer.sync_engine, "connect", _prepare_writer)
        event.listen(writer.sync_engine, "begin", checkpoints.begin)
        event.listen(writer.sync_engine, "engine_disposed", checkpoints.end)
        return readers, writer

    def contains(self, folded: ColumnElement[Any], text: str) -> ColumnElement[bool]:
        return func.instr(folded, text) > 0

    def ends_with(self, folded: ColumnElement[Any], text: str) -> ColumnElement[bool]:
        return func.substr(folded, -len(text)) == text

    def among(self, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        # Of a short list SQLite knows the length, and so that an index on the column beats a walk in another order.
        if len(values) <= SHORT_LIST:
            return column.in_(values)
        return column.in_(select(self.each(column.type, values).c.key))

    def each(self, type_: TypeEngine[Any], values: Sequence[Any]) -> FromClause:
        given = bindparam(None, values, type_=Listed(type_), unique=True)
        rows = func.json_each(given).table_valued("value", name="each_given")
        return select(rows.c.value.label("key")).subquery()

    def first_of_each(self, parents: FromClause, page: Page) -> Select[Any]:
        # SQLite has no LATERAL; a correlated IN over ids is walked in the same way, an index for each parent.
        statement = page.all_among(page.numbered(parents), parents)
        return statement.order_by(parents.c.key, *page.ordering(statement.selected_columns))

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


class _Checkpoints:
    """Whether the writer of this process checkpoints: one of all processes that have the file open does.

    SQLite before 3.51.3 could damage a file in which two connections checkpointed at once.
    """

    def __init__(self, place: Place | None) -> None:
        self._place = place
        self._is_ours = False

    def begin(self, connection: Any) -> None:
        if not self._is_ours and (self._place is None or self._place.try_take()):
            self._is_ours = True
        pages = CHECKPOINT_PAGES if self._is_ours else 0
        if connection.info.get("checkpoints") != pages:
            connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={pages}")
            connection.info["checkpoints"] = pages
        # A transaction that reads first and asks to write later would be refused, not made to wait.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def end(self, _engine: Any) -> None:
        if self._place is not None and self._is_ours:
            self._place.leave()
        self._is_ours = False


def _prepare_reader(connection: Any, _record: Any) -> None:
    _pragmas(connection, "foreign_keys=ON", "query_only=ON", "wal_autocheckpoint=0", "cache_size=-65536")


def _prepare_writer(connection: Any, _record: Any) -> None:
    # The driver begins transactions by itself, and too late: SQLAlchemy's "begin" does it here.
    connection.isolation_level = None
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=0", "cache_size=-65536")
    _pragmas(connection, *pragmas)


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


SQLITE_VERSION = sqlite3.sqlite_version
