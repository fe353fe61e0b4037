"""10 entries of 50 accounts where each has 100 entries, and where each has 10,000.

Run it with `python -m tests.benchmarks.latest`.
"""

import asyncio

from sqlalchemy import text

from tests.asking import Gateway
from tests.benchmarks.measuring import compared, fill, gateways

PAGE = """query ($prefix: String!) {
  accounts(first: 50, filter: {name: {startsWith: $prefix}}) {
    nodes { name balances(first: 10) { nodes { amount timestamp } } }
  }
}"""
FILL = {
    "sqlite": """INSERT INTO entries (unit_id, account_id, at, amount, currency, recorded_at, recorded_by)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
        SELECT 1, a.id, n.i * 60000000, n.i, 'EUR', n.i * 60000000, 'local' FROM n, accounts a WHERE a.id {which} 50""",
    "postgresql": """INSERT INTO entries (unit_id, account_id, at, amount, currency, recorded_at, recorded_by)
        SELECT 1, a.id, timestamptz 'epoch' + i * interval '1 minute', i, 'EUR', now(), 'local'
        FROM generate_series(1, :count) i, accounts a WHERE a.id {which} 50""",
}


async def measure(kind: str, gateway: Gateway) -> None:
    await fill(gateway, 100)

    async def act(work: object) -> None:
        connection = work.reads._connection  # type: ignore[attr-defined]  # A look below the store.
        for which, count in (("<=", 100), (">", 10_000)):
            await connection.execute(text(FILL[kind].replace("{which}", which)), {"count": count})
        # The first 50 accounts are named b..., the others c...
        renamed = "UPDATE accounts SET name_folded = CASE WHEN id > 50 THEN 'c' ELSE 'b' END || name_folded"
        await connection.execute(text(renamed))
        if kind == "postgresql":
            await connection.execute(text("ANALYZE"))

    await gateway.store.work(None, act)

    async def ask(prefix: str) -> None:
        nodes = (await gateway.ask(PAGE, prefix=prefix)).sound()["accounts"]["nodes"]
        assert [len(node["balances"]["nodes"]) for node in nodes] == [10] * 50

    await compared(
        f"{kind}: 10 entries of 50 accounts with 10,000 entries each against 100 each",
        lambda: ask("c"),
        lambda: ask("b"),
    )


async def main() -> None:
    async with gateways() as made:
        for kind, gateway in made.items():
            gateway.store._statement_seconds = 300
            await measure(kind, gateway)


if __name__ == "__main__":
    asyncio.run(main())
