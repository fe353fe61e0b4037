"""The end of the process: it comes in time, whatever still runs then."""

import os
import threading
from collections.abc import Callable

import structlog

from app import logs

SPARE_SECONDS = 7.0
"""How long, after what runs was broken off, the rest may take: connections, the database, the log."""
TELL_SECONDS = 0.5
"""How long the log may take to be told; what takes its lines may be what holds the process up."""

FORCED_STATUS = 70

_log = structlog.get_logger("balance_gateway")


class LastMoment:
    """Ends the process so many seconds after it was asked to end, where it has not done so itself.

    A thread of its own does: the event loop may be held, and a driver's thread be at a statement without an end.
    """

    def __init__(self, seconds: float, end: Callable[[int], None] = os._exit) -> None:
        self._seconds = seconds
        self._end = end
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """The process was asked to end now; asked again, it has no more time than at first."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="last moment", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        threading.Event().wait(self._seconds)
        telling = threading.Thread(target=self._tell, daemon=True)
        telling.start()
        telling.join(TELL_SECONDS)
        self._end(FORCED_STATUS)

    def _tell(self) -> None:
        _log.error("ended_by_force", seconds=self._seconds)
        logs.finish()
