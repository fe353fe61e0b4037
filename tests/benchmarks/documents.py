"""What a document costs that was never seen: read, validated, priced and planned, against parse and validation alone.

The plan includes the statement, made and compiled for a database. Times are those of this process, not of the clock.

Run it with `python -m tests.benchmarks.documents`.
"""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

from graphql import get_introspection_query, parse, validate
from graphql.execution.values import VariableValues, get_variable_values

from app.domain.callers import LOCAL, Caller, Scope
from app.domain.refusals import Refusal
from app.store.answers import units_form
from schema import schema
from schema.execution.documents import Documents
from schema.execution.limits import OperationLimits, check_document
from schema.execution.plans import Plan
from tests.asking import Gateway
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
    gc.freeze()  # As a gateway does when it has started.
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


class First:
    """The first time of a document: all that is kept of it afterwards. Nothing is asked of the database."""

    def __init__(self, url: str) -> None:
        self._gateway = Gateway(url)
        self._answers = self._gateway.store._answers
        self._documents = Documents(schema)

    def time(self, text: str, caller: Caller) -> None:
        operation = self._documents._read(text).operations.popitem()[1]
        signatures = operation.node.variable_definitions or ()
        variables = get_variable_values(schema, signatures, {"first": 50} if signatures else {})
        assert isinstance(variables, VariableValues)
        plan = Plan(schema, operation, variables)
        if plan.asked is not None:
            context = self._gateway._run._context_of(caller)
            forms = tuple([given.form for given in plan.given(variables, context)])
            self._answers.statement(plan.asked, units_form(caller.units)[0], forms)


def least(action: Callable[[], object]) -> float:
    """The least of some runs, in milliseconds of this process: what else the machine does only ever adds."""
    found = []
    for _ in range(TIMES):
        started = time.process_time()
        action()
        found.append(time.process_time() - started)
    return min(found) * 1000


def _first_times() -> None:
    callers = {"one business unit": Caller("reader", frozenset(Scope), frozenset({"default"})), "all units": LOCAL}
    with tempfile.TemporaryDirectory() as folder:
        for url in (f"sqlite+aiosqlite:///{folder}/none.db", "postgresql+asyncpg://nobody@127.0.0.1/none"):
            first = First(url)
            for name, text in DOCUMENTS.items():
                for who, caller in callers.items():
                    ours, bare = least(partial(first.time, text, caller)), least(lambda: validate(schema, parse(text)))  # noqa: B023 - called at once.
                    kind = url.partition("+")[0]
                    told = f"{ours:.2f} ms against {bare:.2f} ms, ratio {ours / bare:.2f}"
                    print(f"a {name} document with plan and statement, {kind}, {who}: {told}")


async def _documents() -> None:
    _first_times()
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
