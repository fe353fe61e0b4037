"""Watches the event loop: where something holds it, so that everybody waits, the log tells for how long and who did.

The loop beats some times a second. A thread looks whether it did; only where it did not it looks at the stack, for the
innermost call of this program and for the request that runs. No value is told.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import structlog

from app.logs import is_ours, place
from app.web.access import Request, carried, told

HELD_SECONDS = 0.25
"""How long the loop may be held before it is told."""
BEAT_SECONDS = 0.1
LONG_SECONDS = 5.0
"""After how long it is told although it goes on: it may never end."""
TELL_SECONDS = 10.0
"""How long nothing is told of a place after a line; the next one says how many were left out."""
_PLACES_MAX = 100
_END_SECONDS = 1.0

_log = structlog.get_logger("balance_gateway")


class _Held:
    """A time in which the loop did not beat."""

    def __init__(self, since: float, culprit: dict[str, Any]) -> None:
        self.since = since
        self.culprit = culprit
        self.is_told = False


class Heartbeat:
    """Beats in an event loop, and watches that it does.

    Something that holds the interpreter too is seen when it has let go: then the stack shows who asked for it.
    """

    def __init__(
        self,
        *,
        held_seconds: float = HELD_SECONDS,
        long_seconds: float = LONG_SECONDS,
        tell_seconds: float = TELL_SECONDS,
    ) -> None:
        self._held_seconds = held_seconds
        self._long_seconds = long_seconds
        self._tell_seconds = tell_seconds
        self._beaten_at = 0.0
        self._told_at: dict[str | None, float] = {}
        self._left_out = 0
        self._is_over = threading.Event()
        self._loop_thread = 0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat and watch, in the running loop."""
        loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._beat(loop)
        watcher = threading.Thread(target=self._watch, args=(loop,), name="heartbeat", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._is_over.set()
            if self._timer is not None:
                self._timer.cancel()
            watcher.join(_END_SECONDS)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beaten_at = time.monotonic()
        self._timer = loop.call_later(BEAT_SECONDS, self._beat, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        held: _Held | None = None
        while not self._is_over.wait(BEAT_SECONDS):
            beaten_at, now = self._beaten_at, time.monotonic()
            if held is not None and held.since != beaten_at:
                self._tell(held, beaten_at - held.since, is_over=True)
                held = None
            if now - beaten_at < BEAT_SECONDS + self._held_seconds:
                continue
            if held is None:
                culprit = self._culprit(loop)
                # Where the loop went on meanwhile, another one may have been seen.
                if culprit is not None and self._beaten_at == beaten_at:
                    held = _Held(beaten_at, culprit)
            elif not held.is_told and now - beaten_at > self._long_seconds:
                held.is_told = self._tell(held, now - beaten_at, is_over=False)

    def _culprit(self, loop: asyncio.AbstractEventLoop) -> dict[str, Any] | None:
        """What runs in the loop now; None where nothing of this program does, as in a process that was stopped."""
        frame: FrameType | None = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - it has no other name.
        task = asyncio.current_task(loop)
        if task is None:
            return None
        innermost: str | None = None
        of = carried(task)
        while frame is not None and (innermost is None or of is None):
            if is_ours(frame.f_code):
                innermost = innermost or place(frame.f_code, frame.f_lineno)
                request = next((each for each in frame.f_locals.values() if type(each) is Request), None)
                of = of or (None if request is None else told(request))
            frame = frame.f_back
        id, name = of or (None, None)
        return {"place": innermost, "request_id": id, "operation": name}

    def _tell(self, held: _Held, seconds: float, *, is_over: bool) -> bool:
        """Write a line, unless there was one just now; whether it was written."""
        now, where = time.monotonic(), held.culprit["place"]
        if now - self._told_at.get(where, -self._tell_seconds) < self._tell_seconds and not held.is_told:
            self._left_out += 1
            return False
        if len(self._told_at) >= _PLACES_MAX:
            self._told_at.clear()
        self._told_at[where] = now
        left_out, self._left_out = self._left_out, 0
        _log.warning("event_loop_held", seconds=round(seconds, 3), is_over=is_over, left_out=left_out, **held.culprit)
        return True
