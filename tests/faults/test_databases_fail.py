"""A full disk, a file that is read only, a database that goes away: reads go on, writes say so, and all recovers."""

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import asyncpg
import psutil
import pytest

from app.domain.refusals import Code, Refusal
from app.store.store import Store, Work
from tests.asking import Gateway
from tests.databases import Databases
from tests.faults import invariants
from tests.faults.asking import READ, REGISTER, SETUP, Item, Told, asked, items, numbered
from tests.servers import GatewayProcess, serving

RECOVERY_SECONDS_MAX = 10
CHECKPOINTS = 3
RESTARTS = 2
MUCH_TO_WRITE = """DROP TABLE IF EXISTS filling;
    CREATE TABLE filling AS SELECT n, repeat('x', 1000) AS x FROM generate_series(1, 60000) AS n"""
MUCH_BYTES = 60_000_000
"""So that a checkpoint takes its time."""


async def _prepared(url: str) -> None:
    gateway = Gateway(url)
    (await gateway.ask(SETUP)).sound()
    await gateway.store.close()


class Writer:
    """A client that writes batches of two, one after another, and knows what became of each."""

    def __init__(self, gateway: GatewayProcess, name: str) -> None:
        self._gateway = gateway
        self._name = name
        self._number = 0
        self.accepted: dict[str, Item] = {}
        self.sent: list[dict[str, Item]] = []
        self.open: list[str] = []
        """Batches whose outcome is unknown."""
        self.refusals: list[Told] = []

    def write(self) -> Told | None:
        self._number += 1
        return self._sent(f"{self._name}-{self._number}")

    def go_on(self, gateway: GatewayProcess) -> None:
        """Write to another gateway on the same database from now on."""
        self._gateway = gateway

    def settle(self) -> None:
        """Ask again for whatever is unknown or was refused; all of it must be accepted, once."""
        for prefix in self.open:
            told = self._sent(prefix)
            assert told is not None
            assert told.status == 200, told
        assert len(self.accepted) == 2 * self._number

    def _sent(self, prefix: str) -> Told | None:
        batch = items(prefix, 2)
        self.sent.append(numbered(batch))
        told = asked(self._gateway, REGISTER, prefix, items=batch)
        if told is None or told.status != 200:
            self.open.append(prefix)
            self.refusals += [] if told is None else [told]
        else:
            assert [result["errorCode"] for result in told.results] == [None, None]
            self.accepted |= numbered(batch)
        return told

    @property
    def told(self) -> invariants.Told:
        return invariants.Told(self.accepted, batches=self.sent)


@contextmanager
def repeating(*acts: Callable[[], object]) -> Iterator[None]:
    """Each is done over and over without a pause, in a thread of its own, until this is left."""
    goes_on = True

    def repeat(act: Callable[[], object]) -> None:
        while goes_on:
            act()

    with ThreadPoolExecutor(len(acts)) as threads:
        running = [threads.submit(repeat, act) for act in acts]
        try:
            yield
        finally:
            goes_on = False
    for each in running:
        each.result()


def together(writers: Iterable[Writer]) -> invariants.Told:
    """What all of them were told."""
    accepted = {number: item for writer in writers for number, item in writer.accepted.items()}
    return invariants.Told(accepted, batches=[batch for writer in writers for batch in writer.sent])


def _unavailable(told: Told | None) -> bool:
    return told is not None and (told.status, told.codes) == (503, ["UNAVAILABLE"]) and "retry-after" in told.headers


def _recovered(gateway: GatewayProcess, writer: Writer) -> None:
    """Return when writes work again, without a restart."""
    for _ in range(RECOVERY_SECONDS_MAX * 10):
        told = writer.write()
        if told is not None and told.status == 200:
            return
        threading.Event().wait(0.1)
    raise AssertionError(f"no recovery: {gateway.log()[-2000:]}")


async def test_a_file_that_may_not_grow_refuses_writes_and_takes_them_again(sqlite_url: str, tmp_path: Path) -> None:
    await _prepared(sqlite_url)
    with serving(sqlite_url, tmp_path, runner="false") as gateway:
        writer = Writer(gateway, "w")
        assert writer.write() is not None
        _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (65_536, hard))
        told = next(told for told in iter(writer.write, object()) if told is None or told.status != 200)
        assert _unavailable(told)
        read = asked(gateway, READ)
        assert read is not None
        assert read.body["data"]["account"]["balances"]["totalCount"] == len(writer.accepted)
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (hard, hard))
        _recovered(gateway, writer)
        writer.settle()
    assert await invariants.violations(sqlite_url, writer.told) == []


async def test_sqlite_s_own_full_refuses_writes_and_takes_them_again(sqlite_url: str) -> None:
    """The same by SQLITE_FULL, as a disk without room answers."""
    store = Store(sqlite_url)

    async def limited(work: Work, pages: int) -> None:
        await work.reads._connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    async def fill(work: Work) -> None:
        for number in range(300):
            await work.directory.add_unit(f"{number:04d}" * 200)

    await store.work(None, lambda work: limited(work, 1))
    with pytest.raises(Refusal) as refused:
        await store.work(None, fill)
    assert refused.value.code is Code.UNAVAILABLE
    async with store.reading(None) as reads:
        assert await reads.units() == []
    await store.work(None, lambda work: limited(work, 1_000_000))
    await store.work(None, fill)
    async with store.reading(None) as reads:
        assert len(await reads.units()) == 300
    await store.close()
    assert await invariants.violations(sqlite_url) == []


async def test_a_database_that_is_read_only_is_read_and_refuses_writes(sqlite_url: str) -> None:
    await _prepared(sqlite_url)
    file = sqlite_url.removeprefix("sqlite+aiosqlite:///")
    keeper = sqlite3.connect(file)  # Somebody has the log of the file open.
    keeper.execute("SELECT count(*) FROM units").fetchone()
    gateway = Gateway(f"sqlite+aiosqlite:///file:{file}?mode=ro&uri=true")
    assert (await gateway.ask(READ)).sound()["account"] == {"balance": "0", "balances": {"totalCount": 0}}
    answer = await gateway.ask(REGISTER, items=items("n", 1))
    assert (answer.data, answer.codes) == (None, ["UNAVAILABLE"])
    await gateway.store.close()
    keeper.close()


def _fill(file: Path) -> None:
    """Write until there is no room left."""
    with file.open("wb", buffering=0) as filling, suppress(OSError):
        while True:
            filling.write(b"\0" * 4096)


async def _until(holds: Callable[[], bool]) -> None:
    """Return when something holds that another process or thread brings about."""
    while not holds():  # noqa: ASYNC110 - it tells by no event of ours.
        await asyncio.sleep(0.02)


@contextmanager
def _little_room(databases: Databases, folder: Path) -> Iterator[Path]:
    """A file system of one megabyte that the cluster may write to."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    place = folder / "little-room"
    place.mkdir()
    owner = databases.cluster.data.stat()
    options = f"size=1m,uid={owner.st_uid},gid={owner.st_gid},mode=0700"
    command = [str(mount), "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() or mount is None or umount is None or subprocess.run(command, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system in memory")
    try:
        yield place
    finally:
        subprocess.run([umount, "--lazy", str(place)], check=True)


async def test_a_full_disk_of_postgresql_refuses_writes_and_takes_them_again(
    databases: Databases, tmp_path: Path
) -> None:
    folder = databases._folder / "room"
    folder.mkdir()
    folder.chmod(0o711)
    with databases.made("postgresql") as url, _little_room(databases, folder) as place:
        await _prepared(url)
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        await connection.execute(f"CREATE TABLESPACE little LOCATION '{place}'")
        await connection.execute("ALTER TABLE entries SET TABLESPACE little")
        filling = next(place.glob("PG_*")) / "filling"
        with serving(url, tmp_path, runner="false") as gateway:
            writer = Writer(gateway, "w")
            assert writer.write() is not None
            _fill(filling)
            told = next(told for told in iter(writer.write, object()) if told is None or told.status != 200)
            assert _unavailable(told), told
            read = asked(gateway, READ)
            assert read is not None
            assert read.body["data"]["account"]["balances"]["totalCount"] == len(writer.accepted)
            filling.unlink()
            _recovered(gateway, writer)
            writer.settle()
        assert await invariants.violations(url, writer.told) == []
        await connection.execute("ALTER TABLE entries SET TABLESPACE pg_default")
        await connection.execute("DROP TABLESPACE little")
        await connection.close()
    shutil.rmtree(folder)


async def test_a_postgresql_that_crashes_under_load_loses_nothing(
    databases: Databases, postgresql_url: str, tmp_path: Path
) -> None:
    await _prepared(postgresql_url)
    with serving(postgresql_url, tmp_path, runner="false") as gateway:
        writers = [Writer(gateway, str(number)) for number in range(3)]
        with repeating(*(writer.write for writer in writers)):
            await _until(lambda: min(len(writer.accepted) for writer in writers) >= 10)
            databases.cluster.crash()
            await _until(lambda: all(writer.refusals for writer in writers))
            for path, status in ((READ, 503), ("{ limits { pageSize } }", 200)):
                told = await asyncio.to_thread(asked, gateway, path)
                assert told is not None
                assert told.status == status, told
            databases.cluster.start()  # By this thread: the server ends with the one that started it.
            await asyncio.to_thread(_recovered, gateway, Writer(gateway, "after"))
        await _settled(writers)
    assert await invariants.violations(postgresql_url, together(writers)) == []


async def test_a_postgresql_that_is_restarted_under_load_costs_no_answer_its_truth(
    databases: Databases, postgresql_url: str, tmp_path: Path
) -> None:
    """FS05: it is back at once, while the connections that are kept lead to the one before."""
    await _prepared(postgresql_url)
    with serving(postgresql_url, tmp_path, runner="false") as gateway:
        writers = [Writer(gateway, str(number)) for number in range(3)]
        reads: list[Told | None] = []

        def read() -> None:
            reads.append(asked(gateway, READ))

        with repeating(*(writer.write for writer in writers), read, read):
            for round_ in range(1, RESTARTS + 1):
                before = len(reads)
                await _until(lambda: len(reads) > before + 10)  # noqa: B023 - it is awaited here.
                databases.cluster.stop()
                databases.cluster.start()
                await asyncio.to_thread(_recovered, gateway, Writer(gateway, f"after-{round_}"))
        answered = [told for told in reads if told is not None and (told.status, told.codes) == (200, [])]
        assert [told for told in reads if told not in answered and not _unavailable(told)] == []
        assert any(writer.refusals for writer in writers)
        await _settled(writers)
    assert await invariants.violations(postgresql_url, together(writers)) == []


async def _settled(writers: list[Writer]) -> None:
    """Whatever they were not told was told to be unavailable, and is told by a retry."""
    refusals = [told for writer in writers for told in writer.refusals]
    assert [told for told in refusals if not _unavailable(told)] == []
    assert len(refusals) == sum(len(writer.open) for writer in writers), "a connection broke"
    for writer in writers:
        await asyncio.to_thread(writer.settle)


def _process(databases: Databases, name: str) -> int:
    """A process of the server: its checkpointer brings what was written from its log into its files."""
    for pid in databases.cluster.processes():
        with suppress(psutil.Error):
            if name in " ".join(psutil.Process(pid).cmdline()):
                return pid
    raise LookupError


def _runs(process: psutil.Process) -> bool:
    """Whether a process has not ended, be it noticed by its parent or not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("ending", ["the checkpointer", "the server"])
async def test_a_postgresql_that_is_killed_in_a_checkpoint_loses_nothing(
    databases: Databases, postgresql_url: str, tmp_path: Path, ending: str
) -> None:
    """K11, under load: a checkpoint has begun, and the process that does it, or all of them, are killed."""
    await _prepared(postgresql_url)
    with serving(postgresql_url, tmp_path, runner="false") as gateway:
        broken = 0
        writers = [Writer(gateway, str(number)) for number in range(3)]
        with repeating(*(writer.write for writer in writers)):
            for round_ in range(1, CHECKPOINTS + 1):
                await _until(lambda: all(len(writer.accepted) >= 20 * round_ for writer in writers))  # noqa: B023 - it is awaited here.
                refused = [len(writer.refusals) for writer in writers]
                checkpointer = psutil.Process(_process(databases, "checkpointer"))
                administrator = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
                await administrator.execute(MUCH_TO_WRITE)
                checkpointer.suspend()
                written = checkpointer.io_counters().write_chars
                checkpoint = asyncio.ensure_future(administrator.execute("CHECKPOINT"))
                while checkpointer.io_counters().write_chars == written:
                    # It goes on for a moment each time, and so stands still soon after it began.
                    checkpointer.resume()
                    await asyncio.sleep(0)
                    checkpointer.suspend()
                    await _until(lambda: checkpointer.status() == psutil.STATUS_STOPPED)  # noqa: B023 - as above.
                assert checkpointer.io_counters().write_chars - written < MUCH_BYTES / 2
                ended = databases.cluster.processes() if ending == "the server" else [checkpointer.pid]
                killed = [psutil.Process(pid) for pid in ended]
                for process in killed:
                    process.kill()
                try:
                    await checkpoint
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    broken += 1  # On a busy machine it may have come to its end.
                administrator.terminate()
                await _until(lambda: any(len(w.refusals) > n for w, n in zip(writers, refused, strict=True)))  # noqa: B023
                if ending == "the server":
                    databases.cluster.crash()  # It has ended, and is forgotten.
                    await _until(lambda: not any(map(_runs, killed)))  # noqa: B023
                    databases.cluster.start()
                await asyncio.to_thread(_recovered, gateway, Writer(gateway, f"after-{round_}"))
        await _settled(writers)
    assert broken > 0
    assert databases.cluster.log().count("redo starts at") >= CHECKPOINTS
    assert await invariants.violations(postgresql_url, together(writers)) == []


async def test_sessions_that_are_ended_under_load_cost_no_answer_its_truth(postgresql_url: str, tmp_path: Path) -> None:
    await _prepared(postgresql_url)
    killer = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    ended = 0
    with serving(postgresql_url, tmp_path, runner="false") as gateway:
        writers = [Writer(gateway, str(number)) for number in range(3)]

        def write(writer: Writer) -> None:
            for _ in range(25):
                writer.write()

        threads = [threading.Thread(target=write, args=(writer,)) for writer in writers]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            ended += await killer.fetchval(
                """SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'balance-gateway'
                ORDER BY random() LIMIT 1) AS one"""
            )
            await asyncio.sleep(0.05)
        await _settled(writers)
    await killer.close()
    assert ended > 2
    assert await invariants.violations(postgresql_url, together(writers)) == []


async def test_ready_tells_which_sqlite_it_is_and_one_of_two_stores_checkpoints(
    sqlite_url: str, tmp_path: Path
) -> None:
    with serving(sqlite_url, tmp_path) as gateway:
        told = await asyncio.to_thread(_ready, gateway)
        assert told == {"status": "ready", "sqlite": sqlite3.sqlite_version}
    first, second = Store(sqlite_url), Store(sqlite_url)

    async def pages(work: Work) -> Any:
        return (await work.reads._connection.exec_driver_sql("PRAGMA wal_autocheckpoint")).scalar()

    assert [await store.work(None, pages) for store in (first, second, first)] == [1000, 0, 1000]
    await first.close()
    assert await second.work(None, pages) == 1000
    await second.close()


def _ready(gateway: GatewayProcess) -> Any:
    with urlopen(f"{gateway.url}/ready", timeout=30) as answer:
        return json.load(answer)
