"""From the log to receivers: in order, again where it failed, and nobody waits for another."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.deliveries.webhooks import WebhookSender
from app.dispatch import BACKOFF_MAX, FAILURES_MAX, LEASE, Dispatcher, backoff
from app.domain.callers import LOCAL
from app.runner import Runner
from app.store.receivers import WEBHOOK
from tests.asking import Gateway
from tests.deliveries.receiving import OK, SECONDS, Answer, Receiver, event_of, receiving
from tests.faults import invariants

FAILED = b"HTTP/1.1 503 Later\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

ACCOUNT = """mutation ($name: String!) {
  createAccount(input: {name: $name, externalId: $name, contractorId: "contractor_1"}) { userErrors { message } } }"""
CREATE = """mutation ($url: String!, $types: [String!], $unit: String) {
  createWebhook(input: {url: $url, eventTypes: $types, businessUnit: $unit}) {
    webhook { id pendingCount lastError } secret userErrors { message } } }"""
ADD = """mutation ($account: ID!, $amount: Decimal!) { createBankAccountBalance(bankAccountId: $account, input:
  {amount: $amount, timestamp: "2026-03-01T12:00:00Z", currency: {code: "EUR"}}) { balance { id } } }"""
WEBHOOKS = "{ webhooks { nodes { id pendingCount lastError lastDeliveredAt } } }"


class Bank:
    """A gateway with three accounts, and what passes its log on: by a clock that the test sets."""

    def __init__(self, url: str) -> None:
        self.gateway = Gateway(url, allow_private_webhooks=True)
        self.gateway.now = NOW
        self.sender = WebhookSender(allow_private=True, seconds=20)
        self.dispatcher = self.another()

    def another(self) -> Dispatcher:
        """What another process would have."""
        return Dispatcher(
            self.gateway.store, sender=self.sender, mailer=None, source="test", clock=self.clock, chance=lambda: 0
        )

    def clock(self) -> datetime:
        return self.gateway.now

    async def webhook(self, url: str, **more: Any) -> str:
        made = (await self.gateway.ask(CREATE, url=url, **more)).sound()["createWebhook"]
        assert made["userErrors"] == []
        return str(made["webhook"]["id"])

    async def add(self, account: int, amount: int) -> str:
        """Record a balance; the id of its event."""
        made = await self.gateway.ask(ADD, account=f"account_{account}", amount=amount)
        return str(made.sound()["createBankAccountBalance"]["balance"]["id"]).replace("balance", "event")

    async def deliver(self) -> None:
        """Do all that is to be done now."""
        async with asyncio.timeout(SECONDS):
            while numbers := await self.dispatcher.concerned():
                for number in numbers:
                    await self.dispatcher.serve(number)

    async def seen(self) -> list[Any]:
        nodes: list[Any] = (await self.gateway.ask(WEBHOOKS)).sound()["webhooks"]["nodes"]
        return nodes


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator[Bank]:
    bank = Bank(database_url)
    document = 'mutation { createContractor(input: {name: "Owner", isCustomer: true}) { contractor { id } } }'
    (await bank.gateway.ask(document)).sound()
    for name in ("one", "two", "three"):
        (await bank.gateway.ask(ACCOUNT, name=name)).sound()
    yield bank
    await bank.sender.close()
    await bank.gateway.store.close()
    assert await invariants.violations(database_url) == []


def amounts(receiver: Receiver) -> list[tuple[str, str]]:
    """Subjects and amounts, as they came."""
    return [(event["subject"], event["data"]["amount"]) for event in receiver.events]


def refusing(is_refused: Callable[[Any], bool]) -> Answer:
    """A receiver that does not take some events."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(FAILED if is_refused(event_of(request)) else OK)
        await writer.drain()

    return answer


# --- what is told -------------------------------------------------------------------------------------------------


async def test_a_webhook_is_told_what_happens_after_it_was_made_of_its_types_in_its_unit(bank: Bank) -> None:
    await bank.add(1, 1)
    document = """mutation { createContractor(input: {name: "Else", isCustomer: true, businessUnit: "else"}) {
      contractor { id } } }"""
    (await bank.gateway.ask(document)).sound()
    async with receiving(OK) as all_, receiving(OK) as some, receiving(OK) as foreign:
        await bank.webhook(all_.url)
        await bank.webhook(some.url, types=["balance_history"])
        await bank.webhook(foreign.url, unit="else")
        event = await bank.add(1, 2)
        await bank.deliver()
        assert [each["id"] for each in all_.events] == [event]
        assert (some.requests, foreign.requests) == ([], [])
    assert [each["pendingCount"] for each in await bank.seen()] == [0, 0, 0]


async def test_only_the_subject_of_what_was_not_taken_waits_and_its_order_stays(bank: Bank) -> None:
    is_well = False
    async with receiving(refusing(lambda event: event["subject"] == "account_1" and not is_well)) as receiver:
        webhook = await bank.webhook(receiver.url)
        first = await bank.add(1, 1)
        for account, amount in ((1, 2), (2, 3), (1, 4), (2, 5)):
            await bank.add(account, amount)
        await bank.deliver()
        assert Counter(amounts(receiver)) == Counter([("account_1", "1"), ("account_2", "3"), ("account_2", "5")])
        (seen,) = await bank.seen()
        assert seen == {
            "id": webhook,
            "pendingCount": 3,
            "lastError": f"{first}: HTTP 503.",
            "lastDeliveredAt": "2026-03-01T12:00:00Z",
        }
        await bank.add(1, 6)
        await bank.add(3, 7)
        await bank.deliver()
        assert amounts(receiver)[3:] == [("account_3", "7")]
        bank.gateway.now += backoff(1, 0) - timedelta(microseconds=1)
        assert await bank.dispatcher.concerned() == []
        is_well = True
        bank.gateway.now += timedelta(microseconds=1)
        await bank.deliver()
        assert amounts(receiver)[4:] == [("account_1", amount) for amount in ("1", "2", "4", "6")]
    assert [each["pendingCount"] for each in await bank.seen()] == [0]


async def test_an_address_that_moved_away_is_a_failure_and_is_not_followed(bank: Bank) -> None:
    async with receiving(OK) as inner:
        moved = f"HTTP/1.1 308 Moved\r\nlocation: {inner.url}\r\ncontent-length: 0\r\n\r\n".encode()
        async with receiving(moved) as outer:
            await bank.webhook(outer.url)
            event = await bank.add(1, 1)
            await bank.deliver()
        assert (len(outer.requests), inner.requests) == (1, [])
    (seen,) = await bank.seen()
    assert (seen["pendingCount"], seen["lastError"]) == (1, f"{event}: HTTP 308.")


async def test_a_receiver_that_wants_no_more_is_removed_with_what_waits(bank: Bank) -> None:
    async with receiving(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n") as receiver:
        await bank.webhook(receiver.url)
        await bank.add(1, 1)
        await bank.deliver()
        assert await bank.seen() == []
        await bank.add(1, 2)
        await bank.deliver()
        assert len(receiver.requests) == 1
    async with bank.gateway.store.reading(None) as reads:
        assert await reads.receivers.due(NOW + timedelta(days=365)) == set()


async def test_what_a_webhook_leads_to_is_judged_again_at_each_attempt(bank: Bank) -> None:
    """A name that led outside when the webhook was made leads inside when it is told."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["169.254.169.254"]

    sender = WebhookSender(allow_private=False, resolve=resolve)
    await bank.webhook("http://receiver.example/")
    event = await bank.add(1, 1)
    bank.dispatcher._sender = sender
    await bank.deliver()
    (seen,) = await bank.seen()
    assert seen["lastError"] == f"{event}: the address 169.254.169.254 is private."
    await sender.close()


# --- again, and no more -------------------------------------------------------------------------------------------


def test_each_attempt_waits_longer_up_to_a_bound_and_chance_spreads_them() -> None:
    least, most = ([backoff(attempts, chance) for attempts in range(1, 60)] for chance in (0.0, 0.999999))
    assert least[:3] == [timedelta(seconds=2.5), timedelta(seconds=5), timedelta(seconds=10)]
    assert all(shorter <= longer for shorter, longer in pairwise(least))
    assert all(low < high <= 2 * low for low, high in zip(least, most, strict=True))
    assert least[-1] == BACKOFF_MAX / 2
    assert most[-1] < BACKOFF_MAX


async def until_nothing_waits(bank: Bank, step: timedelta, longest: timedelta) -> timedelta:
    """How long it takes until nothing waits for any webhook."""
    started = bank.gateway.now
    while any(each["pendingCount"] for each in await bank.seen()):
        assert bank.gateway.now - started <= longest
        bank.gateway.now += step
        await bank.deliver()
    return bank.gateway.now - started


async def test_an_event_that_is_never_taken_is_set_aside_after_72_hours_and_its_subject_goes_on(bank: Bank) -> None:
    async with receiving(refusing(lambda event: event["data"]["amount"] == "1")) as receiver:
        await bank.webhook(receiver.url)
        event = await bank.add(1, 1)
        await bank.add(1, 2)
        await bank.deliver()
        with capture_logs() as lines:
            took = await until_nothing_waits(bank, timedelta(hours=2), timedelta(days=4))
        assert took == timedelta(hours=72)
        assert amounts(receiver)[-1] == ("account_1", "2")
        assert [amount for _, amount in amounts(receiver)].count("2") == 1
    (seen,) = await bank.seen()
    assert seen["lastError"] == f"{event}: HTTP 503. It is set aside."
    (line,) = [line for line in lines if line["event"] == "events_set_aside"]
    assert (line["log_level"], line["count"], line["last_error"]) == ("warning", 1, seen["lastError"])


async def test_a_receiver_that_is_never_there_is_probed_and_holds_nothing_back_for_ever(bank: Bank) -> None:
    async with receiving(FAILED) as receiver:
        await bank.webhook(receiver.url)
        for _ in range(FAILURES_MAX):
            for account in (1, 2, 3):
                await bank.add(account, 1)
            bank.gateway.now += timedelta(minutes=1)
            await bank.deliver()
        before = len(receiver.requests)
        for account in (1, 2, 3):
            await bank.add(account, 2)
        bank.gateway.now += timedelta(hours=1)
        await bank.deliver()
        assert len(receiver.requests) == before + 1, "it is asked once whether it is there again"
        with capture_logs() as lines:
            took = await until_nothing_waits(bank, timedelta(hours=1), timedelta(hours=80))
        assert took >= timedelta(hours=70)
        assert any(line["event"] == "events_set_aside" for line in lines)
        assert len(receiver.requests) < before + 100
    async with bank.gateway.store.reading(None) as reads:
        assert await reads.receivers.first_needed(kinds=[WEBHOOK]) == await reads.log.newest() + 1


async def test_a_receiver_that_is_there_again_is_told_all_that_waits(bank: Bank) -> None:
    is_well = False
    async with receiving(refusing(lambda _event: not is_well)) as receiver:
        await bank.webhook(receiver.url)
        for amount in range(8):
            for account in (1, 2, 3):
                await bank.add(account, amount)
        for _ in range(FAILURES_MAX):
            await bank.deliver()
            bank.gateway.now += timedelta(minutes=5)
        is_well, before = True, len(receiver.requests)
        bank.gateway.now += timedelta(hours=1)
        await bank.deliver()
        told = amounts(receiver)[before:]
        for name in ("account_1", "account_2", "account_3"):
            assert [amount for subject, amount in told if subject == name] == list("01234567")
    assert [each["pendingCount"] for each in await bank.seen()] == [0]


async def test_retention_takes_no_event_that_waits(bank: Bank) -> None:
    is_well = False
    runner = Runner(bank.gateway.store, clock=bank.clock, retention=timedelta(hours=1), dispatcher=bank.dispatcher)
    async with receiving(refusing(lambda _event: not is_well)) as receiver:
        await bank.webhook(receiver.url)
        event = await bank.add(1, 1)
        await bank.add(2, 2)
        await bank.deliver()
        bank.gateway.now += timedelta(hours=5)
        await runner.keep()
        assert (await bank.gateway.ask(NODE, id=event)).sound()["node"] == {"id": event}
        is_well = True
        await bank.deliver()
        await runner.keep()
        assert (await bank.gateway.ask(NODE, id=event)).sound() == {"node": None}
        assert (await bank.gateway.ask(LOG, after=event)).codes == ["EVENTS_EXPIRED"]
        assert Counter(amounts(receiver)) == Counter([("account_1", "1"), ("account_2", "2")] * 2)


LOG = "query ($after: String) { events(after: $after) { nodes { id } } }"
NODE = "query ($id: ID!) { node(id: $id) { id } }"


# --- one beside another -------------------------------------------------------------------------------------------


@asynccontextmanager
async def running(dispatcher: Dispatcher) -> AsyncIterator[None]:
    task = asyncio.ensure_future(dispatcher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_no_crowd_of_slow_or_dead_receivers_delays_another(bank: Bank) -> None:
    """Fourteen receivers that never answer hold eight connections each; the fifteenth is told at once."""
    for number in range(5):
        (await bank.gateway.ask(ACCOUNT, name=f"more {number}")).sound()
    ended = asyncio.Event()

    async def silent(_request: bytes, _writer: asyncio.StreamWriter) -> None:
        await ended.wait()

    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(receiving(silent)) for _ in range(14)]
        dead = await stack.enter_async_context(receiving(OK))
        well = await stack.enter_async_context(receiving(OK))
        for receiver in slow:
            await bank.webhook(receiver.url)
        await bank.webhook(dead.url.replace(str(dead.port), "1"))
        for account in range(1, 9):
            await bank.add(account, account)
        async with running(bank.dispatcher), asyncio.timeout(SECONDS):
            for receiver in slow:
                await receiver.has(8)
            await bank.webhook(well.url)
            await bank.add(1, 100)
            bank.dispatcher.wake()
            await well.has(1)
            assert [len(receiver.requests) for receiver in slow] == [8] * 14, "nobody else was answered meanwhile"
            ended.set()


async def test_two_processes_do_not_tell_a_receiver_at_the_same_time(bank: Bank) -> None:
    go = asyncio.Event()

    async def waiting(_request: bytes, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(OK)

    async with receiving(waiting) as receiver:
        await bank.webhook(receiver.url)
        await bank.add(1, 1)
        (number,) = await bank.dispatcher.concerned()
        serving = asyncio.ensure_future(bank.dispatcher.serve(number))
        async with asyncio.timeout(SECONDS):
            await receiver.has(1)
            other = bank.another()
            assert await other.concerned() == []
            await other.serve(number)
            go.set()
            await serving
        assert len(receiver.requests) == 1


async def test_who_wakes_after_its_lease_changes_nothing_of_what_another_did(bank: Bank) -> None:
    """The first one sends, sleeps, and comes back with a failure when the second one has delivered."""
    go = asyncio.Event()

    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> None:
        if len(receiver.requests) == 1:
            await go.wait()
            writer.write(FAILED)
        else:
            writer.write(OK)

    async with receiving(answer) as receiver:
        await bank.webhook(receiver.url)
        event = await bank.add(1, 1)
        (number,) = await bank.dispatcher.concerned()
        sleeper = asyncio.ensure_future(bank.dispatcher.serve(number))
        async with asyncio.timeout(SECONDS):
            await receiver.has(1)
            bank.gateway.now += LEASE
            await bank.another().serve(number)
            go.set()
            await sleeper
        assert [each["id"] for each in receiver.events] == [event, event], "at least once, with one id"
    (seen,) = await bank.seen()
    assert (seen["pendingCount"], seen["lastError"]) == (0, None)
    assert await bank.dispatcher.concerned() == []


async def test_what_is_sent_is_the_event_as_the_log_has_it(bank: Bank) -> None:
    async with receiving(OK) as receiver:
        await bank.webhook(receiver.url)
        event = await bank.add(1, 1)
        await bank.deliver()
    query = "query ($id: ID!) { node(id: $id) { ... on Event { id type subject time businessUnit data } } }"
    node = (await bank.gateway.ask(query, caller=LOCAL, id=event)).sound()["node"]
    (told,) = receiver.events
    assert told.pop("businessunit") == node.pop("businessUnit")
    assert {name: told[name] for name in node} == json.loads(json.dumps(node))
    assert (told["specversion"], told["source"], told["datacontenttype"]) == ("1.0", "test", "application/json")
