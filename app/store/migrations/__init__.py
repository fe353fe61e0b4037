"""Bringing a database to the gateway's form, on both databases, also when several start at once."""

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from app.store.files import database_file
from app.store.frames import check_log
from app.store.wires import CONNECT_SECONDS

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""All revisions, oldest first; a test holds them to what Alembic finds."""
HEAD = REVISIONS[-1]

WAIT_SECONDS = 10.0
"""How long another one is waited for who migrates the database, or keeps it locked."""

_BETWEEN_TRIES = 0.05

_LOCK = 0x62616C616E6365  # "balance": the advisory lock that migrations of one database take on PostgreSQL.


class UnknownRevision(Exception):  # noqa: N818 - expected, and told to whoever starts the gateway.
    """A database is at a revision of another version, most likely of a newer one: its tables may be any."""


async def migrate(url: str) -> None:
    """Bring a database to the newest form; nothing happens where it is there. Safe when started twice at once.

    Where somebody else keeps it locked for long, or it does not answer, that fails. Raises UnknownRevision, and changes
    nothing, where another version has migrated it; LogDamaged where SQLite would forget what was committed.
    """
    file = database_file(url) if url.startswith("sqlite") else None
    if file is not None:
        check_log(file)
    given: dict[str, Any] = {"timeout": WAIT_SECONDS}
    if not url.startswith("sqlite"):
        given = {"timeout": CONNECT_SECONDS, "server_settings": {"lock_timeout": str(int(WAIT_SECONDS * 1000))}}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=given)
    try:
        async with engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                await _keep_a_log(connection)
            await connection.run_sync(_migrate_locked)
    finally:
        await engine.dispose()


def revision_of(connection: Connection) -> str | None:
    """The revision that a database is at; None for one that was never migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def problem_of(revision: str | None) -> str | None:
    """Why a database at a revision can't be served; None where it can."""
    if revision == HEAD:
        return None
    if revision is None or revision in REVISIONS:
        return f"The database is at revision {revision}, not {HEAD}: run balance-gateway migrate."
    return (
        f"The database is at revision {revision}, which this version does not know: run the version that migrated it."
    )


async def _keep_a_log(connection: AsyncConnection) -> None:
    """Turn on SQLite's write-ahead log. That never waits for another who does the same: so ask until it is done."""
    raw: Any = await connection.get_raw_connection()
    raw.driver_connection.isolation_level = None  # Alembic's statements shall all be in the transaction begun below.
    until = asyncio.get_running_loop().time() + WAIT_SECONDS
    while True:
        try:
            await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            break
        except OperationalError as error:
            if "locked" not in str(error.orig) or asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(_BETWEEN_TRIES)


def _migrate_locked(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA synchronous=FULL")
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint=0")  # Whoever holds the file's checkpoint lock does that.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    revision = revision_of(connection)
    if revision is not None and revision not in REVISIONS:
        raise UnknownRevision(problem_of(revision))
    if revision != HEAD:
        _upgrade(connection, HEAD)
    connection.commit()


def _upgrade(connection: Connection, to: str) -> None:
    # Alembic is slow to import, and most starts find nothing to do.
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    scripts = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(to, revision)  # noqa: SLF001 - as alembic.command.upgrade does it.

    with EnvironmentContext(config, scripts, fn=steps) as environment:
        environment.configure(connection=connection, target_metadata=MetaData(), transactional_ddl=False)
        environment.run_migrations()
