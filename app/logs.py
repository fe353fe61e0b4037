"""Logs: one JSON object a line on standard error, with no value of a request in it."""

import asyncio
import atexit
import json
import logging
import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import CodeType
from typing import Any, BinaryIO, NamedTuple

import structlog
from structlog.typing import EventDict

from app.web.access import at_hand

FLUSH_SECONDS = 0.2
"""How long a line that can wait does so."""
WAITING_BYTES_MAX = 64_000
"""Bytes of lines that wait for each other."""

ALIKE_MAX = 10
"""Warnings and errors that say the same, written in a second; of those beyond, one line says how many they were."""
KINDS_MAX = 100
"""Kinds of lines that are told apart within a second."""

FRAMES_MAX = 12
"""Of a failure's calls in this program: the innermost ones."""
FOREIGN_FRAMES_MAX = 3
"""Of those in other packages."""
CAUSES_MAX = 3
"""A failure, what it came from, and so on."""
MESSAGE_MAX = 300
"""Characters of what a library or a system says."""

_HERE = Path(__file__).resolve().parent.parent
_PACKAGES = "site-packages"
_OURS = ("app/", "resolvers/", "schema/")

_SAFE = (OSError, ImportError, AttributeError, NameError)
"""Failures whose texts speak of the system or the program. Those of all others may repeat what a client sent."""


class Lines:
    """Writes whole lines to a file, in the order in which they come; those that can wait are written together.

    A file that takes nothing, as on a full disk, loses its lines and stops nobody.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()

    def now(self, line: bytes) -> None:
        """Write a line, after those that wait."""
        with self._lock:
            self._waiting.append(line)
        self.flush()

    def later(self, line: bytes) -> None:
        """Write a line within FLUSH_SECONDS; called in an event loop."""
        with self._lock:
            self._waiting.append(line)
            self._size += len(line)
        if self._size > WAITING_BYTES_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._due)

    def _due(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            waiting, self._waiting, self._size = self._waiting, [], 0
            if waiting:
                with suppress(OSError, ValueError):
                    self._file.write(b"".join(waiting))
                    self._file.flush()


LINES = Lines(sys.stderr.buffer)
"""Where all logs of this process go."""


class Kind(NamedTuple):
    """What lines that say the same have in common."""

    event: str
    failure: str | None
    """The type of the failure that they tell of."""


class _Second:
    """How many lines of a kind there were, in the second that began with the first."""

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.count = 0


class Repeats:
    """Lets through so many lines of a kind in a second, and counts the others, so that no failure fills a disk."""

    def __init__(self) -> None:
        self._seconds: dict[Kind, _Second] = {}
        self._lock = threading.Lock()

    def counted(self, kind: Kind, now: float) -> int:
        """The how manieth of its kind in its second a line is; those beyond ALIKE_MAX are not to be written."""
        with self._lock:
            if kind not in self._seconds and len(self._seconds) >= KINDS_MAX:
                kind = _OTHER
            second = self._seconds.setdefault(kind, _Second(now))
            second.count += 1
            return second.count

    def over(self, now: float) -> dict[Kind, int]:
        """How many lines of each kind were not written in a second that is over; that second is forgotten."""
        with self._lock:
            over = {kind: second for kind, second in self._seconds.items() if now - second.begun >= 1}
            for kind in over:
                del self._seconds[kind]
        return {kind: second.count - ALIKE_MAX for kind, second in over.items() if second.count > ALIKE_MAX}


_OTHER = Kind("other", None)
"""All kinds beyond those that are told apart."""
_REPEATS = Repeats()
_SAMPLED = {"warning", "error", "critical"}


def finish() -> None:
    """Write all that is yet to be written."""
    _tell_repeats(math.inf)
    LINES.flush()


def _tell_repeats(now: float) -> None:
    for kind, count in _REPEATS.over(now).items():
        told = {"of": kind.event, **({"failure": kind.failure} if kind.failure else {}), "count": count}
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = {**told, "event": "repeated", "level": "warning", "timestamp": at}
        LINES.now(json.dumps(line).encode() + b"\n")


def _sampled(_logger: Any, method: str, told: EventDict) -> EventDict:
    """Leave out what says the same again and again."""
    if method not in _SAMPLED:
        return told
    now = time.monotonic()
    _tell_repeats(now)
    error = _error_of(told.get("exc_info"))
    kind = Kind(str(told["event"])[:MESSAGE_MAX], None if error is None else type(error).__name__)
    if (count := _REPEATS.counted(kind, now)) <= ALIKE_MAX:
        return told
    if count > ALIKE_MAX + 1:
        raise structlog.DropEvent
    with suppress(RuntimeError):  # Where no event loop runs, the next line tells, or the end.
        asyncio.get_running_loop().call_later(1.0, _tell_when_due)
    raise structlog.DropEvent


def _tell_when_due() -> None:
    _tell_repeats(time.monotonic())


class _Printer:
    """What structlog hands finished lines to."""

    def msg(self, line: str) -> None:
        LINES.now(line.encode("utf-8", "backslashreplace") + b"\n")

    debug = info = warning = error = critical = exception = log = msg


class _Handler(logging.Handler):
    """Turns records of the standard library's logging, as servers and drivers make them, into lines like all others."""

    def emit(self, record: logging.LogRecord) -> None:
        # A first line is enough: what follows it are tracebacks, and representations of whatever was at hand.
        event = record.getMessage().partition("\n")[0][:MESSAGE_MAX]
        log = structlog.get_logger(record.name)
        log.log(record.levelno, event, logger=record.name, **({"exc_info": record.exc_info} if record.exc_info else {}))


def configure(level_name: str) -> None:
    """Have everything that this process logs written as lines of JSON from a level on."""
    level = logging.getLevelName(level_name.upper())
    structlog.configure(
        processors=[
            _sampled,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _of_request,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_values,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: _Printer(),
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[_Handler()], force=True)
    logging.captureWarnings(capture=True)
    atexit.register(finish)


def _of_request(_logger: Any, _method: str, told: EventDict) -> EventDict:
    """Lines of one request share its id."""
    id = at_hand().id
    if id:
        told["request_id"] = id
    return told


def _without_values(_logger: Any, _method: str, told: EventDict) -> EventDict:
    """Render a failure by its types and places: texts of failures repeat what was sent, as those of databases do."""
    error = _error_of(told.pop("exc_info", None))
    if error is not None:
        told["exception"] = [_failure(each) for each in _causes(error)]
    return told


def _error_of(given: Any) -> BaseException | None:
    """The failure that a line is to tell of."""
    error = given[1] if isinstance(given, tuple) else sys.exc_info()[1] if given is True else given
    return error if isinstance(error, BaseException) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(CAUSES_MAX):
        if error is None:
            return
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _failure(error: BaseException) -> dict[str, Any]:
    told: dict[str, Any] = {"type": type(error).__name__, "frames": _frames(error)}
    if isinstance(error, _SAFE):
        told["message"] = str(error)[:MESSAGE_MAX]
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    if state is not None:
        told["sqlstate"] = state
    return told


def _frames(error: BaseException) -> list[str]:
    """The calls that led to a failure, outermost first, as far as they show where it is."""
    frames = list(_calls(error))
    ours = [number for number, frame in enumerate(frames) if frame.startswith(_OURS)]
    foreign = [number for number, frame in enumerate(frames) if not frame.startswith(_OURS)]
    return [frames[number] for number in sorted([*ours[-FRAMES_MAX:], *foreign[-FOREIGN_FRAMES_MAX:]])]


def _calls(error: BaseException) -> Iterator[str]:
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        yield place(code, step.tb_lineno)
        step = step.tb_next


def is_ours(code: CodeType) -> bool:
    """Whether a function is of this program."""
    return _short(code.co_filename).startswith(_OURS)


def place(code: CodeType, line: int) -> str:
    """Where in this program something runs."""
    return f"{_short(code.co_filename)}:{line} {code.co_name}"


def _short(file: str) -> str:
    if _PACKAGES in file:
        return file.rpartition(_PACKAGES)[2].lstrip("/\\")
    return file.removeprefix(f"{_HERE}/")
