"""What a document costs that was never seen: read, validated, priced and planned, against parse and validation alone.

The plan includes the statement, as it is sent to a database. Times are those of this process, not of the clock. Known
documents are read anew each time, and the least time counts; of those made by chance each is read once, and then again
for its least time. The parts of statements are made before, as a gateway makes them before it answers. The collector of
garbage waits meanwhile: each of its passes would be one document's, as it would be one's that is read and validated.

Run it with `python -m tests.benchmarks.documents`.
"""

import asyncio
import gc
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from graphql import GraphQLError, get_introspection_query, parse, validate
from graphql.execution.values import VariableValues, get_variable_values

from app.domain.callers import LOCAL, Caller, Scope
from app.domain.refusals import Refusal
from app.store.answers import units_form
from resolvers.plans import Unstored
from schema import schema
from schema.execution.documents import Documents
from schema.execution.limits import OperationLimits, check_document
from schema.execution.plans import Plan
from tests.asking import Gateway
from tests.benchmarks.measuring import compared
from tests.graphql.documents import Maker

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
FILTERED = """query Filtered($first: Int, $name: String) {
  accounts(first: $first, orderBy: {field: BALANCE, direction: DESC}, filter: {
    name: {contains: $name}, currency: {in: ["NOK", "EUR"]}, balance: {gte: "10", lt: "1000"},
    or: [{thresholdState: [LOW]}, {not: {divisionCode: {eq: "NO"}}}]}) {
    nodes { id name balance currency { code name } } totalCount totals { currency { code } accountCount sum min max }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
ENTRIES = """{ balances(last: 5, orderBy: {field: AMOUNT, direction: DESC},
  filter: {accountIds: ["account_1", "account_2"], timestamp: {from: "2026-01-01T00:00:00Z"}}) {
  edges { cursor node { id amount timestamp currency { code minorUnits } account { id name } } }
  pageInfo { startCursor hasPreviousPage } } }"""
HISTORY = """query History($id: ID!) { account(id: $id) { name division { code name timezone }
  balanceHistory(first: 31, from: "2026-01-01", to: "2026-02-01") { pageInfo { hasNextPage endCursor }
    nodes { businessDate closingAt opening closing change currency { code } } } } }"""
ALIASED = """{ a: account(id: "account_1") { ...A } b: account(id: "account_2") { ...A }
  c: account(id: "account_3") { ...A } }
  fragment A on Account { id name balance newest: balances(first: 1) { nodes { ...B } } oldest: balances(last: 1) {
    nodes { ...B } } before: balanceAsOf(before: "2026-02-25T00:00:00Z") { ...B } kinds: currentBalances { ...B } }
  fragment B on Balance { id amount timestamp currency { code } }"""
SERIES = """{ account(id: "account_1") { id name balanceSeries(interval: DAY,
  from: "2026-02-20T00:00:00Z", before: "2026-02-22T00:00:00Z") { start open low high close } } }"""
NODES = """{ nodes(ids: ["account_1", "balance_2"]) {
    __typename id ... on Account { name balance } ... on Balance { amount } }
  node(id: "contractor_1") { id ... on Contractor { name accounts(first: 5) { totalCount nodes { id name } } } } }"""
MUTATION = """mutation { createBankAccountBalance(bankAccountId: "account_1",
    input: {amount: 1100, timestamp: "2024-06-01T12:00:00.000Z", currency: {code: "NOK"}}) {
  balance { id amount timestamp account { balance thresholdState contractor { name } } }
  userErrors { code message path documentedCode } } }"""
DOCUMENTS = {
    "small": SMALL,
    "screen": SCREEN,
    "large": LARGE,
    "filtered": FILTERED,
    "entries": ENTRIES,
    "history": HISTORY,
    "aliased": ALIASED,
    "series": SERIES,
    "nodes": NODES,
    "mutation": MUTATION,
    "introspection": get_introspection_query(),
}
VARIABLES = {"first": 50, "name": "o", "id": "account_1"}
TIMES = 20
AGAIN = 5
CHANCES = 400
"""Documents that are made by chance."""


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
        self._gateway.store.make_ready()
        self._documents = Documents(schema)

    def time(self, text: str, caller: Caller, given: Mapping[str, Any] = VARIABLES) -> None:
        """Raises GraphQLError, Refusal or Unstored where arguments are for resolvers: then no statement is made."""
        operation = self._documents._read(text).operations.popitem()[1]
        variables = get_variable_values(schema, operation.node.variable_definitions or (), dict(given))
        assert isinstance(variables, VariableValues)
        plan = Plan(schema, operation, variables)
        if plan.asked is not None:
            context = self._gateway._run._context_of(caller)
            forms = tuple([each.form for each in plan.given(variables, context)])
            self._answers.statement(plan.asked, units_form(caller.units)[0], forms)


def least(action: Callable[[], object], times: int = TIMES) -> float:
    """The least of some runs, in milliseconds of this process: what else the machine does only ever adds."""
    found = []
    for _ in range(times):
        started = time.process_time()
        action()
        found.append(time.process_time() - started)
    return min(found) * 1000


def _bare(text: str) -> None:
    validate(schema, parse(text))


def _by_chance(kind: str, first: First) -> None:
    """The first times of documents over the whole schema, each as it comes; then again, as if it were not known."""
    gc.disable()
    found: list[tuple[float, float]] = []
    again: list[float] = []
    for seed in itertools.count():
        document = Maker(random.Random(seed), [], []).document()
        try:
            started = time.process_time()
            first.time(document.text, ONE_UNIT, document.variables)
            ours = time.process_time() - started
        except (GraphQLError, Refusal, Unstored):
            continue
        started = time.process_time()
        validate(schema, parse(document.text))
        found.append((ours, time.process_time() - started))
        anew, bare = partial(first.time, document.text, ONE_UNIT, document.variables), partial(_bare, document.text)
        again.append(least(anew, AGAIN) / least(bare, AGAIN))
        if len(found) == CHANCES:
            break
    gc.enable()
    whole = sum(ours for ours, _ in found) / sum(bare for _, bare in found)
    ratios = sorted(ours / bare for ours, bare in found)
    highest = f"95 % below {ratios[len(ratios) * 95 // 100]:.2f}, all below {ratios[-1]:.2f}"
    print(f"{len(found)} documents made by chance, {kind}, each once: ratio {whole:.2f}, {highest}")
    print(f"{len(again)} of them again: at most {max(again):.2f}")


ONE_UNIT = Caller("reader", frozenset(Scope), frozenset({"default"}))


def _first_times() -> None:
    callers = {"one business unit": ONE_UNIT, "all units": LOCAL}
    with tempfile.TemporaryDirectory() as folder:
        for url in (f"sqlite+aiosqlite:///{folder}/none.db", "postgresql+asyncpg://nobody@127.0.0.1/none"):
            first = First(url)
            kind = url.partition("+")[0]
            _by_chance(kind, first)
            for name, text in DOCUMENTS.items():
                for who, caller in callers.items():
                    ours, bare = least(partial(first.time, text, caller)), least(partial(_bare, text))
                    told = f"{ours:.2f} ms against {bare:.2f} ms, ratio {ours / bare:.2f}"
                    print(f"{name}, with plan and statement, {kind}, {who}: {told}")


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

        await compared(f"{name}, {TIMES} times, against its parse and validation", ours, bare)
        price = documents._read(text).operations.popitem()[1].price
        spent = milliseconds(partial(price.of, VARIABLES))
        print(f"its price for one more request: {spent * 1000:.2f} us")


if __name__ == "__main__":
    main()
