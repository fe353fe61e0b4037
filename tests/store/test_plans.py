"""Indexes serve what they are there for, at 1,000,000 entries: the plans that the databases tell."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from sqlalchemy import event, text

from app.domain.conditions import All, Comparison, Condition, Operator, Order, Place, Window
from app.store.balances import Balances
from app.store.closings import Run
from app.store.reads import Reads
from app.store.sources import ACCOUNTS, ENTRIES, Source
from app.store.store import Store, Work
from tests.databases import Databases

ACCOUNTS_COUNT = 10_000
ENTRIES_EACH = 100

FILL = {
    "sqlite": """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)""",
    "postgresql": "WITH n(i) AS (SELECT generate_series(1, :count))",
}
# Moments are written in each database's own form.
MOMENT = {"sqlite": "(i * 60000000)", "postgresql": "(timestamptz 'epoch' + i * interval '1 minute')"}
LIST = {"sqlite": "'[]'", "postgresql": "'{}'::bigint[]"}
FLAG = {"sqlite": "1", "postgresql": "true"}
UUID = {
    "sqlite": "printf('00000000-0000-0000-0000-%012d', i)",
    "postgresql": "lpad(i::text, 32, '0')::uuid",
}
NUMBERED = {"sqlite": "printf('%08d', i)", "postgresql": "lpad(i::text, 8, '0')"}


def _script(kind: str) -> list[str]:
    fill, moment, number = FILL[kind], MOMENT[kind], NUMBERED[kind]
    return [
        "INSERT INTO units (name, name_folded) VALUES ('a', 'a'), ('b', 'b'), ('c', 'c')",
        f"""INSERT INTO contractors (unit_id, name, name_folded, is_customer, is_vendor)
            SELECT id, 'C', 'c', {FLAG[kind]}, {FLAG[kind]} FROM units""",
        f"""INSERT INTO accounts (unit_id, uuid, name, name_folded, external_id, external_id_folded, contractor_id,
              currency, min_balance, max_balance, vat, send_invoices_to, send_balance_notifications_to, timezone,
              created_at, updated_at)
            {fill} SELECT 1 + i % 3, {UUID[kind]}, 'Account ' || {number}, 'account ' || {number}, 'EXT-' || {number},
              'ext-' || {number}, 1 + i % 3, 'EUR', 0, 0, 0, {LIST[kind]}, {LIST[kind]}, 'UTC', {moment}, {moment}
            FROM n""",
        """INSERT INTO positions (account_id, unit_id, currency, balance, threshold_state)
            SELECT id, unit_id, currency, (id * 7919) % 1000003, CASE WHEN id % 500 = 0 THEN 1 ELSE 0 END
            FROM accounts""",
        "INSERT INTO balance_kinds (account_id, kind, currency) SELECT id, 'EUR', 'EUR' FROM accounts",
        f"""INSERT INTO entries (unit_id, account_id, at, amount, currency, communication_number,
              communication_number_folded, recorded_at, recorded_by)
            {fill.replace(":count", ":entries")} SELECT 1 + (1 + i % {ACCOUNTS_COUNT}) % 3, 1 + i % {ACCOUNTS_COUNT},
              {moment}, i, 'EUR', 'N-' || {number}, 'n-' || {number}, {moment}, 'local'
            FROM n""",
        # SQLite is never told to analyze: its plans must be good without.
        *(["ANALYZE"] if kind == "postgresql" else []),
    ]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def large_url(request: pytest.FixtureRequest, databases: Databases) -> Any:
    with databases.made(request.param) as url:
        yield url


@pytest.fixture
async def store(large_url: str) -> AsyncIterator[Store]:
    store = Store(large_url, statement_seconds=300)
    if await store.is_empty():

        async def fill(work: Any) -> None:
            connection = work.reads._connection
            for statement in _script(store.dialect.name):
                values = {"count": ACCOUNTS_COUNT, "entries": ACCOUNTS_COUNT * ENTRIES_EACH}
                given = {name: value for name, value in values.items() if f":{name}" in statement}
                await connection.execute(text(statement), given)

        await store.work(None, fill)
    yield store
    await store.close()


async def _plan(store: Store, ask: Callable[[Reads], Awaitable[Any]], units: frozenset[str] | None) -> str:
    """The plan of the statement that a reading sends."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(store.engines[0], "before_cursor_execute", note)
    async with store.reading(units) as reads:
        await ask(reads)
    event.remove(store.engines[0], "before_cursor_execute", note)
    return await _explained(store, *sent[-1])


async def _explained(store: Store, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN " if store.dialect.name == "sqlite" else "EXPLAIN "
    async with store.reading(None) as reads:
        rows = await reads._connection.exec_driver_sql(explain + statement, parameters)
        return "\n".join(str(row[-1]) for row in rows)


class Question(NamedTuple):
    """A page of a list, and the index that must serve it (names as each database has them, apart by |)."""

    name: str
    indexes: str
    condition: Condition
    order: Order
    after: Place | None


NUMBER = "ix_entries_number"


NOON = datetime(1970, 3, 1, 12, tzinfo=UTC)
ENTRY_QUESTIONS: list[Question] = [
    Question("newest first", "entries_unit_id_at_id", All(()), Order("timestamp", True), None),
    Question("behind a cursor", "entries_unit_id_at_id", All(()), Order("timestamp", True), Place(NOON, 500)),
    Question(
        "a range of moments",
        "entries_unit_id_at_id",
        Comparison("timestamp", Operator.GTE, NOON),
        Order("timestamp", False),
        None,
    ),
    Question("by recording", "entries_unit_id_recorded_at_id", All(()), Order("recorded_at", True), None),
    Question(
        "one number",
        NUMBER,
        Comparison("communication_number", Operator.EQ, "N-00012345"),
        Order("timestamp", True),
        None,
    ),
    Question(
        "numbers",
        NUMBER,
        Comparison("communication_number", Operator.IN, ("N-00000001", "N-2")),
        Order("timestamp", True),
        None,
    ),
    Question(
        "the start of a number",
        NUMBER,
        Comparison("communication_number", Operator.STARTS_WITH, "n-000123"),
        Order("timestamp", True),
        None,
    ),
    Question(
        "some accounts'",
        "entries_account_id_at_id",
        Comparison("account_id", Operator.IN, (5, 77)),
        Order("timestamp", True),
        None,
    ),
]
ACCOUNT_QUESTIONS: list[Question] = [
    Question("in order of creation", "accounts_unit_id_id|pk_accounts", All(()), Order("id", False), Place(None, 500)),
    Question("by name", "accounts_unit_id_name", All(()), Order("name", False), Place("Account 00000500", 500)),
    Question(
        "one name",
        "accounts_unit_id_name",
        Comparison("name", Operator.EQ, "Account 00000500"),
        Order("id", False),
        None,
    ),
    Question(
        "the start of a name",
        "accounts_unit_id_name_folded",
        Comparison("name", Operator.STARTS_WITH, "ACCOUNT 000005"),
        Order("id", False),
        None,
    ),
    Question(
        "one external id",
        "accounts_unit_id_external_id",
        Comparison("external_id", Operator.EQ, "EXT-00000500"),
        Order("id", False),
        None,
    ),
    Question(
        "external ids",
        "accounts_unit_id_external_id",
        Comparison("external_id", Operator.IN, ("EXT-00000500", "x")),
        Order("id", False),
        None,
    ),
    Question(
        "the start of an external id",
        "accounts_unit_id_external_id_folded",
        Comparison("external_id", Operator.STARTS_WITH, "EXT-000005"),
        Order("id", False),
        None,
    ),
    Question(
        "by balance",
        "positions_unit_id_balance_account_id",
        All(()),
        Order("balance", True),
        Place(Decimal("50.5"), 500),
    ),
    Question(
        "a range of balances",
        "positions_unit_id_balance_account_id",
        Comparison("balance", Operator.LT, Decimal("0.5")),
        Order("balance", False),
        None,
    ),
    Question(
        "by creation time", "accounts_unit_id_created_at_id", All(()), Order("created_at", True), Place(NOON, 500)
    ),
    Question("by change time", "accounts_unit_id_updated_at_id", All(()), Order("updated_at", True), Place(NOON, 500)),
    Question(
        "alarmed ones",
        "positions_unit_id_threshold_state_account_id",
        Comparison("threshold_state", Operator.IN, (1,)),
        Order("id", False),
        None,
    ),
]


@pytest.mark.parametrize("units", [None, frozenset({"b"}), frozenset({"a", "c"})], ids=["all", "one unit", "two units"])
@pytest.mark.parametrize(
    ("source", "question"),
    [(ENTRIES, question) for question in ENTRY_QUESTIONS] + [(ACCOUNTS, question) for question in ACCOUNT_QUESTIONS],
    ids=lambda value: value.name if isinstance(value, Question) else "",
)
async def test_an_index_serves(store: Store, source: Source, question: Question, units: frozenset[str] | None) -> None:
    window = Window(question.condition, question.order, question.after, None, 51, from_end=False)
    plan = await _plan(store, lambda reads: reads.window(source, window), units)
    assert any(index in plan for index in question.indexes.split("|")), plan


async def test_an_index_serves_the_last_entries_of_many_accounts(store: Store) -> None:
    window = Window(All(()), Order("timestamp", True), None, None, 11, from_end=False)
    plan = await _plan(store, lambda reads: reads.windows(ENTRIES, "account_id", range(1, 51), window), None)
    assert "entries_account_id_at_id" in plan, plan


async def test_an_index_serves_a_batch_that_asks_who_holds_its_numbers(store: Store) -> None:
    numbers = [f"N-{number:08}" for number in range(1, 1001)]
    plan = await _plan(store, lambda reads: Balances(reads._connection, reads._dialect).holders(1, numbers), None)
    assert NUMBER in plan, plan


async def test_entries_have_at_most_five_indexes(store: Store) -> None:
    listed = {
        "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND tbl_name = 'entries'",
        "postgresql": "SELECT count(*) FROM pg_indexes WHERE tablename = 'entries'",
    }
    async with store.reading(None) as reads:
        count = (await reads._connection.execute(text(listed[store.dialect.name]))).scalar_one()
    assert count <= 5


async def test_a_part_of_a_closing_reads_what_its_own_accounts_have(store: Store) -> None:
    """Not the kinds of all accounts, part after part."""
    run = Run(1, 1, 1, date(2026, 3, 1), NOON, None, 0, None, 1_000, 1, None)
    sent: list[tuple[str, Any]] = []

    def stop(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))
        raise Stopped

    async def write(work: Work) -> None:
        event.listen(store.engines[1], "before_cursor_execute", stop)
        try:
            await work.closings.write(run, 1_100, 100, day_before=None, now=NOON)
        finally:
            event.remove(store.engines[1], "before_cursor_execute", stop)

    with pytest.raises(Stopped):
        await store.work(None, write)
    plan = await _explained(store, *sent[0])
    if store.dialect.name == "sqlite":
        assert "SEARCH balance_kinds USING PRIMARY KEY (account_id>? AND account_id<?)" in plan
    else:
        assert "pk_balance_kinds" in plan
        assert "Seq Scan on balance_kinds" not in plan


class Stopped(Exception):  # noqa: N818 - a test's own end.
    """The statement is not sent."""
