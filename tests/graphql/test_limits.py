"""What an operation may be at most: its text, its shape, its cost, its batches."""

import json
import threading
from typing import Any

import pytest
from graphql import (
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_introspection_query,
    get_named_type,
    is_composite_type,
    parse,
)

from app.domain.callers import LOCAL
from app.domain.numbers import JsonNumber
from app.domain.refusals import Code, Refusal
from app.web.operations import Asked
from schema import schema
from schema.costs import ListSize, directive_of
from schema.execution import limits as counting
from schema.execution.documents import LARGE_TOKENS, Documents, Operation, Unsound, is_large
from schema.execution.limits import OperationLimits, check_document
from tests.asking import Gateway

FLAT = "id uuid name externalId businessUnit minBalance maxBalance balance thresholdState vat timezone createdAt"
ITEM = {
    "accountExtId": "EXT-1",
    "communicationNumber": "1",
    "requester": "r",
    "value": 1,
    "balanceAt": "2026-01-01T00:00:00Z",
}


async def read(text: str, name: str | None = None, /, **limits: int) -> Operation:
    return await Documents(schema, OperationLimits(**limits)).operation(text, name)


async def refused(text: str, **limits: int) -> Refusal:
    with pytest.raises(Refusal) as raised:
        await read(text, **limits)
    return raised.value


async def cost(text: str, variables: dict[str, Any] | None = None, **limits: int) -> int:
    return (await read(text, **limits)).price.of(variables or {})


def nested(depth: int) -> str:
    """Depth alone: parents of divisions."""
    return '{ division(code: "X") { ' + "parent { " * (depth - 2) + "id" + " }" * (depth - 2) + " } }"


def through_fragments(depth: int) -> str:
    """The same, a fragment for each level."""
    rest = "".join(f" fragment F{n} on Division {{ parent {{ ...F{n + 1} }} }}" for n in range(depth - 2))
    return f'{{ division(code: "X") {{ ...F0 }} }}{rest} fragment F{depth - 2} on Division {{ id }}'


def through_inline_fragments(depth: int) -> str:
    opened = "... on Division { parent { " * (depth - 2)
    return f'{{ division(code: "X") {{ {opened}id{" } }" * (depth - 2)} }} }}'


@pytest.mark.parametrize("shape", [nested, through_fragments, through_inline_fragments])
async def test_depth_is_counted_whatever_it_is_made_of(shape: Any) -> None:
    assert await read(shape(12))
    refusal = await refused(shape(13))
    assert refusal.code is Code.QUERY_TOO_COMPLEX
    assert refusal.extensions == {"limit": "depth", "maximum": 12}


@pytest.mark.parametrize(
    ("text", "limit", "name", "found"),
    [
        ("{ limits { a: pageSize b: batchItems } }", "aliases", "aliases", 2),
        ("{ ...A ...A } fragment A on Query { limits { a: pageSize } }", "aliases", "aliases", 2),
        ("query A { l: limits { pageSize } } query B { l: limits { pageSize } }", "aliases", "aliases", 2),
        ("{ limits { pageSize batchItems } currencies { code } __typename }", "root_fields", "rootFields", 3),
        ("{ ... { limits { pageSize } } ...A } fragment A on Query { __typename }", "root_fields", "rootFields", 2),
        (
            """mutation { ...A deleteWebhook(id: "1") { deletedId } }
            fragment A on Mutation { b: deleteWebhook(id: "2") { deletedId } }""",
            "mutations",
            "mutations",
            2,
        ),
        ("{ limits @include(if: true) { pageSize @skip(if: false) } }", "directives", "directives", 2),
        ("{ ...A ...A } fragment A on Query { limits { pageSize @skip(if: false) } }", "directives", "directives", 2),
        ("{ ...A ... { ...A } } fragment A on Query { __typename }", "fragments", "fragments", 3),
        ("{ ...A ...A } fragment A on Query { limits { pageSize } }", "fields", "fields", 4),
    ],
)
async def test_each_limit_holds_at_its_number_and_not_above(text: str, limit: str, name: str, found: int) -> None:
    name_of_one = "A" if text.startswith("query A") else None
    assert await read(text, name_of_one, **{limit: found})
    refusal = await refused(text, **{limit: found - 1})
    assert refusal.code is Code.QUERY_TOO_COMPLEX
    assert refusal.extensions == {"limit": name, "maximum": found - 1}


async def test_aliases_of_typename_are_free_below_the_root() -> None:
    assert await read("{ limits { " + " ".join(f"a{n}: __typename" for n in range(100)) + " } }", aliases=0)
    many = await refused("{ " + " ".join(f"a{n}: __typename" for n in range(101)) + " }")
    assert many.extensions == {"limit": "rootFields", "maximum": 20}


async def test_directives_at_one_place_are_refused_with_one_error(filled: Gateway) -> None:
    answer = await filled.ask("{ __typename " + "@aa" * 10 + " }")
    assert answer.codes == ["QUERY_TOO_COMPLEX"]


async def test_a_text_is_not_read_beyond_its_limits() -> None:
    long = await refused("{ __typename } #" + "x" * 20_000)
    assert (long.code, long.extensions) == (Code.DOCUMENT_TOO_LARGE, {"limit": 20_000, "unit": "characters"})
    many = await refused("{ limits { " + "pageSize " * 2_000 + "} }")
    assert (many.code, many.extensions) == (Code.DOCUMENT_TOO_LARGE, {"limit": 2_000, "unit": "tokens"})
    told = await refused("#\n" * 2_001 + "{ __typename }")
    assert (told.code, told.extensions) == (Code.DOCUMENT_TOO_LARGE, {"limit": 2_000, "unit": "tokens"})


def bomb(levels: int, fan_out: int, spread: str = "...F{}") -> str:
    """Fragments that each spread the next one several times."""
    texts = [
        f"fragment F{level} on Query {{ {' '.join([spread.format(level + 1)] * fan_out)} }}" for level in range(levels)
    ]
    return "{ ...F0 } " + " ".join(texts) + f" fragment F{levels} on Query {{ __typename }}"


@pytest.mark.parametrize("fan_out", [2, 3, 9])
@pytest.mark.parametrize("levels", [10, 20, 60])
async def test_a_fragment_bomb_costs_one_look_at_each_fragment(
    monkeypatch: pytest.MonkeyPatch, levels: int, fan_out: int
) -> None:
    looks = 0
    spelt_out = counting._spelt_out

    def counted(*given: Any) -> Any:
        nonlocal looks
        looks += 1
        return spelt_out(*given)

    monkeypatch.setattr(counting, "_spelt_out", counted)
    refusal = await refused(bomb(levels, fan_out))
    assert refusal.code is Code.QUERY_TOO_COMPLEX
    assert looks == levels + 2


async def test_a_bomb_of_aliases_is_refused() -> None:
    texts = [
        f"fragment F{level} on Division {{ a: parent {{ ...F{level + 1} }} b: parent {{ ...F{level + 1} }} }}"
        for level in range(9)
    ]
    text = f'{{ division(code: "X") {{ ...F0 }} }} {" ".join(texts)} fragment F9 on Division {{ id }}'
    assert (await refused(text)).extensions["limit"] == "aliases"


def test_fragments_are_counted_in_any_order_and_without_recursion() -> None:
    length = 5_000
    chain = [f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(length)]
    chain.append(f"fragment F{length} on Query {{ a: __typename }}")
    for texts in (chain, chain[::-1]):
        document = parse("{ ...F0 ...F0 } " + " ".join(texts))
        check_document(document, OperationLimits(fragments=2 * length + 2))
        with pytest.raises(Refusal, match="at most 10001 fragments"):
            check_document(document, OperationLimits(fragments=2 * length + 1))


@pytest.mark.parametrize(
    "fragments",
    [
        "fragment F0 on Query { ...F0 }",
        "fragment F0 on Query { ...F1 ...F1 } fragment F1 on Query { ...F0 __typename }",
        "fragment F0 on Query { ...Nowhere }",
    ],
)
async def test_fragments_in_a_circle_are_left_to_validation(fragments: str) -> None:
    with pytest.raises(Unsound) as raised:
        await read("{ ...F0 } " + fragments)
    assert raised.value.code is Code.GRAPHQL_VALIDATION_FAILED


async def test_the_standard_introspection_passes_and_its_depth_hides_nothing_else(filled: Gateway) -> None:
    text = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    assert (await filled.ask(text)).sound()["__schema"]["queryType"]["name"] == "Query"
    hidden = nested(13).replace("division", "__schema: division", 1)
    assert (await refused(hidden)).extensions["limit"] == "depth"


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("{ __typename }", {}, 0),
        ("{ limits { pageSize } }", {}, 1),
        (f"{{ accounts(first: 1000) {{ nodes {{ {FLAT} }} }} }}", {}, 1_001),
        ("{ accounts { nodes { id } } }", {}, 51),
        ("{ accounts(last: 7) { nodes { id } } }", {}, 8),
        ("{ accounts(first: 0) { totalCount pageInfo { endCursor } } }", {}, 2),
        ("{ accounts(first: null) { nodes { id } } }", {}, 51),
        ("{ accounts(first: -5) { nodes { id } } }", {}, 1),
        # More than a page is refused by the field itself, and costs what a page does.
        ("{ accounts(first: 2147483647) { nodes { id } } }", {}, 1_001),
        ("{ accounts(first: 10) { edges { cursor node { id currency { code } } } } }", {}, 31),
        ("{ accounts(first: 50) { nodes { name currentBalance { amount } } } }", {}, 101),
        ("{ accounts(first: 50) { nodes { id balances(first: 10) { nodes { amount } } } } }", {}, 601),
        ("query ($n: Int) { accounts(first: $n) { nodes { id } } }", {"n": 3}, 4),
        ("query ($n: Int) { accounts(first: $n) { nodes { id } } }", {"n": JsonNumber("3.0")}, 4),
        ("query ($n: Int) { accounts(first: $n) { nodes { id } } }", {}, 51),
        ("query ($n: Int) { accounts(first: $n) { nodes { id } } }", {"n": None}, 51),
        ("query ($n: Int = 9) { accounts(first: $n) { nodes { id } } }", {}, 10),
        ("query ($n: Int = 9) { accounts(first: $n) { nodes { id } } }", {"n": None}, 51),
        ("query ($n: Int) { accounts(first: $n) { nodes { id } } }", {"n": "no number"}, 51),
        (
            "query ($n: Int, $m: Int) { accounts(first: $n) { nodes { balances(last: $m) { nodes { id } } } } }",
            {"n": 4, "m": 5},
            1 + 4 * (1 + 1 + 5),
        ),
        (
            "query ($m: Int) { accounts(first: 4) { nodes { balances(first: $m) { nodes { currency { code } } } } } }",
            {"m": 5},
            1 + 4 * (1 + 1 + 5 * 2),
        ),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', {}, 3),
        (
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Account { currency { code } } } }",
            {"ids": ["a"] * 7},
            14,
        ),
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": "one"}, 1),
        # Fields that several fragments select are answered once.
        (
            """{ accounts(first: 10) { nodes { ...A ...B currency { name } } } }
            fragment A on Account { currency { code } } fragment B on Account { currency { code minorUnits } }""",
            {},
            21,
        ),
        ("{ a: limits { pageSize } b: limits { pageSize } }", {}, 2),
        ("{ __schema { types { name } } }", {}, 1_000),
        (
            """mutation ($items: [AccountBalanceInput!]!) {
            registerBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount } }""",
            {"items": [ITEM] * 25},
            4,
        ),
        (
            """mutation ($input: BatchAccountBalancesInput!) {
            registerBatchAccountBalances(input: $input) { results { index } } }""",
            {"input": {"accountBalances": [ITEM] * 30}},
            7,
        ),
    ],
)
async def test_what_an_operation_costs(text: str, variables: dict[str, Any], expected: int) -> None:
    assert await cost(text, variables) == expected


async def test_the_largest_batch_with_all_its_balances_is_within_the_limit() -> None:
    text = """mutation ($input: BatchAccountBalancesInput!) { registerBatchAccountBalances(input: $input) {
      results { index resultType errorCode balance { id amount } } } }"""
    assert await cost(text, {"input": {"accountBalances": [ITEM] * 10_000}}) <= OperationLimits().cost


PEERS = [
    """query W1($id: String!) { accountByIdentifier(identifier: {externalId: {externalId: $id}}) { id externalId name
       businessUnit currency { code } timezone currentBalance { amount currency { code } timestamp balanceType } } }""",
    """query W2 { accounts(first: 50) { nodes { id externalId name
       balances(first: 10) { nodes { amount currency { code } timestamp balanceType } } } } }""",
    """query W3($id: ID!) { account(id: $id) { id
       balances(first: 100) { nodes { amount currency { code } timestamp balanceType } } }
       accounts(first: 500) { nodes { id externalId name businessUnit currency { code } minBalance maxBalance timezone }
       } }""",
    """mutation W4($input: CreateBankAccountBalanceInput!) { createBankAccountBalance(bankAccountId: "1", input: $input)
       { balance { amount currency { code } timestamp } userErrors { message } } }""",
    """mutation W5($input: BatchAccountBalancesInput!) { registerBatchAccountBalances(input: $input)
       { results { communicationNumber resultType errorCode } } }""",
]
"""What the peers are measured with."""


@pytest.mark.parametrize("text", PEERS)
async def test_what_the_peers_are_asked_is_within_the_limits(text: str) -> None:
    assert await cost(text, {"input": {"accountBalances": [ITEM] * 1_000}}) < 2_000


async def test_too_high_a_cost_is_refused_with_the_estimate(filled: Gateway) -> None:
    text = "query ($n: Int) { accounts(first: $n) { nodes { balances(first: 100) { nodes { id } } } } }"
    assert (await filled.ask(text, n=90)).sound()
    fixed = "{ accounts(first: 100) { nodes { balances(first: 100) { nodes { id } } } } }"
    for answer in (await filled.ask(text, n=100), await filled.ask(fixed), await filled.ask(fixed)):
        error = answer.errors[0]["extensions"]
        assert error == {"code": "COST_LIMIT_EXCEEDED", "limit": 10_000, "estimate": 1 + 100 * 102}
        assert "data" not in answer.body


async def test_an_answer_tells_its_cost_on_request(filled: Gateway) -> None:
    asked = Asked("{ accounts(first: 3) { nodes { id } } }", {}, None, {}, wants_cost=True)
    told = json.loads((await filled._run(asked, LOCAL, mutations=False)).body)
    assert told["extensions"] == {"cost": {"estimate": 4, "maximum": 10_000}}
    assert len(told["data"]["accounts"]["nodes"]) == 1
    assert "extensions" not in (await filled.ask("{ __typename }")).body


async def test_a_batch_above_the_limit_is_refused_before_its_items_are_looked_at(database_url: str) -> None:
    gateway = Gateway(database_url)
    text = """query ($items: [AccountBalanceInput!]!) {
      validateBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount } }"""
    answer = await gateway.ask(text, items=["no item"] * 10_001)
    assert (answer.codes, answer.errors[0]["extensions"]["limit"]) == (["BATCH_TOO_LARGE"], 10_000)
    assert "data" not in answer.body
    await gateway.store.close()


async def test_a_large_batch_is_read_like_a_small_one(filled: Gateway) -> None:
    text = """query ($items: [AccountBalanceInput!]!) {
      validateBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount rejectedCount } }"""
    items = [{**ITEM, "communicationNumber": str(number)} for number in range(1_500)]
    found = (await filled.ask(text, items=items)).sound()["validateBatchAccountBalances"]
    assert found == {"acceptedCount": 1_500, "rejectedCount": 0}
    wrong = await filled.ask(text, items=[*items, {**ITEM, "value": "x"}])
    assert wrong.codes == ["BAD_REQUEST"]
    assert "1500" in wrong.errors[0]["message"]


async def test_a_large_document_is_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, str] = {}
    documents = Documents(schema)
    reading = documents._read

    def noted(text: str) -> Any:
        threads[text] = threading.current_thread().name
        return reading(text)

    monkeypatch.setattr(documents, "_read", noted)
    small, large = "{ __typename }", "{ limits { " + "pageSize " * (LARGE_TOKENS + 1) + "} }"
    assert (is_large(small), is_large(large)) == (False, True)
    for text in (small, large):
        await documents.operation(text, None)
    assert threads[small] == threading.current_thread().name
    assert threads[large].startswith("documents")


def test_every_list_of_objects_has_a_size() -> None:
    unsized = []
    sized = {("userErrors", "UserError")}  # A few at most.
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for field in type_.fields.values():
                found = directive_of(field.extensions.get("strawberry-definition"), ListSize)
                sized |= {(name, get_named_type(field.type).name) for name in (found and found.sized_fields) or ()}
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for name, field in type_.fields.items():
                inner = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
                if isinstance(inner, GraphQLList) and is_composite_type(get_named_type(inner)):
                    known = (name, type_.name) in sized or (name, get_named_type(inner).name) in sized
                    has_own = directive_of(field.extensions.get("strawberry-definition"), ListSize) is not None
                    unsized += [] if known or has_own else [f"{type_.name}.{name}"]
    assert unsized == []
