"""What every test may ask for: databases, gateways, and the programs that the machine has."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests import programs, servers
from tests.databases import KINDS, Databases, scratch


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Makes databases of both kinds, as many as a test needs."""
    from app.store.migrations import migrate  # noqa: PLC0415 - The domain's tests need nothing of the store.

    with scratch() as folder:
        made = Databases(folder, migrate)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def sqlite_url(databases: Databases) -> Iterator[str]:
    """A migrated SQLite file of the test's own."""
    with databases.made("sqlite") as url:
        yield url


@pytest.fixture
def postgresql_url(databases: Databases) -> Iterator[str]:
    """A migrated PostgreSQL database of the test's own."""
    with databases.made("postgresql") as url:
        yield url


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """A migrated database of the test's own; the test runs once on each kind."""
    with databases.made(request.param) as url:
        yield url


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """A database without any table (a SQLite file that isn't there yet); the test runs once on each kind."""
    with databases.made(request.param, empty=True) as url:
        yield url


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[servers.GatewayProcess]:
    """A gateway's process on the test's own database; the test runs once on each kind."""
    with servers.serving(database_url, tmp_path) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def gateway_url(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one gateway with sample data, for tests that change nothing in it."""
    with databases.made("sqlite") as url:
        servers.run(url, *servers.SEED)
        with servers.serving(url, tmp_path_factory.mktemp("gateway")) as gateway:
            yield gateway.url


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's program."""
    return _needed(programs.chromium(), "Chromium")


@pytest.fixture(scope="session")
def node() -> Path:
    """Node.js's program."""
    return _needed(programs.node(), "Node.js")


def _needed(program: Path | None, name: str) -> Path:
    if program is None:
        # Where nobody looks on, a test that did not run must not pass for one that did.
        verdict = pytest.fail if os.environ.get("CI") else pytest.skip
        verdict(f"{name} is not on this machine")
    return program


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of a test's gateways beside its failure."""
    report = yield
    if report.failed:
        report.sections.extend(servers.logs_of_started())
    if report.when == "teardown":
        servers.forget_stopped()
    return report
