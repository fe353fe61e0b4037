"""Whether SQLite's write-ahead log holds all that was committed, looked at before SQLite opens it.

SQLite takes a log up to its first damaged frame and forgets the rest, as after a loss of power. That is right for what
was being written then, and for nothing else: a commit is on the disk before its answer, and before the next frame. So
commits were lost where

- behind the damage stands a frame that goes on from one that ends a transaction: what comes after a commit is written
  when the commit is on the disk;
- the index beside the log, which may be older than the log and is never newer, counts more frames than can be read.

What remains is damage to the last commit where the index is gone: that is what a loss of power leaves.

Sources: SQLite, "WAL-mode File Format" (the log's header and frames, the index's header) and "Write-Ahead Logging".
"""

import sqlite3
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEADER, _FRAME = 32, 24
_ORDERS = {0x377F0682: "<", 0x377F0683: ">"}
"""By a log's first number, in which order its checksums take the bytes of a word."""
_NATIVE = "<" if sys.byteorder == "little" else ">"
_INDEX_VERSION = 3007000
_INDEX_BYTES = 100
_WORD = 0xFFFFFFFF
_ATTEMPTS = 3

Sums = tuple[int, int]


class LogDamaged(sqlite3.DatabaseError):
    """What was committed can't be read any more."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


class _Frame(NamedTuple):
    number: int
    salts: bytes
    """What tells this use of the log from those before."""
    is_sound: bool
    """Whether it is what was written behind the frame before."""
    is_commit: bool


class _Index(NamedTuple):
    """What the index beside a log tells of it."""

    salts: bytes
    frames: int
    """How many were committed, and on the disk."""


def check_log(file: Path) -> None:
    """Raise LogDamaged where the log of a database file lacks something that was committed.

    Nothing is changed. A log that others write to meanwhile is looked at again, and then left to them.
    """
    file = file.resolve()  # Its log is beside the file itself.
    log, index = (file.with_name(f"{file.name}-{name}") for name in ("wal", "shm"))
    for _ in range(_ATTEMPTS):
        seen = _stamp(log)
        if seen is None or not seen[0]:
            return
        fault = _fault(file, log, _index(index))
        if fault is None:
            return
        if _stamp(log) == seen:
            raise LogDamaged(f"its log {log.name} {fault}")


def _stamp(log: Path) -> tuple[int, int] | None:
    """What tells whether a log is being written to; None where there is none that can be read."""
    try:
        status = log.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _fault(file: Path, log: Path, index: _Index | None) -> str | None:
    """What is wrong with a log; None where it holds all that is known to be committed."""
    committed = 0
    broken: int | None = None
    is_more_behind = False
    before: _Frame | None = None
    for frame in _frames(log, _page_size(file)):
        if broken is None and not frame.is_sound:
            broken = frame.number
        if broken is None and frame.is_commit:
            committed = frame.number
        if broken is not None and frame.is_sound and before is not None and before.is_commit:
            is_more_behind = before.number >= broken
        if is_more_behind:
            break
        before = frame
    counted = 0 if index is None or before is None or index.salts != before.salts else index.frames
    if not is_more_behind and counted <= committed:
        return None
    return f"is damaged behind frame {committed}, where more was committed"


def _frames(log: Path, page_size: int | None) -> Iterator[_Frame]:
    """A log's header, as a frame without a page, and its frames. None: its header says how large pages are."""
    with log.open("rb") as opened:
        header = opened.read(_HEADER)
        if len(header) < _HEADER:
            return
        magic, _, size = struct.unpack(">3I", header[:12])
        order = _ORDERS.get(magic, _NATIVE)
        before: list[Sums] = [struct.unpack(">2I", header[24:])]
        """What a frame may go on from: what is written in the one before, and what that should be."""
        is_sound = magic in _ORDERS and page_size in {None, size} and _summed(header[:24], order, (0, 0)) == before[0]
        if not is_sound:
            order = _NATIVE
        head, page = opened.read(_FRAME), opened.read(page_size or size)
        salts = header[16:24] if is_sound or len(head) < _FRAME else head[8:16]
        yield _Frame(0, salts, is_sound, is_commit=False)
        number = 0
        while len(head) == _FRAME and len(page) == (page_size or size):
            number += 1
            written: Sums = struct.unpack(">2I", head[16:])
            counted = [_summed(head[:8] + page, order, each) for each in before] if head[8:16] == salts else []
            is_sound = written in counted
            yield _Frame(number, salts, is_sound, head[4:8] != b"\0\0\0\0")
            before = [written, *([] if is_sound else counted[:1])]
            head, page = opened.read(_FRAME), opened.read(page_size or size)


def _page_size(file: Path) -> int | None:
    """The size of a database's pages; None where nothing was written to its file yet. Raises OSError."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(18)[16:], "big")
    return {0: None, 1: 65536}.get(size, size)


def _summed(data: bytes, order: str, sums: Sums) -> Sums:
    """The checksum of SQLite's log, going on from one before."""
    one, other = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + other) & _WORD
        other = (other + odd + one) & _WORD
    return one, other


def _index(file: Path) -> _Index | None:
    """What an index tells; None where it tells nothing, or can't be read."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_INDEX_BYTES)
    except OSError:
        return None
    if len(data) < _INDEX_BYTES or data[:48] != data[48:96]:
        return None
    version, is_made, frames = struct.unpack("=I8xB3xI", data[:20])
    is_sound = _summed(data[:40], _NATIVE, (0, 0)) == struct.unpack("=2I", data[40:48])
    if version != _INDEX_VERSION or not is_made or not is_sound:
        return None
    return _Index(data[32:40], frames)
