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
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.sql.type_api import TypeEngine

from app.store.dialects import Page, Rows
from app.store.types import Listed, Number

BUSY_SECONDS = 30
"""How long a writer waits for one of another process; writers of this process queue before they ask."""

SHORT_LIST = 50


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
        event.listen(writer.sync_engine, "connect", _prepare_writer)
        event.listen(writer.sync_engine, "begin", _begin_immediate)
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

    async def numbers(self, connection: AsyncConnection, table: Table, count: int) -> Sequence[int]:
        last = text("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = :name")
        first = int((await connection.execute(last, {"name": table.name})).scalar_one()) + 1
        return range(first, first + count)

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


def _prepare_reader(connection: Any, _record: Any) -> None:
    _pragmas(connection, "foreign_keys=ON", "query_only=ON", "wal_autocheckpoint=0", "cache_size=-65536")


def _prepare_writer(connection: Any, _record: Any) -> None:
    # The driver begins transactions by itself, and too late: SQLAlchemy's "begin" does it here.
    connection.isolation_level = None
    _pragmas(connection, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536")


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Any) -> None:
    # A transaction that reads first and asks to write later would be refused, not made to wait.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


SQLITE_VERSION = sqlite3.sqlite_version
