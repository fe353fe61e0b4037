"""Who is told of events, how far, and what waits to be told again."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.events import EventType
from app.store.dialects import Dialect
from app.store.reads import Units, visible
from app.store.tables import deliveries as d
from app.store.tables import receivers as r
from app.store.tables import units

WEBHOOK = "webhook"
MAIL = "mail"


class Receiver(NamedTuple):
    """Somebody who is told of events."""

    id: int
    kind: str
    business_unit: str | None
    url: str | None
    secret: str | None
    event_types: frozenset[EventType] | None
    position: int
    """Everything up to this place was told, or waits in deliveries."""
    failures: int
    """Attempts that failed since the last one that did not."""
    retry_at: datetime | None
    fence: int


class Delivery(NamedTuple):
    """An event that was tried and not taken, or that comes behind such a one of its subject."""

    event_id: int
    target: int
    subject: str
    attempts: int
    first_at: datetime
    retry_at: datetime


class Receivers:
    """Receivers within one transaction or reading."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, names: Units) -> None:
        self._connection = connection
        self._dialect = dialect
        self._names = names

    async def add_webhook(
        self,
        unit_id: int,
        url: str,
        secret: str,
        event_types: Sequence[EventType] | None,
        *,
        now: datetime,
        position: int,
    ) -> int:
        """A webhook that is told of what comes behind a place in the log."""
        types = None if event_types is None else json.dumps(list(event_types))
        values = {"unit_id": unit_id, "kind": WEBHOOK, "url": url, "secret": secret, "event_types": types}
        statement = insert(r).values(**values, created_at=now, position=position).returning(r.c.id)
        return int((await self._connection.execute(statement)).scalar_one())

    async def add_mail(self, *, now: datetime, position: int) -> None:
        """The one receiver of mail, with number 0, where there is none yet."""
        row = {"id": MAIL_ID, "kind": MAIL, "created_at": now, "position": position}
        await self._dialect.insert_new(self._connection, r, [row])

    async def remove(self, number: int) -> bool:
        """Remove a webhook that exists for the caller, and what waits for it."""
        where = and_(r.c.id == number, r.c.kind == WEBHOOK, visible(self._dialect, r.c.unit_id, self._names))
        found = (await self._connection.execute(self._dialect.locked(select(r.c.id).where(where), r))).first()
        if found is None:
            return False
        await self._connection.execute(delete(d).where(d.c.receiver_id == number))
        await self._connection.execute(delete(r).where(r.c.id == number))
        return True

    async def idle(self, now: datetime, *, kinds: Collection[str]) -> list[Receiver]:
        """The receivers that nobody holds, save those that are left alone for a while."""
        where = and_(
            r.c.kind.in_(sorted(kinds)),
            or_(r.c.lease_until.is_(None), r.c.lease_until <= now),
            or_(r.c.retry_at.is_(None), r.c.retry_at <= now),
        )
        return [_receiver(row) for row in await self._connection.execute(_RECEIVER.where(where).order_by(r.c.id))]

    async def due(self, now: datetime) -> set[int]:
        """The receivers for whom the first that waits of some subject is due."""
        statement = _FIRSTS.where(d.c.retry_at <= now).with_only_columns(d.c.receiver_id).distinct()
        return set((await self._connection.execute(statement)).scalars())

    async def take(self, number: int, *, now: datetime, lease_until: datetime) -> Receiver | None:
        """Hold a receiver that nobody holds; None where somebody does."""
        where = and_(r.c.id == number, or_(r.c.lease_until.is_(None), r.c.lease_until <= now))
        values = {"fence": r.c.fence + 1, "lease_until": lease_until}
        found = await self._connection.execute(update(r).where(where).values(values).returning(r.c.id))
        return None if found.first() is None else await self.by_id(number)

    async def by_id(self, number: int) -> Receiver | None:
        row = (await self._connection.execute(_RECEIVER.where(r.c.id == number))).first()
        return None if row is None else _receiver(row)

    async def keep(self, receiver: Receiver, *, lease_until: datetime | None, **changes: Any) -> bool:
        """Change a receiver that is held, and hold it longer or let it go; False where it was lost or removed."""
        where = and_(r.c.id == receiver.id, r.c.fence == receiver.fence)
        statement = update(r).where(where).values(lease_until=lease_until, **changes)
        return (await self._connection.execute(statement)).rowcount == 1

    async def waiting(self, number: int, limit: int) -> list[Delivery]:
        """The first delivery of each subject and target that waits for a receiver; those that are due soonest first."""
        statement = _FIRSTS.where(d.c.receiver_id == number).order_by(d.c.retry_at, d.c.event_id).limit(limit)
        return [Delivery._make(row) for row in await self._connection.execute(statement)]

    async def waiting_subjects(self, number: int) -> set[tuple[str, int]]:
        """The subjects and targets for which something waits."""
        statement = select(d.c.subject, d.c.target).where(d.c.receiver_id == number).distinct()
        return {(row[0], row[1]) for row in await self._connection.execute(statement)}

    async def postpone(self, number: int, late: Sequence[Delivery]) -> None:
        """Remember deliveries that were not taken; one that waits already is tried later."""
        for delivery in late:
            key = and_(d.c.receiver_id == number, d.c.event_id == delivery.event_id, d.c.target == delivery.target)
            changed = await self._connection.execute(
                update(d).where(key).values(attempts=delivery.attempts, retry_at=delivery.retry_at)
            )
            if changed.rowcount == 0:
                await self._connection.execute(insert(d).values(receiver_id=number, **delivery._asdict()))

    async def done(self, number: int, taken: Sequence[Delivery]) -> None:
        """Forget deliveries that were taken, or set aside."""
        for delivery in taken:
            await self._connection.execute(
                delete(d).where(
                    d.c.receiver_id == number, d.c.event_id == delivery.event_id, d.c.target == delivery.target
                )
            )

    async def set_aside(self, number: int, before: datetime) -> int:
        """Forget what waits since before a moment; how much that was."""
        forgotten = delete(d).where(d.c.receiver_id == number, d.c.first_at <= before)
        return (await self._connection.execute(forgotten)).rowcount

    async def waiting_counts(self, numbers: Sequence[int]) -> dict[int, int]:
        """How many deliveries wait for each receiver."""
        statement = select(d.c.receiver_id, func.count()).where(d.c.receiver_id.in_(numbers)).group_by(d.c.receiver_id)
        return {row[0]: int(row[1]) for row in await self._connection.execute(statement)}

    async def first_needed(self, *, kinds: Collection[str]) -> int | None:
        """The first place in the log that a receiver of these kinds still needs; None where there is no receiver."""
        where = r.c.kind.in_(sorted(kinds))
        told = (await self._connection.execute(select(func.min(r.c.position)).where(where))).scalar()
        numbers = select(r.c.id).where(where)
        waits = (
            await self._connection.execute(select(func.min(d.c.event_id)).where(d.c.receiver_id.in_(numbers)))
        ).scalar()
        needed = [place for place in (None if told is None else told + 1, waits) if place is not None]
        return min(needed) if needed else None


MAIL_ID = 0

_first = (
    select(d.c.receiver_id, d.c.target, func.min(d.c.event_id).label("event_id"))
    .group_by(d.c.receiver_id, d.c.target, d.c.subject)
    .subquery("first")
)
_FIRSTS = select(*(d.c[name] for name in Delivery._fields)).join(
    _first,
    and_(_first.c.receiver_id == d.c.receiver_id, _first.c.target == d.c.target, _first.c.event_id == d.c.event_id),
)
"""Of each subject, the delivery that nothing waits before."""

_RECEIVER = select(
    r.c.id,
    r.c.kind,
    units.c.name,
    r.c.url,
    r.c.secret,
    r.c.event_types,
    r.c.position,
    r.c.failures,
    r.c.retry_at,
    r.c.fence,
).outerjoin(units, units.c.id == r.c.unit_id)


def _receiver(row: Any) -> Receiver:
    return Receiver._make((*row[:5], types_of(row[5]), *row[6:]))


def types_of(kept: str | None) -> frozenset[EventType] | None:
    """The event types that a receiver asked for; None: all."""
    return None if kept is None else frozenset(EventType(name) for name in json.loads(kept))
