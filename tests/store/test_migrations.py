"""Databases are brought to the tables' form, once, whoever starts first."""

import asyncio
import signal
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.store import migrations
from app.store.migrations import HEAD, REVISIONS, UnknownRevision, migrate
from app.store.store import Store
from app.store.tables import metadata


async def test_migrating_twice_at_once_migrates_once(empty_database_url: str) -> None:
    await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    store = Store(empty_database_url)
    assert await store.problems() == []
    assert await store.is_empty()
    await store.close()


async def test_a_database_that_was_not_migrated_is_not_ready(empty_database_url: str) -> None:
    store = Store(empty_database_url)
    assert await store.problems() == [f"The database is at revision None, not {HEAD}: run balance-gateway migrate."]
    await store.close()


async def test_a_database_of_another_version_stays_as_it_is(database_url: str) -> None:
    """FS27: an old version never writes what a new one reads otherwise."""
    engine = create_async_engine(database_url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()
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
from sqlalchemy import event
from sqlalchemy.engine import Engine
from app.store.migrations import migrate

written = 0

@event.listens_for(Engine, "after_cursor_execute")
def count(connection, cursor, statement, *_):
    global written
    written += statement.lstrip().startswith(("CREATE", "ALTER", "INSERT", "UPDATE"))
    if written == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(migrate(sys.argv[1]))
"""
"""Migrates, and is killed once it has written as often as told."""


@pytest.mark.parametrize("writings", [1, 2, 10, 25, 40])
async def test_a_migration_that_is_killed_is_done_again_from_the_start(empty_database_url: str, writings: int) -> None:
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, empty_database_url, str(writings))
    assert await killed.wait() == -signal.SIGKILL
    store = Store(empty_database_url)
    assert await store.problems() == [f"The database is at revision None, not {HEAD}: run balance-gateway migrate."]
    await store.close()
    await migrate(empty_database_url)
    assert await _found_in(empty_database_url) == []


async def _found_in(url: str) -> list[object]:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        found = await connection.run_sync(_differences)
    await engine.dispose()
    return found


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": False})
    return [each for each in compare_metadata(context, metadata) if "sqlite_stat" not in str(each)]


async def test_the_migrated_database_has_the_tables_form(database_url: str) -> None:
    engine = create_async_engine(database_url, poolclass=NullPool)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
        columns = await connection.run_sync(
            lambda sync: {each["name"] for each in inspect(sync).get_columns("entries")}
        )
    await engine.dispose()
    assert columns == set(metadata.tables["entries"].c.keys())
