"""Indexes serve what they are there for, at 1,000,000 entries: the plans that the databases tell."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from app.domain.conditions import All, Comparison, Condition, Operator, Order, Place, Window
from app.store.reads import Reads
from app.store.sources import ACCOUNTS, ENTRIES, Source
from app.store.store import Store
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
        f"INSERT INTO contractors (unit_id, name, name_folded, is_customer, is_vendor) "
        f"SELECT id, 'C', 'c', {FLAG[kind]}, {FLAG[kind]} FROM units",
        f"""INSERT INTO accounts (unit_id, uuid, name, name_folded, external_id, external_id_folded, contractor_id,
              currency, min_balance, max_balance, vat, send_invoices_to, send_balance_notifications_to, timezone,
              created_at, updated_at)
            {fill} SELECT 1 + i % 3, {UUID[kind]}, 'Account ' || {number}, 'account ' || {number}, 'EXT-' || {number},
              'ext-' || {number}, 1 + i % 3, 'EUR', 0, 0, 0, {LIST[kind]}, {LIST[kind]}, 'UTC', {moment}, {moment}
            FROM n""",
        """INSERT INTO positions (account_id, unit_id, currency, balance, threshold_state)
            SELECT id, unit_id, currency, (id * 7919) % 1000003, CASE WHEN id % 500 = 0 THEN 1 ELSE 0 END
            FROM accounts""",
        f"""INSERT INTO entries (unit_id, account_id, at, amount, currency, communication_number,
              communication_number_folded, recorded_at, recorded_by)
            {fill.replace(":count", ":entries")} SELECT 1 + (1 + i % {ACCOUNTS_COUNT}) % 3, 1 + i % {ACCOUNTS_COUNT},
              {moment}, i, 'EUR', 'N-' || {number}, 'n-' || {number}, {moment}, 'local'
            FROM n""",
        "ANALYZE",
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
    from sqlalchemy import event  # noqa: PLC0415

    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(store.engines[0], "before_cursor_execute", note)
    async with store.reading(units) as reads:
        await ask(reads)
    event.remove(store.engines[0], "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if store.dialect.name == "sqlite" else "EXPLAIN "
    statement, parameters = sent[-1]
    async with store.reading(units) as reads:
        rows = await reads._connection.exec_driver_sql(explain + statement, parameters)
        return "\n".join(str(row[-1]) for row in rows)


def _is_served(plan: str, table: str) -> bool:
    """Whether no table of many rows is read from end to end."""
    if "SCAN " in plan or "SEARCH " in plan:
        scans = re.findall(r"SCAN (\w+)", plan)
        return not any(name.startswith((table, "positions")) for name in scans)
    return re.search(rf"Seq Scan on ({table}|positions)\b", plan) is None


NOON = datetime(1970, 3, 1, 12, tzinfo=UTC)
ENTRY_QUESTIONS: list[tuple[str, Condition, Order, Place | None]] = [
    ("newest first", All(()), Order("timestamp", True), None),
    ("behind a cursor", All(()), Order("timestamp", True), Place(NOON, 500)),
    ("a range of moments", Comparison("timestamp", Operator.GTE, NOON), Order("timestamp", False), None),
    ("by recording", All(()), Order("recorded_at", True), None),
    ("one number", Comparison("communication_number", Operator.EQ, "N-00012345"), Order("timestamp", True), None),
    ("numbers", Comparison("communication_number", Operator.IN, ("N-00000001", "N-2")), Order("timestamp", True), None),
    (
        "the start of a number",
        Comparison("communication_number", Operator.STARTS_WITH, "n-000123"),
        Order("timestamp", True),
        None,
    ),
    ("some accounts'", Comparison("account_id", Operator.IN, (5, 77)), Order("timestamp", True), None),
]
ACCOUNT_QUESTIONS: list[tuple[str, Condition, Order, Place | None]] = [
    ("in order of creation", All(()), Order("id", False), Place(None, 500)),
    ("by name", All(()), Order("name", False), Place("Account 00000500", 500)),
    ("one name", Comparison("name", Operator.EQ, "Account 00000500"), Order("id", False), None),
    ("the start of a name", Comparison("name", Operator.STARTS_WITH, "ACCOUNT 000005"), Order("id", False), None),
    ("one external id", Comparison("external_id", Operator.EQ, "EXT-00000500"), Order("id", False), None),
    ("external ids", Comparison("external_id", Operator.IN, ("EXT-00000500", "x")), Order("id", False), None),
    ("the start of an external id", Comparison("external_id", Operator.STARTS_WITH, "EXT-000005"), Order("id", False), None),
    ("by balance", All(()), Order("balance", True), Place(Decimal("50.5"), 500)),
    ("a range of balances", Comparison("balance", Operator.LT, Decimal("0.5")), Order("balance", False), None),
    ("by creation time", All(()), Order("created_at", True), Place(NOON, 500)),
    ("by change time", All(()), Order("updated_at", True), Place(NOON, 500)),
    ("alarmed ones", Comparison("threshold_state", Operator.IN, (1,)), Order("id", False), None),
]


@pytest.mark.parametrize("units", [None, frozenset({"b"}), frozenset({"a", "c"})], ids=["all", "one unit", "two units"])
@pytest.mark.parametrize(
    ("source", "question"),
    [(ENTRIES, question) for question in ENTRY_QUESTIONS] + [(ACCOUNTS, question) for question in ACCOUNT_QUESTIONS],
    ids=lambda value: value[0] if isinstance(value, tuple) and isinstance(value[0], str) else "",
)
async def test_an_index_serves(
    store: Store, source: Source, question: tuple[str, Condition, Order, Place | None], units: frozenset[str] | None
) -> None:
    _, condition, order, after = question
    window = Window(condition, order, after, None, 51, from_end=False)
    plan = await _plan(store, lambda reads: reads.window(source, window), units)
    assert _is_served(plan, source.name), plan


async def test_an_index_serves_the_last_entries_of_many_accounts(store: Store) -> None:
    window = Window(All(()), Order("timestamp", True), None, None, 11, from_end=False)
    plan = await _plan(store, lambda reads: reads.windows(ENTRIES, "account_id", range(1, 51), window), None)
    assert "account_id_at_id" in plan, plan
    assert _is_served(plan, "entries"), plan


async def test_entries_have_at_most_five_indexes(store: Store) -> None:
    listed = {
        "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND tbl_name = 'entries'",
        "postgresql": "SELECT count(*) FROM pg_indexes WHERE tablename = 'entries'",
    }
    async with store.reading(None) as reads:
        count = (await reads._connection.execute(text(listed[store.dialect.name]))).scalar_one()
    assert count <= 5
