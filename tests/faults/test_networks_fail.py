"""A network that is slow, breaks or goes silent costs time and answers, never the truth; all goes on by itself."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.request import urlopen

import asyncpg
import pytest

from app.store import wires
from app.store.store import CONNECTIONS_MAX
from app.store.wires import END_SECONDS, PROBE_SECONDS, Wire
from tests.asking import Gateway
from tests.databases import Databases
from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, SETUP, Told, asked, items, numbered
from tests.faults.proxy import Lost, Proxy, proxied
from tests.faults.test_databases_fail import RECOVERY_SECONDS_MAX, Writer, _prepared
from tests.servers import GatewayProcess, serving

REQUEST_SECONDS = 2
GRACE_SECONDS = 2.0
"""How much later than its deadline an answer may come: two cores serve all that runs here."""
QUIET = {
    "runner": "false",
    "graphiql": "false",
    "request_seconds": str(REQUEST_SECONDS),
    "statement_seconds": str(REQUEST_SECONDS),
}
SESSIONS_MAX = 2 * CONNECTIONS_MAX + 1
"""The pool's, the lanes', and the one that hears signals."""


class Network(NamedTuple):
    """A gateway whose database is behind a proxy."""

    proxy: Proxy
    gateway: GatewayProcess
    url: str
    """The database's, without the proxy."""


@pytest.fixture(scope="module")
def network(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One for all tests: each of them leaves it as it found it, which is what they are about."""
    with databases.made("postgresql") as url:
        asyncio.run(_prepared(url))
        folder = tmp_path_factory.mktemp("network")
        with proxied(url) as (proxy, by_proxy), serving(by_proxy, folder, **QUIET) as gateway:
            yield Network(proxy, gateway, url)


def _timed(gateway: GatewayProcess, query: str, key: str | None = None, **variables: Any) -> Told:
    """The answer, which comes in time."""
    begun = time.monotonic()
    told = asked(gateway, query, key, **variables)
    assert told is not None, gateway.log()[-2000:]
    assert time.monotonic() - begun < REQUEST_SECONDS + GRACE_SECONDS, told
    return told


def _is_plain(told: Told) -> bool:
    """Whether what is no answer says so in a documented way; nothing is rejected then."""
    return (told.status, told.codes) in [(503, ["UNAVAILABLE"]), (504, ["TIMEOUT"])] and not told.body.get("data")


def _recovered(network: Network, writer: Writer) -> None:
    """Return when reads and writes work again: in time, by itself."""
    deadline = time.monotonic() + RECOVERY_SECONDS_MAX
    while True:
        read, written = asked(network.gateway, READ), writer.write()
        if read is not None and written is not None and read.status == written.status == 200:
            return
        assert time.monotonic() < deadline, (read, written, network.gateway.log()[-2000:])


async def _sound(network: Network, *writers: Writer) -> None:
    """All that was unknown is told by a retry, and what is stored is what was told."""
    for writer in writers:
        await asyncio.to_thread(writer.settle)
    accepted = {number: item for writer in writers for number, item in writer.accepted.items()}
    sent = [batch for writer in writers for batch in writer.sent]
    assert await invariants.violations(network.url, invariants.Told(accepted, batches=sent)) == []
    assert network.proxy.connections <= SESSIONS_MAX


async def test_a_slow_network_only_takes_longer(network: Network) -> None:
    proxy, gateway, _ = network
    writer = Writer(gateway, "slow")
    proxy.delay_seconds = 0.2
    try:
        before = proxy.delayed
        told = [await asyncio.to_thread(_timed, gateway, READ) for _ in range(2)]
        # A work goes there and back about eight times: it may come to its deadline.
        told += [await asyncio.to_thread(_timed, gateway, REGISTER, "slow", items=items("slow-0", 2))]
        assert [each for each in told if each.status != 200 and not _is_plain(each)] == []
        assert told[1].status == 200
        assert proxy.delayed - before > 8
    finally:
        proxy.delay_seconds = 0.0
    await asyncio.to_thread(_recovered, network, writer)
    again = await asyncio.to_thread(_timed, gateway, REGISTER, "slow", items=items("slow-0", 2))
    assert [each["errorCode"] for each in again.results] == [None, None]
    await _sound(network, writer)


@pytest.mark.parametrize("lost", ["question", "answer"])
async def test_a_commit_that_is_cut_off_is_unknown_and_its_key_tells(network: Network, lost: Lost) -> None:
    proxy, gateway, url = network
    batch = items(f"key-{lost}", 2)
    before = proxy.resets
    proxy.lose(b"COMMIT;\0", lost)
    told = await asyncio.to_thread(_timed, gateway, REGISTER, lost, items=batch)
    assert (told.status, told.codes, proxy.resets - before) == (503, ["UNAVAILABLE"], 1)
    assert told.body["errors"][0]["extensions"]["outcome"] == "unknown"
    again = await asyncio.to_thread(_timed, gateway, REGISTER, lost, items=batch)
    assert [each["errorCode"] for each in again.results] == [None, None]
    assert ("idempotency-replayed" in again.headers) == (lost == "answer")
    assert await invariants.violations(url, invariants.Told(numbered(batch), batches=[numbered(batch)])) == []


@pytest.mark.parametrize("lost", ["question", "answer"])
async def test_a_batch_that_is_cut_off_is_unknown_and_its_numbers_tell(network: Network, lost: Lost) -> None:
    """Without a key one statement records a batch and commits."""
    proxy, gateway, url = network
    batch = [{**item, "requester": "here it is cut"} for item in items(f"number-{lost}", 2)]
    before = proxy.resets
    proxy.lose(b"here it is cut", lost)
    told = await asyncio.to_thread(_timed, gateway, REGISTER, items=batch)
    assert (told.status, told.codes, proxy.resets - before) == (503, ["UNAVAILABLE"], 1)
    assert told.body["errors"][0]["extensions"]["outcome"] == "unknown"
    again = await asyncio.to_thread(_timed, gateway, REGISTER, items=batch)
    is_there = lost == "answer"
    outcomes = {(each["errorCode"], each["sameContent"]) for each in again.results}
    assert outcomes == {("O005", True) if is_there else (None, None)}
    assert await invariants.violations(url, invariants.Told(numbered(batch), batches=[numbered(batch)])) == []


@pytest.mark.parametrize("lost", ["question", "answer"])
async def test_a_work_that_is_cut_off_before_its_commit_is_done_again(network: Network, lost: Lost) -> None:
    proxy, gateway, url = network
    batch = [{**item, "requester": "here it is cut"} for item in items(f"work-{lost}", 2)]
    before = proxy.resets
    proxy.lose(b"here it is cut", lost)
    told = await asyncio.to_thread(_timed, gateway, REGISTER, f"work-{lost}", items=batch)
    assert proxy.resets - before == 1
    assert [each["errorCode"] for each in told.results] == [None, None]
    assert await invariants.violations(url, invariants.Told(numbered(batch), batches=[numbered(batch)])) == []


async def test_connections_that_break_at_random_cost_no_answer_its_truth(network: Network) -> None:
    proxy, gateway, _ = network
    writers = [Writer(gateway, f"random-{number}") for number in range(3)]
    before = proxy.resets
    proxy.reset_share = 0.01

    def write(writer: Writer) -> None:
        deadline = time.monotonic() + RECOVERY_SECONDS_MAX
        while proxy.resets - before < 8 and time.monotonic() < deadline:
            writer.write()

    try:
        threads = [threading.Thread(target=write, args=(writer,)) for writer in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
    finally:
        proxy.reset_share = 0.0
    assert proxy.resets - before >= 8
    assert [told for writer in writers for told in writer.refusals if not _is_plain(told)] == []
    await asyncio.to_thread(_recovered, network, writers[0])
    await _sound(network, *writers)


@pytest.mark.parametrize("end", ["resumed", "reset"])
async def test_a_network_that_swallows_all_keeps_nobody_longer_than_the_deadline(network: Network, end: str) -> None:
    """More ask than there are connections; then what was held back comes, or is cut off."""
    proxy, gateway, url = network
    writers = [Writer(gateway, f"{end}-{number}") for number in range(12)]
    with ThreadPoolExecutor(48) as clients:
        # So many connections are warm, and will be broken.
        warm = [clients.submit(writer.write) for writer in writers] + [
            clients.submit(_timed, gateway, READ) for _ in range(12)
        ]
        for each in warm:
            await asyncio.wrap_future(each)
        before = proxy.swallowed
        proxy.swallow()
        begun = time.monotonic()
        reads = [clients.submit(_timed, gateway, READ) for _ in range(24)]
        keyless = [clients.submit(_timed, gateway, REGISTER, items=items(f"{end}-n-{n}", 2)) for n in range(12)]
        keyed = [clients.submit(writer.write) for writer in writers]
        told = [await asyncio.wrap_future(each) for each in (*reads, *keyless)]
        for each in keyed:
            await asyncio.wrap_future(each)
        assert time.monotonic() - begun < REQUEST_SECONDS + GRACE_SECONDS
        refused = [*told, *(told for writer in writers for told in writer.refusals)]
        assert len(refused) >= 48
        assert [each for each in refused if not _is_plain(each)] == []
        assert proxy.swallowed > before
        health = await asyncio.to_thread(_timed, gateway, "{ limits { pageSize } }")
        assert health.status == 200
        {"resumed": proxy.resume, "reset": proxy.cut_all}[end]()
        await asyncio.to_thread(_recovered, network, writers[0])
    for number in range(12):
        again = await asyncio.to_thread(asked, gateway, REGISTER, items=items(f"{end}-n-{number}", 2))
        assert again is not None
        assert {(each["errorCode"], each["sameContent"]) for each in again.results} <= {(None, None), ("O005", True)}
    await _sound(network, *writers)
    sessions = await asyncpg.connect(url.replace("+asyncpg", ""))
    stuck = await sessions.fetchval(
        """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'balance-gateway%'"""
    )
    await sessions.close()
    assert stuck <= 2 * SESSIONS_MAX


async def test_a_connection_to_nowhere_is_ended_in_time(postgresql_url: str) -> None:
    """Also when the cancellation of what it was asked is swallowed as well."""
    with proxied(postgresql_url) as (proxy, url):
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), connection_class=Wire)
        proxy.swallow()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.execute("SELECT 1"), 0.1)
        begun = time.monotonic()
        await asyncio.wait_for(connection.close(), END_SECONDS + GRACE_SECONDS)
        assert time.monotonic() - begun < END_SECONDS + GRACE_SECONDS / 2
        assert connection.is_closed()
        assert proxy.swallowed >= 2


async def _answered_in_time(network: Network, key: str, batch: list[dict[str, Any]]) -> Told:
    """What a retry tells in the end: at most ten seconds after the fault, as the invariant says."""
    deadline = time.monotonic() + RECOVERY_SECONDS_MAX
    while True:
        told = await asyncio.to_thread(asked, network.gateway, REGISTER, key, items=batch)
        assert told is not None
        if told.status == 200:
            return told
        assert _is_plain(told) or (told.status, told.codes) == (409, ["CONFLICT"]), told
        assert time.monotonic() < deadline, (told, network.gateway.log()[-2000:])


@pytest.mark.parametrize("lost", ["question", "answer"])
async def test_a_commit_that_the_network_swallows_is_unknown_and_its_key_tells(network: Network, lost: Lost) -> None:
    """Nobody is told that the connection leads nowhere, and the others go on."""
    proxy, gateway, url = network
    batch = items(f"swallowed-{lost}", 2)
    before = proxy.forgotten
    proxy.lose(b"COMMIT;\0", lost, silently=True)
    told = await asyncio.to_thread(_timed, gateway, REGISTER, f"s-{lost}", items=batch)
    assert (told.status, told.codes, proxy.forgotten - before) == (504, ["TIMEOUT"], 1)
    assert told.body["errors"][0]["extensions"]["outcome"] == "unknown"
    again = await _answered_in_time(network, f"s-{lost}", batch)
    assert [each["errorCode"] for each in again.results] == [None, None]
    # Where the question was lost, a retry that waited too long for the lock may have done it.
    assert lost == "question" or "idempotency-replayed" in again.headers
    assert await invariants.violations(url, invariants.Told(numbered(batch), batches=[numbered(batch)])) == []


async def test_a_work_that_the_network_swallows_is_unknown_and_its_key_tells(network: Network) -> None:
    """In the middle of its transaction, while it holds the account's lock on the server."""
    proxy, gateway, url = network
    batch = [{**item, "requester": "here it is swallowed"} for item in items("middle", 2)]
    before = proxy.forgotten
    proxy.lose(b"here it is swallowed", "answer", silently=True)
    told = await asyncio.to_thread(_timed, gateway, REGISTER, "middle", items=batch)
    assert (told.status, told.codes, proxy.forgotten - before) == (504, ["TIMEOUT"], 1)
    assert told.body["errors"][0]["extensions"]["outcome"] == "unknown"
    again = await _answered_in_time(network, "middle", batch)
    assert [each["errorCode"] for each in again.results] == [None, None]
    assert await invariants.violations(url, invariants.Told(numbered(batch), batches=[numbered(batch)])) == []


async def test_connections_that_lead_nowhere_cost_one_deadline_and_not_one_each(network: Network) -> None:
    proxy, gateway, _ = network
    writers = [Writer(gateway, f"nowhere-{number}") for number in range(8)]
    with ThreadPoolExecutor(16) as clients:
        warm = [clients.submit(writer.write) for writer in writers]
        warm += [clients.submit(_timed, gateway, READ) for _ in range(8)]
        for each in warm:
            await asyncio.wrap_future(each)
    before, there = proxy.forgotten, proxy.connections
    assert there > 6
    proxy.forget()
    assert proxy.forgotten - before == there
    begun = time.monotonic()
    first = await asyncio.to_thread(_timed, gateway, READ)
    assert (first.status, first.codes) == (504, ["TIMEOUT"])
    # From here on each connection is asked for a sign, and one that gives none is the last one that is waited for.
    for _ in range(3):
        written = await asyncio.to_thread(writers[0].write)
        read = await asyncio.to_thread(_timed, gateway, READ)
        assert written is not None
        assert (written.status, read.status) == (200, 200), (written, read)
    took = time.monotonic() - begun
    assert took < REQUEST_SECONDS + PROBE_SECONDS + GRACE_SECONDS
    assert await asyncio.to_thread(_readiness, gateway) == 200
    await _sound(network, *writers)


def _readiness(gateway: GatewayProcess) -> int:
    with urlopen(f"{gateway.url}/ready", timeout=RECOVERY_SECONDS_MAX) as ready:
        status: int = ready.status
    return status


async def test_a_connection_that_rested_is_asked_for_a_sign_first(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a network that forgot all of them costs no question its answer."""
    monkeypatch.setattr(wires, "REST_SECONDS", 0.0)
    with proxied(postgresql_url) as (proxy, url):
        gateway = Gateway(url)
        (await gateway.ask(SETUP)).sound()
        (await gateway.ask(READ)).sound()
        proxy.forget()
        begun = time.monotonic()
        read = (await gateway.ask(READ)).sound()
        written = (await gateway.ask(REGISTER, items=items("rested", 2))).sound()
        took = time.monotonic() - begun
        await gateway.store.close()
    assert proxy.forgotten >= 2
    assert read["account"]["balance"] == "0"
    assert written["registerBatchAccountBalances"]["results"][0]["errorCode"] is None
    assert PROBE_SECONDS <= took < PROBE_SECONDS + GRACE_SECONDS
