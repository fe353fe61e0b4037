"""How operations run: known documents, chosen operations, hidden failures."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from resolvers.loaders import Loaders
from schema.execution import documents
from tests.asking import Gateway


async def test_a_document_seen_before_is_neither_parsed_nor_validated(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = '{ account(id: "account_1") { name } }'
    first = (await filled.ask(query)).sound()

    def never(*_arguments: object, **_more: object) -> None:
        raise AssertionError

    monkeypatch.setattr(documents, "parse", never)
    monkeypatch.setattr(documents, "validate", never)
    assert (await filled.ask(query)).sound() == first


async def test_the_documents_that_are_kept_are_bounded(filled: Gateway) -> None:
    kept = filled._run._documents
    for number in range(documents.DOCUMENTS_MAX + 10):
        await kept.operation(f"{{ a{number}: __typename }}", None)
    assert len(kept._known) == documents.DOCUMENTS_MAX
    for number in range(documents.TOKENS_MAX // 1_000 + 1):
        await kept.operation(f"query A{number} {{ __typename }}" + "#\n" * 1_000, None)
    assert documents.TOKENS_MAX - 2_000 < kept._tokens <= documents.TOKENS_MAX
    assert kept._tokens == sum(document.tokens for document in kept._known.values())


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", "OPERATION_RESOLUTION_FAILURE"),
        ('query { account(id: "\\u0000") { id } }', "BAD_REQUEST"),
        ("query ($id: ID!) { account(id: $id) { id } }", "BAD_REQUEST"),
        ("subscription { events { id } }", "BAD_REQUEST"),
    ],
)
async def test_what_can_not_run_is_refused_with_its_code(filled: Gateway, document: str, code: str) -> None:
    answer = await filled.ask(document)
    assert "data" not in answer.body
    assert set(answer.codes) == {code}


async def test_unexpected_failures_are_hidden_behind_an_id(filled: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    cascade = "" if filled.store.dialect.name == "sqlite" else " CASCADE"

    async def drop(work: object) -> None:
        await work.reads._connection.execute(text(f"DROP TABLE invoice_templates{cascade}"))  # type: ignore[attr-defined]  # A look below the store.

    if filled.store.dialect.name == "sqlite":
        drop_keys = "PRAGMA foreign_keys=OFF"
        engine = filled.store._writer
        async with engine.connect() as connection:
            await connection.exec_driver_sql(drop_keys)
    await filled.store.work(None, drop)
    answer = await filled.ask("{ invoiceTemplates { totalCount } currencies { code } }")
    error = answer.errors[0]
    assert (error["message"], error["extensions"]["code"]) == ("Internal error.", "INTERNAL")
    assert "invoice_templates" not in str(answer.errors)
    assert answer.data["invoiceTemplates"] == {"totalCount": None}
    assert len(answer.data["currencies"]) > 100
    assert error["extensions"]["id"] in capsys.readouterr().out


async def test_a_fault_of_one_field_leaves_the_rest(filled: Gateway) -> None:
    answer = await filled.ask('{ a: accounts(first: 9999) { totalCount } b: account(id: "account_1") { name } }')
    assert (answer.codes, answer.data) == (["PAGE_TOO_LARGE"], {"a": None, "b": {"name": "Main"}})
    assert answer.errors[0]["path"] == ["a"]


async def test_loaders_of_two_operations_share_nothing() -> None:
    async def first(keys: list[Any]) -> list[Any]:
        return [("first", key) for key in keys]

    async def second(keys: list[Any]) -> list[Any]:
        return [("second", key) for key in keys]

    of_first, of_second = Loaders().of("question", first), Loaders().of("question", second)
    answers = await asyncio.gather(of_first.load(1), of_second.load(1))
    assert list(answers) == [("first", 1), ("second", 1)]
