"""Other shapes of questions: the gateway beside the limit, and beside itself without plans, on both databases.

- by resolvers: the same gateway with BALANCE_GATEWAY_PLANS=false: graphql-core, with resolvers and loaders.
- bare: no GraphQL. The statements that the gateway asks are asked anew, and the texts that come of them passed on; what
  the gateway makes of a series' entries is left out.

Run it with `python -m tests.benchmarks.shapes`. Both gateways answer the same, which is checked first.
"""

import argparse
import asyncio
import json
import pickle
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from app.domain.ids import Kind, id_text
from app.store.lanes import Compiled, Lanes
from app.store.migrations import migrate
from tests import servers
from tests.asking import Gateway
from tests.benchmarks.reads import Server, ask, measure, rival
from tests.databases import KINDS, Databases, scratch

TITLE_MAX = 100
ACCOUNTS, DAYS = "300", "200"

_NOW = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
_SINCE, _PAST, _TODAY = ((_NOW - timedelta(days=days)).isoformat() for days in (180, 90, 0))
_IDS = ", ".join(f'"{id_text(Kind.ACCOUNT, number)}"' for number in range(1, 101))

SHAPES = {
    "filtered": """{ accounts(first: 50, filter: {balance: {gt: "1000"}}, orderBy: {field: BALANCE, direction: DESC}) {
      totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      edges { cursor node { id name balance currency { code } } } } }""",
    "searched": '{ accounts(first: 20, filter: {name: {contains: "pay"}}) { totalCount nodes { id name } } }',
    "ordered": """{ account(id: "account_77") { balances(first: 100, orderBy: {field: AMOUNT, direction: DESC},
      filter: {timestamp: {from: "2020-01-01T00:00:00Z"}}) { totalCount pageInfo { hasNextPage endCursor }
      edges { cursor node { id amount timestamp balanceType } } } } }""",
    "aliased": """{ account(id: "account_77") { newest: balances(first: 10) { nodes { amount timestamp } }
      oldest: balances(last: 10) { nodes { amount timestamp } } } }""",
    "nested": """{ accounts(first: 5) { nodes { id contractor { name accounts(first: 5) { nodes {
      id balances(first: 5) { nodes { amount account { id } } } } } } } } }""",
    "current": "{ accounts(first: 50) { nodes { id currentBalances { amount balanceType } } } }",
    "past": f"""{{ accounts(first: 50) {{ nodes {{
      id balanceAsOf(before: "{_PAST}") {{ amount timestamp }} }} }} }}""",
    "history": """{ account(id: "account_77") { balanceHistory(first: 30) { totalCount
      nodes { businessDate opening closing change } } } }""",
    "series": f"""{{ account(id: "account_77") {{ balanceSeries(from: "{_SINCE}", before: "{_TODAY}", interval: DAY) {{
      start open low high close entryCount }} }} }}""",
    "many-series": f"""{{ accounts(first: 20) {{ nodes {{ id balanceSeries(
      from: "{_SINCE}", before: "{_TODAY}", interval: MONTH) {{ start open low high close entryCount }} }} }} }}""",
    "nodes": f"{{ nodes(ids: [{_IDS}]) {{ id ... on Account {{ name balance contractor {{ name }} }} }} }}",
    "totals": "{ accounts(first: 1) { totalCount totals { currency { code } accountCount sum min max } } }",
    "newest": "{ balances(first: 50) { nodes { id amount timestamp account { id name } } } }",
}


class Listening:
    """Lanes that keep what they are asked."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.asked: list[tuple[str, Sequence[Any]]] = []

    async def rows(self, statement: Compiled, values: Mapping[str, Any]) -> Sequence[Any]:
        self.asked.append((statement.sql, statement.given(values)))
        return await self._lanes.rows(statement, values)


async def keep_statements(url: str, file: Path) -> None:
    """Write down what the database is asked for each shape. Raises AssertionError where a plan can't carry one."""
    kept: dict[str, list[tuple[str, Sequence[Any]]]] = {}
    gateway = Gateway(url)
    lanes = gateway.store._lanes
    for name, query in SHAPES.items():
        listening = Listening(lanes)
        gateway.store._answers._lanes = listening  # type: ignore[assignment]  # As far as it is asked.
        with gateway.statements() as all_of_them:
            (await gateway.ask(query)).sound()
        assert 0 < len(listening.asked) == len(all_of_them), f"{name} is not all in its plan"
        kept[name] = listening.asked
    await gateway.store.close()
    await asyncio.to_thread(file.write_bytes, pickle.dumps(kept))


def body(shape: str) -> bytes:
    return json.dumps({"query": SHAPES[shape]}).encode()


def compare_answers(one: Server, other: Server) -> None:
    for shape in SHAPES:
        answers = [ask(server, shape, body(shape)) for server in (one, other)]
        assert answers[0] == answers[1], f"{shape}: {str(answers)[:500]}"


async def main(kinds: tuple[str, ...], *, seconds: float, rounds: int) -> None:
    with scratch() as folder, tempfile.TemporaryDirectory(dir=Path.cwd()) as disk, ExitStack() as kept:
        databases = Databases(folder, migrate)
        kept.callback(databases.close)
        for kind in kinds:
            with ExitStack() as started:
                url = f"sqlite+aiosqlite:///{disk}/gateway.db"
                if kind == "postgresql":
                    url = started.enter_context(databases.made("postgresql"))
                servers.run(url, "seed", "--accounts", ACCOUNTS, "--days", DAYS)
                servers.run(url, "runner", "--once")
                if kind == "postgresql":  # As it does by itself within a minute.
                    administrator = await asyncpg.connect(url.replace("+asyncpg", ""))
                    await administrator.execute("ANALYZE")
                    await administrator.close()
                statements = folder / f"{kind}.pickle"
                await keep_statements(url, statements)
                measured, own = {}, url
                if kind == "sqlite":  # One serve has a file.
                    own = f"sqlite+aiosqlite:///{shutil.copyfile(f'{disk}/gateway.db', f'{disk}/copy.db')}"
                for name, file, plans in (("gateway", url, "true"), ("by resolvers", own, "false")):
                    gateway = started.enter_context(servers.serving(file, folder, plans=plans, runner="false"))
                    measured[name] = Server(gateway.pid, gateway.port, by_path=False)
                await asyncio.to_thread(compare_answers, *measured.values())
                measured["bare"] = started.enter_context(rival("replayed", url, "--statements", str(statements)))
                titles = {shape: " ".join(query.split())[:TITLE_MAX] for shape, query in SHAPES.items()}
                await asyncio.to_thread(ask, measured["bare"], "nested", b"")
                await measure(kind, measured, titles, lambda shape: [body(shape)], seconds=seconds, rounds=rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, action="append", help="one kind of database; else both")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    uvloop.run(main(tuple(given.kind or KINDS), seconds=given.seconds, rounds=given.rounds))
