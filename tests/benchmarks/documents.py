"""What a document costs that was never seen: read, checked, validated and priced, against parsed and validated alone.

Run it with `python -m tests.benchmarks.documents`.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial

from graphql import get_introspection_query, parse, validate

from app.domain.refusals import Refusal
from schema import schema
from schema.execution.documents import Documents
from schema.execution.limits import OperationLimits, check_document
from tests.benchmarks.measuring import compared

SMALL = '{ account(id: "account_1") { id name currency { code } currentBalance { amount timestamp } } }'
SCREEN = """query Screen($first: Int!) { accounts(first: $first) { totalCount pageInfo { hasNextPage endCursor } nodes {
  id name externalId currency { code } thresholdState currentBalance { amount timestamp } contractor { name }
  division { code timezone } balances(first: 10) { nodes { amount timestamp balanceType currency { code } } } } } }"""
LARGE = (
    "query Large { "
    + " ".join(f"a{n}: accounts(first: 9) {{ nodes {{ ...F{n} }} }}" for n in range(20))
    + " } "
    + " ".join(
        f"fragment F{n} on Account {{ id name currency {{ code }} contractor {{ id name }} currentBalance {{ id }} }}"
        for n in range(20)
    )
)
DOCUMENTS = {"small": SMALL, "screen": SCREEN, "large": LARGE, "introspection": get_introspection_query()}
TIMES = 20


def bomb(levels: int, fan_out: int) -> str:
    texts = [f"fragment F{level} on Query {{ {f'...F{level + 1} ' * fan_out} }}" for level in range(levels)]
    return "{ ...F0 } " + " ".join(texts) + f" fragment F{levels} on Query {{ __typename }}"


def milliseconds(action: Callable[[], object]) -> float:
    """The median of some runs."""
    found = []
    for _ in range(TIMES):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return statistics.median(found) * 1000


def main() -> None:
    asyncio.run(_documents())
    for fan_out in (2, 3, 9):
        for levels in (5, 20, 40, 60):
            document = parse(bomb(levels, fan_out))

            def check(document: object = document) -> None:
                try:
                    check_document(document, OperationLimits())  # type: ignore[arg-type]  # A document.
                except Refusal:
                    return

            print(f"a bomb of {levels} fragments, {fan_out} spreads in each: checked in {milliseconds(check):.3f} ms")


async def _documents() -> None:
    for name, text in DOCUMENTS.items():
        documents = Documents(schema)

        async def ours(documents: Documents = documents, text: str = text) -> None:
            for _ in range(TIMES):
                documents._read(text)

        async def bare(text: str = text) -> None:
            for _ in range(TIMES):
                validate(schema, parse(text))

        await compared(f"{TIMES} times a {name} document, against its parse and validation", ours, bare)
        price = documents._read(text).operations.popitem()[1].price
        spent = milliseconds(partial(price.of, {"first": 50}))
        print(f"its price for one more request: {spent * 1000:.2f} us")


if __name__ == "__main__":
    main()
