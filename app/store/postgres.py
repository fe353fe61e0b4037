"""PostgreSQL: any number of gateways on one database."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.type_api import TypeEngine

from app.store.dialects import Page, Rows
from app.store.types import Listed, Number

LOCK_SECONDS = 10


class Postgres:
    """PostgreSQL's ways. See app.store.dialects.Dialect."""

    name = "postgresql"

    def engines(self, url: str, *, connections: int, statement_seconds: float) -> tuple[AsyncEngine, AsyncEngine]:
        """One pool; readings run each statement by itself, works in transactions."""
        settings = {
            "application_name": "balance-gateway",
            "statement_timeout": str(int(statement_seconds * 1000)),
            "lock_timeout": str(LOCK_SECONDS * 1000),
            "timezone": "UTC",
            "jit": "off",
        }
        works = create_async_engine(
            url, pool_size=connections, max_overflow=0, connect_args={"server_settings": settings}
        )
        return works.execution_options(isolation_level="AUTOCOMMIT"), works

    def contains(self, folded: ColumnElement[Any], text: str) -> ColumnElement[bool]:
        return func.strpos(folded, text) > 0

    def ends_with(self, folded: ColumnElement[Any], text: str) -> ColumnElement[bool]:
        return func.right(folded, len(text)) == text

    def among(self, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
        given = bindparam(None, values, type_=Listed(column.type), unique=True)
        return column == func.any(given)

    def each(self, type_: TypeEngine[Any], values: Sequence[Any]) -> FromClause:
        given = bindparam(None, values, type_=Listed(type_), unique=True)
        return func.unnest(given).table_valued("key").render_derived(name="each_given")

    def first_of_each(self, parents: FromClause, page: Page) -> Select[Any]:
        first = page.selected(parents).lateral("first")
        statement = select(parents.c.key.label("key"), *first.c).select_from(parents.join(first, true()))
        return statement.order_by(parents.c.key, *page.ordering(first.c))

    def halves(self, amount: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        # PostgreSQL sums 64-bit numbers as numeric: exact at any size, so the high half is everything.
        return literal_column("0"), func.sum(type_coerce(amount, Number))

    def locked(self, statement: Select[Any], table: FromClause) -> Select[Any]:
        return statement.with_for_update(of=table, key_share=True)

    async def numbers(self, connection: AsyncConnection, table: Table, count: int) -> Sequence[int]:
        sequence = func.nextval(f"{table.name}_id_seq")
        drawn = select(sequence).select_from(func.generate_series(1, count).table_valued("number"))
        return (await connection.execute(drawn)).scalars().all()

    async def insert(self, connection: AsyncConnection, table: Table, rows: Rows) -> None:
        await connection.execute(_inserted(table, rows))

    async def insert_new(self, connection: AsyncConnection, table: Table, rows: Rows) -> None:
        await connection.execute(_inserted(table, rows).on_conflict_do_nothing())

    async def update(self, connection: AsyncConnection, table: Table, key: str, rows: Rows) -> None:
        names = list(rows[0])
        given = _unnested(table, names, rows)
        changes = {name: given.c[name] for name in names if name != key}
        await connection.execute(update(table).where(table.c[key] == given.c[key]).values(changes))


def _inserted(table: Table, rows: Rows) -> Insert:
    names = list(rows[0])
    given = _unnested(table, names, rows)
    return insert(table).from_select(names, select(*(given.c[name] for name in names)))


def _unnested(table: Table, names: Sequence[str], rows: Rows) -> FromClause:
    """Many rows in one parameter a column."""
    columns = [
        bindparam(None, [row[name] for row in rows], type_=Listed(table.c[name].type), unique=True) for name in names
    ]
    return func.unnest(*columns).table_valued(*names).render_derived(name="given")
