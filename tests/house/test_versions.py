"""No package is older than the release that mended its last known weakness."""

import json
import re
import sqlite3
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest
from packaging.version import Version

from app.store.store import Store, Work
from tests.house.repository import ROOT

SAFE_SINCE = {
    # Cross-site requests, foreign nodes, endless subscriptions, fragments past the limits (CVE-2026-107727 the last).
    "strawberry-graphql": "0.327.2",
    # Validation in quadratic time and worse, comments past the token limit (CVE-2026-75507, CVE-2026-75508).
    "graphql-core": "3.3.2",
    # Forms, ranges and hosts (CVE-2026-54283 the last).
    "starlette": "1.3.1",
    # Split responses, injected log lines (CVE-2020-7694, CVE-2020-7695).
    "uvicorn": "0.11.7",
    # Malformed chunks (CVE-2025-43859).
    "h11": "0.16.0",
    # Headers without bounds (CVE-2026-42561 the last).
    "python-multipart": "0.0.27",
    # Keys of one kind taken for another's (CVE-2026-102271 and those after it).
    "pyjwt": "2.15.0",
    # Compression bombs, timing (CVE-2018-1000518, CVE-2021-33880).
    "websockets": "9.1",
    # Recursion without end (CVE-2024-27454).
    "orjson": "3.9.15",
}
"""The first version of each package that has no known weakness. Where one isn't installed, it can't be weak."""

ALWAYS_INSTALLED = {
    "strawberry-graphql",
    "graphql-core",
    "starlette",
    "uvicorn",
    "h11",
    "orjson",
    "pyjwt",
    "websockets",
}


def installed(package: str) -> Version | None:
    try:
        return Version(version(package))
    except PackageNotFoundError:
        return None


@pytest.mark.parametrize("package", SAFE_SINCE)
def test_the_installed_version_is_a_safe_one(package: str) -> None:
    found = installed(package)
    if found is None:
        assert package not in ALWAYS_INSTALLED
    else:
        assert found >= Version(SAFE_SINCE[package])


def test_a_gateway_tells_the_version_of_its_sqlite(gateway_url: str) -> None:
    """What the machine brings can't be refused here; before 3.51.3 one connection of one process checkpoints."""
    with urllib.request.urlopen(f"{gateway_url}/ready", timeout=30) as answer:
        assert json.load(answer)["sqlite"] == sqlite3.sqlite_version


async def test_one_connection_of_all_processes_checkpoints(sqlite_url: str) -> None:
    """Two stores hold the file's places as two processes would."""

    async def pages(work: Work) -> Any:
        return (await work.reads._connection.exec_driver_sql("PRAGMA wal_autocheckpoint")).scalar()

    first, second = Store(sqlite_url), Store(sqlite_url)
    begun = [await first.work(None, pages), await second.work(None, pages)]
    await first.close()
    after = await second.work(None, pages)
    await second.close()
    assert [each > 0 for each in begun] == [True, False]
    assert after > 0


def test_every_pinned_version_is_a_safe_one() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    weak = {
        name: number
        for name, number in pinned.items()
        if name.lower() in SAFE_SINCE and Version(number) < Version(SAFE_SINCE[name.lower()])
    }
    assert len(pinned) > len(ALWAYS_INSTALLED)
    assert weak == {}
