"""Many at once, and those who hold something for long: nobody is refused needlessly, and who waits is told in time."""

import asyncio
import contextlib
import itertools
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import asyncpg
import pytest
from sqlalchemy import event, text
from structlog.testing import capture_logs

from app.runner import Runner, configured_divisions, overdue
from app.store import places, postgres, sqlite
from app.store.failures import TooMany
from app.store.store import Store
from tests.asking import Answer, Gateway
from tests.benchmarks import closing
from tests.databases import Databases, Kind
from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, SETUP, Item, Told, asked, items, numbered
from tests.faults.test_databases_fail import _prepared
from tests.graphql.test_idempotency import once
from tests.servers import GatewayProcess, serving

QUIET = {"runner": "false", "graphiql": "false"}
WRITERS, ROUNDS = 64, 20
READERS = 200
CROWD = 7
SLOW = 500
DIVISIONS = 10_000
CLOSING_SECONDS_MAX = 120
"""Thrice what they take."""
PAUSE_SECONDS = 0.025
"""Between two questions of a neighbour."""
NORMAL_SECONDS_MAX = 2.0
"""Ten times what a normal client may wait among slow ones: two cores serve all that runs here."""
GRACE_SECONDS = 5.0
CONTRACTOR = 'mutation { createContractor(input: {name: "B", isVendor: true}) { contractor { id } } }'
ACCOUNT = """mutation ($name: String!) { createAccount(input: {name: $name, externalId: $name,
  contractorId: "contractor_1"}) { userErrors { message } } }"""


def _file(url: str) -> str:
    return url.removeprefix("sqlite+aiosqlite:///")


async def test_64_writers_are_all_answered(database_url: str) -> None:
    """FS07: each writes twenty batches, one after another; no lock is lost, and nothing is refused."""
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    sent: dict[str, Item] = {}

    async def write(writer: int) -> None:
        for number in range(ROUNDS):
            batch = items(f"{writer}-{number}", 1)
            told = (await gateway.ask(REGISTER, items=batch)).sound()["registerBatchAccountBalances"]
            assert [each["errorCode"] for each in told["results"]] == [None]
            sent.update(numbered(batch))

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    await gateway.store.close()
    assert len(sent) == WRITERS * ROUNDS
    assert await invariants.violations(database_url, invariants.Told(sent)) == []


async def test_batches_over_the_same_accounts_in_opposite_orders_are_all_answered(database_url: str) -> None:
    """FS06: the shape of a deadlock."""
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    names = [f"A{number}" for number in range(8)]
    for name in names:
        (await gateway.ask(ACCOUNT, name=name)).sound()
    sent: dict[str, Item] = {}

    async def write(writer: int) -> None:
        order = names if writer % 2 else names[::-1]
        batch = [
            {**item, "accountExtId": name} for item, name in zip(items(f"{writer}", len(order)), order, strict=True)
        ]
        told = (await gateway.ask(REGISTER, items=batch)).sound()["registerBatchAccountBalances"]
        assert [each["errorCode"] for each in told["results"]] == [None] * len(order)
        sent.update(numbered(batch))

    await asyncio.gather(*(write(writer) for writer in range(48)))
    await gateway.store.close()
    told = invariants.Told(sent, batches=[[f"{writer}-{n}" for n in range(len(names))] for writer in range(48)])
    assert await invariants.violations(database_url, told) == []


@pytest.mark.parametrize("key", [None, "key"])
async def test_who_is_broken_off_in_a_deadlock_is_answered_all_the_same(
    databases: Databases, postgresql_url: str, key: str | None
) -> None:
    """FS06: somebody locks two accounts in the other order; by one statement, and by a work."""
    url = postgresql_url.replace("+asyncpg", "")
    other, watcher = await asyncpg.connect(url), await asyncpg.connect(url)
    # The gateway is the one who looks for deadlocks, and so the one who is broken off.
    await other.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET deadlock_timeout = '50ms'")
    await other.execute("SET deadlock_timeout = '60s'")
    gateway = Gateway(postgresql_url)
    (await gateway.ask(SETUP)).sound()
    (await gateway.ask(ACCOUNT, name="second")).sound()
    batch = [{**item, "accountExtId": name} for item, name in zip(items("n", 2), ("EXT", "second"), strict=True)]
    locking = "SELECT FROM positions WHERE account_id = $1 FOR UPDATE"

    async def write() -> Any:
        if key is None:
            return (await gateway.ask(REGISTER, items=batch)).body
        return (await once(gateway, REGISTER, key, items=batch))[0]

    broken = databases.cluster.log().count("deadlock detected")
    async with asyncio.timeout(GRACE_SECONDS):
        async with other.transaction():
            await other.execute(locking, 2)
            writing = asyncio.ensure_future(write())
            while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - another process tells.
                await asyncio.sleep(0)
            await other.execute(locking, 1)
        results = (await writing)["data"]["registerBatchAccountBalances"]["results"]
    assert [each["errorCode"] for each in results] == [None, None]
    assert databases.cluster.log().count("deadlock detected") == broken + 1
    for each in (other, watcher, gateway.store):
        await each.close()
    assert await invariants.violations(postgresql_url, invariants.Told(numbered(batch))) == []


@contextmanager
def _holding(url: str, lock: str = "SELECT * FROM positions FOR UPDATE") -> Iterator[Callable[[], object]]:
    """Somebody else who holds what every write needs; called, lets go of it. `lock` is PostgreSQL's."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(_file(url), isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield lambda: other.execute("COMMIT")
        return
    with asyncio.Runner() as runner:
        session = runner.run(asyncpg.connect(url.replace("+asyncpg", "")))
        runner.run(session.execute(f"BEGIN; {lock}"))
        yield lambda: runner.run(session.execute("COMMIT"))
        runner.run(session.close())


def test_who_waits_for_another_process_too_long_is_told_so_and_nothing_is_stored(
    database_url: str, tmp_path: Path
) -> None:
    """FS07: a lock is waited for eight seconds; readings go on beside."""
    asyncio.run(_prepared(database_url))
    with serving(database_url, tmp_path, **QUIET) as gateway, _holding(database_url) as let_go:
        told: list[Any] = []
        batch = items("n", 2)
        begun = time.monotonic()
        writing = threading.Thread(target=lambda: told.append(asked(gateway, REGISTER, items=batch)))
        writing.start()
        read = asked(gateway, READ)
        assert read is not None
        assert read.body["data"]["account"]["balance"] == "0"
        writing.join()
        assert sqlite.BUSY_SECONDS == postgres.LOCK_SECONDS == 8
        assert 7 < time.monotonic() - begun < 8 + GRACE_SECONDS
        (answer,) = told
        assert (answer.status, answer.codes) == (503, ["UNAVAILABLE"]), answer
        assert "retry-after" in answer.headers
        let_go()
        again = asked(gateway, REGISTER, items=batch)
        assert again is not None
        assert [each["errorCode"] for each in again.results] == [None, None]


async def test_who_waits_for_a_connection_too_long_is_told_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FS08: all connections are taken, by statements, by readings and by works; each kind is told apart."""
    monkeypatch.setattr(places, "STILL_SECONDS", 0.3)
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    await gateway.store.close()
    gateway.store = store = Store(database_url, connections=2)
    lanes: Any = store._lanes
    taken = [await lanes._queue.take() for _ in range(2)]
    await _is_told_of_too_many(gateway, READ)
    for lane in taken:
        lanes._queue.give(lane)
    assert (await gateway.ask(READ)).sound()["account"]["balance"] == "0"

    let_go = asyncio.Event()
    async with store.reading(None):
        with pytest.raises(TooMany):
            await configured_divisions(store)
    works = [
        asyncio.ensure_future(store.work(None, lambda _work: let_go.wait()))
        for _ in range(1 if store.dialect.name == "sqlite" else 2)
    ]
    await _is_told_of_too_many(gateway, CONTRACTOR)
    # Readings share their connections with works on PostgreSQL: all wait at once, not one after another.
    begun = time.monotonic()
    told = await asyncio.gather(*(configured_divisions(store) for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in told] == [list if store.dialect.name == "sqlite" else TooMany] * 5
    assert time.monotonic() - begun < 4 * 0.3
    # Whoever watches the gateway has a connection of its own.
    assert await store.problems() == []
    assert await overdue(store, gateway.now) == []
    let_go.set()
    await asyncio.gather(*works)
    (await gateway.ask(REGISTER, items=items("n", 1))).sound()
    (await gateway.ask(CONTRACTOR)).sound()
    await store.close()


async def _is_told_of_too_many(gateway: Gateway, query: str) -> None:
    async with asyncio.timeout(GRACE_SECONDS):
        answer = await gateway.ask(query)
    assert answer.codes == ["UNAVAILABLE"]
    assert answer.errors[0]["message"] == "Too much is asked of the database at once; try again."


LOCKED = "LOCK TABLE positions IN ACCESS EXCLUSIVE MODE"
"""Held by somebody, readings of balances wait too."""


def _timed(gateway: GatewayProcess, query: str, **given: Any) -> tuple[Told, float]:
    begun = time.monotonic()
    told = asked(gateway, query, **given)
    assert told is not None
    return told, time.monotonic() - begun


def test_who_finds_all_connections_taken_is_told_within_two_seconds_and_health_answers(
    database_url: str, tmp_path: Path
) -> None:
    """FS08: two connections of each kind, or the one writer, wait for another process; so do those behind them."""
    asyncio.run(_prepared(database_url))
    is_sqlite = database_url.startswith("sqlite")
    settings = {**QUIET, "connections": "2"}
    with serving(database_url, tmp_path, **settings) as gateway, _holding(database_url, LOCKED) as let_go:
        with ThreadPoolExecutor(2 * CROWD) as crowd:
            writing = [
                crowd.submit(_timed, gateway, REGISTER, key=f"k{number}", items=items(f"n{number}", 1))
                for number in range(CROWD)
            ]
            reading = [crowd.submit(_timed, gateway, READ) for _ in range(CROWD)]
            excess = CROWD - (1 if is_sqlite else 2)
            told_first = [writing, *([] if is_sqlite else [reading])]
            for some in told_first:
                for done in itertools.islice(as_completed(some), excess):
                    told, seconds = done.result()
                    assert (told.status, told.codes) == (503, ["UNAVAILABLE"]), told
                    assert told.body["errors"][0]["message"].startswith("Too much is asked of the database at once")
                    assert "outcome" not in told.body["errors"][0]["extensions"]
                    assert "retry-after" in told.headers
                    assert 1.9 < seconds < 2 + GRACE_SECONDS / 2
            # Those who have the connections wait still.
            assert [sum(not one.done() for one in some) for some in told_first] == [CROWD - excess] * len(told_first)
            for path in ("/health", "/ready"):
                with urlopen(f"{gateway.url}{path}", timeout=GRACE_SECONDS) as answer:
                    assert answer.status == 200, path
            let_go()
            answers = [one.result()[0] for one in (*writing, *reading)]
        assert sum(answer.status == 200 for answer in answers[:CROWD]) == CROWD - excess
        assert sum(answer.status == 200 for answer in answers[CROWD:]) == (CROWD if is_sqlite else CROWD - excess)
        for number in range(CROWD):
            again = asked(gateway, REGISTER, key=f"k{number}", items=items(f"n{number}", 1))
            assert again is not None
            assert [each["errorCode"] for each in again.results] == [None]
    sent = {name: item for number in range(CROWD) for name, item in numbered(items(f"n{number}", 1)).items()}
    assert asyncio.run(invariants.violations(database_url, invariants.Told(sent))) == []


def test_200_readers_and_64_writers_at_once_are_all_answered(database_url: str, tmp_path: Path) -> None:
    """A burst is no standstill: whoever waits while the line moves is served, whatever a place's wait is."""
    asyncio.run(_prepared(database_url))
    with serving(database_url, tmp_path, **QUIET) as gateway, ThreadPoolExecutor(READERS + WRITERS) as crowd:
        reading = [crowd.submit(asked, gateway, READ) for _ in range(READERS)]
        batches = [_many(f"w{number}", 300) for number in range(WRITERS)]
        writing = [crowd.submit(asked, gateway, REGISTER, items=batch) for batch in batches]
        answers = [one.result() for one in (*reading, *writing)]
    assert [told for told in answers if told is None or told.status != 200] == []
    sent = {name: item for batch in batches for name, item in numbered(batch).items()}
    told = invariants.Told(sent, batches=[list(numbered(batch)) for batch in batches])
    assert asyncio.run(invariants.violations(database_url, told)) == []


def _many(prefix: str, count: int) -> list[dict[str, Any]]:
    (item,) = items(prefix, 1)
    return [{**item, "communicationNumber": f"{prefix}-{number}", "value": number} for number in range(count)]


async def test_several_roots_at_once_share_no_session(database_url: str) -> None:
    """FS12: readings that one operation makes at the same time, by resolvers alone."""
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    (await gateway.ask(REGISTER, items=items("n", 3))).sound()
    gateway._run._plans = None
    query = """{ a: accounts(first: 1) { totalCount nodes { currentBalance { amount } } }
      b: account(id: "account_1") { balance balances { totalCount } } c: events(first: 1) { totalCount }
      d: limits { pageSize } e: contractors(first: 1) { totalCount } }"""
    answers = await asyncio.gather(*(gateway.ask(query) for _ in range(20)))
    first = answers[0].sound()
    assert first["a"] == {"totalCount": 1, "nodes": [{"currentBalance": {"amount": "2"}}]}
    assert first["b"] == {"balance": "2", "balances": {"totalCount": 3}}
    assert [answer.sound() for answer in answers] == [first] * 20
    await gateway.store.close()


async def test_a_log_that_a_reader_keeps_from_being_used_anew_is_told_of_and_cut_after(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FS07: a reader of another process, which does not end, against checkpoints."""
    monkeypatch.setattr(sqlite, "LOG_BYTES_MAX", 300_000)
    monkeypatch.setattr(sqlite, "CHECKPOINT_PAGES", 20)
    store = Store(sqlite_url)

    def size() -> int:
        return Path(f"{_file(sqlite_url)}-wal").stat().st_size

    async def write(prefix: str, count: int) -> None:
        for number in range(count):
            await store.work(None, lambda work, n=number: work.directory.add_unit(f"{prefix}-{n}" * 100))  # type: ignore[misc]  # Called at once.

    with contextlib.closing(sqlite3.connect(_file(sqlite_url), isolation_level=None)) as reader, capture_logs() as told:
        await write("free", 60)
        assert size() < 600_000
        assert told == []
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM units").fetchone()
        await write("held", 60)
        assert size() > 600_000
        assert [line["event"] for line in told] == ["write_ahead_log_grows"]
        assert told[0]["bytes"] > 600_000
        reader.execute("COMMIT")
        await write("after", 3)
        assert size() <= 300_000
    await store.close()
    assert await invariants.violations(sqlite_url) == []


def _half_sent() -> list[bytes]:
    head = b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return [b"", b"POST /grap", head, head + b'Content-Length: 1000\r\n\r\n{"query": "']


def test_500_slow_clients_do_not_stop_a_normal_one(database_url: str, tmp_path: Path) -> None:
    """FS10: some send nothing, some half a head, some half a body, and some don't read their answers."""
    asyncio.run(_prepared(database_url))
    body = json.dumps({"query": READ}).encode()
    whole = (
        b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    )
    sent = [*_half_sent(), whole % (len(body), body)]
    with serving(database_url, tmp_path, **QUIET) as gateway, ExitStack() as crowd:
        for number in range(SLOW):
            client = crowd.enter_context(socket.create_connection(("127.0.0.1", gateway.port), GRACE_SECONDS))
            client.sendall(sent[number % len(sent)])
        waits = sorted(_waits(gateway, body, 200))
    assert waits[int(len(waits) * 0.99)] < NORMAL_SECONDS_MAX
    assert '"status":500' not in gateway.log()


def _waits(gateway: GatewayProcess, body: bytes, count: int) -> Iterator[float]:
    """How long each question of a normal client waits for its answer, each on a connection of its own."""
    for _ in range(count):
        begun = time.monotonic()
        with contextlib.closing(HTTPConnection("127.0.0.1", gateway.port, timeout=GRACE_SECONDS)) as client:
            client.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            with client.getresponse() as response:
                assert json.load(response)["data"]["account"]["balance"] == "0"
        yield time.monotonic() - begun


DIVISION = """mutation ($code: String!) { createDivision(input: {code: $code}) { userErrors { message } }
  createAccountBalanceHistoryConfig(input: {divisionCode: $code, cycleClosingTime: "12:00:00", cycleEventDelay: 5}) {
    userErrors { message } } }"""


async def _configure(gateway: Gateway, kind: Kind) -> None:
    """Divisions with the same closing time, and an account in each, as so many mutations would make them."""
    (await gateway.ask(SETUP)).sound()
    (await gateway.ask(DIVISION, code="D1")).sound()
    numbers, made = closing.NUMBERS[kind].format(count=DIVISIONS), closing.moment(kind, gateway.now)
    statements = [
        f"""INSERT INTO divisions (id, unit_id, code, timezone) {numbers}
        SELECT n, 1, 'D' || n, 'UTC' FROM n WHERE n > 1""",
        f"""INSERT INTO history_configs (id, unit_id, division_id, closing_time, delay_minutes, first_closing, start)
        {numbers} SELECT n, 1, n, c.closing_time, c.delay_minutes, c.first_closing, c.start
        FROM n, history_configs AS c WHERE n > 1 AND c.id = 1""",
        f"""INSERT INTO accounts (id, unit_id, uuid, name, name_folded, division_id, contractor_id, currency,
        min_balance, max_balance, vat, send_invoices_to, send_balance_notifications_to, timezone, created_at,
        updated_at) {numbers} SELECT n + 1, 1, {closing.UUID[kind]}, 'A' || n, 'a' || n, n, 1, 'EUR', 0, 0, 0,
        {closing.EMPTY_LIST[kind]}, {closing.EMPTY_LIST[kind]}, 'UTC', {made}, {made} FROM n""",
        f"""INSERT INTO positions (account_id, unit_id, currency, balance, threshold_state, division_id) {numbers}
        SELECT n + 1, 1, 'EUR', 0, 0, n FROM n""",
    ]
    async with gateway.store._writer.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def _waited(asking: Callable[[], Coroutine[Any, Any, Answer]]) -> float:
    begun = time.monotonic()
    (await asking()).sound()
    return time.monotonic() - begun


async def test_divisions_that_all_close_at_one_instant_hold_nobody_up(
    database_url: str,
) -> None:
    """G24: ten thousand close in bounded time, and neighbours that read and write meanwhile are answered as ever."""
    kind: Kind = "sqlite" if database_url.startswith("sqlite") else "postgresql"
    gateway = Gateway(database_url)
    await _configure(gateway, kind)
    gateway.now += timedelta(days=1, minutes=6)
    numbers = itertools.count()

    async def neighbour() -> float:
        await asyncio.sleep(PAUSE_SECONDS)
        number = next(numbers)
        if number % 2:
            return await _waited(lambda: gateway.ask(READ))
        return await _waited(lambda: gateway.ask(REGISTER, items=items(f"n{number}", 1)))

    usual = sorted([await neighbour() for _ in range(100)])
    runner = Runner(gateway.store, clock=lambda: gateway.now, retention=timedelta(days=30), dispatcher=None)
    waits = []
    with capture_logs() as told:
        begun = time.monotonic()
        ticking = asyncio.ensure_future(runner.tick())
        while not ticking.done():
            waits.append(await neighbour())
        took = time.monotonic() - begun
    assert await ticking == DIVISIONS
    assert {line["event"] for line in told} == {"cycle_closed"}
    assert took < CLOSING_SECONDS_MAX
    assert len(waits) > 100
    waits.sort()
    # Ten times what is usual, and what is usual on a machine that does other things too.
    assert waits[int(len(waits) * 0.99)] < 10 * max(usual[98], 0.02)
    closed = "SELECT count(*), count(DISTINCT division_id), count(completed_at) FROM closings"
    async with gateway.store.reading(None) as reads:
        row = (await reads._connection.execute(text(closed))).one()
    assert tuple(row) == (DIVISIONS,) * 3
    assert await runner.tick() == 0
    await gateway.store.close()
    assert await invariants.violations(database_url) == []


async def test_a_closing_of_a_small_division_costs_few_statements(database_url: str) -> None:
    """And one transaction: where many close at once, each more of them counts ten thousand times."""
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    for number in range(3):
        (await gateway.ask(DIVISION, code=f"D{number}")).sound()
    gateway.now += timedelta(days=1, minutes=6)
    runner = Runner(gateway.store, clock=lambda: gateway.now, retention=timedelta(days=30), dispatcher=None)
    commits = 0

    def count(_connection: Any) -> None:
        nonlocal commits
        commits += 1

    event.listen(gateway.store.engines[1], "commit", count)
    with gateway.statements() as few:
        assert await runner.tick() == 3
    event.remove(gateway.store.engines[1], "commit", count)
    assert commits == 3
    asked = [statement for statement in few if not statement.startswith(("BEGIN", "PRAGMA"))]
    # What is due is read in three. Each is held, read in three, begun, looked for accounts, completed, told of in two.
    assert len(asked) == 3 + 3 * 9
    await gateway.store.close()
