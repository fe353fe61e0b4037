"""A clock that jumps: what is recorded keeps its order, and nothing is lost, doubled or refused for it."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.store.store import Store
from tests.asking import NOW, Gateway
from tests.faults import invariants
from tests.faults.asking import REGISTER, SETUP, Told, asked, items
from tests.faults.cycles import DIVISION
from tests.faults.test_databases_fail import Writer, _prepared
from tests.servers import GatewayProcess
from tests.web.test_gateways_with_keys import EVENTS, VIEWER, WITH_SECRET, ask, begin, closed, connecting, said, token
from tests.web.tokens import claims, signed

PROGRAM = (sys.executable, "-m", "tests.faults.clock_program")
CLOSING = {"BALANCE_GATEWAY_GRAPHIQL": "false"}
DIVISIONS = ("NO", "SE")
LOOKS = 20
"""So many times a runner asks the clock in a few looks at what is due."""
QUIET = {"BALANCE_GATEWAY_RUNNER": "false", "BALANCE_GATEWAY_GRAPHIQL": "false"}
JUMPS = (0, 86_400, -3_600, 1_000_000_000, -86_400, 0)
"""By how many seconds the clock is off, one after another."""
LEEWAY = 5
EXPIRED = "The token has expired."
NOT_YET = "The token is not valid yet (nbf, iat)."
LOG = "{ events(last: 1000) { nodes { type time data } } }"


def _set(clock: Path, told: float | datetime) -> None:
    """Set the clock; a file is replaced as a whole, so that nobody reads a part of it."""
    new = clock.with_name("clock.new")
    new.write_text(told.isoformat() if isinstance(told, datetime) else str(told))
    new.replace(clock)


def _data(told: Told | None) -> Any:
    assert told is not None
    assert (told.status, told.codes) == (200, []), told
    return told.body["data"]


async def test_a_clock_that_jumps_changes_neither_order_nor_truth(database_url: str, tmp_path: Path) -> None:
    """Ahead by a day and by 31 years, back by an hour and a day, and standing still."""
    await _prepared(database_url)
    clock = tmp_path / "clock"
    _set(clock, 0)
    with GatewayProcess(database_url, tmp_path, {**QUIET, "CLOCK": str(clock)}, PROGRAM) as gateway:
        writer = Writer(gateway, "w")
        stood = datetime.now(UTC) + timedelta(hours=5)
        for jump in (*JUMPS, stood):
            _set(clock, jump)
            for _ in range(3):
                _data(await asyncio.to_thread(writer.write))
            # A number and a key hold whatever the clock says.
            last = next(iter(writer.sent[-1])).rpartition("-")[0]
            again = asked(gateway, REGISTER, items=items(last, 2))
            _data(again)
            assert again is not None
            assert [(each["errorCode"], each["sameContent"]) for each in again.results] == [("O005", True)] * 2
        events = _data(asked(gateway, LOG))["events"]["nodes"]
        changes = [event["data"] for event in events if event["type"] == "balance_change"]
        assert [change["communication_number"] for change in changes] == list(writer.accepted), "as they were recorded"
        times = [datetime.fromisoformat(event["time"]) for event in events]
        steps = [later - earlier for earlier, later in pairwise(times)]
        assert max(steps) > timedelta(days=10_000) < -min(steps), "the clock did jump, ahead and back"
        assert times[-6:] == [stood] * 6, "and it stood still"
    assert await invariants.violations(database_url, writer.told) == []


async def _closed(store: Store) -> list[tuple[int, str]]:
    """The complete closings: of which division, and of which day."""
    async with store.reading(None) as reads:
        rows = await reads._connection.execute(
            text("SELECT division_id, business_date FROM closings WHERE completed_at IS NOT NULL ORDER BY 1, 2")
        )
        return [(number, str(day)) for number, day in rows]


async def _until_seen(clock: Path) -> None:
    """Return when a process has looked at the clock, as it is set now, for a while."""
    seen, first = clock.with_name(f"{clock.name}.seen"), None
    async with asyncio.timeout(30):
        while True:
            told, _, times = seen.read_text().rpartition(" ") if seen.exists() else ("", "", "0")
            if told == clock.read_text():  # noqa: ASYNC240 - a short file, and nobody else waits.
                first = int(times) if first is None else first
                if int(times) - first >= LOOKS:
                    return
            await asyncio.sleep(0.02)


async def test_closings_under_a_clock_that_jumps_are_neither_lost_nor_done_twice(
    database_url: str, tmp_path: Path
) -> None:
    """FS15: ahead by days, back by an hour and by days, and standing still, in one process that goes on."""
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    for code in DIVISIONS:
        (await gateway.ask(DIVISION, code=code)).sound()
    clock, noon = tmp_path / "clock", NOW.replace(hour=12, minute=10)
    _set(clock, noon.replace(hour=13))
    with GatewayProcess(database_url, tmp_path, {**CLOSING, "CLOCK": str(clock)}, PROGRAM):
        for days, hours, due in (
            (0, 0, 0),
            (1, 0, 1),
            (2, 0, 2),
            (2, -1, 2),
            (2, 0, 2),
            (5, 0, 5),
            (1, 0, 5),
            (0, -1, 5),
            (6, -1, 5),
            (6, 0, 6),
        ):
            _set(clock, noon + timedelta(days=days, hours=hours))
            await _until_seen(clock)
            expected = [str((NOW + timedelta(days=number + 1)).date()) for number in range(due)]
            async with asyncio.timeout(30):
                while len(await _closed(gateway.store)) < len(DIVISIONS) * due:  # noqa: ASYNC110 - another process closes.
                    await asyncio.sleep(0.02)
            assert await _closed(gateway.store) == [
                (number, day) for number in range(1, len(DIVISIONS) + 1) for day in expected
            ], (days, hours)
    await gateway.store.close()
    assert await invariants.violations(database_url) == []


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clock") / "clock"


@pytest.fixture(scope="module")
def guarded(clock: Path) -> Iterator[GatewayProcess]:
    """A gateway with a key, whose clock a test sets."""
    _set(clock, 0)
    settings = {**QUIET, **WITH_SECRET, "BALANCE_GATEWAY_JWT_LEEWAY_SECONDS": str(LEEWAY), "CLOCK": str(clock)}
    database = f"sqlite+aiosqlite:///{clock.parent}/gateway.db"
    with GatewayProcess(database, clock.parent, settings, PROGRAM) as gateway:
        yield gateway


def _refused(gateway: GatewayProcess, bearer: str) -> str | None:
    """Why a token is refused; None where its caller is let in."""
    reply = ask(gateway, VIEWER, bearer)
    if reply.status == 200:
        assert reply.json["data"]["viewer"]["subject"] == "ada"
        return None
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
    return reply.message


def test_a_token_is_judged_by_what_the_clock_says_now(guarded: GatewayProcess, clock: Path) -> None:
    """FS15: to the moment, where it stands; what is remembered of the token outlives neither its end nor its making."""
    bearer = signed(claims(NOW.timestamp(), exp=int(NOW.timestamp()) + 30))
    for seconds, told in (
        (0, None),
        (0, None),
        (30 + LEEWAY - 0.001, None),
        (30 + LEEWAY, EXPIRED),
        (0, None),
        (86_400, EXPIRED),
        (1_000_000_000, EXPIRED),
        (0, None),
        (-LEEWAY, None),
        (-LEEWAY - 0.001, NOT_YET),
        (0, None),
        (-3_600, NOT_YET),
        (0, None),
    ):
        _set(clock, NOW + timedelta(seconds=seconds))
        assert _refused(guarded, bearer) == told, seconds


def test_a_clock_that_jumps_lets_in_who_has_a_token_of_its_own_time(guarded: GatewayProcess, clock: Path) -> None:
    """FS15: ahead by a day and back by an hour, of a clock that goes on."""
    true = token()
    for jump, told in ((0, None), (86_400, EXPIRED), (0, None), (-3_600, NOT_YET), (0, None)):
        _set(clock, jump)
        assert [_refused(guarded, true) for _ in range(2)] == [told] * 2, jump
        assert _refused(guarded, signed(claims(time.time() + jump))) is None, jump


async def test_a_socket_lasts_as_long_as_its_token_does_by_a_clock_that_stands_and_jumps(
    guarded: GatewayProcess, clock: Path
) -> None:
    """FS15: the gateway looks again when little is left, and again while the clock stands."""
    _set(clock, NOW)
    bearer = signed(claims(NOW.timestamp(), exp=NOW.timestamp() - LEEWAY + 0.05, scope="events:read"))
    async with connecting(guarded) as socket:
        await begin(socket, {"authorization": f"Bearer {bearer}"})
        assert await said(socket) == {"type": "connection_ack"}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": EVENTS}}))
        await _until_seen(clock)
        await socket.send(json.dumps({"type": "ping"}))
        assert await said(socket) == {"type": "pong"}
        _set(clock, NOW + timedelta(days=1))
        assert await closed(socket) == (4403, EXPIRED)


async def test_an_operation_after_a_jump_ends_a_socket_that_was_let_in_before(
    guarded: GatewayProcess, clock: Path
) -> None:
    """FS15: long before the gateway looks at the token by itself."""
    _set(clock, 0)
    async with connecting(guarded) as socket:
        await begin(socket, {"authorization": f"Bearer {token()}"})
        assert await said(socket) == {"type": "connection_ack"}
        operation = json.dumps({"type": "subscribe", "id": "1", "payload": {"query": VIEWER}})
        await socket.send(operation)
        assert [(await said(socket))["type"] for _ in range(2)] == ["next", "complete"]
        _set(clock, 86_400)
        await socket.send(operation)
        assert await closed(socket) == (4403, EXPIRED)
