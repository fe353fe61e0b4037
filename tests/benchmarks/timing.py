"""Whether time tells what the answer does not: a foreign object against one that does not exist, on both databases.

Run it with `python -m tests.benchmarks.timing`.
"""

import asyncio
import gc
import statistics
import time
from typing import Any

from tests.asking import Gateway, a_caller
from tests.benchmarks.measuring import gateways
from tests.graphql.worlds import FOREIGN, NOBODYS, OWN, World, named

QUESTIONS = {
    "node": ("query ($it: ID!) { it: node(id: $it) { id } }", "account"),
    "an event as a node": ("query ($it: ID!) { it: node(id: $it) { id } }", "event of an entry"),
    "balances of an account": (
        "query ($it: ID!) { it: balances(filter: {accountIds: [$it]}) { totalCount } }",
        "account",
    ),
    "updateAccount": (
        "mutation ($it: ID!) { it: updateAccount(id: $it, input: {vat: 1}) { userErrors { code } } }",
        "account",
    ),
    "an account by its name": (
        "query ($it: String!) { it: accountByIdentifier(identifier: {name: {name: $it}}) { id } }",
        "account name",
    ),
    "a batch item": (
        """query ($it: String!) { it: validateBatchAccountBalances(input: {accountBalances: [{
          accountExtId: $it, communicationNumber: "n", requester: "r", value: 1, balanceAt: "2026-01-01T00:00:00Z"
        }]}) { acceptedCount } }""",
        "account externalId",
    ),
}
PAIRS = 2_000


async def seconds(gateway: Gateway, document: str, it: str) -> float:
    started = time.perf_counter()
    await gateway.ask(document, it=it, caller=a_caller(OWN))
    return time.perf_counter() - started


async def measure(name: str, gateway: Gateway) -> None:
    world = World(gateway)
    await world.fill()
    for question, (document, what) in QUESTIONS.items():
        ids = world.ids[FOREIGN]
        foreign = ids[what] if what in ids else named(FOREIGN)[what]
        absent = f"{foreign.rsplit('_', 1)[0]}_999999" if what in ids else NOBODYS[what]
        taken: dict[str, list[Any]] = {foreign: [], absent: []}
        for number in range(PAIRS):
            # Who is first changes, so that neither gains by it.
            for it in (foreign, absent) if number % 2 else (absent, foreign):
                taken[it].append(await seconds(gateway, document, it))
        one, other = (statistics.median(column) * 1000 for column in taken.values())
        print(f"{name}, {question}: {one:.3f} ms foreign, {other:.3f} ms absent, ratio {one / other:.3f}")


async def main() -> None:
    gc.disable()
    async with gateways() as made:
        for name, gateway in made.items():
            await measure(name, gateway)


if __name__ == "__main__":
    asyncio.run(main())
