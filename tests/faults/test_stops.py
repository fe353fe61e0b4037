"""SIGTERM: what runs is finished, what lasts is ended with a code, nothing new begins, and the process ends in time."""

import asyncio
import http.client
import json
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from queue import Queue

import pytest
import websockets
from websockets.typing import Subprotocol

from app import logs
from app.ending import FORCED_STATUS, LastMoment
from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, asked, items, numbered
from tests.faults.proxy import proxied
from tests.faults.test_databases_fail import Writer, _prepared, _unavailable, together
from tests.servers import PROGRAM as PROGRAM_ITSELF
from tests.servers import GatewayProcess, environment, serving

PROGRAM = (sys.executable, "-m", "tests.faults.program")
STUCK = (sys.executable, "-m", "tests.faults.stuck_program")
STOP_SECONDS_MAX = 20
WRITERS = 4
WRITES = 10
QUIET = {"runner": "false", "graphiql": "false"}
HASTY = {"BALANCE_GATEWAY_RUNNER": "false", "BALANCE_GATEWAY_STOP_SECONDS": "1"}
HASTY_SECONDS_MAX = 1 + 8
"""What the README promises with that setting."""
EVENTS = {"query": "subscription { events { id } }"}


async def test_what_runs_is_finished_and_what_lasts_is_ended(database_url: str, tmp_path: Path) -> None:
    await _prepared(database_url)
    goes_on = tmp_path / "goes-on"
    batch = items("n", 10)
    settings = {"FAULT": f"K3:1:{goes_on}", "BALANCE_GATEWAY_RUNNER": "false"}
    with GatewayProcess(database_url, tmp_path, settings, PROGRAM) as gateway:
        idle = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        idle.request("GET", "/health")
        idle.getresponse().read()
        stream = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        accept = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        stream.request("POST", "/graphql", json.dumps(EVENTS), accept)
        streamed = stream.getresponse()
        assert streamed.status == 200
        address = f"ws://127.0.0.1:{gateway.port}/graphql"
        async with websockets.connect(address, subprotocols=[Subprotocol("graphql-transport-ws")]) as client:
            await client.send(json.dumps({"type": "connection_init"}))
            assert json.loads(await client.recv())["type"] == "connection_ack"
            await client.send(json.dumps({"type": "subscribe", "id": "1", "payload": EVENTS}))
            running = asyncio.ensure_future(asyncio.to_thread(asked, gateway, REGISTER, "key", items=batch))
            while "reached K3" not in gateway.log():  # noqa: ASYNC110 - another process tells.
                await asyncio.sleep(0.02)
            began = time.monotonic()
            os.kill(gateway.pid, signal.SIGTERM)
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1001, "The gateway goes away")
        await asyncio.to_thread(streamed.read)
        assert await asyncio.to_thread(idle.sock.recv, 1) == b""
        assert not _takes_connections(gateway.port)
        assert gateway.is_running, "it waits for what runs"
        assert not running.done()
        goes_on.touch()
        told = await running
        assert told is not None
        assert (told.status, [result["errorCode"] for result in told.results]) == (200, [None] * 10)
        status = await asyncio.to_thread(gateway.ended)
        assert time.monotonic() - began < STOP_SECONDS_MAX
        assert status == -signal.SIGTERM
        assert "Traceback" not in gateway.log()
    stream.close()
    idle.close()
    assert await invariants.violations(database_url, invariants.Told(numbered(batch))) == []


def _written(writer: Writer, another: GatewayProcess | None) -> None:
    """Write until the gateway takes nothing more, and go on with another one, where there is one."""
    while (told := writer.write()) is not None and told.status == 200:
        pass
    if another is not None:
        writer.go_on(another)
        for _ in range(WRITES):
            again = writer.write()
            assert again is not None
            assert again.status == 200, again


async def test_a_gateway_that_is_told_to_end_under_load_loses_nothing_that_it_answered(
    database_url: str, tmp_path: Path
) -> None:
    """FS13: another one goes on; on PostgreSQL it is there already, on SQLite it comes when the first one has ended."""
    await _prepared(database_url)
    with ThreadPoolExecutor(WRITERS) as clients, ExitStack() as gateways:

        def served() -> GatewayProcess:
            return gateways.enter_context(serving(database_url, tmp_path, **QUIET))

        first = served()
        another = None if database_url.startswith("sqlite") else served()
        writers = [Writer(first, str(number)) for number in range(WRITERS)]
        running = [clients.submit(_written, writer, another) for writer in writers]
        async with asyncio.timeout(STOP_SECONDS_MAX):
            while min(len(writer.accepted) for writer in writers) < WRITES:  # noqa: ASYNC110 - threads write.
                await asyncio.sleep(0.01)
        began = time.monotonic()
        os.kill(first.pid, signal.SIGTERM)
        assert await asyncio.to_thread(first.ended) == -signal.SIGTERM
        assert time.monotonic() - began < STOP_SECONDS_MAX
        for each in running:
            await asyncio.wrap_future(each)
        assert [len(writer.open) for writer in writers] == [1] * len(writers)
        assert [told for writer in writers for told in writer.refusals if not _unavailable(told)] == []
        another = another or served()
        for writer in writers:
            writer.go_on(another)
            await asyncio.to_thread(writer.settle)
        told = first.log() + another.log()
        assert [wrong for wrong in ("Traceback", '"status":500', '"INTERNAL"') if wrong in told] == []
    assert await invariants.violations(database_url, together(writers)) == []


async def test_what_runs_for_ever_is_given_up(sqlite_url: str, tmp_path: Path) -> None:
    await _prepared(sqlite_url)
    batch = items("n", 10)
    settings = {"FAULT": f"K3:1:{tmp_path / 'never'}", "BALANCE_GATEWAY_RUNNER": "false"}
    with GatewayProcess(sqlite_url, tmp_path, settings, PROGRAM) as gateway:
        running = asyncio.ensure_future(asyncio.to_thread(asked, gateway, REGISTER, items=batch))
        while "reached K3" not in gateway.log():  # noqa: ASYNC110 - another process tells.
            await asyncio.sleep(0.02)
        began = time.monotonic()
        os.kill(gateway.pid, signal.SIGTERM)
        assert await asyncio.to_thread(gateway.ended) == -signal.SIGTERM
        assert time.monotonic() - began < STOP_SECONDS_MAX
        told = await running
        assert told is not None
        assert (told.status, told.codes) == (503, ["UNAVAILABLE"])
        assert told.body["errors"][0]["extensions"]["outcome"] == "unknown"
    told_of = invariants.Told({}, rejected=numbered(batch))
    assert await invariants.violations(sqlite_url, told_of) == []


async def _said(gateway: GatewayProcess, what: str) -> None:
    async with asyncio.timeout(STOP_SECONDS_MAX):
        while what not in gateway.log():  # noqa: ASYNC110 - another process tells.
            await asyncio.sleep(0.02)


async def _ended(gateway: GatewayProcess) -> int:
    """The status of a gateway that is asked to end, which it does in time."""
    began = time.monotonic()
    os.kill(gateway.pid, signal.SIGTERM)
    status = await asyncio.to_thread(gateway.ended)
    assert time.monotonic() - began < HASTY_SECONDS_MAX, gateway.log()[-2000:]
    return status


@contextmanager
def _streaming(gateway: GatewayProcess) -> Iterator[http.client.HTTPResponse]:
    """A subscription that has begun."""
    stream = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    accept = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    stream.request("POST", "/graphql", json.dumps(EVENTS), accept)
    with closing(stream), stream.getresponse() as streamed:
        assert streamed.status == 200
        yield streamed


@pytest.mark.parametrize("stuck", ["loop", "statement"])
async def test_what_nothing_breaks_off_ends_with_the_process(database_url: str, tmp_path: Path, stuck: str) -> None:
    await _prepared(database_url)
    batch = items("n", 10)
    with GatewayProcess(database_url, tmp_path, {**HASTY, "STUCK": stuck}, STUCK) as gateway, _streaming(gateway):
        running = asyncio.ensure_future(asyncio.to_thread(asked, gateway, REGISTER, "key", items=batch))
        await _said(gateway, "reached the work")
        status = await _ended(gateway)
        told = await running
        if stuck == "loop":
            assert (status, told) == (FORCED_STATUS, None)
            assert '"event": "ended_by_force"' in gateway.log()
        else:
            assert told is not None
            assert (told.status, told.codes) == (503, ["UNAVAILABLE"])
            assert told.body["errors"][0]["extensions"]["outcome"] == "unknown"
    assert await invariants.violations(database_url, invariants.Told({}, rejected=numbered(batch))) == []


async def test_a_database_that_went_silent_holds_up_no_end(postgresql_url: str, tmp_path: Path) -> None:
    await _prepared(postgresql_url)
    with (
        proxied(postgresql_url) as (proxy, url),
        GatewayProcess(url, tmp_path, HASTY) as gateway,
        _streaming(gateway) as streamed,
    ):
        told = await asyncio.to_thread(asked, gateway, READ)
        assert told is not None
        assert told.status == 200
        with ThreadPoolExecutor(12) as clients:  # So many connections are to be left.
            warm = [clients.submit(asked, gateway, REGISTER, f"w-{n}", items=items(f"w-{n}", 1)) for n in range(12)]
            for each in warm:
                assert (await asyncio.wrap_future(each)) is not None
        assert proxy.connections > 8
        proxy.swallow()
        before = proxy.swallowed
        questions = [(READ, None), (REGISTER, None), (REGISTER, "key")]
        running = [
            asyncio.ensure_future(asyncio.to_thread(asked, gateway, query, key, items=items("n", 2)))
            for query, key in questions
        ]
        async with asyncio.timeout(STOP_SECONDS_MAX):
            while proxy.swallowed < before + len(questions):  # noqa: ASYNC110 - another thread tells.
                await asyncio.sleep(0.02)
        assert await _ended(gateway) == -signal.SIGTERM, "in order"
        assert "Exception closing connection" not in gateway.log()
        for question in running:
            answer = await question
            assert answer is not None, "it is told before the end"
            assert (answer.status, answer.codes) == (503, ["UNAVAILABLE"])
        await asyncio.to_thread(streamed.read)
        proxy.resume()


async def test_a_writer_of_another_process_holds_up_no_end(sqlite_url: str, tmp_path: Path) -> None:
    await _prepared(sqlite_url)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///"), isolation_level=None)) as writer:
        with GatewayProcess(sqlite_url, tmp_path, {**HASTY, "FAULT": "K1:1:/"}, PROGRAM) as gateway:
            writer.execute("BEGIN IMMEDIATE")
            running = asyncio.ensure_future(asyncio.to_thread(asked, gateway, REGISTER, items=items("n", 2)))
            await _said(gateway, "reached K1")
            await _ended(gateway)
            told = await running
            assert told is not None
            assert (told.status, told.codes) == (503, ["UNAVAILABLE"])
        writer.execute("ROLLBACK")
    assert await invariants.violations(sqlite_url, invariants.Told({}, rejected=numbered(items("n", 2)))) == []


async def test_a_runner_whose_database_went_silent_ends_in_time(postgresql_url: str) -> None:
    await _prepared(postgresql_url)
    with proxied(postgresql_url) as (proxy, url):
        runner = await asyncio.create_subprocess_exec(
            *(PROGRAM_ITSELF, "runner"), env=environment(url), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert runner.stdout is not None
            async with asyncio.timeout(STOP_SECONDS_MAX):
                assert await runner.stdout.readline() == b"The runner runs.\n"
            proxy.swallow()
            async with asyncio.timeout(8):
                runner.terminate()
                await runner.wait()
        finally:
            if runner.returncode is None:
                runner.kill()
            await runner.communicate()
        proxy.resume()


def test_the_last_moment_comes_once_also_where_nobody_takes_the_log() -> None:
    ended: Queue[int] = Queue()
    last_moment = LastMoment(0.01, ended.put)
    with logs.LINES._lock:
        last_moment.begin()
        last_moment.begin()
        assert ended.get(timeout=STOP_SECONDS_MAX) == FORCED_STATUS
    assert last_moment._thread is not None
    last_moment._thread.join()
    assert ended.empty()


def _takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
