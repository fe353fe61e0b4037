"""What takes long and awaits nothing is done in a thread, so that the event loop answers others meanwhile."""

import threading
from typing import Any

import pytest
from graphql import get_introspection_query
from graphql.execution.executor import Executor

from app.actions import register_balances
from app.domain import balances
from app.threads import LARGE
from tests.asking import Gateway

REGISTER = """mutation ($input: BatchAccountBalancesInput!) {
  registerBatchAccountBalances(input: $input) { acceptedCount rejectedCount }
}"""


class Noting:
    """Something's stand-in that notes in which threads it is called."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.threads: set[int] = set()

    def __call__(self, *given: Any) -> Any:
        self.threads.add(threading.get_ident())
        return self.real(*given)


@pytest.mark.parametrize(("items", "is_apart"), [(LARGE, False), (LARGE + 1, True)])
async def test_large_batches_are_judged_in_a_thread(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch, items: int, *, is_apart: bool
) -> None:
    judging = Noting(balances.placed)
    for module in (balances, register_balances):
        monkeypatch.setattr(module, "placed", judging)
    item = {"accountExtId": "EXT-1", "requester": "r", "value": 1, "balanceAt": "2026-01-01T00:00:00Z"}
    batch = {"accountBalances": [{**item, "communicationNumber": f"n{n // 2}"} for n in range(items)]}
    answer = (await filled.ask(REGISTER, input=batch)).sound()["registerBatchAccountBalances"]
    accepted = (items + 1) // 2
    assert answer == {"acceptedCount": accepted, "rejectedCount": items - accepted}
    assert (threading.get_ident() not in judging.threads) is is_apart


@pytest.mark.parametrize(
    ("document", "is_apart"),
    [
        (get_introspection_query(), True),
        ('{ __type(name: "Account") { name } accounts { totalCount } }', True),
        ("query ($is: Boolean = true) { __schema @include(if: $is) { types { name } } accounts { totalCount } }", True),
        ("{ __typename events { nodes { id } } __schema { types { name } } }", False),
    ],
)
async def test_what_tells_of_the_schema_alone_is_executed_in_a_thread(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch, document: str, *, is_apart: bool
) -> None:
    threads = set()
    execute = Executor.execute_operation

    def noting(executor: Any) -> Any:
        threads.add(threading.get_ident())
        return execute(executor)

    monkeypatch.setattr(Executor, "execute_operation", noting)
    assert (await filled.ask(document)).sound()
    assert threads
    assert (threading.get_ident() not in threads) is is_apart
