"""The log loses nothing and steps over nothing, whoever writes and whoever reads meanwhile."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.deliveries.webhooks import Outcome
from app.dispatch import Dispatcher
from app.domain.callers import LOCAL
from app.domain.events import ALL, Event
from app.store.store import Store
from app.web.operations import Answered, Asked
from tests.asking import Gateway

WRITERS, WRITES = 8, 30
ACCOUNTS = 5

SETUP = """mutation ($name: String!) { createAccount(input: {name: $name, externalId: $name,
  contractorId: "contractor_1", balanceLowThreshold: 50}) { account { id } userErrors { message } } }"""
BATCH = """mutation ($items: [AccountBalanceInput!]!) {
  registerBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount } }"""
CORRECT = """mutation ($account: ID!, $amount: Decimal!) { correctAccountBalance(accountId: $account,
  input: {amount: $amount}) { balance { id } userErrors { message } } }"""
PAGE = """query ($after: String) { events(after: $after, first: 50) { nodes { id subject } pageInfo { endCursor } } }"""


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(database_url)
    document = 'mutation { createContractor(input: {name: "Owner", isCustomer: true}) { contractor { id } } }'
    (await gateway.ask(document)).sound()
    for number in range(ACCOUNTS):
        made = (await gateway.ask(SETUP, name=f"account {number}")).sound()["createAccount"]
        assert made["userErrors"] == []
    yield gateway
    await gateway.store.close()


async def write(gateway: Gateway, writer: int) -> None:
    """Batches over all accounts and corrections of one, in turns, so that transactions overlap in every way."""
    for number in range(WRITES):
        if number % 2:
            account = f"account_{(writer + number) % ACCOUNTS + 1}"
            (await gateway.ask(CORRECT, account=account, amount=(-1) ** number * 7)).sound()
            continue
        items = [
            {
                "accountExtId": f"account {(writer + number + place) % ACCOUNTS}",
                "communicationNumber": f"{writer}-{number}-{place}",
                "requester": "test",
                "value": str((writer * 31 + number * 17 + place * 41) % 100),
                "balanceAt": (gateway.now + timedelta(seconds=number)).isoformat(),
            }
            for place in range(1 + number % 4)
        ]
        (await gateway.ask(BATCH, items=items)).sound()


async def whole(store: Store) -> list[Event]:
    async with store.reading(None) as reads:
        end = await reads.log.newest()
        return await reads.log.page(ALL, after=0, until=end, limit=100_000)


async def newest(store: Store) -> int:
    return (await whole(store))[-1].id


class Posts:
    """A receiver that takes some and refuses some."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.asked = 0

    async def send(self, _url: str, _secret: str, *, event_id: str, body: bytes, **_more: Any) -> Outcome:
        self.asked += 1
        if self.asked % 5 == 0:
            return Outcome(delivered=False, gone=False, error="HTTP 500")
        self.taken.append((event_id, json.loads(body)["subject"]))
        return Outcome(delivered=True, gone=False, error=None)


async def test_readers_by_cursor_listener_and_webhook_meet_every_event_once_and_in_order(gateway: Gateway) -> None:
    document = 'mutation { createWebhook(input: {url: "https://receiver.example/"}) { webhook { id } } }'
    (await gateway.ask(document)).sound()
    posts, writing = Posts(), asyncio.Event()
    now = [gateway.now]
    sender: Any = posts
    dispatcher = Dispatcher(
        gateway.store, sender=sender, mailer=None, source="test", clock=lambda: now[0], chance=lambda: 0
    )
    feed = asyncio.create_task(gateway.feed.run())
    gateway.store.committed = gateway.feed.wake

    async def by_cursor() -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        after = None
        while True:
            is_last = writing.is_set()
            page = (await gateway.ask(PAGE, after=after)).sound()["events"]
            found += [(node["id"], node["subject"]) for node in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if is_last and found[-1][0] == f"event_{await newest(gateway.store)}":
                return found

    async def by_subscription(after: str | None, found: list[tuple[str, str]]) -> None:
        asked = Asked(
            "subscription ($after: String) { events(after: $after) { id subject } }", {"after": after}, None, {}
        )
        results = await gateway.subscribe(asked, LOCAL, mutations=False)
        assert not isinstance(results, Answered), results
        async for body in results:
            event = json.loads(body)["data"]["events"]
            found.append((event["id"], event["subject"]))

    async def by_webhook() -> None:
        while True:
            is_last = writing.is_set()
            numbers = await dispatcher.concerned()
            for number in numbers:
                await dispatcher.serve(number)
            now[0] += timedelta(minutes=1)
            if is_last and not numbers:
                async with gateway.store.reading(None) as reads:
                    if not await reads.receivers.waiting(1, 1):
                        return
            await asyncio.sleep(0)

    from_start: list[tuple[str, str]] = []
    replayed: list[tuple[str, str]] = []
    (first,) = (await gateway.ask("{ events(first: 0) { pageInfo { endCursor } } }")).sound().values()
    start = first["pageInfo"]["endCursor"]
    live = asyncio.create_task(by_subscription(start, from_start))
    reader, webhook = asyncio.create_task(by_cursor()), asyncio.create_task(by_webhook())
    writers = [asyncio.create_task(write(gateway, writer)) for writer in range(WRITERS)]
    await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED)
    late = asyncio.create_task(by_subscription(start, replayed))
    await asyncio.gather(*writers)
    writing.set()
    async with asyncio.timeout(60):
        read = await reader
        await webhook
    expected = [(f"event_{event.id}", event.subject) for event in await whole(gateway.store)]
    async with asyncio.timeout(30):
        while len(from_start) < len(expected) or len(replayed) < len(expected):
            assert not live.done(), live.exception()
            assert not late.done(), late.exception()
            await asyncio.sleep(0.01)
    for task in (live, late, feed):
        task.cancel()
    await asyncio.gather(live, late, feed, return_exceptions=True)
    assert read == expected
    assert from_start == expected
    assert replayed == expected
    assert Counter(posts.taken) == Counter(expected)
    for subject in {subject for _, subject in expected}:
        assert [each for each in posts.taken if each[1] == subject] == [each for each in expected if each[1] == subject]


async def test_a_place_that_is_still_to_be_committed_is_waited_for(database_url: str) -> None:
    """Two transactions whose commits come in the other order than their numbers; SQLite has one writer at a time."""
    if database_url.startswith("sqlite"):
        pytest.skip("one writer at a time")
    slow, quick = Gateway(database_url), Gateway(database_url)
    document = 'mutation { createContractor(input: {name: "Owner", isCustomer: true}) { contractor { id } } }'
    (await quick.ask(document)).sound()
    for name in ("one", "two"):
        (await quick.ask(SETUP, name=name)).sound()
    drawn, go = asyncio.Event(), asyncio.Event()

    async def act(work: Any) -> None:
        await work.accounts.positions([1])
        await work.log.numbers(1)
        drawn.set()
        await go.wait()

    waiting = asyncio.create_task(slow.store.work(None, act))
    await drawn.wait()
    add = """mutation { createBankAccountBalance(bankAccountId: "account_2", input: {amount: 1,
      timestamp: "2026-03-01T12:00:00Z", currency: {code: "EUR"}}) { balance { id } } }"""
    (await quick.ask(add)).sound()
    assert (await quick.ask(PAGE)).sound()["events"]["nodes"] == []
    go.set()
    await waiting
    assert len((await quick.ask(PAGE)).sound()["events"]["nodes"]) == 2
    await slow.store.close()
    await quick.store.close()


async def test_a_listener_that_lags_is_let_go_and_others_go_on(gateway: Gateway) -> None:
    gateway.feed._backlog = 3
    feed = asyncio.create_task(gateway.feed.run())
    gateway.store.committed = gateway.feed.wake
    quick = gateway.feed.listen(None, ALL, None)
    slow = gateway.feed.listen(None, ALL, None)
    one, two = asyncio.ensure_future(anext(quick)), asyncio.ensure_future(anext(slow))
    while gateway.feed.listeners < 2:
        await asyncio.sleep(0)
    for number in range(6):
        items = [
            {
                "accountExtId": "account 0",
                "communicationNumber": str(number),
                "requester": "test",
                "value": "60",
                "balanceAt": gateway.now.isoformat(),
            }
        ]
        (await gateway.ask(BATCH, items=items)).sound()
        got = await one
        assert got.data["communication_number"] == str(number)
        one = asyncio.ensure_future(anext(quick))
        await asyncio.sleep(0)
    assert (await two).data["communication_number"] == "0"
    with pytest.raises(Exception, match="Too many events wait") as lagged:
        await anext(slow)
    assert lagged.value.code == "SUBSCRIPTION_LAGGED"  # type: ignore[attr-defined]
    one.cancel()
    feed.cancel()
    await asyncio.gather(one, feed, return_exceptions=True)
