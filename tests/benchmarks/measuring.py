"""How things are timed: two of them in turn, and the ratio pair by pair, so that a drifting machine hits both alike."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.main import settle
from app.store.migrations import migrate
from tests.asking import Gateway
from tests.databases import Databases, scratch

Action = Callable[[], Awaitable[Any]]


async def _seconds(action: Action) -> float:
    started = time.perf_counter()
    await action()
    return time.perf_counter() - started


async def _nothing() -> None:
    """What is made ready before a pair that needs nothing."""


async def compared(name: str, ours: Action, theirs: Action, *, runs: int = 15, before: Action = _nothing) -> float:
    """Print both medians and the median ratio of ours to theirs; return that. `before` is done untimed before ours."""
    pairs = []
    for run in range(runs + 1):
        await before()
        pair = await _seconds(ours), await _seconds(theirs)
        if run:  # The first one warms up.
            pairs.append(pair)
    ratio = statistics.median(one / other for one, other in pairs)
    one, other = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    print(f"{name}: {one:.2f} ms against {other:.2f} ms, ratio {ratio:.2f} (median of {runs} pairs)")
    return ratio


@asynccontextmanager
async def gateways() -> AsyncIterator[dict[str, Gateway]]:
    """A gateway on each kind of database, in a process that is settled as a server's.

    SQLite's file is on the disk of the working folder, not in memory.
    """
    with scratch() as folder, tempfile.TemporaryDirectory(dir=Path.cwd()) as disk:
        databases = Databases(folder, migrate)
        with databases.made("postgresql") as url:
            sqlite = f"sqlite+aiosqlite:///{disk}/gateway.db"
            await migrate(sqlite)
            made = {"sqlite": Gateway(sqlite), "postgresql": Gateway(url)}
            settle()
            yield made
            for gateway in made.values():
                await gateway.store.close()
        await asyncio.to_thread(databases.close)


async def fill(gateway: Gateway, accounts: int) -> None:
    """Accounts EXT-0 to EXT-n in the unit "default"."""
    await gateway.ask('mutation { createContractor(input: {name: "C", isVendor: true}) { contractor { id } } }')
    create = "mutation ($input: CreateAccountInput!) { createAccount(input: $input) { userErrors { message } } }"
    for number in range(accounts):
        body = {"name": f"A{number}", "contractorId": "contractor_1", "externalId": f"EXT-{number}"}
        (await gateway.ask(create, input=body)).sound()
