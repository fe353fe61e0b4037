"""What becomes of an operation that nobody waits for: a query ends, also in the database, and a mutation goes on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.store.store import Store
from app.web.operations import OutcomeUnknown
from tests.asking import Gateway

SECONDS = 20
ADD = """mutation { createBankAccountBalance(bankAccountId: "account_1", input:
  {amount: 7, timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}}) { balance { id } } }"""
BY_WAY = {
    "answer": '{ account(id: "account_1") { balance } }',
    "reading": "{ events(first: 1) { nodes { id } } }",
}
LONG = """WITH RECURSIVE n(x) AS (SELECT coalesce(begun(), 1) UNION ALL SELECT x + 1 FROM n WHERE x < 100000000000)
  SELECT max(x) FROM n"""


async def test_a_mutation_that_is_not_waited_for_is_done_all_the_same(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    def held(writes: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def writing(*given: Any, **more: Any) -> Any:
            begun.set()
            await go_on.wait()
            return await writes(*given, **more)

        return writing

    for name in ("work", "record_as_seen"):  # Whichever of them does it.
        monkeypatch.setattr(filled.store, name, held(getattr(filled.store, name)))
    asking = asyncio.create_task(filled.ask(ADD))
    await begun.wait()
    asking.cancel()
    with pytest.raises(OutcomeUnknown):
        await asking
    go_on.set()
    await filled._run.finish()
    assert not filled._run._writing
    answer = await filled.ask('{ account(id: "account_1") { balance } }')
    assert answer.sound() == {"account": {"balance": "7"}}


@pytest.mark.parametrize("document", BY_WAY.values(), ids=BY_WAY)
async def test_a_query_that_is_not_waited_for_ends(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch, document: str
) -> None:
    """Whichever way it is answered: by one statement, or by resolvers that read."""
    begun, ended = asyncio.Event(), asyncio.Event()
    ways: list[str] = []

    async def held(way: str) -> Any:
        ways.append(way)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    class Held:
        def __init__(self, _units: Any) -> None:
            pass

        async def __aenter__(self) -> Any:
            await held("reading")

        async def __aexit__(self, *raised: object) -> None:
            raise AssertionError

    monkeypatch.setattr(filled.store, "reading", Held)
    monkeypatch.setattr(filled.store, "answer", lambda *_given: held("answer"))
    asking = asyncio.create_task(filled.ask(document))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await asking
    assert not isinstance(raised.value, OutcomeUnknown)
    async with asyncio.timeout(SECONDS):
        await ended.wait()
    assert [BY_WAY[way] for way in ways] == [document]


@pytest.fixture
async def looking(postgresql_url: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """How many statements of the gateway run on the server."""
    engine = create_async_engine(postgresql_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    async def running() -> int:
        statement = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
            " AND application_name = 'balance-gateway'"
        )
        async with engine.connect() as connection:
            return int((await connection.execute(text(statement))).scalar_one())

    yield running
    await engine.dispose()


async def until(told: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await told():  # noqa: ASYNC110 - a server has no event of ours.
            await asyncio.sleep(0.01)


async def test_postgresql_cancels_the_statement(postgresql_url: str, looking: Callable[[], Awaitable[int]]) -> None:
    store = Store(postgresql_url, statement_seconds=600)

    async def read() -> None:
        async with store.reading(None) as reading:
            await reading._connection.execute(text("SELECT pg_sleep(600)"))

    async def is_running() -> bool:
        return await looking() == 1

    async def is_over() -> bool:
        return await looking() == 0

    asking = asyncio.create_task(read())
    await until(is_running)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(is_over)
    assert await store.problems() == []
    await store.close()


async def test_sqlite_interrupts_the_statement(sqlite_url: str) -> None:
    store = Store(sqlite_url, statement_seconds=600)
    begun = threading.Event()
    drivers: list[int] = []

    def tell() -> None:
        drivers.append(threading.get_native_id())
        begun.set()

    async def read() -> None:
        async with store.reading(None) as reading:
            raw: Any = await reading._connection.get_raw_connection()
            await raw.driver_connection.create_function("begun", 0, tell)
            await reading._connection.execute(text(LONG))

    asking = asyncio.create_task(read())
    assert await asyncio.to_thread(begun.wait, SECONDS)
    asking.cancel()
    done, _ = await asyncio.wait([asking], timeout=SECONDS)
    assert done
    assert asking.cancelled()
    own = psutil.Process()

    async def has_ended() -> bool:
        return drivers[0] not in {thread.id for thread in own.threads()}

    await until(has_ended)
    assert await store.problems() == []
    await store.close()
