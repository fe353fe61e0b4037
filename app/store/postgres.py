"""PostgreSQL: any number of gateways on one database."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    FromClause,
    Numeric,
    Select,
    Table,
    Text,
    case,
    cast,
    event,
    extract,
    func,
    literal_column,
    make_url,
    select,
    text,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.store.dialects import Page, Rows
from app.store.failures import Damage
from app.store.lanes import PostgresLanes
from app.store.recording import RECORDINGS
from app.store.types import Number, given_list
from app.store.wires import Network

APPLICATION = "balance-gateway"
"""By what name PostgreSQL knows the gateway's sessions."""
LOCK_SECONDS = 8
"""How long a lock is waited for: less than a statement may take, so that it is known what took so long."""
IDLE_SECONDS = 8
"""How long a process keeps its locks that was stopped in the middle of a transaction, or whose network forgot it."""


class Postgres:
    """PostgreSQL's ways. See app.store.dialects.Dialect."""

    name = "postgresql"
    short_list = 0
    record = RECORDINGS
    is_in_place = True

    def __init__(self, *, allow_async_commit: bool = False) -> None:
        self._horizon = Horizon()
        self._allow_async_commit = allow_async_commit
        self._network = Network()

    def engines(self, url: str, *, connections: int, statement_seconds: float) -> tuple[AsyncEngine, AsyncEngine]:
        """One pool; readings run each statement by itself, works in transactions.

        Whatever the server, the role or the database is set to, a commit is on the disk before it is answered.
        """
        given = {"server_settings": self._session(statement_seconds), **self._network.arguments(statement_seconds)}
        # The one used last is used next, so few stay warm, and few are to be found dead.
        works = create_async_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_use_lifo=True,
            connect_args=given,
        )
        event.listen(works.sync_engine, "checkout", self._demand_open)
        event.listen(works.sync_engine, "checkin", _heard)
        event.listen(works.sync_engine, "invalidate", lambda *_broken: self._network.doubt())
        return works.execution_options(isolation_level="AUTOCOMMIT"), works

    def _session(self, statement_seconds: float) -> Mapping[str, str]:
        """How each of the gateway's sessions is set."""
        return {
            "application_name": APPLICATION,
            "statement_timeout": str(int(statement_seconds * 1000)),
            "lock_timeout": str(LOCK_SECONDS * 1000),
            "idle_in_transaction_session_timeout": str(IDLE_SECONDS * 1000),
            "timezone": "UTC",
            "datestyle": "ISO",
            "jit": "off",
            **({} if self._allow_async_commit else {"synchronous_commit": "on"}),
        }

    async def close(self) -> None:
        pass

    def lanes(self, url: str, *, connections: int, statement_seconds: float, damage: Damage) -> PostgresLanes:
        driver: Any = create_async_engine(url).dialect
        _, given = driver.create_connect_args(make_url(url))
        session = {"server_settings": self._session(statement_seconds), **self._network.arguments(statement_seconds)}
        return PostgresLanes({**given, **session}, connections, self._network, damage)

    def _demand_open(self, connection: Any, _record: Any, _proxy: Any) -> None:
        """Have the pool open another connection instead of one that broke, or led nowhere, while nobody used it."""
        wire, network = connection.driver_connection, self._network
        if wire.is_closed() or (network.is_doubtful(wire) and not connection.run_async(network.answers)):
            raise DisconnectionError

    def contains(self, folded: ColumnElement[Any], text: ColumnElement[Any]) -> ColumnElement[bool]:
        return func.strpos(folded, text) > 0

    def ends_with(self, folded: ColumnElement[Any], text: ColumnElement[Any]) -> ColumnElement[bool]:
        return func.right(folded, func.char_length(text)) == text

    def among(self, column: ColumnElement[Any], given: ColumnElement[Any]) -> ColumnElement[bool]:
        return column == func.any(given)

    def each(self, given: ColumnElement[Any]) -> FromClause:
        return func.unnest(given).table_valued("key").render_derived(name="each_given")

    def first_of_each(self, parents: FromClause, page: Page) -> Select[Any]:
        first = page.selected(parents).lateral("first")
        statement = select(parents.c.key.label("key"), *first.c).select_from(parents.join(first, true()))
        return statement.order_by(parents.c.key, *page.ordering(first.c))

    def as_bytes(self, text: ColumnElement[str]) -> ColumnElement[bytes]:
        return func.convert_to(text, literal_column("'UTF8'"))

    def quoted(self, text: ColumnElement[Any]) -> ColumnElement[str]:
        return func.to_json(type_coerce(text, Text), type_=Text)

    def hex(self, text: ColumnElement[Any]) -> ColumnElement[str]:
        return func.encode(self.as_bytes(text), literal_column("'hex'"))

    def money_text(self, amount: ColumnElement[Any]) -> ColumnElement[str]:
        return _exact_text(type_coerce(amount, Number))

    def units_text(self, amount: ColumnElement[Any]) -> ColumnElement[str]:
        return cast(type_coerce(amount, Number), Text)

    def difference_text(self, amount: ColumnElement[Any], less: ColumnElement[Any]) -> ColumnElement[str]:
        # As numeric, of any size.
        return _exact_text(cast(type_coerce(amount, Number), Numeric) - type_coerce(less, Number))

    def sum_text(self, amount: ColumnElement[Any]) -> ColumnElement[str]:
        return _exact_text(func.sum(type_coerce(amount, Number)))

    def instant_text(self, at: ColumnElement[Any]) -> ColumnElement[str]:
        # The session's time zone is UTC, its dates are ISO's.
        local = cast(cast(type_coerce(at, DateTime(timezone=True)), DateTime()), Text)
        written: ColumnElement[str] = func.replace(local, literal_column("' '"), literal_column("'T'"))
        return type_coerce(written, Text).concat(literal_column("'Z'"))

    def micros_text(self, at: ColumnElement[Any]) -> ColumnElement[str]:
        moment = type_coerce(at, DateTime(timezone=True))
        micros = cast(cast(extract("epoch", moment), Numeric) * literal_column("1000000"), BigInteger)
        # The calendar's ends are kept as infinite.
        return case((func.isfinite(moment), cast(micros, Text)), else_=literal_column("'infinityZ\"'", Text()))

    def gathered(self, text: ColumnElement[str], between: str) -> Any:
        return func.string_agg(text, literal_column(f"'{between}'", Text()), type_=Text)

    def items(self, listed: ColumnElement[Any]) -> FromClause:
        numbers = func.unnest(listed).table_valued("number", with_ordinality="place")
        return numbers.render_derived()

    def side_by_side(self, listed: ColumnElement[Any], other: ColumnElement[Any]) -> FromClause:
        return func.unnest(listed, other).table_valued("number", "other", with_ordinality="place").render_derived()

    def least(self, one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.least(one, other)

    def halves(self, amount: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        # PostgreSQL sums 64-bit numbers as numeric: exact at any size, so the high half is everything.
        return literal_column("0"), func.sum(type_coerce(amount, Number))

    def locked(self, statement: Select[Any], table: FromClause) -> Select[Any]:
        return statement.with_for_update(of=table, key_share=True)

    async def wait_at_most(self, connection: AsyncConnection, seconds: float) -> None:
        await connection.execute(_WAIT_AT_MOST, {"milliseconds": str(int(seconds * 1000))})

    async def log_numbers(self, connection: AsyncConnection, count: int) -> Sequence[int]:
        return (await connection.execute(_DRAWN, {"count": count})).scalars().all()

    async def log_number_of_each(
        self, connection: AsyncConnection, count: int, order: ColumnElement[Any]
    ) -> ColumnElement[int]:
        del connection, count, order  # The transaction has changed a row, so it has its number.
        return func.nextval("entries_id_seq")

    async def skip_numbers(self, connection: AsyncConnection, count: int) -> int:
        await connection.execute(_SKIP, {"count": count})
        return int((await connection.execute(_LAST_DRAWN)).scalar_one())

    async def horizon(self, connection: AsyncConnection) -> int:
        return await self._horizon.settled(connection)

    async def insert(self, connection: AsyncConnection, table: Table, rows: Rows) -> None:
        await connection.execute(_inserted(table, rows))

    async def insert_new(self, connection: AsyncConnection, table: Table, rows: Rows) -> None:
        await connection.execute(_inserted(table, rows).on_conflict_do_nothing())

    async def update(self, connection: AsyncConnection, table: Table, key: str, rows: Rows) -> None:
        names = list(rows[0])
        given = _unnested(table, names, rows)
        changes = {name: given.c[name] for name in names if name != key}
        await connection.execute(update(table).where(table.c[key] == given.c[key]).values(changes))


def _heard(connection: Any, _record: Any) -> None:
    """A connection comes back, and has answered; None comes of one that broke."""
    if connection is not None:
        connection.driver_connection.heard_at = time.monotonic()


def _exact_text(units: ColumnElement[Any]) -> ColumnElement[str]:
    """Ten-thousandths as an amount: without trailing zeros, and never rounded."""
    return cast(func.trim_scale(units * literal_column("0.0001", Numeric())), Text)


_WAIT_AT_MOST = text("SELECT set_config('lock_timeout', :milliseconds, true)")

_DRAWN = text("SELECT nextval('entries_id_seq') FROM generate_series(1, :count) WHERE pg_current_xact_id() IS NOT NULL")
"""The condition is there for its effect: the transaction has its number before it draws one of the log's."""

_LAST_DRAWN = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM entries_id_seq")
_SKIP = text("""SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, coalesce(last_value, 0) + :count)
    FROM pg_sequences WHERE schemaname = current_schema()""")
_NEXT_TRANSACTION = text("SELECT pg_current_xact_id()::text::bigint")
_OLDEST_RUNNING = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
LOOKS_MAX = 1_000
WAITS_MAX, WAIT_SECONDS = 10, 0.005


class Horizon:
    """Up to which place of the log nothing is still to be committed.

    A look takes the last number that was drawn, and after that a transaction number of its own. Whoever drew one of
    these numbers had its transaction number before, so that is smaller. As soon as no such transaction runs any more,
    all of these numbers are committed or given up. (The end of a snapshot won't do for a transaction number of its own:
    that is one behind the last transaction that has ended, and younger ones may run.) A look that finds nothing new
    takes none. Any long transaction of the cluster holds the horizon back; nothing is lost by that.
    """

    def __init__(self) -> None:
        self._settled = 0
        self._looks: deque[tuple[int, int]] = deque()

    async def settled(self, connection: AsyncConnection) -> int:
        """Up to where the log is settled. Who writes now is waited for, but not for long: so whoever has just been
        answered finds what it wrote.
        """
        drawn = int((await connection.execute(_LAST_DRAWN)).scalar_one())
        if drawn > self._settled:
            number = int((await connection.execute(_NEXT_TRANSACTION)).scalar_one())
            if len(self._looks) == LOOKS_MAX:
                self._looks.pop()
            self._looks.append((drawn, number))
        for tries in range(WAITS_MAX):
            if self._settled >= drawn:
                break
            if tries:
                await asyncio.sleep(WAIT_SECONDS)
            oldest = int((await connection.execute(_OLDEST_RUNNING)).scalar_one())
            while self._looks and self._looks[0][1] <= oldest:
                self._settled = max(self._settled, self._looks.popleft()[0])
        return self._settled


def _inserted(table: Table, rows: Rows) -> Insert:
    names = list(rows[0])
    given = _unnested(table, names, rows)
    return insert(table).from_select(names, select(*(given.c[name] for name in names)))


def _unnested(table: Table, names: Sequence[str], rows: Rows) -> FromClause:
    """Many rows in one parameter a column."""
    columns = [given_list(table.c[name].type, [row[name] for row in rows]) for name in names]
    return func.unnest(*columns).table_valued(*names).render_derived(name="given")
