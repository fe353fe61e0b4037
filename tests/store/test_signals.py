"""What another process writes is heard of here: by a signal on PostgreSQL, else by looking."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from app.domain.events import ALL, Event
from app.feed import Feed
from app.store.signals import Signals
from tests.asking import Gateway

SECONDS = 30
"""How long a test waits for what has to come."""
NEVER = 3_600.0

ADD = """mutation ($name: String!) { createDivision(input: {code: $name}) { division { id } }
  createAccountBalanceHistoryConfig(input: {divisionCode: $name, cycleClosingTime: "12:00:00", cycleEventDelay: 5}) {
    userErrors { message } } }"""
OWNER = 'mutation { createContractor(input: {name: "Owner", isCustomer: true}) { contractor { id } } }'


@asynccontextmanager
async def listening(
    url: str, look_seconds: float, signals: Callable[[Feed], Signals] | None = None
) -> AsyncIterator[Callable[[], "asyncio.Future[Event]"]]:
    """A process that listens from now on; gives what waits for the next event."""
    here = Gateway(url)
    feed = Feed(here.store, look_seconds=look_seconds)
    works = [feed.run()] if signals is None else [feed.run(), signals(feed).run()]
    running = [asyncio.ensure_future(work) for work in works]
    events = feed.listen(None, ALL, 0)
    coming: asyncio.Future[Event] | None = None

    def following() -> "asyncio.Future[Event]":
        nonlocal coming
        coming = asyncio.ensure_future(anext(events))
        return coming

    try:
        yield following
    finally:
        tasks: list[asyncio.Future[Any]] = [*running, *([] if coming is None else [coming])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await here.store.close()


@pytest.fixture
async def elsewhere(database_url: str) -> AsyncIterator[Gateway]:
    """What another process has."""
    gateway = Gateway(database_url)
    (await gateway.ask(OWNER)).sound()
    yield gateway
    await gateway.store.close()


async def test_who_hears_nothing_looks_by_itself(database_url: str, elsewhere: Gateway) -> None:
    async with listening(database_url, 0.05) as following, asyncio.timeout(SECONDS):
        for name in ("A", "B"):
            coming = following()
            (await elsewhere.ask(ADD, name=name)).sound()
            assert (await coming).data["division_code"] == name


async def test_a_signal_wakes_who_would_not_look(postgresql_url: str) -> None:
    """Also after its connection was lost; what was written meanwhile is found when it is there again."""
    writer = Gateway(postgresql_url)
    (await writer.ask(OWNER)).sound()
    telling = Signals(postgresql_url, lambda: None)
    writer.store.committed = telling.tell
    running = asyncio.ensure_future(telling.run())
    heard = Heard(postgresql_url)
    async with listening(postgresql_url, NEVER, heard.signals) as following, asyncio.timeout(SECONDS):
        for name in ("A", "B"):
            await heard.times(1)
            coming = following()
            (await writer.ask(ADD, name=name)).sound()
            assert (await coming).data["division_code"] == name
        coming = following()
        await end_signals(postgresql_url)
        (await writer.ask(ADD, name="C")).sound()
        assert (await coming).data["division_code"] == "C"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await writer.store.close()


class Heard:
    """Counts the signals that come; the first one says that it is connected."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._count = 0
        self._news = asyncio.Condition()

    def signals(self, feed: Feed) -> Signals:
        def heard() -> None:
            feed.wake()
            self._count += 1
            self._telling = asyncio.ensure_future(self._tell())

        return Signals(self._url, heard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def times(self, count: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._count >= count)


async def end_signals(url: str) -> None:
    """End every connection that signals go over."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    ended = await connection.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'balance-gateway signals'"
        " AND datname = current_database()"
    )
    assert len(ended) == 2
    await connection.close()
