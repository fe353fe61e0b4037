"""Who uses a SQLite file: one serve, one runner, and one of all processes that checkpoints."""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout
from sqlalchemy import make_url


class FileTaken(Exception):  # noqa: N818 - an answer to whoever starts a second one.
    """Another process has this place at the file already."""


def database_file(url: str) -> Path | None:
    """The file of a SQLite database; None for one that is no file."""
    name = make_url(url).database
    if name is not None and name.startswith("file:"):  # SQLite's own kind of URL.
        name = unquote(urlsplit(name).path)
    return None if not name or name == ":memory:" else Path(name).absolute()


class Place:
    """A place at a database file that one process has, such as its serve; left when the process ends, however."""

    def __init__(self, file: Path, name: str) -> None:
        self._name = name
        self._file = file
        self._lock = FileLock(f"{file}-{name}.lock", timeout=0, thread_local=False)
        self._holder = Path(f"{file}-{name}.pid")

    def try_take(self) -> bool:
        """Take the place, if it is free; a place that is ours stays ours."""
        if self._lock.is_locked:
            return True
        try:
            self._lock.acquire()
        except Timeout:
            return False
        with suppress(OSError):  # It is told to people alone, and a disk may be full.
            self._holder.write_text(str(os.getpid()))
        return True

    def take(self) -> None:
        """Take the place. Raises FileTaken, naming who has it."""
        if not self.try_take():
            holder = self._holder.read_text() if self._holder.exists() else "unknown"
            raise FileTaken(f"{self._file} has a {self._name} already (process {holder}).")

    def leave(self) -> None:
        self._lock.release()
