"""A process that may open few files takes few connections: the others wait or are refused, and then all goes on."""

import asyncio
import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.faults import invariants
from tests.faults.asking import READ, asked
from tests.faults.test_databases_fail import Writer, _prepared, _recovered
from tests.servers import PROGRAM, GatewayProcess

FILES_MAX = 256
CONNECTIONS = 400
SECONDS_MAX = 15
QUIET = {"BALANCE_GATEWAY_RUNNER": "false", "BALANCE_GATEWAY_GRAPHIQL": "false"}


def _limited(url: str, folder: Path, option: str, **settings: str) -> GatewayProcess:
    """A gateway whose process may open few files; -Hn: however it asks, -Sn: unless it asks for more."""
    program = ("sh", "-c", f'ulimit {option} {FILES_MAX}; exec "$@"', "sh", str(PROGRAM))
    return GatewayProcess(url, folder, {**QUIET, **settings}, program)


@contextmanager
def _connected(gateway: GatewayProcess) -> Iterator[list[socket.socket]]:
    """Many connections at once, which ask nothing yet."""
    with ExitStack() as all_of_them:
        yield [
            all_of_them.enter_context(socket.create_connection(("127.0.0.1", gateway.port), SECONDS_MAX))
            for _ in range(CONNECTIONS)
        ]


def _files(gateway: GatewayProcess) -> int:
    return len(list(Path(f"/proc/{gateway.pid}/fd").iterdir()))


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110 - another process tells by no event of ours.
            await asyncio.sleep(0.02)


def _health(connection: HTTPConnection) -> int:
    connection.request("GET", "/health")
    with connection.getresponse() as response:
        response.read()
        return response.status


def _heard(connection: socket.socket) -> bytes:
    """What a connection answers to a question, soon; nothing where it is not taken."""
    connection.settimeout(0.2)
    try:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return connection.recv(100)
    except OSError:
        return b""


def _is_healthy(gateway: GatewayProcess) -> bool:
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=SECONDS_MAX)
    try:
        return _health(connection) == 200
    except OSError:
        return False
    finally:
        connection.close()


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="tells a process's open files by /proc")


@needs_proc
async def test_connections_beyond_the_files_cost_nobody_else_an_answer(database_url: str, tmp_path: Path) -> None:
    await _prepared(database_url)
    with _limited(database_url, tmp_path, "-n") as gateway:
        writer = Writer(gateway, "w")
        with closing(HTTPConnection("127.0.0.1", gateway.port, timeout=SECONDS_MAX)) as early, ExitStack() as crowd:
            assert _health(early) == 200
            connections = crowd.enter_context(_connected(gateway))
            await _until(lambda: _files(gateway) >= FILES_MAX - 1)
            # Who was there before is answered: by what is open, or that nothing more can be opened.
            body = json.dumps({"query": READ})
            early.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            with early.getresponse() as response:
                told = json.loads(response.read())
            codes = [error["extensions"]["code"] for error in told.get("errors", [])]
            assert (response.status, codes) in [(200, []), (503, ["UNAVAILABLE"])], told
            # The last of them is not answered: it waits, or is closed.
            assert _heard(connections[-1]) == b""
            for each in connections[: CONNECTIONS // 2]:
                each.close()
            await _until(lambda: _is_healthy(gateway))
        await _until(lambda: _is_healthy(gateway))
        await asyncio.to_thread(_recovered, gateway, writer)
        assert asked(gateway, READ) is not None
        writer.settle()
        assert gateway.is_running
        assert '"code":"INTERNAL"' not in gateway.log()
    assert await invariants.violations(database_url, writer.told) == []


@needs_proc
async def test_a_gateway_makes_room_for_the_connections_that_it_refuses(sqlite_url: str, tmp_path: Path) -> None:
    """It raises the limit itself, where the system allows: so one that is too many is told so."""
    await _prepared(sqlite_url)
    most = 300
    with _limited(sqlite_url, tmp_path, "-Sn", BALANCE_GATEWAY_CONNECTIONS_MAX=str(most)) as gateway:
        with _connected(gateway) as connections:
            for each in connections:
                each.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            statuses = [each.recv(100).split()[1] for each in connections]
        assert (statuses.count(b"200"), statuses.count(b"503")) == (most, CONNECTIONS - most)
        await _until(lambda: _is_healthy(gateway))
        writer = Writer(gateway, "w")
        await asyncio.to_thread(_recovered, gateway, writer)
    assert await invariants.violations(sqlite_url, writer.told) == []
