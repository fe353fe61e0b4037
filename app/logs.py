"""Logs: one JSON object a line on standard error, with no value of a request in it."""

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Any, BinaryIO

import structlog
from structlog.typing import EventDict

from app.web.access import at_hand

FLUSH_SECONDS = 0.2
"""How long a line that can wait does so."""
WAITING_BYTES_MAX = 64_000
"""Bytes of lines that wait for each other."""

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


def _of_request(_logger: Any, _method: str, told: EventDict) -> EventDict:
    """Lines of one request share its id."""
    id = at_hand().id
    if id:
        told["request_id"] = id
    return told


def _without_values(_logger: Any, _method: str, told: EventDict) -> EventDict:
    """Render a failure by its types and places: texts of failures repeat what was sent, as those of databases do."""
    given = told.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else sys.exc_info()[1] if given is True else given
    if isinstance(error, BaseException):
        told["exception"] = [_failure(each) for each in _causes(error)]
    return told


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
