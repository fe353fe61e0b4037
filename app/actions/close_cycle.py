"""Close a division's cycle: what its accounts hold at that instant is recorded and told (Pismo: cycle closing)."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from app.domain import events, histories, zones
from app.domain.balances import Position
from app.domain.cycles import Closing, closing_at
from app.domain.events import EventType, NewEvent
from app.domain.histories import HistoryConfig
from app.domain.moments import EPOCH
from app.store.closings import Configured, Run
from app.store.store import Store, Work

ACCOUNTS_A_WORK = 5_000
"""Accounts that one transaction closes: no longer than a batch of the largest size."""
LEASE = timedelta(seconds=30)
"""How long a closing is left to who has it since its last sign of life."""

Clock = Callable[[], datetime]


class Closed(NamedTuple):
    """How far a closing is, after another part of it was written."""

    division_code: str
    run: Run

    @property
    def is_complete(self) -> bool:
        return self.run.completed_at is not None


def due(configured: Configured, until: datetime) -> Iterator[tuple[Closing, HistoryConfig]]:
    """The closings of a division that come after its last one and are due, oldest first."""
    zone = zones.zone(configured.timezone)
    assert zone is not None
    last = None if configured.last is None else configured.last.closing
    return histories.closings_due(configured.configs, last, until, zone)


def waiting(configured: Configured, until: datetime) -> tuple[Closing, datetime] | None:
    """The oldest closing of a division that is due and not complete, and since when it is due."""
    last = configured.last
    if last is not None and last.completed_at is None:
        since = last.lease_until
        return last.closing, until if since is None else min(since, until)
    first = next(due(configured, until), None)
    return None if first is None else (first[0], first[0].at + first[1].delay)


async def close_next(store: Store, division_id: int, *, clock: Clock, accounts: int = ACCOUNTS_A_WORK) -> Closed | None:
    """Begin, or take over, the oldest closing of a division that is due, and write its first part.

    None where nothing is due, or somebody else is at it. What this reads and writes is one transaction.
    """

    async def act(work: Work) -> Closed | None:
        await work.histories.hold(division_id)
        (configured,) = await work.closings.configured(division_id)
        now = clock()
        run = await _taken(work, configured, now)
        return None if run is None else await _written(work, configured, run, now, accounts)

    return await store.work(None, act)


async def carry_on(store: Store, closed: Closed, *, clock: Clock, accounts: int = ACCOUNTS_A_WORK) -> Closed | None:
    """Write another part of a closing that is held; None where somebody else has taken it over: then nothing is
    written.
    """

    async def act(work: Work) -> Closed | None:
        (configured,) = await work.closings.configured(closed.run.division_id)
        return await _written(work, configured, closed.run, clock(), accounts)

    return await store.work(None, act)


async def _taken(work: Work, configured: Configured, now: datetime) -> Run | None:
    last = configured.last
    if last is not None and last.completed_at is None:
        return await work.closings.take_over(last, now=now, lease_until=now + LEASE)
    first = next(due(configured, now), None)
    if first is None:
        return None
    return await work.closings.begin(configured, first[0], lease_until=now + LEASE)


async def _written(work: Work, configured: Configured, run: Run, now: datetime, accounts: int) -> Closed | None:
    """Write the next part; the run's row is changed first, so that who lost the fence stops before writing."""
    through, count = await work.closings.next_accounts(run, accounts)
    is_last = count < accounts
    advanced = await work.closings.advance(
        run, through=through, count=count, lease_until=now + LEASE, completed_at=now if is_last else None
    )
    if advanced is None:
        return None
    if count:
        await work.closings.write(run, through, count, day_before=_day_before(configured, run), now=now)
    if is_last:
        data = events.cycle_closing(
            division_code=configured.code,
            business_date=run.business_date,
            closing_at=run.closing_at,
            account_count=advanced.account_count,
        )
        event = NewEvent(EventType.DIVISION_CYCLE_CLOSING, run.unit_id, None, run.division_id, data)
        await work.log.tell([event], now=now)
    return Closed(configured.code, advanced)


def _day_before(configured: Configured, run: Run) -> datetime | None:
    """The same closing time one local day earlier; None where that day has no closing."""
    zone = zones.zone(configured.timezone)
    assert zone is not None
    config = histories.governing(configured.configs, run.closing)
    return closing_at(run.business_date - timedelta(days=1), config.closing_time, zone)


async def changed_division(
    work: Work, position: Position, created_at: datetime, division_id: int | None
) -> dict[str, datetime | None]:
    """What an account that changes its division remembers: its last closing, and which closings are its next ones.

    The closings of both divisions stand still meanwhile, so that no closing takes it twice or misses it.
    """
    joined_after, closed_until = await work.accounts.membership(position.account_id)
    if position.division_id is not None:
        last = await work.closings.held_last(position.division_id)
        if last is not None:
            at = last.closing_at if last.includes(position.account_id) else last.previous_at
            was_there = at is not None and (created_at < at if joined_after is None else joined_after < at)
            if at is not None and was_there:
                # Where it was before may have closed up to a later instant.
                closed_until = at if closed_until is None else max(at, closed_until)
    joined: datetime | None = EPOCH
    if division_id is not None:
        last = await work.closings.held_last(division_id)
        if last is not None:
            joined = last.closing_at if last.includes(position.account_id) else last.previous_at or EPOCH
    return {"joined_after": joined, "closed_until": closed_until}
