"""A clock that jumps: what is recorded keeps its order, and nothing is lost, doubled or refused for it."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.faults import invariants
from tests.faults.asking import REGISTER, Told, asked, items
from tests.faults.test_databases_fail import Writer, _prepared
from tests.servers import GatewayProcess

PROGRAM = (sys.executable, "-m", "tests.faults.clock_program")
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
