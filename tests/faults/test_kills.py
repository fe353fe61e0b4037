"""A gateway that is killed at any moment has lost nothing that it answered; a retry tells what became of the rest."""

import random
import sys
import threading
from pathlib import Path

import pytest

from tests import servers
from tests.asking import Gateway
from tests.faults import invariants
from tests.faults.asking import REGISTER, SETUP, amounts, asked, items
from tests.graphql.test_idempotency import once
from tests.servers import GatewayProcess

PROGRAM = (sys.executable, "-m", "tests.faults.program")
COMMITTED = {"K1": False, "K2": False, "K3": False, "K5": True, "K6": True}
QUIET = {"BALANCE_GATEWAY_RUNNER": "false", "BALANCE_GATEWAY_GRAPHIQL": "false"}


@pytest.fixture
async def prepared_url(database_url: str) -> str:
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    await gateway.store.close()
    return database_url


@pytest.mark.parametrize("place", COMMITTED)
async def test_a_kill_at_each_place_of_a_batch(prepared_url: str, tmp_path: Path, place: str) -> None:
    settings = {**QUIET, "FAULT": f"{place}:1"}
    batch = items("n", 20)
    with GatewayProcess(prepared_url, tmp_path, settings, PROGRAM) as gateway:
        assert asked(gateway, REGISTER, "key", items=batch) is None
        assert gateway.ended() == -9
        assert f"reached {place}" in gateway.log()
    told = invariants.Told({}, batches=[amounts(batch)])
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
    told = invariants.Told(amounts(batch), batches=[amounts(batch)])
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
    told = invariants.Told(amounts(batch) if is_there else {}, rejected=[] if is_there else amounts(batch))
    assert await invariants.violations(prepared_url, told) == []
    after = Gateway(prepared_url)
    again = (await after.ask(REGISTER, items=batch)).sound()["registerBatchAccountBalances"]["results"]
    assert [each["errorCode"] for each in again] == ["O005" if is_there else None] * 5
    await after.store.close()
    assert await invariants.violations(prepared_url, invariants.Told(amounts(batch), batches=[amounts(batch)])) == []


@pytest.mark.parametrize(("seed", "has_key"), [(0, True), (1, False)], ids=["with keys", "without keys"])
async def test_a_kill_at_a_random_moment(prepared_url: str, tmp_path: Path, seed: int, *, has_key: bool) -> None:
    """K4 too: four clients write without pause, and the kill comes wherever they are."""
    chance = random.Random(seed)
    accepted: dict[str, int] = {}
    sent: list[dict[str, int]] = []
    unknown: list[str] = []
    enough = threading.Event()
    with servers.serving(prepared_url, tmp_path, runner="false", graphiql="false") as gateway:

        def write(client: int) -> None:
            for number in range(10_000):
                prefix = f"{client}-{number}"
                batch = items(prefix, 5)
                sent.append(amounts(batch))
                told = asked(gateway, REGISTER, prefix if has_key else None, items=batch)
                if told is None:
                    unknown.append(prefix)
                    return
                assert (told.status, [result["errorCode"] for result in told.results]) == (200, [None] * 5)
                accepted.update(amounts(batch))
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
        accepted.update(amounts(batch))
    await after.store.close()
    assert await invariants.violations(prepared_url, invariants.Told(accepted, batches=sent)) == []
