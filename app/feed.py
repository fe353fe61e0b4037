"""Tells listeners in this process what is new in the log, whoever wrote it.

The log is the truth. What is heard from writers, here or in other processes, is only that it is worth a look; who hears
nothing looks now and then. A look reads the log once for all listeners. Nobody who writes ever waits for a listener:
one that lags behind is let go, and can resume by its place.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import structlog

from app.domain.events import Event, EventType, Filter
from app.domain.refusals import Code, Refusal
from app.store.reads import Units
from app.store.store import Store

BACKLOG_MAX = 1_000
"""Events that may wait for one listener."""
PAGE = 500
LOOK_SECONDS = 0.25
"""How long what nobody told of may go unseen: writes of other processes on SQLite, and everywhere a lost signal."""
REST_SECONDS = 0.005
"""How long it rests after a look: many writes are one look."""
SOON_SECONDS = 0.01
"""When to look again while a smaller place of the log may still be taken."""

_log = structlog.get_logger("balance_gateway")


class Listener:
    """Somebody who waits for events of some kind, in some business units."""

    def __init__(self, units: Units, asked: Filter, after: int, backlog: int) -> None:
        self._units = units
        self._asked = asked
        self._after = after
        self._backlog = backlog
        self._waiting: deque[Event] = deque()
        self._news = asyncio.Event()
        self._refusal: Refusal | None = None

    def tell(self, event: Event) -> None:
        """Take an event, if it is one that is waited for; never waits."""
        if event.id <= self._after or self._refusal is not None:
            return
        if (self._units is not None and event.business_unit not in self._units) or not self._asked.takes(event):
            return
        if len(self._waiting) >= self._backlog:
            self.end(Refusal(Code.SUBSCRIPTION_LAGGED, "Too many events wait; resume after the last one received."))
            return
        self._waiting.append(event)
        self._news.set()

    def end(self, refusal: Refusal) -> None:
        """Let the listener go; what waits for it is dropped."""
        self._refusal = refusal
        self._waiting.clear()
        self._news.set()

    async def next(self) -> Event:
        """The next event. Raises the Refusal that it was let go with."""
        while not self._waiting:
            if self._refusal is not None:
                raise self._refusal
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class Feed:
    """The listeners of one process. `run` looks for what is new as long as there are any."""

    def __init__(self, store: Store, *, look_seconds: float = LOOK_SECONDS, backlog: int = BACKLOG_MAX) -> None:
        self._store = store
        self._look_seconds = look_seconds
        self._backlog = backlog
        self._listeners: set[Listener] = set()
        self._position = 0
        self._woken = asyncio.Event()

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def wake(self) -> None:
        """Something was written; look now."""
        self._woken.set()

    async def end(self) -> int:
        """The last place of the log now."""
        async with self._store.reading(None) as reads:
            return (await reads.log.bounds()).end

    async def listen(self, units: Units, asked: Filter, after: int | None) -> AsyncIterator[Event]:
        """Every event behind a place in the log, then those that come; None: those that come from now on.

        Raises Refusal SUBSCRIPTION_LAGGED where the listener is too slow, EVENTS_EXPIRED where retention overtook it.
        """
        place = await self.end() if after is None else after
        while True:
            async with self._store.reading(units) as reads:
                bounds = await reads.log.bounds()
                if place < bounds.kept_from:
                    raise Refusal(Code.EVENTS_EXPIRED, "The events after this place are no longer kept.")
                page = await reads.log.page(asked, after=place, until=bounds.end, limit=PAGE)
            for event in page:
                yield event
            if len(page) == PAGE:
                place = page[-1].id
                continue
            place = max(place, bounds.end)
            # No await between the look at the position and the entry in the list: what comes is heard from here on.
            if not self._listeners or self._position <= place:
                break
        listener = Listener(units, asked, place, self._backlog)
        if not self._listeners:
            self._position = place
        self._listeners.add(listener)
        self._woken.set()
        try:
            while True:
                yield await listener.next()
        finally:
            self._listeners.discard(listener)

    async def run(self) -> None:
        """Look for what is new, until cancelled. A look that fails is made again."""
        while True:
            pause: float | None = None
            if self._listeners:
                try:
                    pause = await self._look()
                    await asyncio.sleep(REST_SECONDS)
                except Refusal as refusal:
                    _log.warning("feed_waits", code=refusal.code)
                    pause = 1.0
                except Exception as error:  # noqa: BLE001 - it must go on whatever happened.
                    _log.exception("feed_failed", error=type(error).__name__)
                    pause = 1.0
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            self._woken.clear()

    async def _look(self) -> float:
        """Tell the listeners what is new, and say how soon to look again."""
        while True:
            async with self._store.reading(None) as reads:
                bounds = await reads.log.bounds()
                page = await reads.log.page(Filter(), after=self._position, until=bounds.end, limit=PAGE)
                newest = await reads.log.newest() if not page else 0
            for event in page:
                for listener in tuple(self._listeners):
                    listener.tell(event)
            if not page:
                return SOON_SECONDS if newest > bounds.end else self._look_seconds
            self._position = page[-1].id
            await asyncio.sleep(0)


def entries_only(accounts: frozenset[int] | None) -> Filter:
    """Which events tell of recorded entries: of some accounts, or of all."""
    divisions: frozenset[int] | None = None if accounts is None else frozenset()
    return Filter(frozenset({EventType.BALANCE_CHANGE}), accounts, divisions)


Wake = Callable[[], None]
