"""Filters, orders, pages and totals say what a plain model of the same accounts and entries says."""

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.asking import Answer, Gateway
from tests.databases import KINDS, Databases

Row = dict[str, Any]

MOST = "922337203685477.5807"
START = datetime(2026, 1, 1, tzinfo=UTC)
UNITS = ("north", "South")
CURRENCIES = ("EUR", "JPY", "NOK", "KWD")
ZONES = ("UTC", "Europe/Kyiv", "Asia/Kathmandu")
DIVISIONS = (None, "d-1", "D-1")
NAMES = (
    *(
        "Straße",
        "STRASSE",
        "strasse 2",
        "İstanbul",
        "istanbul",
        "Istanbul",
        "\u0131stanbul",
        "Éclair",
        "éclair",
        "Cafe\u0301",
    ),
    *("Café", "100%", "100", "1000", "a_b", "aXb", "A_B", "%", "_", "%%", "\\", "back\\slash", "Ω", "ω", "ς Sigma"),
    *(
        "Σ sigma",
        "\ufb01ne",
        "FINE",
        "zebra",
        "Zebra",
        "Äpfel",
        "😀 grin",
        "\uff5a wide",
        "' or 1=1 --",
        '"',
        "two  gaps",
    ),
    *("A", "a", "B", "b", "[a-z]*", "?"),
)
AMOUNTS = ("0", "1", "-1", "0.5", "0.5", "10", "10", "99.9999", "1000000", MOST, MOST, "-" + MOST, "-3.25")
BOUNDS = ("0", "0", "0", "1", "-1", "0.0001", MOST)
TYPES = (None, "DAILY_BALANCE", "daily_balance", "Straße", "x%")
REQUESTERS = ("ops", "OPS", "İ_ops", "100%")

ACCOUNTS = """query (
  $first: Int, $after: String, $last: Int, $before: String, $filter: AccountFilter, $orderBy: AccountOrder
) {
  list: accounts(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    totalCount edges { cursor node { id } } nodes { id }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totals { currency { code } accountCount sum min max }
  }
}"""
BALANCES = """query (
  $first: Int, $after: String, $last: Int, $before: String, $filter: BalanceFilter, $orderBy: BalanceOrder
) {
  list: balances(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
    totalCount edges { cursor node { id } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
CREATE_ACCOUNT = """mutation ($input: CreateAccountInput!) {
  createAccount(input: $input) { account { id } userErrors { code message path } }
}"""
ACCOUNT_ORDERS = {
    "ID": "number",
    "NAME": "name",
    "BALANCE": "balance",
    "MIN_BALANCE": "minBalance",
    "MAX_BALANCE": "maxBalance",
    "CREATED_AT": "createdAt",
    "UPDATED_AT": "updatedAt",
}
BALANCE_ORDERS = {"TIMESTAMP": "timestamp", "RECORDED_AT": "recordedAt", "AMOUNT": "amount"}


# --- the model ----------------------------------------------------------------------------------------------------


class Stock:
    """What was put into a gateway, in order of creation."""

    def __init__(self) -> None:
        self.accounts: list[Row] = []
        self.entries: list[Row] = []

    def settle(self) -> None:
        """Work out each account's balance and state from its entries."""
        for account in self.accounts:
            own = [
                (entry["timestamp"], entry["number"], entry["amount"])
                for entry in self.entries
                if entry["accountIds"] == account["id"] and entry["currency"] == account["currency"]
            ]
            balance = max(own)[2] if own else Decimal(0)
            low, high = account["balanceLowThreshold"], account["balanceHighThreshold"]
            state = (
                "LOW" if low is not None and balance < low else "HIGH" if high is not None and balance > high else ""
            )
            account |= {"balance": balance, "thresholdState": (state if own else "") or "NONE"}


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def folded(test: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    return lambda value, operand: value is not None and test(value.casefold(), operand.casefold())


def present(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda value, operand: value is not None and test(value, operand)


TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, operand: bool(value == operand),
    "notEq": lambda value, operand: bool(value != operand),
    "in": lambda value, operand: value in operand,
    "notIn": lambda value, operand: value not in operand,
    "isNull": lambda value, operand: (value is None) == operand,
    "contains": folded(lambda value, operand: operand in value),
    "startsWith": folded(str.startswith),
    "endsWith": folded(str.endswith),
    "gt": present(lambda value, operand: bool(value > operand)),
    "gte": present(lambda value, operand: bool(value >= operand)),
    "lt": present(lambda value, operand: bool(value < operand)),
    "lte": present(lambda value, operand: bool(value <= operand)),
    "from": present(lambda value, operand: bool(value >= operand)),
    "before": present(lambda value, operand: bool(value < operand)),
}


def read(operand: Any, sample: Any) -> Any:
    """An operand as values of a column are; the sample is one of them."""
    if isinstance(operand, list):
        return [read(each, sample) for each in operand]
    if isinstance(operand, bool):
        return operand
    if isinstance(sample, Decimal):
        return Decimal(operand)
    return datetime.fromisoformat(operand) if isinstance(sample, datetime) else operand


def keeps(row: Row, rows: list[Row], filter: Row) -> bool:
    return all(_keeps(row, rows, key, wanted) for key, wanted in filter.items() if wanted is not None)


def _keeps(row: Row, rows: list[Row], key: str, wanted: Any) -> bool:
    if key == "and":
        return all(keeps(row, rows, each) for each in wanted)
    if key == "or":
        return any(keeps(row, rows, each) for each in wanted)
    if key == "not":
        return not keeps(row, rows, wanted)
    if key in ("thresholdState", "accountIds"):
        return row[key] in wanted
    if key == "contractorId":
        return bool(row[key] == wanted)
    sample = next((each[key] for each in rows if each[key] is not None), None)
    return all(TESTS[name](row[key], read(operand, sample)) for name, operand in wanted.items())


def selected(rows: list[Row], filter: Row | None = None, key: str = "number", *, down: bool = False) -> list[str]:
    """The ids of the rows that a filter keeps, ordered by a column, ties by creation in the same direction."""
    kept = [row for row in rows if keeps(row, rows, filter or {})]
    return [row["id"] for row in sorted(kept, key=lambda row: (row[key], row["number"]), reverse=down)]


def totals_of(rows: list[Row], filter: Row) -> list[Row]:
    found: dict[str, list[Decimal]] = {}
    for row in rows:
        if keeps(row, rows, filter):
            found.setdefault(row["currency"], []).append(row["balance"])
    return [
        {
            "currency": {"code": code},
            "accountCount": len(amounts),
            "sum": sum(amounts, Decimal(0)),
            "min": min(amounts),
            "max": max(amounts),
        }
        for code, amounts in sorted(found.items())
    ]


# --- filling a gateway --------------------------------------------------------------------------------------------


async def stocked(url: str) -> Stock:
    """Fill a database with accounts and entries, and tell what is in it."""
    gateway, stock, chance = Gateway(url), Stock(), random.Random(7)
    contractors = [await prepare_unit(gateway, unit) for unit in UNITS]
    for number, name in enumerate(NAMES):
        await add_account(gateway, stock, chance, number, name, contractors[number % 2])
    for step in range(20):
        gateway.now = START + timedelta(days=10, hours=step // 2)
        await add_batch(gateway, stock, chance, step)
        await add_single(gateway, stock, chance)
    gateway.now = START + timedelta(days=40)
    for account in stock.accounts[3:9]:
        changed = await gateway.ask(
            'mutation ($id: ID!) { updateAccount(id: $id, input: {vat: "5.5"}) { userErrors { code } } }',
            id=account["id"],
        )
        assert changed.sound() == {"updateAccount": {"userErrors": []}}
        account |= {"vat": Decimal("5.5"), "updatedAt": gateway.now}
    await gateway.store.close()
    stock.settle()
    return stock


async def prepare_unit(gateway: Gateway, unit: str) -> str:
    made = await gateway.ask(
        """mutation ($unit: String!) {
          createContractor(input: {name: "C", businessUnit: $unit, isVendor: true}) { contractor { id } }
          first: createDivision(input: {code: "d-1", businessUnit: $unit}) { userErrors { code } }
          second: createDivision(input: {code: "D-1", businessUnit: $unit}) { userErrors { code } }
        }""",
        unit=unit,
    )
    id: str = made.sound()["createContractor"]["contractor"]["id"]
    return id


async def add_account(
    gateway: Gateway, stock: Stock, chance: random.Random, number: int, name: str, contractor: str
) -> None:
    gateway.now = START + timedelta(days=number // 4, microseconds=number // 2)
    low = chance.choice((None, None, "0.5", "-2"))
    amounts = {
        "minBalance": chance.choice(BOUNDS),
        "maxBalance": MOST,
        "balanceLowThreshold": low,
        "balanceHighThreshold": chance.choice((None, "9.9999", "10")),
        "vat": chance.choice(("0", "0.1", "20")),
    }
    texts = {
        "name": name,
        "externalId": None if number % 5 == 0 else f"{name}/{'eXt' if number % 3 else 'Ext'}",
        "businessUnit": UNITS[number % 2],
        "divisionCode": DIVISIONS[number % 3],
        "contractorId": contractor,
        "timezone": chance.choice(ZONES),
    }
    currency = chance.choice(CURRENCIES)
    made = await gateway.ask(CREATE_ACCOUNT, input={**amounts, **texts, "currency": {"code": currency}})
    assert made.sound()["createAccount"]["userErrors"] == []
    stock.accounts.append(
        {
            **texts,
            **{key: None if amount is None else Decimal(amount) for key, amount in amounts.items()},
            "currency": currency,
            "id": made.data["createAccount"]["account"]["id"],
            "number": number,
            "createdAt": gateway.now,
            "updatedAt": gateway.now,
        }
    )


async def add_batch(gateway: Gateway, stock: Stock, chance: random.Random, step: int) -> None:
    """Four entries of the documented batch, recorded at one moment."""
    named = [account for account in stock.accounts if account["externalId"] is not None]
    accounts = chance.choices(named, k=4)
    moments = [START + timedelta(days=chance.randrange(20)) for _ in accounts]
    items = [
        {
            "accountExtId": account["externalId"],
            "businessUnit": account["businessUnit"],
            "communicationNumber": f"{'No' if index % 2 else 'nO'}-{step}-{index}",
            "requester": chance.choice(REQUESTERS),
            "value": chance.choice(AMOUNTS),
            "balanceAt": text(moment),
            "balanceType": chance.choice(TYPES),
        }
        for index, (account, moment) in enumerate(zip(accounts, moments, strict=True))
    ]
    answer = await gateway.ask(
        """mutation ($items: [AccountBalanceInput!]!) {
          registerBatchAccountBalances(input: {accountBalances: $items}) { results { errorCode balance { id } } }
        }""",
        items=items,
    )
    results = answer.sound()["registerBatchAccountBalances"]["results"]
    for account, item, moment, result in zip(accounts, items, moments, results, strict=True):
        assert result["errorCode"] is None
        stock.entries.append(
            {
                "id": result["balance"]["id"],
                "number": int(result["balance"]["id"].rpartition("_")[2]),
                "accountIds": account["id"],
                "amount": Decimal(item["value"]),
                "timestamp": moment,
                "recordedAt": gateway.now,
                "currency": account["currency"],
                **{key: item[key] for key in ("balanceType", "communicationNumber", "requester")},
            }
        )


async def add_single(gateway: Gateway, stock: Stock, chance: random.Random) -> None:
    """One entry without a type or a number, in any currency."""
    account, currency = chance.choice(stock.accounts), chance.choice(CURRENCIES)
    moment, amount = START + timedelta(days=chance.randrange(20)), chance.choice(AMOUNTS)
    answer = await gateway.ask(
        """mutation ($id: ID!, $input: CreateBankAccountBalanceInput!) {
          createBankAccountBalance(bankAccountId: $id, input: $input) { balance { id } }
        }""",
        id=account["id"],
        input={"amount": amount, "timestamp": text(moment), "currency": {"code": currency}},
    )
    stock.entries.append(
        {
            "id": answer.sound()["createBankAccountBalance"]["balance"]["id"],
            "number": int(answer.sound()["createBankAccountBalance"]["balance"]["id"].rpartition("_")[2]),
            "accountIds": account["id"],
            "amount": Decimal(amount),
            "timestamp": moment,
            "recordedAt": gateway.now,
            "currency": currency,
            **dict.fromkeys(("balanceType", "communicationNumber", "requester")),
        }
    )


Held = tuple[str, Stock]


@pytest.fixture(scope="module", params=KINDS)
def held(request: pytest.FixtureRequest, databases: Databases) -> Iterator[Held]:
    """A filled database that the module's tests share, as none of them changes it."""
    with databases.made(request.param) as url, ThreadPoolExecutor(1) as aside:
        yield url, aside.submit(asyncio.run, stocked(url)).result()


@pytest.fixture
def stock(held: Held) -> Stock:
    return held[1]


@pytest.fixture
async def stocked_gateway(held: Held) -> AsyncIterator[Gateway]:
    gateway = Gateway(held[0])
    yield gateway
    await gateway.store.close()


def page_of(answer: Answer) -> Row:
    page: Row = answer.sound()["list"]
    assert [edge["node"] for edge in page["edges"]] == page["nodes"]
    cursors = [edge["cursor"] for edge in page["edges"]] or [None]
    if page["nodes"]:
        assert (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]) == (cursors[0], cursors[-1])
    return page


def ids_of(page: Row) -> list[str]:
    return [node["id"] for node in page["nodes"]]


def flags_of(page: Row) -> tuple[bool, bool]:
    return page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]


async def listed(gateway: Gateway, document: str, **arguments: Any) -> list[str]:
    """The ids of a whole list, in one page, whose count is right."""
    page = page_of(await gateway.ask(document, first=1000, **arguments))
    assert page["totalCount"] == len(page["nodes"])
    assert flags_of(page) == (False, False)
    return ids_of(page)


def entries_selected(stock: Stock, filter: Row) -> list[str]:
    return selected(stock.entries, filter, "timestamp", down=True)


# --- comparisons --------------------------------------------------------------------------------------------------

TEXTS = (
    "",
    "s",
    "SS",
    "ß",
    "strasse",
    "STRASSE",
    "Straße",
    "i",
    "İ",
    "I",
    "\u0131",
    "i\u0307",
    "istanbul",
    "É",
    "e\u0301",
    "café",
)
WILD = (
    "%",
    "_",
    "100%",
    "\\",
    "%%",
    "a_b",
    "\\%",
    "'",
    '"',
    "Ω",
    "ς",
    "\u03c3",
    "FI",
    "\ufb01",
    "😀",
    "\uff3a",
    "[a-z]",
    "*",
    "?",
)


@pytest.mark.parametrize("operator", ["contains", "startsWith", "endsWith"])
@pytest.mark.parametrize("key", ["name", "externalId"])
async def test_parts_of_texts_are_found_in_any_case_and_taken_literally(
    stocked_gateway: Gateway, stock: Stock, key: str, operator: str
) -> None:
    for operand in (*TEXTS, *WILD, "/EXT"):
        filter = {key: {operator: operand}}
        assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter), filter


@pytest.mark.parametrize("key", ["businessUnit", "divisionCode", "currency", "timezone"])
async def test_other_texts_of_an_account_are_compared_likewise(
    stocked_gateway: Gateway, stock: Stock, key: str
) -> None:
    value = next(account[key] for account in stock.accounts if account[key] is not None)
    for operator in ("eq", "notEq", "contains", "startsWith", "endsWith"):
        for operand in (value, value.lower(), value.upper(), value[1:], value[:-1], ""):
            filter = {key: {operator: operand}}
            assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter), filter


@pytest.mark.parametrize("key", ["name", "externalId", "divisionCode"])
async def test_texts_are_equal_only_byte_for_byte(stocked_gateway: Gateway, stock: Stock, key: str) -> None:
    values = [account[key] for account in stock.accounts if account[key] is not None]
    for value in (*values[:6], values[-1], "", "nothing", "Cafe\u0301", "Café"):
        for comparison in ({"eq": value}, {"notEq": value}, {"in": [value, values[0]]}, {"notIn": [value, values[0]]}):
            filter = {key: comparison}
            assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter), filter


@pytest.mark.parametrize(
    "comparison",
    [
        {},
        {"in": []},
        {"notIn": []},
        {"isNull": True},
        {"isNull": False},
        {"notEq": "Straße/eXt"},
        {"notIn": ["Straße/eXt", "nothing"]},
        {"isNull": True, "notEq": "x"},
        {"isNull": False, "notIn": ["x"]},
        {"contains": "ext", "startsWith": "a", "endsWith": "T"},
        {"isNull": True, "eq": "x"},
    ],
)
async def test_rows_without_a_text_have_a_place_in_every_comparison(
    stocked_gateway: Gateway, stock: Stock, comparison: Row
) -> None:
    for filter in ({"externalId": comparison}, {"not": {"externalId": comparison}}):
        assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter), filter


@pytest.mark.parametrize("key", ["name", "externalId", "divisionCode"])
async def test_lists_of_any_length_are_compared_whole(stocked_gateway: Gateway, stock: Stock, key: str) -> None:
    first, last = stock.accounts[0], stock.accounts[-1]
    values = sorted({account[key] for account in (first, last) if account[key] is not None})
    for length in (2, 3, 4, 5, 16, 17, 50, 51, 300):
        others = [f"nobody {number}" for number in range(length - len(values))]
        for wanted in ([*values, *others], [*others, *values]):
            for comparison in ({"in": wanted}, {"notIn": wanted}):
                filter = {key: comparison}
                assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter)


AMOUNT_KEYS = ["balance", "minBalance", "maxBalance", "balanceLowThreshold", "balanceHighThreshold", "vat"]


@pytest.mark.parametrize("key", AMOUNT_KEYS)
async def test_amounts_are_compared_exactly(stocked_gateway: Gateway, stock: Stock, key: str) -> None:
    for operator in ("eq", "notEq", "gt", "gte", "lt", "lte"):
        for operand in ("0", "-0", "0.5", "0.50000", "10", "9.9999", MOST, "-" + MOST, "-1", "0.1"):
            filter = {key: {operator: operand}}
            assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter), filter


@pytest.mark.parametrize("key", AMOUNT_KEYS)
async def test_lists_of_amounts_and_absent_amounts_are_compared(
    stocked_gateway: Gateway, stock: Stock, key: str
) -> None:
    comparisons: list[Row] = [
        {"in": ["0", "10.0"]},
        {"in": []},
        {"notIn": ["0", "10.0"]},
        {"notIn": []},
        {"isNull": True},
        {"isNull": False},
        {"gte": "0", "lt": "10"},
        {},
    ]
    for comparison in comparisons:
        for filter in ({key: comparison}, {"not": {key: comparison}}):
            assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter), filter


async def test_moments_are_compared_from_inclusive_to_before_exclusive(stocked_gateway: Gateway, stock: Stock) -> None:
    moment = stock.accounts[20]["createdAt"]
    for chosen in (moment, moment + timedelta(microseconds=1), moment - timedelta(microseconds=1)):
        east = chosen.isoformat()
        west = (chosen.replace(tzinfo=None) - timedelta(hours=5)).isoformat() + "-05:00"
        for comparison in (
            {"from": east},
            {"before": west},
            {"from": west, "before": text(chosen + timedelta(days=1))},
        ):
            for filter in ({"createdAt": comparison}, {"not": {"createdAt": comparison}}):
                assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter), (
                    filter
                )


@pytest.mark.parametrize(
    "filter",
    [
        {},
        {"and": []},
        {"or": []},
        {"not": {}},
        {"not": {"or": []}},
        {"not": {"and": []}},
        {"or": [{}]},
        {"or": [{"or": []}, {"name": {"eq": "A"}}]},
        {
            "and": None,
            "or": None,
            "not": None,
            "name": None,
            "balance": None,
            "createdAt": None,
            "thresholdState": None,
        },
        {"thresholdState": []},
        {"thresholdState": ["LOW"]},
        {"thresholdState": ["HIGH", "NONE"]},
        {"not": {"externalId": {"contains": "ext"}}},
        {"not": {"externalId": {"eq": "x"}}},
        {"not": {"balanceLowThreshold": {"gt": "0"}}},
        {"not": {"not": {"balanceLowThreshold": {"gt": "0"}}}},
        {"not": {"balanceLowThreshold": {"gt": "0"}, "externalId": {"contains": "s"}}},
        {"or": [{"not": {"divisionCode": {"eq": "d-1"}}}, {"name": {"contains": "ss"}}]},
        {"and": [{"divisionCode": {"notEq": "d-1"}}, {"divisionCode": {"isNull": True}}]},
        {
            "and": [{"name": {"contains": "a"}}],
            "or": [{"vat": {"eq": 0}}, {"vat": {"gt": 10}}],
            "currency": {"eq": "EUR"},
        },
    ],
)
async def test_filters_combine_in_two_valued_logic(stocked_gateway: Gateway, stock: Stock, filter: Row) -> None:
    assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter)


async def test_accounts_of_one_contractor_are_found(stocked_gateway: Gateway, stock: Stock) -> None:
    filter = {"contractorId": stock.accounts[0]["contractorId"]}
    assert await listed(stocked_gateway, ACCOUNTS, filter=filter) == selected(stock.accounts, filter)
    for unknown in ("nonsense", stock.accounts[0]["id"], "contractor_999"):
        assert await listed(stocked_gateway, ACCOUNTS, filter={"contractorId": unknown}) == []
        everybody = selected(stock.accounts)
        assert await listed(stocked_gateway, ACCOUNTS, filter={"not": {"contractorId": unknown}}) == everybody


async def test_null_arguments_are_as_if_absent(stocked_gateway: Gateway, stock: Stock) -> None:
    arguments = dict.fromkeys(("after", "last", "before", "filter", "orderBy"))
    assert await listed(stocked_gateway, ACCOUNTS, **arguments) == selected(stock.accounts)
    assert await listed(stocked_gateway, BALANCES, **arguments) == entries_selected(stock, {})


@pytest.mark.parametrize(
    ("filter", "keys"),
    [
        ({"name": {operator: None}}, ("name", operator))
        for operator in ("eq", "notEq", "in", "notIn", "contains", "startsWith", "endsWith", "isNull")
    ]
    + [
        ({"vat": {operator: None}}, ("vat", operator))
        for operator in ("eq", "notEq", "gt", "gte", "lt", "lte", "in", "notIn", "isNull")
    ]
    + [
        ({"createdAt": {"from": None}}, ("createdAt", "from")),
        ({"createdAt": {"before": None}}, ("createdAt", "before")),
        ({"and": [{"not": {"externalId": {"eq": None}}}]}, ("and", "not", "externalId", "eq")),
    ],
)
async def test_null_inside_a_comparison_is_refused_with_its_path(
    stocked_gateway: Gateway, filter: Row, keys: tuple[str, ...]
) -> None:
    answer = await stocked_gateway.ask(ACCOUNTS, filter=filter)
    assert answer.codes == ["BAD_REQUEST"]
    assert answer.data is None or answer.data == {"list": None}
    assert all(key in answer.errors[0]["message"] for key in keys), answer.errors


@pytest.mark.parametrize("operand", ["0.00001", "922337203685477.5808", "-922337203685477.5808", "1" * 60])
async def test_amounts_that_can_not_be_stored_are_refused_in_filters(stocked_gateway: Gateway, operand: str) -> None:
    for comparison in ({"eq": operand}, {"gt": operand}, {"in": ["1", operand]}, {"notIn": [operand]}):
        assert (await stocked_gateway.ask(ACCOUNTS, filter={"vat": comparison})).codes == ["BAD_REQUEST"]
        assert (await stocked_gateway.ask(BALANCES, filter={"amount": comparison})).codes == ["BAD_REQUEST"]


@pytest.mark.parametrize(
    "filter",
    [
        {},
        {"accountIds": []},
        {"accountIds": None, "amount": None, "timestamp": None},
        {"amount": {"gt": "0.5"}},
        {"amount": {"in": [MOST, "-3.2500"]}},
        {"amount": {"in": []}},
        {"amount": {"notIn": []}},
        {"currency": {"notIn": ["EUR", "JPY"]}},
        {"balanceType": {"eq": "DAILY_BALANCE"}},
        {"balanceType": {"notEq": "DAILY_BALANCE"}},
        {"balanceType": {"notIn": ["DAILY_BALANCE", "x%"]}},
        {"balanceType": {"contains": "STRASSE"}},
        {"balanceType": {"startsWith": "daily"}},
        {"balanceType": {"endsWith": "%"}},
        {"balanceType": {"isNull": True}},
        {"communicationNumber": {"startsWith": "NO-1"}},
        {"communicationNumber": {"isNull": False, "endsWith": "-0"}},
        {"communicationNumber": {"eq": "nO-0-0"}},
        {"communicationNumber": {"eq": "no-0-0"}},
        {"requester": {"contains": "i\u0307_"}},
        {"requester": {"eq": "ops"}},
        {"requester": {"contains": "ops"}, "balanceType": {"isNull": False}},
        {"timestamp": {"from": "2026-01-05T00:00:00Z", "before": "2026-01-09T00:00:00Z"}},
        {"recordedAt": {"from": "2026-01-11T04:00:00+02:00"}},
        {"recordedAt": {"before": "2026-01-11T02:00:00Z"}},
    ],
)
async def test_entries_are_filtered_newest_first(stocked_gateway: Gateway, stock: Stock, filter: Row) -> None:
    assert await listed(stocked_gateway, BALANCES, filter=filter) == entries_selected(stock, filter)


async def test_entries_of_some_accounts_are_found(stocked_gateway: Gateway, stock: Stock) -> None:
    some = [entry["accountIds"] for entry in stock.entries[:3]]
    expected = entries_selected(stock, {"accountIds": some})
    assert await listed(stocked_gateway, BALANCES, filter={"accountIds": some}) == expected
    unknown = [*some, *some, "nonsense", "account_999", stock.entries[0]["id"]]
    assert await listed(stocked_gateway, BALANCES, filter={"accountIds": unknown}) == expected


async def test_an_accounts_own_entries_are_filtered_and_ordered_likewise(
    stocked_gateway: Gateway, stock: Stock
) -> None:
    document = BALANCES.replace("query (", "query ($id: ID!, ").replace(
        "list: balances", "account(id: $id) { list: balances"
    )
    for account in stock.accounts[:10]:
        for filter in ({}, {"amount": {"gt": "0"}}, {"accountIds": [stock.accounts[1]["id"]]}):
            answer = await stocked_gateway.ask(document + "}", id=account["id"], filter=filter)
            own = [entry for entry in stock.entries if entry["accountIds"] == account["id"]]
            page = answer.sound()["account"]["list"]
            assert ids_of(page) == selected(own, filter, "timestamp", down=True)
            assert page["totalCount"] == len(page["nodes"])


# --- orders and pages ---------------------------------------------------------------------------------------------


async def walk(gateway: Gateway, document: str, expected: list[str], size: int, **arguments: Any) -> None:
    """Go through a list in pages in both directions, and find what is expected and true flags."""
    found: list[str] = []
    cursor: Row = {}
    while True:
        page = page_of(await gateway.ask(document, first=size, **cursor, **arguments))
        flags = (bool(found), len(found) + len(page["nodes"]) < len(expected))
        found += ids_of(page)
        assert flags_of(page) == flags
        assert page["totalCount"] == len(expected)
        if not flags[1]:
            break
        cursor = {"after": page["pageInfo"]["endCursor"]}
    assert found == expected
    found, cursor = [], {}
    while True:
        page = page_of(await gateway.ask(document, last=size, **cursor, **arguments))
        flags = (len(found) + len(page["nodes"]) < len(expected), bool(found))
        found = ids_of(page) + found
        assert flags_of(page) == flags
        if not flags[0]:
            break
        cursor = {"before": page["pageInfo"]["startCursor"]}
    assert found == expected


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", ACCOUNT_ORDERS)
async def test_accounts_are_walked_in_every_order(
    stocked_gateway: Gateway, stock: Stock, field: str, direction: str
) -> None:
    order = {"field": field, "direction": direction}
    expected = selected(stock.accounts, None, ACCOUNT_ORDERS[field], down=direction == "DESC")
    await walk(stocked_gateway, ACCOUNTS, expected, 4, orderBy=order)
    await walk(stocked_gateway, ACCOUNTS, expected, len(expected), orderBy=order)


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", BALANCE_ORDERS)
async def test_entries_are_walked_in_every_order(
    stocked_gateway: Gateway, stock: Stock, field: str, direction: str
) -> None:
    filter = {"balanceType": {"notEq": "x%"}}
    expected = selected(stock.entries, filter, BALANCE_ORDERS[field], down=direction == "DESC")
    await walk(stocked_gateway, BALANCES, expected, 7, orderBy={"field": field, "direction": direction}, filter=filter)


async def test_an_order_without_a_direction_goes_up(stocked_gateway: Gateway, stock: Stock) -> None:
    await walk(stocked_gateway, ACCOUNTS, selected(stock.accounts, None, "name"), 30, orderBy={"field": "NAME"})
    await walk(stocked_gateway, BALANCES, entries_selected(stock, {}), 30)


@pytest.mark.parametrize("size", [0, 1, 3, 10, 1000])
async def test_a_page_between_two_cursors_tells_true_flags(stocked_gateway: Gateway, stock: Stock, size: int) -> None:
    order = {"field": "BALANCE", "direction": "DESC"}
    expected = selected(stock.accounts, None, "balance", down=True)
    whole = page_of(await stocked_gateway.ask(ACCOUNTS, first=1000, orderBy=order))
    cursors = [edge["cursor"] for edge in whole["edges"]]
    total = len(expected)
    for low, high in ((None, None), (None, 0), (None, 5), (4, None), (total - 1, None), (3, 9), (3, 4), (0, total - 1)):
        given_cursors = {
            "after": None if low is None else cursors[low],
            "before": None if high is None else cursors[high],
        }
        start, end = 0 if low is None else low + 1, total if high is None else high
        page = page_of(await stocked_gateway.ask(ACCOUNTS, first=size, orderBy=order, **given_cursors))
        assert ids_of(page) == expected[start:end][:size]
        assert flags_of(page) == (start > 0, min(end, start + size) < total), ("first", low, high)
        page = page_of(await stocked_gateway.ask(ACCOUNTS, last=size, orderBy=order, **given_cursors))
        first = max(start, end - size)
        assert ids_of(page) == expected[first:end]
        assert flags_of(page) == (first > 0, end < total), ("last", low, high)


async def test_a_page_of_nothing_gives_counts_and_totals_alone(stocked_gateway: Gateway, stock: Stock) -> None:
    filter = {"balance": {"gt": "0"}}
    page = page_of(await stocked_gateway.ask(ACCOUNTS, first=0, filter=filter))
    assert (page["nodes"], page["totalCount"]) == ([], len(selected(stock.accounts, filter)))
    assert [row["currency"]["code"] for row in page["totals"]]
    none = page_of(await stocked_gateway.ask(ACCOUNTS, first=0, filter={"or": []}))
    assert (none["totalCount"], none["totals"], flags_of(none)) == (0, [], (False, False))


async def test_a_page_has_fifty_rows_by_default(stocked_gateway: Gateway, stock: Stock) -> None:
    page = page_of(await stocked_gateway.ask(BALANCES))
    assert ids_of(page) == entries_selected(stock, {})[:50]
    assert flags_of(page) == (False, True)


@pytest.mark.parametrize("name", ["first", "last"])
async def test_a_page_above_the_maximum_is_refused_with_the_limit(stocked_gateway: Gateway, name: str) -> None:
    stocked_gateway.limits = dataclasses.replace(stocked_gateway.limits, page_size=5)
    for document in (ACCOUNTS, BALANCES):
        assert len(page_of(await stocked_gateway.ask(document, **{name: 5}))["nodes"]) == 5
        answer = await stocked_gateway.ask(document, **{name: 6})
        assert answer.codes == ["PAGE_TOO_LARGE"]
        assert answer.errors[0]["extensions"]["limit"] == 5
        assert answer.data == {"list": None}


@pytest.mark.parametrize("arguments", [{"first": -1}, {"last": -1}, {"first": 1, "last": 1}, {"first": 0, "last": 0}])
async def test_pages_that_make_no_sense_are_refused(stocked_gateway: Gateway, arguments: Row) -> None:
    for document in (ACCOUNTS, BALANCES):
        answer = await stocked_gateway.ask(document, **arguments)
        assert (answer.codes, answer.data) == (["BAD_REQUEST"], {"list": None})


GARBAGE = (
    "",
    " ",
    "x",
    "null",
    "account_1",
    "balance_1",
    "e30=",
    "W10=",
    "AAAA",
    "-1",
    "%00",
    "é",
    "😀",
    "1" * 5000,
    "a.b.c",
)


@pytest.mark.parametrize("cursor", GARBAGE)
async def test_a_cursor_that_is_none_is_refused(stocked_gateway: Gateway, cursor: str) -> None:
    for document in (ACCOUNTS, BALANCES):
        for arguments in ({"first": 1, "after": cursor}, {"last": 1, "before": cursor}):
            assert (await stocked_gateway.ask(document, **arguments)).codes == ["BAD_REQUEST"], (document, arguments)


async def test_a_cursor_that_was_cut_or_changed_is_never_an_internal_error(stocked_gateway: Gateway) -> None:
    order = {"field": "NAME"}
    cursor = page_of(await stocked_gateway.ask(ACCOUNTS, first=1, orderBy=order))["pageInfo"]["endCursor"]
    spoilt = [cursor[:end] for end in range(len(cursor))]
    spoilt += [cursor[:place] + other + cursor[place + 1 :] for place in range(len(cursor)) for other in "A_z9"]
    for changed in spoilt:
        answer = await stocked_gateway.ask(ACCOUNTS, first=1, orderBy=order, after=changed)
        assert answer.codes in ([], ["BAD_REQUEST"]), changed


async def test_a_cursor_of_another_order_filter_or_list_is_refused(stocked_gateway: Gateway) -> None:
    order, filter = {"field": "NAME", "direction": "ASC"}, {"vat": {"gte": "0"}}
    page = page_of(await stocked_gateway.ask(ACCOUNTS, first=2, orderBy=order, filter=filter))
    cursor = page["pageInfo"]["endCursor"]
    others: list[Row] = [
        {"orderBy": {"field": "NAME", "direction": "DESC"}, "filter": filter},
        {"orderBy": {"field": "BALANCE", "direction": "ASC"}, "filter": filter},
        {"filter": filter},
        {"orderBy": order},
        {"orderBy": order, "filter": {"vat": {"gte": "1"}}},
        {"orderBy": order, "filter": {"minBalance": {"gte": "0"}}},
    ]
    for other in others:
        answer = await stocked_gateway.ask(ACCOUNTS, first=1, after=cursor, **other)
        assert answer.codes == ["BAD_REQUEST"], other
    assert (await stocked_gateway.ask(BALANCES, first=1, after=cursor)).codes == ["BAD_REQUEST"]
    entries = page_of(await stocked_gateway.ask(BALANCES, first=1))["pageInfo"]["endCursor"]
    assert (await stocked_gateway.ask(ACCOUNTS, first=1, after=entries)).codes == ["BAD_REQUEST"]
    divisions = await stocked_gateway.ask("{ divisions(first: 1) { pageInfo { endCursor } } }")
    elsewhere = divisions.sound()["divisions"]["pageInfo"]["endCursor"]
    assert (await stocked_gateway.ask(ACCOUNTS, first=1, after=elsewhere)).codes == ["BAD_REQUEST"]
    contractors = await stocked_gateway.ask(
        "query ($after: String) { contractors(first: 1, after: $after) { totalCount } }", after=elsewhere
    )
    assert contractors.codes == ["BAD_REQUEST"]


async def test_a_cursor_of_another_accounts_entries_is_refused(stocked_gateway: Gateway, stock: Stock) -> None:
    document = """query ($id: ID!, $after: String) {
      account(id: $id) { balances(first: 1, after: $after) { pageInfo { endCursor } } }
    }"""
    one, other = sorted({entry["accountIds"] for entry in stock.entries})[:2]
    first = await stocked_gateway.ask(document, id=one)
    cursor = first.sound()["account"]["balances"]["pageInfo"]["endCursor"]
    (await stocked_gateway.ask(document, id=one, after=cursor)).sound()
    assert (await stocked_gateway.ask(document, id=other, after=cursor)).codes == ["BAD_REQUEST"]


async def test_a_filter_that_says_the_same_in_other_words_keeps_its_cursors(stocked_gateway: Gateway) -> None:
    filter = {"vat": {"gte": "0", "lt": "1"}, "name": {"contains": "a"}}
    cursor = page_of(await stocked_gateway.ask(ACCOUNTS, first=1, filter=filter))["pageInfo"]["endCursor"]
    written = await stocked_gateway.ask(
        """query ($after: String) {
          list: accounts(first: 1, after: $after, filter: {name: {contains: "a"}, vat: {lt: "1", gte: 0}, or: null}) {
            nodes { id }
          }
        }""",
        after=cursor,
    )
    other = page_of(await stocked_gateway.ask(ACCOUNTS, first=1, filter=filter, after=cursor))
    assert ids_of(written.sound()["list"]) == ids_of(other)


async def test_accounts_made_between_two_pages_disturb_nothing(filled: Gateway) -> None:
    async def add(name: str) -> str:
        made = await filled.ask(CREATE_ACCOUNT, input={"name": name, "contractorId": "contractor_1"})
        id: str = made.sound()["createAccount"]["account"]["id"]
        return id

    there = [await add(name) for name in ("b", "d", "f", "h")]
    order = {"field": "NAME"}
    forwards = page_of(await filled.ask(ACCOUNTS, first=3, orderBy=order))
    backwards = page_of(await filled.ask(ACCOUNTS, last=2, orderBy=order))
    assert (ids_of(forwards)[1:], ids_of(backwards)) == (there[:2], there[2:])
    await add("a")
    after = await add("e")
    ahead = page_of(await filled.ask(ACCOUNTS, first=9, orderBy=order, after=forwards["pageInfo"]["endCursor"]))
    assert ids_of(ahead) == [after, *there[2:]]
    behind = page_of(await filled.ask(ACCOUNTS, last=2, orderBy=order, before=backwards["pageInfo"]["startCursor"]))
    assert ids_of(behind) == [there[1], after]


async def test_entries_made_between_two_pages_disturb_nothing(filled: Gateway) -> None:
    async def add(day: int) -> str:
        made = await filled.ask(
            """mutation ($input: CreateBankAccountBalanceInput!) {
              createBankAccountBalance(bankAccountId: "account_1", input: $input) { balance { id } }
            }""",
            input={"amount": 1, "timestamp": f"2026-01-{day:02}T00:00:00Z", "currency": {"code": "EUR"}},
        )
        id: str = made.sound()["createBankAccountBalance"]["balance"]["id"]
        return id

    there = [await add(day) for day in (2, 4, 4, 6)]
    first = page_of(await filled.ask(BALANCES, first=2))
    assert ids_of(first) == [there[3], there[2]]
    await add(7)
    await add(4)
    late = await add(3)
    rest = page_of(await filled.ask(BALANCES, first=9, after=first["pageInfo"]["endCursor"]))
    assert ids_of(rest) == [there[1], late, there[0]]


async def test_a_cursor_outlives_the_row_that_moved(filled: Gateway) -> None:
    ids = []
    for name in ("b", "d", "f"):
        made = await filled.ask(CREATE_ACCOUNT, input={"name": name, "contractorId": "contractor_1"})
        ids.append(made.sound()["createAccount"]["account"]["id"])
    order = {"field": "NAME"}
    page = page_of(await filled.ask(ACCOUNTS, first=2, orderBy=order))
    assert ids_of(page)[1] == ids[0]
    moved = await filled.ask(
        'mutation ($id: ID!) { updateAccount(id: $id, input: {name: "z"}) { userErrors { code } } }', id=ids[0]
    )
    assert moved.sound()["updateAccount"]["userErrors"] == []
    rest = page_of(await filled.ask(ACCOUNTS, first=9, orderBy=order, after=page["pageInfo"]["endCursor"]))
    assert ids_of(rest) == [ids[1], ids[2], ids[0]]
    assert flags_of(rest) == (True, False)


async def test_a_row_that_moved_away_is_on_no_page_before(filled: Gateway) -> None:
    order, filter = {"field": "NAME"}, {"vat": {"eq": "0"}}
    made = await filled.ask(CREATE_ACCOUNT, input={"name": "Z", "contractorId": "contractor_1"})
    last = made.sound()["createAccount"]["account"]["id"]
    page = page_of(await filled.ask(ACCOUNTS, first=1, orderBy=order, filter=filter))
    assert (ids_of(page), flags_of(page)) == (["account_1"], (False, True))
    moved = await filled.ask('mutation { updateAccount(id: "account_1", input: {vat: 5}) { userErrors { code } } }')
    assert moved.sound()["updateAccount"]["userErrors"] == []
    cursor = page["pageInfo"]["endCursor"]
    rest = page_of(await filled.ask(ACCOUNTS, first=9, orderBy=order, filter=filter, after=cursor))
    assert (ids_of(rest), rest["totalCount"], flags_of(rest)) == ([last], 1, (False, False))
    end = rest["pageInfo"]["endCursor"]
    back = page_of(await filled.ask(ACCOUNTS, last=9, orderBy=order, filter=filter, before=end))
    assert (ids_of(back), flags_of(back)) == ([], (False, True))


# --- counts and totals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filter",
    [{}, {"balance": {"gt": "0"}}, {"businessUnit": {"eq": "north"}}, {"currency": {"eq": "JPY"}}, {"or": []}],
)
async def test_totals_are_exact_for_each_currency(stocked_gateway: Gateway, stock: Stock, filter: Row) -> None:
    page = page_of(await stocked_gateway.ask(ACCOUNTS, first=1, filter=filter))
    rows = [
        {**row, **{key: Decimal(row[key]) for key in ("sum", "min", "max")}}
        for row in sorted(page["totals"], key=lambda row: row["currency"]["code"])
    ]
    assert rows == totals_of(stock.accounts, filter)


@pytest.mark.parametrize("sign", ["", "-"])
async def test_a_sum_past_64_bits_is_exact(filled: Gateway, sign: str) -> None:
    ids = ["account_1"]
    for name in ("b", "c"):
        made = await filled.ask(CREATE_ACCOUNT, input={"name": name, "contractorId": "contractor_1"})
        ids.append(made.sound()["createAccount"]["account"]["id"])
    for id in ids:
        made = await filled.ask(
            """mutation ($id: ID!, $amount: Decimal!) { createBankAccountBalance(bankAccountId: $id, input: {
              amount: $amount, timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}
            }) { userErrors { code } } }""",
            id=id,
            amount=sign + MOST,
        )
        assert made.sound()["createBankAccountBalance"]["userErrors"] == []
    assert page_of(await filled.ask(ACCOUNTS))["totals"] == [
        {
            "currency": {"code": "EUR"},
            "accountCount": 3,
            "sum": sign + "2767011611056432.7421",
            "min": sign + MOST,
            "max": sign + MOST,
        }
    ]


# --- anything else that may be asked --------------------------------------------------------------------------------

SOME_TEXT = st.sampled_from((*TEXTS, *WILD, *NAMES, "EUR", "UTC", "d-1", "north", "Straße/eXt"))
SOME_AMOUNT = st.sampled_from((*AMOUNTS, *BOUNDS, "9.9999", "20", "5.5"))
SOME_MOMENT = st.integers(0, 20).map(lambda days: text(START + timedelta(days=days, microseconds=days * 2)))
TEXT_COMPARISON = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("eq", "notEq", "contains", "startsWith", "endsWith"), SOME_TEXT),
        **dict.fromkeys(("in", "notIn"), st.lists(SOME_TEXT, max_size=4)),
        "isNull": st.booleans(),
    },
)
AMOUNT_COMPARISON = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("eq", "notEq", "gt", "gte", "lt", "lte"), SOME_AMOUNT),
        **dict.fromkeys(("in", "notIn"), st.lists(SOME_AMOUNT, max_size=4)),
        "isNull": st.booleans(),
    },
)
PLAIN = {
    **dict.fromkeys(("name", "externalId", "businessUnit", "divisionCode", "currency", "timezone"), TEXT_COMPARISON),
    **dict.fromkeys(AMOUNT_KEYS, AMOUNT_COMPARISON),
    "thresholdState": st.lists(st.sampled_from(["NONE", "LOW", "HIGH"]), max_size=2),
    "createdAt": st.fixed_dictionaries({}, optional={"from": SOME_MOMENT, "before": SOME_MOMENT}),
}
ONE = st.sampled_from(sorted(PLAIN)).flatmap(lambda key: st.fixed_dictionaries({key: st.none() | PLAIN[key]}))
FILTERS: st.SearchStrategy[Row] = st.recursive(
    ONE,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"and": st.lists(inner, max_size=3)}),
        st.tuples(inner, inner).map(lambda both: {**both[0], **both[1]}),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filter=FILTERS, field=st.sampled_from(sorted(ACCOUNT_ORDERS)), down=st.booleans())
async def test_any_filter_and_order_select_what_the_model_selects(
    stocked_gateway: Gateway, stock: Stock, filter: Row, field: str, down: bool
) -> None:
    expected = selected(stock.accounts, filter, ACCOUNT_ORDERS[field], down=down)
    order = {"field": field, "direction": "DESC" if down else "ASC"}
    assert await listed(stocked_gateway, ACCOUNTS, filter=filter, orderBy=order) == expected
    await walk(stocked_gateway, ACCOUNTS, expected, 11, filter=filter, orderBy=order)
