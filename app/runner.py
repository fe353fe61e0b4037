"""What happens by itself: cycles are closed when they are due, the log is kept, receivers are told."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from app.actions.close_cycle import Closed, carry_on, close_next, due, waiting
from app.dispatch import Dispatcher
from app.domain import moments
from app.domain.refusals import Refusal
from app.store.closings import Configured
from app.store.store import Store, Work

TICK_SECONDS = 10.0
"""The longest time between two looks at what is due: a configuration that another process changed is seen then."""
KEEPING_SECONDS = 60.0
FORGOTTEN_A_WORK = 5_000
LONG_PAST = timedelta(days=2)
MADE_UP = 100
"""Closings of one division after which the log is told how far it is."""
OVERDUE_AFTER = timedelta(minutes=5)
"""How late a closing may be before the gateway says so."""

_log = structlog.get_logger("balance_gateway")

Clock = Callable[[], datetime]


class Runner:
    """Does what is due on a store, together with the runners of other processes."""

    def __init__(self, store: Store, *, clock: Clock, retention: timedelta, dispatcher: Dispatcher | None) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self._dispatcher = dispatcher

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        works: list[Awaitable[None]] = [self._close(), self._keep()]
        if self._dispatcher is not None:
            works.append(self._dispatcher.run())
        await asyncio.gather(*works)

    async def once(self) -> None:
        """Do what is due now: close, keep the log, tell receivers once."""
        await self.tick()
        await self.keep()
        if self._dispatcher is not None:
            await self._dispatcher.prepare()
            while numbers := await self._dispatcher.concerned():
                await asyncio.gather(*map(self._dispatcher.serve, numbers))

    async def tick(self) -> int:
        """Close all cycles that are due now, of each division oldest first; how many were completed.

        A division that can't be closed holds up no other.
        """
        completed = 0
        for configured in await configured_divisions(self._store):
            try:
                if waiting(configured, self._clock()) is not None:
                    completed += await self._close_division(configured)
            except Refusal as refusal:
                _log.warning("closing_waits", division=configured.code, code=refusal.code)
            except Exception as error:  # noqa: BLE001 - the others must go on; it is tried again at the next tick.
                _log.exception("closing_failed", division=configured.code, error=type(error).__name__)
        return completed

    async def _close_division(self, configured: Configured) -> int:
        completed = 0
        while (closed := await close_next(self._store, configured.division_id, clock=self._clock)) is not None:
            while not closed.is_complete:
                _tell(closed, self._clock())
                following = await carry_on(self._store, closed, clock=self._clock)
                if following is None:
                    _log.warning("closing_lost", division=configured.code, closing_at=str(closed.run.closing_at))
                    return completed
                closed = following
            _tell(closed, self._clock())
            completed += 1
            if completed % MADE_UP == 0:
                _log.info("cycles_made_up", division=configured.code, count=completed, until=str(closed.run.closing_at))
            # Another look would be another transaction; a configuration that was changed meanwhile is seen soon.
            if waiting(configured._replace(last=closed.run), self._clock()) is None:
                break
        return completed

    async def keep(self) -> None:
        """Keep the log: remember how far it is settled. Forget old events, and old keys of clients."""
        now = self._clock()
        # Who is served no more, as mail without a server, holds nothing back.
        kinds = [] if self._dispatcher is None else self._dispatcher.kinds
        async with self._store.reading(None) as reads:
            bounds = await reads.log.bounds()

        async def old(work: Work) -> int:
            await work.keeping.settle(bounds.end)
            first = await work.keeping.first_since(now - self._retention)
            needed = await work.receivers.first_needed(kinds=kinds)
            kept_from = min(bounds.end, first - 1 if needed is None else min(first, needed) - 1)
            return await work.keeping.forget(kept_from, FORGOTTEN_A_WORK)

        async def old_keys(work: Work) -> int:
            return await work.idempotency.forget(now, FORGOTTEN_A_WORK)

        for some in (old, old_keys):
            forgotten = FORGOTTEN_A_WORK
            while forgotten == FORGOTTEN_A_WORK:
                forgotten = await self._store.work(None, some)

    async def _close(self) -> None:
        while True:
            try:
                await self.tick()
                pause = await self._pause()
            except Exception as error:  # noqa: BLE001 - it must go on whatever happened.
                _log.exception("closing_failed", error=type(error).__name__)
                pause = TICK_SECONDS
            await asyncio.sleep(pause)

    async def _pause(self) -> float:
        """How long until the next closing is due, within a tick."""
        now = self._clock()
        soonest = TICK_SECONDS
        for configured in await configured_divisions(self._store):
            following = next(due(configured, now + timedelta(seconds=TICK_SECONDS)), None)
            if following is not None and (configured.last is None or configured.last.completed_at is not None):
                soonest = min(soonest, (following[0].at + following[1].delay - now).total_seconds())
        return max(soonest, 0.2)

    async def _keep(self) -> None:
        while True:
            try:
                await self.keep()
            except Exception as error:  # noqa: BLE001 - as above.
                _log.exception("keeping_failed", error=type(error).__name__)
            await asyncio.sleep(KEEPING_SECONDS)


async def configured_divisions(store: Store) -> list[Configured]:
    """Every division that has a configuration."""
    async with store.reading(None) as reads:
        return await reads.closings.configured()


async def overdue(store: Store, now: datetime) -> list[str]:
    """Closings that are late, as sentences."""
    told = []
    async with store.watching() as reads:
        divisions = await reads.closings.configured()
    for configured in divisions:
        late = waiting(configured, now)
        if late is not None and late[1] <= now - OVERDUE_AFTER:
            at = moments.instant_text(late[0].at)
            told.append(f"Division {configured.code} ({configured.business_unit}): the closing of {at} is overdue.")
    return told


def _tell(closed: Closed, now: datetime) -> None:
    """Tell the log of a closing; of one that is made up in passing only who listens closely hears."""
    run = closed.run
    tell = _log.debug if closed.is_complete and run.closing_at < now - LONG_PAST else _log.info
    tell(
        "cycle_closed" if closed.is_complete else "cycle_closing",
        division=closed.division_code,
        business_date=run.business_date.isoformat(),
        closing_at=moments.instant_text(run.closing_at),
        accounts=run.account_count,
    )
