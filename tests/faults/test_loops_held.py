"""Who holds the event loop is found in the log: for how long, which request, and where in the program; no value."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from structlog.testing import capture_logs

from app.heartbeat import BEAT_SECONDS, HELD_SECONDS, Heartbeat
from app.web.access import AccessLog
from tests.faults.asking import READ, asked, items
from tests.faults.stuck_program import PAUSE_SECONDS
from tests.faults.test_databases_fail import _prepared
from tests.servers import GatewayProcess

STUCK = (sys.executable, "-m", "tests.faults.stuck_program")
SECONDS = 15
CANARY = "canary-of-the-loop"
HELD = """mutation Held($items: [AccountBalanceInput!]!) {
  registerBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount } }"""


def _lines(gateway: GatewayProcess) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]
    return [line for line in told if line["event"] == "event_loop_held"]


def _register(gateway: GatewayProcess, id: str) -> None:
    batch = [{**each, "requester": CANARY} for each in items(f"{CANARY}-{id}", 2)]
    body = json.dumps({"query": HELD, "variables": {"items": batch}}).encode()
    headers = {"Content-Type": "application/json", "X-Request-Id": id, "Authorization": f"Bearer {CANARY}"}
    with urlopen(Request(f"{gateway.url}/graphql", body, headers), timeout=SECONDS) as answer:
        assert json.load(answer)["data"]["registerBatchAccountBalances"] == {"acceptedCount": 2}


async def test_the_log_tells_who_held_the_loop(database_url: str, tmp_path: Path) -> None:
    await _prepared(database_url)
    settings = {"BALANCE_GATEWAY_RUNNER": "false", "STUCK": "pause"}
    with GatewayProcess(database_url, tmp_path, settings, STUCK) as gateway:
        for number in range(3):
            await asyncio.to_thread(_register, gateway, f"held-{number}")
            assert await asyncio.to_thread(asked, gateway, READ) is not None
        async with asyncio.timeout(SECONDS):
            while not [line for line in _lines(gateway) if line["request_id"]]:  # noqa: ASYNC110 - a process tells.
                await asyncio.sleep(0.02)
        gateway.stop()
        told = [line for line in _lines(gateway) if line["request_id"]]
    assert len(told) == 1, "there is a line now and then, not one each time"
    line = told[0]
    assert (line["request_id"], line["operation"], line["is_over"]) == ("held-0", "Held", True)
    assert line["place"].startswith("app/store/store.py:")
    assert line["level"] == "warning"
    assert HELD_SECONDS < line["seconds"] < PAUSE_SECONDS + SECONDS
    assert line["seconds"] >= PAUSE_SECONDS - BEAT_SECONDS
    assert CANARY not in gateway.log()


def _busy(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def _answered(id: bytes, work: Callable[[], None]) -> None:
    """An app that does something, asked as a server asks it."""

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        work()

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", id)]}
    await asyncio.ensure_future(AccessLog(app, None)(scope, None, None))  # type: ignore[arg-type]  # It sends nothing.


@pytest.fixture
def told() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


async def test_a_request_that_is_answered_by_the_loop_alone_is_named_too(told: list[Any]) -> None:
    with Heartbeat().beating():
        await asyncio.sleep(2 * BEAT_SECONDS)
        await _answered(b"busy", lambda: _busy(2 * HELD_SECONDS + 2 * BEAT_SECONDS))
        async with asyncio.timeout(SECONDS):
            while not told:  # noqa: ASYNC110 - a thread tells.
                await asyncio.sleep(BEAT_SECONDS)
    (line,) = told
    assert (line["event"], line["request_id"], line["operation"]) == ("event_loop_held", "busy", None)
    assert line["place"].startswith("app/web/access.py:")


async def test_a_loop_that_goes_on_is_told_of_by_nobody(told: list[Any]) -> None:
    with Heartbeat(held_seconds=2.0).beating():
        for _ in range(8):
            await _answered(b"short", lambda: _busy(BEAT_SECONDS / 2))
            await asyncio.sleep(0)
    assert told == []


async def test_what_does_not_end_is_told_while_it_goes_on_and_what_was_left_out_is_counted(told: list[Any]) -> None:
    heartbeat = Heartbeat(long_seconds=HELD_SECONDS, tell_seconds=1.5)
    seen: list[Any] = []

    def work() -> None:
        until = time.monotonic() + SECONDS
        while not told and time.monotonic() < until:
            pass
        seen.extend(told)

    with heartbeat.beating():
        await asyncio.sleep(2 * BEAT_SECONDS)
        await _answered(b"long", work)
        assert [(line["request_id"], line["is_over"], line["left_out"]) for line in seen] == [("long", False, 0)]
        async with asyncio.timeout(SECONDS):
            while len(told) < 2:  # noqa: ASYNC110 - a thread tells.
                await asyncio.sleep(BEAT_SECONDS)
            assert told[1]["is_over"]
            heartbeat._long_seconds = SECONDS
            while len(told) < 3:
                await _answered(b"again", lambda: _busy(HELD_SECONDS + 2.5 * BEAT_SECONDS))
                await asyncio.sleep(2 * BEAT_SECONDS)
    assert told[2]["request_id"] == "again"
    assert told[2]["left_out"] >= 1


async def test_nothing_is_left_when_it_ends() -> None:
    heartbeat = Heartbeat()
    with heartbeat.beating():
        assert heartbeat._timer is not None
    assert heartbeat._timer.cancelled()
    assert heartbeat._is_over.is_set()
