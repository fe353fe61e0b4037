"""The checker sees what it is there to see: each planted fault is found, and nothing else."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.domain.events import ALL, CROSSINGS, EventType
from app.runner import Runner
from app.store.log import CODES
from app.store.store import Store
from tests.asking import NOW, Gateway
from tests.databases import KINDS, Databases, Kind
from tests.faults import invariants
from tests.faults.asking import REGISTER, SETUP, Item, items, numbered

CONFIGURE = """mutation { createDivision(input: {code: "D"}) { division { id } } }"""
CLOSE = """mutation {
  updateAccount(id: "account_1", input: {divisionCode: "D"}) { userErrors { message } }
  createAccountBalanceHistoryConfig(input: {divisionCode: "D", cycleClosingTime: "22:00:00", cycleEventDelay: 5}) {
    userErrors { message } } }"""
OTHERS = """mutation {
  createAccount(input: {name: "Other", contractorId: "contractor_1", externalId: "OTHER"}) { userErrors { message } }
  createContractor(input: {name: "Else", isCustomer: true, businessUnit: "else"}) { userErrors { message } }
  createWebhook(input: {url: "http://127.0.0.1/", businessUnit: "else"}) { userErrors { message } } }"""

CHANGE = """mutation ($low: Decimal, $high: Decimal) {
  updateAccount(id: "account_1", input: {balanceLowThreshold: $low, balanceHighThreshold: $high}) {
    userErrors { message } } }"""
MOVE = """mutation { createDivision(input: {code: "E"}) { userErrors { message } }
  createAccountBalanceHistoryConfig(input: {divisionCode: "E", cycleClosingTime: "12:00:00", cycleEventDelay: 5}) {
    userErrors { message } }
  updateAccount(id: "account_1", input: {divisionCode: "E"}) { userErrors { message } } }"""

BATCH = items("n", 8)
TOLD = invariants.Told(numbered(BATCH), rejected=["no-0"], batches=[numbered(BATCH)])


async def _history(url: str) -> None:
    """An account whose threshold is reached and cleared, and two closings of it."""
    gateway = Gateway(url, allow_private_webhooks=True)
    for document in (SETUP, CONFIGURE, CLOSE, OTHERS):
        (await gateway.ask(document)).sound()
    (await gateway.ask(REGISTER, items=BATCH)).sound()
    runner = Runner(gateway.store, clock=lambda: gateway.now, retention=timedelta(days=30), dispatcher=None)
    for day in (2, 3):
        gateway.now = datetime(2026, 3, day, 12, tzinfo=UTC)
        late = {**items(f"d{day}", 1)[0], "value": day, "balanceAt": NOW.isoformat()}
        (await gateway.ask(REGISTER, items=[late])).sound()
        gateway.now += timedelta(hours=1)
        assert await runner.tick() == 1
    await gateway.store.close()


async def _plant(url: str, *statements: str) -> None:
    """Do what no gateway does, each by itself, while nothing is checked."""
    unchecked = ["SET LOCAL session_replication_role = replica"]
    if url.startswith("sqlite"):
        unchecked = ["PRAGMA ignore_check_constraints = ON", "PRAGMA writable_schema = ON"]
    engine = create_async_engine(url, poolclass=NullPool)
    for statement in statements:
        async with engine.begin() as connection:
            for each in (*unchecked, statement):
                await connection.execute(text(each))
    await engine.dispose()


LOW_REACHED, LOW_CLEARED = EventType.LOW_REACHED, EventType.LOW_CLEARED
HIGH_REACHED, HIGH_CLEARED = EventType.HIGH_REACHED, EventType.HIGH_CLEARED

Histories = Callable[[Kind], AbstractContextManager[str]]


@pytest.fixture(scope="module")
def histories(databases: Databases) -> Iterator[Histories]:
    """Makes databases that have that history, of both kinds."""
    with ExitStack() as kept:

        @cache
        def first(kind: Kind) -> str:
            url = kept.enter_context(databases.made(kind))
            asyncio.run(_history(url))
            return url

        yield lambda kind: databases.made(kind, like=first(kind))


@pytest.fixture(params=KINDS)
def history_url(request: pytest.FixtureRequest, histories: Histories) -> Iterator[str]:
    with histories(request.param) as url:
        yield url


async def test_a_sound_history_has_no_violations(history_url: str) -> None:
    assert await invariants.violations(history_url, TOLD) == []


async def test_changes_late_entries_and_forgotten_events_are_no_violations(database_url: str) -> None:
    gateway = Gateway(database_url, allow_private_webhooks=True)
    retention = timedelta(days=3)
    runner = Runner(gateway.store, clock=lambda: gateway.now, retention=retention, dispatcher=None)

    async def passes(days: int, document: str, told: list[EventType], **variables: Any) -> None:
        """Days go by, and something is done that tells of thresholds; all holds then, and when it is closed."""
        gateway.now += timedelta(days=days)
        async with gateway.store.reading(None) as reads:
            newest = await reads.log.newest()
        (await gateway.ask(document, **variables)).sound()
        async with gateway.store.reading(None) as reads:
            events = await reads.log.page(ALL._replace(types=CROSSINGS), after=newest, until=sys.maxsize, limit=10)
        assert [event.type for event in events] == told
        assert await invariants.violations(database_url) == []
        await runner.once()
        assert await invariants.violations(database_url) == []

    for document in (SETUP, CONFIGURE, CLOSE, OTHERS):
        await passes(0, document, [])
    await passes(0, REGISTER, [HIGH_REACHED], items=items("n", 8))
    await passes(1, CHANGE, [HIGH_CLEARED, LOW_REACHED], low=8, high=20)
    await passes(0, REGISTER, [LOW_CLEARED, HIGH_REACHED], items=[_item("one", 30, gateway.now)])
    await passes(2, REGISTER, [HIGH_CLEARED, LOW_REACHED], items=[_item("two", 1, gateway.now)])
    await passes(1, REGISTER, [], items=[_item("late", 5, NOW), _item("later", 6, NOW + timedelta(days=1))])
    await passes(1, MOVE, [])
    await passes(1, REGISTER, [LOW_CLEARED], items=[_item("three", 9, gateway.now)])
    await passes(10, REGISTER, [LOW_REACHED], items=[_item("four", 7, gateway.now)])
    async with gateway.store.reading(None) as reads:
        assert (await reads.log.bounds()).kept_from > 0
    await gateway.store.close()


def _item(number: str, value: int, moment: datetime) -> Item:
    return {**items("x", 1)[0], "communicationNumber": number, "value": value, "balanceAt": moment.isoformat()}


async def test_what_is_recorded_while_a_cycle_is_closed_may_count_or_not(histories: Histories) -> None:
    """On PostgreSQL, where its commit may come later than its place in the log says."""
    at_that_time = """UPDATE entries SET recorded_at = (SELECT at FROM events WHERE closing_id = 2)
        WHERE communication_number = 'd3-0'"""
    without = "UPDATE history_entries SET closing = 20000 WHERE id = (SELECT max(id) FROM history_entries)"
    for kind in KINDS:
        with histories(kind) as url:
            await _plant(url, without)
            await _finds(url, "account 1 closed at")
            await _plant(url, at_that_time)
            assert len(await invariants.violations(url, TOLD)) == (0 if kind == "postgresql" else 1)


REACHED, CLEARED = CODES[HIGH_REACHED], CODES[HIGH_CLEARED]

PLANTED = [
    ("UPDATE entries SET amount = amount + 1 WHERE communication_number = 'n-3'", "n-3 was accepted"),
    ("UPDATE entries SET requester = 'x' WHERE communication_number = 'n-3'", "n-3 was accepted"),
    ("UPDATE entries SET balance_type = 'x' WHERE communication_number = 'n-3'", "n-3 was accepted"),
    ("UPDATE entries SET equivalent_value = 1 WHERE communication_number = 'n-3'", "n-3 was accepted"),
    ("UPDATE entries SET account_id = 2 WHERE communication_number = 'n-3'", "n-3 was accepted"),
    (
        """UPDATE entries SET at = (SELECT at FROM entries WHERE communication_number = 'n-0')
        WHERE communication_number = 'n-3'""",
        "n-3 was accepted",
    ),
    ("DELETE FROM entries WHERE communication_number = 'n-1'", "only a part is stored"),
    ("UPDATE entries SET communication_number = 'no-0' WHERE communication_number = 'n-1'", "no-0 was rejected"),
    ("UPDATE positions SET balance = balance + 1", "account 1 stands at"),
    ("UPDATE positions SET entry_id = entry_id - 1", "became current last"),
    ("UPDATE positions SET threshold_state = 1", "is in the state 1"),
    ("DELETE FROM balance_kinds", "the kinds of balances"),
    (f"DELETE FROM events WHERE type = {REACHED}", "account 1 was in the state 0 when"),
    (f"DELETE FROM events WHERE type = {CLEARED}", "account 1 is in the state 0, and told was 2"),
    (f"DELETE FROM events WHERE type IN ({REACHED}, {CLEARED})", "the entries of account 1 crossed"),
    (f"UPDATE events SET id = id + 1000000 WHERE type = {CLEARED}", "the entries of account 1 crossed"),
    (
        f"""INSERT INTO events (id, unit_id, type, account_id, at, data)
        SELECT id + 1000000, unit_id, type, account_id, at, data FROM events WHERE type = {CLEARED}""",
        "account 1 was in the state 0 when",
    ),
    (
        f"""UPDATE events SET data = replace(data, '"balance":"6"', '"balance":"7"') WHERE type = {REACHED}""",
        "account 1 had the balance 60000 when",
    ),
    (
        f"""UPDATE events SET data = replace(data, '_high_threshold":"5"', '_high_threshold":"6"')
        WHERE type = {REACHED}""",
        "account 1 had the balance 60000 when",
    ),
    ("UPDATE closings SET business_date = '2026-02-01' WHERE id = 1", "division D closed on"),
    ("DELETE FROM events WHERE account_id IS NULL", "and told of 0"),
    (
        "UPDATE history_entries SET opening = 7 WHERE id = (SELECT max(id) FROM history_entries)",
        "the history of account",
    ),
    (
        "UPDATE history_entries SET closing = closing + 1 WHERE id = (SELECT max(id) FROM history_entries)",
        "account 1 closed at",
    ),
    (
        "UPDATE history_entries SET closing = 70000 WHERE id = (SELECT max(id) FROM history_entries)",
        "account 1 closed at",
    ),
    ("DELETE FROM history_entries WHERE id = (SELECT max(id) FROM history_entries)", "account 1 closed at"),
    ("DELETE FROM events WHERE closing_id = 2", "nothing was told of the closing of account 1"),
    ("UPDATE closings SET account_count = 2 WHERE id = 2", "closing 2 is of 2 accounts, and told of 1"),
    (
        """INSERT INTO idempotency_keys (issuer, subject, key, fingerprint, created_at)
        SELECT '', '', 'k', '', recorded_at FROM entries LIMIT 1""",
        "the key k is there without an answer",
    ),
    ("UPDATE entries SET unit_id = 2 WHERE communication_number = 'n-3'", "a row of entries has the account_id"),
    (f"UPDATE events SET unit_id = 2 WHERE type = {REACHED}", "a row of events has the account_id"),
    ("UPDATE history_entries SET unit_id = 2", "a row of history_entries has the account_id"),
    ("DELETE FROM contractors WHERE id = 1", "a row of accounts has the contractor_id"),
    (
        """INSERT INTO deliveries (receiver_id, event_id, target, subject, attempts, first_at, retry_at)
        SELECT r.id, e.id, 0, 'account_1', 0, e.recorded_at, e.recorded_at
        FROM receivers r, entries e WHERE r.unit_id = 2 AND e.communication_number = 'n-3'""",
        "what waits for a receiver is of another unit",
    ),
]


@pytest.mark.parametrize(("statement", "told"), PLANTED)
async def test_each_planted_fault_is_found(history_url: str, statement: str, told: str) -> None:
    await _plant(history_url, statement)
    await _finds(history_url, told)


STATE = "UPDATE positions SET threshold_state = 5"
UNKEPT = "a row of positions breaks ck_positions_state"

OF_A_KIND: list[tuple[Kind, list[str], str]] = [
    ("sqlite", [STATE], UNKEPT),
    ("sqlite", [STATE], "CHECK constraint failed in positions"),
    ("sqlite", ["DELETE FROM contractors WHERE id = 1"], "'contractors'"),
    (
        "sqlite",
        [
            "UPDATE sqlite_schema SET sql = sql || ' WHERE 0' WHERE name = 'ix_contractors_unit_id_id'",
            """INSERT INTO contractors (unit_id, name, name_folded, is_customer, is_vendor)
            VALUES (1, 'x', 'x', 1, 0)""",
            "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE 0', '')",
        ],
        "missing from index ix_contractors_unit_id_id",
    ),
    ("postgresql", ["ALTER TABLE positions DROP CONSTRAINT ck_positions_state", STATE], UNKEPT),
]


@pytest.mark.parametrize(("kind", "statements", "told"), OF_A_KIND)
async def test_a_database_that_is_not_sound_is_found(
    histories: Histories, kind: Kind, statements: Sequence[str], told: str
) -> None:
    with histories(kind) as url:
        await _plant(url, *statements)
        await _finds(url, told)


READY = "UPDATE pg_index SET indisready = {} WHERE indexrelid = 'units_name_key'::regclass"


async def test_an_index_that_lacks_a_row_is_found(histories: Histories) -> None:
    with histories("postgresql") as url:
        store = Store(url)
        async with store.reading(None) as reads:
            may_check = await invariants.may_check_indexes(reads)
        await store.close()
        if not may_check:
            pytest.skip("PostgreSQL has no amcheck here")
        row = "INSERT INTO units (name, name_folded) VALUES ('x', 'x')"
        await _plant(url, READY.format("false"), row, READY.format("true"))
        await _finds(url, 'lacks matching index tuple within index "units_name_key"')


async def _finds(url: str, told: str) -> None:
    found = await invariants.violations(url, TOLD)
    assert [sentence for sentence in found if told in sentence], found
