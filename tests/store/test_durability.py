"""What was answered is on the disk; what was cancelled is there as a whole or not at all."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import pytest
from asyncpg.transaction import Transaction
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from app.domain.refusals import Code, Refusal
from app.store import store as store_module
from app.store.durability import Promise, promise_of
from app.store.store import Store, Work
from app.store.wires import Wire
from tests.asking import Gateway
from tests.cli.test_commands import URL, run
from tests.databases import Cluster, scratch
from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, SETUP, items

BALANCE = """mutation { createBankAccountBalance(bankAccountId: "account_1", input: {amount: 4,
  timestamp: "2026-02-01T00:00:00Z", currency: {code: "EUR"}}) { balance { id } userErrors { message } } }"""


async def _setting(store: Store) -> str:
    async def act(work: Work) -> Any:
        return (await work.reads._connection.execute(text("SHOW synchronous_commit"))).scalar()

    told: str = await store.work(None, act)
    return told


async def _told_off(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    name = url.rpartition("/")[2]
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    await connection.close()


async def test_commits_are_on_the_disk_whatever_the_server_is_set_to(postgresql_url: str) -> None:
    await _told_off(postgresql_url)
    store, lax = Store(postgresql_url), Store(postgresql_url, allow_async_commit=True)
    assert (await _setting(store), await _setting(lax)) == ("on", "off")
    assert await promise_of(postgresql_url) == Promise([], "off")
    for each in (store, lax):
        await each.close()


async def test_sqlite_promises_what_it_is_told_to(sqlite_url: str) -> None:
    assert await promise_of(sqlite_url) == Promise([], None)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_may_lose_what_it_said_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setitem(__import__("tests.databases", fromlist=["_SETTINGS"])._SETTINGS, setting, "off")
    with scratch() as folder, Cluster(folder / "lax") as cluster:
        for command in ("serve", "runner"):
            done = run(command, folder=tmp_path, **{URL: cluster.url("postgres")})
            assert done.returncode == 2
            assert f"{setting} is off" in done.stderr
            assert "Traceback" not in done.stderr


async def test_a_server_that_commits_later_is_named_where_that_is_allowed(postgresql_url: str, tmp_path: Path) -> None:
    await _told_off(postgresql_url)
    settings = {URL: postgresql_url, "BALANCE_GATEWAY_ALLOW_ASYNC_COMMIT": "true"}
    done = await asyncio.to_thread(run, "runner", "--once", folder=tmp_path, **settings)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if '"synchronous_commit": "off"' in line]
    done = await asyncio.to_thread(run, "runner", "--once", folder=tmp_path, **{URL: postgresql_url})
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_cancelled_work_is_there_as_a_whole_or_not_at_all(database_url: str) -> None:
    """Cancelled at many moments: in the middle nothing is kept, and a commit that has begun is finished."""
    store = Store(database_url)
    chance = random.Random(7)
    told = dict.fromkeys(("kept", "left"), 0)

    async def pair(number: int) -> None:
        async def act(work: Work) -> None:
            await work.directory.add_unit(f"a{number}")
            await work.directory.add_unit(f"b{number}")

        await store.work(None, act)

    for number in range(80):
        working = asyncio.ensure_future(pair(number))
        await asyncio.sleep(chance.random() * 0.004)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    await pair(80)
    # Whatever is still being committed is waited for, and then all is settled.
    await store.close()
    async with store.reading(None) as reads:
        names = set(await reads.units())
    for number in range(81):
        assert (f"a{number}" in names) == (f"b{number}" in names), number
        told["kept" if f"a{number}" in names else "left"] += 1
    assert min(told.values()) > 0, "the moments were all before, or all after, the commit"
    await store.close()


async def test_a_commit_that_has_begun_is_finished_though_nobody_waits(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(database_url)
    begun, goes_on, heard = asyncio.Event(), asyncio.Event(), asyncio.Event()
    commit = Store._commit

    async def held(of: Store, connection: Any) -> None:
        begun.set()
        await goes_on.wait()
        await commit(of, connection)

    monkeypatch.setattr(Store, "_commit", held)
    store.committed = heard.set
    working = asyncio.ensure_future(store.work(None, lambda work: work.directory.add_unit("kept")))
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert not heard.is_set()
    goes_on.set()
    await store.close()
    assert heard.is_set()
    async with store.reading(None) as reads:
        assert await reads.units() == ["kept"]
    await store.close()


async def test_a_work_whose_connection_can_not_be_given_back_holds_nobody_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where memory has ended: not even the end of its transaction can be asked for."""
    store, close = Store(database_url), AsyncConnection.close

    async def failing(_connection: AsyncConnection) -> None:
        monkeypatch.setattr(AsyncConnection, "close", close)
        raise MemoryError

    async def act(work: Work) -> None:
        await work.directory.add_unit("again")
        monkeypatch.setattr(AsyncConnection, "close", failing)
        raise ValueError

    with pytest.raises(MemoryError) as kept:
        await store.work(None, act)
    async with asyncio.timeout(5):
        await store.work(None, lambda work: work.directory.add_unit("again"))
    assert isinstance(kept.value.__context__, ValueError), "what was held is still known, and holds nothing"
    async with store.reading(None) as reads:
        assert await reads.units() == ["again"]
    await store.close()


async def test_a_connection_that_breaks_before_the_commit_costs_a_second_try(postgresql_url: str) -> None:
    store = Store(postgresql_url)
    killer = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    tries = 0

    async def act(work: Work) -> None:
        nonlocal tries
        tries += 1
        await work.directory.add_unit("once")
        if tries == 1:
            await _kill_others(killer)
        await work.directory.unit_ids(["once"])

    await store.work(None, act)
    assert tries == 2
    async with store.reading(None) as reads:
        assert await reads.units() == ["once"]
    await killer.close()
    await store.close()


async def test_a_connection_that_breaks_in_the_commit_leaves_the_outcome_unknown(
    postgresql_url: str,
) -> None:
    store = Store(postgresql_url)
    killer = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))

    async def act(work: Work) -> None:
        await work.directory.add_unit("unknown")
        await _kill_others(killer)

    with pytest.raises(Refusal) as refused:
        await store.work(None, act)
    assert (refused.value.code, refused.value.extensions) == (Code.UNAVAILABLE, {"outcome": "unknown"})
    assert "unknown" in refused.value.message
    await killer.close()
    await store.close()


@pytest.fixture(params=[False, True], ids=["before", "after"])
def failing_commit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, has memory end at the next commit: before the driver has sent it, or after the database has done it."""
    goes_on = True

    def failing(of: Any, name: str) -> None:
        done = getattr(of, name)

        async def fail(*given: Any, **named: Any) -> Any:
            nonlocal goes_on
            is_commit = of is not Wire or "INSERT INTO entries" in given[1].get_query()
            if goes_on or not is_commit:
                return await done(*given, **named)
            goes_on = True
            if request.param:
                await done(*given, **named)
            raise MemoryError

        monkeypatch.setattr(of, name, fail)

    def fail_next() -> None:
        nonlocal goes_on
        goes_on = False

    failing(aiosqlite.Connection, "commit")
    failing(Transaction, "commit")
    failing(Wire, "rows_of")
    return fail_next


async def test_whatever_fails_in_a_commit_leaves_the_outcome_unknown_and_no_lock(
    database_url: str, failing_commit: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    """Nobody is told that nothing happened, or INTERNAL, of what may be stored."""
    store = Store(database_url, connections=2)

    async def add(work: Work) -> None:
        await work.directory.add_unit("unknown")
        failing_commit()

    with capture_logs() as logged, pytest.raises(Refusal) as refused:
        await store.work(None, add)
    assert (refused.value.code, refused.value.extensions) == (Code.UNAVAILABLE, {"outcome": "unknown"})
    assert refused.value.message.startswith("The gateway failed while it committed: whether this was done is unknown.")
    assert [line["event"] for line in logged] == ["commit_failed"]
    async with store.reading(None) as reads:
        assert await reads.units() == (["unknown"] if "after" in request.node.callspec.id else [])
    # What it had locked is free, also for other processes.
    other = Store(database_url)
    async with asyncio.timeout(5):
        await other.work(None, lambda work: work.directory.add_unit("next"))
        await store.work(None, lambda work: work.directory.add_unit("next but one"))
    for each in (store, other):
        await each.close()


@pytest.mark.parametrize("mutation", [BALANCE, REGISTER], ids=["single", "batch"])
async def test_who_asks_again_after_a_commit_that_failed_is_told_the_truth(
    database_url: str, failing_commit: Callable[[], None], mutation: str
) -> None:
    """By works, and on PostgreSQL by one statement too."""
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    batch = items("n", 3)
    for _ in range(2):  # The second time the account is one that was seen.
        failing_commit()
        answer = await gateway.ask(mutation, items=batch)
        assert answer.codes == ["UNAVAILABLE"]
        assert answer.errors[0]["extensions"]["outcome"] == "unknown"
        counted = (await gateway.ask(READ)).sound()["account"]["balances"]["totalCount"]
        again = (await gateway.ask(mutation, items=batch)).sound()
        if mutation is REGISTER:
            told = {(each["errorCode"], each["sameContent"]) for each in again[next(iter(again))]["results"]}
            assert told == ({("O005", True)} if counted else {(None, None)})
            assert (await gateway.ask(READ)).sound()["account"]["balances"]["totalCount"] == 3
            break
    await gateway.store.close()
    assert await invariants.violations(database_url) == []


async def test_what_fails_after_a_commit_changes_no_answer(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    store, end = gateway.store, store_module._end

    async def failing(connection: AsyncConnection) -> None:
        await end(connection)
        raise MemoryError

    def woken() -> None:
        raise MemoryError

    monkeypatch.setattr(store_module, "_end", failing)
    store.committed = woken
    with capture_logs() as logged:
        (await gateway.ask(BALANCE)).sound()
        (await gateway.ask(REGISTER, items=items("n", 3))).sound()
    assert {line["event"] for line in logged} == {"failed_after_commit"}
    monkeypatch.setattr(store_module, "_end", end)
    assert (await gateway.ask(READ)).sound()["account"]["balances"]["totalCount"] == 4
    await store.close()


async def _kill_others(killer: "asyncpg.Connection[Any]") -> None:
    """End every other session of the database, and return when they are gone."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert await killer.fetchval(f"SELECT count(pg_terminate_backend(pid)) {others}") > 0
    while await killer.fetchval(f"SELECT count(*) {others}"):  # noqa: ASYNC110 - another process tells by no event of ours.
        await asyncio.sleep(0.01)
