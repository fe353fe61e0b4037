"""A closing of 100,000 accounts with 1,000,000 entries against the bare INSERT ... SELECT of the rows that it writes.

Run it with `python -m tests.benchmarks.closing`; two numbers set how many accounts and how many entries each has.
"""

import asyncio
import sys
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from app.actions.close_cycle import Closed, carry_on, close_next
from tests.asking import Gateway
from tests.benchmarks.measuring import compared, gateways

ACCOUNTS, ENTRIES = 100_000, 10
FIRST = datetime(2026, 3, 1, 20, tzinfo=UTC)
RUNS = 5

SETUP = """mutation { createContractor(input: {name: "C", isVendor: true}) { contractor { id } }
  createDivision(input: {code: "D"}) { division { id } }
  createAccountBalanceHistoryConfig(input: {divisionCode: "D", cycleClosingTime: "20:00:00", cycleEventDelay: 5}) {
    userErrors { message } } }"""

NUMBERS = {
    "sqlite": "WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {count}) ",
    "postgresql": "WITH n AS (SELECT generate_series(1, {count}) AS n) ",
}
UUID = {
    "sqlite": "printf('%08x-0000-7000-8000-000000000000', n)",
    "postgresql": "(lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid",
}
EMPTY_LIST = {"sqlite": "'[]'", "postgresql": "'{}'"}
FALSE = {"sqlite": "0", "postgresql": "false"}


def moment(kind: str, at: datetime) -> str:
    """An instant as the statements below write it."""
    return str(int(at.timestamp()) * 1_000_000) if kind == "sqlite" else f"timestamptz '{at.isoformat()}'"


def later(kind: str, at: datetime, minutes: str) -> str:
    """An instant so many minutes later, the number being an expression."""
    if kind == "sqlite":
        return f"{moment(kind, at)} + {minutes} * 60000000"
    return f"{moment(kind, at)} + {minutes} * interval '1 minute'"


async def fill(kind: str, gateway: Gateway, accounts: int, each: int) -> None:
    """Accounts of one division, each with entries in the hours before the first closing."""
    gateway.now = FIRST - timedelta(hours=20)
    (await gateway.ask(SETUP)).sound()
    made, numbers = moment(kind, gateway.now), NUMBERS[kind].format(count=accounts)
    of_entry = f"(n - 1) % {accounts} + 1", f"(n - 1) / {accounts}"
    statements = [
        f"""INSERT INTO accounts (id, unit_id, uuid, name, name_folded, external_id, external_id_folded, division_id,
        contractor_id, currency, min_balance, max_balance, vat, send_invoices_to, send_balance_notifications_to,
        timezone, created_at, updated_at) {numbers} SELECT n, 1, {UUID[kind]}, 'A' || n, 'a' || n, 'E' || n, 'e' || n,
        1, 1, 'EUR', 0, 0, 0, {EMPTY_LIST[kind]}, {EMPTY_LIST[kind]}, 'UTC', {made}, {made} FROM n""",
        f"""INSERT INTO positions (account_id, unit_id, currency, balance, threshold_state, external_id, division_id)
        {numbers} SELECT n, 1, 'EUR', 0, 0, 'E' || n, 1 FROM n""",
        f"INSERT INTO balance_kinds (account_id, kind, currency) {numbers} SELECT n, 'EUR', 'EUR' FROM n",
        f"""INSERT INTO entries (id, unit_id, account_id, at, amount, currency, recorded_at, recorded_by,
        became_current) {NUMBERS[kind].format(count=accounts * each)} SELECT n + 1000, 1, {of_entry[0]},
        {later(kind, gateway.now, f"(60 + {of_entry[1]})")}, n, 'EUR', {made}, 'local', {FALSE[kind]} FROM n""",
    ]
    async with gateway.store._writer.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
        if kind == "postgresql":
            await connection.execute(text(f"SELECT setval('entries_id_seq', {accounts * each + 1000})"))
    if kind == "postgresql":
        async with gateway.store._readers.connect() as connection:
            for table in ("accounts", "entries", "balance_kinds"):
                await connection.execute(text(f"VACUUM ANALYZE {table}"))


async def add_a_day(kind: str, gateway: Gateway, day: int, accounts: int) -> None:
    """One more entry of each account, so that the next closing has a row for each."""
    at = moment(kind, FIRST + timedelta(days=day, hours=-5))
    async with gateway.store._writer.begin() as connection:
        last = (await connection.execute(text("SELECT max(id) FROM entries"))).scalar_one()
        last = max(last, (await connection.execute(text("SELECT coalesce(max(id), 0) FROM events"))).scalar_one())
        await connection.execute(
            text(
                f"""INSERT INTO entries (id, unit_id, account_id, at, amount, currency, recorded_at, recorded_by,
                became_current) {NUMBERS[kind].format(count=accounts)} SELECT n + {last}, 1, n, {at}, n + {day}, 'EUR',
                {at}, 'local', {FALSE[kind]} FROM n"""
            )
        )
        if kind == "postgresql":
            await connection.execute(text(f"SELECT setval('entries_id_seq', {last + accounts})"))


async def close(gateway: Gateway, held: list[float]) -> Closed:
    """Carry out the closing that is due; how long each transaction took."""

    def clock() -> datetime:
        return gateway.now

    closed: Closed | None = None
    while closed is None or not closed.is_complete:
        started = time.perf_counter()
        if closed is None:
            closed = await close_next(gateway.store, 1, clock=clock)
        else:
            closed = await carry_on(gateway.store, closed, clock=clock)
        held.append(time.perf_counter() - started)
        assert closed is not None
    return closed


async def prepare_bare(gateway: Gateway) -> None:
    """The rows of the first closing, apart, and tables like those that they are written to."""
    copied = "id, unit_id, account_id, business_date, closing_at, currency, opening, closing"
    told = "id, unit_id, type, account_id, division_id, external_id, closing_id, at, data"
    async with gateway.store._writer.begin() as connection:
        await connection.execute(text(f"CREATE TABLE rows_of_history AS SELECT {copied} FROM history_entries"))
        await connection.execute(text(f"CREATE TABLE rows_of_events AS SELECT {told} FROM events WHERE type = 3"))


async def bare(gateway: Gateway, run: int) -> None:
    """Write the same rows as of another day: history and events both, in one transaction."""
    days = run * 1_000_000_000
    at = "closing_at + :shift" if gateway.store.dialect.name == "sqlite" else "closing_at + :shift * interval '1 day'"
    async with gateway.store._writer.begin() as connection:
        await connection.execute(
            text(
                f"""INSERT INTO history_entries (unit_id, account_id, business_date, closing_at, currency, opening,
                closing) SELECT unit_id, account_id, business_date, {at}, currency, opening, closing
                FROM rows_of_history ORDER BY account_id"""
            ),
            {"shift": -1000 * (run + 1)},
        )
        await connection.execute(
            text(
                f"""INSERT INTO events (id, unit_id, type, account_id, division_id, external_id, closing_id, at, data)
                SELECT id + {days}, unit_id, type, account_id, division_id, external_id, closing_id, at, data
                FROM rows_of_events ORDER BY account_id"""
            )
        )


async def measure(kind: str, gateway: Gateway, accounts: int, each: int) -> None:
    await fill(kind, gateway, accounts, each)
    gateway.now = FIRST + timedelta(minutes=5)
    held: list[float] = []
    with gateway.statements() as statements:
        started = time.perf_counter()
        tracemalloc.start()
        closed = await close(gateway, held)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert closed.run.account_count == accounts
    print(
        f"{kind}: the first closing of {accounts} accounts with {accounts * each} entries: "
        f"{time.perf_counter() - started:.2f} s, {len(statements)} statements in {len(held)} transactions, "
        f"the longest {max(held) * 1000:.0f} ms, {peak / 1_000_000:.1f} MB of Python's memory at most"
    )
    await prepare_bare(gateway)
    days = iter(range(1, 100))
    runs = iter(range(1, 100))

    async def prepared() -> Any:
        day = next(days)
        await add_a_day(kind, gateway, day, accounts)
        gateway.now = FIRST + timedelta(days=day, minutes=5)

    async def ours() -> None:
        assert (await close(gateway, held)).run.account_count == accounts

    async def theirs() -> None:
        await bare(gateway, next(runs))

    what = f"{kind}: a closing of {accounts} accounts against the bare INSERT ... SELECT of its rows"
    await compared(what, ours, theirs, runs=RUNS, before=prepared)
    print(f"{kind}: the longest transaction took {max(held) * 1000:.0f} ms")


async def main(accounts: int, each: int) -> None:
    async with gateways() as made:
        for kind, gateway in made.items():
            await measure(kind, gateway, accounts, each)


if __name__ == "__main__":
    given = [int(number) for number in sys.argv[1:]]
    asyncio.run(main(*(given or (ACCOUNTS, ENTRIES))))
