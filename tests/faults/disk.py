"""What SQLite asks of the disk, seen on its way there: each write, sync, truncation and removal of a file.

SQLite reaches files by a table of functions (its VFS). Some of them are replaced, in the library that Python's sqlite3
itself uses, by ones that tell of it first, do what they were asked, and tell of it again. So a fault comes at a certain
place even where no Python runs, as inside a checkpoint, and what was written can be replayed as a disk may keep it.
"""

import _sqlite3
import ctypes
import pickle
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any, Literal, NamedTuple

Kind = Literal["write", "sync", "truncate", "remove"]


class Call(NamedTuple):
    """What SQLite asks of one file."""

    kind: Kind
    file: str
    offset: int = 0
    """Where it writes; of a truncation, the size."""
    content: bytes = b""


class Answered(NamedTuple):
    """Between the calls: the gateway is about to send the first byte of an answer."""

    body: bytes


def recorded(file: Path) -> Iterator[Call | Answered]:
    """What a file holds, in which each step was pickled as it happened."""
    with file.open("rb") as record:
        while record.peek(1):
            yield pickle.load(record)


Heard = Callable[[Call], None]

_LIBRARY = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
"""The name is handed on as it is: SQLite keeps it, and reads what stands behind it."""
_REMOVE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Methods(Structure):
    """SQLite's sqlite3_io_methods."""

    _fields_ = [
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("others", c_void_p * 13),
    ]


class _File(Structure):
    """SQLite's sqlite3_file."""

    _fields_ = [("methods", POINTER(_Methods))]


class _Vfs(Structure):
    """SQLite's sqlite3_vfs, as far as it is needed."""

    _fields_ = [
        ("version", c_int),
        ("file_size", c_int),
        ("path_size", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("remove", c_void_p),
    ]


_kept: list[Any] = []
"""What SQLite points to, and Python must not let go."""


def listen(before: Heard, after: Heard) -> None:
    """Hear what is asked of each file that is opened from now on: before it is done, and when it is done."""
    _LIBRARY.sqlite3_vfs_find.restype = POINTER(_Vfs)
    vfs = _LIBRARY.sqlite3_vfs_find(None).contents
    open_, remove = _OPEN(vfs.open), _REMOVE(vfs.remove)
    tables: dict[tuple[int, bytes], Any] = {}

    def done(call: Call, do: Callable[..., int], *given: Any) -> int:
        before(call)
        status = do(*given)
        if status == 0:
            after(call)
        return status

    def opened(itself: int, name: int | None, file: int, flags: int, told: int) -> int:
        status: int = open_(itself, name, file, flags, told)
        methods = _File.from_address(file).methods
        if status == 0 and name is not None and methods:
            path = ctypes.string_at(name)
            key = ctypes.addressof(methods.contents), path
            if key not in tables:
                tables[key] = _heard(methods.contents, path.decode(), done)
            _File.from_address(file).methods = ctypes.pointer(tables[key])
        return status

    def removed(itself: int, name: bytes, syncs: int) -> int:
        return done(Call("remove", name.decode()), remove, itself, name, syncs)

    faulty = _OPEN(opened), _REMOVE(removed)
    _kept.extend((*faulty, open_, remove, tables))
    vfs.open, vfs.remove = (ctypes.cast(each, c_void_p).value for each in faulty)


def _heard(real: _Methods, name: str, done: Callable[..., int]) -> _Methods:
    """The methods of a file, of which three are heard."""
    write, truncate, sync = _WRITE(real.write), _TRUNCATE(real.truncate), _SYNC(real.sync)

    def written(file: int, content: int, size: int, offset: int) -> int:
        call = Call("write", name, offset, ctypes.string_at(content, size))
        return done(call, write, file, content, size, offset)

    def truncated(file: int, size: int) -> int:
        return done(Call("truncate", name, size), truncate, file, size)

    def synced(file: int, how: int) -> int:
        return done(Call("sync", name), sync, file, how)

    faulty = _WRITE(written), _TRUNCATE(truncated), _SYNC(synced)
    _kept.extend((*faulty, write, truncate, sync))
    made = _Methods()
    ctypes.memmove(ctypes.byref(made), ctypes.byref(real), ctypes.sizeof(_Methods))
    made.write, made.truncate, made.sync = (ctypes.cast(each, c_void_p).value for each in faulty)
    return made
