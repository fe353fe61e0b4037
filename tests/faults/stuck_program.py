"""The gateway with a work that is stuck: `STUCK=loop python -m tests.faults.stuck_program serve`.

loop: it holds the event loop for ever. pause: for a moment. statement: the database is at a statement without an end,
which nothing breaks off. Each time it says that it has come there. Nothing in the gateway itself knows of this.
"""

import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import text

from app import cli
from app.store.postgres import Postgres
from app.store.store import Store, Work

_ENDLESS = {
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(3600)",
}

PAUSE_SECONDS = 0.6

_work, _session = Store.work, Postgres._session


async def _stuck(self: Store, units: Any, act: Callable[[Work], Awaitable[Any]]) -> Any:
    async def acting(work: Work) -> Any:
        sys.stderr.write("reached the work\n")
        sys.stderr.flush()
        while os.environ["STUCK"] == "loop":
            pass
        if os.environ["STUCK"] == "pause":
            time.sleep(PAUSE_SECONDS)  # noqa: ASYNC251 - that is the fault.
            return await act(work)
        await work.reads._connection.execute(text(_ENDLESS[self.dialect.name]))
        return await act(work)

    return await _work(self, units, acting)


async def _no_record(*_given: Any, **_more: Any) -> Any:
    """Everything is written by a work."""


def _patient(self: Postgres, *_given: Any) -> Any:
    return {**_session(self, 1), "statement_timeout": "0"}


if __name__ == "__main__":
    # The fault itself: methods in place of the gateway's own.
    Store.work = _stuck  # type: ignore[method-assign]
    Store.record_as_seen = Store.record_batch = _no_record  # type: ignore[method-assign]
    Postgres._session = _patient  # type: ignore[method-assign,assignment]
    cli.main()
