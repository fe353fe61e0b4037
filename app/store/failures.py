"""What a database's failures mean to whoever asked."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError

from app.domain.refusals import Code, Refusal, outcome_unknown
from app.store.wires import BROKEN

_TOO_MANY = "Too much is asked of the database at once; try again."
_NO_ANSWER = "The database does not answer; try again."
_TOO_LONG = "The question took too long."
_DAMAGED = "The database is damaged."
_CLOSED = (
    "The database is damaged: nothing is written until it is mended, or restored, and the gateway is started anew."
)

_AWAY = (
    "The database's file was removed or replaced: nothing is written until it is back, or the gateway is started anew."
)

ALARM_SECONDS = 60.0
"""How long nothing more is logged of a trouble after a line; the next one says how many were left out."""

_CANCELLED = {"57014"}
_RACES = {"40001", "40P01", "23505"}
"""PostgreSQL: serialization failure, deadlock, unique violation."""

_UNREACHED = ("08", "25006", "53", "55", "57", "58")
"""How PostgreSQL's codes begin: connection, read only, resources, not in the state, operator's intervention, system."""

_NOT_LET_IN = ("28", "3D")
"""Classes of PostgreSQL's codes: who comes is not known, there is no such database."""

_GONE = ("08", "57")
"""Of these the classes whose errors end a session, or what it does: connection, operator's intervention."""

_LOCK_NOT_AVAILABLE = "55P03"

_UNSOUND = {"XX001", "XX002"}
"""PostgreSQL: data corrupted, index corrupted."""

_SQLITE_AWAY = ("locked", "disk", "readonly", "full", "unable to open", "i/o error")

_SQLITE_NOT_COMMITTED = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CONSTRAINT,
}
"""What SQLite answers to a commit that is sure not to be done."""

_SQLITE_UNSOUND = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_log = structlog.get_logger("balance_gateway")


class RaceLost(Exception):  # noqa: N818 - expected, and answered by doing it again.
    """Another transaction was quicker, or the connection broke before the commit; the work can be done again."""


class TooMany(Refusal):
    """Others have all that is needed, and keep it; nothing was done."""

    def __init__(self) -> None:
        super().__init__(Code.UNAVAILABLE, _TOO_MANY)


class _Alarm:
    """Logs a trouble that whoever operates the gateway must know; who asks can but wait for that."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._told_at = -ALARM_SECONDS
        self._left_out = 0

    def tell(self, **facts: str) -> None:
        now = time.monotonic()
        if now - self._told_at < ALARM_SECONDS:
            self._left_out += 1
            return
        self._told_at, left_out, self._left_out = now, self._left_out, 0
        _log.error(self._event, **facts, left_out=left_out)


class Damage:
    """What keeps a database from being written to: it was found damaged, or its file is not in its place.

    What is written beside damage, which any statement of this process may find, may be decided by what is no more what
    was written. So nothing is, from then on. What is written to a file that was removed or replaced is nowhere.
    """

    def __init__(self, is_in_place: Callable[[], bool] = lambda: True) -> None:
        """is_in_place: whether the database's file is the one that was opened."""
        self._is_known = False
        self._is_in_place = is_in_place
        self.has_refused = False
        """Whether the database did not take a write, as where a disk is full, and none was tried since to see."""
        self._found, self._missed = _Alarm("database_damaged"), _Alarm("database_file_away")

    @property
    def problems(self) -> list[str]:
        """Why nothing is written; empty where it is."""
        if self._is_known:
            return [_CLOSED]
        if self._is_in_place():
            return []
        self._missed.tell()
        return [_AWAY]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around each write. Raises Refusal where nothing is to be written."""
        for problem in self.problems:
            raise Refusal(Code.UNAVAILABLE, problem)
        try:
            yield
        except Refusal as refusal:
            self.has_refused |= refusal.code is Code.UNAVAILABLE and refusal.__cause__ is not None
            raise

    def doubt_commit(self) -> None:
        """Raise Refusal after a commit that may have gone to a file which was no more in its place."""
        if not self._is_in_place():
            self._missed.tell()
            raise outcome_unknown(Code.UNAVAILABLE, "The database's file was removed or replaced while it committed")

    def seen(self, reason: object) -> None:
        """Damage was found."""
        self._is_known = True
        self._found.tell(reason=str(reason)[:200])


@contextmanager
def told_plainly(damage: Damage) -> Iterator[None]:
    """Turn a driver's errors into RaceLost or a Refusal; what is our own mistake stays as it is."""
    try:
        yield
    except DBAPIError as error:
        plain = _damaged(damage, error.orig) if is_damage(error) else _plain(error)
        if plain is None:
            raise
        raise plain from error
    except asyncpg.PostgresError as error:
        plain = _damaged(damage, error) if is_damage(error) else _plain_postgres(str(error.sqlstate), is_lost=False)
        if plain is None:
            raise
        raise plain from error
    except sqlite3.Error as error:
        plain = _damaged(damage, error) if is_damage(error) else _plain_sqlite(error, is_lost=False)
        if plain is None:
            raise
        raise plain from error
    except BROKEN as error:
        raise Refusal(Code.UNAVAILABLE, _NO_ANSWER) from error
    except OSError as error:
        raise Refusal(Code.UNAVAILABLE, next(iter(damage.problems), _NO_ANSWER)) from error


@contextmanager
def told_of_commit(damage: Damage) -> Iterator[None]:
    """Turn a failed commit into a Refusal that says that its outcome is unknown, unless it is sure that it failed.

    Only the database can be sure of that. Whatever else fails, as memory does, fails before, while or after it commits.
    """
    try:
        yield
    except DBAPIError as error:
        if is_damage(error):
            raise _unknown_by_damage(damage, error.orig) from error
        if _is_unknown(error):
            raise _unknown() from error
        raise
    except asyncpg.PostgresError as error:
        if is_damage(error):
            raise _unknown_by_damage(damage, error) from error
        state = str(error.sqlstate)
        if state[:2] in _GONE and state not in _CANCELLED:
            raise _unknown() from error
        raise
    except (OSError, *BROKEN) as error:
        raise _unknown() from error
    except Exception as error:
        told = outcome_unknown(Code.UNAVAILABLE, "The gateway failed while it committed")
        _tell("commit_failed")
        raise told from error


@contextmanager
def told_to_log() -> Iterator[None]:
    """Have the log told of what fails after a commit, and nobody else: what was done is done."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever it is, the answer is what was committed.
        _tell("failed_after_commit")


def _tell(event: str) -> None:
    """Log the failure that is being handled; where that fails too, as without memory, it stays untold."""
    with suppress(Exception):
        _log.exception(event)


def _unknown() -> Refusal:
    return outcome_unknown(Code.UNAVAILABLE, "The database went away while it committed")


def _unknown_by_damage(damage: Damage, reason: object) -> Refusal:
    damage.seen(reason)
    return outcome_unknown(Code.UNAVAILABLE, "The database was found damaged while it committed")


def _is_unknown(error: DBAPIError) -> bool:
    """Whether a commit may have been done all the same: its answer is lost, or the disk did not take it for sure."""
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated:
        return True
    if state is not None:
        return state[:2] in _GONE
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is None or code & 0xFF not in _SQLITE_NOT_COMMITTED


def is_lock_timeout(error: DBAPIError) -> bool:
    """Whether PostgreSQL gave up waiting for a lock."""
    return getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def is_damage(error: BaseException | None) -> bool:
    """Whether a driver's error says that what is stored can't be read as what was written."""
    if isinstance(error, DBAPIError):
        return is_damage(error.orig)
    # The lowest byte is the code; the others say where it was found.
    code = getattr(error, "sqlite_errorcode", None)
    return getattr(error, "sqlstate", None) in _UNSOUND or (code is not None and code & 0xFF in _SQLITE_UNSOUND)


def why_unusable(error: BaseException) -> str | None:
    """Why a database can't be used, in its own words; None where the failure is our own mistake."""
    reason = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    said = str(reason).partition("\n")[0]
    state = getattr(reason, "sqlstate", None)
    if state is not None:
        return said if state.startswith((*_UNREACHED, *_NOT_LET_IN)) else None
    if isinstance(reason, (OSError, *BROKEN)) or getattr(error, "connection_invalidated", False):
        return said
    return said if reason is not None and _plain_sqlite(reason, is_lost=False) is not None else None


def _damaged(damage: Damage, reason: object) -> Refusal:
    damage.seen(reason)
    return Refusal(Code.UNAVAILABLE, _DAMAGED)


def _plain(error: DBAPIError) -> Exception | None:
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return None if error.orig is None else _plain_sqlite(error.orig, is_lost=error.connection_invalidated)
    return _plain_postgres(state, is_lost=error.connection_invalidated)


def _plain_postgres(state: str, *, is_lost: bool) -> Exception | None:
    if state in _CANCELLED:
        return Refusal(Code.TIMEOUT, _TOO_LONG)
    if state in _RACES:
        return RaceLost()
    if is_lost or state.startswith(_UNREACHED):
        return Refusal(Code.UNAVAILABLE, _NO_ANSWER)
    return None


def _plain_sqlite(error: BaseException, *, is_lost: bool) -> Exception | None:
    said = str(error).lower()
    if said == "interrupted":
        return Refusal(Code.TIMEOUT, _TOO_LONG)
    if said.startswith("unique constraint"):
        return RaceLost()
    if is_lost or any(sign in said for sign in _SQLITE_AWAY):
        return Refusal(Code.UNAVAILABLE, _NO_ANSWER)
    return None
