"""After a fault a gateway is as it was before: ready, writing, and with no more of anything than it had."""

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import asyncpg
import psutil
import pytest

from app.store.postgres import APPLICATION
from tests.databases import Databases, Kind
from tests.faults import invariants
from tests.faults.asking import READ, asked
from tests.faults.test_databases_fail import (
    RECOVERY_SECONDS_MAX,
    Writer,
    _prepared,
    _recovered,
    _until,
    repeating,
    together,
)
from tests.servers import GatewayProcess, serving

WRITERS, READERS = 4, 4
WARM, WRITES = 40, 8
"""Batches that each writer has accepted before the level is taken, and after each fault."""
FAULTS = 2
"""How often each fault comes: what is lost each time adds up."""
CLIENTS = 40
MORE = 1.1
"""How much more of something there may be: what the system keeps differs a little from one moment to the next."""
SESSIONS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE $1 || '%'"""
OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE $1 || '%'"""


class Level(NamedTuple):
    """What a gateway has."""

    descriptors: int
    threads: int
    bytes: int
    sessions: int

    def above(self, before: "Level") -> dict[str, tuple[int, int]]:
        """What there is more of than before: so many, and so many then."""
        pairs = zip(self._fields, before, self, strict=True)
        return {name: (now, then) for name, then, now in pairs if now > then * MORE}


Fault = Callable[[GatewayProcess, Databases, str], Awaitable[None]]


async def _asked(url: str, statement: str) -> int:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return int(await connection.fetchval(statement, APPLICATION) or 0)
    finally:
        await connection.close()


async def _level(gateway: GatewayProcess, url: str) -> Level:
    process = psutil.Process(gateway.pid)
    sessions = await _asked(url, SESSIONS) if url.startswith("postgresql") else 0
    return Level(process.num_fds(), process.num_threads(), process.memory_info().rss, sessions)


async def _crashed(_gateway: GatewayProcess, databases: Databases, _url: str) -> None:
    databases.cluster.crash()
    databases.cluster.start()


async def _sessions_ended(_gateway: GatewayProcess, _databases: Databases, url: str) -> None:
    await _asked(url, OTHERS)


async def _files_that_may_not_grow(gateway: GatewayProcess, _databases: Databases, _url: str) -> None:
    _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (65_536, hard))
    writer = Writer(gateway, f"refused-{gateway.log().count(chr(10))}")
    while (told := await asyncio.to_thread(writer.write)) is not None and told.status == 200:
        pass
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (hard, hard))


async def _clients_gone(gateway: GatewayProcess, _databases: Databases, _url: str) -> None:
    for number in range(CLIENTS):
        with socket.create_connection(("127.0.0.1", gateway.port)) as client:
            request = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n" + b'{"query": "' * 20
            client.sendall(request[: 20 + 5 * number])


FAULTS_OF: list[tuple[Kind, Fault]] = [
    ("sqlite", _files_that_may_not_grow),
    ("sqlite", _clients_gone),
    ("postgresql", _crashed),
    ("postgresql", _sessions_ended),
    ("postgresql", _clients_gone),
]


@pytest.mark.parametrize(("kind", "fault"), FAULTS_OF, ids=[f"{kind}{fault.__name__}" for kind, fault in FAULTS_OF])
async def test_after_a_fault_all_is_as_it_was(databases: Databases, tmp_path: Path, kind: Kind, fault: Fault) -> None:
    with databases.made(kind) as url:
        await _prepared(url)
        with serving(url, tmp_path, runner="false") as gateway:
            writers = [Writer(gateway, str(number)) for number in range(WRITERS)]
            acts = [writer.write for writer in writers] + [lambda: asked(gateway, READ)] * READERS

            async def write(more: int) -> None:
                wanted = [len(writer.accepted) + 2 * more for writer in writers]
                with repeating(*acts):
                    await _until(lambda: all(len(w.accepted) >= n for w, n in zip(writers, wanted, strict=True)))

            await write(WARM)
            before = await _level(gateway, url)
            for round_ in range(FAULTS):
                await fault(gateway, databases, url)
                await asyncio.to_thread(_recovered, gateway, Writer(gateway, f"after-{round_}"))
                await write(WRITES)
            above: dict[str, tuple[int, int]] = {}

            async def is_as_before() -> bool:
                nonlocal above
                above = (await _level(gateway, url)).above(before)
                return not above

            with suppress(TimeoutError):
                async with asyncio.timeout(RECOVERY_SECONDS_MAX):
                    while not await is_as_before():  # noqa: ASYNC110 - another process brings it about.
                        await asyncio.sleep(0.1)
            assert above == {}
            for writer in writers:
                await asyncio.to_thread(writer.settle)
        assert await invariants.violations(url, together(writers)) == []
