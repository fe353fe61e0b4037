"""README's receiver does all once: answers are lost, deliveries repeated, the whole log replayed in disorder."""

import asyncio
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from tests.deliveries.receiving import OK, receiving
from tests.deliveries.test_dispatch import CREATE, FAILED, Bank
from tests.deliveries.test_dispatch import bank as bank  # noqa: PLC0414 - pytest finds it here.
from tests.house.repository import readme

ACCOUNTS = 3
EVENTS = 40
LOSSES_MAX = 2
"""How often one delivery's answer is lost at most, so that all is over before a signature is too old."""
REPLAYS = 3
AMENDED = """mutation ($account: ID!, $amount: Decimal!, $at: DateTime!) {
  createBankAccountBalance(bankAccountId: $account, input: {amount: $amount, timestamp: $at, currency: {code: "EUR"}}) {
    balance { id } } }"""
HELD = "{ accounts { nodes { id balance balances { totalCount } } } }"


def _receiver() -> dict[str, Any]:
    """What README's code defines."""
    (code,) = re.findall(r"^```python\n(.*?)^```", readme(), flags=re.DOTALL | re.MULTILINE)
    defined: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), defined)
    return defined


def _parted(request: bytes) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a request."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    return {name: value for name, _, value in lines}, body


async def test_each_event_does_its_work_once_however_often_and_in_whatever_order_it_comes(bank: Bank) -> None:
    chance = random.Random(20260301)
    defined = _receiver()
    receive: Callable[..., None] = defined["receive"]
    bank.gateway.now = datetime.now(UTC)  # A signature is good for five minutes of the receiver's clock.
    lost: Counter[str] = Counter()
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(defined["TABLES"])
        secret = ""

        async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
            headers, body = _parted(request)
            number = headers["webhook-id"]
            how = chance.choice(["taken", "before", "after", "silent"]) if lost[number] < LOSSES_MAX else "taken"
            lost[number] += how != "taken"
            if how != "before":
                receive(database, secret, headers, body)
            if how != "silent":
                writer.write(OK if how == "taken" else FAILED)
                await writer.drain()

        async with receiving(answer) as receiver:
            made = (await bank.gateway.ask(CREATE, url=receiver.url)).sound()["createWebhook"]
            secret = made["secret"]
            for number in range(EVENTS):
                account, at = chance.randint(1, ACCOUNTS), bank.gateway.now - timedelta(seconds=chance.randint(0, 99))
                given = {"account": f"account_{account}", "amount": number, "at": at.isoformat()}
                (await bank.gateway.ask(AMENDED, **given)).sound()
            while any(webhook["pendingCount"] for webhook in await bank.seen()):
                await bank.deliver()
                bank.gateway.now += timedelta(seconds=10)
            requests = list(receiver.requests)
        assert len(requests) > EVENTS + 10, "some came more than once"
        told = database.execute("SELECT * FROM balances ORDER BY account").fetchall()
        nodes = (await bank.gateway.ask(HELD)).sound()["accounts"]["nodes"]
        held = [(node["id"], node["balance"], node["balances"]["totalCount"]) for node in nodes]
        assert told == sorted(held)
        assert sum(entries for _, _, entries in told) == EVENTS
        for _ in range(REPLAYS):
            chance.shuffle(requests)
            for request in requests:
                receive(database, secret, *_parted(request))
        assert database.execute("SELECT * FROM balances ORDER BY account").fetchall() == told
        headers, body = _parted(requests[0])
        with pytest.raises(WebhookVerificationError):
            receive(database, secret, headers, body.replace(b'"amount"', b'"amounT"'))
