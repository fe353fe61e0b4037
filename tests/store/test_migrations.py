"""Databases are brought to the tables' form, once, whoever starts first."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from subprocess import PIPE

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, delete, insert, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from app.store import migrations
from app.store.migrations import HEAD, REVISIONS, UnknownRevision, migrate
from app.store.rates import Draw
from app.store.store import Store
from app.store.tables import metadata
from tests.asking import Gateway
from tests.databases import KINDS, Databases, Kind
from tests.faults import invariants
from tests.graphql.test_idempotency import once
from tests.store import test_closings
from tests.store.test_closings import CONFIG, MORNING, Bank


async def test_migrating_twice_at_once_migrates_once(empty_database_url: str) -> None:
    await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    store = Store(empty_database_url)
    assert await store.problems() == []
    assert await store.is_empty()
    await store.close()
    assert await invariants.violations(empty_database_url) == []


async def test_a_database_that_was_not_migrated_is_not_ready(empty_database_url: str) -> None:
    store = Store(empty_database_url)
    assert await store.problems() == [f"The database is at revision None, not {HEAD}: run balance-gateway migrate."]
    await store.close()


async def test_a_database_of_another_version_stays_as_it_is(database_url: str) -> None:
    """FS27: an old version never writes what a new one reads otherwise."""
    async with _connected(database_url) as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.commit()
    told = "The database is at revision 9999, which this version does not know: run the version that migrated it."
    with pytest.raises(UnknownRevision, match=told):
        await migrate(database_url)
    store = Store(database_url)
    assert await store.problems() == [told]
    await store.close()


def test_the_revisions_are_those_that_are_named() -> None:
    scripts = ScriptDirectory(str(next(iter(migrations.__path__))))
    assert [script.revision for script in scripts.walk_revisions()] == list(reversed(REVISIONS))
    assert scripts.get_current_head() == HEAD


KILLED = """
import asyncio, os, signal, sys
import alembic.config, alembic.runtime.environment, alembic.script  # Once for all.
from sqlalchemy import event
from sqlalchemy.engine import Engine
from app.store.migrations import migrate

def killed(url, writings):
    written = 0

    @event.listens_for(Engine, "after_cursor_execute")
    def count(connection, cursor, statement, *_):
        nonlocal written
        written += statement.lstrip().startswith(("CREATE", "ALTER", "INSERT", "UPDATE"))
        if written == writings:
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(migrate(url))

for line in sys.stdin:
    migrating = os.fork()
    if not migrating:
        url, writings = line.split()
        killed(url, int(writings))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(migrating, 0)[1]), flush=True)
"""
"""Migrates in forks of itself, each killed once it has written to a database as often as a line tells; tells how each
ended.
"""

Kill = Callable[[str, int], int]

OLDER = REVISIONS[:-1]
WATCH = """mutation { updateAccount(id: "account_1", input: {balanceLowThreshold: 1}) { userErrors { message } } }"""
CONTACT = (
    """mutation { createContact(input: {contractorId: "contractor_1", email: "a@b.example"}) { contact { id } } }"""
)
TEMPLATE = (
    """mutation { createInvoiceTemplate(input: {name: "Plain", businessUnit: "bank"}) { invoiceTemplate { id } } }"""
)
WEBHOOK = """mutation { createWebhook(input: {url: "https://receiver.example/x", businessUnit: "bank"}) {
  userErrors { message } } }"""
VERSION = "alembic_version"
NOT_FILLED = ["deliveries"]
"""It has rows only while an event waits to be delivered again."""


@pytest.fixture(scope="module")
def kill() -> Iterator[Kill]:
    """Migrates a database until it has written so often, and is killed; how that ended."""
    with subprocess.Popen([sys.executable, "-c", KILLED], stdin=PIPE, stdout=PIPE, text=True) as process:
        asks, tells = process.stdin, process.stdout
        assert asks is not None
        assert tells is not None

        def killed(url: str, writings: int) -> int:
            asks.write(f"{url} {writings}\n")
            asks.flush()
            return int(tells.readline())

        yield killed
        asks.close()


async def test_a_migration_that_is_killed_is_done_again_from_the_start(empty_database_url: str, kill: Kill) -> None:
    for writings in (1, 2, 10, 25, 40):
        assert await asyncio.to_thread(kill, empty_database_url, writings) == -signal.SIGKILL
        store = Store(empty_database_url)
        assert await store.problems() == [f"The database is at revision None, not {HEAD}: run balance-gateway migrate."]
        await store.close()
    await migrate(empty_database_url)
    assert await _found_in(empty_database_url) == []
    assert await invariants.violations(empty_database_url) == []


@pytest.fixture(scope="module", params=KINDS)
def filled(request: pytest.FixtureRequest, databases: Databases) -> Iterator[tuple[Kind, str]]:
    """A database with something of every kind."""
    with databases.made(request.param) as url:
        asyncio.run(_fill(url))
        yield request.param, url


@pytest.mark.parametrize("revision", OLDER)
async def test_a_migration_of_what_is_stored_is_killed_at_each_step_and_loses_nothing(
    databases: Databases, filled: tuple[Kind, str], kill: Kill, revision: str
) -> None:
    """FS27: from each older form, with all that it had room for, until there is no step left."""
    kind, source = filled
    with databases.made(kind, empty=True) as url:
        await _make_older(url, revision, source)
        stored = await _held(url)
        assert [name for name, (_, rows) in stored.items() if not rows] in ([], NOT_FILLED)
        kills = 0
        while (status := await asyncio.to_thread(kill, url, kills + 1)) != 0:
            assert status == -signal.SIGKILL
            kills += 1
            assert await _held(url) == stored
        assert kills >= 2 * len(REVISIONS[REVISIONS.index(revision) + 1 :]), "each has a statement, and its number"
        columns = {table: names for table, (names, _) in stored.items()}
        assert await _held(url, columns) == {**stored, VERSION: (columns[VERSION], [repr((HEAD,))])}
        assert await _found_in(url) == []
        await _use(url)
        assert revision == OLDER[0] or await invariants.violations(url) == [], "the first form has no log of events"


async def _fill(url: str) -> None:
    """Store something of every kind: also events, a closing, and what a key stands for."""
    gateway = Gateway(url)
    gateway.now = MORNING
    bank = Bank(gateway)
    for document, given in ((test_closings.SETUP, {}), (CONFIG, {"code": "A", "time": "20:00:00"})):
        (await gateway.ask(document, **given)).sound()
    account = await bank.account("one")
    await bank.balance(account, "100", MORNING - timedelta(days=1))
    for document in (WATCH, TEMPLATE, WEBHOOK):
        (await gateway.ask(document)).sound()
    await bank.balance(account, "-150.5", MORNING)
    await once(gateway, CONTACT)
    await gateway.store.work(None, lambda work: work.rates.draw(1, [Draw("local", 1, 1)]))
    gateway.now += timedelta(days=2)
    assert len(await bank.close()) == 2
    await gateway.store.close()


async def _make_older(url: str, revision: str, source: str) -> None:
    """Bring an empty database to an older form, and store there what another one has that it has room for."""
    tables = MetaData()
    async with _connected(url) as older, _connected(source) as newer:
        await older.run_sync(migrations._upgrade, revision)
        await older.run_sync(tables.reflect)
        for table in tables.sorted_tables:
            if table.name.startswith(("sqlite_", "alembic_")):
                continue
            await older.execute(delete(table))
            if rows := [row._asdict() for row in await newer.execute(select(table))]:
                await older.execute(insert(table), rows)
        await Store(url).dialect.skip_numbers(older, 1_000)  # They were given, and are not given again.
        await older.commit()


async def _use(url: str) -> None:
    """What was stored is answered, and goes on from there."""
    gateway = Gateway(url)
    bank = Bank(gateway)
    gateway.now = MORNING + timedelta(days=2)
    told = await gateway.ask('{ account(id: "account_1") { balance division { code } } }')
    assert told.sound() == {"account": {"balance": "-150.5", "division": {"code": "A"}}}
    before = await bank.history("account_1")
    assert await bank.close() == []
    await bank.balance("account_1", "7", gateway.now)
    gateway.now += timedelta(days=1)
    assert len(await bank.close()) == 1
    assert await bank.history("account_1") == [("2026-03-03", "EUR", "-150.5", "7", "157.5"), *before]
    await gateway.store.close()


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def _held(url: str, columns: Mapping[str, list[str]] | None = None) -> dict[str, tuple[list[str], list[str]]]:
    """What each table holds: the names of its columns, and its rows; of all columns, or of those that are named."""
    async with _connected(url) as connection:
        if columns is None:
            columns = await connection.run_sync(_columns)
        held = {}
        for table, names in columns.items():
            listed = ", ".join(f'"{name}"' for name in names)
            rows = await connection.execute(text(f"SELECT {listed} FROM {table}"))
            held[table] = names, sorted(map(repr, rows))
        return held


def _columns(connection: Connection) -> dict[str, list[str]]:
    """The names of each table's columns."""
    found = inspect(connection).get_multi_columns()
    return {
        table: [column["name"] for column in columns]
        for (_, table), columns in found.items()
        if not table.startswith("sqlite_")
    }


async def _found_in(url: str) -> list[object]:
    async with _connected(url) as connection:
        return await connection.run_sync(_differences)


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": False})
    return [each for each in compare_metadata(context, metadata) if "sqlite_stat" not in str(each)]


async def test_the_migrated_database_has_the_tables_form(database_url: str) -> None:
    assert await _found_in(database_url) == []
    columns, _ = (await _held(database_url))["entries"]
    assert set(columns) == set(metadata.tables["entries"].c.keys())
