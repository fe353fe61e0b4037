"""What is current, what was, and what is no moment or number at all."""

from typing import Any

import pytest

from tests.asking import Gateway

ADD = """mutation ($amount: Decimal!, $at: DateTime!, $currency: String!) {
  createBankAccountBalance(bankAccountId: "account_1",
    input: {amount: $amount, timestamp: $at, currency: {code: $currency}}) {
    balance { id account { balance currentBalance { id } } } userErrors { code path }
  }
}"""
REGISTER = """mutation ($input: BatchAccountBalancesInput!) {
  registerBatchAccountBalances(input: $input) { results { errorCode } }
}"""
CORRECT = """mutation ($input: CorrectAccountBalanceInput!) {
  correctAccountBalance(accountId: "account_1", input: $input) {
    balance { amount timestamp balanceType requester currency { code } } userErrors { code path }
  }
}"""


async def add(gateway: Gateway, amount: Any, at: str, currency: str = "EUR") -> Any:
    answer = await gateway.ask(ADD, amount=amount, at=at, currency=currency)
    return answer.sound()["createBankAccountBalance"]


async def test_current_is_the_latest_moment_and_of_equal_ones_the_last_recorded(filled: Gateway) -> None:
    told = [
        await add(filled, 1, "2026-01-02T00:00:00Z"),
        await add(filled, 2, "2026-01-01T00:00:00Z"),
        await add(filled, 3, "2026-01-02T01:00:00+01:00"),
        await add(filled, 4, "2026-02-01T00:00:00Z", "NOK"),
        await add(filled, 5, "2027-01-01T00:00:00Z"),
    ]
    states = [each["balance"]["account"] for each in told]
    assert [state["balance"] for state in states] == ["1", "1", "3", "3", "5"]
    assert [state["currentBalance"]["id"] for state in states] == [
        "balance_1",
        "balance_1",
        "balance_3",
        "balance_3",
        "balance_5",
    ]


async def test_as_of_is_strictly_before(filled: Gateway) -> None:
    await add(filled, 1, "2026-01-01T00:00:00Z")
    await add(filled, 2, "2026-01-01T00:00:00.000001Z")
    await add(filled, 9, "2026-01-01T00:00:00Z", "NOK")
    answer = await filled.ask(
        """{ account(id: "account_1") {
          none: balanceAsOf(before: "2026-01-01T00:00:00Z") { amount }
          first: balanceAsOf(before: "2026-01-01T00:00:00.000001Z") { amount }
          second: balanceAsOf(before: "2026-01-01T01:00:00.000002+01:00") { amount }
          other: balanceAsOf(before: "2026-06-01T00:00:00Z", currency: "NOK") { amount }
          typed: balanceAsOf(before: "2026-06-01T00:00:00Z", balanceType: "X") { amount }
        } }"""
    )
    assert answer.sound()["account"] == {
        "none": None,
        "first": {"amount": "1"},
        "second": {"amount": "2"},
        "other": {"amount": "9"},
        "typed": None,
    }


async def test_current_balances_are_the_latest_of_each_type_and_currency(filled: Gateway) -> None:
    item = {"accountExtId": "EXT-1", "requester": "r", "balanceAt": "2026-01-01T00:00:00Z"}
    items = [
        {**item, "communicationNumber": "1", "value": 1, "balanceType": "A"},
        {**item, "communicationNumber": "2", "value": 2, "balanceType": "B"},
        {**item, "communicationNumber": "3", "value": 3, "balanceType": "A", "balanceAt": "2026-01-02T00:00:00Z"},
        {**item, "communicationNumber": "4", "value": 4, "balanceType": "B", "balanceAt": "2025-01-02T00:00:00Z"},
    ]
    await filled.ask(REGISTER, input={"accountBalances": items})
    await add(filled, 5, "2024-01-01T00:00:00Z", "NOK")
    await add(filled, 6, "2024-01-01T00:00:00Z")
    answer = await filled.ask(
        '{ account(id: "account_1") { currentBalances { amount balanceType currency { code } } } }'
    )
    told = {
        (each["currency"]["code"], each["balanceType"]): each["amount"]
        for each in answer.sound()["account"]["currentBalances"]
    }
    assert told == {("EUR", "A"): "3", ("EUR", "B"): "2", ("EUR", None): "6", ("NOK", None): "5"}


async def test_a_series_has_calendar_days_of_its_zone(filled: Gateway) -> None:
    # Berlin's clocks go forward on 2026-03-29: that day has 23 hours.
    await add(filled, 10, "2026-03-28T12:00:00Z")
    await add(filled, 30, "2026-03-28T23:00:00Z")
    await add(filled, 20, "2026-03-29T21:59:59Z")
    answer = await filled.ask(
        """{ account(id: "account_1") {
          balanceSeries(
            from: "2026-03-28T10:00:00Z", before: "2026-03-31T00:00:00Z", interval: DAY, timezone: "Europe/Berlin"
          ) { start open low high close entryCount }
        } }"""
    )
    keys = ("start", "open", "low", "high", "close", "entryCount")
    told = [tuple(point[key] for key in keys) for point in answer.sound()["account"]["balanceSeries"]]
    assert told == [
        ("2026-03-27T23:00:00Z", None, "10", "10", "10", 1),
        ("2026-03-28T23:00:00Z", "10", "10", "30", "20", 2),
        ("2026-03-29T22:00:00Z", "20", "20", "20", "20", 0),
        ("2026-03-30T22:00:00Z", "20", "20", "20", "20", 0),
    ]


@pytest.mark.parametrize(
    ("interval", "starts"),
    [
        ("HOUR", ["2026-03-04T10:00:00Z", "2026-03-04T11:00:00Z"]),
        ("DAY", ["2026-03-04T00:00:00Z"]),
        ("WEEK", ["2026-03-02T00:00:00Z"]),
        ("MONTH", ["2026-03-01T00:00:00Z"]),
    ],
)
async def test_intervals_start_by_the_calendar(filled: Gateway, interval: str, starts: list[str]) -> None:
    query = """{ account(id: "account_1") { balanceSeries(from: "2026-03-04T10:30:00Z", before: "2026-03-04T11:30:00Z",
      interval: %s) { start close } } }"""
    answer = await filled.ask(query % interval)
    assert answer.sound()["account"]["balanceSeries"] == [{"start": start, "close": None} for start in starts]


async def test_a_series_of_too_many_points_is_refused_with_the_limit(filled: Gateway) -> None:
    query = """{ account(id: "account_1") { balanceSeries(from: "0001-01-02T00:00:00Z", before: "9999-12-31T00:00:00Z",
      interval: HOUR) { start } } }"""
    answer = await filled.ask(query)
    assert (answer.codes, answer.errors[0]["extensions"]["limit"]) == (["SERIES_TOO_LONG"], 2000)


async def test_corrections_follow_the_current_balance(filled: Gateway) -> None:
    first = (await filled.ask(CORRECT, input={"amount": "-2.5", "requester": "ops"})).sound()["correctAccountBalance"]
    assert first["balance"] == {
        "amount": "-2.5",
        "timestamp": "2026-03-01T12:00:00Z",
        "balanceType": None,
        "requester": "ops",
        "currency": {"code": "EUR"},
    }
    await add(filled, 10, "2026-05-01T00:00:00Z")
    later = (await filled.ask(CORRECT, input={"amount": "0.25"})).sound()["correctAccountBalance"]["balance"]
    assert (later["amount"], later["timestamp"]) == ("10.25", "2026-05-01T00:00:00Z")
    for body, code, key in (
        ({"amount": 1, "timestamp": "2026-04-01T00:00:00Z"}, "INVALID", "timestamp"),
        ({"amount": "922337203685477.5807"}, "OUT_OF_RANGE", "amount"),
        ({"amount": "0.00001"}, "OUT_OF_RANGE", "amount"),
        ({"amount": 1, "requester": "x" * 101}, "TOO_LONG", "requester"),
    ):
        refused = (await filled.ask(CORRECT, input=body)).sound()["correctAccountBalance"]
        assert refused == {"balance": None, "userErrors": [{"code": code, "path": ["input", key]}]}


@pytest.mark.parametrize(
    "amount",
    ["NaN", "Infinity", "1e2", "+5", " 1", "1_000", "１２", "", "0x10", "1.", ".5", "01", "9" * 61, True, [], {}],
)
async def test_what_is_no_plain_number_refuses_the_request(filled: Gateway, amount: Any) -> None:
    answer = await filled.ask(ADD, amount=amount, at="2026-01-01T00:00:00Z", currency="EUR")
    assert (answer.codes, answer.data) == (["BAD_REQUEST"], None)
    assert "$amount" in answer.errors[0]["message"]


@pytest.mark.parametrize(
    "at",
    [
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T24:00:00Z",
        "2026-01-01T23:59:60Z",
        "2026-01-01T00:00:00.1234567Z",
        "2026-02-29T00:00:00Z",
        "2026-W01",
        "20260101T000000Z",
        "2026-01-01T00:00:00+24:00",
        "0001-01-01T00:00:00+14:00",
        "now",
        1767225600,
    ],
)
async def test_what_is_no_moment_refuses_the_request(filled: Gateway, at: Any) -> None:
    answer = await filled.ask(ADD, amount=1, at=at, currency="EUR")
    assert (answer.codes, answer.data) == (["BAD_REQUEST"], None)


@pytest.mark.parametrize(
    ("written", "told"), [("-0.00", "0"), ("1.10", "1.1"), ("-3.2500", "-3.25"), ("100", "100"), ("1.00000000", "1")]
)
async def test_amounts_are_told_without_needless_zeros(filled: Gateway, written: str, told: str) -> None:
    assert (await add(filled, written, "2026-01-01T00:00:00Z"))["balance"]["account"]["balance"] == told


async def test_a_literal_number_keeps_the_digits_that_it_was_written_with(filled: Gateway) -> None:
    answer = await filled.ask(
        """mutation { createBankAccountBalance(bankAccountId: "account_1", input: {
          amount: 0.1000000000000000055511151231257827, timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}
        }) { userErrors { code path } } }"""
    )
    assert answer.sound()["createBankAccountBalance"]["userErrors"] == [
        {"code": "OUT_OF_RANGE", "path": ["input", "amount"]}
    ]


async def test_a_wrong_item_of_a_batch_refuses_the_whole_request_and_names_the_place(filled: Gateway) -> None:
    item = {
        "accountExtId": "EXT-1",
        "communicationNumber": "1",
        "requester": "r",
        "value": 1,
        "balanceAt": "2026-01-01T00:00:00Z",
    }
    answer = await filled.ask(REGISTER, input={"accountBalances": [item, {**item, "value": "x"}]})
    assert answer.codes == ["BAD_REQUEST"]
    assert ".accountBalances[1].value" in answer.errors[0]["message"]
    assert (await filled.ask("{ balances { totalCount } }")).sound() == {"balances": {"totalCount": 0}}


async def test_a_batch_above_the_limit_is_refused_with_the_limit(database_url: str) -> None:
    gateway = Gateway(database_url, batch_items=1)
    item = {
        "accountExtId": "E",
        "communicationNumber": "1",
        "requester": "r",
        "value": 1,
        "balanceAt": "2026-01-01T00:00:00Z",
    }
    answer = await gateway.ask(REGISTER, input={"accountBalances": [item, item]})
    assert (answer.codes, answer.errors[0]["extensions"]["limit"]) == (["BATCH_TOO_LARGE"], 1)
    none = await gateway.ask(REGISTER, input={"accountBalances": []})
    assert none.sound()["registerBatchAccountBalances"] == {"results": []}
    await gateway.store.close()


async def test_types_of_a_configured_list_alone_are_accepted(database_url: str) -> None:
    gateway = Gateway(database_url, balance_types=frozenset({"STATEMENT_BALANCE"}))
    item = {
        "accountExtId": "E",
        "communicationNumber": "1",
        "requester": "r",
        "value": 1,
        "balanceAt": "2026-01-01T00:00:00Z",
    }
    answer = await gateway.ask(REGISTER, input={"accountBalances": [{**item, "balanceType": "X"}, item]})
    assert [each["errorCode"] for each in answer.sound()["registerBatchAccountBalances"]["results"]] == ["G003", "G004"]
    await gateway.store.close()


async def test_a_literal_that_is_no_number_or_moment_is_told_with_its_place(filled: Gateway) -> None:
    answer = await filled.ask(
        'mutation { createBankAccountBalance(bankAccountId: "account_1",'
        '\n input: {amount: 1e400, currency: {code: "EUR"},'
        '\n timestamp: "2024-02-30T00:00:00Z"}) { userErrors { code } } }'
    )
    assert [error["locations"] for error in answer.errors] == [
        [{"line": 2, "column": 18}],
        [{"line": 3, "column": 13}],
    ]
