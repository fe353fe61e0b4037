"""Lists that are shown at once are what the executor would make of them."""

import json
from typing import Any

import pytest
from graphql.execution.executor import Executor

from app.domain import series
from app.domain.callers import LOCAL, Caller
from app.web.operations import Asked
from resolvers.context import Context
from schema import schema
from schema.execution import lists
from schema.execution.run import Runner
from tests.asking import Gateway

ADD = """mutation ($amount: Decimal!, $at: DateTime!) { createBankAccountBalance(
  bankAccountId: "account_1", input: {amount: $amount, timestamp: $at, currency: {code: "EUR"}}
) { userErrors { message } } }"""
SPAN = 'from: "2026-01-01T00:00:00Z", before: "2026-02-01T00:00:00Z", interval: DAY'
DOCUMENTS = (
    f'{{ account(id: "account_1") {{ balanceSeries({SPAN}) {{ start open low high close entryCount }} }} }}',
    f"""query ($is: Boolean = true) {{ a: account(id: "account_1") {{ id s: balanceSeries({SPAN}) {{
      __typename ...P begun: start close @skip(if: $is) ... on BalancePoint @include(if: $is) {{ low }} }}
      t: balanceSeries({SPAN}, timezone: "America/New_York") {{ close }} }} }}
    fragment P on BalancePoint {{ n: entryCount open }}""",
    f"{{ accounts {{ nodes {{ balanceSeries({SPAN}) {{ close }} }} }} currencies {{ code }} }}",
)


async def answers(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, many: int, document: str) -> tuple[Any, int]:
    """The answer of resolvers where so many things are shown at once, and how many lists went the executor's way."""
    went = 0
    complete = Executor.complete_iterable_value

    def noting(*given: Any) -> Any:
        nonlocal went
        went += 1
        return complete(*given)

    with monkeypatch.context() as patched:
        patched.setattr(lists, "MANY", many)
        patched.setattr(Executor, "complete_iterable_value", noting)
        resolved = Runner(schema, lambda caller: _context(gateway, caller), with_plans=False)
        answered = await resolved(Asked(document, {}, None, {}), LOCAL, mutations=False)
        return json.loads(answered.body), went


def _context(gateway: Gateway, caller: Caller) -> Context:
    return Context(caller, gateway.store, gateway.now, gateway.limits, gateway.feed)


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_a_list_at_hand_is_shown_at_once_and_as_the_executor_does(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch, document: str
) -> None:
    for day in (2, 2, 9, 20):
        (await filled.ask(ADD, amount=f"{day}.50", at=f"2026-01-{day:02d}T10:00:00Z")).sound()
    quick, quickly = await answers(filled, monkeypatch, 16, document)
    slow, slowly = await answers(filled, monkeypatch, 10**9, document)
    assert quick == slow
    assert "errors" not in quick
    # A list of accounts, whose series are to be asked for, goes the executor's way.
    assert quickly == document.count("nodes")
    assert slowly > quickly


async def test_what_is_wrong_in_a_list_is_told_where_it_is(filled: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    points = series.points

    def without_a_start(*given: Any) -> list[series.Point]:
        made = list(points(*given))
        made[17] = made[17]._replace(start=None)  # type: ignore[arg-type]  # That is what is wrong.
        return made

    monkeypatch.setattr(series, "points", without_a_start)
    quick, _ = await answers(filled, monkeypatch, 16, DOCUMENTS[0])
    slow, _ = await answers(filled, monkeypatch, 10**9, DOCUMENTS[0])
    planned = (await filled.ask(DOCUMENTS[0])).body
    paths = [each["path"] for answer in (quick, slow, planned) for each in answer["errors"]]
    assert paths == 3 * [["account", "balanceSeries", 17, "start"]]
    assert quick["data"] == slow["data"] == planned["data"] == {"account": {"balanceSeries": None}}
