"""The start: soon on a database of any size, and ended by a sentence where the database can't be used."""

import asyncio
import json
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from app.store.files import Place
from app.store.migrations import HEAD, REVISIONS
from tests import servers
from tests.databases import Databases, Kind, contents, free_port
from tests.faults import invariants
from tests.faults.asking import SETUP, asked
from tests.faults.test_databases_fail import Writer, _prepared
from tests.faults.test_files_away import _problems
from tests.servers import COMMAND_SECONDS_MAX, PROGRAM, environment, serving

QUIET = {"runner": "false", "graphiql": "false"}
CHECKS_SECONDS_MAX = 5
START_SECONDS_MAX = 2 * CHECKS_SECONDS_MAX
"""The process, its imports, and ten times what checks take, on a machine that does other things too."""
WAIT_SECONDS = 10
KILLS_MIN = 8
ENTRIES = 200_000
OTHER_VERSION = "UPDATE alembic_version SET version_num = '9999'"
"""As another version of the gateway leaves the database that it has migrated."""
UNKNOWN = "The database is at revision 9999, which this version does not know: run the version that migrated it."
LOOKED_AT_MAX = 4_000_000
"""Bytes of a large database that a start may look at more than of an empty one."""

_FILL = {
    "sqlite": f"""INSERT INTO entries (unit_id, account_id, at, amount, currency, recorded_at, recorded_by)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ENTRIES})
        SELECT 1, 1, i, i, 'EUR', i, 'local' FROM n""",
    "postgresql": f"""INSERT INTO entries (unit_id, account_id, at, amount, currency, recorded_at, recorded_by)
        SELECT 1, 1, now() - i * interval '1 s', i, 'EUR', now(), 'local' FROM generate_series(1, {ENTRIES}) AS n(i)""",
}


def _file(url: str) -> str:
    return url.removeprefix("sqlite+aiosqlite:///")


async def _asked(url: str, statement: str) -> int | None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        found: int | None = await connection.fetchval(statement)
    finally:
        await connection.close()
    return found


def _run(url: str, statement: str) -> int | None:
    if not url.startswith("sqlite"):
        return asyncio.run(_asked(url, statement))
    with closing(sqlite3.connect(_file(url), isolation_level=None)) as connection:
        connection.execute(statement)
        return None


def _started(url: str, folder: Path) -> tuple[float, int]:
    """How long a gateway took until it was ready, and how many bytes it, or its server, looked at."""
    is_sqlite = url.startswith("sqlite")
    looked = "SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit) FROM pg_statio_user_tables"
    before = 0 if is_sqlite else _run(url, looked) or 0
    begun = time.monotonic()
    with serving(url, folder, **QUIET) as gateway:
        took = time.monotonic() - begun
        read = psutil.Process(gateway.pid).io_counters().read_chars if is_sqlite else 0
    return took, read if is_sqlite else 8192 * ((_run(url, looked) or 0) - before)


def test_a_start_is_soon_whatever_the_size_of_the_database(database_url: str, tmp_path: Path) -> None:
    """FS14: the checks of a start look at no more of a large database than of an empty one."""
    asyncio.run(_prepared(database_url))
    _, of_small = _started(database_url, tmp_path)
    if not database_url.startswith("sqlite"):  # Else the server itself looks at what is new, whenever it likes.
        _run(database_url, "ALTER TABLE entries SET (autovacuum_enabled = off)")
    _run(database_url, _FILL["sqlite" if database_url.startswith("sqlite") else "postgresql"])
    took, of_large = _started(database_url, tmp_path)
    assert took < START_SECONDS_MAX
    assert of_large - of_small < LOOKED_AT_MAX


def test_starts_that_are_killed_at_any_moment_leave_nothing_in_the_way_of_another(
    empty_database_url: str, tmp_path: Path
) -> None:
    """FS14: a loop of crashes, from an empty database on; so some of them meet the migrations."""
    command = (sys.executable, "-m", "tests.faults.starting_program", str(free_port()), "20260301")
    done = subprocess.run(
        command,
        env=environment(empty_database_url),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(json.loads(done.stdout)) >= KILLS_MIN
    begun, prepared = (done.stderr.count(said) for said in ("no_key", "GraphiQL:"))
    assert begun > prepared > 1, "some were killed while they prepared the database, and some after that"
    assert "Traceback" not in done.stderr
    for name in ("serve", "checkpoint") if empty_database_url.startswith("sqlite") else ():
        place = Place(Path(_file(empty_database_url)), name)
        assert place.try_take()
        place.leave()
    assert asyncio.run(invariants.violations(empty_database_url)) == []
    begun_at = time.monotonic()
    with serving(empty_database_url, tmp_path, **QUIET) as gateway:
        assert time.monotonic() - begun_at < START_SECONDS_MAX
        assert asked(gateway, SETUP) is not None
        writer = Writer(gateway, "w")
        writer.write()
        writer.settle()
    assert asyncio.run(invariants.violations(empty_database_url, writer.told)) == []


@contextmanager
def _locked(url: str) -> Iterator[None]:
    """Somebody else who keeps the database to himself, as who migrates it."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(_file(url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with asyncio.Runner() as runner:
        session = runner.run(asyncpg.connect(url.replace("+asyncpg", "")))
        runner.run(session.execute("BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
        yield
        runner.run(session.close())


def _ended(url: str, command: str, *more: str) -> tuple[float, int, str]:
    """How long a command took to end, its status, and what it said."""
    begun = time.monotonic()
    done = subprocess.run(
        [PROGRAM, command, *more],
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=servers.START_SECONDS_MAX,
        check=False,
    )
    return time.monotonic() - begun, done.returncode, done.stderr


def test_a_database_that_is_kept_locked_stops_the_start_in_time(database_url: str) -> None:
    asyncio.run(_prepared(database_url))
    with _locked(database_url):
        took, status, said = _ended(database_url, "serve", "--port", str(free_port()))
    assert status == 2
    reason = "database is locked" if database_url.startswith("sqlite") else "canceling statement due to lock timeout"
    assert said.splitlines()[-1] == f"The database can't be used ({reason})."
    assert "Traceback" not in said
    assert WAIT_SECONDS - 1 < took < WAIT_SECONDS + START_SECONDS_MAX


@pytest.mark.parametrize("command", ["serve", "runner", "migrate", "restored"])
def test_a_server_that_is_not_there_stops_the_start_at_once(command: str) -> None:
    port = free_port()
    took, status, said = _ended(f"postgresql+asyncpg://gateway:canary@127.0.0.1:{port}/none", command)
    assert (status, "Traceback" in said, "canary" in said) == (2, False, False)
    assert said.splitlines()[-1].startswith("The database can't be used (")
    assert took < START_SECONDS_MAX


def test_a_database_that_is_not_there_stops_the_start_at_once(postgresql_url: str) -> None:
    _, status, said = _ended(f"{postgresql_url}_not", "serve")
    name = postgresql_url.rpartition("/")[2]
    assert (status, said.splitlines()[-1]) == (
        2,
        f'The database can\'t be used (database "{name}_not" does not exist).',
    )


def test_a_server_that_never_answers_stops_the_start_in_time() -> None:
    """Its machine takes the connection, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        took, status, said = _ended(f"postgresql+asyncpg://gateway@127.0.0.1:{port}/none", "serve")
    assert (status, said.splitlines()[-1]) == (2, "The database can't be used (no answer in time).")
    assert took < START_SECONDS_MAX


@pytest.mark.parametrize(
    ("kind", "command"),
    [*(("sqlite", each) for each in ("serve", "runner", "migrate", "seed", "restored")), ("postgresql", "serve")],
)
def test_a_database_of_another_version_stops_the_start_with_one_sentence(
    databases: Databases, kind: Kind, command: str
) -> None:
    with databases.made(kind) as url:
        asyncio.run(_prepared(url))
        _run(url, OTHER_VERSION)
        with contents(url) as digest:
            before = digest()
            _, status, said = _ended(url, command)
            assert digest() == before
    assert (status, said.splitlines()[-1]) == (2, UNKNOWN)
    assert "Traceback" not in said


def test_a_gateway_below_which_another_version_migrates_is_not_ready(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path, **QUIET) as gateway:
        assert _problems(gateway) == []
        _run(database_url, OTHER_VERSION)
        assert _problems(gateway) == [UNKNOWN]
        _run(database_url, f"UPDATE alembic_version SET version_num = '{REVISIONS[-2]}'")
        assert _problems(gateway) == [
            f"The database is at revision {REVISIONS[-2]}, not {HEAD}: run balance-gateway migrate."
        ]
        _run(database_url, f"UPDATE alembic_version SET version_num = '{HEAD}'")
        assert _problems(gateway) == []
