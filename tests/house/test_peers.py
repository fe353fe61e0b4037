"""The data and questions by which other servers are measured beside the gateway: it answers them, with those values."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.asking import Gateway
from tests.benchmarks.peers import CURRENCIES, TYPES, UNITS, ZONES, Sizes, bodies, load

SIZES = Sizes(accounts=500)
PLACES = {"__ID__": "321", "__EXT__": "EXT-00000321", "__WID__": "100005", "__BLK__": "07", "__UNIQ__": "check"}


async def _asked(gateway: Gateway, name: str) -> Any:
    written = json.dumps(bodies()[name])
    for place, given in PLACES.items():
        written = written.replace(place, given)
    body = json.loads(written)
    return (await gateway.ask_json(body["query"], json.dumps(body["variables"]))).sound()


def _balance(account: int, place: int) -> dict[str, Any]:
    """An entry as the formulas have it; the last of an account is its hundredth."""
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=place, seconds=account % 3600)
    amount = Decimal((account * 7919 + place * 104729) % 100_000_000) / 10_000
    return {
        "amount": f"{amount.normalize():f}",
        "currency": {"code": CURRENCIES[account % 5]},
        "timestamp": at.isoformat().replace("+00:00", "Z"),
        "balanceType": TYPES[place % 3],
    }


def _account(number: int) -> dict[str, Any]:
    return {
        "id": f"account_{number}",
        "externalId": f"EXT-{number:08}",
        "name": f"Account number {number}",
        "businessUnit": UNITS[number % 4],
        "currency": {"code": CURRENCIES[number % 5]},
        "timezone": ZONES[number % 4],
    }


async def test_the_gateway_answers_what_the_formulas_say(database_url: str) -> None:
    assert await load(database_url, SIZES)
    gateway = Gateway(database_url)
    point = (await _asked(gateway, "W1"))["accountByIdentifier"]
    assert point == {**_account(321), "currentBalance": _balance(321, 100)}

    page = (await _asked(gateway, "W2"))["accounts"]["nodes"]
    assert page == [
        {name: _account(number)[name] for name in ("id", "externalId", "name")}
        | {"balances": {"nodes": [_balance(number, place) for place in range(100, 90, -1)]}}
        for number in range(1, 51)
    ]

    big = await _asked(gateway, "W3")
    assert big["account"]["balances"]["nodes"] == [_balance(321, place) for place in range(100, 0, -1)]
    assert big["accounts"]["nodes"] == [
        _account(number) | {"minBalance": str(number % 1000), "maxBalance": str(1_000_000 + number % 1000)}
        for number in range(1, 501)
    ]
    await gateway.store.close()


async def test_the_gateway_stores_what_it_is_asked_to(database_url: str) -> None:
    assert await load(database_url, SIZES)
    gateway = Gateway(database_url)
    one = (await _asked(gateway, "W4"))["createBankAccountBalance"]["balance"]
    assert one == {"amount": "1007.0007", "currency": {"code": "EUR"}, "timestamp": "2026-01-08T07:00:00Z"}

    results = (await _asked(gateway, "W5"))["registerBatchAccountBalances"]["results"]
    assert Counter(result["errorCode"] for result in results) == {None: 900, "O005": 100}

    stored = (await gateway.ask("{ balances(first: 0) { totalCount } events(first: 0) { totalCount } }")).sound()
    assert stored == {"balances": {"totalCount": 50_901}, "events": {"totalCount": 901}}
    # What the data says of itself holds: an account stands where its last entry put it.
    state = "{ accounts(first: 3) { nodes { balance thresholdState currentBalances { balanceType amount } } } }"
    for number, account in enumerate((await gateway.ask(state)).sound()["accounts"]["nodes"], start=1):
        latest = [_balance(number, place) for place in (98, 99, 100)]
        amounts = {balance["balanceType"]: balance["amount"] for balance in latest}
        assert account["balance"] == latest[-1]["amount"]
        assert account["thresholdState"] == "NONE"
        assert {each["balanceType"]: each["amount"] for each in account["currentBalances"]} == amounts
    await gateway.store.close()


async def test_a_database_that_holds_something_is_left_alone(database_url: str) -> None:
    gateway = Gateway(database_url)
    (
        await gateway.ask('mutation { createContractor(input: {name: "C", isVendor: true}) { contractor { id } } }')
    ).sound()
    assert not await load(database_url, SIZES)
    assert (await gateway.ask("{ accounts(first: 0) { totalCount } }")).sound() == {"accounts": {"totalCount": 0}}
    await gateway.store.close()


async def test_loading_twice_loads_once(database_url: str) -> None:
    assert await load(database_url, Sizes(accounts=2, entries=3))
    assert await load(database_url, Sizes(accounts=2, entries=3))
    gateway = Gateway(database_url)
    counts = (await gateway.ask("{ accounts(first: 0) { totalCount } balances(first: 0) { totalCount } }")).sound()
    assert counts == {"accounts": {"totalCount": 16_002}, "balances": {"totalCount": 6}}
    await gateway.store.close()
