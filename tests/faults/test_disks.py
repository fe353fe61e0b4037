"""Pages that are damaged, a log that ends anywhere: no wrong answer, nothing torn."""

import asyncio
import json
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import asyncpg
import pytest
from structlog.testing import capture_logs

from app.domain.refusals import Code, Refusal
from app.store import failures
from app.store.frames import check_log
from app.store.migrations import migrate
from tests import servers
from tests.asking import Gateway
from tests.databases import Cluster, Databases, scratch
from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, SETUP, asked, items, numbered
from tests.faults.test_databases_fail import Writer
from tests.faults.test_restores import stored
from tests.servers import GatewayProcess, serving

SQLITE = "sqlite+aiosqlite:///"
QUIET = {"runner": "false", "graphiql": "false"}
SECONDS = 30
"""How long a test waits for what is bound to come."""
CONTRACTOR = 'mutation { createContractor(input: {name: "Other", isCustomer: true}) { contractor { id } } }'
ENTRIES = '{ account(id: "account_1") { balances { nodes { amount communicationNumber } } } }'
NAMES = "{ accounts { nodes { name } } }"
FRAME_HEADER, LOG_HEADER = 24, 32
"""Of SQLite's write-ahead log, in bytes."""


@pytest.fixture
async def prepared_url(database_url: str) -> str:
    await _prepared(database_url)
    return database_url


async def _prepared(url: str) -> None:
    gateway = Gateway(url)
    (await gateway.ask(SETUP)).sound()
    await gateway.store.close()


def _file(url: str) -> Path:
    return Path(url.removeprefix(SQLITE))


def _dump(file: Path, *, but: str) -> dict[str, list[Any]]:
    """All rows of all tables but one."""
    with closing(sqlite3.connect(file)) as connection:
        named = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> ?", [but])
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in named.fetchall()}


def _flipped(page: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in page)


def _zeroed(page: bytes) -> bytes:
    return bytes(len(page))


def _damage(file: Path, part: str, how: Callable[[bytes], bytes]) -> None:
    """Damage the first page of a table or an index."""
    with closing(sqlite3.connect(file)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (number,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [part]).fetchone()
    whole = bytearray(file.read_bytes())
    page = slice((number - 1) * size, number * size)
    whole[page] = how(bytes(whole[page]))
    file.write_bytes(whole)
    with closing(sqlite3.connect(file)) as connection:
        try:
            told = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.DatabaseError:
            return
    assert told != [("ok",)], "the page is damaged"


@pytest.mark.parametrize("how", [_flipped, _zeroed])
async def test_a_damaged_page_is_never_answered_from_and_the_rest_is(
    sqlite_url: str, tmp_path: Path, how: Callable[[bytes], bytes]
) -> None:
    await _prepared(sqlite_url)
    batch = items("before", 30)
    with serving(sqlite_url, tmp_path, **QUIET) as gateway:
        told = asked(gateway, REGISTER, items=batch)
        assert told is not None
        assert told.status == 200
    sound = _file(sqlite_url)
    file = sound.with_name("damaged.db")
    shutil.copyfile(sound, file)
    _damage(file, "entries", how)
    before = _dump(file, but="entries")
    new = {"items": items("after", 2)}
    questions: list[tuple[str, str | None, dict[str, Any]]] = [
        (ENTRIES, None, {}),
        (REGISTER, None, new),
        (REGISTER, "key", new),
    ]
    with serving(f"{SQLITE}{file}", tmp_path, **QUIET) as gateway:
        for query, key, given in questions:
            told = asked(gateway, query, key, **given)
            assert told is not None
            assert (told.status, told.codes) == (503, ["UNAVAILABLE"]), told
            assert told.body["errors"][0]["message"].startswith("The database is damaged"), told
        assert _dump(file, but="entries") == before, "a write that failed leaves nothing"
        (line,) = _lines(gateway, "database_damaged")
        assert '"level": "error"' in line
        assert "Traceback" not in gateway.log()
        told = asked(gateway, READ)
        assert told is not None
        assert told.body == {"data": {"account": {"balance": "29", "balances": {"totalCount": 30}}}}, "by an index"
        told = asked(gateway, NAMES)
        assert told is not None
        assert told.body == {"data": {"accounts": {"nodes": [{"name": "Main"}]}}}
        _closed_to_writes(gateway)
        assert _dump(file, but="entries") == before
        gateway.stop()
        gateway.start()
        told = asked(gateway, CONTRACTOR)  # It is started anew, and nobody has come to the damage yet.
        assert told is not None
        assert told.body["data"]["createContractor"]["contractor"]["id"] == "contractor_2"
    assert await invariants.violations(sqlite_url, invariants.Told(numbered(batch))) == []


@pytest.mark.parametrize("plans", ["true", "false"])
async def test_damage_that_a_reading_meets_closes_the_database_to_writes(
    sqlite_url: str, tmp_path: Path, plans: str
) -> None:
    """By a plan's statement and by a loader's alike; before it is met nobody knows of it."""
    await _prepared(sqlite_url)
    with serving(sqlite_url, tmp_path, **QUIET) as gateway:
        told = asked(gateway, REGISTER, items=items("before", 30))
        assert told is not None
        assert told.status == 200
    _damage(_file(sqlite_url), "entries", _flipped)
    with serving(sqlite_url, tmp_path, **QUIET, plans=plans) as gateway:
        told = asked(gateway, CONTRACTOR)
        assert told is not None
        assert told.body["data"]["createContractor"]["contractor"]["id"] == "contractor_2"
        told = asked(gateway, ENTRIES)
        assert told is not None
        assert told.codes == ["UNAVAILABLE"], told
        _closed_to_writes(gateway)


CLOSED = "The database is damaged: nothing is written until it is mended, or restored, and the gateway is started anew."


def _closed_to_writes(gateway: GatewayProcess) -> None:
    """It refuses writes, says why, and is not ready."""
    for key in (None, "key"):
        told = asked(gateway, CONTRACTOR, key)
        assert told is not None
        assert (told.status, told.codes) == (503, ["UNAVAILABLE"]), told
        assert told.body["errors"][0]["message"] == CLOSED
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{gateway.url}/ready", timeout=SECONDS)
    with refused.value as answer:
        assert answer.status == 503
        assert json.load(answer)["problems"] == [CLOSED]
    assert len(_lines(gateway, "database_damaged")) == 1, "not once for each"


CORRUPT_COMMIT = """
CREATE FUNCTION corrupt() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'invalid page in block 7' USING ERRCODE = 'data_corrupted'; END $$;
CREATE CONSTRAINT TRIGGER corrupt AFTER INSERT ON entries DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION corrupt()"""


@pytest.mark.parametrize("key", [None, "key"])
async def test_damage_that_a_commit_meets_is_an_unknown_outcome(
    postgresql_url: str, tmp_path: Path, key: str | None
) -> None:
    await _prepared(postgresql_url)
    connection = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    await connection.execute(CORRUPT_COMMIT)
    batch = items("n", 2)
    with serving(postgresql_url, tmp_path, **QUIET) as gateway:
        told = await asyncio.to_thread(asked, gateway, REGISTER, key, items=batch)
        assert told is not None
        assert (told.status, told.codes) == (503, ["UNAVAILABLE"])
        assert told.body["errors"][0]["extensions"]["outcome"] == "unknown"
        await asyncio.to_thread(_closed_to_writes, gateway)
        told = await asyncio.to_thread(asked, gateway, REGISTER, items=batch)
        assert told is not None
        assert [error["message"] for error in told.body["errors"]] == [CLOSED]
        told = await asyncio.to_thread(asked, gateway, READ)
        assert told is not None
        assert told.body["data"]["account"]["balance"] == "0"
        await connection.execute("DROP TRIGGER corrupt ON entries")
        await connection.close()
        gateway.stop()
        gateway.start()
        again = await asyncio.to_thread(asked, gateway, REGISTER, key, items=batch)
        assert again is not None
        assert [each["errorCode"] for each in again.results] == [None, None]
    told_of = invariants.Told(numbered(batch), batches=[numbered(batch)])
    assert await invariants.violations(postgresql_url, told_of) == []


def test_damage_is_logged_now_and_then_with_how_often_it_was_met(monkeypatch: pytest.MonkeyPatch) -> None:
    damage = failures.Damage()
    with damage.writing():
        pass
    with capture_logs() as lines:
        for _ in range(3):
            damage.seen("page 7")
        monkeypatch.setattr(failures, "ALARM_SECONDS", 0.0)
        damage.seen("page 8")
    assert [(line["reason"], line["left_out"]) for line in lines] == [("page 7", 0), ("page 8", 2)]
    with pytest.raises(Refusal) as refused, damage.writing():
        pass
    assert refused.value.code is Code.UNAVAILABLE


def _lines(gateway: GatewayProcess, event: str) -> list[str]:
    return [line for line in gateway.log().splitlines() if event in line]


async def test_a_damaged_index_lets_no_number_be_stored_again(sqlite_url: str, tmp_path: Path) -> None:
    await _prepared(sqlite_url)
    batch = items("n", 2)
    with serving(sqlite_url, tmp_path, **QUIET) as gateway:
        told = asked(gateway, REGISTER, items=batch)
        assert told is not None
        assert told.status == 200
    _damage(_file(sqlite_url), "ix_entries_number", _flipped)
    with serving(sqlite_url, tmp_path, **QUIET) as gateway:
        told = asked(gateway, REGISTER, items=batch)
        assert told is not None
        assert (told.status, told.codes) == (503, ["UNAVAILABLE"]), told
        assert _lines(gateway, "database_damaged")
        told = asked(gateway, ENTRIES)
        assert told is not None
        nodes = told.body["data"]["account"]["balances"]["nodes"]
    assert {node["communicationNumber"]: int(node["amount"]) for node in nodes} == {"n-0": 0, "n-1": 1}
    assert len(nodes) == 2


async def test_a_damaged_page_of_postgresql_is_never_answered_from(
    databases: Databases, postgresql_url: str, tmp_path: Path
) -> None:
    await _prepared(postgresql_url)
    connection = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    name = await connection.fetchval("SELECT pg_relation_filepath('accounts')")
    await connection.close()
    databases.cluster.stop()
    file = databases.cluster.data / name
    file.write_bytes(_flipped(file.read_bytes()))
    databases.cluster.start()
    questions: list[tuple[str, dict[str, Any]]] = [(NAMES, {}), (READ, {}), (REGISTER, {"items": items("after", 2)})]
    with serving(postgresql_url, tmp_path, **QUIET) as gateway:
        for query, given in questions:
            told = asked(gateway, query, **given)
            assert told is not None
            assert (told.status, told.codes) == (503, ["UNAVAILABLE"]), told
        _closed_to_writes(gateway)
    assert await stored(postgresql_url) == []


async def test_a_value_that_is_altered_is_never_answered_where_postgresql_has_checksums(tmp_path: Path) -> None:
    with scratch() as folder, Cluster(folder / "checked", has_checksums=True) as cluster:
        url = cluster.url("postgres")
        await migrate(url)
        await _prepared(url)
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        name = await connection.fetchval("SELECT pg_relation_filepath('accounts')")
        await connection.close()
        cluster.stop()
        file = cluster.data / name
        sound = file.read_bytes()
        assert b"Main" in sound
        file.write_bytes(sound.replace(b"Main", b"Mean"))
        cluster.start()
        with serving(url, tmp_path, **QUIET) as gateway:
            for query in (NAMES, READ):
                told = asked(gateway, query)
                assert told is not None
                assert (told.status, told.codes) == (503, ["UNAVAILABLE"]), told
                assert told.body["errors"][0]["message"] == "The database is damaged."
            _closed_to_writes(gateway)
        cluster.stop()
        file.write_bytes(sound)
        cluster.start()
        assert await invariants.violations(url) == [], "a sound page in its place is all that it takes"


def said(command: str, url: str) -> tuple[int, str, str]:
    """A command's status, and what it said to the error stream and the other."""
    done = subprocess.run(
        [servers.PROGRAM, command],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=servers.environment(url, {"BALANCE_GATEWAY_LOG_LEVEL": "error"}),
    )
    return done.returncode, done.stderr, done.stdout


@pytest.mark.parametrize("command", ["serve", "runner", "migrate", "seed"])
def test_a_file_that_is_no_database_stops_the_start_with_one_sentence(sqlite_url: str, command: str) -> None:
    file = _file(sqlite_url)
    whole = file.read_bytes()
    file.write_bytes(_flipped(whole[:100]) + whole[100:])
    broken = file.read_bytes()
    told = "The database is damaged (file is not a database): restore a backup.\n"
    assert said(command, sqlite_url) == (2, told, "")
    assert file.read_bytes() == broken


class Log:
    """A SQLite file and its write-ahead log, as a loss of power may leave them."""

    def __init__(self, file: Path, folder: Path) -> None:
        self._main = file.read_bytes()
        self.whole = file.with_name(f"{file.name}-wal").read_bytes()
        self._frame = FRAME_HEADER + int.from_bytes(self.whole[8:12], "big")
        self.ends = range(LOG_HEADER, len(self.whole) + 1, self._frame)
        """Where frames end; the first of them is where the header does."""
        self.file = folder / "left.db"

    def commits(self, length: int) -> int:
        """How many frames of the first so many bytes end a transaction."""
        starts = (end for end in self.ends if end + self._frame <= length)
        return sum(self.whole[start + 4 : start + 8] != b"\0\0\0\0" for start in starts)

    def put(self, log: bytes, index: bytes | None) -> None:
        """Leave the file with a log beside it, and an index, as nobody has it open."""
        self.file.write_bytes(self._main)
        self.file.with_name("left.db-wal").write_bytes(log)
        beside = self.file.with_name("left.db-shm")
        beside.unlink(missing_ok=True)
        if index is not None:
            beside.write_bytes(index)

    def leave(self, log: bytes) -> list[str]:
        """Leave so much of the log; the communication numbers that are stored then, in order."""
        self.put(log, None)
        with closing(sqlite3.connect(self.file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = connection.execute("SELECT communication_number FROM entries ORDER BY id").fetchall()
        return [number for (number,) in rows]


async def test_whatever_of_the_log_is_left_what_is_stored_is_the_first_of_what_was_answered(
    sqlite_url: str, tmp_path: Path
) -> None:
    await _prepared(sqlite_url)
    main = _file(sqlite_url).read_bytes()
    with serving(sqlite_url, tmp_path, **QUIET) as gateway:
        writer = Writer(gateway, "w")
        for _ in range(12):
            assert writer.write() is not None
        assert len(writer.accepted) == 24
        log = Log(_file(sqlite_url), tmp_path)
        assert _file(sqlite_url).read_bytes() == main, "nothing of the log is in the file yet"
    answered = list(writer.accepted)
    chance = random.Random(20260301)
    by_commits: dict[int, list[str]] = {}
    for start, end in zip(log.ends, log.ends[1:], strict=False):
        torn = bytearray(log.whole[:end])
        for _ in range(8):
            torn[chance.randrange(start, end)] ^= chance.randrange(1, 256)
        inside = log.whole[: chance.randrange(start + 1, end)]
        stored = log.leave(log.whole[:end])
        by_commits.setdefault(log.commits(end), stored)
        assert stored == by_commits[log.commits(end)] == answered[: len(stored)]
        assert len(stored) % 2 == 0, "no batch is split"
        if start in log.ends[:: len(log.ends) // 8]:
            told = invariants.Told({number: writer.accepted[number] for number in stored}, batches=writer.sent)
            assert await invariants.violations(f"{SQLITE}{log.file}", told) == []
        for left in (log.whole[:end], inside, bytes(torn)):
            log.put(left, None)
            check_log(log.file)
        for left in (inside, bytes(torn)):
            assert log.leave(left) == by_commits.get(log.commits(start), [])
    assert log.leave(log.whole[: LOG_HEADER - 1]) == []
    assert log.leave(log.whole) == answered
    assert len({len(stored) for stored in by_commits.values()}) >= 12, "it was cut between all of them"
    assert await invariants.violations(f"{SQLITE}{log.file}", writer.told) == []
