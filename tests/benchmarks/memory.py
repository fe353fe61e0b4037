"""What a gateway holds in memory after many documents of which no two are alike: what it keeps of them is bounded.

Run it with `python -m tests.benchmarks.memory`; a number of documents and a kind of database may follow.
"""

import asyncio
import gc
import sys
from pathlib import Path

from app.store.answers import Answers
from schema.execution.documents import Documents
from tests.asking import Gateway
from tests.benchmarks.measuring import fill, gateways

DOCUMENTS = 100_000
TOLD = 10
"""How often it is told on the way."""


def switches(number: int) -> int:
    """On how many variables a document's fields hang: a plan for each way in which they may stand."""
    return number % 3 if number % 20 == 0 else 0


def text(number: int) -> str:
    """A document that nobody has sent before: most are small."""
    if number % 20:
        return f'{{ a{number}: account(id: "account_{number % 3 + 1}") {{ id name }} }}'
    switched = " ".join(f"f{n}: name @skip(if: $s{n})" for n in range(switches(number)))
    signatures = ", ".join(f"$s{n}: Boolean!" for n in range(switches(number)))
    return f"""query Q{number}{f"({signatures})" if signatures else ""} {{ a: accounts(first: {1 + number % 60}) {{
      pageInfo {{ endCursor }} nodes {{ a{number}: id name {switched} currency {{ code }}
      balances(first: {1 + number % 7}) {{ nodes {{ amount timestamp }} }} contractor {{ name }} }} }} }}"""


def megabytes() -> float:
    """What of this process is in memory, without what nobody refers to."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1_000_000


async def measure(name: str, gateway: Gateway, documents: int) -> None:
    await fill(gateway, 3)
    for number in range(documents):
        for values in range(1 << switches(number)):
            variables = {f"s{n}": bool(values >> n & 1) for n in range(switches(number))}
            (await gateway.ask(text(number), **variables)).sound()
        if (number + 1) % (documents // TOLD) == 0:
            known: Documents = gateway._run._documents
            answers: Answers = gateway.store._answers
            print(
                f"{name}: after {number + 1} documents {megabytes():.0f} MB; {len(known._known)} documents and "
                f"{answers._characters / 1_000_000:.1f} million characters of statements are kept",
                flush=True,
            )


async def main() -> None:
    documents = int(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENTS
    async with gateways() as made:
        for name in sys.argv[2:] or made:
            await measure(name, made[name], documents)


if __name__ == "__main__":
    asyncio.run(main())
