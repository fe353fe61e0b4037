"""A gateway that is killed at any moment has lost nothing that it answered; a retry tells what became of the rest."""

import asyncio
import json
import random
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from app.store.sqlite import CHECKPOINT_PAGES
from tests import servers
from tests.asking import Gateway
from tests.faults import invariants
from tests.faults.asking import REGISTER, Item, asked, items, numbered
from tests.faults.test_databases_fail import Writer, _prepared
from tests.graphql.test_idempotency import once
from tests.servers import GatewayProcess

PROGRAM = (sys.executable, "-m", "tests.faults.program")
COMMITTED = {"K1": False, "K2": False, "K3": False, "K5": True, "K6": True}
QUIET = {"BALANCE_GATEWAY_RUNNER": "false", "BALANCE_GATEWAY_GRAPHIQL": "false"}
CHECKPOINTS = {"page:1": True, "page:20": True, "sync:1": True, "synced:1": True, "header:2": False, "anew:1": False}
"""The places of K11 in a checkpoint that a commit brings about or follows, and whether that commit is done."""
COMMITS = {"page": False, "sync": True, "synced": True}
"""The places of K4 in a commit, and whether it is done: what was written outlives the process, also without a sync."""
PASSAGES = (1, 2, 9)
"""Which of a gateway's commits it is killed in: each time that of a batch, as nothing else is written."""
WRITES_MAX = 1_000
KILLS = 200
PAGE_BYTES = 4_096


@pytest.fixture
async def prepared_url(database_url: str) -> str:
    await _prepared(database_url)
    return database_url


@pytest.mark.parametrize("place", COMMITTED)
async def test_a_kill_at_each_place_of_a_batch(prepared_url: str, tmp_path: Path, place: str) -> None:
    settings = {**QUIET, "FAULT": f"{place}:1"}
    batch = items("n", 20)
    with GatewayProcess(prepared_url, tmp_path, settings, PROGRAM) as gateway:
        assert asked(gateway, REGISTER, "key", items=batch) is None
        assert gateway.ended() == -9
        assert f"reached {place}" in gateway.log()
    told = invariants.Told({}, batches=[numbered(batch)])
    assert await invariants.violations(prepared_url, told) == []
    after = Gateway(prepared_url)
    body, answered = await once(after, REGISTER, "key", items=batch)
    results = body["data"]["registerBatchAccountBalances"]["results"]
    assert answered.is_replay == COMMITTED[place]
    assert [result["errorCode"] for result in results] == [None] * 20
    again, answered = await once(after, REGISTER, "key", items=batch)
    assert (again, answered.is_replay) == (body, True)
    other, _ = await once(after, REGISTER, "another key", items=batch)
    held = other["data"]["registerBatchAccountBalances"]["results"]
    assert {(result["errorCode"], result["sameContent"]) for result in held} == {("O005", True)}
    assert [result["balance"] for result in held] == [result["balance"] for result in results]
    await after.store.close()
    told = invariants.Told(numbered(batch), batches=[numbered(batch)])
    assert await invariants.violations(prepared_url, told) == []


@pytest.mark.parametrize("place", ["K1", "K5", "K6"])
async def test_a_kill_at_each_place_of_a_batch_without_a_key(prepared_url: str, tmp_path: Path, place: str) -> None:
    """PostgreSQL records it by one statement, in which there is no place of ours."""
    settings = {**QUIET, "FAULT": f"{place}:1"}
    batch = items("n", 5)
    with GatewayProcess(prepared_url, tmp_path, settings, PROGRAM) as gateway:
        assert asked(gateway, REGISTER, items=batch) is None
        assert gateway.ended() == -9
        assert f"reached {place}" in gateway.log()
    is_there = COMMITTED[place]
    told = invariants.Told(numbered(batch) if is_there else {}, rejected=[] if is_there else numbered(batch))
    assert await invariants.violations(prepared_url, told) == []
    after = Gateway(prepared_url)
    again = (await after.ask(REGISTER, items=batch)).sound()["registerBatchAccountBalances"]["results"]
    assert [each["errorCode"] for each in again] == ["O005" if is_there else None] * 5
    await after.store.close()
    assert await invariants.violations(prepared_url, invariants.Told(numbered(batch), batches=[numbered(batch)])) == []


@pytest.mark.parametrize(("seed", "has_key"), [(0, True), (1, False)], ids=["with keys", "without keys"])
async def test_a_kill_at_a_random_moment(prepared_url: str, tmp_path: Path, seed: int, *, has_key: bool) -> None:
    """K4 too: four clients write without pause, and the kill comes wherever they are."""
    chance = random.Random(seed)
    accepted: dict[str, Item] = {}
    sent: list[dict[str, Item]] = []
    unknown: list[str] = []
    enough = threading.Event()
    with servers.serving(prepared_url, tmp_path, runner="false", graphiql="false") as gateway:

        def write(client: int) -> None:
            for number in range(10_000):
                prefix = f"{client}-{number}"
                batch = items(prefix, 5)
                sent.append(numbered(batch))
                told = asked(gateway, REGISTER, prefix if has_key else None, items=batch)
                if told is None:
                    unknown.append(prefix)
                    return
                assert (told.status, [result["errorCode"] for result in told.results]) == (200, [None] * 5)
                accepted.update(numbered(batch))
                if len(accepted) > 100:
                    enough.set()

        clients = [threading.Thread(target=write, args=(client,)) for client in range(4)]
        for client in clients:
            client.start()
        assert enough.wait(30)
        threading.Event().wait(chance.random() * 0.02)
        gateway.kill()
        for client in clients:
            client.join()
    assert len(unknown) == 4
    assert await invariants.violations(prepared_url, invariants.Told(accepted, batches=sent)) == []
    after = Gateway(prepared_url)
    for prefix in unknown:
        batch = items(prefix, 5)
        if has_key:
            body, _ = await once(after, REGISTER, prefix, items=batch)
        else:
            body = (await after.ask(REGISTER, items=batch)).body
        results = body["data"]["registerBatchAccountBalances"]["results"]
        outcomes = {(each["errorCode"], each["sameContent"]) for each in results}
        assert outcomes in ([{(None, None)}] if has_key else [{(None, None)}, {("O005", True)}])
        accepted.update(numbered(batch))
    await after.store.close()
    assert await invariants.violations(prepared_url, invariants.Told(accepted, batches=sent)) == []


async def test_kills_at_two_hundred_random_moments(prepared_url: str) -> None:
    command = (sys.executable, "-m", "tests.faults.forking_program", prepared_url, str(KILLS), "20260301")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    written, _ = await process.communicate()
    assert process.returncode == 0
    told: dict[str, list[str]] = json.loads(written)
    unknown = sorted(set(told["sent"]) - set(told["answered"]))
    assert len(unknown) <= KILLS <= len(told["answered"])
    sent = {prefix: items(prefix, 5) for prefix in told["sent"]}
    accepted = {number: item for prefix in told["answered"] for number, item in numbered(sent[prefix]).items()}
    batches = [numbered(batch) for batch in sent.values()]
    assert await invariants.violations(prepared_url, invariants.Told(accepted, batches=batches)) == []
    after = Gateway(prepared_url)
    outcomes: Counter[tuple[str | None, bool | None]] = Counter()
    for prefix in unknown:
        results = (await after.ask(REGISTER, items=sent[prefix])).sound()["registerBatchAccountBalances"]["results"]
        (outcome,) = {(each["errorCode"], each["sameContent"]) for each in results}
        outcomes[outcome] += 1
        accepted |= numbered(sent[prefix])
    await after.store.close()
    assert set(outcomes) == {(None, None), ("O005", True)}, "some kills came before the commit, some after it"
    assert await invariants.violations(prepared_url, invariants.Told(accepted, batches=batches)) == []


class Files:
    """A SQLite file and its log, as they are at the moment."""

    def __init__(self, url: str) -> None:
        self._main = Path(url.removeprefix("sqlite+aiosqlite:///"))

    def content(self) -> bytes:
        return self._main.read_bytes()

    def log_bytes(self) -> int:
        """How long the log is; 0 where there is none."""
        log = self._main.with_name(f"{self._main.name}-wal")
        return log.stat().st_size if log.exists() else 0


@pytest.mark.parametrize("place", COMMITS)
async def test_a_kill_inside_a_commit(sqlite_url: str, tmp_path: Path, place: str) -> None:
    await _prepared(sqlite_url)
    sent: list[dict[str, Item]] = []
    accepted: dict[str, Item] = {}
    for passage in PASSAGES:
        with GatewayProcess(sqlite_url, tmp_path, {**QUIET, "FAULT": f"K4 {place}:{passage}"}, PROGRAM) as gateway:
            writer = Writer(gateway, f"w{passage}")
            for _ in range(passage - 1):
                assert writer.write() is not None
            assert writer.write() is None
            assert gateway.ended() == -9
            assert gateway.log().count(f"reached K4 {place}\n") == 1
        sent, accepted = sent + writer.sent, accepted | writer.accepted
        assert await invariants.violations(sqlite_url, invariants.Told(accepted, batches=sent)) == []
        (cut_off,) = writer.open
        after = Gateway(sqlite_url)
        body, answered = await once(after, REGISTER, cut_off, items=items(cut_off, 2))
        await after.store.close()
        assert answered.is_replay == COMMITS[place]
        results = body["data"]["registerBatchAccountBalances"]["results"]
        assert [result["errorCode"] for result in results] == [None, None]
        accepted |= numbered(items(cut_off, 2))
        assert await invariants.violations(sqlite_url, invariants.Told(accepted, batches=sent)) == []


@pytest.mark.parametrize("place", CHECKPOINTS)
async def test_a_kill_inside_a_checkpoint(sqlite_url: str, tmp_path: Path, place: str) -> None:
    await _prepared(sqlite_url)
    files = Files(sqlite_url)
    before = files.content()
    with GatewayProcess(sqlite_url, tmp_path, {**QUIET, "FAULT": f"K11 {place}"}, PROGRAM) as gateway:
        writer = Writer(gateway, "w")
        while writer.write() is not None:
            assert len(writer.sent) < WRITES_MAX, "no checkpoint has come"
        assert gateway.ended() == -9
        assert f"reached K11 {place.partition(':')[0]}\n" in gateway.log()
    assert files.log_bytes() > CHECKPOINT_PAGES * PAGE_BYTES
    assert (files.content() == before) == (place == "page:1"), "the file holds some of the log"
    assert await invariants.violations(sqlite_url, writer.told) == []
    (cut_off,) = writer.open
    with servers.serving(sqlite_url, tmp_path, runner="false", graphiql="false") as gateway:
        again = asked(gateway, REGISTER, cut_off, items=items(cut_off, 2))
        assert again is not None
        assert ("idempotency-replayed" in again.headers) == CHECKPOINTS[place]
        writer.go_on(gateway)
        writer.settle()
        assert writer.write() is not None
    assert await invariants.violations(sqlite_url, writer.told) == []


async def test_a_kill_before_the_log_is_removed_at_the_end(sqlite_url: str, tmp_path: Path) -> None:
    await _prepared(sqlite_url)
    files = Files(sqlite_url)
    with GatewayProcess(sqlite_url, tmp_path, {**QUIET, "FAULT": "K11 remove:1"}, PROGRAM) as gateway:
        writer = Writer(gateway, "w")
        for _ in range(10):
            assert writer.write() is not None
        assert gateway.stop() == -9
        assert "reached K11 remove\n" in gateway.log()
    assert files.log_bytes() > 0
    assert await invariants.violations(sqlite_url, writer.told) == []
    with servers.serving(sqlite_url, tmp_path, runner="false", graphiql="false") as gateway:
        writer.go_on(gateway)
        assert writer.write() is not None
    assert files.log_bytes() == 0
    assert await invariants.violations(sqlite_url, writer.told) == []
