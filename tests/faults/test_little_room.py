"""A file system that is full, a database that turns read only: reads go on, and all recovers by itself."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import asyncpg
import pytest

from app.store.files import database_file
from app.store.migrations import migrate
from tests import servers
from tests.databases import Databases
from tests.faults import invariants
from tests.faults.asking import READ, Told, asked
from tests.faults.test_databases_fail import Writer, _fill, _little_room, _prepared, _recovered, _unavailable, _until
from tests.servers import GatewayProcess, serving

SQLITE = "sqlite+aiosqlite:///"
SECONDS = 30
DEGRADED = {"status": "degraded", "problems": ["The database takes no writes."]}

Fault = Callable[[Path], None]


def _no_room(place: Path) -> None:
    _fill(place / "filling")


def _read_only(place: Path) -> None:
    """As a system does it only where no file is open to be written to."""
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)


def _ready(gateway: GatewayProcess) -> dict[str, Any]:
    try:
        with urlopen(f"{gateway.url}/ready", timeout=SECONDS) as answer:
            told: dict[str, Any] = json.load(answer)
    except HTTPError as refused:
        with refused:
            told = json.load(refused)
    told.pop("sqlite", None)
    return told


def _refused(writer: Writer) -> Told | None:
    """What the first write is told that is not taken."""
    return next(told for told in iter(writer.write, object()) if told is None or told.status != 200)


def _reads_alone(gateway: GatewayProcess, writer: Writer) -> None:
    """Writes are refused, reads go on, and it says so."""
    assert _unavailable(_refused(writer))
    read = asked(gateway, READ)
    assert read is not None
    assert read.body["data"]["account"]["balances"]["totalCount"] == len(writer.accepted)
    assert _ready(gateway) == DEGRADED


def _read(gateway: GatewayProcess) -> None:
    """Have the log beside the file in use, whose place in memory is made when somebody reads."""
    read = asked(gateway, READ)
    assert read is not None
    assert read.status == 200


async def test_a_full_file_system_of_sqlite_refuses_writes_and_takes_them_again(
    databases: Databases, tmp_path: Path
) -> None:
    with _little_room(databases, tmp_path) as place:
        url = f"{SQLITE}{place}/gateway.db"
        await migrate(url)
        await _prepared(url)
        with serving(url, tmp_path, runner="false") as gateway:
            writer = Writer(gateway, "w")
            assert writer.write() is not None
            _read(gateway)
            assert _ready(gateway) == {"status": "ready"}
            _no_room(place)
            _reads_alone(gateway, writer)
            (place / "filling").unlink()
            assert _ready(gateway) == {"status": "ready"}, "it looks for itself, where nobody writes"
            _recovered(gateway, writer)
            writer.settle()
            assert "Traceback" not in gateway.log()
        assert await invariants.violations(url, writer.told) == []


async def test_a_postgresql_that_is_turned_read_only_is_read_and_recovers(postgresql_url: str, tmp_path: Path) -> None:
    await _prepared(postgresql_url)
    administrator = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    name = await administrator.fetchval("SELECT current_database()")
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
    with serving(postgresql_url, tmp_path, runner="false") as gateway:
        writer = Writer(gateway, "w")
        assert writer.write() is not None
        for is_read_only in (True, False):
            setting = f'ALTER DATABASE "{name}" SET default_transaction_read_only = {is_read_only}'
            await administrator.execute("SET default_transaction_read_only = off")
            await administrator.execute(setting)
            await administrator.execute(others, name)  # What is set holds of sessions that begin.
            if is_read_only:
                assert _unavailable(_refused(writer)), "by a session that was ended, or by one that is new"
                _reads_alone(gateway, writer)
        await _until(lambda: _ready(gateway) == {"status": "ready"})
        _recovered(gateway, writer)
        writer.settle()
        assert "Traceback" not in gateway.log()
    await administrator.close()
    assert await invariants.violations(postgresql_url, writer.told) == []


@pytest.mark.parametrize("begin", [_no_room, _read_only])
async def test_where_nothing_can_be_written_a_start_ends_with_a_sentence(
    databases: Databases, tmp_path: Path, begin: Fault
) -> None:
    with _little_room(databases, tmp_path) as place:
        url = f"{SQLITE}{place}/gateway.db"
        await migrate(url)
        begin(place)
        done = subprocess.run(  # noqa: ASYNC221 - nothing else runs here.
            [servers.PROGRAM, "serve"],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env=servers.environment(url, {"BALANCE_GATEWAY_LOG_LEVEL": "error"}),
        )
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done


def test_a_file_is_known_by_sqlite_s_own_kind_of_url() -> None:
    assert database_file(f"{SQLITE}file:/a%20b/c.db?mode=ro&uri=true") == Path("/a b/c.db")
    assert database_file(f"{SQLITE}/a b/c.db") == Path("/a b/c.db")
    assert database_file(f"{SQLITE}:memory:") is None
