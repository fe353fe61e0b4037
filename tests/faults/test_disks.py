"""Pages that are damaged, a log that ends anywhere, a backup taken under load: no wrong answer, nothing torn."""

import asyncio
import json
import random
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
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
from app.store.store import Store
from tests import servers
from tests.asking import Gateway
from tests.databases import Databases
from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, SETUP, amounts, asked, items
from tests.faults.test_databases_fail import Writer
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
    assert await invariants.violations(sqlite_url, invariants.Told(amounts(batch))) == []


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
    told_of = invariants.Told(amounts(batch), batches=[amounts(batch)])
    assert await invariants.violations(postgresql_url, told_of) == []


def test_damage_is_logged_now_and_then_with_how_often_it_was_met(monkeypatch: pytest.MonkeyPatch) -> None:
    damage = failures.Damage()
    damage.refuse_writes()
    with capture_logs() as lines:
        for _ in range(3):
            damage.seen("page 7")
        monkeypatch.setattr(failures, "DAMAGE_SECONDS", 0.0)
        damage.seen("page 8")
    assert [(line["reason"], line["left_out"]) for line in lines] == [("page 7", 0), ("page 8", 2)]
    with pytest.raises(Refusal) as refused:
        damage.refuse_writes()
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
    assert {node["communicationNumber"]: int(node["amount"]) for node in nodes} == amounts(batch)
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
    assert await _stored(postgresql_url) == []


@pytest.mark.parametrize("command", ["serve", "runner", "migrate", "seed"])
def test_a_file_that_is_no_database_stops_the_start_with_one_sentence(sqlite_url: str, command: str) -> None:
    file = _file(sqlite_url)
    whole = file.read_bytes()
    file.write_bytes(_flipped(whole[:100]) + whole[100:])
    broken = file.read_bytes()
    done = subprocess.run(
        [servers.PROGRAM, command],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=servers.environment(sqlite_url, {"BALANCE_GATEWAY_LOG_LEVEL": "error"}),
    )
    told = "The database is damaged (file is not a database): restore a backup.\n"
    assert (done.returncode, done.stderr, done.stdout) == (2, told, "")
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

    def leave(self, log: bytes) -> list[str]:
        """Leave so much of the log; the communication numbers that are stored then, in order."""
        self.file.write_bytes(self._main)
        self.file.with_name("left.db-wal").write_bytes(log)
        self.file.with_name("left.db-shm").unlink(missing_ok=True)
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
        for left in (inside, bytes(torn)):
            assert log.leave(left) == by_commits.get(log.commits(start), [])
    assert log.leave(log.whole[: LOG_HEADER - 1]) == []
    assert log.leave(log.whole) == answered
    assert len({len(stored) for stored in by_commits.values()}) >= 12, "it was cut between all of them"
    assert await invariants.violations(f"{SQLITE}{log.file}", writer.told) == []


@pytest.fixture
def back_up(databases: Databases, prepared_url: str, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Takes a backup and restores it into a new database, whose URL it tells."""
    if prepared_url.startswith(SQLITE):
        copy = tmp_path / "backup.db"

        def vacuum() -> str:
            with closing(sqlite3.connect(_file(prepared_url))) as connection:
                connection.execute("VACUUM INTO ?", [str(copy)])
            return f"{SQLITE}{copy}"

        yield vacuum
        return
    programs = databases.cluster._programs
    with databases.made("postgresql", empty=True) as restored:

        def dump() -> str:
            source, target = (url.replace("+asyncpg", "") for url in (prepared_url, restored))
            made = _ran(programs / "pg_dump", "--format=custom", source)
            _ran(programs / "pg_restore", "--exit-on-error", "--single-transaction", "--dbname", target, given=made)
            return restored

        yield dump


def _ran(program: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What a program says, which must end well."""
    command = [str(program), *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True, timeout=SECONDS).stdout


async def _stored(url: str) -> list[str]:
    """The communication numbers that are stored, in the order of the log."""
    store = Store(url)
    async with store.reading(None) as reads:
        rows = await invariants._rows(reads, "SELECT communication_number FROM entries ORDER BY id")
    await store.close()
    return [number for (number,) in rows]


async def _until(holds: Callable[[], bool]) -> None:
    """Return when something holds that a thread brings about."""
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110 - it tells by no event of ours.
            await asyncio.sleep(0.01)


async def test_a_backup_under_load_holds_the_first_writes_and_takes_the_others_again(
    prepared_url: str, back_up: Callable[[], str], tmp_path: Path
) -> None:
    goes_on = True
    with serving(prepared_url, tmp_path, **QUIET) as gateway:
        writers = [Writer(gateway, str(number)) for number in range(3)]

        def write(writer: Writer) -> None:
            while goes_on:
                writer.write()

        threads = [threading.Thread(target=write, args=(writer,)) for writer in writers]
        for thread in threads:
            thread.start()
        try:
            await _until(lambda: all(len(writer.accepted) >= 20 for writer in writers))
            before = [list(writer.accepted) for writer in writers]
            restored = await asyncio.to_thread(back_up)
            after = [len(writer.accepted) for writer in writers]
            await _until(lambda: all(len(w.accepted) > count + 4 for w, count in zip(writers, after, strict=True)))
        finally:
            goes_on = False
            for thread in threads:
                await asyncio.to_thread(thread.join)
        assert [writer.open for writer in writers] == [[], [], []]
    held, all_of_them = await _stored(restored), await _stored(prepared_url)
    for writer, early in zip(writers, before, strict=True):
        own = [number for number in held if number in writer.accepted]
        assert own == list(writer.accepted)[: len(own)]
        assert len(early) <= len(own) < len(writer.accepted), "it was taken while this one wrote"
    if prepared_url.startswith(SQLITE):
        assert held == all_of_them[: len(held)]
    accepted = {number: amount for writer in writers for number, amount in writer.accepted.items()}
    sent = [batch for writer in writers for batch in writer.sent]
    there = {number: accepted[number] for number in held}
    assert await invariants.violations(restored, invariants.Told(there, batches=sent)) == []
    with serving(restored, tmp_path, **QUIET) as gateway:
        for batch in sent:
            prefix = next(iter(batch)).rpartition("-")[0]
            is_there = set(batch) <= set(held)
            again = asked(gateway, REGISTER, prefix, items=items(prefix, 2))
            assert again is not None
            assert [result["errorCode"] for result in again.results] == [None, None]
            assert ("idempotency-replayed" in again.headers) == is_there
            if batch in sent[-3:] or is_there:
                without = asked(gateway, REGISTER, items=items(prefix, 2))
                assert without is not None
                assert [(each["errorCode"], each["sameContent"]) for each in without.results] == [("O005", True)] * 2
    assert sorted(await _stored(restored)) == sorted(accepted)
    assert await invariants.violations(restored, invariants.Told(accepted, batches=sent)) == []
