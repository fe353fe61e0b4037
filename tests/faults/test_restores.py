"""A backup taken under load holds the first writes; what comes after its restore is never taken for what was lost."""

import asyncio
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from app.domain.callers import LOCAL
from app.store.store import Store
from app.web.operations import Answered, Asked
from tests.asking import Answer, Gateway
from tests.cli.test_commands import URL, run
from tests.databases import Cluster, Databases, Kind
from tests.faults import invariants
from tests.faults.asking import REGISTER, asked, items, numbered
from tests.faults.test_databases_fail import Writer, _prepared
from tests.servers import serving

SQLITE = "sqlite+aiosqlite:///"
QUIET = {"runner": "false", "graphiql": "false"}
SECONDS = 30
"""How long a test waits for what is bound to come."""

Backup = Callable[[], str]
"""Takes a backup and puts it in place of a new database, whose URL it tells."""


def _ran(program: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What a program says, which must end well."""
    command = [str(program), *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True, timeout=SECONDS).stdout


@contextmanager
def _vacuum(_databases: Databases, url: str, folder: Path) -> Iterator[Backup]:
    def vacuum() -> str:
        copy = folder / "vacuum.db"
        with closing(sqlite3.connect(url.removeprefix(SQLITE))) as connection:
            connection.execute("VACUUM INTO ?", [str(copy)])
        return f"{SQLITE}{copy}"

    yield vacuum


@contextmanager
def _backup_api(_databases: Databases, url: str, folder: Path) -> Iterator[Backup]:
    def copied() -> str:
        copy = folder / "copied.db"
        with closing(sqlite3.connect(url.removeprefix(SQLITE))) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return f"{SQLITE}{copy}"

    yield copied


@contextmanager
def _dump(databases: Databases, url: str, _folder: Path) -> Iterator[Backup]:
    programs = databases.cluster.programs
    with databases.made("postgresql", empty=True) as restored:

        def dump() -> str:
            source, target = (each.replace("+asyncpg", "") for each in (url, restored))
            made = _ran(programs / "pg_dump", "--format=custom", source)
            _ran(programs / "pg_restore", "--exit-on-error", "--single-transaction", "--dbname", target, given=made)
            return restored

        yield dump


@contextmanager
def _base_backup(databases: Databases, url: str, _folder: Path) -> Iterator[Backup]:
    if not (databases.cluster.programs / "pg_basebackup").exists():
        pytest.skip("this PostgreSQL comes without pg_basebackup")
    restored = Cluster(databases.folder("restored"))
    try:

        def backed_up() -> str:
            databases.cluster.back_up_to(restored)
            return restored.url(url.rpartition("/")[2])

        yield backed_up
    finally:
        restored.crash()


WAYS: dict[str, tuple[Kind, Callable[[Databases, str, Path], AbstractContextManager[Backup]]]] = {
    "VACUUM INTO": ("sqlite", _vacuum),
    "backup API": ("sqlite", _backup_api),
    "pg_dump": ("postgresql", _dump),
    "pg_basebackup": ("postgresql", _base_backup),
}


@pytest.fixture(params=WAYS)
def backed(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Iterator[tuple[str, Backup]]:
    """A database with an account in it, and a way to back it up."""
    kind, way = WAYS[request.param]
    with databases.made(kind) as url:
        asyncio.run(_prepared(url))
        with way(databases, url, tmp_path) as back_up:
            yield url, back_up


async def stored(url: str) -> list[str]:
    """The communication numbers that are stored, in the order of the log."""
    store = Store(url)
    async with store.reading(None) as reads:
        rows = await invariants._rows(reads, "SELECT communication_number FROM entries ORDER BY id")
    await store.close()
    return [number for (number,) in rows]


async def _until(holds: Callable[[], bool]) -> None:
    """Return when something holds that a thread brings about."""
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110 - it tells by no event of ours.
            await asyncio.sleep(0.01)


async def test_a_backup_under_load_holds_the_first_writes_and_takes_the_others_again(
    backed: tuple[str, Backup], tmp_path: Path
) -> None:
    url, back_up = backed
    goes_on = True
    with serving(url, tmp_path, **QUIET) as gateway:
        writers = [Writer(gateway, str(number)) for number in range(3)]

        def write(writer: Writer) -> None:
            while goes_on:
                writer.write()

        threads = [threading.Thread(target=write, args=(writer,)) for writer in writers]
        for thread in threads:
            thread.start()
        try:
            await _until(lambda: all(len(writer.accepted) >= 20 for writer in writers))
            before = [list(writer.accepted) for writer in writers]
            restored = back_up()  # By this thread: a server ends with the one that started it.
            after = [len(writer.accepted) for writer in writers]
            await _until(lambda: all(len(w.accepted) > count + 4 for w, count in zip(writers, after, strict=True)))
        finally:
            goes_on = False
            for thread in threads:
                await asyncio.to_thread(thread.join)
        assert [writer.open for writer in writers] == [[], [], []]
    held, all_of_them = await stored(restored), await stored(url)
    for writer, early in zip(writers, before, strict=True):
        own = [number for number in held if number in writer.accepted]
        assert own == list(writer.accepted)[: len(own)]
        assert len(early) <= len(own) < len(writer.accepted), "it was taken while this one wrote"
    if url.startswith(SQLITE):
        assert held == all_of_them[: len(held)]
    accepted = {number: item for writer in writers for number, item in writer.accepted.items()}
    sent = [batch for writer in writers for batch in writer.sent]
    there = {number: accepted[number] for number in held}
    assert await invariants.violations(restored, invariants.Told(there, batches=sent)) == []
    with serving(restored, tmp_path, **QUIET) as gateway:
        for batch in sent:
            prefix = next(iter(batch)).rpartition("-")[0]
            is_there = set(batch) <= set(held)
            again = asked(gateway, REGISTER, prefix, items=items(prefix, 2))
            assert again is not None
            assert [result["errorCode"] for result in again.results] == [None, None]
            assert ("idempotency-replayed" in again.headers) == is_there
            if batch in sent[-3:] or is_there:
                without = asked(gateway, REGISTER, items=items(prefix, 2))
                assert without is not None
                assert [(each["errorCode"], each["sameContent"]) for each in without.results] == [("O005", True)] * 2
    assert sorted(await stored(restored)) == sorted(accepted)
    assert await invariants.violations(restored, invariants.Told(accepted, batches=sent)) == []


MAKE = """mutation ($name: String!) {
  createContractor(input: {name: $name, isCustomer: true}) { contractor { id } }
  createAccount(input: {name: $name, contractorId: "contractor_1"}) { account { id } userErrors { message } }
  createWebhook(input: {url: "https://receiver.example/"}) { webhook { id } userErrors { message } } }"""
FIRST_OF_ITS_KIND = "mutation ($name: String!) { createDivision(input: {code: $name}) { division { id } } }"
LOG = """query ($after: String, $before: String) {
  events(after: $after, before: $before) { edges { cursor node { id } } } }"""
LISTEN = {
    "events": "subscription ($after: String) { events(after: $after) { id } }",
    "balanceCreated": "subscription ($after: String) { balanceCreated(after: $after) { id } }",
}


class Made:
    """What a gateway has given to its clients: ids of what was made, places of the log."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.ids: set[str] = set()

    async def make(self, document: str, name: str) -> None:
        """Make one of each kind of thing in a document."""
        made = (await self._gateway.ask(document, name=name)).sound()
        self.ids |= {each["id"] for payload in made.values() for each in payload.values() if isinstance(each, dict)}

    async def write(self, prefix: str, count: int) -> None:
        """Make so many entries."""
        answer = (await self._gateway.ask(REGISTER, items=items(prefix, count))).sound()
        results = answer["registerBatchAccountBalances"]["results"]
        assert len(results) == count
        self.ids |= {result["balance"]["id"] for result in results}

    async def events(self, after: str | None = None) -> dict[str, str]:
        """The events behind a place, and their cursors; in order."""
        page = (await self._gateway.ask(LOG, after=after)).sound()["events"]
        found = {edge["node"]["id"]: edge["cursor"] for edge in page["edges"]}
        self.ids |= set(found)
        return found

    async def refuses(self, **place: str) -> bool:
        """Whether it says of a place that it has not got it."""
        return (await self._gateway.ask(LOG, **place)).codes == ["EVENTS_EXPIRED"]

    async def refuses_to_go_on(self, name: str, after: str) -> bool:
        """The same, of somebody who subscribes from there on."""
        told = await self._gateway.subscribe(Asked(LISTEN[name], {"after": after}, None, {}), LOCAL, mutations=False)
        assert isinstance(told, Answered)
        return Answer(told.body).codes == ["EVENTS_EXPIRED"]


@pytest.mark.parametrize("backed", ["VACUUM INTO", "pg_dump"], indirect=True)
async def test_what_comes_after_a_restore_is_never_taken_for_what_was_lost(
    backed: tuple[str, Backup], tmp_path: Path
) -> None:
    url, back_up = backed
    gateway = Gateway(url)
    original = Made(gateway)
    await original.make(MAKE, "kept")
    await original.write("kept", 3)
    kept = await original.events()
    kept_ids = set(original.ids)
    restored_url = back_up()
    for document in (MAKE, FIRST_OF_ITS_KIND):
        await original.make(document, "lost")
    await original.write("lost", 8)
    last = list(kept)[-1]
    lost = await original.events(last)
    lost_ids = original.ids - kept_ids
    assert len(lost) == 9, "eight entries, and a threshold is reached"
    await gateway.store.close()
    for _ in range(2):  # Whoever is not sure does it again.
        done = await asyncio.to_thread(run, "restored", folder=tmp_path, **{URL: restored_url})
        told = f"The log of events ends at {last}. What came after it is lost, and its ids are not given again.\n"
        assert (done.returncode, done.stdout) == (0, told), done.stderr
    gateway = Gateway(restored_url)
    restored = Made(gateway)
    assert await restored.events() == kept
    for document in (MAKE, FIRST_OF_ITS_KIND):
        await restored.make(document, "new")
    await restored.write("new", 20)
    new = await restored.events(last)
    assert len(new) == 21
    assert lost_ids & restored.ids == set()
    for event, cursor in lost.items():
        for place in (event, cursor):
            assert await restored.refuses(after=place)
            assert await restored.refuses(before=place)
            assert await restored.refuses_to_go_on("events", place)
        assert await restored.refuses_to_go_on("balanceCreated", event.replace("event", "balance"))
    for event, cursor in [*kept.items(), *new.items()]:
        assert not await restored.refuses(after=event)
        assert not await restored.refuses(after=cursor)
    await gateway.store.close()
    assert await invariants.violations(restored_url, invariants.Told(numbered(items("kept", 3)))) == []


async def test_a_database_that_is_in_use_is_not_told_to_be_a_backup(database_url: str, tmp_path: Path) -> None:
    await _prepared(database_url)
    with serving(database_url, tmp_path, **QUIET) as gateway:
        done = await asyncio.to_thread(run, "restored", folder=tmp_path, **{URL: database_url})
        assert (done.returncode, done.stdout) == (2, "")
        assert "serve already" in done.stderr or done.stderr == "A gateway uses this database: stop it first.\n"
        assert Writer(gateway, "w").write() is not None
    store = Store(database_url)
    async with store.reading(None) as reads:
        assert (await reads._connection.execute(text("SELECT count(*) FROM restores"))).scalar() == 0
    await store.close()
    assert await stored(database_url) == ["w-1-0", "w-1-1"]
