"""SIGTERM: what runs is finished, what lasts is ended with a code, nothing new begins, and the process ends in time."""

import asyncio
import http.client
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import websockets
from websockets.typing import Subprotocol

from tests.asking import Gateway
from tests.faults import invariants
from tests.faults.asking import REGISTER, SETUP, amounts, asked, items
from tests.servers import GatewayProcess

PROGRAM = (sys.executable, "-m", "tests.faults.program")
STOP_SECONDS_MAX = 30
"""What a process is given before it is killed, where nobody decided otherwise."""
EVENTS = {"query": "subscription { events { id } }"}


async def _prepared(url: str) -> None:
    gateway = Gateway(url)
    (await gateway.ask(SETUP)).sound()
    await gateway.store.close()


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
    assert await invariants.violations(database_url, invariants.Told(amounts(batch))) == []


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
        await asyncio.to_thread(gateway.ended)
        assert time.monotonic() - began < STOP_SECONDS_MAX
        told = await running
        assert told is not None
        assert (told.status, told.codes) == (503, ["UNAVAILABLE"])
        assert told.body["errors"][0]["extensions"]["outcome"] == "unknown"
    told_of = invariants.Told({}, rejected=amounts(batch))
    assert await invariants.violations(sqlite_url, told_of) == []


def _takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
