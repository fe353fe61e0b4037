"""A batch of 1,000 balances against the bare statement that stores the same rows.

Run it with `python -m tests.benchmarks.batch`.
"""

import asyncio
import itertools
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import insert

from app.domain.balances import NewEntry
from app.domain.callers import LOCAL
from app.domain.columns import Columns
from app.store.recording import batch_parameters
from app.store.tables import entries
from app.web.bodies import JsonReader
from app.web.operations import Asked
from tests.asking import Gateway
from tests.benchmarks.measuring import Action, compared, fill, gateways

ITEMS = 1_000
REGISTER = """mutation ($input: BatchAccountBalancesInput!) {
  registerBatchAccountBalances(input: $input) { acceptedCount results { resultType communicationNumber errorCode } }
}"""
AT = datetime(2026, 1, 1, tzinfo=UTC)


def body(run: int) -> bytes:
    """A request as it comes over the wire."""
    items = [
        {
            "communicationNumber": f"ours-{run}-{number}",
            "requester": "financial_institution",
            "balanceType": "STATEMENT_BALANCE",
            "accountExtId": f"EXT-{number % 500}",
            "businessUnit": "default",
            "balanceAt": "2026-01-01T00:00:00Z",
            "value": "1007.0007",
            "equivalentValue": "33333",
        }
        for number in range(ITEMS)
    ]
    return json.dumps({"query": REGISTER, "variables": {"input": {"accountBalances": items}}}).encode()


def rows(run: int) -> list[dict[str, Any]]:
    """The rows that such a request stores."""
    return [
        {
            "unit_id": 1,
            "account_id": 1 + number % 500,
            "at": AT,
            "amount": Decimal("1007.0007"),
            "currency": "EUR",
            "balance_type": "STATEMENT_BALANCE",
            "balance_type_folded": "statement_balance",
            "equivalent_value": Decimal(33333),
            "communication_number": f"bare-{run}-{number}",
            "communication_number_folded": f"bare-{run}-{number}",
            "requester": "financial_institution",
            "requester_folded": None,
            "recorded_at": AT,
            "recorded_by": "local",
        }
        for number in range(ITEMS)
    ]


async def measure(kind: str, gateway: Gateway) -> None:
    await fill(gateway, 1_000)
    runs = itertools.count()
    reader = JsonReader()
    sent: list[bytes] = []

    async def made() -> None:
        sent.append(body(next(runs)))

    async def ours() -> None:
        given = reader.read(sent.pop())
        asked = Asked(given["query"], given["variables"], None, {})
        answered = await gateway._run(asked, LOCAL, mutations=True)
        assert b'"acceptedCount":%d,' % ITEMS in answered.body

    async def bare() -> None:
        given = rows(next(runs))

        async def act(work: Any) -> None:
            connection = work.reads._connection
            if kind == "sqlite":
                await connection.execute(insert(entries), given)
            else:
                await gateway.store.dialect.insert(connection, entries, given)

        await gateway.store.work(None, act)

    what = "executemany" if kind == "sqlite" else "INSERT ... SELECT FROM unnest(...)"
    await compared(f"{kind}: a request of {ITEMS} items against a bare {what}", ours, bare, before=made)
    if gateway.store.dialect.record is not None:
        await against_all_that_it_stores(kind, gateway, ours, made)


async def against_all_that_it_stores(kind: str, gateway: Gateway, ours: Action, made: Action) -> None:
    """The same against the one statement that stores the entries, their events and the accounts' states."""
    store, statements = gateway.store, gateway.store.dialect.record
    assert statements is not None
    runs = itertools.count()
    given: dict[str, Any] = {}

    async def made_ready() -> None:
        await made()
        run = next(runs)
        async with store.reading(None) as reads:
            # Accounts that the gateway's own batches leave alone.
            seen = await reads.accounts.positions_seen(range(501, 1_001))
        entries_ = [
            NewEntry(
                *(501 + number % 500, 1, AT, Decimal("1007.0007"), "EUR", "STATEMENT_BALANCE", Decimal(33333)),
                *(f"all-{run}-{number}", "financial_institution"),
            )
            for number in range(ITEMS)
        ]
        is_known = [run > 0] * ITEMS
        given.clear()
        given.update(batch_parameters(Columns.of(NewEntry, entries_), is_known, seen, now=AT, by="local"))

    async def statement() -> None:
        _, _, _, numbers = await store._lanes.row(statements.batch, given, writes=True)
        assert len(numbers) == ITEMS

    what = "the bare statement that stores its rows, events and states"
    await compared(f"{kind}: a request of {ITEMS} items against {what}", ours, statement, before=made_ready)


async def main() -> None:
    async with gateways() as made:
        for kind, gateway in made.items():
            await measure(kind, gateway)


if __name__ == "__main__":
    asyncio.run(main())
