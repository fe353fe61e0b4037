"""The gateway with a fault in it: it is killed, or held up, at one place on the way of a mutation.

`FAULT=K3:2 python -m tests.faults.program serve` ends with SIGKILL when it comes to K3 for the second time;
`FAULT=K3:2:FILE` goes on only when there is such a file. Either way it says that it has come there. Nothing in the
gateway itself knows of this.

K1: before a work begins. K2: after its first insert. K3: before its commit. K5: after it, before the answer.
K6: half of the answer is sent. What one statement does as a whole has no K2 and K3: there it is done by a work.

K4, inside a commit of SQLite. "K4 page": before its last page is written into the log, what says that it is the last
being there. "K4 sync": all of it is written, before the log is synced. "K4 synced": after that, before SQLite says so.

K11, inside a checkpoint of SQLite. "K11 page": before a page of the log is written into the file. "K11 sync": all of
them are, before the file is synced. "K11 synced": after that. "K11 header": before the log's header is written, which
begins it anew from the second time on. "K11 anew": after that, the old pages still behind it. "K11 remove": at the end,
before the log is removed.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from app import cli
from app.store.postgres import Postgres
from app.store.sqlite import Sqlite
from app.store.store import Store, Work
from app.web import graphql
from tests.faults import disk
from tests.faults.disk import Call

HEAD_BYTES = 24
SIZE = slice(4, 8)
"""Of the head of a page in the log: how many pages the file has after the commit; 0 where it is not the last one."""

_place, _passage, *_file = os.environ["FAULT"].split(":")
_passed = 0


def come(place: str) -> bool:
    """Come to a place; whether this is where it is held up. Where it is killed, there is no more to tell."""
    global _passed  # noqa: PLW0603 - one process has one fault.
    if place != _place:
        return False
    _passed += 1
    if _passed != int(_passage):
        return False
    sys.stderr.write(f"reached {place}\n")
    sys.stderr.flush()
    if not _file:
        os.kill(os.getpid(), signal.SIGKILL)
    return True


async def reach(place: str) -> None:
    """Be at a place; the fault happens there, or does not."""
    if not come(place):
        return
    while not Path(_file[0]).exists():  # noqa: ASYNC110, ASYNC240 - another process tells.
        await asyncio.sleep(0.02)


_work, _send = Store.work, graphql._send


def _faulty_record(record: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def recording(self: Store, *given: Any, **more: Any) -> Any:
        if _place in {"K2", "K3"}:
            return None
        await reach("K1")
        done = await record(self, *given, **more)
        if done is not None:
            await reach("K5")
        return done

    return recording


async def _faulty_work(self: Store, units: Any, act: Callable[[Work], Awaitable[Any]]) -> Any:
    async def acting(work: Work) -> Any:
        done = await act(work)
        await reach("K3")
        return done

    await reach("K1")
    done = await _work(self, units, acting)
    await reach("K5")
    return done


def _faulty_insert(insert: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def inserting(*given: Any) -> None:
        await insert(*given)
        await reach("K2")

    return inserting


async def _faulty_send(send: Any, media: Any, reply: Any) -> None:
    async def sending(message: Any) -> None:
        body = message.get("body", b"")
        if not body:
            await send(message)
            return
        await send({**message, "body": body[: len(body) // 2], "more_body": True})
        await reach("K6")
        await send({**message, "body": body[len(body) // 2 :]})

    await _send(sending, media, reply)


class _Commits:
    """Where a commit is, by what SQLite asks of the disk: each page in the log has a head of its own before it."""

    def __init__(self) -> None:
        self._at = ""

    def before(self, call: Call) -> None:
        if not call.file.endswith("-wal"):
            return
        match call.kind, self._at:
            case "write", "":
                is_last = len(call.content) == HEAD_BYTES and any(call.content[SIZE])
                self._at = "page" if is_last else ""
            case "write", "page":
                come("K4 page")
                self._at = "sync"
            case "sync", "sync":
                come("K4 sync")
                self._at = "synced"

    def after(self, call: Call) -> None:
        if call.file.endswith("-wal") and (call.kind, self._at) == ("sync", "synced"):
            self._at = ""
            come("K4 synced")


class _Checkpoints:
    """Where a checkpoint is, by what SQLite asks of the disk: in WAL mode nothing else writes into the file itself."""

    def __init__(self) -> None:
        self._has_pages = False

    def before(self, call: Call) -> None:
        match call.kind, call.file.endswith("-wal"):
            case "write", False:
                self._has_pages = True
                come("K11 page")
            case "sync", False if self._has_pages:
                come("K11 sync")
            case "write", True if call.offset == 0:
                come("K11 header")
            case "remove", True if self._has_pages:
                come("K11 remove")

    def after(self, call: Call) -> None:
        match call.kind, call.file.endswith("-wal"):
            case "sync", False if self._has_pages:
                come("K11 synced")
            case "write", True if call.offset == 0 and self._has_pages:
                come("K11 anew")


if __name__ == "__main__":
    for number, places in (("K4", _Commits()), ("K11", _Checkpoints())):
        if _place.startswith(f"{number} "):
            disk.listen(places.before, places.after)
    # The fault itself: methods in place of the gateway's own.
    Store.work = _faulty_work  # type: ignore[method-assign]
    for recording in ("record_as_seen", "record_batch"):
        setattr(Store, recording, _faulty_record(getattr(Store, recording)))
    for dialect in (Sqlite, Postgres):
        setattr(dialect, "insert", _faulty_insert(dialect.insert))  # noqa: B010 - whichever of them it is.
    graphql._send = _faulty_send
    cli.main()
