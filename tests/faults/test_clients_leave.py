"""Clients that go away at any moment: what they asked is done or not, a retry tells, and nothing of them is left."""

import asyncio
import itertools
import json
import select
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import asyncpg
import psutil
import pytest

from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, asked, items, numbered
from tests.faults.proxy import AT_ONCE
from tests.faults.test_databases_fail import _prepared, _until
from tests.servers import GatewayProcess, serving

End = Literal["FIN", "RST"]

ENDS: tuple[End, ...] = ("FIN", "RST")
QUIET = {"runner": "false", "graphiql": "false"}
SECONDS = 30
GONE_SECONDS_MAX = 1.0
MILLISECONDS = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12)
"""Between the last byte of a request and the moment at which its client leaves: some are before its commit."""
LARGE = 20_000
"""Bytes that are more than what comes at once, and is read at once."""
EVENTS = "{ events(first: 1) { nodes { id } } }"
BY_WAY = {"answer": (READ, "positions", 2), "reading": (EVENTS, "events", 3)}
"""What is asked for in each way, a table that it reads, and how many connections let two ask at once, and no third."""
HELD_UP = """ALTER TABLE {table} RENAME TO away; CREATE VIEW {table} AS WITH RECURSIVE n (x) AS
    (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000000000)
    SELECT away.* FROM (SELECT max(x) AS x FROM n) CROSS JOIN away WHERE x > 0"""
"""A table that can be read only after a count that takes hours."""
PUT_BACK = "DROP VIEW {table}; ALTER TABLE away RENAME TO {table}"
LOOK_SECONDS = 0.2
"""Over which it is seen whether a gateway is at work."""
WAITING = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'balance-gateway' AND wait_event_type = 'Lock'"""


class Moment(NamedTuple):
    """When a client leaves."""

    sent: int
    """How many bytes of its request it has sent."""
    milliseconds: float = 0
    """How long it waits then."""
    read: int = 0
    """How many bytes of the answer it reads before."""


class Left(NamedTuple):
    """A client that has left."""

    moment: Moment
    is_whole: bool
    """Whether it had sent all."""
    batch: list[dict[str, Any]]
    was_done: bool
    """Whether a retry was told that this had been done."""


def _request(query: str, key: str | None = None, *, padding: int = 0, **variables: Any) -> tuple[bytes, bytes]:
    """The head and the body of a request."""
    body = json.dumps({"query": query, "variables": variables}).encode() + b" " * padding
    lines = ["POST /graphql HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *([] if key is None else [f"Idempotency-Key: {key}"])]
    return "\r\n".join([*lines, "", ""]).encode(), body


def _moments(head: int, whole: int) -> Iterator[Moment]:
    yield from map(Moment, (0, 1, head // 2, head - 1, head, head + 1, (head + whole) // 2, whole - 1, whole))
    yield from (Moment(whole, milliseconds) for milliseconds in MILLISECONDS)
    yield from (Moment(whole, read=count) for count in (1, LARGE))


def _leave(connection: socket.socket, end: End) -> None:
    if end == "RST":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    else:
        connection.shutdown(socket.SHUT_RDWR)  # An answer that is not read would make an RST of its end.
    connection.close()


def _left(gateway: GatewayProcess, number: int, end: End, *, has_key: bool) -> Iterator[Left]:
    """Clients that leave, one after another, each at another moment, and then ask again."""
    for place in itertools.count():
        name = f"{number}-{place}"
        batch, key = items(name, 2), name if has_key else None
        head, body = _request(REGISTER, key, padding=0 if has_key else LARGE, items=batch)
        moment = next(itertools.islice(_moments(len(head), len(head + body)), place, None), None)
        if moment is None:
            return
        connection = socket.create_connection(("127.0.0.1", gateway.port), SECONDS)
        connection.sendall((head + body)[: moment.sent])
        if moment.read:
            connection.recv(moment.read)
        time.sleep(moment.milliseconds / 1000)
        _leave(connection, end)
        again = asked(gateway, REGISTER, key, items=batch)
        assert again is not None
        (outcome,) = {(each["errorCode"], each["sameContent"]) for each in again.results}
        assert outcome in ([(None, None)] if has_key else [(None, None), ("O005", True)])
        was_done = "idempotency-replayed" in again.headers or outcome == ("O005", True)
        yield Left(moment, moment.sent == len(head + body), batch, was_done)


def _connections(gateway: GatewayProcess) -> int:
    """Those that clients have to it."""
    all_of_them = psutil.Process(gateway.pid).net_connections("tcp")
    return sum(each.laddr.port == gateway.port and each.status != psutil.CONN_LISTEN for each in all_of_them)


async def test_clients_that_leave_at_any_moment_are_told_the_truth_when_they_come_back(
    database_url: str, tmp_path: Path
) -> None:
    """FS09: four at a time; small requests with a key, and large ones without."""
    await _prepared(database_url)
    with serving(database_url, tmp_path, **QUIET) as gateway:
        ways = list(enumerate(itertools.product(ENDS, [True, False])))
        with ThreadPoolExecutor(4) as clients:
            running = [
                clients.submit(list[Left], _left(gateway, number, end, has_key=has_key))
                for number, (end, has_key) in ways
            ]
        left = [each for some in running for each in some.result()]
        assert len(left) >= 20 * len(ways)
        assert [each for each in left if each.was_done and not each.is_whole] == []
        assert [each for each in left if each.moment.read and not each.was_done] == []
        await _until(lambda: _connections(gateway) == 0)
        told = asked(gateway, READ)
        assert told is not None
        assert told.body["data"]["account"]["balances"]["totalCount"] == 2 * len(left)
        assert [wrong for wrong in ("Traceback", '"status":500', '"INTERNAL"') if wrong in gateway.log()] == []
        assert gateway.log().count('"status":null') > 0, "some left before they were answered"
    accepted = {number: item for each in left for number, item in numbered(each.batch).items()}
    batches = [numbered(each.batch) for each in left]
    assert await invariants.violations(database_url, invariants.Told(accepted, batches=batches)) == []


def _spent(gateway: GatewayProcess) -> float:
    """Seconds of CPU time, of all its threads."""
    times = psutil.Process(gateway.pid).cpu_times()
    return times.user + times.system


async def _is_at_work(gateway: GatewayProcess) -> bool:
    before = _spent(gateway)
    await asyncio.sleep(LOOK_SECONDS)
    return _spent(gateway) - before > LOOK_SECONDS / 4


@pytest.mark.parametrize(("query", "table", "connections"), BY_WAY.values(), ids=BY_WAY)
async def test_what_a_client_has_sqlite_work_out_ends_when_it_leaves(
    sqlite_url: str, tmp_path: Path, query: str, table: str, connections: int
) -> None:
    """FS09: what would go on for hours ends within a second, and those who come next find the connections free."""
    await _prepared(sqlite_url)
    with (
        closing(sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///"))) as file,
        serving(sqlite_url, tmp_path, **QUIET, connections=str(connections), statement_seconds="600") as gateway,
    ):
        before = asked(gateway, query)
        assert before is not None
        file.executescript(HELD_UP.format(table=table))
        begun = _spent(gateway)
        left = [socket.create_connection(("127.0.0.1", gateway.port), SECONDS) for _ in ENDS]
        for connection in left:
            connection.sendall(b"".join(_request(query)))
        async with asyncio.timeout(SECONDS):
            while _spent(gateway) - begun < len(left) * GONE_SECONDS_MAX:  # noqa: ASYNC110 - a server has no event of ours.
                await asyncio.sleep(0.01)
        assert select.select(left, [], [], 0)[0] == [], "neither is answered"
        for connection, end in zip(left, ENDS, strict=True):
            _leave(connection, end)
        gone = time.monotonic()
        while await _is_at_work(gateway):
            assert time.monotonic() - gone < GONE_SECONDS_MAX
        file.executescript(PUT_BACK.format(table=table))
        back = time.monotonic()
        told = asked(gateway, query)
        assert told is not None
        assert time.monotonic() - back < GONE_SECONDS_MAX
        assert (told.status, told.body) == (200, before.body)
        assert '"INTERNAL"' not in gateway.log()


async def test_what_a_client_waits_for_ends_when_it_leaves(postgresql_url: str, tmp_path: Path) -> None:
    """FS09: also in the database, where somebody holds up what it reads, whichever way it is read."""
    await _prepared(postgresql_url)
    holder, looker = [await asyncpg.connect(postgresql_url.replace("+asyncpg", "")) for _ in range(2)]
    with serving(postgresql_url, tmp_path, **QUIET) as gateway:
        assert asked(gateway, READ) is not None
        await holder.execute("BEGIN; LOCK TABLE positions, events IN ACCESS EXCLUSIVE MODE")
        for query, end in itertools.product((READ, EVENTS), ENDS):
            connection = socket.create_connection(("127.0.0.1", gateway.port), SECONDS)
            connection.sendall(b"".join(_request(query)))
            while await looker.fetchval(WAITING) != 1:  # noqa: ASYNC110 - a server has no event of ours.
                await asyncio.sleep(0.01)
            _leave(connection, end)
            begun = time.monotonic()
            while await looker.fetchval(WAITING):
                assert time.monotonic() - begun < GONE_SECONDS_MAX, (query, end)
        await holder.execute("COMMIT")
        told = asked(gateway, READ)
        assert told is not None
        assert (told.status, told.codes) == (200, [])
        assert '"INTERNAL"' not in gateway.log()
    await holder.close()
    await looker.close()
