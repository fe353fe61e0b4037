"""A SQLite file that is removed or replaced while a gateway has it open: nothing is written where nobody reads."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from app.domain.refusals import Code, Refusal
from app.store.store import Work
from tests.asking import Gateway
from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, SETUP, asked, items, numbered
from tests.faults.test_databases_fail import _prepared
from tests.servers import GatewayProcess, serving

SQLITE = "sqlite+aiosqlite:///"
QUIET = {"runner": "false", "graphiql": "false"}
SECONDS = 30
AWAY = (
    "The database's file was removed or replaced: nothing is written until it is back, or the gateway is started anew."
)
ADD = """mutation { createBankAccountBalance(bankAccountId: "account_1", input: {
  amount: 7, timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}}) { balance { amount } } }"""
READS_AT_ONCE = 20

Loss = Callable[[Path, Path], None]
"""Takes a file away to a place that is given."""


def _moved(file: Path, away: Path) -> None:
    file.rename(away)


def _replaced(file: Path, away: Path) -> None:
    file.rename(away)
    shutil.copyfile(away, file)


def _emptied(file: Path, away: Path) -> None:
    """Another file, as one that opens it anew would make it."""
    file.rename(away)
    file.touch()


def _problems(gateway: GatewayProcess) -> list[str]:
    """What it says why it is not ready."""
    try:
        with urlopen(f"{gateway.url}/ready", timeout=SECONDS) as answer:
            assert answer.status == 200
            return []
    except HTTPError as refused:
        with refused:
            assert refused.status == 503
            problems: list[str] = json.load(refused)["problems"]
            return problems


@pytest.mark.parametrize("lose", [_moved, _replaced, _emptied])
@pytest.mark.parametrize("part", ["", "-wal", "-shm"])
async def test_nothing_is_written_to_a_file_that_is_not_in_its_place_and_all_recovers_when_it_is_back(
    sqlite_url: str, tmp_path: Path, part: str, lose: Loss
) -> None:
    await _prepared(sqlite_url)
    main = Path(sqlite_url.removeprefix(SQLITE))
    file, away = main.with_name(main.name + part), main.with_name("away")
    before, lost, after = items("before", 3), items("lost", 2), items("after", 2)
    with serving(sqlite_url, tmp_path, **QUIET) as gateway:
        told = asked(gateway, REGISTER, items=before)
        assert told is not None
        assert told.status == 200
        told = asked(gateway, READ)
        assert told is not None
        held = told.body
        assert held == {"data": {"account": {"balance": "2", "balances": {"totalCount": 3}}}}
        assert _problems(gateway) == []
        lose(file, away)
        there = file.read_bytes() if file.exists() else None
        for key in (None, "key"):
            told = asked(gateway, REGISTER, key, items=lost)
            assert told is not None
            assert (told.status, told.codes) == (503, ["UNAVAILABLE"]), told
            assert told.body["errors"][0]["message"] == AWAY
            assert "outcome" not in told.body["errors"][0]["extensions"], "it is known that nothing was written"
        assert _problems(gateway) == [AWAY]
        told = asked(gateway, READ)
        assert told is not None
        assert told.body == held
        assert (file.read_bytes() if file.exists() else None) == there, "what took its place is left alone"
        (line,) = [line for line in gateway.log().splitlines() if "database_file_away" in line]
        assert '"level": "error"' in line
        away.replace(file)
        assert _problems(gateway) == []
        told = asked(gateway, REGISTER, "key", items=after)
        assert told is not None
        assert [result["errorCode"] for result in told.results] == [None, None]
    known = invariants.Told(numbered(before) | numbered(after), batches=[numbered(after)])
    assert await invariants.violations(sqlite_url, known) == []


async def test_a_file_that_took_the_place_is_served_after_a_start_and_nothing_of_the_old_one_comes_into_it(
    sqlite_url: str, tmp_path: Path
) -> None:
    await _prepared(sqlite_url)
    main = Path(sqlite_url.removeprefix(SQLITE))
    backup = main.with_name("backup.db")
    with serving(sqlite_url, tmp_path, **QUIET) as gateway:
        with closing(sqlite3.connect(main)) as connection:
            connection.execute("VACUUM INTO ?", [str(backup)])
        told = asked(gateway, REGISTER, items=items("before", 3))
        assert told is not None
        assert told.status == 200
        for part in ("", "-wal", "-shm"):
            main.with_name(main.name + part).unlink()
        backup.rename(main)
        with closing(sqlite3.connect(main)) as other:
            other.execute("PRAGMA journal_mode=WAL")
            other.execute("UPDATE accounts SET name = 'Other'")
            other.commit()
            log = main.with_name(f"{main.name}-wal")
            assert log.stat().st_size > 0
            gateway.stop()
            assert log.exists(), "the log of the new file is not the one that the gateway had"
        gateway.start()
        told = asked(gateway, '{ account(id: "account_1") { name balances { totalCount } } }')
        assert told is not None
        assert told.body == {"data": {"account": {"name": "Other", "balances": {"totalCount": 0}}}}
        told = asked(gateway, ADD)
        assert told is not None
        assert told.body["data"]["createBankAccountBalance"]["balance"]["amount"] == "7"


@pytest.fixture
async def filled(sqlite_url: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(sqlite_url)
    (await gateway.ask(SETUP)).sound()
    yield gateway
    await gateway.store.close()


async def test_a_file_that_is_moved_while_it_is_written_to_makes_an_unknown_outcome(
    sqlite_url: str, filled: Gateway
) -> None:
    main = Path(sqlite_url.removeprefix(SQLITE))
    away = main.with_name("away")

    async def act(_work: Work) -> None:
        _moved(main, away)

    with pytest.raises(Refusal) as refused:
        await filled.store.work(None, act)
    assert refused.value.code is Code.UNAVAILABLE
    assert refused.value.extensions["outcome"] == "unknown"
    away.rename(main)
    (await filled.ask(ADD)).sound()


async def test_a_connection_is_never_opened_to_what_took_the_files_place(sqlite_url: str, filled: Gateway) -> None:
    main = Path(sqlite_url.removeprefix(SQLITE))
    (await filled.ask(ADD)).sound()
    known = (await filled.ask(READ)).sound()
    away = main.with_name("away")
    _moved(main, away)
    answers = await asyncio.gather(*(filled.ask(READ) for _ in range(READS_AT_ONCE)))
    with pytest.raises(FileNotFoundError):
        _moved(main, away)  # Nothing was made in its place.
    told = {answer.codes[0] if answer.codes else str(answer.data) for answer in answers}
    assert told == {str(known), "UNAVAILABLE"}, "what is open is read from, and no more is opened"
    _moved(away, main)
    assert (await filled.ask(READ)).sound() == known


async def test_a_file_is_known_by_a_link_to_it_too(sqlite_url: str, tmp_path: Path) -> None:
    main = Path(sqlite_url.removeprefix(SQLITE))
    link, other = tmp_path / "link.db", tmp_path / "other.db"
    shutil.copyfile(main, other)
    link.symlink_to(main)
    gateway = Gateway(f"{SQLITE}{link}")
    (await gateway.ask(SETUP)).sound()
    (await gateway.ask(ADD)).sound()
    link.unlink()
    link.symlink_to(other)
    assert await gateway.store.problems() == [AWAY]
    link.unlink()
    link.symlink_to(main)
    assert await gateway.store.problems() == []
    (await gateway.ask(ADD)).sound()
    await gateway.store.close()
