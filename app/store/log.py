"""The log of events: written in the transaction of what happened, read in one order by everybody.

An entry is its own balance_change event; everything else has a row in `events`. Both are numbered from one sequence,
under the lock of the account or division that they are about: so the events of one subject are numbered as they
happened.

A number that was drawn earlier may be committed later. A reader that has seen number 7 must not find number 5 after it:
so nothing is read before all smaller numbers are settled, committed or given up. On SQLite there is one writer, and
that is always so. On PostgreSQL see app.store.postgres.Horizon. Considered: a place given to each event after its
commit (a second write for each, and somebody who must be alive to give it); a lock held from number to commit (one
commit at a time).

A database that is a restored backup goes on with the numbers that followed it, and those were given to what is lost: a
consumer that drops repeats, or resumes at a place that was lost, would miss what comes unawares. So after a restore all
numbers skip more than can have been given, and the log remembers which of its places were lost. Considered: an epoch in
each id and cursor (longer for everybody); noticing it on start (a file that was put back is no other than it was).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain import events as told
from app.domain.events import Event, EventType, Filter, NewEvent
from app.domain.records import Entry, HistoryEntry
from app.store.dialects import Dialect
from app.store.narrowing import among
from app.store.reads import Units, visible
from app.store.tables import closings, divisions, entries, events, history_entries, restores, units
from app.store.tables import log as log_table

CODES: Mapping[EventType, int] = {type_: code for code, type_ in enumerate(EventType)}
"""How types are kept in `events`; new ones come last."""
TYPES: Mapping[int, EventType] = {code: type_ for type_, code in CODES.items()}


SKIPPED = 10**12
"""How many numbers are skipped after a restore: more than are given between a backup and that, in any case."""


class LogWriter:
    """What one transaction adds to the log."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    async def numbers(self, count: int) -> Sequence[int]:
        """So many places in the log, ascending; drawn under the lock of what the events are about."""
        return await self._dialect.log_numbers(self._connection, count)

    async def tell(self, new: Sequence[NewEvent], *, now: datetime) -> None:
        """Add events behind all that this transaction has added."""
        if new:
            numbers = await self.numbers(len(new))
            await self.add(list(zip(numbers, new, strict=True)), now=now)

    async def add(self, numbered: Sequence[tuple[int, NewEvent]], *, now: datetime) -> None:
        """Add events at places that were drawn for them."""
        rows = [
            {
                "id": number,
                "unit_id": event.unit_id,
                "type": CODES[event.type],
                "account_id": event.account_id,
                "division_id": event.division_id,
                "at": now,
                "data": json.dumps(event.data, ensure_ascii=False, separators=(",", ":")),
            }
            for number, event in numbered
        ]
        if rows:
            await self._dialect.insert(self._connection, events, rows)


class Bounds(NamedTuple):
    """Between which places the log can be read: behind `kept_from`, up to and with `end`."""

    kept_from: int
    end: int


class LogReader:
    """The log, as one caller may read it, on one connection."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, names: Units) -> None:
        self._connection = connection
        self._dialect = dialect
        self._names = names

    async def bounds(self) -> Bounds:
        """Where the log begins and ends now, for everybody: the end is an event that exists, whosever it is."""
        kept_from, settled = await self._state()
        horizon = max(settled, await self._dialect.horizon(self._connection))
        return Bounds(kept_from, max(kept_from, await self._newest(horizon)))

    async def newest(self) -> int:
        """The newest place that is taken, settled or not."""
        kept_from, _ = await self._state()
        return max(kept_from, await self._newest(None))

    async def is_lost(self, place: int) -> bool:
        """Whether what was at a place is gone because a backup from before it was restored."""
        lost = select(restores.c.lost_to).where(restores.c.lost_after < place, restores.c.lost_to >= place).limit(1)
        return (await self._connection.execute(lost)).first() is not None

    async def page(self, asked: Filter, *, after: int, until: int, limit: int, from_end: bool = False) -> list[Event]:
        """The first events of (after, until], or the last ones; oldest first either way."""
        found: list[Event] = []
        if asked.types is None or EventType.BALANCE_CHANGE in asked.types:
            found += await self._entries(asked, after, until, limit, from_end)
        if asked.types is None or asked.types - {EventType.BALANCE_CHANGE}:
            found += await self._others(asked, after, until, limit, from_end)
        found.sort(key=lambda event: event.id)
        return found[-limit:] if from_end and limit else found[:limit]

    async def count(self, asked: Filter, *, after: int, until: int) -> int:
        """How many events of (after, until] there are."""
        total = 0
        if asked.types is None or EventType.BALANCE_CHANGE in asked.types:
            where = self._entries_where(asked, after, until)
            statement = select(func.count()).select_from(entries).where(where)
            total += int((await self._connection.execute(statement)).scalar_one())
        where = self._others_where(asked, after, until)
        statement = select(func.count()).select_from(events).where(where)
        return total + int((await self._connection.execute(statement)).scalar_one())

    async def by_ids(self, numbers: Sequence[int]) -> dict[int, Event]:
        """The events at these places that exist for the caller and are in the log now."""
        kept_from, _ = await self._state()
        inside = [number for number in numbers if number > kept_from]
        if not inside:
            return {}
        where = and_(among(self._dialect, entries.c.id, inside), visible(self._dialect, entries.c.unit_id, self._names))
        found = [_of_entry(row) for row in await self._connection.execute(_ENTRIES.where(where))]
        where = and_(among(self._dialect, events.c.id, inside), visible(self._dialect, events.c.unit_id, self._names))
        found += await self._made(_OTHERS.where(where))
        return {event.id: event for event in found}

    async def _state(self) -> tuple[int, int]:
        row = (await self._connection.execute(select(log_table.c.kept_from, log_table.c.settled))).one()
        return row[0], row[1]

    async def _newest(self, horizon: int | None) -> int:
        newest = 0
        for table in (entries, events):
            statement = select(func.max(table.c.id))
            if horizon is not None:
                statement = statement.where(table.c.id <= horizon)
            newest = max(newest, (await self._connection.execute(statement)).scalar() or 0)
        return newest

    async def _entries(self, asked: Filter, after: int, until: int, limit: int, from_end: bool) -> list[Event]:
        statement = _ENTRIES.where(self._entries_where(asked, after, until))
        order = entries.c.id.desc() if from_end else entries.c.id
        rows = await self._connection.execute(statement.order_by(order).limit(limit))
        return [_of_entry(row) for row in rows]

    async def _others(self, asked: Filter, after: int, until: int, limit: int, from_end: bool) -> list[Event]:
        statement = _OTHERS.where(self._others_where(asked, after, until))
        order = events.c.id.desc() if from_end else events.c.id
        return await self._made(statement.order_by(order).limit(limit))

    async def _made(self, statement: Select[Any]) -> list[Event]:
        rows = (await self._connection.execute(statement)).all()
        histories = await self._histories(rows)
        return [_of_other(row, histories) for row in rows]

    async def _histories(self, rows: Sequence[Any]) -> dict[tuple[int, datetime], list[HistoryEntry]]:
        """The rows of history that balance_history events are about, by account and closing."""
        asked = {(row.account_id, row.closing_at) for row in rows if row.data is None}
        if not asked:
            return {}
        h = history_entries
        where = and_(
            among(self._dialect, h.c.account_id, sorted({account for account, _ in asked})),
            among(self._dialect, h.c.closing_at, sorted({at for _, at in asked})),
        )
        columns = [h.c[name] for name in HistoryEntry._fields]
        found: dict[tuple[int, datetime], list[HistoryEntry]] = {}
        for row in await self._connection.execute(select(*columns).where(where)):
            entry = HistoryEntry._make(row)
            found.setdefault((entry.account_id, entry.closing_at), []).append(entry)
        return found

    def _entries_where(self, asked: Filter, after: int, until: int) -> ColumnElement[bool]:
        where = [entries.c.id > after, entries.c.id <= until]
        where.append(visible(self._dialect, entries.c.unit_id, self._names))
        where.append(visible(self._dialect, entries.c.unit_id, asked.units))
        if asked.accounts is not None:
            where.append(among(self._dialect, entries.c.account_id, sorted(asked.accounts)))
        if asked.since is not None:
            where.append(entries.c.recorded_at >= asked.since)
        if asked.before is not None:
            where.append(entries.c.recorded_at < asked.before)
        return and_(*where)

    def _others_where(self, asked: Filter, after: int, until: int) -> ColumnElement[bool]:
        where: list[ColumnElement[bool]] = [events.c.id > after, events.c.id <= until]
        where.append(visible(self._dialect, events.c.unit_id, self._names))
        where.append(visible(self._dialect, events.c.unit_id, asked.units))
        if asked.types is not None:
            codes = sorted(CODES[type_] for type_ in asked.types if type_ is not EventType.BALANCE_CHANGE)
            where.append(events.c.type.in_(codes))
        if asked.accounts is not None and asked.divisions is not None:
            where.append(
                or_(
                    among(self._dialect, events.c.account_id, sorted(asked.accounts)),
                    and_(
                        events.c.account_id.is_(None),
                        among(self._dialect, events.c.division_id, sorted(asked.divisions)),
                    ),
                )
            )
        if asked.since is not None:
            where.append(events.c.at >= asked.since)
        if asked.before is not None:
            where.append(events.c.at < asked.before)
        return and_(*where)


class Log:
    """What keeps the log: how far it is settled, and what of it is gone."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    async def settle(self, settled: int) -> None:
        """Remember how far the log is settled, for a process that starts while somebody writes for long."""
        where = log_table.c.settled < settled
        await self._connection.execute(update(log_table).where(where).values(settled=settled))

    async def first_since(self, moment: datetime) -> int:
        """The first place whose event was recorded at a moment or later; found by halving, as places follow time."""
        low, high = 0, await self._end() + 1
        while low < high:
            middle = (low + high) // 2
            at = await self._recorded_from(middle)
            if at is not None and at < moment:
                low = middle + 1
            else:
                high = middle
        return low

    async def forget(self, kept_from: int, limit: int) -> int:
        """Forget events up to a place, so many at most; how many rows went. Entries stay, but not as events."""
        where = log_table.c.kept_from < kept_from
        await self._connection.execute(update(log_table).where(where).values(kept_from=kept_from))
        old = select(events.c.id).where(events.c.id <= kept_from).order_by(events.c.id).limit(limit)
        gone = await self._connection.execute(events.delete().where(events.c.id.in_(old)))
        return gone.rowcount

    async def lose(self, *, now: datetime) -> int:
        """Take what came after the log's end for lost, and give none of its numbers again, of events or anything else;
        the end.
        """
        end = await self._end()
        lost_to = await self._dialect.skip_numbers(self._connection, SKIPPED)
        await self._connection.execute(insert(restores).values(lost_to=lost_to, lost_after=end, at=now))
        return end

    async def _end(self) -> int:
        found = [(await self._connection.execute(select(func.max(table.c.id)))).scalar() for table in (entries, events)]
        return max(number or 0 for number in found)

    async def _recorded_from(self, number: int) -> datetime | None:
        """When the first event at a place or behind it was recorded."""
        firsts: list[tuple[int, datetime]] = []
        for table, at in ((entries, entries.c.recorded_at), (events, events.c.at)):
            statement = select(table.c.id, at).where(table.c.id >= number).order_by(table.c.id).limit(1)
            row = (await self._connection.execute(statement)).first()
            if row is not None:
                firsts.append((row[0], row[1]))
        return min(firsts)[1] if firsts else None


_ENTRIES = (
    select(
        entries.c.id,
        entries.c.account_id,
        entries.c.division_id,
        units.c.name.label("unit"),
        divisions.c.code,
        entries.c.external_id,
        entries.c.amount,
        entries.c.currency,
        entries.c.balance_type,
        entries.c.equivalent_value,
        entries.c.at,
        entries.c.communication_number,
        entries.c.requester,
        entries.c.became_current,
        entries.c.recorded_at,
        entries.c.recorded_by,
    )
    .join(units, units.c.id == entries.c.unit_id)
    .outerjoin(divisions, divisions.c.id == entries.c.division_id)
)

_OTHERS = (
    select(
        events.c.id,
        events.c.type,
        events.c.account_id,
        events.c.division_id,
        units.c.name.label("unit"),
        divisions.c.code,
        events.c.external_id,
        events.c.at,
        events.c.data,
        closings.c.business_date,
        closings.c.closing_at,
    )
    .join(units, units.c.id == events.c.unit_id)
    .outerjoin(divisions, divisions.c.id == events.c.division_id)
    .outerjoin(closings, closings.c.id == events.c.closing_id)
)


def _of_entry(row: Any) -> Event:
    data = told.balance_change(
        entry_id=row.id,
        account_id=row.account_id,
        external_id=row.external_id,
        division_code=row.code,
        amount=row.amount,
        currency=row.currency,
        balance_type=row.balance_type,
        equivalent_value=row.equivalent_value,
        at=row.at,
        communication_number=row.communication_number,
        requester=row.requester,
        became_current=row.became_current,
    )
    entry = Entry(
        id=row.id,
        account_id=row.account_id,
        amount=row.amount,
        timestamp=row.at,
        currency=row.currency,
        balance_type=row.balance_type,
        equivalent_value=row.equivalent_value,
        communication_number=row.communication_number,
        requester=row.requester,
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
    )
    return Event(
        row.id, EventType.BALANCE_CHANGE, row.account_id, row.division_id, row.unit, row.recorded_at, data, entry
    )


def _of_other(row: Any, histories: Mapping[tuple[int, datetime], Sequence[HistoryEntry]]) -> Event:
    if row.data is not None:
        data = json.loads(row.data)
    else:
        data = told.balance_history(
            account_id=row.account_id,
            external_id=row.external_id,
            division_code=row.code,
            business_date=row.business_date,
            closing_at=row.closing_at,
            rows=histories.get((row.account_id, row.closing_at), ()),
        )
    return Event(row.id, TYPES[row.type], row.account_id, row.division_id, row.unit, row.at, data)
