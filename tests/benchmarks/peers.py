"""What it takes to measure the gateway beside other GraphQL servers: their data in its database, their questions in its
schema.

    python tests/benchmarks/peers.py --database-url postgresql+asyncpg://USER@HOST/NAME --out FOLDER

migrates the database, fills it where it is empty, and writes W1.json to W5.json. The database makes the data from
formulas, so every value is known beforehand and answers of different servers can be compared. An account's number is
its number there: account_4321 is EXT-00004321.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.domain.ids import Kind, id_text
from app.domain.records import ThresholdState
from app.store.migrations import migrate

UNITS = ("Treasury", "Retail", "Wholesale", "Operations")
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY")
TYPES = ("AVAILABLE", "BOOKED", "PENDING")
ZONES = ("Europe/Madrid", "America/New_York", "Asia/Tokyo", "UTC")

WRITTEN_FIRST, WRITTEN_LAST = 100_000, 115_999
"""Numbers of the accounts without entries, which are written to."""

ITEMS = 1_000


class Sizes(NamedTuple):
    """How many accounts have entries, and how many entries each has."""

    accounts: int = 10_000
    entries: int = 100


WHOLE = Sizes()


class _Words(NamedTuple):
    """What the two databases say differently."""

    moment: str
    """An instant, from microseconds since 1970."""
    identifier: str
    """A UUID, from its text."""
    nothing: str
    """No numbers."""
    after: tuple[str, ...] = ()
    """Said at the end, outside the transaction."""


_WORDS = {
    "sqlite": _Words("({})", "({})", "'[]'", ("ANALYZE",)),
    "postgresql": _Words(
        "(timestamptz 'epoch' + ({}) * interval '1 microsecond')",
        "CAST({} AS uuid)",
        "CAST('{}' AS bigint[])",
        ("VACUUM (ANALYZE)",),
    ),
}

_SEQUENCES = """SELECT setval(pg_get_serial_sequence('units', 'id'), max(id)) FROM units;
SELECT setval(pg_get_serial_sequence('contractors', 'id'), max(id)) FROM contractors;
SELECT setval(pg_get_serial_sequence('accounts', 'id'), max(id)) FROM accounts;
SELECT setval(pg_get_serial_sequence('entries', 'id'), max(id)) FROM entries"""


def _one_of(number: str, *texts: str) -> str:
    """The text at a number's remainder."""
    cases = " ".join(f"WHEN {place} THEN '{one}'" for place, one in enumerate(texts))
    return f"CASE {number} % {len(texts)} {cases} END"


def _padded(number: str, digits: int) -> str:
    return f"substr(CAST({10**digits} + {number} AS text), 2)"


def _statements(kind: str, sizes: Sizes) -> Iterator[str]:
    """SQL that fills a migrated, empty database. Amounts are ten-thousandths, as the gateway keeps them."""
    words = _WORDS[kind]
    for number, unit in enumerate(UNITS, start=1):
        yield f"INSERT INTO units (id, name, name_folded) VALUES ({number}, '{unit}', '{unit.casefold()}')"
        yield (
            "INSERT INTO contractors (id, unit_id, name, name_folded, is_customer, is_vendor)"
            f" VALUES ({number}, {number}, 'The bench', 'the bench', false, true)"
        )
    zone, currency = _one_of("g", *ZONES), _one_of("g", *CURRENCIES)
    external_id = _padded("g", 8)
    created = words.moment.format("1704067200000000 + g * 60000000")
    uuid = words.identifier.format(f"'00000000-0000-4000-8000-' || {_padded('g', 12)}")
    yield f"""INSERT INTO accounts (id, unit_id, uuid, name, name_folded, external_id, external_id_folded,
        contractor_id, currency, min_balance, max_balance, vat, send_invoices_to, send_balance_notifications_to,
        timezone, created_at, updated_at)
        WITH RECURSIVE n(g) AS (SELECT CAST(1 AS bigint) UNION ALL SELECT g + 1 FROM n WHERE g < {sizes.accounts}),
        w(g) AS (SELECT CAST({WRITTEN_FIRST} AS bigint) UNION ALL SELECT g + 1 FROM w WHERE g < {WRITTEN_LAST})
        SELECT g, 1 + g % 4, {uuid}, 'Account number ' || g, 'account number ' || g, 'EXT-' || {external_id},
        'ext-' || {external_id}, 1 + g % 4, {currency}, g % 1000 * 10000, (1000000 + g % 1000) * 10000, 0,
        {words.nothing}, {words.nothing}, {zone}, {created}, {created}
        FROM (SELECT g FROM n UNION ALL SELECT g FROM w) numbered ORDER BY g"""
    at = words.moment.format("1735689600000000 + n.i * 3600000000 + a.id % 3600 * 1000000")
    place = f"(a.id - 1) * {sizes.entries} + n.i"
    yield f"""INSERT INTO entries (id, unit_id, account_id, at, amount, currency, balance_type, balance_type_folded,
        communication_number, communication_number_folded, requester, recorded_at, recorded_by, external_id,
        became_current)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {sizes.entries})
        SELECT {place}, a.unit_id, a.id, {at}, (a.id * 7919 + n.i * 104729) % 100000000, a.currency,
        {_one_of("n.i", *TYPES)}, {_one_of("n.i", *(name.casefold() for name in TYPES))},
        'SEED-' || {_padded(f"({place})", 9)}, 'seed-' || {_padded(f"({place})", 9)}, 'seed', {at}, 'local',
        a.external_id, true
        FROM accounts a, n WHERE a.id < {WRITTEN_FIRST} ORDER BY a.id, n.i"""
    low, high = "(a.id % 1000 + 100) * 10000", "(900000 + a.id % 1000) * 10000"
    yield f"""INSERT INTO positions (account_id, unit_id, currency, balance, entry_id, at, low_threshold,
        high_threshold, threshold_state, external_id)
        SELECT a.id, a.unit_id, a.currency, coalesce(e.amount, 0), e.id, e.at, {low}, {high},
        CASE WHEN e.amount < {low} THEN {ThresholdState.LOW:d} WHEN e.amount > {high} THEN {ThresholdState.HIGH:d}
        ELSE {ThresholdState.NONE:d} END, a.external_id
        FROM accounts a LEFT JOIN entries e ON e.id = a.id * {sizes.entries} AND e.account_id = a.id"""
    yield """INSERT INTO balance_kinds (account_id, kind, currency, balance_type)
        SELECT DISTINCT account_id, currency || ':' || balance_type, currency, balance_type FROM entries"""
    # The log begins behind what is there, as after a migration.
    yield "UPDATE log SET kept_from = (SELECT max(id) FROM entries), settled = (SELECT max(id) FROM entries)"
    if kind == "postgresql":
        yield from _SEQUENCES.split(";\n")


async def load(url: str, sizes: Sizes = WHOLE) -> bool:
    """Migrate a database and fill it where it is empty; whether it holds these accounts now."""
    await migrate(url)
    kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            if await _holds(connection, "SELECT count(*) FROM units", 0):
                for statement in _statements(kind, sizes):
                    await connection.exec_driver_sql(statement)
        async with engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            for statement in _WORDS[kind].after:
                await connection.exec_driver_sql(statement)
            held = f"SELECT count(*) FROM accounts WHERE id = {WRITTEN_LAST} AND external_id = 'EXT-{WRITTEN_LAST:08}'"
            return await _holds(connection, held, 1)
    finally:
        await engine.dispose()


async def _holds(connection: AsyncConnection, count: str, expected: int) -> bool:
    return bool((await connection.execute(text(count))).scalar_one() == expected)


_BALANCE = "amount currency { code } timestamp balanceType"
W1 = f"""query W1($id: String!) {{ accountByIdentifier(identifier: {{externalId: {{externalId: $id}}}})
 {{ id externalId name businessUnit currency {{ code }} timezone currentBalance {{ {_BALANCE} }} }} }}"""
W2 = f"""query W2 {{ accounts(first: 50) {{ nodes {{ id externalId name
 balances(first: 10) {{ nodes {{ {_BALANCE} }} }} }} }} }}"""
W3 = f"""query W3($id: ID!) {{ account(id: $id) {{ id balances(first: 100) {{ nodes {{ {_BALANCE} }} }} }}
 accounts(first: 500) {{ nodes {{
 id externalId name businessUnit currency {{ code }} minBalance maxBalance timezone }} }}
 }}"""
W4 = """mutation W4($id: ID!, $input: CreateBankAccountBalanceInput!) {
 createBankAccountBalance(bankAccountId: $id, input: $input) { balance { amount currency { code } timestamp } } }"""
W5 = """mutation W5($input: BatchAccountBalancesInput!) { registerBatchAccountBalances(input: $input)
 { results { communicationNumber resultType errorCode } } }"""


def _moment(place: int) -> str:
    return f"2026-01-{1 + place % 28:02}T{place % 24:02}:00:00+00:00"


def _amount(place: int) -> str:
    return f"{1000 + place}.{place % 10000:04}"


def _item(place: int, number: str, account: int) -> dict[str, str]:
    """An item of a batch, for an account of the block that the load asks for; its unit is its number modulo 4."""
    return {
        "accountExtId": f"EXT-001__BLK__{account:03}",
        "balanceType": TYPES[place % 3],
        "value": _amount(place),
        "balanceAt": _moment(place),
        "communicationNumber": number,
        "requester": "bench",
        "businessUnit": UNITS[account % 4],
    }


def batch() -> list[dict[str, str]]:
    """900 new items, 50 that repeat an earlier one, 50 that repeat a stored entry: each in the unit of that number."""
    items = [_item(place, f"__UNIQ__-{place}", place) for place in range(900)]
    items += [_item(900 + place, f"__UNIQ__-{place * 7}", place * 7) for place in range(50)]
    items += [
        _item(950 + place, f"SEED-{1 + place * 1000:09}", 948 + (1 + place * 10) % len(UNITS)) for place in range(50)
    ]
    return [items[place * 389 % ITEMS] for place in range(ITEMS)]


def bodies() -> dict[str, dict[str, Any]]:
    """The requests. The load puts texts in for __ID__, __EXT__ (an account that is read), __WID__ and __BLK__ (one, and
    a block of 1,000, that are written to) and __UNIQ__ (never used before).
    """
    one = {"amount": _amount(7), "currency": {"code": "EUR"}, "timestamp": _moment(7)}
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "W1": (W1, {"id": "__EXT__"}),
        "W2": (W2, {}),
        "W3": (W3, {"id": f"{id_text(Kind.ACCOUNT, 0)[:-1]}__ID__"}),
        "W4": (W4, {"id": f"{id_text(Kind.ACCOUNT, 0)[:-1]}__WID__", "input": one}),
        "W5": (W5, {"input": {"accountBalances": batch()}}),
    }
    return {
        name: {"query": " ".join(query.split()), "variables": variables} for name, (query, variables) in asked.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the folder for W1.json to W5.json")
    parser.add_argument("--accounts", type=int, default=WHOLE.accounts, help="accounts that have entries")
    given = parser.parse_args()
    if not asyncio.run(load(given.database_url, Sizes(given.accounts))):
        sys.exit("The database holds something else; it stays as it is.")
    given.out.mkdir(parents=True, exist_ok=True)
    for name, body in bodies().items():
        (given.out / f"{name}.json").write_text(json.dumps(body, separators=(",", ":")))
    print(f"{given.out}: {', '.join(sorted(bodies()))}")


if __name__ == "__main__":
    main()
