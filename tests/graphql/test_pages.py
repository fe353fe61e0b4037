"""Pages of accounts and entries against a model in plain Python: filters, orders, both directions, true facts."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.asking import Gateway, a_caller

NAMES = ["Alpha", "alpha", "Straße", "STRASSE", "İzmir", "100%", "a_b", "axb", "Ωmega", "zeta", "Zeta", "é", "É", "b b"]
BALANCES = ["-5", "0.0001", "7", "7", "7.5", "1000000.25", None, "922337203685477.5807", "-922337203685477.5807"]
CREATE = (
    "mutation ($input: CreateAccountInput!) { createAccount(input: $input) { account { id } userErrors { message } } }"
)
ADD = """mutation ($id: ID!, $input: CreateBankAccountBalanceInput!) {
  createBankAccountBalance(bankAccountId: $id, input: $input) { balance { id } userErrors { message } }
}"""
PAGE = """query (
  $first: Int, $after: String, $last: Int, $before: String, $filter: AccountFilter, $orderBy: AccountOrder
) {
  accounts(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    totalCount edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""


@pytest.fixture
async def many(gateway: Gateway) -> tuple[Gateway, list[dict[str, Any]]]:
    """36 accounts over two units, and the same as plain rows."""
    chance = random.Random(7)
    rows: list[dict[str, Any]] = []
    for unit in ("a", "B"):
        made = await gateway.ask(
            """mutation ($unit: String!) {
              createContractor(input: {name: "C", businessUnit: $unit, isVendor: true}) { contractor { id } }
            }""",
            unit=unit,
        )
        contractor = made.sound()["createContractor"]["contractor"]["id"]
        for number in range(18):
            row = {
                "name": f"{NAMES[number % len(NAMES)]}{'' if number < len(NAMES) else number}",
                "externalId": None if number % 3 == 0 else f"X{number}",
                "businessUnit": unit,
                "vat": str(number % 4),
            }
            body = {**row, "contractorId": contractor, "currency": {"code": ["EUR", "NOK"][number % 2]}}
            id = (await gateway.ask(CREATE, input=body)).sound()["createAccount"]["account"]["id"]
            balance = chance.choice(BALANCES)
            if balance is not None:
                entry = {"amount": balance, "timestamp": "2026-01-01T00:00:00Z", "currency": body["currency"]}
                assert (await gateway.ask(ADD, id=id, input=entry)).sound()["createBankAccountBalance"]["balance"]
            rows.append({**row, "id": id, "number": len(rows) + 1, "balance": Decimal(balance or 0), **body})
    return gateway, rows


FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda _row: True),
    ({"name": {"eq": "alpha"}}, lambda row: row["name"] == "alpha"),
    ({"name": {"contains": "strasse"}}, lambda row: "strasse" in row["name"].casefold()),
    ({"name": {"startsWith": "AL"}}, lambda row: row["name"].casefold().startswith("al")),
    ({"name": {"endsWith": "A"}}, lambda row: row["name"].casefold().endswith("a")),
    ({"name": {"contains": "%"}}, lambda row: "%" in row["name"]),
    ({"name": {"contains": "_"}}, lambda row: "_" in row["name"]),
    ({"name": {"startsWith": "İ"}}, lambda row: row["name"].casefold().startswith("İ".casefold())),
    ({"name": {"notEq": "alpha"}}, lambda row: row["name"] != "alpha"),
    ({"name": {"in": ["alpha", "zeta"]}}, lambda row: row["name"] in ("alpha", "zeta")),
    ({"name": {"in": []}}, lambda _row: False),
    ({"name": {"notIn": []}}, lambda _row: True),
    ({"externalId": {"isNull": True}}, lambda row: row["externalId"] is None),
    ({"externalId": {"isNull": False}}, lambda row: row["externalId"] is not None),
    ({"externalId": {"notEq": "X1"}}, lambda row: row["externalId"] != "X1"),
    ({"externalId": {"notIn": ["X1", "X2"]}}, lambda row: row["externalId"] not in ("X1", "X2")),
    ({"not": {"externalId": {"eq": "X1"}}}, lambda row: row["externalId"] != "X1"),
    ({"not": {"externalId": {"startsWith": "x1"}}}, lambda row: not (row["externalId"] or "").startswith("X1")),
    ({"balance": {"gte": "7", "lt": "1000000.25"}}, lambda row: 7 <= row["balance"] < Decimal("1000000.25")),
    ({"balance": {"in": [7, "0.00010"]}}, lambda row: row["balance"] in (7, Decimal("0.0001"))),
    ({"balance": {"eq": "922337203685477.5807"}}, lambda row: row["balance"] == Decimal("922337203685477.5807")),
    ({"vat": {"gt": 1, "lte": 3}}, lambda row: row["vat"] in "23"),
    ({"businessUnit": {"eq": "a"}}, lambda row: row["businessUnit"] == "a"),
    ({"businessUnit": {"startsWith": "b"}}, lambda row: row["businessUnit"] == "B"),
    ({"businessUnit": {"notEq": "a"}}, lambda row: row["businessUnit"] != "a"),
    ({"divisionCode": {"isNull": True}}, lambda _row: True),
    ({"divisionCode": {"notEq": "x"}}, lambda _row: True),
    ({"currency": {"in": ["NOK"]}}, lambda row: row["currency"]["code"] == "NOK"),
    ({"and": []}, lambda _row: True),
    ({"or": []}, lambda _row: False),
    ({"and": None, "name": None}, lambda _row: True),
    ({"thresholdState": ["NONE"]}, lambda _row: True),
    ({"thresholdState": []}, lambda _row: False),
    ({"contractorId": "contractor_2"}, lambda row: row["businessUnit"] == "B"),
    ({"contractorId": "account_2"}, lambda _row: False),
    ({"contractorId": "nonsense"}, lambda _row: False),
    (
        {"or": [{"name": {"eq": "alpha"}}, {"not": {"balance": {"gt": 0}}}]},
        lambda row: row["name"] == "alpha" or not row["balance"] > 0,
    ),
    ({"createdAt": {"before": "2026-03-01T12:00:00Z"}}, lambda _row: False),
    ({"createdAt": {"from": "2026-03-01T12:00:00Z"}}, lambda _row: True),
]


async def _ids(gateway: Gateway, **arguments: Any) -> list[str]:
    page = (await gateway.ask(PAGE, first=1000, **arguments)).sound()["accounts"]
    return [edge["node"]["id"] for edge in page["edges"]]


async def test_filters_select_what_the_model_selects(many: tuple[Gateway, list[dict[str, Any]]]) -> None:
    gateway, rows = many
    for given, model in FILTERS:
        expected = [row["id"] for row in rows if model(row)]
        page = (await gateway.ask(PAGE, first=1000, filter=given)).sound()["accounts"]
        assert [edge["node"]["id"] for edge in page["edges"]] == expected, given
        assert page["totalCount"] == len(expected), given


ORDERS: dict[str, Callable[[Any], Any]] = {
    "ID": lambda row: row["number"],
    "NAME": lambda row: [ord(character) for character in row["name"]],
    "BALANCE": lambda row: row["balance"],
    "CREATED_AT": lambda _row: 0,
    "MIN_BALANCE": lambda _row: 0,
}


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", list(ORDERS))
async def test_walks_in_both_directions_meet_every_row_once(
    many: tuple[Gateway, list[dict[str, Any]]], field: str, direction: str
) -> None:
    gateway, rows = many
    order = {"field": field, "direction": direction}
    expected = [
        row["id"]
        for row in sorted(rows, key=lambda row: (ORDERS[field](row), row["number"]), reverse=direction == "DESC")
    ]
    assert await _ids(gateway, orderBy=order) == expected
    for size in (7, 35, 36):
        assert await _walk(gateway, expected, order, size, forwards=True) == expected
        assert await _walk(gateway, expected, order, size, forwards=False) == expected


async def _walk(gateway: Gateway, expected: list[str], order: Any, size: int, *, forwards: bool) -> list[str]:
    """All ids, page by page; each page's facts are checked against the whole list."""
    seen: list[str] = []
    cursor = None
    while True:
        given = {"first": size, "after": cursor} if forwards else {"last": size, "before": cursor}
        page = (await gateway.ask(PAGE, **given, orderBy=order)).sound()["accounts"]
        ids = [edge["node"]["id"] for edge in page["edges"]]
        info = page["pageInfo"]
        assert info["hasPreviousPage"] == (expected.index(ids[0]) > 0)
        assert info["hasNextPage"] == (expected.index(ids[-1]) < len(expected) - 1)
        seen = seen + ids if forwards else ids + seen
        if not (info["hasNextPage"] if forwards else info["hasPreviousPage"]):
            return seen
        cursor = info["endCursor"] if forwards else info["startCursor"]


async def test_a_page_between_two_cursors_tells_true_facts(many: tuple[Gateway, list[dict[str, Any]]]) -> None:
    gateway, rows = many
    edges = (await gateway.ask(PAGE, first=1000)).sound()["accounts"]["edges"]
    page = (await gateway.ask(PAGE, first=10, after=edges[3]["cursor"], before=edges[8]["cursor"])).sound()["accounts"]
    assert [edge["node"]["id"] for edge in page["edges"]] == [row["id"] for row in rows[4:8]]
    assert (page["pageInfo"]["hasNextPage"], page["pageInfo"]["hasPreviousPage"]) == (True, True)
    none = (await gateway.ask(PAGE, first=0)).sound()["accounts"]
    assert none == {
        "totalCount": 36,
        "edges": [],
        "pageInfo": {"hasNextPage": True, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
    }


async def test_rows_that_come_meanwhile_disturb_no_walk(many: tuple[Gateway, list[dict[str, Any]]]) -> None:
    gateway, _ = many
    order = {"field": "NAME", "direction": "ASC"}
    before = await _ids(gateway, orderBy=order)
    first = (await gateway.ask(PAGE, first=10, orderBy=order)).sound()["accounts"]
    await gateway.ask(CREATE, input={"name": "0 first of all", "contractorId": "contractor_1", "businessUnit": "a"})
    rest = (await gateway.ask(PAGE, first=100, after=first["pageInfo"]["endCursor"], orderBy=order)).sound()["accounts"]
    assert [edge["node"]["id"] for edge in first["edges"] + rest["edges"]] == before
    assert rest["pageInfo"]["hasPreviousPage"] is True


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"first": 1001}, "PAGE_TOO_LARGE"),
        ({"first": -1}, "BAD_REQUEST"),
        ({"last": -1}, "BAD_REQUEST"),
        ({"first": 1, "last": 1}, "BAD_REQUEST"),
        ({"after": "nonsense"}, "BAD_REQUEST"),
        ({"after": "WyJhIl0"}, "BAD_REQUEST"),
        ({"before": ""}, "BAD_REQUEST"),
        ({"filter": {"name": {"eq": None}}}, "BAD_REQUEST"),
        ({"filter": {"createdAt": {"from": None}}}, "BAD_REQUEST"),
        ({"filter": {"balance": {"gt": "0.00001"}}}, "BAD_REQUEST"),
        ({"filter": {"balance": {"in": ["922337203685477.5808"]}}}, "BAD_REQUEST"),
    ],
)
async def test_what_is_no_page_is_refused(filled: Gateway, arguments: dict[str, Any], code: str) -> None:
    answer = await filled.ask(PAGE, **arguments)
    assert answer.codes == [code], answer.body
    assert answer.data == {"accounts": None}


async def test_a_cursor_is_good_for_its_own_list_alone(many: tuple[Gateway, list[dict[str, Any]]]) -> None:
    gateway, _ = many
    cursor = (await gateway.ask(PAGE, first=3)).sound()["accounts"]["pageInfo"]["endCursor"]
    for other in (
        {"orderBy": {"field": "NAME"}},
        {"orderBy": {"field": "ID", "direction": "DESC"}},
        {"filter": {"name": {"eq": "alpha"}}},
    ):
        assert (await gateway.ask(PAGE, after=cursor, **other)).codes == ["BAD_REQUEST"]
    same = await gateway.ask(PAGE, first=1, after=cursor, filter={"name": None}, orderBy=None)
    assert same.sound()["accounts"]["edges"][0]["node"]["id"] == "account_4"


async def test_totals_are_exact_beyond_64_bits_and_apart_by_currency(
    many: tuple[Gateway, list[dict[str, Any]]],
) -> None:
    gateway, rows = many
    answer = await gateway.ask("{ accounts(first: 0) { totals { currency { code } accountCount sum min max } } }")
    told = {
        total["currency"]["code"]: (total["accountCount"], *(Decimal(total[key]) for key in ("sum", "min", "max")))
        for total in answer.sound()["accounts"]["totals"]
    }
    for code in ("EUR", "NOK"):
        amounts = [row["balance"] for row in rows if row["currency"]["code"] == code]
        assert told[code] == (len(amounts), sum(amounts), min(amounts), max(amounts))


async def test_another_unit_does_not_exist_for_a_caller(many: tuple[Gateway, list[dict[str, Any]]]) -> None:
    gateway, rows = many
    caller = a_caller("a")
    own = [row["id"] for row in rows if row["businessUnit"] == "a"]
    foreign = next(row["id"] for row in rows if row["businessUnit"] == "B")
    answer = await gateway.ask(PAGE, first=1000, caller=caller)
    assert [edge["node"]["id"] for edge in answer.sound()["accounts"]["edges"]] == own
    assert answer.data["accounts"]["totalCount"] == 18
    looked_up = await gateway.ask(
        """query ($own: ID!, $foreign: ID!) {
          node(id: $foreign) { id } account(id: $foreign) { id } nodes(ids: [$foreign, $own, "x", "account_999"]) { id }
          accountByIdentifier(identifier: {externalId: {externalId: "X1", businessUnit: "B"}}) { id }
          balances(filter: {accountIds: [$foreign]}) { totalCount nodes { id } }
        }""",
        caller=caller,
        own=own[0],
        foreign=foreign,
    )
    assert looked_up.sound() == {
        "node": None,
        "account": None,
        "nodes": [None, {"id": own[0]}, None, None],
        "accountByIdentifier": None,
        "balances": {"totalCount": 0, "nodes": []},
    }
    change = """mutation ($id: ID!) { updateAccount(id: $id, input: {vat: 1}) { userErrors { code path } } }"""
    denied = await gateway.ask(change, id=foreign, caller=caller)
    assert denied.sound()["updateAccount"]["userErrors"] == [{"code": "NOT_FOUND", "path": ["id"]}]


async def test_a_key_of_several_units_must_say_which(many: tuple[Gateway, list[dict[str, Any]]]) -> None:
    gateway, _ = many
    find = '{ accountByIdentifier(identifier: {name: {name: "alpha"%s}}) { businessUnit } }'
    answer = await gateway.ask(find % "")
    assert answer.codes == ["BAD_REQUEST"]
    assert answer.errors[0]["extensions"]["businessUnits"] == ["B", "a"]
    named = await gateway.ask(find % ', businessUnit: "a"')
    assert named.sound() == {"accountByIdentifier": {"businessUnit": "a"}}
    alone = await gateway.ask(find % "", caller=a_caller("B"))
    assert json.loads(json.dumps(alone.sound())) == {"accountByIdentifier": {"businessUnit": "B"}}
