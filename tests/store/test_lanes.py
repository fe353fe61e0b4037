"""Lanes: what breaks, or is left in the middle, costs nobody else an answer."""

import asyncio
import errno
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import pytest
from sqlalchemy import make_url

from app.domain.refusals import Code, Refusal
from app.store.lanes import Compiled
from app.store.signals import Signals
from app.store.store import Store
from app.store.wires import Wire

SECONDS = 20
ONE = Compiled("SELECT 1", [])
SLEEP = Compiled("SELECT pg_sleep(600)", [])
COUNT = Compiled(
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000000000) SELECT max(x) FROM n",
    [],
)


@pytest.fixture
async def server(postgresql_url: str) -> "AsyncIterator[asyncpg.Connection[Any]]":
    """A session of somebody else, who looks at the gateway's and ends them."""
    connection = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


async def sessions(server: "asyncpg.Connection[Any]", condition: str) -> int:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'balance-gateway'"
    mine = "datname = current_database()"
    return int(await server.fetchval(f"{statement} AND {mine} AND {condition}"))


async def ended(server: "asyncpg.Connection[Any]") -> None:
    """End all sessions of the gateway, and return when they are gone."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert await server.fetchval(f"SELECT count(pg_terminate_backend(pid, 10000)) {others}") > 0


async def until(told: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await told():  # noqa: ASYNC110 - a server has no event of ours.
            await asyncio.sleep(0.01)


async def test_a_lane_answers(database_url: str) -> None:
    store = Store(database_url)
    assert list(await store._lanes.row(ONE, {})) == [1]
    await store.close()


async def test_lanes_and_connections_that_broke_while_nobody_used_them_cost_no_answer(
    postgresql_url: str, server: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Wire] = []
    open_ = Wire.__init__

    def noting(wire: Wire, *given: Any) -> None:
        opened.append(wire)
        open_(wire, *given)

    monkeypatch.setattr(Wire, "__init__", noting)
    store = Store(postgresql_url, connections=3)

    async def read() -> int:
        async with store.reading(None) as reads:
            return len(await reads.units())

    for _ in range(2):
        assert await asyncio.gather(*(store._lanes.row(ONE, {}) for _ in range(3)), read(), read())
        await ended(server)
        # The server's last word comes before the end of the connection: nobody asks between the two.
        while not all(wire.is_closed() for wire in opened):  # noqa: ASYNC110 - another process ends them.
            await asyncio.sleep(0)
    for _ in range(3):
        assert await read() == 0
        assert list(await store._lanes.row(ONE, {})) == [1]
    await store.close()


@pytest.mark.parametrize("failure", [OSError(errno.EHOSTUNREACH, ""), socket.gaierror(), ConnectionRefusedError()])
async def test_a_server_that_cannot_be_reached_is_unavailable(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, failure: OSError
) -> None:
    async def fails(*_given: Any, **_more: Any) -> Any:
        raise failure

    store = Store(postgresql_url)
    with monkeypatch.context() as patched:
        patched.setattr(asyncpg, "connect", fails)
        with pytest.raises(Refusal) as of_lane:
            await store._lanes.row(ONE, {})
        with pytest.raises(Refusal) as of_reading:
            async with store.reading(None):
                pass
        with pytest.raises(Refusal) as of_work:
            await store.work(None, lambda work: work.directory.add_unit("never"))
    for refused in (of_lane, of_reading, of_work):
        assert (refused.value.code, refused.value.extensions) == (Code.UNAVAILABLE, {})
    assert list(await store._lanes.row(ONE, {})) == [1]
    await store.close()


async def test_a_lane_that_breaks_in_a_question_is_unavailable_and_the_next_one_is_answered(
    postgresql_url: str, server: "asyncpg.Connection[Any]"
) -> None:
    store = Store(postgresql_url, connections=2, statement_seconds=600)
    asking = asyncio.create_task(store._lanes.row(SLEEP, {}))
    await until(lambda: _are(1, sessions(server, "state = 'active'")))
    await ended(server)
    with pytest.raises(Refusal) as refused:
        await asking
    assert refused.value.code is Code.UNAVAILABLE
    assert list(await store._lanes.row(ONE, {})) == [1]
    await store.close()


@pytest.mark.parametrize("way", ["lane", "reading", "work"])
@pytest.mark.parametrize("turns", range(4))
async def test_a_session_that_is_ended_just_before_it_is_asked_is_a_database_that_does_not_answer(
    postgresql_url: str, turns: int, way: str
) -> None:
    """So many turns of the event loop after its end was told; the driver calls that a mistake of its own."""
    store = Store(postgresql_url)

    async def ask() -> None:
        if way == "lane":
            assert list(await store._lanes.row(ONE, {})) == [1]
        elif way == "reading":
            async with store.reading(None) as reads:
                await reads.units()
        else:
            await store.work(None, lambda work: work.try_to_write())

    async def end() -> None:
        other = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
        await ended(other)
        await other.close()

    async with store.reading(None) as reads:
        await reads.units()
    await store._lanes.row(ONE, {})
    ending = threading.Thread(target=lambda: asyncio.run(end()))
    ending.start()
    ending.join()  # Meanwhile this loop hears nothing.
    for _ in range(turns):
        await asyncio.sleep(0)
    with suppress(Refusal):
        await ask()
    await ask()
    await store.close()


async def test_postgresql_leaves_a_statement_that_nobody_waits_for(
    postgresql_url: str, server: "asyncpg.Connection[Any]"
) -> None:
    store = Store(postgresql_url, connections=2, statement_seconds=600)
    asking = asyncio.create_task(store._lanes.row(SLEEP, {}))
    await until(lambda: _are(1, sessions(server, "state = 'active'")))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: _are(0, sessions(server, "true")))
    assert list(await store._lanes.row(ONE, {})) == [1]
    await store.close()


async def test_a_server_that_stands_still_holds_nobody_up_at_the_end(postgresql_url: str) -> None:
    store = Store(postgresql_url)
    (pid,) = await store._lanes.row(Compiled("SELECT pg_backend_pid()", []), {})
    os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(SECONDS):
            await store.close()
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_sqlite_leaves_a_statement_that_nobody_waits_for(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(sqlite_url, connections=2, statement_seconds=600)
    before = set(threading.enumerate())
    asked = asyncio.Event()
    execute = aiosqlite.Connection.execute_fetchall

    def noted(connection: aiosqlite.Connection, sql: str, *given: Any) -> Any:
        if sql == COUNT.sql:
            asyncio.get_running_loop().call_soon(asked.set)
        return execute(connection, sql, *given)

    monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", noted)
    asking = asyncio.create_task(store._lanes.row(COUNT, {}))
    await asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join, SECONDS)
        assert not thread.is_alive()
    assert list(await store._lanes.row(ONE, {})) == [1]
    await store.close()


@pytest.mark.parametrize("statement", [SLEEP, COUNT], ids=["postgresql", "sqlite"])
async def test_a_question_that_takes_too_long_is_told_so_and_the_lane_goes_on(
    request: pytest.FixtureRequest, statement: Compiled
) -> None:
    url = request.getfixturevalue("postgresql_url" if statement is SLEEP else "sqlite_url")
    store = Store(url, connections=2, statement_seconds=0.2)
    with pytest.raises(Refusal) as refused:
        await store._lanes.row(statement, {})
    assert refused.value.code is Code.TIMEOUT
    assert list(await store._lanes.row(ONE, {})) == [1]
    await store.close()


async def test_whoever_leaves_when_it_is_its_turn_lets_the_next_one_have_it(database_url: str) -> None:
    store = Store(database_url, connections=2)
    lanes: Any = store._lanes
    queue = lanes._queue
    taken = [await queue.take(), await queue.take()]
    waiting = [asyncio.create_task(queue.take()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.give(taken.pop())
    waiting[0].cancel()
    async with asyncio.timeout(SECONDS):
        taken.append(await waiting[1])
    for each in taken:
        queue.give(each)
    await store.close()


async def _are(wanted: int, counting: Awaitable[int]) -> bool:
    return await counting == wanted


def kept_alive(port: int) -> list[bool]:
    """Of each connection of this process to a port: whether the system asks if somebody is still there."""
    mine = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # The one that lists them is gone by then.
            mine.add(str(each.readlink()))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    ours = [row for row in rows if row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in mine]
    return [row[5].startswith("02:") for row in ours]


async def test_each_connection_notices_a_network_that_went_silent(postgresql_url: str) -> None:
    store = Store(postgresql_url)
    hearing = asyncio.ensure_future(Signals(postgresql_url, lambda: None).run())
    await store._lanes.row(ONE, {})
    await store.is_empty()
    port = make_url(postgresql_url).port
    assert port is not None
    await until(lambda: asyncio.sleep(0, len(kept_alive(port)) == 3))
    assert kept_alive(port) == [True, True, True]
    hearing.cancel()
    await store.close()
