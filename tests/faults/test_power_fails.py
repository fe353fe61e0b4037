"""The power fails: whatever the disk has kept of what was not synced, all that was answered is there, and sound."""

import asyncio
import json
import random
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from app.store.frames import check_log
from tests.databases import Databases
from tests.faults import invariants
from tests.faults.asking import REGISTER, asked, items
from tests.faults.disk import Answered, Call, recorded
from tests.faults.recorded_program import CHECKPOINT_PAGES
from tests.faults.system_calls import Traced, traced
from tests.faults.test_databases_fail import Writer, _prepared, _process
from tests.servers import GatewayProcess

SQLITE = "sqlite+aiosqlite:///"
SETTINGS = {"BALANCE_GATEWAY_RUNNER": "false", "BALANCE_GATEWAY_GRAPHIQL": "false"}
RECORDED = (sys.executable, "-m", "tests.faults.recorded_program")
SECTOR_BYTES = 512
"""What a disk writes as a whole, or not at all."""
SOCKETS = ("socket:", "TCP:")
BATCHES = 40
TRIES = 3
"""How often the power fails at each moment, with other calls kept each time."""


class Kept:
    """One file, as a disk has it: what was synced, and what was asked since then, of which anything may be kept."""

    def __init__(self, content: bytes | None) -> None:
        self._synced = content
        self.open: list[Call] = []

    def ask(self, call: Call) -> None:
        if call.kind == "sync":
            self._synced = self.left(self.open)
            self.open = []
        else:
            self.open.append(call)

    def left(self, calls: Sequence[Call]) -> bytes | None:
        """The file where these calls were kept, and no other since the sync; None: there is none."""
        content = None if self._synced is None else bytearray(self._synced)
        for call in calls:
            match call.kind:
                case "write":
                    content = bytearray() if content is None else content
                    content.extend(bytes(max(0, call.offset - len(content))))
                    content[call.offset : call.offset + len(call.content)] = call.content
                case "truncate" if content is not None:
                    del content[call.offset :]
                case "remove":
                    content = None
        return None if content is None else bytes(content)

    def some(self, chance: random.Random) -> list[Call]:
        """Some of the calls, in whatever order the disk took them up; one of the writes only in part."""
        share = chance.choice((0, 0.2, 0.5, 0.8, 1))
        kept = [call for call in self._reached(chance) if chance.random() < share]
        writes = [number for number, call in enumerate(kept) if call.kind == "write"]
        if writes:
            number = chance.choice(writes)
            kept[number : number + 1] = _sectors(kept[number], chance)
        return kept

    def _reached(self, chance: random.Random) -> list[Call]:
        """Of a file that was removed, the old one may be there, or the new one."""
        removals = [number for number, call in enumerate(self.open) if call.kind == "remove"]
        return self.open[: removals[0]] if removals and chance.random() < 0.5 else self.open


def _sectors(write: Call, chance: random.Random) -> Iterator[Call]:
    """Some of the sectors of a write."""
    end = write.offset + len(write.content)
    borders = range(write.offset - write.offset % SECTOR_BYTES, end, SECTOR_BYTES)
    for border in borders:
        if chance.random() < 0.5:
            start = max(border, write.offset)
            part = write.content[start - write.offset : border + SECTOR_BYTES - write.offset]
            yield write._replace(offset=start, content=part)


class Disk:
    """The files of a database while the gateway writes to them."""

    def __init__(self, main: Path) -> None:
        self._names = {str(main): "", f"{main}-wal": "-wal"}
        self.files = {"": Kept(main.read_bytes()), "-wal": Kept(None)}

    def ask(self, call: Call) -> None:
        self.files[self._names[call.file]].ask(call)

    def leave(self, file: Path, chance: random.Random) -> int:
        """Leave what the disk may have kept now; how many calls were open."""
        for name, kept in self.files.items():
            content = kept.left(kept.some(chance))
            left = file.with_name(file.name + name)
            left.unlink(missing_ok=True)
            if content is not None:
                left.write_bytes(content)
        return sum(len(kept.open) for kept in self.files.values())


def _stored(file: Path) -> list[str]:
    """The communication numbers that are stored, in order, in a file that must be sound."""
    file.with_name(f"{file.name}-shm").unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = connection.execute("SELECT communication_number FROM entries ORDER BY id").fetchall()
    return [number for (number,) in rows]


def _numbers(body: bytes) -> list[str]:
    """The communication numbers that an answer accepts."""
    registered = json.loads(body).get("data", {}).get("registerBatchAccountBalances") or {"results": []}
    return [each["communicationNumber"] for each in registered["results"] if each["errorCode"] is None]


async def test_whatever_the_disk_has_kept_all_that_was_answered_is_stored(sqlite_url: str, tmp_path: Path) -> None:
    await _prepared(sqlite_url)
    main, record = Path(sqlite_url.removeprefix(SQLITE)), tmp_path / "record"
    disk = Disk(main)
    with GatewayProcess(sqlite_url, tmp_path, {**SETTINGS, "RECORD": str(record)}, RECORDED) as gateway:
        writer = Writer(gateway, "w")
        for _ in range(BATCHES):
            assert writer.write() is not None
    sent = list(writer.accepted)
    assert len(sent) == 2 * BATCHES
    chance, left = random.Random(20260301), main.with_name("left.db")
    answered: list[str] = []
    seen: Counter[str] = Counter()
    steps = list(recorded(record))
    for number, step in enumerate(steps):
        if isinstance(step, Answered):
            answered += _numbers(step.body)
        else:
            disk.ask(step)
        for _ in range(TRIES):
            seen["with something open"] += disk.leave(left, chance) > 0
            if number % 4 == 0:
                check_log(left)
            stored = _stored(left)
            assert stored == sent[: len(stored)], "the first of what was sent"
            assert len(stored) >= len(answered), f"{step} is all that came since, and {answered} was answered"
            assert len(stored) % 2 == 0, "no batch is split"
            seen["with more than was answered"] += len(stored) > len(answered)
        seen["inside a checkpoint"] += bool(disk.files[""].open)
        if number % 100 == 0:
            told = invariants.Told({each: writer.accepted[each] for each in stored}, batches=writer.sent)
            assert await invariants.violations(f"{SQLITE}{left}", told) == []
    assert answered == sent == _stored(left)
    assert min(seen["with something open"], seen["with more than was answered"]) > 100
    assert seen["inside a checkpoint"] > CHECKPOINT_PAGES
    calls = [step for step in steps if isinstance(step, Call)]
    assert sum((call.kind, call.file, call.offset) == ("write", f"{main}-wal", 0) for call in calls) > 2, "a new log"
    assert not main.with_name(f"{main.name}-wal").exists(), "the log was removed at the end"


@pytest.mark.parametrize("has_key", [True, False], ids=["with keys", "without keys"])
async def test_what_an_answer_tells_is_synced_before_its_first_byte(
    databases: Databases, database_url: str, tmp_path: Path, *, has_key: bool
) -> None:
    """By the system's own calls: a write to the log that holds a number, a sync of the log, the answer."""
    await _prepared(database_url)
    batches = {f"synced-{number}": items(f"synced-{number}", 2) for number in range(12)}
    with GatewayProcess(database_url, tmp_path, SETTINGS) as gateway:
        Writer(gateway, "before").write()
        is_file = database_url.startswith(SQLITE)
        processes = [gateway.pid, *([] if is_file else databases.cluster.processes())]
        # It writes what sessions have yet to write, of whoever's, and syncs it when it likes.
        helpers = [] if is_file else [_process(databases, "walwriter")]
        async with traced(tmp_path / "calls", *processes) as trace:
            for prefix, batch in batches.items():
                told = await asyncio.to_thread(asked, gateway, REGISTER, prefix if has_key else None, items=batch)
                assert told is not None
                assert [each["errorCode"] for each in told.results] == [None, None]
        calls = trace.calls()
    answers = [call for call in calls if call.file.startswith(SOCKETS) and '"HTTP/1.1 200 ' in call.told]
    for prefix, answer in zip(batches, answers, strict=True):
        log = [call for call in calls if _is_of_log(call) and call.begun < answer.begun]
        writes = [call for call in log if call.name == "pwrite64"]
        holding = [call for call in writes if f"{prefix}-1" in call.told]
        assert holding != [], f"nothing that holds {prefix} was written before it was answered"
        own = [call for call in holding if call.thread not in helpers]
        last = [call for call in writes if call.thread == own[-1].thread][-1] if own else holding[0]
        syncs = [call for call in log if call.name in {"fsync", "fdatasync"} and call.told.endswith("= 0")]
        assert any(last.ended < sync.begun and sync.ended < answer.begun for sync in syncs), prefix


def _is_of_log(call: Traced) -> bool:
    return call.file.endswith("-wal") or "/pg_wal/" in call.file
