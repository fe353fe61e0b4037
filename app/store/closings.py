"""Closings of cycles, as remembered: each begun once, carried on by whoever has its fence, written in sets."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Insert,
    Select,
    and_,
    bindparam,
    case,
    exists,
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
        statements = _CONFIGURED if division_id is None else _CONFIGURED_ONE
        given: dict[str, Any] = {} if division_id is None else {"division": division_id}
        configs: dict[int, list[HistoryConfig]] = {}
        for row in await self._connection.execute(statements.configs, given):
            config = HistoryConfig._make(row)
            configs.setdefault(config.division_id, []).append(config)
        found = (await self._connection.execute(statements.divisions, given)).all()
        last = await self._last([row[0] for row in found])
        return [Configured._make((*row, configs.get(row[0], []), last.get(row[0]))) for row in found]

    async def _last(self, numbers: Sequence[int]) -> dict[int, Run]:
        if len(numbers) == 1:
            row = (await self._connection.execute(_LAST, {"division": numbers[0]})).first()
            return {} if row is None else {numbers[0]: Run._make(row)}
        each = self._dialect.each(given_list(Number, numbers))
        last = select(c.c.id).where(c.c.division_id == each.c.key).order_by(c.c.closing_at.desc()).limit(1)
        newest = select(last.correlate(each).scalar_subquery().label("id")).select_from(each).subquery()
        statement = _RUN.where(c.c.id.in_(select(newest.c.id)))
        return {row.division_id: Run._make(row) for row in await self._connection.execute(statement)}

    async def held_last(self, division_id: int) -> Run | None:
        """A division's last closing, locked: nobody carries it on as long as this transaction runs."""
        row = (await self._connection.execute(self._dialect.locked(_LAST, c), {"division": division_id})).first()
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
        return Run._make((await self._connection.execute(_BEGUN, values)).one())

    async def take_over(self, run: Run, *, now: datetime, lease_until: datetime) -> Run | None:
        """Carry on a closing that was left; None where somebody else has it still."""
        where = and_(c.c.id == run.id, c.c.completed_at.is_(None), c.c.lease_until <= now)
        statement = update(c).where(where).values(fence=c.c.fence + 1, lease_until=lease_until)
        row = (await self._connection.execute(statement.returning(*_RUN.selected_columns))).first()
        return None if row is None else Run._make(row)

    async def next_accounts(self, run: Run, limit: int) -> tuple[int, int]:
        """The next accounts of a closing: the last one's number, and how many they are, so many at most."""
        row = (await self._connection.execute(_NEXT, {**_given(run), "limit": limit})).one()
        return (run.through_account_id if row[0] is None else row[0]), row[1]

    async def advance(
        self, run: Run, *, through: int, count: int, lease_until: datetime | None, completed_at: datetime | None
    ) -> Run | None:
        """Note how far a closing is, in the transaction that writes that part; None where the fence was lost."""
        given = {
            "run": run.id,
            "with_fence": run.fence,
            "through": through,
            "more": count,
            "until": lease_until,
            "completed": completed_at,
        }
        row = (await self._connection.execute(_ADVANCED, given)).first()
        return None if row is None else Run._make(row)

    async def write(self, run: Run, through: int, count: int, *, day_before: datetime | None, now: datetime) -> None:
        """Write the history and the events of the accounts behind the run's last one, up to and with another."""
        given = {**_given(run), "through": through}
        history = _history(has_previous=run.previous_at is not None, has_day_before=day_before is not None)
        await self._connection.execute(history, {**given, "previous_at": run.previous_at, "day_before": day_before})
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
        ).where(_TAKING_PART, a.c.id <= _THROUGH)
        names = ["id", "unit_id", "type", "account_id", "division_id", "external_id", "closing_id", "at"]
        await self._connection.execute(insert(events).from_select(names, told.order_by(a.c.id)), given)


# Statements are made once: many divisions close at one instant, and making theirs would take longer than asking them.
_RUN = select(*(c.c[name] for name in Run._fields))
_DIVISION = bindparam("division", type_=Number)
_AT = bindparam("closing_at", type_=Instant)
_AFTER = bindparam("after", type_=Number)
_THROUGH = bindparam("through", type_=Number)
_LAST = _RUN.where(c.c.division_id == _DIVISION).order_by(c.c.closing_at.desc()).limit(1)
_TAKING_PART = and_(a.c.division_id == _DIVISION, a.c.created_at < _AT, a.c.id > _AFTER)


def _given(run: Run) -> dict[str, Any]:
    """What statements are given of a closing, and of how far it is."""
    return {
        "division": run.division_id,
        "business_date": run.business_date,
        "closing_at": run.closing_at,
        "after": run.through_account_id,
    }


class _Statements(NamedTuple):
    configs: Select[Any]
    divisions: Select[Any]


_NAMED = select(divisions.c.id, divisions.c.unit_id, divisions.c.code, units.c.name, divisions.c.timezone).join(
    units, units.c.id == divisions.c.unit_id
)
_CONFIGURED = _Statements(
    select(*(h.c[name] for name in HistoryConfig._fields)).order_by(h.c.division_id, h.c.first_closing),
    _NAMED.where(divisions.c.id.in_(select(h.c.division_id))).order_by(divisions.c.id),
)
_CONFIGURED_ONE = _Statements(
    _CONFIGURED.configs.where(h.c.division_id == _DIVISION),
    # A list of all that are configured would be made for each one.
    _NAMED.where(divisions.c.id == _DIVISION, exists().where(h.c.division_id == _DIVISION)),
)

_BEGUN = insert(c).returning(*_RUN.selected_columns)
_FIRST = select(a.c.id).where(_TAKING_PART).order_by(a.c.id).limit(bindparam("limit", type_=Number)).subquery()
_NEXT = select(func.max(_FIRST.c.id), func.count()).select_from(_FIRST)
_ADVANCED = (
    update(c)
    .where(
        c.c.id == bindparam("run", type_=Number),
        c.c.fence == bindparam("with_fence", type_=Number),
        c.c.completed_at.is_(None),
    )
    .values(
        through_account_id=_THROUGH,
        account_count=c.c.account_count + bindparam("more", type_=Number),
        lease_until=bindparam("until", type_=Instant),
        completed_at=bindparam("completed", type_=Instant),
    )
    .returning(*_RUN.selected_columns)
)


def _previous(*, has_previous: bool) -> ColumnElement[Any]:
    """An account's previous closing: the division's, if the account was in it then, or a later one of where it was."""
    if not has_previous:
        return a.c.closed_until
    before = bindparam("previous_at", type_=Instant)
    been_here = or_(and_(a.c.joined_after.is_(None), a.c.created_at < before), a.c.joined_after < before)
    is_last = or_(a.c.closed_until.is_(None), a.c.closed_until < before)
    return case((and_(been_here, is_last), before), else_=a.c.closed_until)


def _last_entry(
    what: ColumnElement[Any], e: FromClause, owner: FromClause, before: ColumnElement[datetime]
) -> Select[Any]:
    return (
        select(what)
        .where(e.c.account_id == owner.c.account_id, e.c.currency == owner.c.currency, e.c.at < before)
        .order_by(e.c.at.desc(), e.c.id.desc())
        .limit(1)
        .correlate(owner)
    )


@cache
def _history(*, has_previous: bool, has_day_before: bool) -> Insert:
    """INSERT ... SELECT of the rows of history of some accounts.

    A row for each account and currency where an entry lies between the account's previous closing and this one, or
    where the balance is another than its last row says, which a late entry does. None for an account that has been
    closed up to here before, in another division: its next row goes on from there.
    """
    # Named here too, as a DISTINCT is made of all that it reads.
    within = and_(balance_kinds.c.account_id > _AFTER, balance_kinds.c.account_id <= _THROUGH)
    kinds = select(balance_kinds.c.account_id, balance_kinds.c.currency).where(within).distinct().subquery("kinds")
    each = (
        select(
            a.c.unit_id,
            a.c.id.label("account_id"),
            kinds.c.currency,
            _previous(has_previous=has_previous).label("previous"),
        )
        .join(kinds, kinds.c.account_id == a.c.id)
        .where(_TAKING_PART, a.c.id <= _THROUGH)
        .subquery("each_account")
    )
    newest, row = entries.alias(), history_entries.alias()
    last_row = (
        select(row.c.closing)
        .where(
            row.c.account_id == each.c.account_id,
            row.c.currency == each.c.currency,
            row.c.closing_at < _AT,
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
            _last_entry(newest.c.id, newest, each, _AT).scalar_subquery().label("entry_id"),
        )
        .cte("found")
        .prefix_with("MATERIALIZED")
    )
    e, earlier = entries.alias(), entries.alias()
    opening: list[ColumnElement[Any]] = [found.c.last_row]
    if has_day_before:
        before = bindparam("day_before", type_=Instant)
        opening.append(_last_entry(earlier.c.amount, earlier, found, before).scalar_subquery())
    rows = (
        select(
            found.c.unit_id,
            found.c.account_id,
            bindparam("business_date", type_=Day),
            _AT,
            found.c.currency,
            func.coalesce(*opening, literal(0, Number)),
            e.c.amount,
        )
        .join(e, e.c.id == found.c.entry_id)
        .where(
            or_(found.c.previous.is_(null()), found.c.previous < _AT),
            or_(
                found.c.previous.is_(null()),
                e.c.at >= found.c.previous,
                found.c.last_row.is_(null()),
                e.c.amount != found.c.last_row,
            ),
        )
        .order_by(found.c.account_id, found.c.currency)
    )
    names = ["unit_id", "account_id", "business_date", "closing_at", "currency", "opening", "closing"]
    return insert(history_entries).from_select(names, rows)
