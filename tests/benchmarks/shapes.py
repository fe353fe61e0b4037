"""Other shapes of questions: the gateway beside the limit, and beside itself without plans, on both databases.

- by resolvers: the same gateway with BALANCE_GATEWAY_PLANS=false: graphql-core, with resolvers and loaders.
- bare: no GraphQL. The statements that the gateway asks are asked anew, and the texts that come of them passed on; what
  the gateway makes of a series' entries is left out.

Run it with `python -m tests.benchmarks.shapes`. Both gateways answer the same, which is checked first.
"""

import asyncio
import json
import pickle
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from app.domain.ids import Kind, id_text
from app.store.lanes import Compiled, Lanes
from tests import servers
from tests.asking import Gateway
from tests.benchmarks.reads import Place, Server, ask, measure, on_each, rival

SQLITE = "sqlite+aiosqlite:///"
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


async def _loaded(place: Place) -> None:
    servers.run(place.url, "seed", "--accounts", ACCOUNTS, "--days", DAYS)
    servers.run(place.url, "runner", "--once")
    own = place.url
    if place.kind == "sqlite":  # One serve has a file.
        file = own.removeprefix(SQLITE)
        own = f"{SQLITE}{shutil.copyfile(file, f'{file}-copy')}"
    else:  # As PostgreSQL does by itself within a minute.
        administrator = await asyncpg.connect(own.replace("+asyncpg", ""))
        await administrator.execute("ANALYZE")
        await administrator.close()
    statements = place.folder / f"{place.kind}.pickle"
    await keep_statements(place.url, statements)
    measured = {}
    for name, url, plans in (("gateway", place.url, "true"), ("by resolvers", own, "false")):
        gateway = place.started.enter_context(servers.serving(url, place.folder, plans=plans, runner="false"))
        measured[name] = Server(gateway.pid, gateway.port, by_path=False)
    await asyncio.to_thread(compare_answers, *measured.values())
    bare = measured["bare"] = place.started.enter_context(rival("replayed", place.url, "--statements", str(statements)))
    await asyncio.to_thread(ask, bare, "nested", b"")
    titles = {shape: " ".join(query.split())[:TITLE_MAX] for shape, query in SHAPES.items()}
    await measure(place, measured, titles, lambda shape: [body(shape)])


if __name__ == "__main__":
    on_each(_loaded, __doc__, seconds=2)
