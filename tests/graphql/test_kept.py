"""What is kept of documents is bounded, and what was let go is made again."""

import gc
import itertools
import random
import threading
from functools import _lru_cache_wrapper
from typing import Any

import pytest

from app.domain.callers import LOCAL, Caller
from app.store import answers, movements, shapes, spelling, templates, written
from schema.execution import documents, plans
from schema.filters import ACCOUNT_ORDERS
from tests.asking import Gateway, a_caller
from tests.graphql.documents import Maker

NAMES = "query ($first: Int!, $named: Boolean!) { accounts(first: $first) { nodes { id name @include(if: $named) } } }"


def _kept(gateway: Gateway) -> tuple[int, int]:
    """How many characters of statements are kept, and how many tokens of plans."""
    made = gateway._run._plans
    assert made is not None
    return gateway.store._answers._characters, made._tokens


async def test_statements_that_were_let_go_are_made_again(filled: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    (await filled.ask(NAMES, first=1, named=True)).sound()
    monkeypatch.setattr(answers, "CHARACTERS_MAX", 3 * _kept(filled)[0])
    for number in range(2, 12):
        (await filled.ask(NAMES, first=number, named=True)).sound()
        assert _kept(filled)[0] <= answers.CHARACTERS_MAX
    operation = await filled._run._documents.operation(NAMES, None)
    (plan,) = operation.plans.values()
    assert 1 <= len(plan.asked.statements) <= 3
    found = (await filled.ask(NAMES, first=1, named=True)).sound()
    assert found["accounts"]["nodes"] == [{"id": "account_1", "name": "Main"}]


async def test_plans_that_were_let_go_are_made_again(filled: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    (await filled.ask(NAMES, first=1, named=True)).sound()
    operation = await filled._run._documents.operation(NAMES, None)
    monkeypatch.setattr(plans, "TOKENS_MAX", operation.tokens)
    (await filled.ask(NAMES, first=1, named=False)).sound()
    assert list(operation.plans) == [(False,)]
    (await filled.ask(NAMES, first=1, named=True)).sound()
    assert list(operation.plans) == [(True,)]
    assert _kept(filled)[1] == plans.TOKENS_MAX


async def test_a_document_that_is_gone_takes_its_statements_along(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "DOCUMENTS_MAX", 1)
    (await filled.ask(NAMES, first=1, named=True)).sound()
    (owner, _, _) = filled.store._answers._kept[-1]
    assert owner() is not None
    (await filled.ask("{ __typename }")).sound()
    gc.collect()
    assert owner() is None


async def test_the_statement_of_a_large_document_is_made_in_a_thread(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []
    make = filled.store._answers._made

    def noted(*asked: Any) -> Any:
        made.append(threading.current_thread() is threading.main_thread())
        return make(*asked)

    monkeypatch.setattr(filled.store._answers, "_made", noted)
    large = " ".join(f'a{n}: account(id: "account_1") {{ contractor {{ name }} }}' for n in range(12))
    small = '{ account(id: "account_1") { contractor { name } } }'
    for text in (f"{{ {large} }}", f"{{ {large} }}", small):
        (await filled.ask(text)).sound()
    assert made == [False, True]


UNSEEN = """query Other { mine: accounts(first: 7, filter: {name: {contains: "M"}}) {
  pageInfo { endCursor hasNextPage }
  list: nodes { sum: balance number: id currentBalances { of: currency { is: code } } contractor { called: name } name
    newest: balances(first: 2) { nodes { at: timestamp what: amount } } older: balances(first: 9) { nodes { amount } } }
  all: totalCount } }"""
SERIES = """{ account(id: "account_1") { balanceSeries(interval: DAY, from: "2026-02-20T00:00:00Z",
  before: "2026-02-22T00:00:00Z") { close } } }"""
ORDERED = """query ($order: AccountOrder!, $after: String, $before: String) {
  accounts(first: 1, orderBy: $order, after: $after, before: $before) {
    edges { cursor node { name } } pageInfo { hasNextPage hasPreviousPage endCursor } totalCount } }"""
NARROWED = '{ accounts(filter: {name: {contains: "a"}, vat: {gte: "0"}, timezone: {in: ["UTC"]}}) { nodes { id } } }'


def _forget_parts() -> None:
    for module in (shapes, spelling, written, templates, movements):
        for part in vars(module).values():
            if isinstance(part, _lru_cache_wrapper):
                part.cache_clear()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The parts of statements that are made."""
    parts: list[object] = []

    def template(of: templates.Language, part: Any) -> templates.Template:
        parts.append(part)
        return templates.template(of, part)

    for module in (shapes, spelling, written, movements):
        monkeypatch.setattr(module, "template", template)
    _forget_parts()
    return parts


async def test_parts_of_statements_are_made_when_they_are_asked_for(filled: Gateway, made: list[object]) -> None:
    found = (await filled.ask(UNSEEN)).sound()
    assert found["mine"]["all"] == 1
    assert [(each["number"], each["name"]) for each in found["mine"]["list"]] == [("account_1", "Main")]
    assert made
    for document in (NARROWED, SERIES):
        made.clear()
        (await filled.ask(document)).sound()
        assert made, document


CALLERS = {"all units": LOCAL, "one unit": a_caller("default"), "several": a_caller("default", "other")}


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
async def test_a_document_that_was_never_seen_finds_the_parts_of_its_statement_made(
    filled: Gateway, made: list[object], caller: Caller
) -> None:
    filled.store.make_ready()
    assert made
    made.clear()
    for document in (UNSEEN, NARROWED, SERIES):
        (await filled.ask(document, caller=caller)).sound()
        assert not made, document
    told = 0
    for seed in range(300):
        text, variables = Maker(random.Random(seed), [], []).document()
        told += not (await filled.ask(text, caller=caller, **variables)).codes
        assert not made, text
    assert told > 80
    for field, direction in itertools.product(ACCOUNT_ORDERS, ("ASC", "DESC")):
        order = {"field": field, "direction": direction}
        page = (await filled.ask(ORDERED, caller=caller, order=order)).sound()["accounts"]
        for name in ("after", "before"):
            place = page["edges"][0]["cursor"]
            (await filled.ask(ORDERED, caller=caller, order=order, **{name: place})).sound()
            assert not made, order
