"""Accounts and where they stand, as remembered."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.accounts import Thresholds
from app.domain.balances import Position
from app.domain.records import ThresholdState
from app.store.dialects import Dialect
from app.store.narrowing import among
from app.store.reads import Units, visible
from app.store.tables import accounts as a
from app.store.tables import positions as p

_POSITION = (
    p.c.account_id,
    p.c.unit_id,
    p.c.currency,
    p.c.balance,
    p.c.entry_id,
    p.c.at,
    p.c.low_threshold,
    p.c.high_threshold,
    p.c.threshold_state,
    p.c.external_id,
    p.c.division_id,
)
_STANDING = ("low_threshold", "high_threshold", "threshold_state")
_FOLDED = ("name", "external_id")
_COPIED = ("external_id", "division_id")
"""What events tell of an account: it stands on the locked row, so that they tell it as it is when they are written."""


class Accounts:
    """Accounts within one transaction."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, units: Units) -> None:
        self._connection = connection
        self._dialect = dialect
        self._units = units

    async def add(self, values: Mapping[str, Any], *, unit_id: int, standing: Mapping[str, Any]) -> int:
        """Store an account and its position; raises IntegrityError where a unique key is taken."""
        statement = insert(a).values(unit_id=unit_id, **_with_folded(values)).returning(a.c.id)
        number = int((await self._connection.execute(statement)).scalar_one())
        copied = {name: values[name] for name in _COPIED}
        position = {"account_id": number, "unit_id": unit_id, "currency": values["currency"], **copied, **standing}
        await self._connection.execute(insert(p).values(balance=Decimal(0), **position))
        return number

    async def change(self, number: int, values: Mapping[str, Any], standing: Mapping[str, Any]) -> None:
        """Change an account that this transaction holds."""
        if values:
            await self._connection.execute(update(a).where(a.c.id == number).values(**_with_folded(values)))
        standing = {**standing, **{name: values[name] for name in _COPIED if name in values}}
        if standing:
            await self._connection.execute(update(p).where(p.c.account_id == number).values(**standing))

    async def hold(self, number: int) -> bool:
        """Lock an account's row, so that rules judged on it still hold when it is written."""
        statement = select(a.c.id).where(a.c.id == number, self._visible(a.c.unit_id))
        found = await self._connection.execute(self._dialect.locked(statement, a))
        return found.first() is not None

    async def membership(self, number: int) -> tuple[datetime | None, datetime | None]:
        """Which closings of its division an account takes part in, and its last closing in a division before.

        It takes part in those after the first instant; None: in all since it was made.
        """
        statement = select(a.c.joined_after, a.c.closed_until).where(a.c.id == number)
        row = (await self._connection.execute(statement)).one()
        return row[0], row[1]

    async def positions(self, numbers: Collection[int]) -> dict[int, Position]:
        """Lock accounts' positions, in order of their ids, and read them; those that exist for the caller."""
        where = and_(among(self._dialect, p.c.account_id, sorted(numbers)), self._visible(p.c.unit_id))
        statement = select(*_POSITION).where(where).order_by(p.c.account_id)
        rows = await self._connection.execute(self._dialect.locked(statement, p))
        return {row[0]: _position(row) for row in rows}

    async def positions_seen(self, numbers: Collection[int]) -> dict[int, Position]:
        """The same, without locks: where they stood when they were looked at."""
        where = and_(among(self._dialect, p.c.account_id, sorted(numbers)), self._visible(p.c.unit_id))
        return {row[0]: _position(row) for row in await self._connection.execute(select(*_POSITION).where(where))}

    async def positions_by_external_id(self, unit_id: int, external_ids: Collection[str]) -> dict[str, Position]:
        """The same, found by the external ids of one business unit."""
        statement = self._by_external_id(unit_id, external_ids).order_by(p.c.account_id)
        rows = await self._connection.execute(self._dialect.locked(statement, p))
        return {row[-1]: _position(row) for row in rows}

    async def positions_unlocked(self, unit_id: int, external_ids: Collection[str]) -> dict[str, Position]:
        """The same, for whoever writes nothing."""
        rows = await self._connection.execute(self._by_external_id(unit_id, external_ids))
        return {row[-1]: _position(row) for row in rows}

    async def move(self, moved: Sequence[Position]) -> None:
        """Write where accounts stand now; this transaction holds them."""
        rows = [
            {
                "account_id": position.account_id,
                "balance": position.balance,
                "entry_id": position.entry_id,
                "at": position.at,
                "threshold_state": int(position.state),
            }
            for position in moved
        ]
        if rows:
            await self._dialect.update(self._connection, p, "account_id", rows)

    async def taken(self, unit_id: int, values: Mapping[str, Any], but: int | None) -> set[str]:
        """Which of name, uuid and external_id another account of the unit has."""
        found = set()
        for field in ("name", "uuid", "external_id"):
            if values.get(field) is None:
                continue
            statement = select(a.c.id).where(a.c.unit_id == unit_id, a.c[field] == values[field])
            holder = (await self._connection.execute(statement)).scalar()
            if holder is not None and holder != but:
                found.add(field)
        return found

    def _by_external_id(self, unit_id: int, external_ids: Collection[str]) -> Select[Any]:
        where = and_(a.c.unit_id == unit_id, among(self._dialect, a.c.external_id, sorted(external_ids)))
        return select(*_POSITION, a.c.external_id).join_from(a, p, p.c.account_id == a.c.id).where(where)

    def _visible(self, unit_id: ColumnElement[int]) -> ColumnElement[bool]:
        return visible(self._dialect, unit_id, self._units)


def standing_of(low: Any, high: Any, state: ThresholdState) -> dict[str, Any]:
    return dict(zip(_STANDING, (low, high, int(state)), strict=True))


def _position(row: Any) -> Position:
    number, unit_id, currency, balance, entry_id, at, low, high, state, external_id, division_id = row[: len(_POSITION)]
    moment: datetime | None = at
    return Position(
        number,
        unit_id,
        currency,
        balance,
        entry_id,
        moment,
        Thresholds(low, high),
        ThresholdState(state),
        external_id,
        division_id,
    )


def _with_folded(values: Mapping[str, Any]) -> dict[str, Any]:
    folded = {
        f"{name}_folded": None if values[name] is None else values[name].casefold()
        for name in _FOLDED
        if name in values
    }
    return {**values, **folded}
