"""What a caller may ask in a minute, counted by one process and by several of one database."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from app import rates as counting
from app.domain.refusals import Code, Refusal
from app.rates import Allowance, Rates
from app.store.rates import Draw
from app.store.store import Store
from tests.asking import a_caller

MINUTE = 29_000_000
ADA, BEN = a_caller("default", subject="ada"), a_caller("default", subject="ben")


class Seconds:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = MINUTE * 60.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = Store(database_url)
    yield store
    await store.close()


def admitted(rates: Rates, tries: int, caller: object = ADA) -> int:
    """How many of so many requests are admitted."""
    count = 0
    for _ in range(tries):
        try:
            rates.admit(caller)  # type: ignore[arg-type]  # A caller.
        except Refusal:
            continue
        count += 1
    return count


def test_one_process_alone_is_exact_and_tells_when_to_come_again() -> None:
    seconds = Seconds()
    rates = Rates(Allowance(60, None), None, seconds)
    assert admitted(rates, 60) == 60
    seconds.now += 12.5
    with pytest.raises(Refusal) as raised:
        rates.admit(ADA)
    assert raised.value.code is Code.RATE_LIMITED
    assert raised.value.extensions == {"limit": 60, "unit": "requests", "retryAfter": 48}
    assert admitted(rates, 1, BEN) == 1
    seconds.now += 47.5
    assert admitted(rates, 100) == 60


def test_what_costs_more_than_is_left_is_refused_and_what_costs_less_is_not() -> None:
    rates = Rates(Allowance(None, 1_000), None, Seconds())
    rates.admit(ADA)
    rates.charge(ADA, 700)
    with pytest.raises(Refusal) as raised:
        rates.charge(ADA, 301)
    assert raised.value.extensions == {"limit": 1_000, "unit": "cost", "retryAfter": 60}
    rates.charge(ADA, 300)


def test_the_callers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "CALLERS_MAX", 3)
    rates = Rates(Allowance(1, None), None, Seconds())
    for number in range(10):
        assert admitted(rates, 2, a_caller("default", subject=str(number))) == 1
    assert len(rates._uses) == 3


@pytest.mark.parametrize("processes", [1, 3])
async def test_processes_share_a_minute(store: Store, processes: int) -> None:
    limit, part = 100, 10
    seconds = Seconds()
    shared = [Rates(Allowance(limit, None), store, seconds) for _ in range(processes)]
    total = 0
    for _ in range(200):
        for rates in shared:
            total += admitted(rates, 3)
            await rates.draw()
    assert limit - processes * part <= total <= limit + processes * (part + 1)
    if processes == 1:
        assert total == limit
    async with store._readers.connect() as connection:
        rows = (await connection.execute(text("SELECT caller, minute, requests FROM rates"))).all()
    assert [(row[0], row[1]) for row in rows] == [("ada", MINUTE)]
    seconds.now += 120
    assert admitted(shared[0], 5) == 5
    await shared[0].draw()
    async with store._readers.connect() as connection:
        assert (await connection.execute(text("SELECT minute FROM rates"))).scalars().all() == [MINUTE + 2]


async def test_a_process_that_comes_late_gets_what_is_left(store: Store) -> None:
    seconds = Seconds()
    async with asyncio.timeout(20):
        await store.work(None, lambda work: work.rates.draw(MINUTE, [Draw("ada", 95, 0)]))
    rates = Rates(Allowance(100, None), store, seconds)
    assert admitted(rates, 1) == 1
    await rates.draw()
    assert admitted(rates, 50) == 4


async def test_requests_draw_in_the_background_and_never_wait(store: Store) -> None:
    rates = Rates(Allowance(10_000, 1_000_000), store, Seconds())
    drawing = asyncio.create_task(rates.run())
    try:
        assert admitted(rates, 1_000) == 1_000
        async with asyncio.timeout(20):
            while rates._uses["ada"].requests.granted < 1_000:  # noqa: ASYNC110 - no event tells of it.
                await asyncio.sleep(0)
        assert admitted(rates, 500) == 500
    finally:
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)


async def test_without_the_database_each_process_counts_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_given: object) -> None:
        raise Refusal(Code.UNAVAILABLE, "The database does not answer; try again.")

    monkeypatch.setattr(store, "work", away)
    rates = Rates(Allowance(100, None), store, Seconds())
    assert admitted(rates, 50) == 10
    with capture_logs() as logs:
        await rates.draw()
    assert [log["event"] for log in logs] == ["rates_not_shared"]
    assert admitted(rates, 200) == 90
