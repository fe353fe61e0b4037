"""The gateway with a fault in what it does by itself: it is killed, or stopped, between "begin" and "delivered".

`FAULT=begun:2:KILL python -m tests.faults.runner_program runner --once` ends with SIGKILL when it comes to that place
for the second time; with STOP it stops until somebody wakes it. Either way it says that it has come there. A closing
has parts of three accounts. Nothing in the gateway itself knows of this.

begun: a closing has its row. written: the rows of a part are written. closing: a part is ready to be committed. closed
part: it is committed, and another one follows. closed: a closing is complete. serving: a receiver that nobody holds is
about to be taken. taken: it is about to be held. before sending, sent: an event is, was posted. keeping: what came of
it is written. kept: it is committed.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from app import cli, runner
from app.actions import close_cycle
from app.dispatch import Dispatcher
from app.store.closings import Closings
from app.store.receivers import Receivers
from app.store.store import Store

CLOSING = ("begun", "written", "closing", "closed part", "closed")
DELIVERING = ("taken", "before sending", "sent", "keeping", "kept")
ACCOUNTS_A_WORK = 3

Method = Callable[..., Awaitable[Any]]

NOWHERE = "nowhere:1:KILL"

_place, _passage, _signal = NOWHERE.split(":")
_passed = 0


def aim(fault: str) -> None:
    """Have the fault come at another place, as FAULT tells it."""
    global _place, _passage, _signal
    _place, _passage, _signal = fault.split(":")


def reach(place: str) -> None:
    """Be at a place; the fault happens there, or does not."""
    global _passed  # noqa: PLW0603 - one process has one fault.
    if place != _place:
        return
    _passed += 1
    if _passed == int(_passage):
        sys.stderr.write(f"reached {place}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.Signals[f"SIG{_signal}"])


def after(place: str, method: Method) -> Method:
    async def faulty(*given: Any, **named: Any) -> Any:
        done = await method(*given, **named)
        reach(place)
        return done

    return faulty


def before(place: str, method: Method) -> Method:
    async def faulty(*given: Any, **named: Any) -> Any:
        reach(place)
        return await method(*given, **named)

    return faulty


async def at_rest(store: Store) -> None:
    """Wait until nobody here writes: who is stopped in the middle of that holds up all writers of a SQLite file."""
    pool: Any = store._writer.pool
    while store.dialect.name == "sqlite" and pool.checkedout():  # noqa: ASYNC110 - the pool tells nobody.
        await asyncio.sleep(0.005)


def in_parts(method: Method) -> Method:
    async def faulty(*given: Any, **named: Any) -> Any:
        done = await method(*given, accounts=ACCOUNTS_A_WORK, **named)
        if done is not None:
            await at_rest(given[0])
            reach("closed" if done.is_complete else "closed part")
        return done

    return faulty


def plant() -> None:
    """Have this process come to all places."""
    patched: Any = (
        (Closings, "begin", "begun", after),
        (Closings, "write", "written", after),
        (close_cycle, "_written", "closing", after),
        (Dispatcher, "serve", "serving", before),
        (Receivers, "take", "taken", after),
        (Dispatcher, "_sent", "before sending", before),
        (Dispatcher, "_sent", "sent", after),
        (Receivers, "keep", "keeping", after),
        (Dispatcher, "_kept", "kept", after),
    )
    for owner, name, place, way in patched:
        setattr(owner, name, way(place, getattr(owner, name)))
    # The module has them by import, and in_parts promises no signature.
    runner.close_next = in_parts(runner.close_next)  # type: ignore[attr-defined, assignment]
    runner.carry_on = in_parts(runner.carry_on)  # type: ignore[attr-defined, assignment]


if __name__ == "__main__":
    aim(os.environ.get("FAULT", NOWHERE))
    plant()
    cli.main()
