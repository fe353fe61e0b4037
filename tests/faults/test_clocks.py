"""A clock that jumps: what is recorded keeps its order, and nothing is lost, doubled or refused for it."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import text

from app.store.store import Store
from tests.asking import NOW, Gateway
from tests.faults import invariants
from tests.faults.asking import REGISTER, SETUP, Told, asked, items
from tests.faults.cycles import DIVISION
from tests.faults.test_databases_fail import Writer, _prepared
from tests.servers import GatewayProcess

PROGRAM = (sys.executable, "-m", "tests.faults.clock_program")
CLOSING = {"BALANCE_GATEWAY_GRAPHIQL": "false"}
DIVISIONS = ("NO", "SE")
LOOKS = 20
"""So many times a runner asks the clock in a few looks at what is due."""
QUIET = {"BALANCE_GATEWAY_RUNNER": "false", "BALANCE_GATEWAY_GRAPHIQL": "false"}
JUMPS = (0, 86_400, -3_600, 1_000_000_000, -86_400, 0)
"""By how many seconds the clock is off, one after another."""
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
