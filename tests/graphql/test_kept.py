"""What is kept of documents is bounded, and what was let go is made again."""

import gc
import threading
from typing import Any

import pytest

from app.store import answers, shapes, templates, written
from schema.execution import documents, plans
from tests.asking import Gateway

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


SEEN = (
    """{ accounts(first: 5, filter: {name: {contains: "a"}}) { totalCount pageInfo { hasNextPage endCursor }
      nodes { id name balance contractor { name } balances(first: 3) { nodes { amount timestamp } } } } }""",
    '{ account(id: "account_1") { currentBalances { id currency { code } amount } } }',
)
UNSEEN = """query Other { mine: accounts(first: 7, filter: {name: {contains: "M"}}) {
  pageInfo { endCursor hasNextPage }
  list: nodes { sum: balance number: id currentBalances { of: currency { is: code } } contractor { called: name } name
    newest: balances(first: 2) { nodes { at: timestamp what: amount } } older: balances(first: 9) { nodes { amount } } }
  all: totalCount } }"""
NARROWED = '{ accounts(filter: {name: {contains: "a"}, vat: {gte: "0"}, timezone: {in: ["UTC"]}}) { nodes { id } } }'


async def test_a_document_that_was_never_seen_finds_the_parts_of_its_statement_made(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def template(of: templates.Language, part: Any) -> templates.Template:
        made.append(part)
        return templates.template(of, part)

    monkeypatch.setattr(shapes, "template", template)
    monkeypatch.setattr(written, "template", template)
    for document in SEEN:
        (await filled.ask(document)).sound()
    made.clear()
    found = (await filled.ask(UNSEEN)).sound()
    assert found["mine"]["all"] == 1
    assert [(each["number"], each["name"]) for each in found["mine"]["list"]] == [("account_1", "Main")]
    assert made == []
    shapes.condition.cache_clear()
    (await filled.ask(NARROWED)).sound()
    assert made
