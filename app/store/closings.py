"""Closings of cycles, as remembered: each begun once, carried on by whoever has its fence, written in sets."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.cycles import Closing
from app.domain.events import EventType
from app.domain.histories import HistoryConfig
from app.store.dialects import Dialect
from app.store.log import CODES
from app.store.tables import accounts as a
from app.store.tables import balance_kinds, divisions, entries, events, history_entries, units
from app.store.tables import closings as c
from app.store.tables import history_configs as h
from app.store.types import Day, Instant, Number, given_list


class Run(NamedTuple):
    """A closing that is being carried out, or is complete."""

    id: int
    unit_id: int
    division_id: int
    business_date: date
    closing_at: datetime
    completed_at: datetime | None
    account_count: int
    previous_at: datetime | None
    """The division's closing before."""
    through_account_id: int
    """Up to which account it is written."""
    fence: int
    """Raised by each who takes it over; who has a smaller one writes nothing any more."""
    lease_until: datetime | None

    @property
    def closing(self) -> Closing:
        return Closing(self.business_date, self.closing_at)

    def includes(self, account_id: int) -> bool:
        """Whether it has passed by an account that is in the division."""
        return self.completed_at is not None or self.through_account_id >= account_id


class Configured(NamedTuple):
    """A division with all that decides which of its closings are due."""

    division_id: int
    unit_id: int
    code: str
    business_unit: str
    timezone: str
    configs: Sequence[HistoryConfig]
    last: Run | None


class Closings:
    """Closings within one transaction or reading."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    async def configured(self, division_id: int | None = None) -> list[Configured]:
        """Every division that has a configuration, or one of them."""
        statement = select(*(h.c[name] for name in HistoryConfig._fields)).order_by(h.c.division_id, h.c.first_closing)
        named = (
            select(divisions.c.id, divisions.c.unit_id, divisions.c.code, units.c.name, divisions.c.timezone)
            .join(units, units.c.id == divisions.c.unit_id)
            .where(divisions.c.id.in_(select(h.c.division_id)))
            .order_by(divisions.c.id)
        )
        if division_id is not None:
            statement, named = (
                statement.where(h.c.division_id == division_id),
                named.where(divisions.c.id == division_id),
            )
        configs: dict[int, list[HistoryConfig]] = {}
        for row in await self._connection.execute(statement):
            config = HistoryConfig._make(row)
            configs.setdefault(config.division_id, []).append(config)
        found = (await self._connection.execute(named)).all()
        last = await self._last([row[0] for row in found])
        return [Configured(*row, configs.get(row[0], []), last.get(row[0])) for row in found]

    async def _last(self, numbers: Sequence[int]) -> dict[int, Run]:
        each = self._dialect.each(given_list(Number, numbers))
        last = select(c.c.id).where(c.c.division_id == each.c.key).order_by(c.c.closing_at.desc()).limit(1)
        newest = select(last.correlate(each).scalar_subquery().label("id")).select_from(each).subquery()
        statement = _RUN.where(c.c.id.in_(select(newest.c.id)))
        return {row.division_id: Run._make(row) for row in await self._connection.execute(statement)}

    async def held_last(self, division_id: int) -> Run | None:
        """A division's last closing, locked: nobody carries it on as long as this transaction runs."""
        statement = _RUN.where(c.c.division_id == division_id).order_by(c.c.closing_at.desc()).limit(1)
        row = (await self._connection.execute(self._dialect.locked(statement, c))).first()
        return None if row is None else Run._make(row)

    async def begin(self, of: Configured, closing: Closing, *, lease_until: datetime) -> Run:
        """Begin a closing; raises IntegrityError where it has been begun."""
        values = {
            "unit_id": of.unit_id,
            "division_id": of.division_id,
            "business_date": closing.business_date,
            "closing_at": closing.at,
            "account_count": 0,
            "previous_at": None if of.last is None else of.last.closing_at,
            "through_account_id": 0,
            "fence": 1,
            "lease_until": lease_until,
        }
        statement = insert(c).values(values).returning(*_RUN.selected_columns)
        return Run._make((await self._connection.execute(statement)).one())

    async def take_over(self, run: Run, *, now: datetime, lease_until: datetime) -> Run | None:
        """Carry on a closing that was left; None where somebody else has it still."""
        where = and_(c.c.id == run.id, c.c.completed_at.is_(None), c.c.lease_until <= now)
        statement = update(c).where(where).values(fence=c.c.fence + 1, lease_until=lease_until)
        row = (await self._connection.execute(statement.returning(*_RUN.selected_columns))).first()
        return None if row is None else Run._make(row)

    async def next_accounts(self, run: Run, limit: int) -> tuple[int, int]:
        """The next accounts of a closing: the last one's number, and how many they are, so many at most."""
        first = select(a.c.id).where(self._taking_part(run)).order_by(a.c.id).limit(limit).subquery()
        row = (await self._connection.execute(select(func.max(first.c.id), func.count()).select_from(first))).one()
        return (run.through_account_id if row[0] is None else row[0]), row[1]

    async def advance(
        self, run: Run, *, through: int, count: int, lease_until: datetime | None, completed_at: datetime | None
    ) -> Run | None:
        """Note how far a closing is, in the transaction that writes that part; None where the fence was lost."""
        where = and_(c.c.id == run.id, c.c.fence == run.fence, c.c.completed_at.is_(None))
        values = {
            "through_account_id": through,
            "account_count": c.c.account_count + count,
            "lease_until": lease_until,
            "completed_at": completed_at,
        }
        statement = update(c).where(where).values(values).returning(*_RUN.selected_columns)
        row = (await self._connection.execute(statement)).first()
        return None if row is None else Run._make(row)

    async def write(self, run: Run, through: int, count: int, *, day_before: datetime | None, now: datetime) -> None:
        """Write the history and the events of the accounts behind the run's last one, up to and with another."""
        taking_part = and_(self._taking_part(run), a.c.id <= through)
        await self._connection.execute(_history(run, taking_part, through, day_before))
        number = await self._dialect.log_number_of_each(self._connection, count, a.c.id)
        told = select(
            number,
            a.c.unit_id,
            literal(CODES[EventType.BALANCE_HISTORY], Number),
            a.c.id,
            a.c.division_id,
            a.c.external_id,
            literal(run.id, Number),
            literal(now, Instant),
        ).where(taking_part)
        names = ["id", "unit_id", "type", "account_id", "division_id", "external_id", "closing_id", "at"]
        await self._connection.execute(insert(events).from_select(names, told.order_by(a.c.id)))

    def _taking_part(self, run: Run) -> ColumnElement[bool]:
        return and_(
            a.c.division_id == run.division_id,
            a.c.created_at < run.closing_at,
            a.c.id > run.through_account_id,
        )


_RUN = select(*(c.c[name] for name in Run._fields))


def _previous(run: Run) -> ColumnElement[Any]:
    """An account's previous closing: the division's, if the account was in it then, else that of where it was."""
    if run.previous_at is None:
        return a.c.closed_until
    before = literal(run.previous_at, Instant)
    been_here = or_(and_(a.c.joined_after.is_(None), a.c.created_at < before), a.c.joined_after < before)
    return case((been_here, before), else_=a.c.closed_until)


def _last_entry(what: ColumnElement[Any], e: FromClause, owner: FromClause, before: datetime) -> Select[Any]:
    return (
        select(what)
        .where(e.c.account_id == owner.c.account_id, e.c.currency == owner.c.currency, e.c.at < before)
        .order_by(e.c.at.desc(), e.c.id.desc())
        .limit(1)
        .correlate(owner)
    )


def _history(run: Run, taking_part: ColumnElement[bool], through: int, day_before: datetime | None) -> Any:
    """INSERT ... SELECT of the rows of history of some accounts.

    A row for each account and currency where an entry lies between the account's previous closing and this one, or
    where the balance is another than its last row says, which a late entry does.
    """
    # Named here too, as a DISTINCT is made of all that it reads.
    within = and_(balance_kinds.c.account_id > run.through_account_id, balance_kinds.c.account_id <= through)
    kinds = select(balance_kinds.c.account_id, balance_kinds.c.currency).where(within).distinct().subquery("kinds")
    each = (
        select(a.c.unit_id, a.c.id.label("account_id"), kinds.c.currency, _previous(run).label("previous"))
        .join(kinds, kinds.c.account_id == a.c.id)
        .where(taking_part)
        .subquery("each_account")
    )
    newest, row = entries.alias(), history_entries.alias()
    last_row = (
        select(row.c.closing)
        .where(
            row.c.account_id == each.c.account_id,
            row.c.currency == each.c.currency,
            row.c.closing_at < run.closing_at,
        )
        .order_by(row.c.closing_at.desc())
        .limit(1)
        .correlate(each)
        .scalar_subquery()
    )
    found = (
        select(
            each.c.unit_id,
            each.c.account_id,
            each.c.currency,
            each.c.previous,
            last_row.label("last_row"),
            _last_entry(newest.c.id, newest, each, run.closing_at).scalar_subquery().label("entry_id"),
        )
        .cte("found")
        .prefix_with("MATERIALIZED")
    )
    e, earlier = entries.alias(), entries.alias()
    opening: list[ColumnElement[Any]] = [found.c.last_row]
    if day_before is not None:
        opening.append(_last_entry(earlier.c.amount, earlier, found, day_before).scalar_subquery())
    rows = (
        select(
            found.c.unit_id,
            found.c.account_id,
            literal(run.business_date, Day),
            literal(run.closing_at, Instant),
            found.c.currency,
            func.coalesce(*opening, literal(0, Number)),
            e.c.amount,
        )
        .join(e, e.c.id == found.c.entry_id)
        .where(
            or_(
                found.c.previous.is_(null()),
                e.c.at >= found.c.previous,
                found.c.last_row.is_(null()),
                e.c.amount != found.c.last_row,
            )
        )
        .order_by(found.c.account_id, found.c.currency)
    )
    names = ["unit_id", "account_id", "business_date", "closing_at", "currency", "opening", "closing"]
    return insert(history_entries).from_select(names, rows)
