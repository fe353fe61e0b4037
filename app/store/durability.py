"""Whether a database keeps what it has committed."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.store.postgres import APPLICATION
from app.store.wires import CONNECT_SECONDS

_NEEDED = ("fsync", "full_page_writes")
"""PostgreSQL's settings without which a crash of the machine may damage the database."""


_SESSIONS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = :name"
)


class Promise(NamedTuple):
    """What a database's server promises."""

    missing: list[str]
    """Which of the settings that durability needs are off."""
    commit: str | None
    """PostgreSQL's synchronous_commit, as a session gets it that asks for nothing; None: SQLite."""


async def sessions_of_gateways(url: str) -> int:
    """How many sessions gateways have on a PostgreSQL database now; on SQLite a place at the file tells of them."""
    if url.startswith("sqlite"):
        return 0
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": CONNECT_SECONDS})
    try:
        async with engine.connect() as connection:
            return int((await connection.execute(_SESSIONS, {"name": APPLICATION})).scalar_one())
    finally:
        await engine.dispose()


async def promise_of(url: str) -> Promise:
    """What the server promises; SQLite does what the gateway tells it."""
    if url.startswith("sqlite"):
        return Promise([], None)
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": CONNECT_SECONDS})
    try:
        async with engine.connect() as connection:
            asked = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
            rows = await connection.execute(asked, {"names": [*_NEEDED, "synchronous_commit"]})
            told: dict[str, str] = {row[0]: row[1] for row in rows}
    finally:
        await engine.dispose()
    return Promise([name for name in _NEEDED if told[name] != "on"], told["synchronous_commit"])
