"""The store's promises: durable settings, one writer, bounded statements, plain refusals."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from app.domain.refusals import Code, Refusal
from app.store.store import AGAIN_MAX, PAUSE_SECONDS, READINGS_MAX, Store, Work
from tests.asking import Gateway
from tests.faults.asking import SETUP

SLOW = {
    "sqlite": """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
        SELECT max(i) FROM n""",
    "postgresql": "SELECT pg_sleep(60)",
}


async def _pragmas(connection: Any) -> dict[str, Any]:
    names = ("journal_mode", "synchronous", "foreign_keys", "query_only", "wal_autocheckpoint")
    return {name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in names}


async def test_sqlite_keeps_what_it_said_and_readers_write_nothing(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    writing: dict[str, Any] = await store.work(None, lambda work: _pragmas(work.reads._connection))
    async with store.reading(None) as reads:
        reading = await _pragmas(reads._connection)
    await store.close()
    assert (writing["journal_mode"], writing["synchronous"], writing["foreign_keys"]) == ("wal", 2, 1)
    assert (reading["query_only"], reading["wal_autocheckpoint"], reading["foreign_keys"]) == (1, 0, 1)


async def test_a_statement_that_runs_too_long_is_stopped_and_the_next_one_runs(database_url: str) -> None:
    store = Store(database_url, statement_seconds=0.2)
    with pytest.raises(Refusal) as refused:
        async with store.reading(None) as reads:
            await reads._connection.execute(text(SLOW[store.dialect.name]))
    assert refused.value.code is Code.TIMEOUT
    async with store.reading(None) as reads:
        assert await reads.units() == []
    await store.close()


async def test_readings_leave_a_connection_to_works_however_many_they_are(database_url: str) -> None:
    store = Store(database_url, connections=READINGS_MAX + 2)
    here = highest = 0
    full, let_go = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        nonlocal here, highest
        async with store.reading(None) as reads:
            here += 1
            highest = max(highest, here)
            await reads.units()
            if here == READINGS_MAX:
                full.set()
            await let_go.wait()
            here -= 1

    reading = [asyncio.ensure_future(read()) for _ in range(4 * READINGS_MAX)]
    async with asyncio.timeout(30):
        await full.wait()
        await asyncio.gather(*(store.work(None, lambda work: work.directory.unit_ids(["none"])) for _ in range(10)))
    assert (here, highest) == (READINGS_MAX, READINGS_MAX)
    let_go.set()
    await asyncio.gather(*reading)
    assert (here, highest) == (0, READINGS_MAX)
    await store.close()


async def test_what_a_failed_work_wrote_never_was(database_url: str) -> None:
    store = Store(database_url)

    async def act(work: Work) -> None:
        await work.directory.add_unit("never")
        raise LookupError

    with pytest.raises(LookupError):
        await store.work(None, act)
    async with store.reading(None) as reads:
        assert await reads.units() == []
    await store.close()


async def test_a_race_for_a_unique_key_is_run_again_until_it_is_seen(database_url: str) -> None:
    store = Store(database_url)
    tries = 0

    async def act(work: Work) -> str:
        nonlocal tries
        tries += 1
        found = await work.directory.unit_ids(["same"])
        await asyncio.sleep(0)
        if not found:
            await work.directory.add_unit("same")
        return "found" if found else "made"

    outcomes = await asyncio.gather(*(store.work(None, act) for _ in range(16)))
    await store.close()
    assert sorted(outcomes) == ["found"] * 15 + ["made"]
    assert tries >= 16


class Pauses:
    """Waits for nothing, and knows how long it was asked to."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)


async def test_a_race_that_is_lost_each_time_is_given_up_and_leaves_nothing(database_url: str) -> None:
    """FS06: five times more, after pauses that are random, and of which each may be longer."""
    pauses = Pauses()
    store = Store(database_url, pause=pauses)
    await store.work(None, lambda work: work.directory.add_unit("taken"))
    tries = 0

    async def act(work: Work) -> None:
        nonlocal tries
        tries += 1
        await work.directory.add_unit("never")
        await work.directory.add_unit("taken")

    with pytest.raises(Refusal, match="Too many others write the same") as refused:
        await store.work(None, act)
    assert (refused.value.code, refused.value.extensions) == (Code.UNAVAILABLE, {})
    assert (tries, len(pauses.asked)) == (6, 5)
    assert all(0 <= asked <= PAUSE_SECONDS * 2**number for number, asked in enumerate(pauses.asked))
    assert len(set(pauses.asked)) == 5
    async with store.reading(None) as reads:
        assert await reads.units() == ["taken"]
    await store.close()


@pytest.mark.parametrize("lost", [1, 5, 6])
async def test_a_work_that_can_not_be_put_into_an_order_is_done_again(postgresql_url: str, lost: int) -> None:
    """FS06: PostgreSQL breaks off (40001) who changes what another one has changed since it looked."""
    store = Store(postgresql_url, pause=Pauses())
    await store.work(None, lambda work: work.directory.add_unit("0"))
    other = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    tries = 0

    async def act(work: Work) -> None:
        nonlocal tries
        tries += 1
        connection = work.reads._connection
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        name = (await connection.execute(text("SELECT name FROM units"))).scalar_one()
        if tries <= lost:
            await other.execute("UPDATE units SET name = $1", str(int(name) + 10))
        await connection.execute(text("UPDATE units SET name = :name"), {"name": str(int(name) + 1)})

    if lost <= AGAIN_MAX:
        await store.work(None, act)
    else:
        with pytest.raises(Refusal, match="Too many others write the same"):
            await store.work(None, act)
    assert tries == min(lost, AGAIN_MAX) + 1
    async with store.reading(None) as reads:
        assert await reads.units() == [str(10 * lost + (lost <= AGAIN_MAX))], "each change counts once"
    await other.close()
    await store.close()


async def test_a_writer_waits_for_one_of_another_process(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(store.work(None, lambda work: work.directory.add_unit("waited")))
    async with store.reading(None) as reads:
        # Readers go on beside a writer, whoever it is.
        assert await reads.units() == []
    assert not waiting.done()
    other.execute("COMMIT")
    other.close()
    await waiting
    async with store.reading(None) as reads:
        assert await reads.units() == ["waited"]
    await store.close()


async def test_works_of_two_processes_that_read_before_they_write_lose_nothing(sqlite_url: str) -> None:
    """Two stores on one file stand for two processes: each has a writer of its own."""
    stores = [Store(sqlite_url) for _ in range(2)]

    async def add_one(work: Work) -> None:
        units = await work.reads.units()
        await asyncio.sleep(0)  # The other one's turn.
        await work.directory.add_unit(f"unit-{len(units)}")

    await asyncio.gather(*(store.work(None, add_one) for store in stores for _ in range(10)))
    async with stores[0].reading(None) as reads:
        assert sorted(await reads.units()) == sorted(f"unit-{number}" for number in range(20))
    for store in stores:
        await store.close()


@pytest.mark.parametrize("amount", ["'NaN'", "'Infinity'", "'x'", "'9223372036854775808'"])
async def test_what_is_no_amount_is_not_stored_by_another_tool_either(database_url: str, amount: str) -> None:
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    await gateway.store.close()
    statement = f"UPDATE positions SET balance = {amount}"
    if database_url.startswith("sqlite"):
        with (
            closing(sqlite3.connect(database_url.removeprefix("sqlite+aiosqlite:///"))) as tool,
            pytest.raises(sqlite3.IntegrityError),
        ):
            tool.execute(statement)
        return
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    with pytest.raises(asyncpg.DataError):
        await connection.execute(statement)
    await connection.close()
