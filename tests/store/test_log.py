"""The log loses nothing and steps over nothing, whoever writes and whoever reads meanwhile."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
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
LAST = "the last one"

SETUP = """mutation ($name: String!) { createAccount(input: {name: $name, externalId: $name,
  contractorId: "contractor_1", balanceLowThreshold: 50}) { account { id } userErrors { message } } }"""
BATCH = """mutation ($items: [AccountBalanceInput!]!) {
  registerBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount } }"""
CORRECT = """mutation ($account: ID!, $amount: Decimal!) { correctAccountBalance(accountId: $account,
  input: {amount: $amount}) { balance { id } userErrors { message } } }"""
PAGE = """query ($after: String) { events(after: $after, first: 50) {
  nodes { id subject data } pageInfo { endCursor } } }"""


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


def an_item(number: str, account: str, value: str, moment: datetime) -> dict[str, str]:
    return {
        "accountExtId": account,
        "communicationNumber": number,
        "requester": "test",
        "value": value,
        "balanceAt": moment.isoformat(),
    }


async def write(gateway: Gateway, writer: int) -> None:
    """Batches over all accounts and corrections of one, in turns, so that transactions overlap in every way."""
    for number in range(WRITES):
        if number % 2:
            account = f"account_{(writer + number) % ACCOUNTS + 1}"
            (await gateway.ask(CORRECT, account=account, amount=(-1) ** number * 7)).sound()
            continue
        items = [
            an_item(
                f"{writer}-{number}-{place}",
                f"account {(writer + number + place) % ACCOUNTS}",
                str((writer * 31 + number * 17 + place * 41) % 100),
                gateway.now + timedelta(seconds=number),
            )
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
        self.is_complete = False

    async def send(self, _url: str, _secret: str, *, event_id: str, body: bytes, **_more: Any) -> Outcome:
        self.asked += 1
        if self.asked % 5 == 0:
            return Outcome(delivered=False, gone=False, error="HTTP 500")
        event = json.loads(body)
        self.taken.append((event_id, event["subject"]))
        self.is_complete = self.is_complete or _is_last(event)
        return Outcome(delivered=True, gone=False, error=None)


class Readers:
    """Everybody who reads the log meanwhile, until the last event: who pages by cursor, subscribers, a webhook."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.posts = Posts()
        self._now = gateway.now
        sender: Any = self.posts
        self._dispatcher = Dispatcher(
            gateway.store, sender=sender, mailer=None, source="test", clock=lambda: self._now, chance=lambda: 0
        )

    async def by_cursor(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        after = None
        while True:
            page = (await self.gateway.ask(PAGE, after=after)).sound()["events"]
            found += [(node["id"], node["subject"]) for node in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if any(_is_last(node) for node in page["nodes"]):
                return found

    async def by_subscription(self, after: str) -> list[tuple[str, str]]:
        document = "subscription ($after: String) { events(after: $after) { id subject data } }"
        results = await self.gateway.subscribe(Asked(document, {"after": after}, None, {}), LOCAL, mutations=False)
        assert not isinstance(results, Answered), results
        found: list[tuple[str, str]] = []
        async with aclosing(results):
            async for body in results:
                event = json.loads(body)["data"]["events"]
                found.append((event["id"], event["subject"]))
                if _is_last(event):
                    break
        return found

    async def by_webhook(self) -> list[tuple[str, str]]:
        while not self.posts.is_complete or await self._waiting():
            for number in await self._dispatcher.concerned():
                await self._dispatcher.serve(number)
            self._now += timedelta(minutes=1)
            await asyncio.sleep(0)
        return self.posts.taken

    async def _waiting(self) -> bool:
        async with self.gateway.store.reading(None) as reads:
            return bool(await reads.receivers.waiting(1, 1))


def _is_last(event: dict[str, Any]) -> bool:
    return bool(event["data"].get("communication_number") == LAST)


def of_subject(found: Sequence[tuple[str, str]], subject: str) -> list[tuple[str, str]]:
    return [each for each in found if each[1] == subject]


async def test_readers_by_cursor_listener_and_webhook_meet_every_event_once_and_in_order(gateway: Gateway) -> None:
    document = 'mutation { createWebhook(input: {url: "https://receiver.example/"}) { webhook { id } } }'
    (await gateway.ask(document)).sound()
    feed = asyncio.create_task(gateway.feed.run())
    gateway.store.committed = gateway.feed.wake
    (first,) = (await gateway.ask("{ events(first: 0) { pageInfo { endCursor } } }")).sound().values()
    start = first["pageInfo"]["endCursor"]
    readers = Readers(gateway)
    reading = [
        asyncio.create_task(work)
        for work in (readers.by_cursor(), readers.by_subscription(start), readers.by_webhook())
    ]
    writers = [asyncio.create_task(write(gateway, writer)) for writer in range(WRITERS)]
    await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED)
    late = asyncio.create_task(readers.by_subscription(start))
    await asyncio.gather(*writers)
    (await gateway.ask(BATCH, items=[an_item(LAST, "account 0", "60", gateway.now)])).sound()
    async with asyncio.timeout(90):
        read, live, told = await asyncio.gather(*reading)
        replayed = await late
    feed.cancel()
    expected = [(f"event_{event.id}", event.subject) for event in await whole(gateway.store)]
    # The last entry may cross a threshold: that is told behind it.
    last = [event_id for event_id, _ in expected].index(live[-1][0]) + 1
    assert live == expected[:last]
    assert replayed == expected[:last]
    assert read[:last] == expected[:last]
    assert Counter(told) == Counter(expected)
    for subject in {subject for _, subject in expected}:
        assert of_subject(told, subject) == of_subject(expected, subject)


async def test_a_place_that_is_still_to_be_committed_is_waited_for(postgresql_url: str) -> None:
    """Two transactions whose commits come in the other order than their numbers; SQLite has one writer at a time."""
    slow, quick = Gateway(postgresql_url), Gateway(postgresql_url)
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
    async with asyncio.timeout(30):
        while True:
            if gateway.feed.listeners == 2:
                break
            await asyncio.sleep(0)
    for number in range(6):
        items = [an_item(str(number), "account 0", "60", gateway.now)]
        (await gateway.ask(BATCH, items=items)).sound()
        got = await one
        assert got.data["communication_number"] == str(number)
        one = asyncio.ensure_future(anext(quick))
        await asyncio.sleep(0)
    assert (await two).data["communication_number"] == "0"
    with pytest.raises(Exception, match="Too many events wait") as lagged:
        await anext(slow)
    assert lagged.value.code == "SUBSCRIPTION_LAGGED"  # type: ignore[attr-defined]  # It is a Refusal.
    one.cancel()
    feed.cancel()
    await asyncio.gather(one, feed, return_exceptions=True)
