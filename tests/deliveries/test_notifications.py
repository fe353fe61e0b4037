"""Mail about thresholds, from the log to a real mail server."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from app.deliveries.mail import Mailer
from app.deliveries.webhooks import WebhookSender
from app.dispatch import Dispatcher
from app.runner import Runner
from tests.asking import Gateway
from tests.deliveries.mailbox import Box

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = 30

PEOPLE = """mutation {
  createContractor(input: {name: "Fjord", isCustomer: true}) { contractor { id } }
  a: createContact(input: {contractorId: "contractor_1", email: "treasury@fjord.example"}) { contact { id } }
  b: createContact(input: {contractorId: "contractor_1", email: "board@fjord.example"}) { contact { id } }
  c: createContact(input: {contractorId: "contractor_1", email: "nobody@fjord.example"}) { contact { id } }
}"""
ACCOUNTS = """mutation {
  one: createAccount(input: {name: "one", contractorId: "contractor_1", balanceLowThreshold: 90, balanceHighThreshold:
    950, sendBalanceNotificationsTo: ["contact_1", "contact_2"]}) { userErrors { message } }
  two: createAccount(input: {name: "two", contractorId: "contractor_1", balanceLowThreshold: 90,
    sendBalanceNotificationsTo: ["contact_1", "contact_3"]}) { userErrors { message } }
  three: createAccount(input: {name: "three", contractorId: "contractor_1", balanceLowThreshold: 90}) {
    userErrors { message } }
}"""
ADD = """mutation ($account: ID!, $amount: Decimal!) { createBankAccountBalance(bankAccountId: $account, input:
  {amount: $amount, timestamp: "2026-03-01T12:00:00Z", currency: {code: "EUR"}}) { balance { id } } }"""
EVENTS = '{ events(types: ["AccountLowThresholdReached"]) { nodes { id subject data } } }'


class Bank:
    """A gateway whose accounts notify two contacts, two of whom one is unknown to the server, and nobody."""

    def __init__(self, url: str) -> None:
        self.gateway = Gateway(url)
        self.gateway.now = NOW
        self.sender = WebhookSender()

    def dispatcher(self, box: Box | None) -> Dispatcher:
        mailer = None if box is None else Mailer(box.url, "gateway@bank.example")
        return Dispatcher(
            self.gateway.store,
            sender=self.sender,
            mailer=mailer,
            source="test",
            clock=lambda: self.gateway.now,
            chance=lambda: 0,
        )

    async def add(self, account: int, amount: int) -> None:
        (await self.gateway.ask(ADD, account=f"account_{account}", amount=amount)).sound()


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator[Bank]:
    bank = Bank(database_url)
    (await bank.gateway.ask(PEOPLE)).sound()
    answer = (await bank.gateway.ask(ACCOUNTS)).sound()
    assert [answer[name]["userErrors"] for name in ("one", "two", "three")] == [[], [], []]
    yield bank
    await bank.sender.close()
    await bank.gateway.store.close()


async def deliver(dispatcher: Dispatcher) -> None:
    async with asyncio.timeout(SECONDS):
        while numbers := await dispatcher.concerned():
            for number in numbers:
                await dispatcher.serve(number)


def told(box: Box) -> list[tuple[str, str]]:
    """To whom and about what, as it came."""
    return [(recipients[0], message["Subject"]) for _, recipients, message in box.messages]


async def test_each_contact_gets_one_message_a_crossing(bank: Bank, box: Box) -> None:
    dispatcher = bank.dispatcher(box)
    await dispatcher.prepare()
    for amount in (50, 40, 1000):
        await bank.add(1, amount)
    await bank.add(3, 1)
    await deliver(dispatcher)
    subjects = [f"Account with id account_1 {what}" for what in ("low balance", "low balance cleared", "high balance")]
    for contact in ("treasury@fjord.example", "board@fjord.example"):
        assert [subject for recipient, subject in told(box) if recipient == contact] == subjects
    assert len(box.messages) == 6
    (_, _, message), (event, *_) = box.messages[0], (await bank.gateway.ask(EVENTS)).sound()["events"]["nodes"]
    assert json.loads(message.get_content()) == event["data"]
    assert message["Message-ID"].startswith(f"<{event['id']}.")
    assert "treasury@" not in message.get_content()
    await deliver(bank.dispatcher(box))
    assert len(box.messages) == 6


async def test_what_the_server_does_not_take_is_sent_again_and_nothing_is_sent_twice(bank: Bank, box: Box) -> None:
    dispatcher = bank.dispatcher(box)
    await dispatcher.prepare()
    box.is_well = False
    await bank.add(1, 50)
    await deliver(dispatcher)
    assert box.messages == []
    box.is_well = True
    await bank.add(1, 500)
    await deliver(dispatcher)
    assert box.messages == [], "nothing overtakes what waits"
    bank.gateway.now += timedelta(seconds=10)
    await deliver(dispatcher)
    assert Counter(told(box)) == Counter(
        (contact, f"Account with id account_1 {what}")
        for contact in ("treasury@fjord.example", "board@fjord.example")
        for what in ("low balance", "low balance cleared")
    )


async def test_a_contact_whom_the_server_refuses_holds_nobody_up(bank: Bank, box: Box) -> None:
    dispatcher = bank.dispatcher(box)
    await dispatcher.prepare()
    await bank.add(2, 50)
    await bank.add(2, 500)
    await deliver(dispatcher)
    assert [recipient for recipient, _ in told(box)] == ["treasury@fjord.example"] * 2


async def test_without_a_server_nothing_is_sent_and_the_event_still_happens(bank: Bank, box: Box) -> None:
    """Neither then, nor by a server that is set later: mail begins when its setting does."""
    without = bank.dispatcher(None)
    await without.prepare()
    await bank.add(1, 50)
    await deliver(without)
    assert len((await bank.gateway.ask(EVENTS)).sound()["events"]["nodes"]) == 1
    dispatcher = bank.dispatcher(box)
    await dispatcher.prepare()
    await deliver(dispatcher)
    assert box.messages == []
    await bank.add(1, 500)
    await deliver(dispatcher)
    assert [subject for _, subject in told(box)] == ["Account with id account_1 low balance cleared"] * 2


async def test_retention_waits_for_mail_only_as_long_as_there_is_a_server(bank: Bank, box: Box) -> None:
    with_server, without = bank.dispatcher(box), bank.dispatcher(None)
    await with_server.prepare()
    await bank.add(1, 50)
    bank.gateway.now += timedelta(days=2)
    for dispatcher, expected in ((with_server, 1), (without, 0)):
        runner = Runner(
            bank.gateway.store, clock=lambda: bank.gateway.now, retention=timedelta(days=1), dispatcher=dispatcher
        )
        await runner.keep()
        assert len((await bank.gateway.ask(EVENTS)).sound()["events"]["nodes"]) == expected
