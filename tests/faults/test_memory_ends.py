"""Memory that ends costs answers, never what was answered; what requests take of it together is bounded by settings."""

import json
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, Item, Told, asked, items, numbered
from tests.faults.test_databases_fail import Writer, _prepared
from tests.servers import GatewayProcess, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tells a process's memory by /proc")

QUIET = {"runner": "false", "graphiql": "false"}
ONE_HEAP = {"BALANCE_GATEWAY_RUNNER": "false", "BALANCE_GATEWAY_GRAPHIQL": "false", "MALLOC_ARENA_MAX": "1"}
"""Else each thread has much room in store, and no limit shows."""
MEGABYTE = 2**20
ROOMS = (10, 1)
"""How many megabytes more than it has a gateway may take, one after another."""
CLIENTS = 6
LARGE_ITEMS = 2_000


def _batch(prefix: str, count: int = LARGE_ITEMS) -> list[dict[str, Any]]:
    """A large batch: about 200 bytes each item."""
    minutes = items(prefix, 60)
    return [
        {**minutes[number % 60], "communicationNumber": f"{prefix}-{number}", "value": number, "requester": "r" * 70}
        for number in range(count)
    ]


def _memory(gateway: GatewayProcess, name: str) -> int:
    """What the system says of a process's memory, in bytes: VmSize, or VmHWM (the most that was ever resident)."""
    told = dict(line.split(":", 1) for line in Path(f"/proc/{gateway.pid}/status").read_text().splitlines())
    return int(told[name].split()[0]) * 1024


def _is_limited(gateway: GatewayProcess, room: int | None) -> bool:
    """Let a gateway take so much more memory than it has, or as much as there is; False where it has ended."""
    try:
        most = resource.RLIM_INFINITY if room is None else _memory(gateway, "VmSize") + room
        resource.prlimit(gateway.pid, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    except (LookupError, ProcessLookupError):
        return False
    return gateway.is_running


def _told(gateway: GatewayProcess, key: str | None, batch: list[dict[str, Any]]) -> Told | None:
    """The answer; None where it is no whole one, or no JSON: without memory none can be written."""
    try:
        return asked(gateway, REGISTER, key, items=batch)
    except json.JSONDecodeError:
        return None


def _is_accepted(told: Told | None) -> bool:
    return told is not None and told.status == 200 and not told.codes


class Batches:
    """Large batches, half of them with keys, and what became of each."""

    def __init__(self) -> None:
        self.accepted: dict[str, Item] = {}
        self.open: dict[str, str | None] = {}
        self.sent: list[dict[str, Item]] = []

    def send(self, gateway: GatewayProcess, prefix: str, key: str | None) -> None:
        batch = _batch(prefix)
        self.sent.append(numbered(batch))
        if _is_accepted(_told(gateway, key, batch)):
            self.accepted |= numbered(batch)
        else:
            self.open[prefix] = key

    def settle(self, gateway: GatewayProcess) -> None:
        """Ask again for whatever was not accepted: all of it is now, or was."""
        for prefix, key in self.open.items():
            batch = _batch(prefix)
            told = asked(gateway, REGISTER, key, items=batch)
            assert told is not None
            assert told.codes == []
            outcomes = {(each["errorCode"], each["sameContent"]) for each in told.results}
            assert outcomes in [{(None, None)}, *([] if key else [{("O005", True)}])]
            self.accepted |= numbered(batch)


async def test_a_gateway_without_memory_refuses_or_ends_and_has_lost_nothing(database_url: str, tmp_path: Path) -> None:
    await _prepared(database_url)
    batches = Batches()
    with (
        GatewayProcess(database_url, tmp_path, ONE_HEAP) as gateway,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        writer = Writer(gateway, "w")
        assert writer.write() is not None
        # So many connections to the database are warm.
        assert None not in clients.map(asked, [gateway] * 8 * CLIENTS, [READ] * 8 * CLIENTS)
        for room in ROOMS:
            if not _is_limited(gateway, room * MEGABYTE):
                break
            names = [f"{room}-{number}" for number in range(CLIENTS)]
            keys = [name if number % 2 else None for number, name in enumerate(names)]
            list(clients.map(batches.send, [gateway] * CLIENTS, names, keys))
        assert len(batches.open) > 0
        told = invariants.Told({**writer.accepted, **batches.accepted}, batches=batches.sent)
        assert await invariants.violations(database_url, told) == []
        if _is_limited(gateway, None):
            after = writer.write()
            assert after is not None
            assert after.status == 200, "it goes on by itself when there is memory again"
            assert asked(gateway, READ) is not None
            gateway.stop()
            assert "MemoryError" in gateway.log()
    with serving(database_url, tmp_path, **QUIET) as gateway:
        batches.settle(gateway)
    assert len(batches.accepted) == len(batches.sent) * LARGE_ITEMS
    told = invariants.Told({**writer.accepted, **batches.accepted}, batches=batches.sent)
    assert await invariants.violations(database_url, told) == []


LARGE_BODIES = 10
LARGE_BODY_ITEMS = 10_000
BODIES_MAX = 2_500_000
"""Enough for one of these bodies at a time."""
GROWTH_MAX = 80 * MEGABYTE
"""What is taken for BODIES_MAX, some 25 bytes for each of it, and for the first requests of all."""


def _grown(url: str, folder: Path, bodies_max: int) -> tuple[int, int]:
    """How many of many large bodies at once were refused, and by how much the most that was ever resident grew."""
    with serving(url, folder, bodies_max=str(bodies_max), **QUIET) as gateway, ThreadPoolExecutor(LARGE_BODIES) as all_:
        assert asked(gateway, READ) is not None
        before = _memory(gateway, "VmHWM")
        batches = [_batch(f"{bodies_max}-{number}", LARGE_BODY_ITEMS) for number in range(LARGE_BODIES)]
        told = all_.map(lambda batch: _told(gateway, None, batch), batches)
        refusals = [each for each in told if not _is_accepted(each)]
        assert all(each is not None and (each.status, each.codes) == (503, ["UNAVAILABLE"]) for each in refusals)
        return len(refusals), _memory(gateway, "VmHWM") - before


async def test_bodies_take_as_much_memory_as_is_set(database_url: str, tmp_path: Path) -> None:
    await _prepared(database_url)
    refused, grown = _grown(database_url, tmp_path, BODIES_MAX)
    assert refused > 0
    assert grown < GROWTH_MAX
    refused, grown = _grown(database_url, tmp_path, LARGE_BODIES * BODIES_MAX)
    assert refused == 0
    assert grown > GROWTH_MAX, "the same bodies take more where more may be worked on at once"


def test_no_thread_is_started_when_large_requests_come(postgresql_url: str, tmp_path: Path) -> None:
    """One that starts without memory may never do so, and whoever starts it waits for ever."""
    with serving(postgresql_url, tmp_path, **QUIET) as gateway, ThreadPoolExecutor(LARGE_BODIES) as clients:
        before = psutil.Process(gateway.pid).num_threads()
        document = f"{{ {'__typename ' * 1_000} }}"
        assert asked(gateway, document) is not None
        for told in clients.map(lambda number: _told(gateway, None, _batch(str(number))), range(LARGE_BODIES)):
            assert told is not None
            assert {result["errorCode"] for result in told.results} == {"G004"}
        assert psutil.Process(gateway.pid).num_threads() == before
