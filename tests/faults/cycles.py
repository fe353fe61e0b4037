"""Divisions whose closings are days late, a receiver that is to be told of all, and what must hold in the end."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import text

from app import runner
from app.deliveries.webhooks import WebhookSender
from app.dispatch import Dispatcher
from app.domain.events import ALL, Event, EventType
from app.store.store import Store
from tests.asking import Gateway
from tests.deliveries.receiving import OK, Answer, Receiver, receiving
from tests.faults import invariants
from tests.servers import PROGRAM, environment

SECONDS = 60
"""How long a test waits for a process."""
FAULTY = (sys.executable, "-m", "tests.faults.runner_program")
PROGRAM_ITSELF = (str(PROGRAM),)
SETTINGS = {
    "BALANCE_GATEWAY_WEBHOOKS_ALLOW_PRIVATE": "true",
    "BALANCE_GATEWAY_GRAPHIQL": "false",
    # Closings of long ago are told to who listens closely.
    "BALANCE_GATEWAY_LOG_LEVEL": "debug",
}
ACCOUNTS = 7
DAYS = 3
"""How many closings of each division are late."""

SETUP = 'mutation { createContractor(input: {name: "Owner", isCustomer: true}) { contractor { id } } }'
DIVISION = """mutation ($code: String!) { createDivision(input: {code: $code}) { userErrors { message } }
  createAccountBalanceHistoryConfig(input: {divisionCode: $code, cycleClosingTime: "12:00:00", cycleEventDelay: 5}) {
    userErrors { message } } }"""
ACCOUNT = """mutation ($name: String!, $code: String!) { createAccount(input: {name: $name, externalId: $name,
  divisionCode: $code, contractorId: "contractor_1"}) { userErrors { message } } }"""
WEBHOOK = "mutation ($url: String!) { createWebhook(input: {url: $url}) { userErrors { message } } }"
BATCH = """mutation ($items: [AccountBalanceInput!]!) {
  registerBatchAccountBalances(input: {accountBalances: $items}) { rejectedCount } }"""


class Late:
    """A database on which nobody has closed anything for days; each account has one entry a day."""

    def __init__(self, url: str, receiver: Receiver, divisions: list[str]) -> None:
        self.url = url
        self.receiver = receiver
        self.divisions = divisions
        self.ready_at = datetime.now(UTC)
        """When all of them are due; the next one is not for a day."""

    async def prepare(self) -> None:
        # The closing before the first one that is late has just passed.
        noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
        first = noon if datetime.now(UTC) - noon >= timedelta(minutes=6) else noon - timedelta(days=1)
        self.ready_at = first + timedelta(minutes=6)
        gateway = Gateway(self.url, allow_private_webhooks=True)
        gateway.now = first - timedelta(days=DAYS, hours=-1)
        documents: list[tuple[str, dict[str, Any]]] = [(SETUP, {}), (WEBHOOK, {"url": self.receiver.url})]
        documents += [(DIVISION, {"code": code}) for code in self.divisions]
        names = [(f"{code}-{number}", code) for code in self.divisions for number in range(ACCOUNTS)]
        documents += [(ACCOUNT, {"name": name, "code": code}) for name, code in names]
        items = [
            {
                "accountExtId": name,
                "communicationNumber": f"{name}-{day}",
                "requester": "test",
                "value": str(100 * place + day),
                "balanceAt": (gateway.now + timedelta(days=day, hours=1)).isoformat(),
            }
            for day in range(DAYS)
            for place, (name, _) in enumerate(names)
        ]
        for document, variables in [*documents, (BATCH, {"items": items})]:
            answer = await gateway.ask(document, **variables)
            assert not any(each.get("userErrors") or each.get("rejectedCount") for each in answer.sound().values())
        await gateway.store.close()

    @asynccontextmanager
    async def runner(self, ahead: timedelta) -> AsyncIterator[runner.Runner]:
        """A runner in this process, whose clock is so much ahead."""
        async with a_runner(self.url, lambda: datetime.now(UTC) + ahead) as itself:
            yield itself

    async def make_up(self, ahead: timedelta = timedelta(minutes=2)) -> None:
        """Do what is due, when all leases are over."""
        async with self.runner(ahead) as itself, asyncio.timeout(SECONDS):
            await itself.once()

    async def log(self) -> list[Event]:
        store = Store(self.url)
        async with store.reading(None) as reads:
            end = (await reads.log.bounds()).end
            events = await reads.log.page(ALL, after=0, until=end, limit=10_000)
        await store.close()
        return events

    async def violations(self) -> list[str]:
        """What does not hold of closings that are made up and events that are delivered, as sentences."""
        events = await self.log()
        return [*(await self._closings(events)), *self._deliveries(events)]

    async def _closings(self, events: list[Event]) -> list[str]:
        broken = []
        store = Store(self.url)
        async with store.reading(None) as reads:
            rows = (
                await reads._connection.execute(
                    text(
                        "SELECT division_id, closing_at, completed_at, account_count FROM closings ORDER BY closing_at"
                    )
                )
            ).all()
            history = (
                await reads._connection.execute(
                    text("SELECT account_id, opening, closing FROM history_entries ORDER BY account_id, closing_at")
                )
            ).all()
        await store.close()
        expected = dict.fromkeys(range(1, len(self.divisions) + 1), DAYS)
        if Counter(row[0] for row in rows) != expected:
            broken.append(f"the closings are {rows}")
        if any(row[2] is None or row[3] != ACCOUNTS for row in rows):
            broken.append(f"a closing is not complete: {rows}")
        if Counter(row[0] for row in history) != dict.fromkeys(range(1, len(self.divisions) * ACCOUNTS + 1), DAYS):
            broken.append("an account has not one row of history a day")
        chained = ((one, two) for one, two in pairwise(history) if one[0] == two[0])
        broken += [f"{two} does not follow {one}" for one, two in chained if one[2] != two[1]]
        for type_, subjects in ((EventType.BALANCE_HISTORY, ACCOUNTS), (EventType.DIVISION_CYCLE_CLOSING, 1)):
            told = Counter(
                (event.subject, event.data["cycle_closing_datetime"]) for event in events if event.type is type_
            )
            if set(told.values()) != {1} or len(told) != DAYS * subjects * len(self.divisions):
                broken.append(f"of {type_}: {told}")
        return broken

    def _deliveries(self, events: list[Event]) -> list[str]:
        """Every event has reached the receiver, each with one id and one content, of each subject in order."""
        come: dict[str, Any] = {}
        repeated = [event for event in self.receiver.events if come.setdefault(event["id"], event) != event]
        broken = [f"{event['id']} came with two contents" for event in repeated]
        if set(come) != {f"event_{event.id}" for event in events}:
            broken.append(f"{len(events)} events happened, and {len(come)} have come")
        order: dict[str, list[int]] = {}
        for name, event in come.items():
            order.setdefault(event["subject"], []).append(int(name.removeprefix("event_")))
        return broken + [
            f"the events of {name} came as {found}" for name, found in order.items() if found != sorted(found)
        ]


@asynccontextmanager
async def a_runner(url: str, clock: Callable[[], datetime]) -> AsyncIterator[runner.Runner]:
    store, sender = Store(url), WebhookSender(allow_private=True)
    dispatcher = Dispatcher(store, sender=sender, mailer=None, source="balance-gateway", clock=clock)
    try:
        yield runner.Runner(store, clock=clock, retention=timedelta(days=30), dispatcher=dispatcher)
    finally:
        await sender.close()
        await store.close()


@asynccontextmanager
async def late(url: str, *divisions: str, answer: bytes | Answer = OK) -> AsyncIterator[Late]:
    """Such divisions; whatever was done to them, the database is sound in the end."""
    async with receiving(answer) as receiver:
        made = Late(url, receiver, list(divisions or ("NO",)))
        await made.prepare()
        yield made
    assert await invariants.violations(url) == []


class Process:
    """A command of the gateway, whose standard error is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    async def says(self, what: str) -> None:
        """Read on until it says something."""
        assert self._process.stderr is not None
        async with asyncio.timeout(SECONDS):
            line = ""
            while what not in line:
                line = (await self._process.stderr.readline()).decode()
                assert line, self.lines
                self.lines.append(line)

    async def end(self) -> int:
        """Wait for its end; its status."""
        async with asyncio.timeout(SECONDS):
            _, rest = await self._process.communicate()
        self.lines += rest.decode().splitlines(keepends=True)
        assert self._process.returncode is not None
        return self._process.returncode

    def signal(self, number: int) -> None:
        self._process.send_signal(number)


@asynccontextmanager
async def started(
    url: str, *arguments: str, program: tuple[str, ...] = PROGRAM_ITSELF, fault: str | None = None
) -> AsyncIterator[Process]:
    """A command that runs; killed where it still does in the end."""
    settings = SETTINGS | ({} if fault is None else {"FAULT": fault})
    process = await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        env=environment(url, settings) | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109 - where the tests are.
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
