"""SQLite's log is damaged: what was committed and can't be read is missed, and what power left behind is not."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from app.store.frames import LogDamaged, check_log
from tests.faults import invariants
from tests.faults.asking import READ, asked
from tests.faults.test_databases_fail import Writer
from tests.faults.test_disks import FRAME_HEADER, LOG_HEADER, QUIET, Log, _file, _prepared, said
from tests.servers import GatewayProcess, serving

BATCHES = 12
INDEX_HEADER = 48
"""Bytes of each of an index's two headers."""


class Left(NamedTuple):
    """What a gateway had written when it was killed."""

    log: Log
    beside: bytes
    """The index."""
    answered: list[str]

    def is_refused(self, log: bytes, *, with_index: bool) -> bool:
        self.log.put(log, self.beside if with_index else None)
        try:
            check_log(self.log.file)
        except LogDamaged as damaged:
            assert "left.db-wal is damaged behind frame " in str(damaged)
            return True
        return False

    def changed(self, place: int) -> bytes:
        """The log with one of its bytes changed."""
        changed = bytearray(self.log.whole)
        changed[place] ^= 0x41
        return bytes(changed)

    @property
    def transactions(self) -> Iterator[tuple[int, int]]:
        """Where each begins and ends."""
        begun = LOG_HEADER
        for start, end in zip(self.log.ends, self.log.ends[1:], strict=False):
            if self.log.commits(end) > self.log.commits(start):
                yield begun, end
                begun = end


@pytest.fixture
async def left(sqlite_url: str, tmp_path: Path) -> Left:
    await _prepared(sqlite_url)
    file = _file(sqlite_url)
    with serving(sqlite_url, tmp_path, **QUIET) as gateway:
        writer = Writer(gateway, "w")
        for _ in range(BATCHES):
            assert writer.write() is not None
        log, index = Log(file, tmp_path), file.with_name(f"{file.name}-shm").read_bytes()
    return Left(log, index, list(writer.accepted))


PLACES = {"page": 0, "size after commit": 4, "salt": 8, "checksum": 16, "content": FRAME_HEADER + 100, "end": -1}
"""Where a frame is damaged."""


def test_damage_to_what_was_committed_is_missed(left: Left) -> None:
    *others, (last, _) = left.transactions
    assert len(others) >= BATCHES - 1
    frames = list(zip(left.log.ends, left.log.ends[1:], strict=False))
    some = [*frames[::12], *((start, end) for start, end in frames if start >= last)]
    for (start, end), (part, place) in product(some, PLACES.items()):
        damaged = left.changed((start if place >= 0 else end) + place)
        stored = left.log.leave(damaged)
        assert stored == left.answered[: len(stored)]
        assert len(stored) < len(left.answered), "SQLite forgets without a word"
        assert left.is_refused(damaged, with_index=True), (part, start)
        if start < last:
            assert left.is_refused(damaged, with_index=False), (part, start)
        elif part != "size after commit":  # That is nothing that a loss of power leaves.
            assert not left.is_refused(damaged, with_index=False), (part, start)
    for with_index in (True, False):
        assert not left.is_refused(left.log.whole, with_index=with_index)


def test_damage_to_the_head_of_a_log_is_missed(left: Left) -> None:
    for place in range(LOG_HEADER):
        assert left.log.leave(left.changed(place)) == [], place
        for with_index in (True, False):
            assert left.is_refused(left.changed(place), with_index=with_index), place


def test_a_log_that_was_cut_is_missed_by_its_index(left: Left) -> None:
    for end in (*left.log.ends[:-1:9], *(end - 7 for end in left.log.ends[1::9])):
        assert left.is_refused(left.log.whole[:end], with_index=True), end
        assert not left.is_refused(left.log.whole[:end], with_index=False), "it may be all that was written"


def test_damage_is_missed_by_another_name_of_the_file(left: Left, tmp_path: Path) -> None:
    left.log.put(left.changed(LOG_HEADER + FRAME_HEADER), left.beside)
    link = tmp_path / "link.db"
    link.symlink_to(left.log.file)
    with pytest.raises(LogDamaged):
        check_log(link)


def test_an_index_that_is_older_or_damaged_tells_of_nothing_else(left: Left) -> None:
    for place in range(2 * INDEX_HEADER):
        changed = bytearray(left.beside)
        changed[place] ^= 0x41
        damaged = left._replace(beside=bytes(changed))
        assert not damaged.is_refused(left.log.whole, with_index=True), place
    for cut in (0, 47, 99):
        assert not left._replace(beside=left.beside[:cut]).is_refused(left.log.whole, with_index=True)
    older = left.log.whole[: left.log.ends[-1]] + left.log.whole[LOG_HEADER : left.log.ends[3]]
    assert not left.is_refused(older, with_index=True), "what was there before is behind the last commit"


async def test_a_damaged_log_stops_the_start_and_a_sound_one_in_its_place_is_all_that_it_takes(
    sqlite_url: str, tmp_path: Path
) -> None:
    await _prepared(sqlite_url)
    file = _file(sqlite_url)
    log = file.with_name(f"{file.name}-wal")
    gateway = GatewayProcess(sqlite_url, tmp_path, QUIET)
    with gateway:
        writer = Writer(gateway, "w")
        for _ in range(BATCHES):
            assert writer.write() is not None
        gateway.kill()
        sound = log.read_bytes()
        damaged = bytearray(sound)
        damaged[len(sound) // 2] ^= 0xFF
        log.write_bytes(damaged)
        before = file.read_bytes()
        for command in ("serve", "migrate", "restored"):
            status, stderr, stdout = said(command, sqlite_url)
            assert (status, stdout) == (2, "")
            assert stderr.startswith(f"The database is damaged (its log {log.name} is damaged behind frame ")
            assert stderr.endswith(", where more was committed): restore a backup.\n")
        assert (file.read_bytes(), log.read_bytes()) == (before, bytes(damaged)), "nothing was changed"
        log.write_bytes(sound)
        gateway.start()
        told = asked(gateway, READ)
        assert told is not None
        assert told.status == 200
        writer.settle()
    assert await invariants.violations(sqlite_url, writer.told) == []


async def test_a_log_that_is_being_written_to_is_left_alone(sqlite_url: str, tmp_path: Path) -> None:
    await _prepared(sqlite_url)
    chance = random.Random(20260301)
    with serving(sqlite_url, tmp_path, **QUIET) as gateway, ThreadPoolExecutor(1) as pool:
        writer = Writer(gateway, "w")
        written = pool.submit(lambda: [writer.write() for _ in range(60)])
        looks = 0
        while not written.done() or looks < chance.randint(5, 10):
            check_log(_file(sqlite_url))
            looks += 1
        assert None not in written.result()
    assert len(writer.accepted) == 120
