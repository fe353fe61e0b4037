"""Which entry is current, was current, and what a series shows; and which amounts and moments are any."""

import dataclasses
import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.asking import NOW, Answer, Gateway

MOST = "922337203685477.5807"
CREATE = """mutation ($id: ID!, $input: CreateBankAccountBalanceInput!) {
  createBankAccountBalance(bankAccountId: $id, input: $input) {
    balance { id amount timestamp } userErrors { code path }
  }
}"""
CORRECT = """mutation ($id: ID!, $input: CorrectAccountBalanceInput!) {
  correctAccountBalance(accountId: $id, input: $input) {
    balance { id amount timestamp currency { code } balanceType requester } userErrors { code path }
  }
}"""
REGISTER = """mutation ($items: [AccountBalanceInput!]!) {
  registerBatchAccountBalances(input: {accountBalances: $items}) {
    results { errorCode errorField errorDescription balance { id amount timestamp equivalentValue } }
  }
}"""
CURRENT = """{ account(id: "account_1") {
  balance currentBalance { id amount timestamp } currentBalances { amount balanceType currency { code } }
} }"""
AS_OF = """query ($before: DateTime!, $balanceType: String, $currency: String) { account(id: "account_1") {
  balanceAsOf(before: $before, balanceType: $balanceType, currency: $currency) { amount }
} }"""
SERIES = """query (
  $from: DateTime!, $before: DateTime!, $interval: SeriesInterval!, $currency: String, $timezone: String
) {
  account(id: "account_1") {
    series: balanceSeries(from: $from, before: $before, interval: $interval, currency: $currency, timezone: $timezone) {
      start open low high close entryCount
    }
  }
}"""


async def record(gateway: Gateway, amount: Any, timestamp: str, currency: str = "EUR") -> Any:
    """What creating an entry on the first account answers."""
    body = {"amount": amount, "timestamp": timestamp, "currency": {"code": currency}}
    return (await gateway.ask(CREATE, id="account_1", input=body)).sound()["createBankAccountBalance"]


async def recorded(gateway: Gateway, *entries: tuple[str, str]) -> None:
    for amount, timestamp in entries:
        assert (await record(gateway, amount, timestamp))["userErrors"] == []


async def register(gateway: Gateway, *changes: dict[str, Any]) -> list[Any]:
    """The results of a batch of good items, each with a number of its own and what is changed in it."""
    item = {"requester": "r", "accountExtId": "EXT-1", "value": 1, "balanceAt": "2026-01-01T00:00:00Z"}
    items = [{**item, "communicationNumber": f"n-{number}", **change} for number, change in enumerate(changes)]
    answer = await gateway.ask(REGISTER, items=items)
    results: list[Any] = answer.sound()["registerBatchAccountBalances"]["results"]
    return results


async def current(gateway: Gateway) -> Any:
    return (await gateway.ask(CURRENT)).sound()["account"]


# --- current ------------------------------------------------------------------------------------------------------


async def test_an_account_without_an_entry_has_a_balance_of_0_and_no_current_one(filled: Gateway) -> None:
    assert await current(filled) == {"balance": "0", "currentBalance": None, "currentBalances": []}


async def test_a_late_entry_never_becomes_current(filled: Gateway) -> None:
    await recorded(
        filled, ("3", "2026-01-03T00:00:00Z"), ("1", "2026-01-01T00:00:00Z"), ("2", "2026-01-02T23:59:59.999999Z")
    )
    account = await current(filled)
    assert account["balance"] == "3"
    assert account["currentBalance"] == {"id": "balance_1", "amount": "3", "timestamp": "2026-01-03T00:00:00Z"}


async def test_the_last_recorded_wins_on_equal_moments(filled: Gateway) -> None:
    await recorded(
        filled, ("1", "2026-01-03T00:00:00Z"), ("3", "2026-01-03T02:00:00+02:00"), ("2", "2026-01-02T19:00:00-05:00")
    )
    account = await current(filled)
    assert (account["balance"], account["currentBalance"]["id"]) == ("2", "balance_3")


async def test_the_last_in_input_wins_on_equal_moments_of_one_batch(filled: Gateway) -> None:
    await register(filled, {"value": 5}, {"value": 9}, {"value": 7}, {"value": 8, "balanceAt": "2025-12-31T23:59:59Z"})
    assert (await current(filled))["balance"] == "7"


async def test_an_entry_in_another_currency_is_never_current(filled: Gateway) -> None:
    await recorded(filled, ("3", "2026-01-03T00:00:00Z"))
    assert (await record(filled, 99, "2026-01-09T00:00:00Z", "NOK"))["userErrors"] == []
    account = await current(filled)
    assert account["balance"] == "3"
    assert sorted(account["currentBalances"], key=lambda entry: str(entry["currency"])) == [
        {"amount": "3", "balanceType": None, "currency": {"code": "EUR"}},
        {"amount": "99", "balanceType": None, "currency": {"code": "NOK"}},
    ]


async def test_entries_in_another_currency_alone_leave_a_balance_of_0(filled: Gateway) -> None:
    await record(filled, 99, "2026-01-09T00:00:00Z", "NOK")
    account = await current(filled)
    assert (account["balance"], account["currentBalance"], len(account["currentBalances"])) == ("0", None, 1)


async def test_a_balance_in_the_future_is_current(filled: Gateway) -> None:
    await recorded(filled, ("3", "2036-01-03T00:00:00Z"), ("1", "2026-01-01T00:00:00Z"))
    assert (await current(filled))["balance"] == "3"


async def test_there_is_a_current_balance_for_each_type_and_the_latest_of_all_is_current(filled: Gateway) -> None:
    await register(
        filled,
        {"balanceType": "A", "value": 1, "balanceAt": "2026-01-04T00:00:00Z"},
        {"balanceType": "A", "value": 2, "balanceAt": "2026-01-03T00:00:00Z"},
        {"balanceType": "a", "value": 3, "balanceAt": "2026-01-02T00:00:00Z"},
        {"balanceType": "a", "value": 4, "balanceAt": "2026-01-02T00:00:00Z"},
        {"value": 5, "balanceAt": "2026-01-01T00:00:00Z"},
    )
    account = await current(filled)
    assert account["balance"] == "1"
    found = {entry["balanceType"]: entry["amount"] for entry in account["currentBalances"]}
    assert (len(account["currentBalances"]), found) == (3, {"A": "1", "a": "4", None: "5"})


async def test_adding_a_balance_does_not_touch_the_accounts_updatedat(filled: Gateway) -> None:
    document = '{ account(id: "account_1") { updatedAt } }'
    before = (await filled.ask(document)).sound()
    filled.now = NOW + timedelta(days=1)
    await recorded(filled, ("3", "2026-01-03T00:00:00Z"))
    await register(filled, {})
    (await filled.ask(CORRECT, id="account_1", input={"amount": 1})).sound()
    assert (await filled.ask(document)).sound() == before


# --- as of --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "amount"),
    [
        ("2026-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00.000001Z", "1"),
        ("2026-01-02T00:00:00Z", "1"),
        ("2026-01-02T00:00:00.000001Z", "3"),
        ("2026-01-02T05:30:00.000001+05:30", "3"),
        ("2026-01-02T05:30:00+05:30", "1"),
        ("2026-01-04T00:00:00Z", "3"),
        ("9999-12-31T23:59:59.999999Z", "4"),
        ("0001-01-01T00:00:00Z", None),
    ],
)
async def test_the_balance_as_of_an_instant_is_the_last_strictly_before(
    filled: Gateway, before: str, amount: str | None
) -> None:
    entries = [("4", 4), ("1", 1), ("2", 2), ("3", 2)]
    await recorded(filled, *((amount, f"2026-01-0{day}T00:00:00Z") for amount, day in entries))
    await record(filled, 99, "2025-01-01T00:00:00Z", "NOK")
    found = (await filled.ask(AS_OF, before=before)).sound()["account"]["balanceAsOf"]
    assert found == (None if amount is None else {"amount": amount})


async def test_the_balance_as_of_an_instant_is_asked_by_type_and_currency(filled: Gateway) -> None:
    await register(filled, {"balanceType": "A", "value": 1}, {"value": 2, "balanceAt": "2026-01-02T00:00:00Z"})
    await record(filled, 99, "2026-01-03T00:00:00Z", "NOK")

    async def find(**more: str) -> Any:
        found = await filled.ask(AS_OF, before="2026-02-01T00:00:00Z", **more)
        return (found.sound()["account"]["balanceAsOf"] or {}).get("amount")

    assert await find() == "2"
    assert await find(balanceType="A") == "1"
    assert await find(balanceType="a") is None
    assert await find(currency="NOK") == "99"
    assert await find(currency="SEK") is None
    assert await find(currency="NOK", balanceType="A") is None


# --- series -------------------------------------------------------------------------------------------------------


def local(zone: str, *parts: int, fold: int = 0) -> datetime:
    """An instant in UTC, of a local time."""
    return datetime(*parts, tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)  # type: ignore[arg-type,misc] # parts are integers


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def series_of(starts: list[datetime], entries: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """The points between each two starts, of entries in order of recording."""
    held = sorted((datetime.fromisoformat(moment), number, amount) for number, (amount, moment) in enumerate(entries))
    points = []
    for start, end in itertools.pairwise(starts):
        known = [amount for moment, _, amount in held if moment < start]
        inside = [amount for moment, _, amount in held if start <= moment < end]
        seen = known[-1:] + inside
        points.append(
            {
                "start": text(start),
                "open": known[-1] if known else None,
                "low": min(seen, key=Decimal) if seen else None,
                "high": max(seen, key=Decimal) if seen else None,
                "close": seen[-1] if seen else None,
                "entryCount": len(inside),
            }
        )
    return points


async def series(gateway: Gateway, first: str, before: str, interval: str, timezone: str | None = None) -> Any:
    answer = await gateway.ask(SERIES, **{"from": first}, before=before, interval=interval, timezone=timezone)
    return answer.sound()["account"]["series"]


async def test_a_series_opens_goes_low_and_high_and_closes(filled: Gateway) -> None:
    entries = [
        ("10", "2026-01-02T08:00:00Z"),
        ("-5", "2026-01-02T09:00:00Z"),
        ("30", "2026-01-02T07:00:00Z"),
        ("7", "2026-01-04T00:00:00Z"),
        ("8", "2026-01-04T00:00:00Z"),
        ("0.0001", "2026-01-04T23:59:59.999999Z"),
        ("9", "2026-01-05T00:00:00Z"),
    ]
    await recorded(filled, *entries)
    await record(filled, 1000, "2026-01-03T00:00:00Z", "NOK")
    found = await series(filled, "2026-01-01T00:00:00Z", "2026-01-07T00:00:00Z", "DAY")
    assert found == series_of([datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 8)], entries)
    assert found[0] == {
        **dict.fromkeys(("open", "low", "high", "close")),
        "start": "2026-01-01T00:00:00Z",
        "entryCount": 0,
    }
    assert [found[3][key] for key in ("open", "low", "high", "close", "entryCount")] == ["-5", "-5", "8", "0.0001", 3]


@pytest.mark.parametrize(("first", "before"), [("06:00:00", "01"), ("00:00:00", "01"), ("23:59:59.999999", "01")])
async def test_a_series_starts_at_or_before_from(filled: Gateway, first: str, before: str) -> None:
    entries = [("1", "2026-01-02T00:00:00Z"), ("2", "2026-01-02T12:00:00Z")]
    await recorded(filled, *entries)
    found = await series(filled, f"2026-01-02T{first}Z", f"2026-01-03T00:00:00.0000{before}Z", "DAY")
    assert [point["start"] for point in found] == ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]
    assert (found[0]["open"], found[0]["close"], found[0]["entryCount"]) == (None, "2", 2)


CALENDARS = [
    # A day of 23 and a day of 25 hours.
    ("DAY", "Europe/Berlin", [local("Europe/Berlin", 2026, 3, day) for day in (28, 29, 30, 31)]),
    ("DAY", "Europe/Berlin", [local("Europe/Berlin", 2025, 10, day) for day in (25, 26, 27, 28)]),
    # A day that starts in a gap, and one whose midnight comes twice.
    (
        "DAY",
        "Africa/Cairo",
        [
            datetime(2026, 4, 22, 22, tzinfo=UTC),
            datetime(2026, 4, 23, 22, tzinfo=UTC),
            datetime(2026, 4, 24, 21, tzinfo=UTC),
        ],
    ),
    (
        "DAY",
        "America/Havana",
        [
            datetime(2024, 11, 2, 4, tzinfo=UTC),
            datetime(2024, 11, 3, 4, tzinfo=UTC),
            datetime(2024, 11, 4, 5, tzinfo=UTC),
        ],
    ),
    ("HOUR", "Europe/Berlin", [datetime(2025, 10, 25, 22, tzinfo=UTC) + timedelta(hours=hour) for hour in range(26)]),
    ("HOUR", "Europe/Berlin", [datetime(2026, 3, 28, 23, tzinfo=UTC) + timedelta(hours=hour) for hour in range(24)]),
    ("HOUR", "Asia/Kathmandu", [datetime(2026, 1, 1, 0, 15, tzinfo=UTC) + timedelta(hours=hour) for hour in range(4)]),
    ("WEEK", "UTC", [datetime(2026, 3, 2, tzinfo=UTC) + timedelta(weeks=week) for week in range(4)]),
    (
        "WEEK",
        "Europe/Berlin",
        [local("Europe/Berlin", 2026, *day) for day in ((3, 16), (3, 23), (3, 30), (4, 6))],
    ),
    (
        "MONTH",
        "America/New_York",
        [
            local("America/New_York", *day)
            for day in ((2025, 12, 1), (2026, 1, 1), (2026, 2, 1), (2026, 3, 1), (2026, 4, 1))
        ],
    ),
]


@pytest.mark.parametrize(("interval", "zone", "starts"), CALENDARS)
async def test_intervals_are_those_of_the_zones_calendar(
    filled: Gateway, interval: str, zone: str, starts: list[datetime]
) -> None:
    tick = timedelta(microseconds=1)
    moments = [starts[0] - tick, starts[1] - tick, starts[1], starts[-1] - tick, starts[-2], starts[-1]]
    entries = [(str(number - 2), text(moment)) for number, moment in enumerate(moments)]
    await recorded(filled, *entries)
    expected = series_of(starts, entries)
    assert await series(filled, text(starts[0]), text(starts[-1]), interval, zone) == expected
    # Anywhere in the first interval, and up to anywhere in the last, are the same intervals.
    started = await series(filled, text(starts[1] - tick), text(starts[-2] + tick), interval, zone)
    assert [point["start"] for point in started] == [point["start"] for point in expected]
    assert started[:-1] == expected[:-1]


async def test_a_series_is_in_the_accounts_zone_by_default(filled: Gateway) -> None:
    changed = await filled.ask(
        'mutation { updateAccount(id: "account_1", input: {timezone: "Asia/Kathmandu"}) { userErrors { code } } }'
    )
    assert changed.sound()["updateAccount"]["userErrors"] == []
    found = await series(filled, "2026-01-01T00:00:00Z", "2026-01-01T18:16:00Z", "DAY")
    assert [point["start"] for point in found] == ["2025-12-31T18:15:00Z", "2026-01-01T18:15:00Z"]


async def test_a_series_is_in_another_currency_where_one_is_named(filled: Gateway) -> None:
    await recorded(filled, ("1", "2026-01-01T01:00:00Z"))
    await record(filled, 99, "2026-01-01T02:00:00Z", "NOK")
    span = {"from": "2026-01-01T00:00:00Z", "before": "2026-01-02T00:00:00Z", "interval": "DAY"}
    found = (await filled.ask(SERIES, **span, currency="NOK")).sound()["account"]["series"]
    assert [(point["close"], point["entryCount"]) for point in found] == [("99", 1)]


async def test_a_series_of_nothing_has_no_points(filled: Gateway) -> None:
    moment = "2026-01-01T00:00:00Z"
    assert await series(filled, moment, moment, "DAY") == []


@pytest.mark.parametrize(
    ("first", "before", "interval"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00.000001Z", "HOUR"),
        ("2026-01-01T00:00:00Z", "2028-01-01T00:00:00.000001Z", "MONTH"),
        ("0001-01-01T00:00:00Z", "9000-01-01T00:00:00Z", "HOUR"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "MONTH"),
    ],
)
async def test_a_series_that_is_too_long_is_refused_with_the_limit(
    filled: Gateway, first: str, before: str, interval: str
) -> None:
    filled.limits = dataclasses.replace(filled.limits, series_points=24)
    assert len(await series(filled, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "HOUR")) == 24
    assert len(await series(filled, "2026-01-01T00:00:00Z", "2028-01-01T00:00:00Z", "MONTH")) == 24
    answer = await filled.ask(SERIES, **{"from": first}, before=before, interval=interval)
    assert answer.codes == ["SERIES_TOO_LONG"]
    assert answer.errors[0]["extensions"]["limit"] == 24
    assert answer.data == {"account": {"series": None}}


@pytest.mark.parametrize(
    "zone", ["Europe/Nowhere", "", "europe/berlin", "../etc/passwd", "/etc/localtime", "CEST", "+02:00"]
)
async def test_a_series_in_no_zone_is_refused(filled: Gateway, zone: str) -> None:
    span = {"from": "2026-01-01T00:00:00Z", "before": "2026-01-02T00:00:00Z", "interval": "DAY"}
    answer = await filled.ask(SERIES, **span, timezone=zone)
    assert (answer.codes, answer.data) == (["BAD_REQUEST"], {"account": {"series": None}})


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("interval", ["HOUR", "DAY", "WEEK", "MONTH"])
async def test_a_series_at_either_end_of_time_is_never_an_internal_error(
    filled: Gateway, interval: str, zone: str
) -> None:
    for first, before in (
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
        ("9999-12-31T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ):
        answer = await filled.ask(SERIES, **{"from": first}, before=before, interval=interval, timezone=zone)
        assert answer.codes in ([], ["BAD_REQUEST"])


# --- corrections --------------------------------------------------------------------------------------------------


async def correct(gateway: Gateway, **body: Any) -> Any:
    return (await gateway.ask(CORRECT, id="account_1", input=body)).sound()["correctAccountBalance"]


async def test_a_correction_starts_from_0_and_holds_now(filled: Gateway) -> None:
    assert await correct(filled, amount="-2.50", requester="ops") == {
        "balance": {
            "id": "balance_1",
            "amount": "-2.5",
            "timestamp": "2026-03-01T12:00:00Z",
            "currency": {"code": "EUR"},
            "balanceType": None,
            "requester": "ops",
        },
        "userErrors": [],
    }


async def test_a_correction_is_added_to_the_current_balance_in_the_accounts_currency(filled: Gateway) -> None:
    await record(filled, 99, "2026-02-01T00:00:00Z", "NOK")
    await register(filled, {"value": "0.1", "balanceType": "DAILY"})
    made = await correct(filled, amount="0.2")
    assert (made["balance"]["amount"], made["balance"]["balanceType"]) == ("0.3", None)
    assert (await correct(filled, amount="-0.3"))["balance"]["amount"] == "0"
    assert (await current(filled))["balance"] == "0"


async def test_a_correction_of_a_balance_in_the_future_holds_at_its_moment(filled: Gateway) -> None:
    await recorded(filled, ("5", "2027-01-01T00:00:00Z"))
    made = await correct(filled, amount=1)
    assert (made["balance"]["amount"], made["balance"]["timestamp"]) == ("6", "2027-01-01T00:00:00Z")
    assert (await current(filled))["balance"] == "6"


@pytest.mark.parametrize(
    ("timestamp", "error"),
    [
        ("2026-01-01T00:00:00Z", None),
        ("2026-01-01T00:00:00.000001Z", None),
        ("2025-12-31T23:59:59.999999Z", {"code": "INVALID", "path": ["input", "timestamp"]}),
        ("2099-01-01T00:00:00Z", {"code": "OUT_OF_RANGE", "path": ["input", "timestamp"]}),
    ],
)
async def test_a_correction_holds_no_earlier_than_the_current_balance(
    filled: Gateway, timestamp: str, error: Any
) -> None:
    await recorded(filled, ("5", "2026-01-01T00:00:00Z"))
    made = await correct(filled, amount=1, timestamp=timestamp)
    assert made["userErrors"] == ([error] if error else [])
    assert (await current(filled))["balance"] == ("5" if error else "6")


@pytest.mark.parametrize(("base", "amount"), [(MOST, "0.0001"), ("-" + MOST, "-0.0001"), (MOST, MOST)])
async def test_a_correction_out_of_bounds_is_refused(filled: Gateway, base: str, amount: str) -> None:
    await recorded(filled, (base, "2026-01-01T00:00:00Z"))
    made = await correct(filled, amount=amount)
    assert made == {"balance": None, "userErrors": [{"code": "OUT_OF_RANGE", "path": ["input", "amount"]}]}


async def test_a_correction_from_one_bound_to_the_other_is_exact(filled: Gateway) -> None:
    await recorded(filled, ("-" + MOST, "2026-01-01T00:00:00Z"))
    assert (await correct(filled, amount=MOST))["balance"]["amount"] == "0"
    assert (await correct(filled, amount=MOST))["balance"]["amount"] == MOST


@pytest.mark.parametrize(
    "amount", ["0.00001", "922337203685477.5808", "-922337203685477.5808", "0.1000000000000000055"]
)
async def test_an_amount_that_can_not_be_stored_is_no_correction(filled: Gateway, amount: str) -> None:
    made = await correct(filled, amount=amount)
    assert made == {"balance": None, "userErrors": [{"code": "OUT_OF_RANGE", "path": ["input", "amount"]}]}


@pytest.mark.parametrize("id", ["account_2", "balance_1", "", "nonsense"])
async def test_an_account_that_is_none_is_not_corrected(filled: Gateway, id: str) -> None:
    made = (await filled.ask(CORRECT, id=id, input={"amount": 1})).sound()["correctAccountBalance"]
    assert made == {"balance": None, "userErrors": [{"code": "NOT_FOUND", "path": ["accountId"]}]}


# --- amounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("-0", "0"),
        ("-0.0000", "0"),
        ("0.00", "0"),
        ("1.10", "1.1"),
        ("1100", "1100"),
        ("100000.5665", "100000.5665"),
        ("-3.2500000", "-3.25"),
        ("0.5", "0.5"),
        ("0.0001", "0.0001"),
        ("0.00010000000000000000000000000000", "0.0001"),
        (MOST, MOST),
        ("-" + MOST, "-" + MOST),
        ("9007199254740993.0", None),
        ("90071992547409.93", "90071992547409.93"),
        ("11111111111.00", "11111111111"),
        ("0.1", "0.1"),
    ],
)
async def test_amounts_are_exact_however_they_are_written(filled: Gateway, written: str, read: str | None) -> None:
    rest = '"timestamp": "2026-01-01T00:00:00Z", "currency": {"code": "EUR"}'
    literal = 'timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}'
    answers = [
        await filled.ask_json(CREATE, f'{{"id": "account_1", "input": {{"amount": {amount}, {rest}}}}}')
        for amount in (written, f'"{written}"')
    ]
    for amount in (written, f'"{written}"'):
        document = f"""mutation {{ createBankAccountBalance(bankAccountId: "account_1", input: {{
          amount: {amount}, {literal}
        }}) {{ balance {{ id amount timestamp }} userErrors {{ code path }} }} }}"""
        answers.append(await filled.ask(document))
    for answer in answers:
        made = answer.sound()["createBankAccountBalance"]
        if read is None:
            assert made == {"balance": None, "userErrors": [{"code": "OUT_OF_RANGE", "path": ["input", "amount"]}]}
        else:
            assert made["balance"]["amount"] == read


PRECISE = ["0.1000000000000000055", "0.00001", "1.00009", "922337203685477.58070001", "0." + "0" * 50 + "1", "9" * 60]


@pytest.mark.parametrize("amount", PRECISE)
async def test_an_amount_is_refused_rather_than_rounded(filled: Gateway, amount: str) -> None:
    refused = {"balance": None, "userErrors": [{"code": "OUT_OF_RANGE", "path": ["input", "amount"]}]}
    rest = '"timestamp": "2026-01-01T00:00:00Z", "currency": {"code": "EUR"}'
    number = await filled.ask_json(CREATE, f'{{"id": "account_1", "input": {{"amount": {amount}, {rest}}}}}')
    assert number.sound()["createBankAccountBalance"] == refused
    literal = await filled.ask(
        f"""mutation {{ createBankAccountBalance(bankAccountId: "account_1", input: {{
          amount: {amount}, timestamp: "2026-01-01T00:00:00Z", currency: {{code: "EUR"}}
        }}) {{ balance {{ id }} userErrors {{ code path }} }} }}"""
    )
    assert literal.sound()["createBankAccountBalance"] == refused
    item = await filled.ask(
        f"""mutation {{ updateAccountBalance(input: {{
          accountExtId: "EXT-1", communicationNumber: "n", requester: "r"
          value: {amount}, balanceAt: "2026-01-01T00:00:00Z"
        }}) {{ errorCode errorField }} }}"""
    )
    assert item.sound()["updateAccountBalance"] == {"errorCode": "G002", "errorField": "value"}
    assert (await current(filled))["currentBalance"] is None


@pytest.mark.parametrize(
    ("change", "field", "description"),
    [
        ({"value": "0.00001"}, "value", "value must have at most 4 decimal places"),
        ({"value": "922337203685477.5808"}, "value", "value is out of range"),
        ({"equivalentValue": "-0.00001"}, "equivalentValue", "equivalentValue must have at most 4 decimal places"),
        ({"equivalentValue": "-922337203685477.5808"}, "equivalentValue", "equivalentValue is out of range"),
    ],
)
async def test_an_items_amount_is_refused_in_its_result(
    filled: Gateway, change: dict[str, str], field: str, description: str
) -> None:
    refused, accepted = await register(filled, change, {"equivalentValue": "-0.00"})
    assert refused == {"errorCode": "G002", "errorField": field, "errorDescription": description, "balance": None}
    assert accepted["balance"]["equivalentValue"] == "0"


NO_AMOUNTS: list[Any] = [
    *(
        "NaN",
        "-NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "inf",
        "1e2",
        "1E2",
        "1E+999999999",
        "1e-3",
        "0x10",
        "1,0",
        "",
        " ",
    ),
    *(
        " 1",
        "1 ",
        "+5",
        "1_000",
        ".5",
        "5.",
        "01",
        "-01",
        "00",
        "-",
        "--1",
        "1.2.3",
        "\uff11\uff12",
        "\u0663",
        "1\n",
        "1" * 61,
    ),
    *("0." + "0" * 59, True, [], {}, ["1", "2"]),
]


def refused(answer: Answer, variable: str, way: str) -> bool:
    """The request did not run, and what it is told names the variable, and the way to what is wrong in it."""
    assert "data" not in answer.body
    message = answer.errors[0]["message"]
    return answer.codes == ["BAD_REQUEST"] and f"'${variable}'" in message and f" {way}:" in message


@pytest.mark.parametrize("amount", NO_AMOUNTS, ids=lambda amount: repr(amount)[:20])
async def test_what_is_no_amount_refuses_the_request(filled: Gateway, amount: Any) -> None:
    body = {"amount": amount, "timestamp": "2026-01-01T00:00:00Z", "currency": {"code": "EUR"}}
    answer = await filled.ask(CREATE, id="account_1", input=body)
    assert refused(answer, "input", ".amount"), answer.errors
    item = {"requester": "r", "accountExtId": "EXT-1", "balanceAt": "2026-01-01T00:00:00Z", "communicationNumber": "n"}
    batch = await filled.ask(REGISTER, items=[{**item, "value": 1}, {**item, "value": amount}])
    assert refused(batch, "items", "[1].value"), batch.errors
    assert (await current(filled))["currentBalance"] is None


@pytest.mark.parametrize(
    "literal", ["1e2", "1.5E3", '"1e2"', '"NaN"', "NaN", "true", "[]", "{}", '""', "1" * 61, '" 1"']
)
async def test_a_literal_that_is_no_amount_refuses_the_request(filled: Gateway, literal: str) -> None:
    answer = await filled.ask(
        f"""mutation {{ createBankAccountBalance(bankAccountId: "account_1", input: {{
          amount: {literal}, timestamp: "2026-01-01T00:00:00Z", currency: {{code: "EUR"}}
        }}) {{ balance {{ id }} }} }}"""
    )
    assert answer.data is None
    assert set(answer.codes) <= {"BAD_REQUEST", "GRAPHQL_VALIDATION_FAILED"}
    assert answer.codes


# --- moments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2024-06-01T12:00:00.000Z", "2024-06-01T12:00:00Z"),
        ("2024-06-01T12:00:00.120Z", "2024-06-01T12:00:00.12Z"),
        ("2024-06-01T12:00:00.000001Z", "2024-06-01T12:00:00.000001Z"),
        ("2024-06-01T12:00:00.1Z", "2024-06-01T12:00:00.1Z"),
        ("2024-06-01T12:00:00+02:00", "2024-06-01T10:00:00Z"),
        ("2024-06-01T12:00:00-00:00", "2024-06-01T12:00:00Z"),
        ("2024-06-01T12:00:00+14:00", "2024-05-31T22:00:00Z"),
        ("2024-06-01T12:00:00-05:45", "2024-06-01T17:45:00Z"),
        ("2024-06-01t12:00:00z", "2024-06-01T12:00:00Z"),
        ("2024-02-29T23:59:59.999999Z", "2024-02-29T23:59:59.999999Z"),
        ("1826-01-01T00:00:00Z", "1826-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
async def test_a_moment_comes_back_in_utc_with_no_more_digits_than_there_are(
    filled: Gateway, written: str, read: str
) -> None:
    made = await record(filled, 1, written)
    assert made["userErrors"] == []
    assert made["balance"]["timestamp"] == read
    assert (await current(filled))["currentBalance"]["timestamp"] == read


NO_MOMENTS: list[Any] = [
    *("2026-01-01T00:00:00", "2026-01-01", "2026", "20260101T000000Z", "2026-W01", "now", "", "2026-01-01T00:00Z"),
    *("2026-01-01T00:00:00.0000001Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00,5Z", "2026-01-01T24:00:00Z"),
    *(
        "2026-06-30T23:59:60Z",
        "2026-01-01T23:60:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-1-1T00:00:00Z",
    ),
    *("2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+0200", "2026-01-01T00:00:00+02", "2026-01-01T00:00:00+02:60"),
    *("2026-01-01T00:00:00 Z", " 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n", "10000-01-01T00:00:00Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00Z", "\uff12026-01-01T00:00:00Z"),
    *("2026-01-01T00:00:00+02:00[Europe/Berlin]", "2026-01-01T00:00:00CET", "2026-01-01T00:00:00+02:00:30"),
    *(1767225600, 1.5, True, [], {}),
]


@pytest.mark.parametrize("moment", NO_MOMENTS, ids=repr)
async def test_what_is_no_moment_refuses_the_request(filled: Gateway, moment: Any) -> None:
    body = {"amount": 1, "timestamp": moment, "currency": {"code": "EUR"}}
    answer = await filled.ask(CREATE, id="account_1", input=body)
    assert refused(answer, "input", ".timestamp"), answer.errors
    item = {"requester": "r", "accountExtId": "EXT-1", "value": 1, "communicationNumber": "n"}
    batch = await filled.ask(REGISTER, items=[{**item, "updateAt": moment}])
    assert refused(batch, "items", "[0].updateAt"), batch.errors
    literal = await filled.ask(
        f"""{{ account(id: "account_1") {{ balanceAsOf(before: {_literal(moment)}) {{ id }} }} }}"""
    )
    assert literal.data is None
    assert set(literal.codes) <= {"BAD_REQUEST", "GRAPHQL_VALIDATION_FAILED"}
    assert literal.codes
    assert (await current(filled))["currentBalance"] is None


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\n", "\\n") + '"'
    return str(value).lower()


async def test_the_last_moment_that_may_be_reported_is_3660_days_ahead(filled: Gateway) -> None:
    last = NOW + timedelta(days=3660)
    beyond = last + timedelta(microseconds=1)
    assert (await record(filled, 1, text(last)))["userErrors"] == []
    refusal = {"balance": None, "userErrors": [{"code": "OUT_OF_RANGE", "path": ["input", "timestamp"]}]}
    assert await record(filled, 2, text(beyond)) == refusal
    assert await record(filled, 2, "9999-12-31T23:59:59.999999Z") == refusal
    accepted, item, older = await register(
        filled, {"balanceAt": text(last)}, {"balanceAt": text(beyond)}, {"balanceAt": None, "updateAt": text(beyond)}
    )
    assert accepted["errorCode"] is None
    for result, field in ((item, "balanceAt"), (older, "updateAt")):
        assert (result["errorCode"], result["errorField"]) == ("G005", field)
        assert result["errorDescription"] == f"{field} is too far in the future"


@pytest.mark.parametrize("code", ["nok", "Eur", "EUR ", "", "€", "XYZ", "EU", "EURO", "978", "DEM", "\uff25UR"])
async def test_a_currency_is_refused_rather_than_repaired(filled: Gateway, code: str) -> None:
    made = await record(filled, 1, "2026-01-01T00:00:00Z", code)
    assert made["balance"] is None
    assert [error["path"] for error in made["userErrors"]] == [["input", "currency", "code"]]
    assert made["userErrors"][0]["code"] in ("INVALID", "REQUIRED")


@pytest.mark.parametrize("code", ["JPY", "KWD", "EUR"])
async def test_a_currencys_minor_units_do_not_limit_amounts(filled: Gateway, code: str) -> None:
    assert (await record(filled, "1.2345", "2026-01-01T00:00:00Z", code))["balance"]["amount"] == "1.2345"
