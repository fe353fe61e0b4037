"""Events: each type with its data, in the log's order, by cursor, and to nobody else."""

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from app.actions.close_cycle import close_next
from app.domain.callers import LOCAL, Scope
from app.domain.events import EventType
from app.domain.refusals import Code, Refusal
from app.store.reads import Units
from app.store.store import Reading
from app.web.operations import Asked
from resolvers.context import Context
from tests.asking import Gateway, a_caller

README = Path(__file__).parents[2] / "README.md"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

SETUP = """mutation {
  createContractor(input: {name: "Fjord", isCustomer: true}) { contractor { id } }
  createContact(input: {contractorId: "contractor_1", email: "treasury@fjord.example"}) { contact { id } }
  createDivision(input: {code: "NO", timezone: "Europe/Oslo"}) { division { id } }
  createAccount(input: {
    name: "Fjord Operating", externalId: "ACC-1", uuid: "0190c9f4-7a0e-7000-8000-000000000001",
    contractorId: "contractor_1", divisionCode: "NO", currency: {code: "NOK"}, balanceLowThreshold: 90,
    balanceHighThreshold: 950, sendBalanceNotificationsTo: ["contact_1"]
  }) { account { id } userErrors { message path } }
}"""
ADD = """mutation ($amount: Decimal!, $at: DateTime!, $account: ID!) {
  createBankAccountBalance(bankAccountId: $account, input: {amount: $amount, timestamp: $at, currency: {code: "NOK"}}) {
    balance { id } userErrors { message } } }"""
EVENTS = """query ($first: Int, $after: String, $last: Int, $before: String, $types: [String!], $subjects: [ID!],
  $time: DateTimeFilter) {
  events(first: $first, after: $after, last: $last, before: $before, types: $types, subjects: $subjects, time: $time) {
    totalCount nodes { id type source subject time businessUnit data account { id } division { code } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor } } }"""
SHORT = "query ($after: String) { events(after: $after) { nodes { id type subject } pageInfo { endCursor } } }"


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(database_url)
    gateway.now = NOW
    answer = (await gateway.ask(SETUP)).sound()
    assert answer["createAccount"]["userErrors"] == []
    yield gateway
    await gateway.store.close()


async def add(gateway: Gateway, amount: str, minutes: int = 0, account: str = "account_1") -> str:
    at = (gateway.now + timedelta(minutes=minutes)).isoformat()
    made = (await gateway.ask(ADD, amount=amount, at=at, account=account)).sound()["createBankAccountBalance"]
    assert made["userErrors"] == []
    return str(made["balance"]["id"])


async def told(gateway: Gateway, **arguments: Any) -> list[tuple[str, Any]]:
    page = (await gateway.ask(EVENTS, **arguments)).sound()["events"]
    return [(node["type"], node["data"].get("balance", node["data"].get("amount"))) for node in page["nodes"]]


# --- each type ----------------------------------------------------------------------------------------------------


async def every_type(bank: Gateway) -> dict[str, Any]:
    """One event of each type, as CloudEvents, produced as the README tells."""
    config = """mutation { createAccountBalanceHistoryConfig(input:
      {divisionCode: "NO", cycleClosingTime: "22:00:00", cycleEventDelay: 10}) { userErrors { message } } }"""
    change = """mutation { updateAccountBalanceHistoryConfig(divisionCode: "NO", input: {cycleEventDelay: 15})
      { userErrors { message } } }"""
    (await bank.ask(config)).sound()
    (await bank.ask(change)).sound()
    for minutes, amount in enumerate(("1100", "50.5", "1000.25", "500")):
        await add(bank, amount, minutes)
    bank.now = NOW + timedelta(days=1)
    while await close_next(bank.store, 1, clock=lambda: bank.now) is not None:
        continue
    async with bank.store.reading(None) as reads:
        end = (await reads.log.bounds()).end
        from app.domain.events import ALL, cloud_event  # noqa: PLC0415

        events = await reads.log.page(ALL, after=0, until=end, limit=100)
    return {event.type.value: json.loads(cloud_event(event, "balance-gateway")) for event in reversed(events)}


async def test_the_readme_shows_each_type_as_it_is(bank: Gateway) -> None:
    blocks = re.findall(r"```json\n(\{\"specversion.*?)\n```", README.read_text(), re.DOTALL)
    shown = {event["type"]: event for event in map(json.loads, blocks)}
    assert shown == await every_type(bank)
    assert set(shown) == {type_.value for type_ in EventType}


# --- thresholds ---------------------------------------------------------------------------------------------------

LOW, BETWEEN, HIGH = "89.9999", "90", "950.0001"
TABLE = [
    ([LOW], ["AccountLowThresholdReached"], "LOW"),
    ([HIGH], ["AccountHighThresholdReached"], "HIGH"),
    (["90"], [], "NONE"),
    (["950"], [], "NONE"),
    (["500"], [], "NONE"),
    ([LOW, "1"], ["AccountLowThresholdReached"], "LOW"),
    ([LOW, BETWEEN], ["AccountLowThresholdReached", "AccountLowThresholdCleared"], "NONE"),
    (
        [LOW, HIGH],
        ["AccountLowThresholdReached", "AccountLowThresholdCleared", "AccountHighThresholdReached"],
        "HIGH",
    ),
    ([HIGH, "2000"], ["AccountHighThresholdReached"], "HIGH"),
    ([HIGH, "950"], ["AccountHighThresholdReached", "AccountHighThresholdCleared"], "NONE"),
    (
        [HIGH, LOW],
        ["AccountHighThresholdReached", "AccountHighThresholdCleared", "AccountLowThresholdReached"],
        "LOW",
    ),
]
STATE = '{ account(id: "account_1") { thresholdState } }'


WAYS = ["one by one", "a batch", "single items", "corrections"]


@pytest.mark.parametrize(("amounts", "expected", "state"), TABLE)
@pytest.mark.parametrize("way", WAYS)
async def test_the_table_of_crossings(
    bank: Gateway, amounts: list[str], expected: list[str], state: str, way: str
) -> None:
    if way == "a batch":
        await batch(bank, [("ACC-1", amount, minutes) for minutes, amount in enumerate(amounts)])
    before = Decimal(0)
    for minutes, amount in enumerate(amounts):
        match way:
            case "one by one":
                await add(bank, amount, minutes)
            case "single items":
                document = "mutation ($item: AccountBalanceInput!) { updateAccountBalance(input: $item) { errorCode } }"
                answer = await bank.ask(document, item=an_item(bank, "ACC-1", amount, minutes))
                assert answer.sound() == {"updateAccountBalance": {"errorCode": None}}
            case "corrections":
                answer = await bank.ask(CORRECT, by=str(Decimal(amount) - before))
                assert answer.sound() == {"correctAccountBalance": {"userErrors": []}}
                before = Decimal(amount)
    crossings = [type_ for type_, _ in await told(bank) if type_ != "balance_change"]
    assert crossings == expected
    assert (await bank.ask(STATE)).sound() == {"account": {"thresholdState": state}}


CORRECT = """mutation ($by: Decimal!) { correctAccountBalance(accountId: "account_1", input: {amount: $by}) {
  userErrors { message } } }"""


def an_item(gateway: Gateway, account: str, amount: str, minutes: int) -> dict[str, str]:
    return {
        "accountExtId": account,
        "communicationNumber": f"{account}-{amount}-{minutes}",
        "requester": "test",
        "value": amount,
        "balanceAt": (gateway.now + timedelta(minutes=minutes)).isoformat(),
    }


# The balance stays at 500, and the thresholds move: each row of the table by what is changed, one after another.
IS_LOW, IS_HIGH, IS_BETWEEN = ("500.0001", "600"), ("100", "499.9999"), ("500", "600")
BY_THRESHOLDS: list[tuple[list[tuple[str | None, str | None]], list[str], str]] = [
    ([IS_LOW], ["AccountLowThresholdReached"], "LOW"),
    ([IS_HIGH], ["AccountHighThresholdReached"], "HIGH"),
    ([IS_BETWEEN], [], "NONE"),
    ([("100", "500")], [], "NONE"),
    ([IS_LOW, ("550", "600")], ["AccountLowThresholdReached"], "LOW"),
    ([IS_LOW, IS_BETWEEN], ["AccountLowThresholdReached", "AccountLowThresholdCleared"], "NONE"),
    (
        [IS_LOW, IS_HIGH],
        ["AccountLowThresholdReached", "AccountLowThresholdCleared", "AccountHighThresholdReached"],
        "HIGH",
    ),
    ([IS_HIGH, ("100", "200")], ["AccountHighThresholdReached"], "HIGH"),
    ([IS_HIGH, ("100", "500")], ["AccountHighThresholdReached", "AccountHighThresholdCleared"], "NONE"),
    (
        [IS_HIGH, IS_LOW],
        ["AccountHighThresholdReached", "AccountHighThresholdCleared", "AccountLowThresholdReached"],
        "LOW",
    ),
    ([IS_LOW, (None, "600")], ["AccountLowThresholdReached", "AccountLowThresholdCleared"], "NONE"),
    ([IS_HIGH, ("100", None)], ["AccountHighThresholdReached", "AccountHighThresholdCleared"], "NONE"),
]


@pytest.mark.parametrize(("changes", "expected", "state"), BY_THRESHOLDS)
async def test_the_table_of_crossings_by_changed_thresholds(
    bank: Gateway, changes: list[tuple[str | None, str | None]], expected: list[str], state: str
) -> None:
    await add(bank, "500")
    document = """mutation ($low: Decimal, $high: Decimal) { updateAccount(id: "account_1", input:
      {balanceLowThreshold: $low, balanceHighThreshold: $high}) { userErrors { message } } }"""
    for low, high in changes:
        answer = (await bank.ask(document, low=low, high=high)).sound()
        assert answer == {"updateAccount": {"userErrors": []}}
    assert [type_ for type_, _ in await told(bank)] == ["balance_change", *expected]
    assert (await bank.ask(STATE)).sound() == {"account": {"thresholdState": state}}


async def batch(gateway: Gateway, items: list[tuple[str, str, int]]) -> None:
    sent = [an_item(gateway, *item) for item in items]
    document = """mutation ($items: [AccountBalanceInput!]!) {
      registerBatchAccountBalances(input: {accountBalances: $items}) { rejectedCount } }"""
    answer = (await gateway.ask(document, items=sent)).sound()
    assert answer["registerBatchAccountBalances"]["rejectedCount"] == 0


async def test_in_a_batch_entries_count_by_moment_and_crossings_follow_theirs(bank: Gateway) -> None:
    await batch(bank, [("ACC-1", "1000", 3), ("ACC-1", "10", 1), ("ACC-1", "500", 2), ("ACC-1", "20", -1)])
    assert await told(bank) == [
        ("balance_change", "20"),
        ("AccountLowThresholdReached", "20"),
        ("balance_change", "10"),
        ("balance_change", "500"),
        ("AccountLowThresholdCleared", "500"),
        ("balance_change", "1000"),
        ("AccountHighThresholdReached", "1000"),
    ]


async def test_a_late_entry_crosses_nothing(bank: Gateway) -> None:
    await add(bank, "500", 10)
    await add(bank, "1", 5)
    assert await told(bank) == [("balance_change", "500"), ("balance_change", "1")]
    page = (await bank.ask(EVENTS)).sound()["events"]["nodes"]
    assert [node["data"]["became_current"] for node in page] == [True, False]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"balanceLowThreshold": "600"}, ["AccountLowThresholdReached"]),
        ({"balanceHighThreshold": "499"}, ["AccountHighThresholdReached"]),
        ({"balanceLowThreshold": "500"}, []),
        ({"balanceLowThreshold": None, "balanceHighThreshold": None}, []),
    ],
)
async def test_a_changed_threshold_crosses_too(bank: Gateway, change: dict[str, Any], expected: list[str]) -> None:
    await add(bank, "500")
    document = """mutation ($input: UpdateAccountInput!) { updateAccount(id: "account_1", input: $input) {
      userErrors { message } } }"""
    (await bank.ask(document, input=change)).sound()
    assert [type_ for type_, _ in await told(bank)][1:] == expected


async def test_a_removed_threshold_clears_and_an_account_without_an_entry_stands_nowhere(bank: Gateway) -> None:
    document = """mutation ($low: Decimal) { updateAccount(id: "account_1", input: {balanceLowThreshold: $low}) {
      userErrors { message } } }"""
    (await bank.ask(document, low="100")).sound()
    assert await told(bank) == []
    await add(bank, "50")
    (await bank.ask(document, low=None)).sound()
    assert [type_ for type_, _ in await told(bank)] == [
        "balance_change",
        "AccountLowThresholdReached",
        "AccountLowThresholdCleared",
    ]


# --- the log ------------------------------------------------------------------------------------------------------


async def test_pages_go_both_ways_and_cursors_depend_on_nothing_but_the_place(bank: Gateway) -> None:
    for number in range(7):
        await add(bank, str(100 + number), number)
    first = (await bank.ask(EVENTS, first=3)).sound()["events"]
    assert first["totalCount"] == 7
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    assert first["pageInfo"]["endCursor"] == first["edges"][-1]["cursor"]
    rest = await told(bank, after=first["pageInfo"]["endCursor"], types=["balance_change"], subjects=["account_1"])
    assert rest == [("balance_change", str(amount)) for amount in range(103, 107)]
    last = (await bank.ask(EVENTS, last=2)).sound()["events"]
    assert [node["data"]["amount"] for node in last["nodes"]] == ["105", "106"]
    assert (last["pageInfo"]["hasNextPage"], last["pageInfo"]["hasPreviousPage"]) == (False, True)
    before = await told(bank, last=2, before=last["pageInfo"]["startCursor"])
    assert before == [("balance_change", "103"), ("balance_change", "104")]
    assert await told(bank, after=last["nodes"][0]["id"]) == [("balance_change", "106")]


async def test_the_end_of_the_log_has_a_cursor_also_for_who_sees_nothing(bank: Gateway) -> None:
    stranger = a_caller("elsewhere")
    empty = (await bank.ask(SHORT, caller=stranger)).sound()["events"]
    await add(bank, "100")
    mine = (await bank.ask(SHORT, after=empty["pageInfo"]["endCursor"])).sound()["events"]
    assert [node["type"] for node in mine["nodes"]] == ["balance_change"]
    theirs = (await bank.ask(SHORT, caller=stranger)).sound()["events"]
    assert theirs["nodes"] == []
    assert (await bank.ask(SHORT, caller=stranger, after=mine["nodes"][0]["id"])).codes == ["EVENTS_EXPIRED"]
    node = await bank.ask("query ($id: ID!) { node(id: $id) { id } }", caller=stranger, id=mine["nodes"][0]["id"])
    assert node.sound() == {"node": None}
    node = await bank.ask("query ($id: ID!) { node(id: $id) { id __typename } }", id=mine["nodes"][0]["id"])
    assert node.sound()["node"]["__typename"] == "Event"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"types": ["balance_changed"]}, "BAD_REQUEST"),
        ({"after": "nonsense"}, "BAD_REQUEST"),
        ({"after": "account_1"}, "BAD_REQUEST"),
        ({"after": "event_999999"}, "EVENTS_EXPIRED"),
        ({"before": "bG9nIDk5OTk5OTk"}, "EVENTS_EXPIRED"),
        ({"first": 1, "last": 1}, "BAD_REQUEST"),
        ({"first": 1001}, "PAGE_TOO_LARGE"),
    ],
)
async def test_what_is_asked_wrongly_is_refused(bank: Gateway, arguments: dict[str, Any], code: str) -> None:
    await add(bank, "100")
    assert (await bank.ask(EVENTS, **arguments)).codes == [code]


async def test_filters_select_what_they_say(bank: Gateway) -> None:
    await add(bank, "50")
    assert await told(bank, types=[]) == []
    assert await told(bank, subjects=[]) == []
    assert await told(bank, subjects=["account_99", "nonsense", "division_1"]) == []
    assert await told(bank, types=["AccountLowThresholdReached"]) == [("AccountLowThresholdReached", "50")]
    assert len(await told(bank, time={"from": NOW.isoformat()})) == 2
    assert await told(bank, time={"before": NOW.isoformat()}) == []
    assert await told(bank, first=0) == []
    reader = a_caller("default", scopes=frozenset({Scope.BALANCES_READ}))
    assert (await bank.ask(SHORT, caller=reader)).codes == ["FORBIDDEN"]


async def test_what_retention_has_passed_is_expired(bank: Gateway) -> None:
    entry = await add(bank, "50")
    start = (await bank.ask(EVENTS, first=1)).sound()["events"]["pageInfo"]["endCursor"]
    bank.now += timedelta(days=40)
    await add(bank, "500")

    async def forget(work: Any) -> None:
        first = await work.keeping.first_since(bank.now - timedelta(days=30))
        await work.keeping.forget(first - 1, 1000)

    await bank.store.work(None, forget)
    assert [type_ for type_, _ in await told(bank)] == ["balance_change", "AccountLowThresholdCleared"]
    assert (await bank.ask(SHORT, after=start)).codes == ["EVENTS_EXPIRED"]
    node = (await bank.ask("query ($id: ID!) { node(id: $id) { id } }", id=entry)).sound()
    assert node == {"node": {"id": entry}}
    old = (await bank.ask("query ($id: ID!) { node(id: $id) { id } }", id=entry.replace("balance", "event"))).sound()
    assert old == {"node": None}


# --- subscriptions ------------------------------------------------------------------------------------------------

FOLLOW = "subscription ($after: String) { balanceCreated(after: $after) { amount account { balance } } }"


def _with_readings(bank: Gateway, reading: Callable[[Units], Any]) -> None:
    """From here on operations read in this way."""
    store = copy.copy(bank.store)
    store.reading = reading  # type: ignore[method-assign,assignment]  # Of the copy alone.
    bank._run._context_of = lambda caller: Context(caller, store, bank.now, bank.limits, bank.feed)


@pytest.mark.parametrize("listeners", [1, 3])
async def test_an_answer_to_an_event_that_takes_too_long_ends_its_subscriptions_and_is_made_anew(
    bank: Gateway, listeners: int
) -> None:
    first = await add(bank, "1")
    await add(bank, "2", 1)
    asked = Asked(FOLLOW, {"after": first}, None, {})
    coming: Any = [await bank.subscribe(asked, LOCAL, mutations=False) for _ in range(listeners + 1)]
    sound = bank._run._context_of

    @asynccontextmanager
    async def deaf(_units: Units) -> AsyncIterator[Reading]:
        await asyncio.Event().wait()
        yield cast("Reading", None)

    bank._run._event_seconds = 0.1
    _with_readings(bank, deaf)
    async with asyncio.timeout(10):
        told: list[Any] = await asyncio.gather(*(anext(each) for each in coming[1:]), return_exceptions=True)
    assert [(each.code, each.extensions) for each in told] == [(Code.TIMEOUT, {"limit": 0.1})] * listeners
    bank._run._event_seconds, bank._run._context_of = 10, sound
    answer = {"amount": "2", "account": {"balance": "2"}}
    assert json.loads(await anext(coming[0])) == {"data": {"balanceCreated": answer}}
    await coming[0].aclose()


async def test_an_answer_to_an_event_that_failed_is_kept_for_nobody(bank: Gateway) -> None:
    first = await add(bank, "1")
    await add(bank, "2", 1)
    asked = Asked(FOLLOW, {"after": first}, None, {})
    one, other = [cast("Any", await bank.subscribe(asked, LOCAL, mutations=False)) for _ in range(2)]
    sound = bank._run._context_of

    def failing(_units: Units) -> Any:
        raise Refusal(Code.UNAVAILABLE, "The database does not answer; try again.")

    _with_readings(bank, failing)
    assert json.loads(await anext(one))["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    bank._run._context_of = sound
    answer = {"amount": "2", "account": {"balance": "2"}}
    assert json.loads(await anext(other)) == {"data": {"balanceCreated": answer}}
    for each in (one, other):
        await each.aclose()


async def test_a_subscriber_that_goes_away_is_no_listener_any_more(bank: Gateway) -> None:
    coming: Any = await bank.subscribe(Asked(FOLLOW, {}, None, {}), LOCAL, mutations=False)
    waiting = asyncio.ensure_future(anext(coming))
    async with asyncio.timeout(10):
        while not bank.feed.listeners:  # noqa: ASYNC110 - a feed tells nobody that somebody listens.
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await coming.aclose()
    assert bank.feed.listeners == 0
