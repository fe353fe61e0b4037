"""Requests that end by their deadline while they write: what they are told is true, and nothing of them is left."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from tests.asking import Gateway
from tests.faults import invariants
from tests.faults.asking import REGISTER, Item, Told, asked, numbered
from tests.faults.test_crowds import _many
from tests.faults.test_databases_fail import RECOVERY_SECONDS_MAX, _prepared
from tests.graphql.test_idempotency import once
from tests.servers import GatewayProcess, serving

QUIET = {"runner": "false", "graphiql": "false"}
REQUEST_SECONDS = 0.03
CROWDS = (1, 4, 16)
"""How many write at once, in turn: the first one is mostly in time, and the last ones are not."""
BATCHES = 32
"""That each crowd writes."""
SIZES = (1, 1, 20, 100)
OPEN = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND state LIKE 'idle in transaction%'"""


class Asking(NamedTuple):
    """A batch, and what its client was told of it."""

    key: str | None
    batch: list[dict[str, Any]]
    told: Told

    @property
    def outcome(self) -> str:
        """done, unknown, or refused, which says that nothing was done."""
        if self.told.status == 200:
            assert [each["errorCode"] for each in self.told.results] == [None] * len(self.batch)
            return "done"
        assert (self.told.status, self.told.codes) in [(503, ["UNAVAILABLE"]), (504, ["TIMEOUT"])], self.told
        told: str = self.told.body["errors"][0]["extensions"].get("outcome", "refused")
        return told


def _asking(gateway: GatewayProcess, number: int) -> Asking:
    batch, key = _many(f"n{number}", SIZES[number % len(SIZES)]), f"n{number}" if number % 2 else None
    told = asked(gateway, REGISTER, key, items=batch)
    assert told is not None
    return Asking(key, batch, told)


async def _was_done(gateway: Gateway, asking: Asking) -> bool:
    """Whether a batch had been stored, by what a retry is told; now it is."""
    if asking.key is not None:
        body, answered = await once(gateway, REGISTER, asking.key, items=asking.batch)
        results = body["data"]["registerBatchAccountBalances"]["results"]
        assert [each["errorCode"] for each in results] == [None] * len(asking.batch)
        return answered.is_replay
    results = (await gateway.ask(REGISTER, items=asking.batch)).sound()["registerBatchAccountBalances"]["results"]
    (outcome,) = {(each["errorCode"], each["sameContent"]) for each in results}
    assert outcome in [(None, None), ("O005", True)]
    return outcome == ("O005", True)


async def test_writes_that_end_by_their_deadline_are_told_the_truth(database_url: str, tmp_path: Path) -> None:
    """FS11: more write at once than can in that time, with keys and without."""
    await _prepared(database_url)
    with serving(database_url, tmp_path, **QUIET, request_seconds=str(REQUEST_SECONDS)) as gateway:
        askings: list[Asking] = []
        for clients in CROWDS:
            numbers = range(len(askings), len(askings) + BATCHES)
            with ThreadPoolExecutor(clients) as crowd:
                askings += crowd.map(lambda number: _asking(gateway, number), numbers)
        assert {each.outcome for each in askings} <= {"done", "unknown", "refused"}
        assert any(each.told.codes == ["TIMEOUT"] for each in askings)
        if not database_url.startswith("sqlite"):
            await _nothing_is_open(database_url)
        log = gateway.log()
    assert [wrong for wrong in ("Traceback", '"status":500', '"INTERNAL"') if wrong in log] == []
    batches = [numbered(each.batch) for each in askings]
    accepted = _numbers(each.batch for each in askings if each.outcome == "done")
    rejected = _numbers(each.batch for each in askings if each.outcome == "refused")
    assert await invariants.violations(database_url, invariants.Told(accepted, rejected, batches)) == []
    after = Gateway(database_url)
    for each in askings:
        assert each.outcome in ({"done", "unknown"} if await _was_done(after, each) else {"refused", "unknown"})
    await after.store.close()
    told = invariants.Told(_numbers(each.batch for each in askings), batches=batches)
    assert await invariants.violations(database_url, told) == []


def _numbers(batches: Iterable[list[Item]]) -> dict[str, Item]:
    return {number: item for batch in batches for number, item in numbered(batch).items()}


async def _nothing_is_open(url: str) -> None:
    """Return when no session of the database is within a transaction that does nothing, which is soon."""
    sessions = await asyncpg.connect(url.replace("+asyncpg", ""))
    async with asyncio.timeout(RECOVERY_SECONDS_MAX):
        while await sessions.fetchval(OPEN):  # noqa: ASYNC110 - a server has no event of ours.
            await asyncio.sleep(0.01)
    await sessions.close()
